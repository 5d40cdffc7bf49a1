"""Which exceptions end a long map."""

from concurrent.futures import BrokenExecutor


def ends_map(error: BaseException) -> bool:
    """Whether it ends the map, whatever is to become of errors: no exception of a call, or a broken pool."""
    if not isinstance(error, Exception):
        return True
    if not isinstance(error, BrokenExecutor):
        return False
    from plait._errors import WorkerDied

    return not isinstance(error, WorkerDied)
