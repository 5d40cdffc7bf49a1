"""joblib's backend "plait": `joblib.parallel_config(backend="plait")`, `joblib.Parallel(backend="plait")`.

It has the semantics of joblib's own process backend, loky, on plait's pools. What differs: where a worker
dies, its call fails with `plait.WorkerDied`, which names it; a call that fails stops its own tasks alone,
not those of other `Parallel` calls at the same time; large arrays travel through plait's shared memory, so
the options for memory-mapped files (`max_nbytes`, `temp_folder`, `mmap_mode`) have nothing to do, and what
arrives may be written to.
"""

import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Iterator
from contextvars import Context, copy_context
from typing import Any

from joblib._parallel_backends import FallbackToBackend, SequentialBackend
from joblib.parallel import AutoBatchingMixin, ParallelBackendBase

from plait import _depth, _native_threads
from plait._errors import WorkerDied
from plait._joblib import clusters, pools
from plait._process import MAX_DEPTH, MAX_WORKERS, all_workers

# Options of joblib's other backends: what they speak of, plait has not, or does by itself.
_WITHOUT_EFFECT = frozenset({"max_nbytes", "temp_folder", "mmap_mode", "verbose", "context"})

# Options of plait's pools that make sense here.
_OF_POOLS = frozenset(
    {"max_tasks_per_child", "preload", "retries", "memory_limit", "max_memory_growth", "grace"}
)

# What errors of the engine call the functions that make the calls of a batch.
_OWN_NAMES = ("plait._joblib.worker.call", "plait._joblib.worker.caller.<locals>.call_each")

# Seconds after which the end is looked for, should nobody have told of it.
_GLANCE = 0.5


class PlaitBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
    """Runs joblib's tasks in plait's worker processes.

    Args:
        nesting_level: Given by joblib.
        inner_max_num_threads: The most threads that BLAS and OpenMP libraries use in a worker; by default the
            processors, divided by the workers.
        backend_kwargs: `initializer` and `initargs`, called in each worker as it starts;
            `idle_worker_timeout`, the seconds after which idle workers end (300); and of
            `plait.ProcessPoolExecutor` the options `max_tasks_per_child`, `preload`, `retries`,
            `memory_limit`, `max_memory_growth`, `grace`. Or `cluster`, what names a cluster as a backend of
            `plait.map`, and `retries`: then calls go there.

    Raises:
        TypeError: an option that is none of these.
        ValueError, ImportError, ConnectionError, plait.PlaitError: of a cluster, as `plait.Executor`.

    """

    supports_retrieve_callback = True
    supports_inner_max_num_threads = True
    supports_sharedmem = False
    uses_threads = False

    # Seconds that a batch should take at least, and at most: sending one costs less than joblib reckons with.
    MIN_IDEAL_BATCH_DURATION = 0.05
    MAX_IDEAL_BATCH_DURATION = 0.5

    def __init__(
        self,
        nesting_level: int | None = None,
        inner_max_num_threads: int | None = None,
        **backend_kwargs: Any,
    ) -> None:
        """See the class."""
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
        _sorted_out(backend_kwargs)
        self.backend_kwargs = backend_kwargs
        self._executor: Any = None
        if backend_kwargs.get("cluster") is not None:
            # Where joblib is told no number.
            self.default_n_jobs = -1
        self.parallel: Any = None
        self._workers: pools.Lease | None = None
        self._over = threading.Event()
        self._context = Context()

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Give how many workers `n_jobs` means: -1 all that `plait.cpu_count` allows, -2 one less.

        In a worker of plait's it counts this worker's share of them.
        """
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if self.backend_kwargs.get("cluster") is not None:
            return clusters.jobs(self._on_cluster(self.backend_kwargs["cluster"], n_jobs), n_jobs)
        if n_jobs is None or _depth.depth >= MAX_DEPTH:
            return 1
        if n_jobs < 0:
            n_jobs = max(all_workers() + 1 + n_jobs, 1)
        return min(n_jobs, MAX_WORKERS)

    def configure(
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        prefer: str | None = None,
        require: str | None = None,
        **backend_kwargs: Any,
    ) -> int:
        """Take a pool for the calls to come, and give its number of workers."""
        options = _sorted_out({**self.backend_kwargs, **backend_kwargs})
        cluster = options.pop("cluster", None)
        if cluster is not None:
            if self.inner_max_num_threads is not None:
                raise TypeError("inner_max_num_threads has no meaning with cluster=: its workers are there")
            executor = self._on_cluster(cluster, n_jobs)
            self._workers = clusters.take(executor, options)
            self.parallel, self._context = parallel, copy_context()
            return clusters.jobs(executor, n_jobs)
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        initializer, initargs = options.pop("initializer", None), options.pop("initargs", ())
        idle = options.pop("idle_worker_timeout", None)
        self._workers = pools.take(
            n_jobs,
            self._environment(n_jobs),
            initializer,
            initargs,
            pools.IDLE if idle is None else idle,
            options,
        )
        self.parallel = parallel
        # Most batches are submitted when another has ended, by the thread that hears of that.
        self._context = copy_context()
        return n_jobs

    def _on_cluster(self, cluster: object, n_jobs: int | None) -> Any:
        # joblib asks how many jobs there are before it asks for them.
        if self._executor is None or not self._executor._crew.is_usable:
            self._executor = clusters.executor_of(cluster, n_jobs)
        return self._executor

    def _environment(self, n_jobs: int) -> dict[str, str]:
        """The variables that joblib sets in workers."""
        environ: dict[str, str] = self._prepare_worker_env(n_jobs=n_jobs)
        if self.inner_max_num_threads is None:
            # The engine divides the processors, and knows what else has a share. What the user has set
            # stays, so that another number means other workers.
            users = _native_threads.without_own()
            for name in self.MAX_NUM_THREADS_VARS:
                if name not in users:
                    environ.pop(name, None)
        return environ

    def submit(
        self, func: Any, callback: Callable[[Any], object] | None = None
    ) -> "concurrent.futures.Future[list[Any]]":
        """Send a batch of calls to a worker."""
        lease = self._workers
        if lease is None:
            raise RuntimeError("this backend was not configured, or its call has ended")

        def done(future: pools.AnyFuture) -> None:
            try:
                if callback is not None:
                    callback(future)
            finally:
                if self._is_over():
                    self._over.set()

        return self._context.copy().run(lease.submit, func, _name_of(func), done)

    # What joblib called it before 1.5.
    apply_async = submit

    def retrieve_result_callback(self, out: "concurrent.futures.Future[list[Any]]") -> list[Any]:
        """Give the results of a batch, or raise what one of its calls raised."""
        lease = self._workers
        try:
            return out.result()
        except WorkerDied as error:
            name = None if lease is None else lease.name_of(out)
            if name is not None:
                # The call that the user knows, instead of the one around it.
                error.task = name
                message = str(error)
                for own in reversed(_OWN_NAMES):
                    message = message.replace(own, name)
                error.args = (message,)
            raise
        except concurrent.futures.BrokenExecutor:
            if lease is not None:
                lease.discard()
            raise

    @contextlib.contextmanager
    def retrieval_context(self) -> Iterator[None]:
        """Wait for all results where they are asked for together: joblib would look for them every 10 ms."""
        parallel = self.parallel
        if not parallel.return_generator and parallel.timeout is None:
            while True:
                self._over.clear()
                if self._is_over():
                    break
                self._over.wait(_GLANCE)
        yield

    def _is_over(self) -> bool:
        """Whether the call that goes on has all its results, or fails."""
        parallel = self.parallel
        waits = getattr(parallel, "_wait_retrieval", None)
        return parallel is None or parallel._aborting or waits is None or not waits()

    def terminate(self) -> None:
        """Give the pool back at the end of a call; its workers stay for the next one."""
        if self._workers is not None:
            self._workers.end()
            self._workers = None
        self._executor = None
        self.reset_batch_stats()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Stop all tasks of this call, those that run too."""
        lease, self._workers = self._workers, None
        if lease is not None:
            lease.give_up()
            lease.end()
        if ensure_ready:
            self.configure(
                n_jobs=self.parallel.n_jobs, parallel=self.parallel, **self.parallel._backend_kwargs
            )


def _sorted_out(options: dict[str, Any]) -> dict[str, Any]:
    """Give what is said about the pool, without what is said to other backends; see `PlaitBackend`."""
    options = {name: value for name, value in options.items() if name not in _WITHOUT_EFFECT}
    known = {"initializer", "initargs", "idle_worker_timeout", "cluster"} | _OF_POOLS
    for name in options:
        if name not in known:
            raise TypeError(
                f"joblib's backend 'plait' has no option {name!r}; there are {', '.join(sorted(known))}"
            )
    return options


def _name_of(batch: Any) -> str:
    """What errors call the calls of a batch."""
    items = getattr(batch, "items", None)
    if not items:
        return _name_of_function(batch)
    name = _name_of_function(items[0][0])
    return name if len(items) == 1 else f"{name} (one of {len(items)} calls sent together)"


def _name_of_function(function: Any) -> str:
    while not hasattr(function, "__qualname__") and callable(inner := getattr(function, "func", None)):
        function = inner
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return name if module in (None, "__main__", "builtins") else f"{module}.{name}"
