"""The nursery: a clean, single-threaded process that forks workers.

Started by the engine, with a socket as standard input. It imports what every worker needs and nothing else,
so that a fork is quick and safe. It must never start a thread.
"""

import atexit
import os
import signal
import sys
from collections.abc import Callable
from typing import Any


def main(preload: tuple[str, ...] = ()) -> None:
    """Serve the parent until it ends or closes the socket."""
    _note_exits()
    # Ctrl-C at the terminal reaches every process of the group; what to do about it is the parent's business.
    # A handler and not SIG_IGN, which programs that a call runs would inherit.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _unheard)
        signal.siginterrupt(signal.SIGINT, False)
    # A nursery that replaces another is started by a thread that lets no signal in; workers must let them in.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        os.setpgid(0, os.getpgid(os.getppid()))
    except OSError:
        pass  # the parent has gone, or leads another session: no terminal to share
    _preload(preload)

    from plait._core import NurseryServer

    control = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    import plait._worker

    server = NurseryServer(control)
    idle: float | None = IDLE
    while (order := server.next_order(idle)) != "over":
        if order == "idle":
            # Not before the first workers, which may not need it; those that come later and do, have it.
            idle = None
            import cloudpickle  # noqa: F401

            # What a call that is stopped has but a moment for.
            import plait._lineage
            import plait._rebuild
            import plait._remote

            continue
        try:
            pid = os.fork()
        except OSError as error:
            server.failed(error.errno or 11)
            continue
        if pid == 0:
            plait._worker.main(server)
        server.forked(pid)


_register = atexit.register
_registered: list[Callable[..., object]] = []


def _note_exits() -> None:
    """Note from now on what is to be called at the exit.

    What was registered before came with the interpreter, of which a worker is another one: coverage.py and
    its kin begin there. What comes now is of modules that are preloaded, and means this process.
    """

    nursery = os.getpid()

    def register(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        if os.getpid() == nursery:
            _registered.append(function)
        return _register(function, *args, **kwargs)

    atexit.register = register


def forget_exits() -> None:
    """In a worker: nothing of what is to be called at the nursery's exit is its own."""
    atexit.register = _register
    for function in _registered:
        atexit.unregister(function)


def _preload(names: tuple[str, ...]) -> None:
    if not names:
        return
    from importlib import import_module

    parent = os.getppid()

    def look(*_: object) -> None:
        if os.getppid() != parent:
            os._exit(1)

    # Imports may take long, and nobody would wait for them once the parent has gone.
    signal.signal(signal.SIGALRM, look)
    signal.siginterrupt(signal.SIGALRM, False)
    signal.setitimer(signal.ITIMER_REAL, GLANCE, GLANCE)
    # A BLAS that starts its threads at import would make this process unfit to fork. Workers get their own
    # number later, and that which the user has set as well.
    from plait import _native_threads

    before = dict(os.environ)
    os.environ.update(dict.fromkeys(_native_threads.AT_IMPORT, "1"))
    for name in names:
        try:
            import_module(name)
        except Exception as error:
            print(f"plait: cannot preload {name}: {type(error).__name__}: {error}", file=sys.stderr)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _native_threads.find()
    for name in _native_threads.AT_IMPORT:
        if name in before:
            os.environ[name] = before[name]
        else:
            os.environ.pop(name, None)
    if len(os.listdir("/proc/self/task")) > 1:
        print(
            f"plait: preloading {', '.join(names)} started threads; workers import it themselves",
            file=sys.stderr,
        )
        code = f"import sys; sys.path[:] = {sys.path!r}; from plait._nursery import main; main()"
        from subprocess import _args_from_interpreter_flags  # type: ignore[attr-defined]

        os.execv(sys.executable, [sys.executable, *_args_from_interpreter_flags(), "-c", code])


def _unheard(*_: object) -> None:
    """Do nothing about Ctrl-C."""


# Seconds without an order after which the nursery uses the time.
IDLE = 0.02

# Seconds between two looks for the parent while modules are imported.
GLANCE = 0.2
