"""Whose code it is: the program's own, which is looked into, or a library's, which is not.

A library is what lies with the standard library or among installed packages, and plait itself. All else is
the program's: its files, what was typed in, what was compiled from a string.
"""

import os
import sys
import types
from typing import Any

from plait._state.safe import member, module_of

_INSTALLED = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))


def _folders() -> tuple[str, ...]:
    stdlib, own = os.path.dirname(os.__file__), os.path.dirname(os.path.dirname(__file__))
    return tuple(folder + os.sep for folder in {stdlib, os.path.realpath(stdlib), own, os.path.realpath(own)})


class Origin:
    """Tells the program's code from that of libraries; `home` is an installed package that is the
    program's."""

    def __init__(self, home: str | None = None) -> None:
        """Begin to look; `home` is the name of a top-level package."""
        self._home = home
        self._folders = _folders()
        self._files: dict[str, bool] = {}
        self._modules: dict[str, bool] = {}

    def owns_function(self, function: types.FunctionType) -> bool:
        """Whether the function is the program's."""
        name = function.__globals__.get("__name__")
        return self._is_home(name) or self._owns_file(function.__code__.co_filename)

    def owns_class(self, cls: type) -> bool:
        """Whether the class is."""
        return self._owns_name(module_of(cls))

    def owns_module(self, module: types.ModuleType) -> bool:
        """Whether the module is."""
        names = member(types.ModuleType, "__dict__", module)
        name = names.get("__name__")
        return type(name) is str and self._owns_name(name)

    def _owns_name(self, name: str) -> bool:
        owned = self._modules.get(name)
        if owned is None:
            owned = self._modules[name] = self._is_home(name) or self._owns_loaded(name)
        return owned

    def _owns_loaded(self, name: str) -> bool:
        if name in sys.builtin_module_names or name in sys.stdlib_module_names:
            return False
        module = sys.modules.get(name)
        if type(module) is not types.ModuleType:
            # Run from a string, or a class that says it is of some module: of which library would it be?
            return name.partition(".")[0] not in sys.stdlib_module_names and name != ""
        names = member(types.ModuleType, "__dict__", module)
        file = names.get("__file__")
        if type(file) is not str:
            # Typed in, or made by the program; what was compiled into the interpreter has a loader that says
            # so.
            return getattr(names.get("__spec__"), "origin", None) not in ("built-in", "frozen")
        return self._owns_file(file)

    def _is_home(self, name: Any) -> bool:
        return self._home is not None and type(name) is str and name.partition(".")[0] == self._home

    def _owns_file(self, file: str) -> bool:
        owned = self._files.get(file)
        if owned is None:
            installed = any(part in file for part in _INSTALLED)
            owned = self._files[file] = not (installed or file.startswith(("<frozen ", *self._folders)))
        return owned
