"""Starting the threads of pools, whenever that is."""

import threading
from collections.abc import Callable

from plait import _core, _exit


def start(run: Callable[[], None], name: str) -> None:
    """Start a thread that the end of the program does not wait for.

    Raises:
        RuntimeError: the system has no thread.

    """
    start_thread(threading.Thread(target=run, name=name, daemon=True), run)


def start_thread(thread: threading.Thread, run: Callable[[], None]) -> bool:
    """Start this thread, which is to call `run`; whether it is this one that does."""
    try:
        thread.start()
    except RuntimeError:
        # Once the main thread has ended Python 3.12 starts no other, though those that are there may go on
        # using the pool. One that it does not know will do.
        if not (_exit.is_ending() and _core.start_native(run)):
            raise
        return False
    return True
