"""The program's connection to Ray, of which a process has one at most, and the thread that it lives in.

Ray kills the processes of a local instance when the thread that has started them ends, and a call to a
cluster that is gone blocks for a minute. So everything that asks Ray something is done by one thread, which
stays as long as anybody uses the connection. One that the program has made itself is used, and left as it is.
"""

import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import ray

from plait._cluster import kept, ray_watch
from plait._cluster.place import Place
from plait._errors import PlaitError

# Seconds that who has the connection, and was told to let go of it, may take for that.
_GRACE = 5.0

# The longest folder in which Ray's sockets still have names that the kernel takes.
_LONGEST = 40

_lock = threading.Lock()
_left = threading.Condition(_lock)
_home: "Home | None" = None


class Home:
    """See the module. `looks`: what an instance of one's own was started for."""

    def __init__(self, place: Place, workers: int | None) -> None:
        """Connect, or start an instance; see `enter`."""
        self.place = place
        self.is_own = place.is_own
        self.workers = workers
        self.looks = looks()
        self.program = os.getpid()
        self.users = 0
        self._folder: str | None = None
        self._watch: subprocess.Popen[bytes] | None = None
        self._work: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._session: object = None
        self._is_ours = False
        self._ended = threading.Event()
        begun: Future[None] = Future()
        self._thread = threading.Thread(target=self._live, args=(begun,), name="plait-ray", daemon=True)
        self._thread.start()
        try:
            begun.result()
        except BaseException:
            # Also after Ctrl-C, when it has begun.
            self._work.put(None)
            raise

    @property
    def is_open(self) -> bool:
        """Whether the connection is there, and the one that it was."""
        return not self._ended.is_set() and self.program == os.getpid() and session() == self._session

    def tell(self, work: Callable[[], object]) -> None:
        """Have something done by the thread that may wait for Ray."""
        self._work.put(work)

    def ask(self, work: Callable[[], Any]) -> Any:
        """The same, and wait for what comes of it."""
        answer: Future[Any] = Future()

        def run() -> None:
            try:
                answer.set_result(work())
            except BaseException as error:
                answer.set_exception(error)

        self.tell(run)
        return answer.result()

    def leave(self, seconds: float | None) -> None:
        """Count one user less; the last one ends it, and waits so long for that."""
        global _home
        with _lock:
            self.users -= 1
            if self.users:
                return
            if _home is self:
                _home = None
            _left.notify_all()
        self._work.put(None)
        self._ended.wait(seconds)

    # --- the thread

    def _live(self, begun: "Future[None]") -> None:
        try:
            try:
                self._begin()
            except BaseException as error:
                begun.set_exception(error)
                return
            begun.set_result(None)
            while (work := self._work.get()) is not None:
                try:
                    work()
                except Exception:
                    logging.getLogger("plait").exception("a bug of plait in its thread for Ray")
        finally:
            try:
                self._end()
            finally:
                self._ended.set()

    def _begin(self) -> None:
        if self.is_own:
            self._start()
        elif not ray.is_initialized():
            self._connect()
        self._session = session()

    def _connect(self) -> None:
        address = f"ray://{self.place.address}" if self.place.address else os.environ["RAY_ADDRESS"]
        try:
            if self.place.address:
                # Ray would try for half a minute.
                parts = urlsplit(address)
                socket.create_connection((parts.hostname, parts.port), _GRACE).close()
        except OSError as error:
            raise ConnectionError(
                f"no Ray answers at {address} ({error}); start one with `ray start --head`, or see that host "
                "and port are right"
            ) from error
        try:
            with _quiet():
                ray.init(address, log_to_driver=True, configure_logging=False)
        except OSError as error:
            why = str(error).strip().splitlines() or [type(error).__name__]
            raise ConnectionError(
                f"the Ray at {address} has not taken the connection: {why[-1]}; its logs say more"
            ) from error
        self._is_ours = True

    def _start(self) -> None:
        from plait._process import default_workers

        self.workers = self.workers or default_workers()
        self._folder = ray_watch.new_folder(_LONGEST)
        told = {
            ray_watch.FOLDER: self._folder,
            # Workers find the modules that this program finds.
            "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
        }
        self._watch = subprocess.Popen(
            [sys.executable, "-I", "-S", ray_watch.__file__, str(os.getpid()), self._folder],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        # Processes get it from here alone; other threads of the program see it for these seconds.
        with _environ(told), _quiet(), _loopback():
            ray.init(
                "local",
                num_cpus=self.workers,
                include_dashboard=False,
                configure_logging=False,
                _temp_dir=self._folder,
                _node_ip_address="127.0.0.1",
            )
        self._is_ours = True

    def _end(self) -> None:
        if self._is_ours and session() == self._session:
            with _quiet(), suppress(Exception):
                ray.shutdown()
        if self._watch is not None and self._folder is not None:
            ray_watch.end(self._folder)
            # Had the program ended in the midst of that, it would have gone on.
            self._watch.send_signal(signal.SIGKILL)
            self._watch.wait()

    def kill(self) -> None:
        """Kill the workers of an instance of one's own, if nobody else has them; from any thread."""
        if self._folder is not None and self.users == 1:
            # Without its server Ray would wait for that before it lets go.
            ray_watch.kill(self._folder, but=b"gcs_server")


def enter(place: Place, workers: int | None) -> Home:
    """Give the connection, which whoever has it leaves again.

    Raises:
        ConnectionError: nobody answers.
        ValueError, plait.PlaitError: the program has another connection, or other workers.

    """
    global _home
    with _lock:
        if _home is not None and _home.program != os.getpid():
            raise PlaitError(
                "Ray was connected in the parent process of this one, and does not outlive a fork; use it in "
                "the parent, or start this process anew"
            )
        if _home is not None and not _home.is_open:
            # Somebody has shut Ray down; its users see that for themselves.
            _home = None
        if _home is not None and not _fits(_home, place, workers):
            # What maps keep is for the next map alone.
            _lock.release()
            try:
                kept.let_go("ray")
            finally:
                _lock.acquire()
            deadline = time.monotonic() + _GRACE
            while _home is not None and (seconds := deadline - time.monotonic()) > 0:
                _left.wait(seconds)
        if _home is not None:
            _check(_home, place, workers)
        else:
            if place.address is not None and ray.is_initialized():
                raise ValueError(
                    "this program is connected to Ray already, and Ray has one connection; use "
                    f"backend='ray', which is that one, or ray.shutdown() before {place}"
                )
            _home = Home(place, workers)
        _home.users += 1
        return _home


def _fits(home: Home, place: Place, workers: int | None) -> bool:
    if home.is_own and place.is_own:
        return workers in (None, home.workers) and home.looks == looks()
    return home.place == place


def _check(home: Home, place: Place, workers: int | None) -> None:
    """Refuse what a connection that is in use is not."""
    if home.is_own and place.is_own:
        if workers not in (None, home.workers):
            raise ValueError(
                f"this program's Ray has {home.workers} workers and is in use, and Ray runs once in a "
                f"program; shut down the executors and end the maps on it before it can have {workers}"
            )
    elif home.place != place:
        raise ValueError(
            f"this program is connected to {_name(home)}, and Ray has one connection; end what uses it "
            f"before {place}"
        )


def _name(home: Home) -> str:
    return "a Ray of its own" if home.is_own else str(home.place)


def looks() -> tuple[Any, ...]:
    """What the program looks like to a worker that is started now."""
    return tuple(sys.path), kept.working_directory()


def is_own() -> bool | None:
    """Whether plait has started the Ray of this program, or of the one it was forked from; None: no Ray."""
    home = _home
    return home.is_own if home is not None and (home.is_open or home.program != os.getpid()) else None


def session() -> object:
    """What tells this connection from any other; None without one."""
    if not ray.is_initialized():
        return None
    from ray.util.client import ray as client

    if client.is_connected():
        return client.get_context().client_worker
    found = ray.get_runtime_context()
    try:
        return found.get_node_id(), found.get_job_id()
    except Exception:
        # It has ended meanwhile.
        return None


@contextmanager
def _environ(told: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to oneself what Ray logs of its start, for who did not know that there is one."""
    logger = logging.getLogger("ray")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _loopback() -> Iterator[None]:
    """Have Ray listen on this machine alone, where it would take the address by which others reach it."""
    constants = sys.modules.get("ray._private.ray_constants")
    before = getattr(constants, "ENABLE_RAY_CLUSTER", None)
    if before is not None:
        constants.ENABLE_RAY_CLUSTER = False  # type: ignore[union-attr]
    try:
        yield
    finally:
        if before is not None:
            constants.ENABLE_RAY_CLUSTER = before  # type: ignore[union-attr]


def _forget() -> None:
    # Another thread of the parent may have held it.
    global _lock, _left
    _lock = threading.Lock()
    _left = threading.Condition(_lock)


os.register_at_fork(after_in_child=_forget)
