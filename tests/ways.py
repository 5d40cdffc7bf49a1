"""The ways to call a function in a worker process, behind one face."""

import contextlib

import plait
import workloads as w

WAYS = ["submit", "executor.map", "plait.map"]


class Way:
    """One way to call a function in a worker process."""

    def __init__(self, name, pool):
        self.name = name
        self._pool = pool

    def __call__(self, fn, arg):
        """The result, or what is raised."""
        if self.name == "submit":
            return self._pool.submit(fn, arg).result()
        if self.name == "executor.map":
            (value,) = self._pool.map(fn, [arg])
        else:
            (value,) = plait.map(fn, [arg], backend="processes", workers=1)
        return value

    def error_of(self, fn, arg):
        """What is raised, whatever it is: a test must not end by somebody's `SystemExit`."""
        try:
            value = self(fn, arg)
        except BaseException as error:
            return error
        raise AssertionError(f"it returned {value!r}")


@contextlib.contextmanager
def one_worker(name):
    """A way to call the only worker of a pool, which must be the same at the end, and answer."""
    with plait.ProcessPoolExecutor(1) as pool:
        way = Way(name, pool)
        pid = way(w.pid, None)
        yield way
        assert way(w.add_one, 1) == 2
        assert way(w.pid, None) == pid
