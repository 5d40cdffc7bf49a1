"""Exceptions of workers bring the frames they were raised in, and what led to them, as a plain call would."""

import gc
import traceback
import weakref

import plait
import pytest
from outside import run_program
from plait._errors import RemoteError
from ways import WAYS, one_worker


@pytest.fixture(params=WAYS)
def way(request):
    with one_worker(request.param) as way:
        yield way


def places(error):
    """Function and source of each frame that is not this process's own."""
    frames = traceback.extract_tb(error.__traceback__)
    return [(frame.name, frame.line) for frame in frames if frame.filename == __file__]


class Odd(Exception):
    """Cannot be made of its arguments, and has an opinion on attributes."""

    __slots__ = ("kept",)

    def __init__(self, *, code):
        super().__init__(code, "odd")
        self.kept = code

    def __setattr__(self, name, value):
        if name in ("__traceback__", "__cause__", "__context__"):
            raise AttributeError(name)
        super().__setattr__(name, value)


def raise_from(kind):
    if kind == "cause":
        try:
            raise_from("odd")
        except Odd as error:
            error.add_note("a note")
            raise ValueError("after") from error
    if kind == "context":
        try:
            raise_from("cause")
        except ValueError:
            raise LookupError("meanwhile")  # noqa: B904
    if kind == "none":
        try:
            raise_from("odd")
        except Odd:
            raise ValueError("alone") from None
    if kind == "syntax":
        compile("a = (", "some file.py", "exec")
    raise Odd(code=3)


def test_frames_are_those_of_the_worker(way):
    error = way.error_of(raise_from, "odd")
    assert type(error) is Odd and error.kept == 3
    assert places(error)[-1] == ("raise_from", "raise Odd(code=3)")
    [(frame, line)] = traceback.walk_tb(traceback_end(error))
    code = frame.f_code
    assert (code.co_filename, code.co_firstlineno) == (__file__, raise_from.__code__.co_firstlineno)
    assert frame.f_lineno == line > code.co_firstlineno
    assert frame.f_globals["__name__"] == __name__ and frame.f_locals == {}


def traceback_end(error):
    end = error.__traceback__
    while end.tb_next is not None:
        end = end.tb_next
    return end


def test_a_cause_comes_back_as_itself(way):
    error = way.error_of(raise_from, "cause")
    assert type(error) is ValueError and error.__cause__ is error.__context__
    cause = error.__cause__
    assert type(cause) is Odd and cause.args == (3, "odd") and cause.__notes__ == ["a note"]
    assert places(cause) == [("raise_from", 'raise_from("odd")'), ("raise_from", "raise Odd(code=3)")]
    assert places(error)[-1] == ("raise_from", 'raise ValueError("after") from error')


def test_a_context_comes_back_as_itself(way):
    error = way.error_of(raise_from, "context")
    assert type(error) is LookupError
    assert (type(error.__context__), type(error.__context__.__cause__)) == (ValueError, Odd)
    assert places(error.__context__)[-1] == ("raise_from", 'raise ValueError("after") from error')
    # The text is there for who knows the standard library's pools.
    assert "meanwhile" in error.__cause__.tb and "a note" in error.__cause__.tb


def test_a_context_that_was_cut_off_stays_so(way):
    error = way.error_of(raise_from, "none")
    assert error.__suppress_context__ and type(error.__context__) is Odd
    assert "Odd" not in "".join(traceback.format_exception(error))


def test_a_syntax_error_shows_where_it_is(way):
    error = way.error_of(raise_from, "syntax")
    assert (type(error), error.filename, error.lineno, error.text.strip()) == (
        SyntaxError,
        "some file.py",
        1,
        "a = (",
    )
    assert 'compile("a = (", "some file.py", "exec")' in places(error)[-1]
    assert "some file.py" in "".join(traceback.format_exception(error))


def raise_group(_):
    errors = []
    for kind in ("cause", "odd"):
        try:
            raise_from(kind)
        except Exception as error:
            errors.append(error)
    raise ExceptionGroup("outer", [errors[0], ExceptionGroup("inner", [errors[1]])])


def test_members_of_groups_have_frames_and_causes(way):
    error = way.error_of(raise_group, None)
    first, inner = error.exceptions
    assert type(first.__cause__) is Odd
    for one in (first, inner.exceptions[0]):
        assert places(one)[0] == ("raise_group", "raise_from(kind)")
    assert inner.__traceback__ is None and places(error)[-1][0] == "raise_group"


def raise_in_circles(_):
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    raise first


def raise_long_chain(n):
    error = None
    for at in range(n):
        try:
            raise ValueError(at) from error
        except ValueError as caught:
            error = caught
    raise error


