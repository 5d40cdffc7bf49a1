"""Context variables on their way to worker processes: which name a variable has there, and which values go.

A `ContextVar` cannot be pickled. What can be named is one that a module holds, as a global or as an
attribute of one of its classes: in a worker the same name leads to the worker's own. One that no worker can
import, such as that of a script or of a notebook, is made in the worker when it is first seen there, and is
the same to all functions that refer to it. What has no name, and values that cannot be pickled, are left out.

Asked by the engine (`crates/plait-py/src/context/`), only where a variable is set that was not set before.
"""

import os
import pickle
import sys
import weakref
from collections.abc import Iterable, Mapping
from contextvars import Context, ContextVar, copy_context
from types import ModuleType
from typing import Any

from plait import _core
from plait._byname import workers
from plait._interrupt import is_interrupt

#: (module, path in it), or None with the arguments of `make`.
Place = tuple[str | None, Any]

# What cannot be changed, and goes as it is.
_PLAIN = frozenset([type(None), bool, int, float, str, bytes])

# The most bytes of all values that go with a call. They go with each, and what is larger is data.
_MOST = 1 << 30

# --- names


class _Names:
    """Where variables of this program are to be found, as far as somebody has looked."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[ContextVar[Any], str, str]] = {}
        # Each module with the size it had when it was looked through.
        self._seen: dict[str, tuple[int, int]] = {}
        # Variables that were not found, and how many names there were then.
        self._missed: dict[int, tuple[ContextVar[Any], int]] = {}

    def of(self, variable: ContextVar[Any]) -> tuple[str, str] | None:
        """The module and the path in it that lead to the variable."""
        found = self._found.get(id(variable))
        if found is not None and resolve(*found[1:]) is variable:
            return found[1:]
        size = len(sys.modules) + len(_names_in(sys.modules.get("__main__")) or ())
        missed = self._missed.get(id(variable))
        if missed is not None and missed[1] == size:
            return None
        if missed is None:
            # A name may have come to mean another one, which no size shows.
            self._seen.clear()
        self._look()
        found = self._found.get(id(variable))
        if found is not None and resolve(*found[1:]) is variable:
            self._missed.pop(id(variable), None)
            return found[1:]
        self._missed[id(variable)] = (variable, size)
        return None

    def _look(self) -> None:
        """Look through modules that are new, or have other names than before."""
        for name, module in list(sys.modules.items()):
            names = _names_in(module)
            if names is None:
                continue
            looks = (id(module), len(names))
            if self._seen.get(name) == looks:
                continue
            self._seen[name] = looks
            for key, value in list(names.items()):
                if type(value) is ContextVar:
                    self._note(value, name, key)
                elif issubclass(type(value), type) and _is_of(value, name):
                    for inner, attribute in list(_namespace(value).items()):
                        if type(attribute) is ContextVar:
                            self._note(attribute, name, f"{key}.{inner}")

    def _note(self, variable: ContextVar[Any], module: str, path: str) -> None:
        known = self._found.get(id(variable))
        # A module that defines a variable was imported before those that import it from there.
        if known is None or resolve(*known[1:]) is not variable:
            self._found[id(variable)] = (variable, module, path)


def resolve(module: str, path: str) -> Any:
    """Give what the path leads to in a module that was imported; None if that is nothing."""
    value: Any = sys.modules.get(module)
    for part in path.split("."):
        names = _names_in(value)
        value = None if names is None else names.get(part)
    return value


def _is_of(cls: Any, module: str) -> bool:
    try:
        own = _module_of(cls)
    except AttributeError:
        return False
    return type(own) is str and own == module


# As CPython has them, whatever classes and modules say of themselves: nobody's code runs for a look at them.
_module_of = type.__dict__["__module__"].__get__
_namespace = type.__dict__["__dict__"].__get__
_globals = vars(ModuleType)["__dict__"].__get__


def _names_in(place: Any) -> Mapping[str, Any] | None:
    """What a module or a class holds; None for anything else."""
    kind = type(place)
    if issubclass(kind, type):
        held: Mapping[str, Any] = _namespace(place)
        return held
    return _globals(place) if issubclass(kind, ModuleType) else None


_names = _Names()

# Variables that were made here for those of another process, and those of this one that have such a name.
_made: dict[str, ContextVar[Any]] = {}
_tokens: dict[int, tuple[ContextVar[Any], str]] = {}


def reduce(variable: ContextVar[Any]) -> tuple[Any, tuple[Any, ...]]:
    """Say how a variable is pickled: by its name where a worker finds that, else as one to be made."""
    named = _names.of(variable)
    if named is not None and (workers.share_modules or _core.codec.travels(named[0])):
        return find, named
    known = _tokens.get(id(variable))
    if known is None:
        token = f"{os.getpid()}-{os.urandom(8).hex()}"
        _tokens[id(variable)] = known = (variable, token)
        _made[token] = variable
        # Contexts in which it is set have one more variable that can go.
        _core.forget_contexts()
    return make, (known[1], variable.name, *_default(variable))


def _default(variable: ContextVar[Any]) -> tuple[Any, ...]:
    """The default, if there is one: what it is where nothing was set."""
    try:
        return (Context().run(variable.get),)
    except LookupError:
        return ()


def find(module: str, path: str) -> Any:
    """Give the variable of that name.

    Raises:
        ImportError: there is no such module.
        AttributeError: there is no such variable in it.

    """
    from importlib import import_module

    import_module(module)
    variable = resolve(module, path)
    if type(variable) is not ContextVar:
        raise AttributeError(f"module {module!r} has no context variable {path!r} here")
    return variable


def make(token: str, name: str, *default: Any) -> ContextVar[Any]:
    """Give the variable that has this token; it is made where it is first seen."""
    variable = _made.get(token)
    if variable is None:
        variable = ContextVar(name, default=default[0]) if default else ContextVar(name)
        # Another thread may have made it meanwhile.
        variable = _made.setdefault(token, variable)
        _tokens[id(variable)] = (variable, token)
    return variable


# --- out

# Values that could not be pickled, by the variable. Those that cannot be referred to weakly are kept: they
# are few, and looking again at each call would cost more than the call.
_refused: dict[int, Any] = {}


def goes(context: Context) -> bool:
    """Whether a variable is set there that goes to workers."""
    return any(_place(variable) is not None for variable in context)


def pack(items: Iterable[tuple[ContextVar[Any], Any]]) -> tuple[bytes | None, list[bool] | None]:
    """Give what of a context goes to a worker, None if nothing does.

    Second: of which items the values matter, where the same variables with the same values give the same
    bytes; None where they may give others, since a value can be changed.
    """
    entries: list[tuple[str | None, Any, bool, Any]] = []
    matters: list[bool] = []
    is_lasting = not workers.share_modules
    for variable, value in items:
        place = _place(variable)
        matters.append(place is not None)
        if place is None:
            continue
        if type(value) in _PLAIN:
            entries.append((*place, True, value))
            continue
        is_lasting = False
        data = _pickled(variable, value)
        if data is not None:
            entries.append((*place, False, data))
    data = pickle.dumps(entries, 5) if entries else None
    if data is not None and len(data) > _MOST:
        data = None
    return data, matters if is_lasting else None


def _place(variable: ContextVar[Any]) -> Place | None:
    """Where a worker finds the variable."""
    named = _names.of(variable)
    if named is not None and (workers.share_modules or _core.codec.travels(named[0])):
        return named
    if named is None and id(variable) not in _tokens:
        return None
    arguments = reduce(variable)[1]
    try:
        return None, (*arguments[:2], *[_dumps(default) for default in arguments[2:]])
    except Exception as error:
        if is_interrupt(error):
            raise
        return None, arguments[:2]


def _pickled(variable: ContextVar[Any], value: Any) -> bytes | None:
    """The pickled value, None if it cannot be pickled."""
    refused = _refused.get(id(variable))
    if (refused() if isinstance(refused, weakref.ref) else refused) is value:
        return None
    try:
        return _dumps(value)
    except BaseException as error:
        if is_interrupt(error):
            raise
    try:
        _refused[id(variable)] = weakref.ref(value)
    except TypeError:
        _refused[id(variable)] = value
    return None


def _dumps(value: Any) -> bytes:
    kind, data = _core.codec.encode(value)
    return bytes([kind]) + data


def _loads(data: bytes) -> Any:
    return _core.codec.decode(data[0], data[1:])


# --- in

# What a call came with for modules that nobody has imported in this worker: by module, path and value.
_later: ContextVar[dict[str, list[tuple[str, bool, Any]]]] = ContextVar("_later")


def unpack(data: bytes) -> tuple[list[tuple[ContextVar[Any], Any]], bool]:
    """Give variables of this process with their values, and whether other calls may have the same."""
    values: list[tuple[ContextVar[Any], Any]] = []
    later: dict[str, list[tuple[str, bool, Any]]] = {}
    is_lasting = True
    for module, path, is_plain, sent in pickle.loads(data):
        if module is not None and module not in sys.modules:
            later.setdefault(module, []).append((path, is_plain, sent))
            continue
        is_lasting = is_lasting and is_plain
        try:
            variable = resolve(module, path) if module is not None else _arrived(*path)
            if type(variable) is ContextVar:
                values.append((variable, sent if is_plain else _loads(sent)))
        except BaseException as error:
            # What cannot be had here is left out, as what cannot be sent.
            if is_interrupt(error):
                raise
    if later:
        _watch_imports()
        values.append((_later, later))
    return values, is_lasting and not later


def _arrived(token: str, name: str, *default: bytes) -> ContextVar[Any]:
    return _made.get(token) or make(token, name, *[_loads(data) for data in default])


class _Importing:
    """A finder that finds nothing by itself; it sees modules come whose variables a call came with."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """See `importlib.abc.MetaPathFinder`."""
        if name not in _later.get({}) or name in self._finding:
            return None
        from importlib.util import find_spec

        self._finding.add(name)
        try:
            spec = find_spec(name)
        finally:
            self._finding.discard(name)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            _set(name)

        try:
            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        except AttributeError:
            # A loader that is one for all, of modules that are built in.
            pass
        return spec

    def __init__(self) -> None:
        self._finding: set[str] = set()


def _set(module: str) -> None:
    """Set the variables of a module that was imported, in the call that runs."""
    for path, is_plain, sent in _later.get({}).get(module, ()):
        try:
            variable = resolve(module, path)
            if type(variable) is ContextVar and variable not in copy_context():
                variable.set(sent if is_plain else _loads(sent))
        except BaseException as error:
            if is_interrupt(error):
                raise


_importing: _Importing | None = None


def _watch_imports() -> None:
    global _importing
    if _importing is None:
        _importing = _Importing()
    if _importing not in sys.meta_path:
        sys.meta_path.insert(0, _importing)
