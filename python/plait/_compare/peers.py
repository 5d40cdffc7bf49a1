"""Other libraries' executors as rows of a comparison: each called the way its own manual calls it."""

import concurrent.futures
import contextlib
import importlib.util
import multiprocessing
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from plait._compare.backends import Lane, meeting
from plait._timed import Timed, TimedFunction, described


class Peer(Lane):
    """An executor of `concurrent.futures`' kind."""

    peer = True

    def prepare(self, fn: Callable[[Any], Any]) -> Callable[[Any], Timed]:
        """Wrap it in what plain pickle can send."""
        return TimedFunction(fn)

    def map(self, pool: Any, timed: Callable[[Any], Timed], items: Sequence[Any]) -> Iterator[Timed]:
        """One call each."""
        with _fork_warnings_off():
            futures = [pool.submit(timed, item) for item in items]
        return (future.result() for future in futures)

    def close(self, pool: Any) -> None:
        """Wait for its workers."""
        pool.shutdown()

    def kill(self, pool: Any) -> None:
        """End its workers, if it has processes."""
        processes = list((getattr(pool, "_processes", None) or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()
        for process in processes:
            process.join(1.0)


class StdlibThreads(Peer):
    """`concurrent.futures.ThreadPoolExecutor`."""

    def open(self) -> Any:
        """Make the pool."""
        return concurrent.futures.ThreadPoolExecutor(self.workers)


class StdlibProcesses(Peer):
    """`concurrent.futures.ProcessPoolExecutor`, forking, so that workers have the functions of any file."""

    def open(self) -> Any:
        """Make the pool."""
        context = multiprocessing.get_context("fork")
        return concurrent.futures.ProcessPoolExecutor(self.workers, context, ignore_interrupts)

    def start(self, timed: Callable[[Any], Timed]) -> tuple[Any, float]:
        """Start it without Python's warning that this process has threads: workers run nothing of theirs."""
        with _fork_warnings_off():
            return super().start(timed)


class Loky(Peer):
    """loky's executor, made anew for each round instead of kept."""

    def open(self) -> Any:
        """Make the pool."""
        import loky

        return loky.ProcessPoolExecutor(self.workers, initializer=ignore_interrupts)

    def kill(self, pool: Any) -> None:
        """It has a way of its own."""
        pool.shutdown(wait=True, kill_workers=True)


class Joblib(Peer):
    """`joblib.Parallel` with its defaults."""

    def open(self) -> Any:
        """Make the pool: loky's, by joblib's default; `with` keeps it from the meeting to the last call."""
        import joblib

        # Named, since only a named backend takes an initializer; it is the default.
        pool = joblib.Parallel(
            n_jobs=self.workers, return_as="generator", backend="loky", initializer=ignore_interrupts
        )
        pool.__enter__()
        return pool

    def _meet(self, pool: Any, timed: Callable[[Any], Timed]) -> None:
        from joblib import delayed

        with meeting(self.workers) as invitation:
            list(pool(delayed(timed)(invitation) for _ in range(self.workers)))

    def map(self, pool: Any, timed: Callable[[Any], Timed], items: Sequence[Any]) -> Iterator[Timed]:
        """One task per item; joblib groups short ones by itself."""
        from joblib import delayed

        return iter(pool(delayed(timed)(item) for item in items))

    def each(self, pool: Any, timed: Callable[[Any], Timed], items: Sequence[Any]) -> Iterator[Timed | str]:
        """A Parallel that raised takes no more: its error stands for all items."""
        try:
            yield from self.map(pool, timed, items)
        except Exception as error:
            yield from [described(error)] * len(items)

    def close(self, pool: Any) -> None:
        """End its workers too, which it would keep for its next user."""
        pool.__exit__(None, None, None)
        self.kill(pool)

    def kill(self, pool: Any) -> None:
        """End the executor that joblib keeps."""
        from joblib.externals.loky import reusable_executor

        # Its own function for this makes a new one where there is none.
        if reusable_executor._executor is not None:
            reusable_executor._executor.shutdown(wait=True, kill_workers=True)


def ignore_interrupts() -> None:
    """Leave Ctrl-C to the parent, as plait's own workers do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def _fork_warnings_off() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
        yield


def peer_lanes(workers: int) -> list[Lane]:
    """The standard library's executors, and those of loky and joblib where they are installed."""
    lanes: list[Lane] = [
        StdlibThreads("concurrent.futures threads", workers),
        StdlibProcesses("concurrent.futures processes", workers),
    ]
    if importlib.util.find_spec("loky") is not None:
        lanes.append(Loky("loky", workers))
    if importlib.util.find_spec("joblib") is not None:
        lanes.append(Joblib("joblib", workers))
    return lanes


def send_by_value(module: Any) -> None:
    """Let the cloudpickle that joblib before 1.6 brings along send functions of `module` by value, too."""
    joblib = importlib.util.find_spec("joblib")
    if joblib is None or joblib.origin is None:
        return
    # Looked for before it is imported: joblib brings NumPy with it, and the memory that takes.
    if (Path(joblib.origin).parent / "externals" / "cloudpickle").is_dir():
        from joblib.externals import cloudpickle

        cloudpickle.register_pickle_by_value(module)
