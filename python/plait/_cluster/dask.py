"""The adapter for Dask: `distributed` and its `Client`.

Everything that awaits runs on the client's own event loop; what it says comes back by `done`. A chunk is a
task with `pure=False` semantics: its key is never used twice, so nothing is taken for the result of another.
"""

import asyncio
import itertools
import uuid
from typing import Any

from plait import _exit
from plait._cluster import node, versions, work
from plait._cluster.engine import ClusterGone, Done, WorkerLost
from plait._cluster.job import Job, mismatch
from plait._cluster.place import Place

try:
    import dask
    import distributed
except ImportError as missing:
    raise ImportError(
        f"backend 'dask' needs the package distributed ({missing}): pip install 'plait[dask]'"
    ) from missing

# What a task costs the scheduler, the worker and the way there and back: some milliseconds.
_OVERHEAD = 0.004
_AIM = 0.12

# Seconds without workers, where Dask's own setting says nothing.
_PATIENCE = 60.0

# Seconds to wait for answers of a scheduler that is there.
_MOMENT = 10.0

# Longer functions are kept on the cluster, and not sent along with each chunk.
_LONG = 64 << 10

# Functions kept there by one connection, and seconds that one is kept which nobody calls.
_MOST_KEPT = 8
_KEPT = 30.0


def connect(place: Place, workers: int | None) -> "DaskEngine":
    """Connect to a scheduler, or start a cluster on this machine.

    Raises:
        ConnectionError: no scheduler answers, or the client is closed.
        plait.PlaitError: scheduler or workers have other versions.

    """
    if place.client is not None:
        client, end = place.client, None
        if client.status != "running":
            raise ConnectionError(
                f"this distributed.Client is {client.status}; connect it, or give an address"
            )
    elif place.address is not None:
        client = _client(f"tcp://{place.address}")
        end = client
    else:
        from plait._cluster.local import start

        cluster = start(workers)
        try:
            client = distributed.Client(cluster, set_as_default=False)
            _await_workers(client, len(cluster.worker_spec))
        except BaseException:
            cluster.end(at_once=True)
            raise
        end = _Both(client, cluster)
    try:
        engine = DaskEngine(client, end, place.is_own)
        engine.check_versions()
    except BaseException:
        if end is not None:
            end.close()
        raise
    return engine


def _await_workers(client: Any, number: int) -> None:
    try:
        client.wait_for_workers(number, timeout=_PATIENCE)
    except TimeoutError as error:
        client.close(timeout=0.1)
        raise ConnectionError(
            f"the workers of a cluster on this machine have not started within {_PATIENCE:g} s; their output "
            "on stderr says why"
        ) from error


def _client(address: str) -> Any:
    try:
        return distributed.Client(address, set_as_default=False)
    except OSError as error:
        seconds = dask.config.get("distributed.comm.timeouts.connect")
        raise ConnectionError(
            f"no Dask scheduler answers at {address} within {seconds} ({error}); start one with "
            "`dask scheduler`, or see that host and port are right"
        ) from error


class _Both:
    """A client and the cluster that was started for it."""

    def __init__(self, client: Any, cluster: Any) -> None:
        self._client = client
        self._cluster = cluster

    def close(self, at_once: bool = False) -> None:
        try:
            if not at_once:
                _close(self._client, _MOMENT)
        finally:
            self._cluster.end(at_once)
            if at_once:
                _close(self._client, _exit.MOMENT / 2)


def _close(client: Any, seconds: float) -> None:
    try:
        client.close(timeout=seconds)
    except TimeoutError:
        # Nobody at the other end; what is left here goes with its loop.
        pass