def test_chains_of_any_form(way):
    error = way.error_of(raise_in_circles, None)
    assert error.__cause__.args == ("second",) and error.__cause__.__cause__ is error
    error, length = way.error_of(raise_long_chain, 500), 0
    while error is not None:
        error, length = error.__cause__, length + 1
    assert 50 < length < 500


def test_frames_of_errors_in_workers_of_workers(way):
    error = way.error_of(fail_nested, "cause")
    assert [name for name, _ in places(error)][-2:] == ["fail_nested", "raise_from"]
    assert type(error.__cause__) is Odd and places(error.__cause__)[-1][1] == "raise Odd(code=3)"


def fail_nested(kind):
    with plait.ProcessPoolExecutor(1) as pool:
        return pool.submit(raise_from, kind).result()


def raise_local(_):
    class Kept:
        pass

    value = Kept()
    raise KeyError(id(value))


def test_an_exception_keeps_no_frame_of_who_asked():
    """A frame that was made must not know its caller, who may hold much."""

    class Large:
        pass

    def ask(pool):
        large = Large()
        error = pool.submit(raise_local, None).exception()
        return error, weakref.ref(large)

    with plait.ProcessPoolExecutor(1) as pool:
        gc.disable()
        try:
            error, large = ask(pool)
            assert places(error) and large() is None
        finally:
            gc.enable()


def test_a_stand_in_has_frames(way):
    import hostile_exceptions as h

    error = way.error_of(h.raise_untouchable, None)
    assert type(error) is RemoteError
    assert "raise_untouchable" in [frame.name for frame in traceback.extract_tb(error.__traceback__)]


# --- debuggers and those who show tracebacks

SCRIPT = """
import pdb, sys, plait
FACTOR = 3

def inner(x):
    y = x * FACTOR
    return y // 0  # here

def outer(x):
    return inner(x + 1)

with plait.{pool} as pool:
    try:
        pool.submit(outer, 1).result()
    except ZeroDivisionError as error:
        {then}
"""
POOLS = ["ProcessPoolExecutor(1)", "ThreadPoolExecutor(1)", "Executor('serial')"]


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("how", ["file", "command"])
def test_a_debugger_shows_the_remote_line(how, pool, tmp_path):
    source = SCRIPT.format(pool=pool, then="pdb.post_mortem(error.__traceback__)")
    path = tmp_path / "script.py"
    path.write_text(source)
    args = [path] if how == "file" else ["-c", source]
    ended = run_program(*args, stdin="w\nl\nup\np FACTOR\nq\n")
    assert (ended.code, ended.err) == (0, ""), ended
    if how == "file" or "Process" in pool:
        # Of a command Python itself finds the source from 3.13 on, plait that of what a worker ran.
        assert "-> return y // 0  # here" in ended.out, ended
        assert "-> return inner(x + 1)" in ended.out
        assert "y = x * FACTOR" in ended.out
    assert "inner(" in ended.out
    assert "(Pdb) 3\n" in ended.out


def test_the_debugger_of_the_last_exception(tmp_path):
    """`python -m pdb` and `pdb.pm` see what the program died of."""
    path = tmp_path / "script.py"
    path.write_text(
        SCRIPT.format(
            pool=POOLS[0], then="sys.last_exc, sys.last_traceback = error, error.__traceback__; pdb.pm()"
        )
    )
    ended = run_program(path, stdin="l\nq\n")
    assert ended.code == 0 and "  ->\t    return y // 0  # here" in ended.out, ended


def test_ipython_shows_it():
    pytest.importorskip("IPython")
    source = SCRIPT.format(
        pool=POOLS[0],
        then="from IPython.core.ultratb import VerboseTB; print(VerboseTB(color_scheme='NoColor')"
        ".text(type(error), error, error.__traceback__))",
    )
    ended = run_program("-W", "ignore", "-c", source)
    assert ended.code == 0 and "return y // 0" in ended.out, ended


TESTS = """
import plait

def fail(x):
    limit = 10
    assert x > limit, "too small"

def test_it():
    with plait.ProcessPoolExecutor(1) as pool:
        pool.submit(fail, 1).result()
"""


def test_pytest_shows_it(tmp_path):
    path = tmp_path / "test_it.py"
    path.write_text(TESTS)
    ended = run_program("-m", "pytest", "-p", "no:cacheprovider", path, cwd=tmp_path)
    assert ended.code == 1 and "INTERNALERROR" not in ended.out, ended
    assert '>       assert x > limit, "too small"' in ended.out, ended
    assert "test_it.py:6: AssertionError" in ended.out, ended
