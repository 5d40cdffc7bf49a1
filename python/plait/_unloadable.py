"""Says why a message could not be unpickled. Loaded when that has happened."""

from plait._errors import NotPicklable
from plait._remote import message_of, type_name

_WHAT = {
    "args": "the arguments",
    "item": "the item",
    "items": "the items",
    "fn": "the function",
    "result": "the result",
}
# Longer messages are cut: the cause holds the whole.
_REASON = 1000


def explain(error: BaseException, path: str, names: list[str], in_worker: bool) -> NotPicklable:
    """Makes the error for a message that raised `error` where it was read; `names` are what it is made of."""
    reason, message = type_name(type(error)), message_of(error)
    if message:
        reason += f": {message if len(message) <= _REASON else message[: _REASON - 3] + '...'}"
    where = " in the worker process" if in_worker else ""
    made = f" (made of {', '.join(names)})" if names else ""
    explained = NotPicklable(
        f"{path}: {_WHAT[path]} could not be unpickled{where}: {reason}{made}{_remedy(error)}"
    )
    explained.path = path
    explained.__cause__ = error
    return explained


def _remedy(error: BaseException) -> str:
    if issubclass(type(error), ImportError | AttributeError):
        return "; define its class in a module that both processes can import"
    return ""
