"""How a coroutine waits for what a lock or its kin gives, while its loop goes on."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plait import _core


async def awaited(begin: "Callable[[Callable[[], object]], _core.Wait]") -> Any:
    """Wait for what `begin` begins, given what to call at its end; cancelled, nothing of it is kept."""
    import asyncio

    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    wait = begin(lambda: loop.call_soon_threadsafe(_tell, over))
    try:
        await over
    except BaseException:
        wait.abandon()
        raise
    return wait.take()


def _tell(over: Any) -> None:
    if not over.done():
        over.set_result(None)
