"""Warnings of workers are the program's: by its filters, once where they say so, before the result."""

import inspect
import logging
import os
import warnings

import plait
import pytest
from heard import hearing
from outside import TESTS, run_program
from ways import WAYS, one_worker


@pytest.fixture(autouse=True)
def quiet():
    """The filters of Python itself, and not those of the tests; what was shown before is forgotten."""
    with warnings.catch_warnings():
        warnings.resetwarnings()
        warnings.simplefilter("default")
        yield


@pytest.fixture
def seen():
    with warnings.catch_warnings(record=True) as seen:
        yield seen


@pytest.fixture(params=WAYS)
def way(request, seen):
    with one_worker(request.param) as way:
        yield way


class OwnWarning(UserWarning):
    """Has attributes, and cannot be made of its arguments."""

    def __init__(self, *, code):
        super().__init__("own", code)
        self.code = code


class HeavyWarning(RuntimeWarning):
    def __init__(self, text):
        super().__init__(text)
        self.frames = inspect.currentframe()

    def __reduce__(self):
        raise TypeError("stays here")


def warn(how):
    if how == "own":
        warnings.warn(OwnWarning(code=3), stacklevel=1)
    elif how == "heavy":
        warnings.warn(HeavyWarning("too heavy"), stacklevel=1)
    elif how == "explicit":
        warnings.warn_explicit("of a template", SyntaxWarning, "page.html", 7, "pages")
    elif how == "caught":
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.warn("not for others", stacklevel=1)
        return [str(one.message) for one in caught]
    else:
        for _ in range(3):
            warnings.warn(f"careful {how}", stacklevel=1)
    return how


def told(seen):
    return [(type(one.message), str(one.message), one.filename) for one in seen]


def test_each_is_seen_once_and_before_the_result(way, seen):
    for _ in range(3):
        assert way(warn, 1) == 1
        assert told(seen) == [(UserWarning, "careful 1", __file__)]
    assert inspect.getsource(warn).splitlines()[seen[0].lineno - warn.__code__.co_firstlineno].lstrip() == (
        'warnings.warn(f"careful {how}", stacklevel=1)'
    )
    way(warn, 2)
    assert [text for _, text, _ in told(seen)] == ["careful 1", "careful 2"]


def test_they_are_what_was_warned(way, seen):
    way(warn, "own")
    assert type(seen[0].message) is OwnWarning and seen[0].message.code == 3
    way(warn, "heavy")
    assert told(seen)[1:] == [(RuntimeWarning, "too heavy", __file__)]
    way(warn, "explicit")
    assert told(seen)[2:] == [(SyntaxWarning, "of a template", "page.html")] and seen[2].lineno == 7


def test_what_a_call_catches_is_its_own(way, seen):
    assert way(warn, "caught") == ["not for others"]
    assert seen == []


def test_workers_of_workers(way, seen):
    assert way(warn_below, 5) == 5
    assert told(seen) == [(UserWarning, "careful 5", __file__)]


def test_patterns_of_filters_reach_workers_of_workers(seen):
    warnings.filterwarnings("ignore", "careful [23]")
    with plait.ProcessPoolExecutor(1) as pool:
        assert [pool.submit(warn_below, how).result() for how in (2, 5)] == [2, 5]
    assert [text for _, text, _ in told(seen)] == ["careful 5"]


def warn_below(how):
    with plait.ProcessPoolExecutor(1) as pool:
        return pool.submit(warn, how).result()


def test_what_the_program_has_warned_of_itself_counts(seen):
    with plait.ProcessPoolExecutor(1) as pool:
        warn(6)
        pool.submit(warn, 6).result()
        pool.submit(warn, 7).result()
        warn(7)
    assert [text for _, text, _ in told(seen)] == ["careful 6", "careful 7"]


@pytest.mark.parametrize("backend", ["serial", "threads", "processes"])
def test_around_a_map(backend):
    with pytest.warns(UserWarning, match="careful 8") as caught:
        assert list(plait.map(warn, [8], backend=backend)) == [8]
    assert caught[0].filename == __file__
    for action, count in (("always", 6), ("default", 2), ("once", 2), ("ignore", 0)):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter(action)
            assert list(plait.map(warn, [9, 10], backend=backend)) == [9, 10]
        assert len(seen) == count, action
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="careful 8"):
            list(plait.map(warn, [8], backend=backend))


