"""Pickles of what C pickle cannot send: by cloudpickle, with multiprocessing's registered reducers.

Loaded when the first such value comes along. What differs from plain cloudpickle, and why:

- functions and classes of modules that a worker cannot import go by value, not only those of `__main__`;
- connections, sockets and what else was given to `ForkingPickler.register` are duplicated, as
  multiprocessing does it;
- open files are refused: a silent copy of a file's text is not the file.
"""

import io
import sys
import threading
import types
import typing
from _pickle import PicklingError
from collections import ChainMap

import cloudpickle

from plait import _core
from plait._byname import goes_by_name_unfound, registered_reducers

_registering = threading.Lock()


def dumps(value, root: str) -> bytes:
    """Pickles, or raises `NotPicklable` with the path to the culprit; `root` says what the value is."""
    try:
        return pickled(value)
    except MemoryError:
        raise
    except Exception as error:
        from plait._culprit import explain

        raise explain(value, root, error) from error


def pickled(value) -> bytes:
    """Pickles by value what a worker cannot import; raises what the picklers raise."""
    data, unfound = _dump(value)
    if not unfound:
        return data
    with _registering:
        added = set()
        try:
            # By value, a function brings in what it refers to, perhaps from further such modules.
            while unfound := unfound - added:
                for name in unfound:
                    cloudpickle.register_pickle_by_value(sys.modules[name])
                added |= unfound
                data, unfound = _dump(value)
        finally:
            for name in added:
                cloudpickle.unregister_pickle_by_value(sys.modules[name])
    return data


def _dump(value) -> tuple[bytes, set[str]]:
    """Gives the pickle, and the modules that it names but workers will not find."""
    with io.BytesIO() as file:
        pickler = _Pickler(file)
        pickler.dump(value)
        data = file.getvalue()
    unfound = pickler.unfound
    for module, name in _core.codec.strangers(data):
        if module in ("__main__", "__mp_main__"):
            raise PicklingError(
                f"it pickles as the name '{module}.{name}', and workers do not run the main script"
            )
        if goes_by_name_unfound(module):
            unfound.add(module)
    return data, unfound


def _refuse_file(file: io.TextIOWrapper):
    for name in ("stdin", "stdout", "stderr"):
        if file is getattr(sys, name, None):
            return getattr, (sys, name)
    raise TypeError("cannot pickle '_io.TextIOWrapper' object")


def _new_type(new_type: typing.NewType):
    # By itself it pickles as its name, even in `__main__`.
    if _core.codec.travels(new_type.__module__):
        return new_type.__reduce__()
    return typing.NewType, (new_type.__name__, new_type.__supertype__)


class _Pickler(cloudpickle.Pickler):
    def __init__(self, file):
        own = {io.TextIOWrapper: _refuse_file, typing.NewType: _new_type, types.ModuleType: self._module}
        self.dispatch_table = ChainMap(own, registered_reducers(), cloudpickle.Pickler.dispatch_table)
        self.unfound = set()
        super().__init__(file, protocol=5)

    def _module(self, module):
        # Goes as its name alone, which no look at the pickle would show.
        if goes_by_name_unfound(module.__name__):
            self.unfound.add(module.__name__)
        return cloudpickle.Pickler.dispatch_table[types.ModuleType](module)
