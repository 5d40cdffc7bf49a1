"""Pickles of what C pickle cannot send: by cloudpickle, with multiprocessing's registered reducers.

Loaded when the first such value comes along. What differs from plain cloudpickle, and why:

- functions and classes of modules that a worker cannot import go by value, not only those of `__main__`;
- connections, sockets and what else was given to `ForkingPickler.register` are duplicated, as
  multiprocessing does it;
- a context variable goes by its name, or as one that the worker makes once;
- open files are refused: a silent copy of a file's text is not the file;
- a function of a module finds in its globals what the worker's initializer left there;
- a class is never changed by what comes back. cloudpickle finds the class that it once sent, and writes the
  copy's attributes into it: a result would undo what the script changed meanwhile, and would give its methods
  globals of their own.
"""

import io
import os
import sys
import threading
import types
import typing
import uuid
import weakref
from _pickle import PicklingError
from contextvars import ContextVar

import cloudpickle
from cloudpickle.cloudpickle import _DYNAMIC_CLASS_TRACKER_BY_ID, _class_setstate, _function_setstate

from plait import _context, _core, _initialized
from plait._byname import goes_by_name_unfound, registered_reducers
from plait._pickled import refuse_file, taker
from plait._reducers import reduce_to_bytes

_registering = threading.Lock()


def pickled(value, reduce_exception, buffers: list | None) -> bytes:
    """Pickles by value what a worker cannot import; the arguments are those of `_pickled.pickled`."""
    data, unfound = _dump(value, reduce_exception, buffers)
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
                data, unfound = _dump(value, reduce_exception, buffers)
        finally:
            for name in added:
                cloudpickle.unregister_pickle_by_value(sys.modules[name])
    return data


def _dump(value, reduce_exception, buffers) -> tuple[bytes, set[str]]:
    """Gives the pickle, and the modules that it names but workers will not find."""
    take = taker(buffers)
    with io.BytesIO() as file:
        pickler = Pickler(file, reduce_exception, take)
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


def _new_type(new_type: typing.NewType):
    # By itself it pickles as its name, even in `__main__`.
    if _core.codec.travels(new_type.__module__):
        return new_type.__reduce__()
    return typing.NewType, (new_type.__name__, new_type.__supertype__)


# The classes that came from another process; it may change them.
_foreign = weakref.WeakSet()
_started = uuid.uuid4().hex


def _process() -> str:
    """Names this process, also when it was forked after this module was loaded."""
    return f"{os.getpid()}-{_started}"


def _make_class(make, *args):
    """Finds the class by the id that cloudpickle gave it where it was defined, or makes it."""
    known = _DYNAMIC_CLASS_TRACKER_BY_ID.get(args[-2])
    cls = make(*args)
    if known is None:
        _foreign.add(cls)
    return cls


def _set_class_state(cls, state):
    """Fills a class, unless it was defined here, or comes back to where it was pickled."""
    process, state = state
    if process != _process() and cls in _foreign:
        _class_setstate(cls, state)
    return cls


class Pickler(cloudpickle.Pickler):
    """Pickles by value, and notes the modules that it names but workers will not find."""

    def __init__(self, file, reduce_exception=None, buffer_callback=None):
        self.unfound = unfound = set()

        # Not a method: what was pickled would stay until the next collection, which up to Python 3.12.2 does
        # not survive a memoryview with buffers in use.
        def module(value):
            # Goes as its name alone, which no look at the pickle would show.
            if goes_by_name_unfound(value.__name__):
                unfound.add(value.__name__)
            return cloudpickle.Pickler.dispatch_table[types.ModuleType](value)

        own = {
            io.TextIOWrapper: refuse_file,
            typing.NewType: _new_type,
            types.ModuleType: module,
            memoryview: reduce_to_bytes,
            ContextVar: _context.reduce,
        }
        # One dict, because it is asked for every object.
        table = self.dispatch_table = {}
        for part in reversed(cloudpickle.Pickler.dispatch_table.maps):
            table.update(part)
        table.update(registered_reducers())
        table.update(own)
        if buffer_callback is not None:
            from plait._reducers import reducers

            table.update(reducers())
        self.reduce_exception = reduce_exception
        super().__init__(file, protocol=5, buffer_callback=buffer_callback)

    def reducer_override(self, obj):
        if issubclass(type(obj), BaseException):
            if self.reduce_exception is None:
                from plait._rebuild import reduced

                self.reduce_exception = reduced
            return self.reduce_exception(obj)
        reduced = super().reducer_override(obj)
        if isinstance(reduced, tuple) and len(reduced) == 6 and reduced[5] is _class_setstate:
            make, args, state = reduced[:3]
            return _make_class, (make, *args), (_process(), state), None, None, _set_class_state
        if isinstance(reduced, tuple) and len(reduced) == 6 and reduced[5] is _function_setstate:
            module = _initialized.module_of(obj)
            if module is not None:
                _, args, state = reduced[:3]
                make, fill = _initialized.make_function, _initialized.set_state
                return make, (module, *args), (module, state), None, None, fill
        return reduced
