"""Threads of BLAS and OpenMP where plait runs calls side by side: a share each, or what the user says."""

import glob
import importlib.util
import os

import plait
import pytest
from outside import run_program

pytestmark = pytest.mark.once

CPUS = plait.cpu_count()

VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
)


@pytest.fixture(autouse=True)
def unsaid(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def blas():
    """The threads of each BLAS of this process."""
    import numpy
    import threadpoolctl

    numpy.ones((4, 4)) @ numpy.ones((4, 4))
    return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}


def blas_below(workers):
    """The same, in a worker of this worker."""
    with plait.ProcessPoolExecutor(workers) as pool:
        return pool.submit(blas).result(), pool.submit(os.getenv, "OMP_NUM_THREADS").result()


# --- worker processes


@pytest.mark.parametrize("preload", [(), ("numpy",)], ids=["loaded later", "preloaded"])
@pytest.mark.parametrize("workers", sorted({1, 2, CPUS}))
def test_a_worker_has_its_share(workers, preload):
    with plait.ProcessPoolExecutor(workers, preload=preload) as pool:
        assert pool.submit(blas).result() == {max(1, CPUS // workers)}


@pytest.mark.parametrize("preload", [(), ("numpy",)], ids=["loaded later", "preloaded"])
@pytest.mark.parametrize("name", ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"])
def test_the_number_of_the_user_stands(name, preload, monkeypatch):
    # Neither the share of one worker, nor what is said while numpy is preloaded.
    number = 1 if CPUS > 1 and not preload else 2
    monkeypatch.setenv(name, str(number))
    with plait.ProcessPoolExecutor(1, preload=preload) as pool:
        assert pool.submit(os.getenv, name).result() == str(number)
        # OpenBLAS itself takes no more from the environment than there are processors.
        assert pool.submit(blas).result() == {number if preload else min(number, os.cpu_count())}


def test_workers_of_a_worker_share_what_it_has():
    with plait.ProcessPoolExecutor(1) as pool:
        assert pool.submit(blas).result() == {CPUS}
        share = max(1, CPUS // 2)
        assert pool.submit(blas_below, 2).result() == ({share}, str(share))
    with plait.ProcessPoolExecutor(CPUS) as pool:
        assert pool.submit(blas_below, 1).result() == ({1}, "1")


def test_workers_of_a_worker_have_the_number_of_the_user(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with plait.ProcessPoolExecutor(1) as pool:
        assert pool.submit(blas_below, 1).result() == ({1}, "1")


def test_preloading_leaves_no_variable_behind():
    with plait.ProcessPoolExecutor(CPUS, preload=["numpy"]) as pool:
        seen = pool.submit(lambda: {name: os.environ.get(name) for name in VARIABLES}).result()
    assert seen.pop("GOTO_NUM_THREADS") is None
    assert set(seen.values()) == {"1"}


def test_joblib_decides_about_preloaded_libraries_too():
    pytest.importorskip("joblib")
    script = """
import joblib, threadpoolctl
def blas():
    import numpy
    return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}
with joblib.parallel_config(backend="plait", n_jobs=2, inner_max_num_threads=2, preload=("numpy",)):
    print(joblib.Parallel()([joblib.delayed(blas)()] * 2))
"""
    assert run_program("-c", "import plait" + script).lines == ["[{2}, {2}]"]


def test_nothing_is_loaded_for_programs_without_such_libraries():
    script = """
import sys, plait
assert list(plait.map(abs, [-1], backend="threads")) == [1]
loaded = "'threadpoolctl' in __import__('sys').modules"
with plait.ProcessPoolExecutor(1, preload=["json"]) as pool:
    print(eval(loaded), pool.submit(eval, loaded).result())
"""
    assert run_program("-c", script).lines == ["False False"]


# --- threads

THREADS = """
import os, threading
import numpy, plait, threadpoolctl
from plait import _native_threads
CPUS = plait.cpu_count()
def blas(_=None):
    return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}
full = blas()
"""


def in_threads(script):
    """The lines that a program prints that has numpy loaded, and the processors to itself that it may use."""
    return run_program("-c", THREADS + script).lines


def test_a_map_on_threads_shares_and_gives_back():
    script = """
results = plait.map(blas, range(8), backend="threads", workers=CPUS)
assert blas() == {1}
assert list(results) == [{1}] * 8
assert blas() == full
assert list(plait.map(blas, [1], backend="threads", workers=8)) == [full], "one item needs one thread"
for end in (lambda results: results.close(), lambda results: None):
    results = plait.map(blas, range(8), backend="threads", workers=CPUS)
    next(results)
    end(results)
    del results
    assert blas() == full
unread = plait.map(blas, range(8), backend="threads", workers=CPUS)
assert blas() == {1}
del unread
assert blas() == full
def fail(_):
    raise KeyError
try:
    list(plait.map(fail, range(8), backend="threads", workers=CPUS))
except KeyError:
    assert blas() == full
# Held at the end of the program.
kept = plait.map(blas, range(8), backend="threads", workers=CPUS)
print("done")
"""
    assert in_threads(script) == ["done"]


def test_limits_at_one_time_count_together():
    script = """
before = max(full)
with _native_threads.limit(1) as first:
    assert first.share == CPUS and blas() == full
    with _native_threads.limit(CPUS) as second:
        assert second.share == 1 and blas() == {1}
        first.close()
        first.close()
        assert blas() == {1}
        second.resize(1)
        assert second.share == CPUS and blas() == full
        second.resize(10 * CPUS)
        assert second.share == 1 and blas() == {1}
assert blas() == full
second.resize(10 * CPUS)
assert blas() == full, "what is closed stays closed"
# In another thread than the one that began it.
held = _native_threads.limit(CPUS)
thread = threading.Thread(target=held.close)
thread.start(); thread.join()
assert blas() == full
print("done")
"""
    assert in_threads(script) == ["done"]


def test_threads_that_are_chosen_share_and_give_back():
    script = """
from plait._auto import crew as crews
crew = crews.hire()
share = crew.limit()
assert share.share == CPUS and blas() == full
crew.resize(CPUS)
assert crew.limit() is share and share.share == 1
assert crew.pool.submit(blas).result() == {1}
crew.leave(True)
assert blas() == full
again = crews.hire()
assert again is crew
again.resize(CPUS)
assert blas() == full
print("done")
"""
    assert in_threads(script) == ["done"]


def test_a_lower_number_of_the_user_stays():
    script = """
with threadpoolctl.threadpool_limits(1):
    with _native_threads.limit(1):
        assert blas() == {1}
    assert blas() == {1}
assert blas() == full
with _native_threads.limit(CPUS):
    # Whoever asks for more within a call has it.
    with threadpoolctl.threadpool_limits(max(full)):
        assert blas() == full
    assert blas() == {1}
os.environ["OPENBLAS_NUM_THREADS"] = str(max(full))
with _native_threads.limit(CPUS):
    assert blas() == full
print("done")
"""
    assert in_threads(script) == ["done"]


def test_a_forked_child_begins_anew():
    script = """
held = _native_threads.limit(CPUS)
pid = os.fork()
if pid == 0:
    with _native_threads.limit(1) as limit:
        os._exit(limit.share)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == CPUS
assert blas() == {1}
print("done")
"""
    assert in_threads(script) == ["done"]


def libgomp():
    """The OpenMP runtime that scikit-learn brings along."""
    spec = importlib.util.find_spec("sklearn")
    found = spec and glob.glob(os.path.join(os.path.dirname(spec.origin), "../scikit_learn.libs/libgomp*"))
    if not found:
        pytest.skip("no OpenMP runtime: scikit-learn brings none here")
    return os.path.normpath(found[0])


def test_openmp_is_limited_in_the_threads_themselves():
    script = f"""
import ctypes
gomp = ctypes.CDLL({libgomp()!r})
import colorsys  # so that the number of modules is another
def openmp(_=None):
    return gomp.omp_get_max_threads()
gomp.omp_set_num_threads(5)
# Threads have the number with which the runtime was loaded, whatever this one has said.
others = list(plait.map(openmp, [1], backend="threads", workers=1))
assert others == [CPUS], others
assert list(plait.map(openmp, range(8), backend="threads", workers=CPUS)) == [1] * 8
assert openmp() == 5
# The threads are those of before, and have their number again.
limit = _native_threads.limit(CPUS)
seen = []
wrapped = limit.wrap(openmp)
def thread():
    seen.extend([openmp(), wrapped(), openmp()])
    gomp.omp_set_num_threads(1)
    seen.extend([wrapped(), openmp()])
thread = threading.Thread(target=thread)
thread.start(); thread.join()
assert seen == [CPUS, 1, CPUS, 1, 1], seen
assert wrapped.__name__ == "openmp"
limit.close()
print("done")
"""
    assert in_threads(script) == ["done"]
