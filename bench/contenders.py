"""plait and its peers behind one small face: the same work, done by each in the way its own documentation
recommends.

A contender is made warm by `start` and gives `submit` (one call, a future of its own kind), `gather` (all
results of such futures), `call` (one call, waited for) and, where it has them, `map_each` (item by item) and
`map_all` (in chunks).
Everything listens on the loopback only.
"""

import abc
import functools
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from typing import Any

import tasks


class FuturesContender(abc.ABC):
    """An executor with the face of `concurrent.futures`."""

    packages: tuple[str, ...] = ()

    def start(self, workers: int) -> None:
        """Make the pool and wait until each worker has answered."""
        self.executor = self.make(workers)
        self.submit = self.executor.submit

    @abc.abstractmethod
    def make(self, workers: int) -> Any:
        """Return the executor."""

    def gather(self, futures: list[Any]) -> list[Any]:
        """Return the results of all."""
        return [future.result() for future in futures]

    def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Return the result of one call."""
        return self.submit(fn, *args).result()

    def stop(self) -> None:
        """End the pool."""
        self.executor.shutdown()


class PlaitProcesses(FuturesContender):
    """plait on processes."""

    packages = ("plait",)

    def make(self, workers: int) -> Any:
        import plait

        # plait.map has a pool of its own, which it keeps from call to call.
        self._map = functools.partial(plait.map, backend="processes", workers=workers)
        return plait.ProcessPoolExecutor(max_workers=workers)

    def map_each(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        return list(self._map(fn, items, chunksize=1))

    def map_all(self, fn: Callable[[Any], Any], items: Iterable[Any], chunksize: int | None) -> list[Any]:
        return list(self._map(fn, items, chunksize=chunksize))


class PlaitThreads(FuturesContender):
    """plait on threads."""

    packages = ("plait",)

    def make(self, workers: int) -> Any:
        import plait

        return plait.ThreadPoolExecutor(max_workers=workers)


class StdlibProcesses(FuturesContender):
    """`concurrent.futures.ProcessPoolExecutor` with the platform's own start method."""

    def make(self, workers: int) -> Any:
        from concurrent.futures import ProcessPoolExecutor

        return ProcessPoolExecutor(max_workers=workers)


class SharedMemoryByHand(StdlibProcesses):
    """The same, with arrays of numbers copied into a `SharedMemory` that the worker attaches to."""

    def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        from multiprocessing.shared_memory import SharedMemory

        import numpy

        array, *others = args
        block = SharedMemory(create=True, size=array.nbytes)
        try:
            numpy.ndarray(len(array), buffer=block.buf)[:] = array
            return super().call(tasks.attached, block.name, len(array), fn, *others)
        finally:
            block.close()
            block.unlink()


class StdlibThreads(FuturesContender):
    """`concurrent.futures.ThreadPoolExecutor`."""

    def make(self, workers: int) -> Any:
        from concurrent.futures import ThreadPoolExecutor

        return ThreadPoolExecutor(max_workers=workers)


class Loky(FuturesContender):
    """loky's executor, which joblib uses."""

    packages = ("loky",)

    def make(self, workers: int) -> Any:
        import loky

        # No idle limit: a worker that retires between two rounds would be started again inside one.
        return loky.ProcessPoolExecutor(max_workers=workers, timeout=None)


class Joblib:
    """joblib's loky backend, which writes arrays of more than a megabyte to a file and maps it in workers."""

    packages = ("joblib",)

    def start(self, workers: int) -> None:
        import joblib

        self.delayed = joblib.delayed
        self.parallel = joblib.Parallel(n_jobs=workers, max_nbytes="1M").__enter__()

    def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        (result,) = self.parallel([self.delayed(fn)(*args)])
        return result

    def stop(self) -> None:
        self.parallel.__exit__(None, None, None)


class PickleDumps:
    """`pickle.dumps` and nothing else: what a call's arguments cost before they go anywhere."""

    packages: tuple[str, ...] = ()

    def start(self, workers: int) -> None:
        import pickle

        self.pickle = pickle

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        return fn, self.pickle.dumps(args, 5)

    def gather(self, futures: list[Any]) -> list[Any]:
        return [fn(*self.pickle.loads(data)) for fn, data in futures]

    def stop(self) -> None:
        pass


class StdlibPool:
    """`multiprocessing.Pool`."""

    packages: tuple[str, ...] = ()

    def start(self, workers: int) -> None:
        from multiprocessing import Pool

        self.pool = Pool(workers)

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self.pool.apply_async(fn, args)

    def gather(self, futures: list[Any]) -> list[Any]:
        return [future.get() for future in futures]

    def map_each(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        return list(self.pool.imap(fn, items, chunksize=1))

    def map_all(self, fn: Callable[[Any], Any], items: Iterable[Any], chunksize: int | None) -> list[Any]:
        return self.pool.map(fn, items, chunksize=chunksize)

    def stop(self) -> None:
        self.pool.terminate()
        self.pool.join()


class Dask:
    """A Dask cluster of this machine, a process to a worker."""

    packages = ("distributed",)

    def start(self, workers: int) -> None:
        from distributed import Client, LocalCluster

        self.folder = tempfile.mkdtemp(prefix="bench-dask-")
        self.cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            worker_dashboard_address=None,
            local_directory=self.folder,
            silence_logs=logging.ERROR,
        )
        self.client = Client(self.cluster)

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        # Pure, Dask's default, would answer a repeated call from its cache.
        return self.client.submit(fn, *args, pure=False)

    def gather(self, futures: list[Any]) -> list[Any]:
        return self.client.gather(futures)

    def stop(self) -> None:
        self.client.close()
        self.cluster.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Ray:
    """A Ray node of this machine."""

    packages = ("ray",)

    def start(self, workers: int) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        self.ray = ray
        # A short path: the sockets in it must fit the 107 characters of a socket's name.
        self.folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
        self.remote: dict[Callable[..., Any], Any] = {}
        ray.init(
            num_cpus=workers,
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
            # Room for the arrays of the longest row, sent and not yet collected.
            object_store_memory=3 << 30,
            _node_ip_address="127.0.0.1",
            _temp_dir=self.folder,
        )

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        remote = self.remote.get(fn)
        if remote is None:
            remote = self.remote[fn] = self.ray.remote(fn)
        return remote.remote(*args)

    def gather(self, futures: list[Any]) -> list[Any]:
        return self.ray.get(futures)

    def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self.ray.get(self.submit(fn, *args))

    def call_put(self, fn: Callable[..., Any], *args: Any) -> Any:
        """The same with the first argument put into the object store by hand."""
        return self.ray.get(self.submit(fn, self.ray.put(args[0]), *args[1:]))

    def stop(self) -> None:
        self.ray.shutdown()
        shutil.rmtree(self.folder, ignore_errors=True)


CONTENDERS: dict[str, type[Any]] = {
    "plait": PlaitProcesses,
    "plait threads": PlaitThreads,
    "ProcessPoolExecutor": StdlibProcesses,
    "ThreadPoolExecutor": StdlibThreads,
    "SharedMemory by hand": SharedMemoryByHand,
    "joblib, memory-mapped": Joblib,
    "pickle.dumps": PickleDumps,
    "Pool": StdlibPool,
    "loky": Loky,
    "Ray": Ray,
    "Dask": Dask,
}
