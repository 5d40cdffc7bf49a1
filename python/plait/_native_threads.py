"""How many threads native libraries use where plait runs calls side by side: BLAS, OpenMP and their kin.

Each of them takes every processor of the machine for itself, so that W workers would have W times as many
threads as there are processors. Two things bound them to a share, which is what this process may use divided
by those that work side by side:

* In a worker process, environment variables, which a library reads when it is loaded (`set_variables`); and
  for libraries that the process it was forked from had loaded already, their own functions (`follow`).
* While threads of this process run calls, `limit`: for all of the process, since most of these libraries have
  one number for it, and given back afterwards. Whoever made it first is not asked: a number that was lower
  already stays.

What the user has said stands: a library whose variable he has set has his number, in workers and in threads.
No library is asked anything, and threadpoolctl not loaded, before one that it knows of is loaded.
"""

import os
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self, TypeVar

from plait import _core, _depth

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

# The variables that each reads, of which the first that is set counts. Beside BLAS and OpenMP, there are some
# that start a thread for each processor all the same.
_READ = {
    "openmp": ("OMP_NUM_THREADS",),
    "openblas": ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS"),
    "mkl": ("MKL_NUM_THREADS", "OMP_NUM_THREADS"),
    "blis": ("BLIS_NUM_THREADS", "OMP_NUM_THREADS"),
    "numexpr": ("NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS", "OMP_NUM_THREADS"),
    "numba": ("NUMBA_NUM_THREADS",),
    "rayon": ("RAYON_NUM_THREADS",),
    "polars": ("POLARS_MAX_THREADS",),
}

# Of these, what decides about threads while a library is imported.
AT_IMPORT = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)

# Names of files that may be such a library; threadpoolctl decides.
_CANDIDATE = rb"/(?:lib[^/\n]*(?:blas|blis|mkl|omp)|mkl)[^/\n]*\.so"

# What this process, a worker, has set for itself.
_own: dict[str, str] = {}

# The libraries that are loaded, and with how many modules that was seen.
_loaded: list[Any] = []
_modules = 0

# Nothing is imported while it is held, since a `Limit` that is garbage takes it anywhere.
_lock = threading.RLock()

# How many threads each limit is for, and by the file of a library its number before the first of them.
_holders: dict[int, int] = {}
_before: dict[str, int] = {}


