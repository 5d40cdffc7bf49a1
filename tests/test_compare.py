"""`plait.compare` in this process: its figures, its faces, what fails and what goes on."""

import json
import os
import re
import sys
import threading
import time

import plait
import pytest
from outside import until
from plait._compare.contest import affordable_rounds, wanted_rounds

pytestmark = pytest.mark.once

COLUMNS = {
    "backend",
    "workers",
    "seconds",
    "speedup",
    "startup_seconds",
    "cpu_seconds",
    "gil_wait",
    "pss_bytes",
    "call_seconds",
    "error",
}


def busy(n):
    return sum(i * i for i in range(n))


def rows_of(comparison):
    return {row.backend: row for row in comparison.rows}


def test_each_backend_has_its_figures():
    comparison = plait.compare(busy, [20_000] * 6, workers=2, rounds=3)
    rows = rows_of(comparison)
    assert list(rows) == ["serial", "threads", "processes"]
    assert [row.workers for row in comparison.rows] == [1, 2, 2]
    for row in comparison.rows:
        assert row.error is None and row.failed_calls == 0
        assert row.rounds == 3
        assert row.seconds_min <= row.seconds <= row.seconds_max
        assert row.call_seconds > 0
        assert row.cpu_seconds > 0
        assert row.pss_bytes > 1_000_000
    assert rows["serial"].startup_seconds == 0
    assert rows["threads"].startup_seconds > 0
    assert rows["processes"].startup_seconds > 0
    # Two interpreters more, whatever they share with this one.
    assert rows["processes"].pss_bytes > rows["serial"].pss_bytes
    assert comparison.best in rows
    assert not comparison.interrupted


def test_a_call_is_timed_where_it_runs():
    # Every call sleeps, so no machine can be quicker; and two at a time cannot take twice as long as each.
    comparison = plait.compare(sleeper, [0.02] * 4, workers=2, rounds=1)
    for row in comparison.rows:
        assert row.call_seconds >= 0.02
        assert row.seconds >= row.call_seconds * 4 / row.workers * 0.9


def sleeper(seconds):
    threading.Event().wait(seconds)


def test_faces(tmp_path):
    comparison = plait.compare(busy, [1_000] * 3, workers=2, rounds=1)
    document = json.loads(comparison.to_json())
    assert document["best"] == comparison.best
    assert document["verdict"] == comparison.verdict
    assert document["rounds_planned"] == 1
    for row in document["rows"]:
        assert row.keys() >= COLUMNS
    text = str(comparison)
    for expected in ("serial", "threads", "processes", comparison.verdict, comparison.code):
        assert expected in text
    assert comparison.code.startswith("results = list(plait.map(busy, items, backend=")
    assert comparison.best in repr(comparison)
    assert comparison._repr_html_().startswith("<iframe srcdoc=")
    comparison.save(tmp_path / "page.html")
    comparison.save(str(tmp_path / "figures.json"))
    assert "<html" in (tmp_path / "page.html").read_text()
    assert json.loads((tmp_path / "figures.json").read_text()) == document
    comparison.save(tmp_path / "picture.svg")
    assert (tmp_path / "picture.svg").read_text().endswith("</svg>\n")
    with pytest.raises(ValueError, match=r"must end in \.html, \.svg or \.json"):
        comparison.save(tmp_path / "figures.txt")


def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_the_page_shows_what_the_threads_did():
    comparison = plait.compare(spin, [0.15] * 6, workers=2, rounds=1, scaling=True)
    page = comparison.to_html()
    assert "Who ran when" in page and "GIL: Python code" in page
    assert "More workers" in page and "ideal" in page
    assert "More workers" not in plait.compare(spin, [0.01] * 2, workers=2, rounds=1).to_html()


def test_the_lanes_show_turns_of_threads_and_processes_side_by_side():
    def shown():
        page = plait.compare(spin, [0.15] * 6, workers=2, rounds=1).to_html()
        strips = re.findall(r'<section class="strip">(.*?)</section>', page, re.DOTALL)
        assert len(strips) == 3
        # Two threads of one process take turns; two processes need not. A busy machine may see nothing of it.
        return "s-waits" in strips[1] and "waits for the GIL" in page and "worker" in strips[2]

    until(shown, "lanes in which a thread waits")


def test_the_code_is_what_was_measured():
    comparison = plait.compare(busy, [1_000] * 3, workers=2, rounds=1)
    names = {"plait": plait, "busy": busy, "items": [1_000] * 3}
    exec(comparison.code, names)
    assert names["results"] == [busy(1_000)] * 3


def test_a_function_that_raises_here_and_there():
    def picky(n):
        if n < 0:
            raise ValueError("no roots\nbelow zero")
        return n

    comparison = plait.compare(picky, [1, -1, 2, -2, 3], workers=2, rounds=2)
    for row in comparison.rows:
        assert row.error == "2 of 5 calls raised ValueError: no roots below zero"
        assert row.failed_calls == 2
        assert row.rounds == 1
        assert row.speedup is None
    assert comparison.best is None and comparison.code is None


