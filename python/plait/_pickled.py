"""Pickles of what C pickle cannot send: by name where workers share the program's modules, else by value.

By name as the standard library's pools do it, with multiprocessing's registered reducers; by value with
cloudpickle, which is loaded when the first such value comes along. Promises: `NotPicklable` with the path to
the culprit for what cannot be sent; open files are refused.
"""

import copyreg
import io
import pickle
import sys
from contextvars import ContextVar

from plait import _core
from plait._byname import registered_reducers, workers
from plait._interrupt import is_interrupt


def dumps(value, root: str, first: int = 0, buffers: list | None = None) -> bytes:
    """Pickles, or raises `NotPicklable` with the path to the culprit.

    `root` says what the value is; the items of a chunk are counted from `first`. Large buffers are added to
    `buffers`, and stay in the pickle if that is None.
    """
    try:
        return pickled(value, buffers=buffers)
    except MemoryError:
        raise
    except BaseException as error:
        if is_interrupt(error):
            raise
        from plait._culprit import explain

        raise explain(value, root, error, first) from error


def pickled(value, reduce_exception=None, buffers: list | None = None) -> bytes:
    """Pickles; raises what the picklers raise.

    `reduce_exception` says how exceptions within go, by what a `__reduce__` of theirs would return; `buffers`
    is as for `dumps`.
    """
    if workers.share_modules:
        try:
            with io.BytesIO() as file:
                _NamingPickler(file, reduce_exception, taker(buffers)).dump(value)
                return file.getvalue()
        except Exception:
            # What no name leads to, such as a lambda.
            pass
    from plait import _byvalue

    return _byvalue.pickled(value, reduce_exception, buffers)


def taker(buffers: list | None):
    """What decides for each buffer whether it stays in the pickle, and keeps those that do not."""
    if buffers is None:
        return None
    # Those of a pickle that was made before and does not go.
    buffers.clear()

    def take(buffer: pickle.PickleBuffer) -> bool:
        stays = _core.codec.stays(buffer)
        if not stays:
            buffers.append(buffer)
        return stays

    return take


def refuse_file(file: io.TextIOWrapper):
    """Reduces the program's standard streams to their names; raises `TypeError` for other files."""
    for name in ("stdin", "stdout", "stderr"):
        if file is getattr(sys, name, None):
            return getattr, (sys, name)
    raise TypeError("cannot pickle '_io.TextIOWrapper' object")


class _NamingPickler(pickle.Pickler):
    """Pickles by name what has one."""

    def __init__(self, file, reduce_exception, buffer_callback):
        from plait import _context

        super().__init__(file, protocol=5, buffer_callback=buffer_callback)
        self.dispatch_table = {
            **copyreg.dispatch_table,
            **registered_reducers(),
            io.TextIOWrapper: refuse_file,
            ContextVar: _context.reduce,
        }
        if buffer_callback is not None:
            from plait._reducers import reducers

            self.dispatch_table.update(reducers())
        self._reduce_exception = reduce_exception

    def reducer_override(self, obj):
        if issubclass(type(obj), BaseException):
            if self._reduce_exception is None:
                from plait._rebuild import reduced

                self._reduce_exception = reduced
            return self._reduce_exception(obj)
        return NotImplemented
