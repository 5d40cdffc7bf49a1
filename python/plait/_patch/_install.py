"""Putting plait's methods into the standard library's classes, and taking them out again.

A class is changed when the module that defines it is there: at once, or at the end of its import, so that a
program which never makes a pool loads nothing for it. What was served stays served: methods of a class are
put back when the last of its served instances has gone.
"""

import sys
from _thread import RLock

# What type checkers take for `typing.TYPE_CHECKING`. This module is loaded for programs without pools too, so
# it loads little itself.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import importlib.machinery
    import types
    from collections.abc import Callable, Sequence
    from typing import Any

_lock = RLock()


class Changed:
    """A class with some methods replaced."""

    def __init__(self, cls: type, is_on: "Callable[[], bool]") -> None:
        """Nothing is replaced yet; `is_on` says whether new instances are served."""
        self.cls = cls
        self.is_on = is_on
        self._originals: dict[str, Any] = {}
        self._alive = 0

    def replace(self, name: str, method: "Any") -> None:
        """Put a method in the place of the class's own."""
        self._originals[name] = vars(self.cls).get(name, _MISSING)
        setattr(self.cls, name, method)

    def born(self, instance: "Any") -> None:
        """An instance needs the methods as long as it lives."""
        import weakref

        with _lock:
            self._alive += 1
        weakref.finalize(instance, self._gone).atexit = False

    def _gone(self) -> None:
        with _lock:
            self._alive -= 1
            self.restore_if_idle()

    def restore_if_idle(self) -> None:
        """Put the originals back, unless they are not wanted or an instance is served."""
        with _lock:
            if self.is_on() or self._alive:
                return
            while self._originals:
                name, original = self._originals.popitem()
                if original is _MISSING:
                    delattr(self.cls, name)
                else:
                    setattr(self.cls, name, original)

    @property
    def in_place(self) -> bool:
        """Whether anything is replaced."""
        return bool(self._originals)


_MISSING = object()


class Finder:
    """Hears of the end of the import of some modules; finds nothing itself."""

    def __init__(self, actions: "dict[str, Callable[[types.ModuleType], None]]") -> None:
        """`actions` are called with the module of that name, once each."""
        self._actions = actions

    def find_spec(
        self, name: str, path: "Sequence[str] | None", target: "types.ModuleType | None" = None
    ) -> "importlib.machinery.ModuleSpec | None":
        """Give the module as the other finders do, with a loader that tells of its end."""
        if name not in self._actions or name in sys.modules:
            return None
        for finder in list(sys.meta_path):
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader, self._actions[name])  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    """A module's own loader, and then the action."""

    def __init__(self, loader: "Any", action: "Callable[[types.ModuleType], None]") -> None:
        self._loader = loader
        self._action = action

    def __getattr__(self, name: str) -> "Any":
        return getattr(self._loader, name)

    def create_module(self, spec: "importlib.machinery.ModuleSpec") -> "Any":
        """As the loader does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: "types.ModuleType") -> None:
        """As the loader does; the module looks as if there was no other."""
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._action(module)
