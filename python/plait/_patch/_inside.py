"""In a worker of a pool that stands for one of multiprocessing's: what makes it look like one of those.

A worker is what `multiprocessing.current_process()` says it is: a child with a name and a number, daemonic
where the original is. In a fork of the program it has the program's modules; otherwise it has imported the
main script as `__mp_main__`, as spawned processes do. Either way, names mean here what they mean in the
program.
"""

import itertools
import os
import pickle
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from plait import _breakpoint, _byname, _core, _depth, _output, _worker


class Child:
    """Who a worker is to multiprocessing. Made in the parent; goes along by fork or by pickle."""

    def __init__(self, context: Any, kind: str, daemon: bool, numbers: list[int]) -> None:
        """`kind` is what workers are called ("PoolWorker", "Process"), `numbers` those of the first ones."""
        from multiprocessing import process

        parent = process.current_process()
        self.prefix = context.Process.__name__.replace("Process", kind)
        self.method = context.get_start_method()
        self.daemon = daemon
        self.numbers = numbers
        self.parent_name = parent.name
        self.parent_identity = tuple(parent._identity)
        self.parent_pid = os.getpid()
        self.authkey = bytes(parent.authkey)

    def become(self, index: int) -> None:
        """Be the worker of this index: after the first ones, numbers go on where theirs ended."""
        from multiprocessing import get_context, process, util

        beyond = index - len(self.numbers)
        number = self.numbers[index] if beyond < 0 else self.numbers[-1] + 1 + beyond
        identity = (*self.parent_identity, number)
        name = f"{self.prefix}-{':'.join(map(str, identity))}"
        me = get_context(self.method).Process(name=name, daemon=self.daemon)
        me._identity = identity
        me._parent_pid, me._parent_name = self.parent_pid, self.parent_name
        me.authkey = self.authkey
        me._popen = None
        try:
            sentinel = os.pidfd_open(self.parent_pid)
        except OSError:
            sentinel = None
        util._close_stdin()
        process._process_counter = itertools.count(1)
        process._children = set()
        process._current_process = me
        process._parent_process = process._ParentProcess(self.parent_name, self.parent_pid, sentinel)
        # What the program shall do at its end is not this process's to do.
        util._finalizer_registry.clear()
        util._run_after_forkers()


def share_modules() -> None:
    """Have all pickles of this process name what its modules hold, `__main__` included."""
    _byname.Workers.share_modules = True
    # Of this thread, which is a copy of one that may have said otherwise.
    _byname.workers.share_modules = True


def work(
    child: Child, start: tuple[Callable[..., object], tuple] | None, server: _core.NurseryServer, index: int
) -> NoReturn:
    """The life of a worker that is a fork of the program; `start` is initializer and arguments."""
    code, last_words = 1, None
    try:
        loop, setup = server.become_worker()
        told = pickle.loads(setup)
        # Where the program has put up streams of its own, its copy has them.
        if sys.stdout is sys.__stdout__ and sys.stderr is sys.__stderr__:
            _output.replace(loop.keep)
        _depth.depth, _depth.siblings = told["depth"], told["siblings"]
        _depth.pool, _depth.workers, _depth.limits = told["pool"], told["workers"], told["limits"]
        _worker._leave_traces(loop)
        child.become(index)
        _breakpoint.open_in_worker(loop, child.prefix)
        share_modules()
        if start is not None:
            initializer, initargs = start
            last_words = _worker.run_initializer(loop, lambda: initializer(*initargs))
        if last_words is None:
            loop.run(_breakpoint.after_call, False)
            code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        _worker._end(code, last_words)


def prepare(child: bytes, data: bytes, start: bytes | None) -> None:
    """Make a worker of the nursery what a spawned process is; then run the initializer."""
    from multiprocessing import process, spawn

    who: Child = pickle.loads(child)
    # Of a worker's own name, which ends with its number.
    _, _, index = process.current_process().name.rpartition("-")
    who.become(int(index) if index.isdecimal() else os.getpid())
    _unlog()
    me: Any = process.current_process()
    name = me.name
    me._inheriting = True
    try:
        spawn.prepare(pickle.loads(data))
    finally:
        del me._inheriting
    me.name = name
    share_modules()
    if start is not None:
        initializer, initargs = pickle.loads(start)
        initializer(*initargs)


def _unlog() -> None:
    """Log as a process that has just been spawned: not as the program does."""
    import logging

    logs = sys.modules.get("plait._logs")
    if logs is None:
        return
    loggers = [item for item in logging.root.manager.loggerDict.values() if isinstance(item, logging.Logger)]
    for logger in (logging.root, *loggers):
        for handler in [handler for handler in logger.handlers if isinstance(handler, logs.Sender)]:
            logger.removeHandler(handler)
        logger.disabled, logger.propagate = False, True
        logger.setLevel(logging.NOTSET)
    logging.root.setLevel(logging.WARNING)
    logging.disable(logging.NOTSET)


def find(module: str, name: str) -> Any:
    """Give what a module of this process has under this name."""
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part)
    return found


def call(module: str, name: str, /, *args: Any, **kwargs: Any) -> Any:
    """Call the function of this name, which a pickle of the engine's would send by value."""
    return find(module, name)(*args, **kwargs)


class Each:
    """Calls a function for each of several items: one task of a `Pool`."""

    def __init__(self, function: Callable[..., Any], name: tuple[str, str] | None, star: bool) -> None:
        """`name`: where a worker finds the function, if it does; with `star` items are argument tuples."""
        self._function = function
        self._name = name
        self._star = star

    def __call__(self, items: tuple) -> list[Any]:
        """Give the results."""
        call = _core.Apart(self._function)
        return [call(*item) for item in items] if self._star else [call(item) for item in items]

    def __reduce__(self) -> tuple:
        """By name, where there is one."""
        if self._name is not None:
            return _each, (*self._name, self._star)
        return Each, (self._function, None, self._star)


def _each(module: str, name: str, star: bool) -> Each:
    return Each(find(module, name), (module, name), star)
