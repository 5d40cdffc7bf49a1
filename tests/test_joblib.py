"""joblib's backend "plait": how joblib finds it, and what calls may rely on."""

import os
import sys
import threading

import plait
import pytest
import workloads as w
from outside import is_alive, run_program, until

joblib = pytest.importorskip("joblib")
from joblib import Parallel, delayed, parallel_config  # noqa: E402
from plait._joblib import pools, stand_in  # noqa: E402

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def no_pools_kept():
    pools.clear(kept=True)
    yield
    pools.clear(kept=True)


def plait_pools():
    return [pool.executor for pool in pools._pools]


# --- how joblib finds it


@pytest.mark.parametrize("imports", ["import plait, joblib", "import joblib, plait"])
@pytest.mark.parametrize(
    "call",
    [
        "joblib.Parallel(n_jobs=2, backend='plait')(calls)",
        "with joblib.parallel_config(backend='plait', n_jobs=2): result = joblib.Parallel()(calls)",
        "with joblib.parallel_backend('plait', n_jobs=2): result = joblib.Parallel()(calls)",
    ],
)
def test_importing_both_is_enough(imports, call):
    call = call if "result" in call else f"result = {call}"
    script = f"""
{imports}
calls = [joblib.delayed(lambda x: x * x)(i) for i in range(4)]
{call}
print(result, type(joblib.parallel.BACKENDS["plait"]).__name__)
"""
    [line] = run_program("-c", script).lines
    # The class itself is there once it was used.
    assert line == "[0, 1, 4, 9] ABCMeta"


def test_importing_plait_imports_no_joblib():
    script = "import sys, plait; print('joblib' in sys.modules, 'plait._joblib.backend' in sys.modules)"
    assert run_program("-c", script).lines == ["False False"]


def test_joblibs_modules_look_as_without_plait():
    look = """
spec = joblib.parallel.__spec__
print(type(spec.loader).__name__, joblib.parallel.__loader__ is spec.loader)
print(spec.origin == joblib.parallel.__file__)
print(importlib.util.find_spec("joblib.parallel").loader.get_filename("joblib.parallel") == spec.origin)
"""
    without = run_program("-c", "import importlib.util, joblib" + look).lines
    assert run_program("-c", "import importlib.util, plait, joblib" + look).lines == without


def test_a_reload_of_joblib_keeps_the_backend():
    script = """
import plait, joblib, importlib
importlib.reload(joblib.parallel)
print("plait" in joblib.parallel.BACKENDS)
"""
    assert run_program("-c", script).lines == ["True"]


def test_where_there_is_no_joblib_its_import_fails_as_ever():
    script = """
import sys, plait
sys.modules["joblib"] = None
try:
    import joblib.parallel
except ModuleNotFoundError as error:
    print(error.name)
"""
    assert run_program("-c", script).lines == ["joblib.parallel"]


def test_standing_in_for_joblibs_own_backends():
    before = dict(joblib.parallel.BACKENDS)
    try:
        stand_in()
        assert type(Parallel(n_jobs=2)._backend).__name__ == "PlaitBackend"
        assert type(Parallel(n_jobs=2, prefer="processes")._backend).__name__ == "PlaitBackend"
        assert type(Parallel(n_jobs=2, prefer="threads")._backend).__name__ == "ThreadingBackend"
        with parallel_config(backend="loky", inner_max_num_threads=1):
            assert Parallel(n_jobs=2)(delayed(abs)(i) for i in (-1, 2)) == [1, 2]
        assert len(plait_pools()) == 1
    finally:
        stand_in(())
    now = {name: joblib.parallel.BACKENDS[name] for name in before if name != "plait"}
    assert now == {name: factory for name, factory in before.items() if name != "plait"}


# --- workers


@pytest.mark.parametrize(
    "n_jobs, workers", [(-1, plait.cpu_count()), (-1000, 1), (3, 3), (1000, 192), (None, 1)]
)
def test_number_of_workers(n_jobs, workers):
    with parallel_config(backend="plait"):
        assert joblib.effective_n_jobs(n_jobs) == workers


def test_workers_are_kept_for_the_next_call():
    Parallel(n_jobs=2, backend="plait")(delayed(w.pid)(i) for i in range(4))
    [pool] = plait_pools()
    for _ in range(3):
        Parallel(n_jobs=2, backend="plait")(delayed(w.pid)(i) for i in range(4))
        assert plait_pools() == [pool]
    Parallel(n_jobs=3, backend="plait")(delayed(w.pid)(i) for i in range(4))
    [other] = plait_pools()
    assert other is not pool and other._max_workers == 3


def test_idle_workers_end_after_a_while():
    with parallel_config(backend="plait", n_jobs=2, idle_worker_timeout=0.05):
        pids = set(Parallel()(delayed(w.pid)(i) for i in range(4)))
    until(lambda: not any(map(is_alive, pids)), "the end of idle workers")
    assert plait_pools() == []


def test_threads_of_libraries_are_bounded():
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    with parallel_config(backend="plait", n_jobs=2, inner_max_num_threads=3):
        calls = [delayed(lambda name: os.environ.get(name))(name) for name in names]
        assert Parallel()(calls) == ["3"] * len(names)


def test_blas_itself_takes_the_number():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    pytest.importorskip("numpy")

    def threads():
        import numpy

        numpy.ones((8, 8)) @ numpy.ones((8, 8))
        return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]

    with parallel_config(backend="plait", n_jobs=2, inner_max_num_threads=1):
        assert all(set(found) <= {1} for found in Parallel()(delayed(threads)() for _ in range(2)))


