"""What a worker's initializer leaves in the globals of a script, for the calls that come after it.

Functions of the main script go by value: each brings copies of the globals that it uses. But programs have
their initializer set a global, `global connection; connection = …`, and their tasks read it. So a worker
keeps what its initializer has set or changed, and puts it into the globals of every function of the same
module that arrives later, whatever the program had there.
"""

import pickle
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

# By module: what the initializer has left in its globals.
_left: dict[str, dict[str, Any]] = {}
# While the initializer arrives: the module and the globals of each function.
_arriving: list[tuple[str, dict[str, Any]]] | None = None

_IMMUTABLE = frozenset([type(None), bool, int, float, complex, str, bytes])


def module_of(function: Any) -> str | None:
    """The module whose globals a function uses; None if they are no module's."""
    namespace = function.__globals__
    name = namespace.get("__name__")
    module = sys.modules.get(name) if isinstance(name, str) else None
    if isinstance(name, str) and module is not None and getattr(module, "__dict__", None) is namespace:
        return name
    # In a worker the globals of a function that arrived belong to the program's module.
    return name if name in _left else None


def make_function(module: str, code: Any, namespace: dict[str, Any], *rest: Any) -> Any:
    """Make a function that arrives, as cloudpickle does."""
    from cloudpickle.cloudpickle import _make_function

    if _arriving is not None:
        _arriving.append((module, namespace))
    return _make_function(code, namespace, *rest)


def set_state(function: Any, state: tuple[str, Any]) -> None:
    """Fill the globals of a function that arrives as cloudpickle does, then with what was left there."""
    from cloudpickle.cloudpickle import _function_setstate

    module, state = state
    _function_setstate(function, state)
    if module in _left:
        function.__globals__.update(_left[module])


def call(load: Callable[[], tuple[Callable[..., object], tuple[Any, ...], dict[str, Any] | None]]) -> None:
    """Load the initializer with its arguments, call it, and keep what it leaves.

    Whatever loading or the call raises is raised.
    """
    global _arriving
    _arriving = []
    try:
        function, args, kwargs = load()
        arrived = _arriving
    finally:
        _arriving = None
    before = [(module, namespace, _looks(namespace)) for module, namespace in arrived]
    function(*args, **(kwargs or {}))
    for module, namespace, looks in before:
        left = {name: value for name, value in namespace.items() if not _same(looks.get(name), value)}
        left.pop("__builtins__", None)
        _left.setdefault(module, {}).update(left)


def _looks(namespace: dict[str, Any]) -> dict[str, tuple[Any, bytes | None]]:
    """Each value, with what its content is."""
    return {name: (value, _content(value)) for name, value in namespace.items() if name != "__builtins__"}


def _content(value: Any) -> bytes | None:
    """What changes when a value does; None where that is its identity."""
    if type(value) in _IMMUTABLE or callable(value) or isinstance(value, (type(sys), ContextVar)):
        return None
    try:
        return pickle.dumps(value, 5)
    except Exception:
        # It may have been changed, for all that can be seen.
        return b""


def _same(before: tuple[Any, bytes | None] | None, value: Any) -> bool:
    if before is None or before[0] is not value:
        return False
    return before[1] is None or (before[1] != b"" and before[1] == _content(value))
