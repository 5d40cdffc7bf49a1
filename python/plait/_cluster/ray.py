"""The adapter for Ray: a chunk is a task of its own, which Ray tries once.

What Ray may keep waiting is asked by the thread of `ray_home.py`; what it says of a chunk comes back by
`done`, in threads of Ray's own.
"""

import time
from typing import Any

from plait import _exit
from plait._cluster import versions, work
from plait._cluster.engine import ClusterGone, Done, WorkerLost
from plait._cluster.job import Job, mismatch
from plait._cluster.place import Place

try:
    import ray
    from ray import exceptions
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as missing:
    raise ImportError(
        f"backend 'ray' needs the package ray ({missing}): pip install 'plait[ray]'"
    ) from missing

from plait._cluster import ray_home

# What a task costs the program, Ray and the way there and back: a millisecond or two.
_OVERHEAD = 0.0015
_AIM = 0.06

# Seconds without processors. A cluster that grows when there is something to do starts machines meanwhile.
_PATIENCE = 300.0

# Seconds to wait for versions, whose tasks need a worker of each node; and for the end of what was started.
_ASKED = 10.0
_MOMENT = 30.0

# Seconds between two looks at the cluster, and without an answer after which it counts as gone.
_TICK = 0.5
_SILENCE = 20.0

# How often a chunk is sent anew because its machine is gone: that is nobody's fault.
_NODES = 3

# Longer functions are put into Ray's store, and not sent along with each chunk.
_LONG = 64 << 10

# Functions kept there by one connection.
_MOST_KEPT = 8

# Of a task whose worker is gone, whose machine is, and of a result that went with its machine.
_WORKER_GONE = (exceptions.WorkerCrashedError, exceptions.OutOfMemoryError)
_NODE_GONE = (exceptions.NodeDiedError, exceptions.ObjectLostError)


def connect(place: Place, workers: int | None) -> "RayEngine":
    """Connect to Ray, or start it on this machine.

    Raises:
        ConnectionError: nobody answers.
        ValueError: the program has another connection, or other workers.
        plait.PlaitError: nodes have other versions.

    """
    try:
        home = ray_home.enter(place, workers)
    except RuntimeError as error:
        # Ray itself compares what the two ends of a connection have.
        if "ersion mismatch" not in str(error):
            raise
        raise mismatch(f"the Ray cluster at {place.address}", [" ".join(str(error).split())]) from error
    engine = RayEngine(home)
    try:
        home.ask(engine.begin)
    except BaseException:
        engine.close(at_once=False)
        raise
    return engine


class _Chunk:
    """A chunk that Ray has, or is about to get. All but `cancel` happens where Ray may be waited for."""

    def __init__(self, engine: "RayEngine", job: Job, calls: bytes, done: Done) -> None:
        self._engine = engine
        self._job = job
        self._calls = calls
        self._done = done
        self._nodes_left = _NODES
        self._ref: Any = None
        self._is_dropped = False

    def cancel(self) -> None:
        """See `Handle`. Where it runs, Ray raises KeyboardInterrupt in the call."""
        self._is_dropped = True
        self._engine.home.tell(self._drop)

    def _drop(self) -> None:
        ref, self._ref = self._ref, None
        if ref is not None:
            try:
                ray.cancel(ref)
            except Exception:
                # It has ended, or the way to it is gone.
                pass

    def begin(self) -> None:
        """Send it, unless it was cancelled before."""
        if self._is_dropped:
            return
        try:
            self._ref = self._engine.send(self._job, self._calls)
            self._ref.future().add_done_callback(self._over)
        except Exception as error:
            self._end(None, self._engine.reason(error))

    def _over(self, future: Any) -> None:
        if self._is_dropped:
            return
        error = future.exception()
        if isinstance(error, _NODE_GONE) and self._nodes_left:
            self._nodes_left -= 1
            self._engine.home.tell(self.begin)
        elif error is None:
            self._end(future.result(), None)
        else:
            self._end(None, self._engine.reason(error))

    def _end(self, answer: bytes | None, error: BaseException | None) -> None:
        self._ref = None
        if not self._is_dropped:
            self._done(answer, error)