class _Task:
    """A chunk that Dask has, or is about to get. All but `cancel` happens in the client's loop."""

    def __init__(self, engine: "DaskEngine", job: Job, calls: bytes, done: Done) -> None:
        self._engine = engine
        self._job = job
        self._calls = calls
        self._done = done
        self._future: Any = None
        self._running: asyncio.Task[None] | None = None
        self._is_dropped = False

    def cancel(self) -> None:
        """See `Handle`."""
        self._is_dropped = True
        self._engine.call(self._drop)

    def _drop(self) -> None:
        if self._future is not None:
            # Whoever waits for it hears of that. To cancel the waiting would leave Dask's own tasks alone.
            self._running = asyncio.ensure_future(self._engine.drop(self._future))

    def begin(self) -> None:
        """Start it, unless it was cancelled before."""
        if not self._is_dropped:
            self._running = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        answer, error = None, None
        try:
            while answer is None:
                function = await self._engine.function(self._job)
                if self._is_dropped:
                    return
                self._future = self._engine.send(self._job, function, self._calls)
                answer = await self._engine.answer(self._job, self._future)
        except asyncio.CancelledError:
            # The loop is being closed, which the engine's trouble tells.
            return
        except Exception as raised:
            # Of a client that was closed meanwhile Dask says all kinds of things.
            trouble = None if isinstance(raised, ClusterGone) else self._engine.trouble()
            error = raised if trouble is None else ClusterGone(trouble)
        finally:
            self._future = None
        if not self._is_dropped:
            self._done(answer, error)


