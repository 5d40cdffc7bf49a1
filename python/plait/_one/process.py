"""`plait.Process`."""

import multiprocessing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plait._one.birth import Popen


class Process(multiprocessing.Process):
    """A `multiprocessing.Process` whose `join` gives what the target returned, and raises what it raised.

        process = plait.Process(target=work, args=(item,))
        process.start()
        result = process.join()

    It starts from a clean helper process and never runs the main script, so it needs no
    `if __name__ == "__main__":`, and takes lambdas, closures, and objects of classes from a notebook. The
    object itself, with its attributes, goes to the process by value. multiprocessing's pipes, and the locks,
    queues and values of its "spawn" context, can be arguments.

    All else is as in `multiprocessing.Process`, of which this is a subclass: names, daemons, exit codes, a
    `run` of one's own, whose result counts then, `multiprocessing.current_process()` and
    `active_children()`. What a process has raised is printed if nobody joins it within a second of its end,
    and at the latest when the program ends.
    """

    __module__ = "plait"

    @staticmethod
    def _Popen(process_obj: Any) -> "Popen":  # type: ignore[override]
        # Which a process that starts no others does without.
        from plait._one.birth import Popen

        return Popen(process_obj)

    def run(self) -> Any:
        """Call the target, in the process, and return what it returns. A subclass may do something else."""
        mine: Any = self
        if mine._target:
            return mine._target(*mine._args, **mine._kwargs)
        return None

    def join(self, timeout: float | None = None) -> Any:
        """Wait until the process has ended, up to `timeout` seconds, and return what its target returned.

        None if the time is over, which `exitcode` tells, after `sys.exit`, after Ctrl-C, and for a process
        that `terminate`, `kill` or `interrupt` has ended.

        Raises:
            Exception: what the target has raised, with the traceback of the process as its cause; each time.
            plait.WorkerDied: it was killed by something else, has crashed, or left by `os._exit`.
            plait.NotPicklable: what it returned cannot be sent.
            ValueError: it is closed.
            AssertionError: it was not started, or not by this process.

        """
        super().join(timeout)
        popen: Popen = self._popen  # type: ignore[attr-defined]
        if popen.returncode is None:
            return None
        error = popen.error()
        if error is None:
            return popen.result()
        try:
            # As if for the first time.
            raise error.with_traceback(None)
        finally:
            # The error holds this frame: nothing here is to hold the error, and what goes with a process.
            del self, popen, error

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the process, by SIGINT. As in Python 3.14."""
        mine: Any = self
        mine._check_closed()
        mine._popen.interrupt()
