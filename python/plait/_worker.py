"""A worker process, from the fork to its end."""

import atexit
import os
import pickle
import sys
import threading
from typing import NoReturn

from plait import _core, _depth
from plait._nursery import THREAD_LIMITS


def main(server: _core.NurseryServer) -> NoReturn:
    """Become a worker: never returns into the nursery."""
    code = 1
    try:
        atexit._clear()
        loop, setup = server.become_worker()
        if _prepare(loop, pickle.loads(setup)):
            loop.run()
            code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        try:
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
        except BaseException:
            sys.excepthook(*sys.exc_info())
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (AttributeError, OSError, ValueError):
                pass
        os._exit(code)


def _take_environment(told: dict[str, str]) -> None:
    """Make this process's environment the parent's, which may have changed since the nursery started."""
    for name in [name for name in os.environ if name not in told]:
        del os.environ[name]
    for name, value in told.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


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
    for stream in (sys.stdout, sys.stderr):
        # Whole lines, also when several workers write into one file.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(line_buffering=True, write_through=False)
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