def test_different_errors_are_counted_and_the_first_is_shown():
    comparison = plait.compare(lambda n: 1 // n if n else [].pop(), [0, "x", 1], workers=2, rounds=1)
    assert (
        rows_of(comparison)["serial"].error
        == "2 of 3 calls raised; the first raised IndexError: pop from empty list"
    )


def test_a_function_that_fails_on_one_backend_leaves_the_others():
    home = os.getpid()

    def homesick(n):
        if os.getpid() != home:
            raise OSError("not at home")
        return n

    rows = rows_of(plait.compare(homesick, [1, 2, 3], workers=2, rounds=2))
    assert rows["processes"].error == "3 of 3 calls raised OSError: not at home"
    assert rows["serial"].error is None and rows["serial"].rounds == 2
    assert rows["threads"].error is None and rows["threads"].rounds == 2


def test_a_function_that_cannot_be_sent():
    lock = threading.Lock()

    def locked(n):
        with lock:
            return n

    comparison = plait.compare(locked, [1, 2, 3], workers=2, rounds=1)
    rows = rows_of(comparison)
    error = rows["processes"].error
    assert error.startswith("the function cannot be sent: ") and "lock" in error
    assert "\n" not in error
    assert rows["threads"].error is None
    assert comparison.best in ("serial", "threads")


def test_items_and_results_that_cannot_be_sent():
    rows = rows_of(plait.compare(lambda item: None, [1, threading.Lock(), 3], workers=2, rounds=1))
    assert rows["threads"].error is None
    assert rows["processes"].error.startswith("1 of 3 calls failed: NotPicklable: ")

    rows = rows_of(plait.compare(lambda n: threading.Lock() if n == 2 else n, [1, 2, 3], workers=2, rounds=1))
    assert rows["threads"].error is None
    assert rows["processes"].error.startswith("1 of 3 calls failed: NotPicklable: ")


def test_a_function_that_kills_its_worker():
    home = os.getpid()

    def deadly(n):
        if n == 2 and os.getpid() != home:
            os._exit(3)
        return n

    rows = rows_of(plait.compare(deadly, [1, 2, 3, 4], workers=2, rounds=1))
    assert rows["serial"].error is None
    assert rows["processes"].error.startswith("1 of 4 calls failed: WorkerDied: ")


def test_sys_exit_is_a_failed_call():
    rows = rows_of(plait.compare(lambda n: sys.exit(n), [1, 2], workers=2, rounds=1))
    assert {row.error for row in rows.values()} == {"2 of 2 calls raised; the first raised SystemExit: 1"}


def test_a_pool_that_cannot_start_is_a_row(monkeypatch):
    from plait._compare.backends import Threads

    monkeypatch.setattr(Threads, "open", lambda self: {}["no such pool"])
    rows = rows_of(plait.compare(busy, [10], workers=2, rounds=2))
    assert rows["threads"].error == "it could not start: KeyError: 'no such pool'"
    assert rows["processes"].rounds == 2


def test_progress_counts_to_the_end():
    told = []
    plait.compare(
        busy, [10] * 4, workers=2, rounds=2, progress=lambda done, total: told.append((done, total))
    )
    counts = [done for done, _ in told]
    assert counts == sorted(counts)
    assert told[0][1] is None
    # A warm-up, and two rounds of three backends.
    assert told[-1] == (4 + 2 * 3 * 4, 4 + 2 * 3 * 4)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ((3, [1]), TypeError, "needs a function, not int"),
        ((busy, 3), TypeError, "not iterable"),
        ((busy, []), ValueError, "no items"),
        ((busy, iter(int, 1)), ValueError, "more than 1,000,000 items, or no end of them"),
        ((busy, [1], 0), ValueError, "workers must be an integer of at least 1, not 0"),
        ((busy, [1], 1.5), ValueError, "workers must be"),
    ],
)
def test_wrong_arguments(arguments, error, says):
    with pytest.raises(error, match=says):
        plait.compare(*arguments)


def test_an_interrupt_ends_it_and_no_worker_is_left():
    def interrupt(done, total):
        if total is not None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plait.compare(busy, [10] * 4, workers=2, rounds=50, progress=interrupt)
    # The fixture that looks for processes left behind does the rest.


def test_rounds_follow_from_how_long_they_take():
    assert [wanted_rounds(seconds) for seconds in (0.0, 0.0005, 0.002, 0.05, 0.1, 3, 100)] == [
        25,
        25,
        15,
        9,
        5,
        5,
        5,
    ]
    assert [affordable_rounds(seconds, 5) for seconds in (0.001, 4, 5, 9, 13, 15, 100)] == [
        5,
        5,
        4,
        3,
        3,
        1,
        1,
    ]
    assert affordable_rounds(0.0, 25) == 25