def test_initializer():
    def note(value):
        sys.noted = value

    with parallel_config(backend="plait", n_jobs=2, initializer=note, initargs=("here",)):
        assert Parallel()(delayed(lambda: sys.noted)() for _ in range(3)) == ["here"] * 3
        [first] = plait_pools()
        assert Parallel()(delayed(lambda: sys.noted)() for _ in range(3)) == ["here"] * 3
        assert plait_pools() == [first]


def test_an_initializer_takes_what_processes_share():
    script = """
import multiprocessing, plait
from joblib import Parallel, delayed
def take(lock):
    global shared
    shared = lock
def hold():
    with shared:
        return type(shared).__name__
lock = multiprocessing.get_context("spawn").Lock()
parallel = Parallel(n_jobs=2, backend="plait", initializer=take, initargs=(lock,))
print(parallel(delayed(hold)() for _ in range(3)))
"""
    assert run_program("-c", script).lines == ["['Lock', 'Lock', 'Lock']"]


def test_an_initializer_that_fails_breaks_only_its_calls():
    def fail():
        raise ValueError("not here")

    from concurrent.futures import BrokenExecutor

    for _ in range(2):
        with pytest.raises(BrokenExecutor, match="not here"):
            Parallel(n_jobs=2, backend="plait", initializer=fail)(delayed(abs)(i) for i in range(4))
    assert Parallel(n_jobs=2, backend="plait")(delayed(abs)(i) for i in (-1, 1)) == [1, 1]


def test_options_of_plaits_pools():
    with parallel_config(backend="plait", n_jobs=2, max_tasks_per_child=1):
        pids = Parallel(batch_size=1)(delayed(w.pid)(i) for i in range(5))
    assert len(set(pids)) == 5


def test_an_option_that_is_none():
    with pytest.raises(TypeError, match="backend 'plait' has no option 'colour'; there are "):
        parallel_config(backend="plait", colour="red")


# --- what goes and comes


def test_all_ways_to_return():
    calls = [delayed(pow)(i, 2) for i in range(30)]
    squares = [i * i for i in range(30)]
    assert Parallel(n_jobs=2, backend="plait")(calls) == squares
    assert list(Parallel(n_jobs=2, backend="plait", return_as="generator")(calls)) == squares
    assert sorted(Parallel(n_jobs=2, backend="plait", return_as="generator_unordered")(calls)) == squares


@pytest.mark.parametrize(
    "pre_dispatch, batch_size", [("all", 1), ("n_jobs", "auto"), ("3*n_jobs", 7), (1, 1)]
)
def test_dispatch(pre_dispatch, batch_size):
    parallel = Parallel(n_jobs=2, backend="plait", pre_dispatch=pre_dispatch, batch_size=batch_size)
    factor = 3
    assert parallel(delayed(lambda x: x * factor)(i) for i in range(100)) == [3 * i for i in range(100)]


def test_workers_that_are_faster_than_their_dispatcher(monkeypatch):
    """joblib sends a task when it is told that another one has ended; each of these has ended by then."""
    send = pools.Lease._send

    def send_and_wait(lease, batch):
        future = send(lease, batch)
        future.exception()
        return future

    monkeypatch.setattr(pools.Lease, "_send", send_and_wait)
    number = 2 * sys.getrecursionlimit()
    with Parallel(2, backend="plait", batch_size=1) as parallel:
        assert parallel(delayed(abs)(-n) for n in range(number)) == list(range(number))


def test_functions_of_all_kinds_in_one_call():
    from functools import partial

    calls = [
        delayed(abs)(-1),
        delayed(lambda x: x)(2),
        delayed(partial(pow, 3))(2),
        delayed("{k}".format)(k=4),
    ]
    assert Parallel(n_jobs=2, backend="plait", batch_size=4)(calls) == [1, 2, 9, "4"]


def test_arrays():
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(500_000)

    def double(a):
        a *= 2
        return a

    results = Parallel(n_jobs=2, backend="plait")(delayed(double)(array) for _ in range(3))
    assert all((result == 2 * array).all() for result in results)
    assert array[-1] == 499_999


def test_shared_arrays_are_written_in_place():
    pytest.importorskip("numpy")
    table = plait.zeros((4, 1000))

    def fill(row):
        table[row] = row + 1

    Parallel(n_jobs=2, backend="plait")(delayed(fill)(row) for row in range(4))
    assert table.sum(axis=1).tolist() == [1000, 2000, 3000, 4000]


def test_nested_calls():
    def outer(n):
        inner = Parallel(n_jobs=2, backend="plait")(delayed(pow)(i, 2) for i in range(n))
        return type(Parallel(n_jobs=2)._backend).__name__, sum(inner)

    assert Parallel(n_jobs=2, backend="plait")(delayed(outer)(n) for n in range(3)) == [
        ("ThreadingBackend", 0),
        ("ThreadingBackend", 0),
        ("ThreadingBackend", 1),
    ]


def test_calls_from_several_threads():
    results = {}

    def run(n):
        results[n] = Parallel(n_jobs=2, backend="plait")(delayed(pow)(i, 2) for i in range(n))

    threads = [threading.Thread(target=run, args=(10 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {10 * n: [i * i for i in range(10 * n)] for n in range(4)}


def test_a_forked_child_makes_its_own_pool():
    script = """
import os, plait
from joblib import Parallel, delayed
Parallel(n_jobs=2, backend="plait")(delayed(abs)(i) for i in range(4))
pid = os.fork()
if pid == 0:
    assert Parallel(n_jobs=2, backend="plait")(delayed(abs)(i) for i in range(4)) == [0, 1, 2, 3]
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    options = ["-W", "ignore::DeprecationWarning"]
    assert run_program(*options, "-c", script).lines == ["7"]
