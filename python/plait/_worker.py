"""A worker process, from the fork to its end."""

import atexit
import faulthandler
import io
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from plait import _core, _depth
from plait._nursery import THREAD_LIMITS

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer


def main(server: _core.NurseryServer) -> NoReturn:
    """Become a worker: never returns into the nursery."""
    code = 1
    try:
        atexit._clear()
        loop, setup = server.become_worker()
        told = pickle.loads(setup)
        if _prepare(loop, told):
            loop.run(told["watch_growth"])
            code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        _end(code)


# Seconds that threads and processes which calls have left behind have to end once their worker does.
LEFTOVERS = 2.0


def _end(code: int) -> NoReturn:
    """End as Python would, but without waiting for ever for what calls have left behind."""
    turn = threading.Lock()

    def finish() -> NoReturn:
        if not turn.acquire(blocking=False):
            # Another thread is at it.
            threading.Event().wait()
        try:
            atexit._run_exitfuncs()
        except BaseException:
            sys.excepthook(*sys.exc_info())
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (AttributeError, OSError, ValueError):
                pass
        os._exit(code)

    try:
        # Only where a call has used it.
        if (exits := sys.modules.get("plait._exit")) is not None:
            exits.finish_processes()
        processes = sys.modules.get("multiprocessing.util")
        if processes is not None or threading.active_count() > 1:
            timer = threading.Timer(LEFTOVERS, finish)
            timer.daemon = True
            timer.start()
        threading._shutdown()  # type: ignore[attr-defined]
        if processes is not None:
            # Where the nursery had imported it, its atexit function was forgotten with those of the nursery.
            processes._exit_function()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finish()


def _take_environment(told: dict[str, str]) -> None:
    """Make this process's environment the parent's, which may have changed since the nursery started."""
    for name in [name for name in os.environ if name not in told]:
        del os.environ[name]
    for name, value in told.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


class _Output(io.FileIO):
    """A standard stream whose last lines the parent can read when this process has died."""

    keep: Callable[[bytes], None]

    def write(self, data: "Buffer") -> int:
        written = super().write(data)
        self.keep(bytes(memoryview(data)[: written or 0]))
        return written


def _leave_traces(loop: _core.WorkerLoop) -> None:
    """Have the end of this process, whatever brings it, tell what it printed last and where it was."""
    for name, fd in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            continue
        try:
            output = _Output(fd, "w", closefd=False)
        except OSError:
            continue
        output.keep = loop.keep
        # Whole lines, also when several workers write into one file.
        text = io.TextIOWrapper(
            io.BufferedWriter(output),
            stream.encoding,
            stream.errors,
            line_buffering=True,
            write_through=False,
        )
        setattr(sys, name, text)
        setattr(sys, f"__{name}__", text)
    signal.signal(_core.STOP_SIGNAL, loop.on_stop)
    dump = loop.dump_file()
    faulthandler.enable(dump)
    faulthandler.register(_core.DUMP_SIGNAL, dump, all_threads=True, chain=False)


def _prepare(loop: _core.WorkerLoop, told: dict) -> bool:
    """Make this process look like its parent, then run the initializer; False if that failed."""
    _depth.depth, _depth.siblings = told["depth"], told["siblings"]
    sys.path[:] = told["path"]
    sys.argv[:] = told["argv"]
    if told["cwd"] is not None:
        try:
            os.chdir(told["cwd"])
        except OSError as error:
            print(f"plait: a worker cannot enter {told['cwd']}: {error}", file=sys.stderr)
    _take_environment(told["environ"])
    for name in THREAD_LIMITS:
        os.environ.setdefault(name, str(told["threads"]))
    _leave_traces(loop)
    if told["initializer"] is None:
        return True
    try:
        function, args, kwargs = _core.codec.decode_direct(told["initializer"])
        function(*args, **(kwargs or {}))
    except BaseException:
        import traceback

        text = traceback.format_exc()
        print(f"Exception in initializer:\n{text}", end="", file=sys.stderr)
        loop.refuse(text.strip().splitlines()[-1])
        return False
    return True
