"""A worker process, from the fork to its end."""

import atexit
import faulthandler
import functools
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

from plait import _breakpoint, _core, _depth, _inherit, _native_threads, _nursery, _output, _warned


def main(server: _core.NurseryServer) -> NoReturn:
    """Become a worker: never returns into the nursery."""
    code, last_words = 1, None
    try:
        _nursery.forget_exits()
        loop, setup = server.become_worker()
        told = pickle.loads(setup)
        _output.replace(loop.keep)
        _prepare(loop, told)
        last_words = run_initializer(loop, _initializer(loop, told))
        if last_words is None:
            loop.run(_breakpoint.after_call, told["watch_growth"])
            code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        _end(code, last_words)


# Seconds that threads and processes which calls have left behind have to end once their worker does.
LEFTOVERS = 2.0


def _end(code: int, last_words: Callable[[], None] | None = None) -> NoReturn:
    """End as Python would, but without waiting for ever for what calls have left behind.

    `last_words` come after all that.
    """
    turn = threading.Lock()

    def finish() -> NoReturn:
        if not turn.acquire(blocking=False):
            # Another thread is at it.
            threading.Event().wait()
        if callable(signal.getsignal(signal.SIGTERM)):
            try:
                # A handler of the user's, which would end once more what is ending.
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            except ValueError:
                # Only the main thread may.
                pass
        try:
            atexit._run_exitfuncs()
        except BaseException:
            sys.excepthook(*sys.exc_info())
        # Streams that a call has put there, and those below them.
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (AttributeError, OSError, ValueError):
                pass
        _output.flush()
        if last_words is not None:
            last_words()
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
        if (births := sys.modules.get("plait._one.birth")) is not None:
            births.finish()
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


def _leave_traces(loop: _core.WorkerLoop) -> None:
    """Have the end of this process, whatever brings it, tell where it was."""
    signal.signal(_core.STOP_SIGNAL, loop.on_stop)
    # No function of Python's: the order to end a call would strike in that, and be lost again.
    sys.unraisablehook = functools.partial(loop.on_unraisable, sys.unraisablehook)
    dump = loop.dump_file()
    faulthandler.enable(dump)
    faulthandler.register(_core.DUMP_SIGNAL, dump, all_threads=True, chain=False)


def _prepare(loop: _core.WorkerLoop, told: dict[str, Any]) -> None:
    """Make this process look like its parent."""
    _depth.depth, _depth.siblings = told["depth"], told["siblings"]
    _depth.pool, _depth.workers, _depth.limits = told["pool"], told["workers"], told["limits"]
    sys.path[:] = told["path"]
    sys.argv[:] = told["argv"]
    if told["cwd"] is not None:
        try:
            os.chdir(told["cwd"])
        except OSError as error:
            print(f"plait: a worker cannot enter {told['cwd']}: {error}", file=sys.stderr)
    _take_environment(told["environ"])
    _native_threads.set_variables(told["threads"])
    _part_ways()
    _leave_traces(loop)
    name = f"plait-worker-{loop.records().worker}"
    _core.set_lock_address(told["locks"])
    _inherit.be_child(told["key"], told["program"], name)
    _breakpoint.open_in_worker(loop, name)
    if told["warnings"] is not None:
        _warned.install(told["warnings"], loop.records())
    if told["logging"] is not None:
        from plait import _logs

        _logs.install(told["logging"], loop.records(), warns=told["warnings"] is None)


def _part_ways() -> None:
    """Have this worker draw other random numbers than those that were forked from the same process."""
    if "numpy.random.mtrand" in sys.modules:
        from plait import _seed

        _seed.part_ways()


def _initializer(loop: _core.WorkerLoop, told: dict[str, Any]) -> Callable[[], object] | None:
    """What calls the initializer."""
    if told["initializer"] is None:
        return None

    def initialize() -> None:
        from plait import _initialized

        beside = [loop.given(part)[0] if isinstance(part, bytes) else part for part in told["beside"]]
        _initialized.call(lambda: _core.codec.decode_direct(told["initializer"], beside))

    return initialize


def run_initializer(
    loop: _core.WorkerLoop, initialize: Callable[[], object] | None
) -> Callable[[], None] | None:
    """Run it; if it raises, give what tells the pool: what is still on its way comes before that."""
    if initialize is None:
        return None
    try:
        initialize()
    except BaseException:
        import logging
        import traceback

        # As in the stdlib: on standard error, unless somebody has made it something else.
        logging.getLogger("concurrent.futures").critical("Exception in initializer:", exc_info=True)
        why = traceback.format_exc().strip().splitlines()[-1]
        return lambda: loop.refuse(why)
    return None
