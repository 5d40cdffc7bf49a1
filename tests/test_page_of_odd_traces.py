"""Pages of recordings as they should not be: they say what is missing, and are never blank."""

import pytest
import traces as t
from outside import run_program
from pages import browser as browser
from pages import tab_of

pytestmark = pytest.mark.once

SECOND = 10**9
HEAD = [t.began(), t.process(), t.gil(), t.thread(), t.thread(1, tid=8, name="worker")]


def turns(begin, length, step):
    """Records of two threads that take turns with the GIL."""
    records = []
    for number, at in enumerate(range(begin, begin + length, step)):
        one, other = number % 2, 1 - number % 2
        records += [
            t.hold(at, at + step, one),
            t.span(one, at, at + step, "holds-python"),
            t.span(other, at, at + step, "waits"),
        ]
    return records


def reported(trace, folder, name="page.html"):
    (folder / "it.plait").write_bytes(trace)
    return run_program("-m", "plait", "report", "it.plait", "-o", name, cwd=folder)


@pytest.fixture
def page(browser, tmp_path):
    """Makes the page of such a file, and opens it."""
    contexts = []

    def open_page(trace, cut=False):
        done = reported(trace, tmp_path)
        assert done.code == 0 and ("was cut off" in done.err if cut else not done.err), done
        tab = tab_of(browser, (tmp_path / "page.html").read_text(), tmp_path / "shown.html")
        contexts.append(tab.context)
        tab.wait_for_selector("html[data-drawn]", state="attached")
        assert tab.said == []
        return tab

    yield open_page
    for context in contexts:
        context.close()


def test_the_format_is_as_described(tmp_path, page):
    records = [*HEAD, *turns(0, 2 * SECOND, 5_000_000), t.ended(2 * SECOND)]
    tab = page(t.written(*records))
    assert "GIL contention" in tab.inner_text("body")
    assert tab.locator(".names .thread").all_inner_texts() == ["main thread", "worker"]


@pytest.mark.parametrize("records", [[], [t.began()]], ids=["no record", "only the beginning"])
def test_nothing_was_seen(page, records):
    told = page(t.written(*records), cut=True).inner_text("body")
    assert "Not enough data" in told and "0 s" in told


def test_one_of_a_newer_version_is_refused_in_a_line(tmp_path):
    done = reported(t.written(t.began(), version=2), tmp_path)
    [line] = done.err.strip().splitlines()
    assert done.code == 2 and "newer" in line and "it.plait" in line
    assert not (tmp_path / "page.html").exists()


def test_a_program_that_never_ran_python(page):
    why = "PID 7 runs no Python that can be seen"
    records = [t.began("sleep 9"), t.process(command="sleep 9", python=None, sight=2, why=why)]
    records += [t.thread(name="sleep"), t.span(0, 0, 2 * SECOND, "sleep", 230), t.ended(2 * SECOND)]
    tab = page(t.written(*records))
    assert why in tab.inner_text("body")


def test_one_that_was_cut_off_is_drawn_as_far_as_it_goes(page):
    whole = t.written(*HEAD, *turns(0, 2 * SECOND, 5_000_000), t.ended(2 * SECOND), to_a_block=100)
    told = page(whole[: len(whole) * 2 // 3], cut=True).inner_text("body")
    assert "GIL contention" in told and "1.32 s of python app.py" in told
    assert "the file stops in the midst of a block" in told


def test_a_day(page):
    day = 24 * 3600 * SECOND
    tab = page(t.written(*HEAD, *turns(0, day, SECOND), t.ended(day, looks=86_400_000)))
    assert "GIL contention" in tab.inner_text("body")
    assert "24" in tab.inner_text("#range") or "86" in tab.inner_text("#range")


def test_a_clock_that_leapt(page):
    # Suspended for an hour: nobody looked, and what went on is drawn on both sides.
    hour = 3600 * SECOND
    records = [*HEAD, *turns(0, SECOND, 5_000_000), t.gap(SECOND, hour), *turns(hour, SECOND, 5_000_000)]
    told = page(t.written(*records, t.ended(hour + SECOND, looks=2000))).inner_text("body")
    assert "GIL contention" in told and "nobody looked" in told


def test_a_clock_that_went_back_is_refused_in_a_line(tmp_path):
    records = [*HEAD, t.span(0, SECOND, 2 * SECOND, "sleep"), t.span(0, 0, SECOND, "holds-python")]
    done = reported(t.written(*records), tmp_path)
    assert done.code == 2 and len(done.err.strip().splitlines()) == 1, done
    assert not (tmp_path / "page.html").exists()
