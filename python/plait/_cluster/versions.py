"""What has to be the same at both ends of a cluster.

The text of this module is run by schedulers and workers before anything else is sent: it imports nothing of
plait, which may be missing there, and goes as text, since compiled code means nothing to another Python.
"""

import importlib
import importlib.metadata
import sys

# How many parts of a version count; None: all. Code travels compiled, so the Python counts most.
_PARTS = {"plait": None, "cloudpickle": 2, "numpy": 2}

# What may be missing at one end: where it is wanted after all, loading says so by name.
_OPTIONAL = ("numpy",)


def versions() -> dict[str, str | None]:
    """Give the versions of what counts here; None: it is not installed."""
    found: dict[str, str | None] = {"Python": ".".join(map(str, sys.version_info[:2]))}
    for name in _PARTS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            try:
                # In a tree that was not installed.
                found[name] = importlib.import_module(name).__version__
            except Exception:
                found[name] = None
    return found


def differences(here: dict[str, str | None], there: dict[str, str | None]) -> list[str]:
    """Say in which of its versions the other end differs, such as "Python 3.11 here, 3.12 there"."""
    found = []
    for name, own in here.items():
        other = there.get(name)
        if name in _OPTIONAL and None in (own, other):
            continue
        if _counting(name, own) != _counting(name, other):
            found.append(f"{name} {own or 'missing'} here, {other or 'missing'} there")
    return found


def _counting(name: str, version: str | None) -> list[str] | None:
    return None if version is None else version.split(".")[: _PARTS.get(name)]


def expression() -> str:
    """Give what `eval` makes `versions()` of, on any Python."""
    import inspect

    source = inspect.getsource(sys.modules[__name__])
    return f"(lambda space: exec({source!r}, space) or space['versions']())({{'__name__': 'versions'}})"