def share(workers: int) -> int:
    """How many threads each of so many workers of this process may use, at least 1."""
    return max(1, _core.cpu_count() // (_depth.siblings * workers))


def set_variables(threads: int) -> None:
    """In a worker: have libraries use so many threads, unless the user has said something else."""
    said = {name for name, value in os.environ.items() if value}
    for variable, *others in _READ.values():
        if said.isdisjoint((variable, *others)):
            os.environ[variable] = _own[variable] = str(threads)
    if "threadpoolctl" in sys.modules:
        # As its import does, which was before this process had its environment.
        os.environ.setdefault("KMP_DUPLICATE_LIB_OK", "True")
    follow()


def without_own() -> dict[str, str]:
    """The environment as the user has made it, for the workers of a worker, whose share is another."""
    environ = dict(os.environ)
    for name, value in _own.items():
        if environ.get(name) == value:
            del environ[name]
    return environ


def find() -> None:
    """Look for loaded libraries, if modules were imported since the last time."""
    global _loaded, _modules
    if (modules := len(sys.modules)) == _modules:
        return
    with open("/proc/self/maps", "rb") as maps:
        mapped = maps.read()
    import re

    if re.search(_CANDIDATE, mapped) is not None:
        from threadpoolctl import ThreadpoolController

        modules = len(sys.modules)
        _loaded = ThreadpoolController().lib_controllers
    _modules = modules


def follow() -> None:
    """In a worker: give the libraries that were loaded before it was forked what the environment says."""
    for library in _loaded:
        number = _said(library.internal_api, os.environ)
        if number is not None:
            _set(library, number)


def _said(api: str, environ: "os._Environ[str] | dict[str, str]") -> int | None:
    """What these variables tell the library; None if nothing that it could follow."""
    for name in _READ.get(api, _READ["openmp"]):
        # OpenMP takes a list, of which the first is for the outermost level.
        text = environ.get(name, "").split(",")[0].strip()
        if text.isdecimal() and int(text) > 0:
            return int(text)
    return None


def _set(library: Any, number: int) -> None:
    if library.num_threads != number:
        library.set_num_threads(number)
        # From version 3.8 on, the first thread that sets a number is the only one that can, until it lets go.
        let_go = getattr(library, "clear_controlling_thread", None)
        if let_go is not None:
            let_go()


class Limit:
    """While it is held, so many threads of this process share its processors.

    Close it, or leave its `with` block, or drop it. Several at one time count together.
    """

    def __init__(self, threads: int) -> None:
        """Begin. `threads`: how many run calls at one time."""
        self.share: int | None = None
        self._closed = False
        self.resize(threads)

    def resize(self, threads: int) -> None:
        """Be for so many threads from now on; libraries that were loaded meanwhile are found."""
        find()
        with _lock:
            if self._closed:
                return
            _holders[id(self)] = threads
            self.share = _settle()

    def wrap(self, fn: Callable[..., T]) -> Callable[..., T]:
        """Make of `fn` what each of the threads is to call.

        The number of OpenMP belongs to the thread that enters a parallel region: it is set around each call.
        Where no such library is loaded, this is `fn` itself.
        """
        runtimes = list(_openmp())
        if not runtimes:
            return fn
        from functools import update_wrapper

        def call(*args: Any, **kwargs: Any) -> T:
            number, before = self.share or 1, []
            for get, put in runtimes:
                before.append(get())
                if before[-1] > number:
                    put(number)
            try:
                return fn(*args, **kwargs)
            finally:
                for (get, put), old in zip(runtimes, before):
                    if old > number == get():
                        put(old)

        try:
            update_wrapper(call, fn)
        except (AttributeError, TypeError):
            pass  # a callable that has no name, or a dict of its own
        return call

    def over(self, results: "Iterator[T]") -> "Iterator[T]":
        """Give the results, and close when they end or nobody wants them any more."""
        with self:
            yield from results

    def close(self) -> None:
        """End, for good; closing again changes nothing."""
        with _lock:
            self._closed = True
            if _holders.pop(id(self), None) is not None:
                _settle()

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def __del__(self) -> None:
        """Close it."""
        self.close()


def limit(threads: int) -> Limit:
    """Hold the libraries of this process to their share, while so many threads run calls; see `Limit`."""
    return Limit(threads)


def _settle() -> int | None:
    """Make the libraries' numbers what the limits ask for; their share, None if nothing is loaded."""
    while True:
        threads = sum(_holders.values())
        number = None
        if threads and _loaded:
            number = share(threads)
        for library in _loaded:
            # That of OpenMP is each thread's own.
            if library.internal_api != "openmp":
                _hold(library, number)
        if threads == sum(_holders.values()):
            return number


def _hold(library: Any, number: int | None) -> None:
    """Have this library use no more threads than `number`; None: as many as before."""
    if number is None:
        before = _before.pop(library.filepath, None)
        if before is not None:
            _set(library, before)
    elif not _is_users(library.internal_api):
        current = library.num_threads
        if current is not None:
            before = _before.setdefault(library.filepath, current)
            _set(library, min(before, number))


def _is_users(api: str) -> bool:
    """Whether the user has said how many threads this library is to use."""
    return _said(api, without_own()) is not None


def _openmp() -> "Iterator[tuple[Callable[[], int], Callable[[int], object]]]":
    """How to read and to set the calling thread's number of each runtime that is loaded."""
    if not _loaded or _is_users("openmp"):
        return
    from ctypes import PyDLL

    for library in _loaded:
        if library.internal_api == "openmp":
            # By calls that keep the GIL: to let go of it for so short a time costs a turn of the others.
            runtime = PyDLL(library.filepath, mode=os.RTLD_NOLOAD)
            yield runtime.omp_get_max_threads, runtime.omp_set_num_threads


def _forget() -> None:
    # The threads that the limits are for are not in this process, and another one may have held the lock.
    global _lock
    _lock = threading.RLock()
    _holders.clear()


os.register_at_fork(after_in_child=_forget)
