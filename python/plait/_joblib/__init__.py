"""How joblib comes to know plait.

Once both are imported, in whichever order, joblib has a backend "plait". Importing plait does not import
joblib: if that is loaded already the backend is added at once, else it is added at the end of joblib's own
import, which a finder on `sys.meta_path` hears of. The backend itself is loaded when it is first used.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

NAME = "plait"

# Where joblib keeps its backends: a dict of names and factories.
_MODULE = "joblib.parallel"

# Which of joblib's own backends plait stands in for, and what they were.
_stood_in_for: "tuple[str, ...]" = ()
_own: "dict[str, Any]" = {}


def watch() -> None:
    """Add the backend to joblib: now, or when it is imported."""
    module = sys.modules.get(_MODULE)
    if module is not None and hasattr(module, "Parallel"):
        _register(module)
    if not any(getattr(finder, "__module__", None) == __name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder)


def stand_in(names: "tuple[str, ...]" = ("loky", "multiprocessing")) -> None:
    """Have plait serve what asks for these backends of joblib's, from now on; `()` takes it back."""
    global _stood_in_for
    _stood_in_for = names
    module = sys.modules.get(_MODULE)
    if module is not None and hasattr(module, "Parallel"):
        _register(module)


def make(**options: "Any") -> "Any":
    """Make the backend: what joblib calls the first time; afterwards it has the class itself."""
    from plait._joblib.backend import PlaitBackend

    backends = sys.modules[_MODULE].BACKENDS
    for name, factory in backends.items():
        if factory is make:
            backends[name] = PlaitBackend
    return PlaitBackend(**options)


def _register(module: "ModuleType") -> None:
    backends = module.BACKENDS
    backends.setdefault(NAME, make)
    for name, factory in list(_own.items()):
        if name not in _stood_in_for:
            backends[name] = factory
            del _own[name]
    for name in _stood_in_for:
        if name in backends and name not in _own:
            _own[name] = backends[name]
            backends[name] = backends[NAME]


class Finder:
    """Hears of the import of joblib; finds nothing itself."""

    @classmethod
    def find_spec(cls, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        """Give joblib's module as the finders after this one do, and see it loaded."""
        if name != _MODULE:
            return None
        finders = list(sys.meta_path)
        for finder in finders[finders.index(cls) + 1 :] if cls in finders else finders:
            find_spec = getattr(finder, "find_spec", None)
            spec = find_spec(name, path, target) if find_spec is not None else None
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader)
                return spec
        return None


class _Loader:
    """The module's own loader, and then plait."""

    def __init__(self, loader: "Any") -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> "Any":
        return getattr(self._loader, name)

    def create_module(self, spec: "Any") -> "Any":
        """As the loader does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: "Any") -> None:
        """As the loader does; then joblib has one more backend."""
        # The module looks as it would without plait.
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        # Another joblib than the one of which these were.
        _own.clear()
        _register(module)
