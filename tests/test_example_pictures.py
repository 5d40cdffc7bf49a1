"""What `make examples` looks for: pictures that are there are seen, and those that are not are missed."""

import importlib.util
import shutil
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "examples.py"
SPEC = importlib.util.spec_from_file_location("example_pictures", SCRIPT)
pictures = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(pictures)

pytestmark = pytest.mark.once

TABLE = """\
100 pages         time  speed-up     a page  bytes
 1 serial        10.00 s      1.0x     100 ms  1408670
10 threads        1.25 s      8.0x     110 ms  1408670
10 processes      1.30 s      7.7x     112 ms  1408670
10 asyncio        1.20 s      8.3x     101 ms  1408670
"""


def row(backend, speedup, seconds, gil_wait, memory=100):
    return {
        "backend": backend,
        "speedup": speedup,
        "seconds": seconds,
        "cpu_seconds": 2.0,
        "gil_wait": gil_wait,
        "pss_bytes": memory,
    }


# What is no picture: a part of others, and programs that tests click on, and ask.
OTHERS = {"local_server.py", "window.py", "service.py"}


def test_every_example_has_its_picture():
    assert pictures.PICTURES.keys() | OTHERS == {path.name for path in pictures.EXAMPLES.glob("*.py")}


def test_a_comparison_becomes_figures():
    rows = [
        row("serial", 1.0, 4.0, 0.0),
        row("threads", 0.9, 4.4, 0.5, None),
        row("processes", 2.0, 2.0, None, 150),
    ]
    assert pictures.of_rows(rows) == {
        "cores": 0.5,
        "serial": 1.0,
        "serial, GIL": 0.0,
        "serial, memory": 1.0,
        "threads": 0.9,
        "threads, GIL": 0.5,
        "processes": 2.0,
        "processes, memory": 1.5,
    }


def test_a_table_becomes_figures():
    figures = pictures.of_table(TABLE)
    assert (figures["threads"], figures["asyncio"]) == (8.0, 8.3)
    assert figures["processes, a page"] == pytest.approx(1.12)
    assert pictures.missing(figures, pictures.PICTURES["fetch_pages.py"].bounds) == []


def measured(monkeypatch, name, printed):
    """What is missing of a picture whose example prints this."""
    monkeypatch.setattr(pictures, "ran", lambda command: printed)
    picture = pictures.PICTURES[name]
    return pictures.missing(picture.measure(name), picture.bounds)


def test_what_is_late(monkeypatch):
    line = "{} late by up to {} ms, 3 of 16 done\n"
    printed = "".join(map(line.format, ("in the loop", "threads", "processes"), (900, 20, 8)))
    assert measured(monkeypatch, "responsive.py", printed) == []
    # The slower of the others counts.
    printed = printed.replace("8 ms", "600 ms")
    assert measured(monkeypatch, "responsive.py", printed) == [
        "less late is 1.50, and should be from 2 to 100000"
    ]


@pytest.mark.parametrize(
    "took, lacks", [("5.5", []), ("900.0", ["at once is 1.11, and should be from 8 to 410"])]
)
def test_what_is_waited_for(monkeypatch, took, lacks):
    printed = f"in {took} s; one after the other it is 1,000 s of waiting alone\n"
    assert measured(monkeypatch, "many_connections.py", printed) == lacks


RACE = """\
threads: expected 2,000, counted {}, lost 1,490
  with add: 2,000; with a lock: 2,000
processes: expected 2,000, counted 515, lost 1,485
  with add: 2,000; with a lock: {}
"""


@pytest.mark.parametrize(
    "counted, locked, lacks",
    [
        ("510", "2,000", []),
        ("2,000", "2,000", ["threads, lost is 0.00, and should be from 0.01 to 0.99"]),
        ("510", "1,999", ["processes, cured is 1.00, and should be from 1 to 1"]),
    ],
)
def test_what_a_race_loses(monkeypatch, counted, locked, lacks):
    assert measured(monkeypatch, "race.py", RACE.format(counted, locked)) == lacks