class DaskEngine:
    """See `engine.Engine`."""

    aim = _AIM
    overhead = _OVERHEAD

    def __init__(self, client: Any, end: Any, is_own: bool) -> None:
        """`end`: what to close; None: the client is somebody else's."""
        self._client = client
        self._end = end
        address = client.scheduler.address
        self.where = f"the Dask cluster at {address}"
        self.advice = "their output says why" if is_own else f"start one with `dask worker {address}`"
        self.patience = _patience()
        self._loop: asyncio.AbstractEventLoop = client.loop.asyncio_loop
        self._names = itertools.count()
        self._name = f"plait-{uuid.uuid4().hex}"
        self._kept: dict[bytes, asyncio.Task[Any]] = {}
        self._used: dict[bytes, float] = {}
        found = client.nthreads()
        self._places, self.threads = int(sum(found.values())), max(found.values(), default=1)
        self._looking = False

    def check_versions(self) -> None:
        """Raise a `PlaitError` that names both sides where they do not fit."""
        here = work.own_versions()
        asked = versions.expression()
        scheduler = self._client.run_on_scheduler(eval, asked)
        workers = self._client.run(eval, asked, on_error="return")
        lines = []
        for name, there in [("the scheduler", scheduler), *(workers or {}).items()]:
            if isinstance(there, dict) and (different := versions.differences(here, there)):
                lines.append(f"{name}: {', '.join(different)}")
        if lines:
            more = f", and {len(lines) - 3} more" if len(lines) > 3 else ""
            raise mismatch(self.where, ["; ".join(lines[:3]) + more])

    def call(self, work: Any) -> None:
        """Have something called in the client's loop, if that still runs."""
        try:
            self._loop.call_soon_threadsafe(work)
        except RuntimeError:
            # It is closed, and all that was in it with it.
            pass

    def places(self) -> int:
        """See `Engine`. As of the last look; looks again."""
        if not self._looking:
            self._looking = True
            self.call(lambda: asyncio.ensure_future(self._look()))
        return self._places

    async def _look(self) -> None:
        try:
            found = await self._client.scheduler.ncores()
            self._places, self.threads = int(sum(found.values())), max(found.values(), default=1)
        except Exception:
            # The client notices for itself, and then its status says so.
            pass
        finally:
            # Not at each call of whoever asks.
            self._loop.call_later(0.5, self._looked)

    def _looked(self) -> None:
        self._looking = False

    def submit(self, job: Job, calls: bytes, done: Done) -> _Task:
        """See `Engine`."""
        task = _Task(self, job, calls, done)
        self.call(task.begin)
        return task

    async def function(self, job: Job) -> Any:
        """Give the function as it goes along with a chunk: itself, or where it lies on the cluster."""
        return job.function if len(job.function) <= _LONG else await self._keep(job)

    def send(self, job: Job, function: Any, calls: bytes) -> Any:
        """Give Dask's future of a chunk."""
        # A worker that makes one call at a time has nothing to choose.
        run = work.run if self.threads == 1 else node.run
        return self._client.submit(
            run, job.digest, function, calls, key=f"{self._name}-{next(self._names)}", pure=False
        )

    async def answer(self, job: Job, future: Any) -> bytes | None:
        """Give what comes back; None if it has to be sent once more.

        Raises:
            WorkerLost, ClusterGone: nothing comes back.

        """
        try:
            answer: bytes = await self._client.gather(future, asynchronous=True)
            return answer
        except distributed.scheduler.KilledWorker as error:
            address = getattr(error.last_worker, "address", "an unknown address")
            raise WorkerLost(address, error.allowed_failures + 1) from error
        except node.Lost as error:
            address, why = error.args
            raise WorkerLost(address, 1, why, is_sure=True) from error
        except (distributed.client.FutureCancelledError, distributed.client.FuturesCancelledError) as error:
            reason = _reason(error)
            if reason != "lost dependencies":
                raise ClusterGone(self._why_cancelled(reason)) from error
            # The function was on workers that are gone.
            self._kept.pop(job.digest, None)
            return None
        finally:
            future.release()

    async def drop(self, future: Any) -> None:
        """Have Dask forget a chunk."""
        try:
            await self._client.cancel([future], asynchronous=True)
        except Exception:
            # The way to it is gone, and the chunk with it.
            pass

    async def _keep(self, job: Job) -> Any:
        """Give the function as a task's result, which workers have and Dask makes anew where it is lost."""
        keeping = self._kept.pop(job.digest, None)
        if keeping is None:
            keeping = asyncio.ensure_future(self._spread(job))
        # The last that was used is the last to go.
        self._kept[job.digest] = keeping
        while len(self._kept) > _MOST_KEPT:
            self._kept.pop(next(iter(self._kept)))
        self._used[job.digest] = self._loop.time()
        self._loop.call_later(_KEPT, self._let_go, job.digest)
        return await asyncio.shield(keeping)

    def _let_go(self, digest: bytes) -> None:
        if self._loop.time() - self._used.get(digest, 0.0) >= _KEPT - 1:
            self._kept.pop(digest, None)
            self._used.pop(digest, None)

    async def _spread(self, job: Job) -> Any:
        function = self._client.submit(
            bytes, job.function, key=f"{self._name}-function-{next(self._names)}", pure=False
        )
        # To all of them, because chunks go where the function is.
        await self._client.replicate([function], asynchronous=True)
        return function

    def _why_cancelled(self, reason: str) -> str:
        if reason == "scheduler-connection-lost":
            return self._lost()
        if reason == "scheduler-restart":
            return f"{self.where} was restarted, and has forgotten what was pending"
        return f"{self.where} has dropped what was pending, for the reason {reason!r}"

    def _lost(self) -> str:
        return f"{self.where} is gone: the connection to its scheduler was lost, and with it what was pending"

    def trouble(self) -> str | None:
        """See `Engine`."""
        status = self._client.status
        if status == "running":
            return None
        if status in ("closed", "closing"):
            return f"the client of {self.where} was closed while calls were pending"
        return self._lost()

    def close(self, at_once: bool) -> None:
        """See `Engine`."""
        self._kept.clear()
        if self._end is None:
            return
        if isinstance(self._end, _Both):
            self._end.close(at_once)
        else:
            _close(self._end, _exit.MOMENT / 2 if at_once else _MOMENT)


def _reason(error: Any) -> str:
    """Why Dask has cancelled a future."""
    groups = getattr(error, "error_groups", None)
    return str(getattr(groups[0] if groups else error, "reason", "unknown"))


def _patience() -> float:
    said = dask.config.get("distributed.scheduler.no-workers-timeout", None)
    return _PATIENCE if said is None else float(dask.utils.parse_timedelta(said, default="s"))
