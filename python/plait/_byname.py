"""Whether a worker that imports a module by name gets the module that this process has under that name.

Asked once per module (the answer is kept in Rust), so it may look at files. Imports nothing.
"""

import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Workers(threading.local):
    """Of which kind the workers are that this thread pickles for."""

    # Whether what this process has in `sys.modules`, `__main__` included, is theirs too; see
    # `plait._patch`. Set on the class in such a worker, and for the time of a call in their parent.
    share_modules = False


workers = Workers()


def travels_by_name(name: str) -> bool:
    """Tells whether objects of this module can go by name: their pickles need nothing but an import."""
    return (
        name not in ("__main__", "__mp_main__")
        and not _goes_by_value(name)
        and not _has_reducers(name)
        and _found(name)
    )


def _goes_by_value(name: str) -> bool:
    """Whether it, or a package around it, was registered with `cloudpickle.register_pickle_by_value`."""
    cloudpickle = sys.modules.get("cloudpickle.cloudpickle")
    names = getattr(cloudpickle, "_PICKLE_BY_VALUE_MODULES", ())
    if not names:
        return False
    parts = name.split(".")
    return any(".".join(parts[:n]) in names for n in range(1, len(parts) + 1))


def _has_reducers(name: str) -> bool:
    """Whether types of it pickle rightly by multiprocessing's pickler alone (connections, sockets)."""
    return any(cls.__module__ == name for cls in registered_reducers())


def registered_reducers() -> "dict[Any, Any]":
    """The reducers registered with multiprocessing's pickler, without those that any pickler gets right."""
    reduction = sys.modules.get("multiprocessing.reduction")
    if reduction is None:
        return {}
    reducers = dict(reduction.ForkingPickler._extra_reducers)
    return {
        cls: reduce for cls, reduce in reducers.items() if cls.__module__ not in ("builtins", "functools")
    }


def goes_by_name_unfound(name: str) -> bool:
    """Whether cloudpickle would send objects of this module by name, and a worker would not find it."""
    return name in sys.modules and name != "__main__" and not _goes_by_value(name) and not _found(name)


def _found(name: str) -> bool:
    """Whether import would find, by this process's path, the file that the module came from."""
    module = sys.modules.get(name)
    if module is None or _is_half_imported(module):
        return False
    parent, _, _ = name.rpartition(".")
    path = None
    if parent:
        if not travels_by_name(parent):
            return False
        # A parent that is no package put the module into sys.modules itself, and will do so in the worker.
        path = getattr(sys.modules[parent], "__path__", None)
        if path is None:
            return True
        # Known under a second name, as collections.abc is.
        own = getattr(getattr(module, "__spec__", None), "name", name)
        if own != name and sys.modules.get(own) is module:
            return travels_by_name(own)
    for finder in sys.meta_path:
        find_spec = getattr(finder, "find_spec", None)
        if find_spec is None:
            continue
        try:
            spec = find_spec(name, path, None)
        except Exception:
            continue
        if spec is not None:
            return _same_origin(spec, module)
    return bool(parent)


def is_being_imported(name: str) -> bool:
    """Whether the import of it, or of a package around it, has not ended: what is found now will not hold.

    A module that starts workers while it is being imported must not be imported by them: they would do as it
    does, and their workers too, without end. So its functions go by value until then.
    """
    parts = name.split(".")
    return any(_is_half_imported(sys.modules.get(".".join(parts[:n]))) for n in range(1, len(parts) + 1))


def _is_half_imported(module: "Any") -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def _same_origin(spec: "Any", module: "Any") -> bool:
    """Whether what import finds is what the module was made from."""
    own = getattr(module, "__spec__", None)
    origins = {getattr(own, "origin", None), getattr(module, "__file__", None)}
    if spec.origin in origins:
        return True
    # The two spellings of one file, by way of a link or a relative entry in sys.path.
    import os

    files = {os.path.realpath(origin) for origin in origins if isinstance(origin, str)}
    return isinstance(spec.origin, str) and os.path.realpath(spec.origin) in files