@pytest.mark.parametrize("name", WAYS)
def test_filters_of_any_form(name, seen):
    warnings.filterwarnings("ignore", "careful 2")
    warnings.filterwarnings("error", "careful 3", module="test_worker_warnings")
    warnings.filterwarnings("error", "careful 4", module="another_module")
    warnings.filterwarnings("error", category=OwnWarning)
    with one_worker(name) as way:
        assert [way(warn, how) for how in (1, 2, 4)] == [1, 2, 4]
        assert type(way.error_of(warn, 3)) is UserWarning
        assert type(way.error_of(warn, "own")) is OwnWarning
    assert [text for _, text, _ in told(seen)] == ["careful 1", "careful 4"]


def test_filters_younger_than_the_pool(seen):
    with plait.ProcessPoolExecutor(1) as pool:
        pool.submit(warn, 1).result()
        warnings.simplefilter("ignore")
        assert pool.submit(warn, 2).result() == 2
        warnings.simplefilter("error")
        # Too late for the call: it is seen.
        assert pool.submit(warn, 3).result() == 3
    assert [text for _, text, _ in told(seen)] == ["careful 1", "careful 3"]


def test_a_way_to_show_them_of_the_programs_own(monkeypatch):
    shown = []
    monkeypatch.setattr(warnings, "showwarning", lambda *what: shown.append(what[:4]))
    with plait.ProcessPoolExecutor(1) as pool:
        pool.submit(warn, 1).result()
    [(message, category, filename, _)] = shown
    assert (str(message), category, filename) == ("careful 1", UserWarning, __file__)


def test_warnings_that_are_logged():
    logging.captureWarnings(True)
    try:
        with hearing(logging.getLogger("py.warnings"), logging.INFO) as heard:
            with plait.ProcessPoolExecutor(2) as pool:
                assert list(pool.map(warn, [1] * 8)) == [1] * 8
            assert len(heard.records) == 1 and "UserWarning: careful 1" in heard.texts[0]
    finally:
        logging.captureWarnings(False)


SCRIPT = """
import os, sys, warnings, plait

class Mine(UserWarning):
    pass

def work(n):
    warnings.warn("deprecated", DeprecationWarning)
    warnings.warn(Mine("mine"))
    return os.getpid()

with plait.ProcessPoolExecutor(2) as pool:
    if sys.argv[1] == "submit":
        calls = [pool.submit(work, n) for n in range(20)]
        assert [call.result() for call in calls]
    elif sys.argv[1] == "executor.map":
        assert list(pool.map(work, range(20)))
    else:
        assert list(plait.map(work, range(20), backend="processes"))
"""


@pytest.mark.parametrize("name", WAYS)
def test_a_script_shows_each_once(name, tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    ended = run_program(path, name)
    assert (ended.code, ended.out) == (0, ""), ended
    assert ended.err.splitlines() == [
        f"{path}:8: DeprecationWarning: deprecated",
        '  warnings.warn("deprecated", DeprecationWarning)',
        f"{path}:9: Mine: mine",
        '  warnings.warn(Mine("mine"))',
    ]


def test_options_of_python_hold_in_workers(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    ended = run_program("-W", "error", path, "submit")
    assert ended.code == 1 and ended.err.splitlines()[-1] == "DeprecationWarning: deprecated", ended
    ended = run_program("-W", "ignore", path, "plait.map")
    assert (ended.code, ended.err) == (0, ""), ended


LATER = """
import warnings, plait, categories

def work(n):
    import categories
    warnings.warn("late", categories.Late)

warnings.filterwarnings("error", category=categories.Late)
with plait.ProcessPoolExecutor(1) as pool:
    print(repr(pool.submit(work, 1).exception()))
    import sys
    print(pool.submit(lambda: "categories" in sys.modules).result())
with plait.ProcessPoolExecutor(1) as pool:
    print(pool.submit(lambda: "categories" in sys.modules).result())
"""


def test_categories_that_a_worker_has_not_loaded_yet(tmp_path):
    """Filters make no worker import the modules that they speak of, and hold all the same."""
    (tmp_path / "categories.py").write_text("class Late(FutureWarning): pass\n")
    ended = run_program("-c", LATER, env={"PYTHONPATH": f"{tmp_path}{os.pathsep}{TESTS}"})
    assert ended.lines == ["Late('late')", "True", "False"]


FORKING = """
import os, warnings, plait

def call(n):
    pid = os.fork()
    if pid == 0:
        warnings.warn("of a child")
        os._exit(0)
    os.waitpid(pid, 0)

with plait.ProcessPoolExecutor(1) as pool:
    pool.submit(call, 1).result()
"""


def test_a_process_that_a_call_forks_warns_by_itself():
    ended = run_program("-W", "ignore::DeprecationWarning", "-c", FORKING)
    assert ended.code == 0 and "<string>:7: UserWarning: of a child" in ended.err, ended
