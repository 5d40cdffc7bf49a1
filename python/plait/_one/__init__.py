"""`plait.Process` and `plait.Thread`: the stdlib's interfaces, and a result at `join`.

A process is multiprocessing's own class over a start method of plait's: a private pool of one worker, which
runs one call and ends. `birth.py` is the parent's side of that, `child.py` the child's, `luggage.py` how
pipes and sockets get from the one to the other, `unheard.py` what becomes of failures that nobody joins.
"""

# What type checkers take for `typing.TYPE_CHECKING`, without the import.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from plait._one.process import Process
    from plait._one.thread import Thread

__all__ = ["Process", "Thread"]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        # A program that has threads alone does without multiprocessing.
        if name == "Process":
            from plait._one.process import Process as found
        elif name == "Thread":
            from plait._one.thread import Thread as found
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = found
        return found