class RayEngine:
    """See `engine.Engine`."""

    aim = _AIM
    overhead = _OVERHEAD
    threads = 1

    def __init__(self, home: "ray_home.Home") -> None:
        """See `connect`."""
        self.home = home
        address = home.place.address
        self.where = "this program's Ray" if address is None else f"the Ray cluster at {address}"
        self.advice = "start one with `ray start --address=…`"
        self.patience = _PATIENCE
        self._run: Any = None
        self._kept: dict[bytes, Any] = {}
        self._places = 0
        # When it was asked for what has not come yet, and when it has answered last.
        self._asked: float | None = None
        self._looked = 0.0

    def begin(self) -> None:
        """Look at it for the first time.

        Raises:
            plait.PlaitError: nodes have other versions.

        """
        self._places = _places()
        self._run = ray.remote(num_cpus=1, max_retries=0)(work.run)
        nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        lines = []
        for node, there in _versions_of(nodes).items():
            if different := versions.differences(work.own_versions(), there):
                lines.append(f"node {node[:12]}: {', '.join(different)}")
        if lines:
            more = f", and {len(lines) - 3} more" if len(lines) > 3 else ""
            raise mismatch(self.where, ["; ".join(lines[:3]) + more])

    def places(self) -> int:
        """See `Engine`. As of the last look; looks again."""
        now = time.monotonic()
        if self._asked is None and now - self._looked > _TICK:
            self._asked = now
            self.home.tell(self._look)
        return self._places

    def _look(self) -> None:
        try:
            self._places = _places()
        except Exception:
            # What there is to say of it, `trouble` says.
            pass
        finally:
            self._looked, self._asked = time.monotonic(), None

    def submit(self, job: Job, calls: bytes, done: Done) -> _Chunk:
        """See `Engine`."""
        chunk = _Chunk(self, job, calls, done)
        self.home.tell(chunk.begin)
        return chunk

    def send(self, job: Job, calls: bytes) -> Any:
        """Give Ray's reference to what will come of a chunk."""
        function: Any = job.function
        if len(function) > _LONG:
            # The last that was used is the last to go.
            function = self._kept.pop(job.digest, None) or ray.put(function)
            self._kept[job.digest] = function
            while len(self._kept) > _MOST_KEPT:
                self._kept.pop(next(iter(self._kept)))
        return self._run.remote(job.digest, function, calls)

    def reason(self, error: BaseException) -> BaseException:
        """Say in plait's words what kept a chunk from being answered."""
        if isinstance(error, (*_WORKER_GONE, *_NODE_GONE)):
            why = "" if isinstance(error, exceptions.WorkerCrashedError) else str(error).partition("\n")[0]
            return WorkerLost("", 1, why)
        if isinstance(error, exceptions.LocalRayletDiedError):
            return ClusterGone(self._lost())
        trouble = self.trouble()
        return error if trouble is None else ClusterGone(trouble)

    def _lost(self) -> str:
        return f"{self.where} is gone, and with it what was pending"

    def trouble(self) -> str | None:
        """See `Engine`."""
        if not self.home.is_open:
            return f"{self.where} was shut down while calls were pending, or the connection to it was lost"
        asked = self._asked
        if asked is not None and time.monotonic() - asked > _SILENCE:
            return f"{self._lost()}: it has not answered for {_SILENCE:g} s"
        return None

    def close(self, at_once: bool) -> None:
        """See `Engine`."""
        self._kept.clear()
        if at_once:
            self.home.kill()
        self.home.leave(_exit.MOMENT if at_once else _MOMENT)


def _places() -> int:
    return int(ray.cluster_resources().get("CPU", 0))


def _versions_of(nodes: list[str]) -> dict[str, dict[str, str | None]]:
    """Ask nodes for their versions; those that take too long are asked with their first call."""
    ask = ray.remote(num_cpus=0, max_retries=0)(_asking())
    asked = {
        ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
            versions.expression()
        ): node
        for node in nodes
    }
    ready, _ = ray.wait(list(asked), num_returns=len(asked), timeout=_ASKED) if asked else ([], [])
    found = {}
    for ref in ready:
        try:
            found[asked[ref]] = ray.get(ref)
        except exceptions.RayError:
            # A node that has gone meanwhile.
            continue
    return found


def _asking() -> Any:
    """Give a function that no node has to import: it travels as it is, and what it runs comes as text."""
    space: dict[str, Any] = {"__name__": "asked"}
    exec("def ask(expression):\n    return eval(expression)\n", space)
    return space["ask"]