def test_what_is_said(monkeypatch):
    said = ": 2,762 \n: 5,133 \n: 9,592 \n: 17,984 \n"
    assert measured(monkeypatch, "four_processes.py", said) == []
    lacks = ["said is 0.75, and should be from 1 to 1"]
    assert measured(monkeypatch, "four_processes.py", said.replace("9,592", "9,593")) == lacks


def test_threads_are_stopped_by_ctrl_c():
    assert pictures.shown("stop_threads.py", pictures.PICTURES["stop_threads.py"]) == "ok"


QUIET, BUSY = 0.99, 0.5
OK = "ok"
AS_FAR = "ok, as far as can be told: other programs had the cores"


@pytest.mark.parametrize(
    "cores, gil, had, threads, waits, processes, said",
    [
        (2, True, QUIET, 0.95, 0.5, 1.8, OK),
        (4, True, QUIET, 0.95, 0.7, 3.6, OK),
        # Threads that help where there is a GIL, or do not wait for it; processes that do not help.
        (2, True, QUIET, 1.8, 0.5, 1.8, "FAILED: threads is 1.80"),
        (2, True, QUIET, 0.95, 0.0, 1.8, "FAILED: threads, GIL is 0.00"),
        (2, True, QUIET, 0.95, 0.5, 1.0, "FAILED: processes is 1.00"),
        # On a busy machine only the waits tell.
        (2, True, BUSY, 1.5, 0.4, 0.9, AS_FAR),
        (2, True, BUSY, 1.5, 0.0, 0.9, "FAILED: threads, GIL is 0.00"),
        # No GIL: threads are as good as processes.
        (4, False, QUIET, 3.5, 0.0, 3.5, OK),
        (4, False, QUIET, 0.9, 0.0, 3.5, "FAILED: threads is 0.90"),
        # One core: nothing helps.
        (1, True, QUIET, 0.95, 0.0, 0.95, OK),
        (1, True, QUIET, 0.95, 0.0, 1.9, "FAILED: processes is 1.90"),
    ],
)
def test_what_computing_looks_like(cores, gil, had, threads, waits, processes, said):
    figures = {"cores": had, "threads": threads, "threads, GIL": waits, "processes": processes}
    picture = pictures.computing(cores, gil, lambda _: figures)
    assert pictures.shown("a.py", picture).startswith(said)


def picture_of(*figures, programs=()):
    """A picture of one figure from 2 to 3, measured so, one time after the other."""
    measured = iter(figures)
    return pictures.Picture("words", lambda _: {"x": next(measured)}, {"x": (2, 3)}, programs=programs)


def test_a_picture_is_looked_for_twice(capsys):
    assert pictures.shown("a.py", picture_of(2.5)) == "ok"
    assert pictures.shown("a.py", picture_of(1, 2.5)) == "ok"
    assert pictures.shown("a.py", picture_of(1, 4)) == "FAILED: x is 4.00, and should be from 2 to 3"
    assert "not seen: x is 1.00" in capsys.readouterr().out


def test_what_fails_is_told(monkeypatch, capsys):
    broken = pictures.Picture("words", lambda _: pictures.ran(["-c", "1 / 0"]), {"x": (2, 3)})
    monkeypatch.setattr(pictures, "PICTURES", {"a.py": broken, "b.py": picture_of(2)})
    assert pictures.main([]) == 1
    said = capsys.readouterr().out.splitlines()
    assert any(line.startswith("a.py") and "FAILED: exit code 1" in line for line in said)
    assert said[-1].split() == ["b.py", "ok"]
    assert pictures.main(["c"]) == 2


def test_what_is_not_installed_is_skipped(monkeypatch):
    monkeypatch.setattr(shutil, "which", {"chromium": "there"}.get)
    told = pictures.shown("a.py", picture_of(programs=("chromium", "chromedriver")))
    assert told == "skipped: there is no chromedriver (apt-get install chromium chromium-driver)"
