"""Other people's libraries with plait's pools in them: each computes what it computes without.

The page docs/using-plait-with.md shows these uses; here are the ones beside them, and what happens to errors.
"""

import plait
import pytest
import workloads as w

pytestmark = pytest.mark.once

EXECUTORS = {
    "ProcessPoolExecutor": lambda: plait.ProcessPoolExecutor(2),
    "ThreadPoolExecutor": lambda: plait.ThreadPoolExecutor(2),
    "Executor": lambda: plait.Executor("processes", 2),
}


@pytest.fixture(params=EXECUTORS)
def executor(request):
    with EXECUTORS[request.param]() as executor:
        yield executor


# --- dask


def dask_settings(executor):
    """The ways to tell Dask of an executor; what it does about errors depends on the kind."""
    kind = "threads" if isinstance(executor, plait.ThreadPoolExecutor) else "processes"
    return [{"pool": executor, "scheduler": kind}, {"scheduler": executor}]


def test_dask_graphs(executor):
    dask = pytest.importorskip("dask")
    total = dask.delayed(sum)([dask.delayed(pow)(n, 2) for n in range(20)])
    for settings in dask_settings(executor):
        with dask.config.set(settings):
            assert total.compute() == sum(n * n for n in range(20))


def test_dask_bags(executor):
    bag = pytest.importorskip("dask.bag")
    import dask

    numbers = bag.from_sequence(range(100), npartitions=7)
    even = numbers.filter(lambda n: n % 2 == 0).map(lambda n: n * n)
    for settings in dask_settings(executor):
        with dask.config.set(settings):
            assert even.sum().compute() == sum(n * n for n in range(0, 100, 2))
            assert even.compute() == [n * n for n in range(0, 100, 2)]


def test_errors_in_dask_graphs(executor):
    dask = pytest.importorskip("dask")
    for settings in dask_settings(executor):
        with dask.config.set(settings), pytest.raises(ZeroDivisionError):
            dask.delayed(divmod)(1, 0).compute()
        with dask.config.set(settings):
            assert dask.delayed(divmod)(7, 2).compute() == (3, 1)


# --- scipy


@pytest.mark.parametrize("whose", ["executor.map", "plait.map", "Pool.map"])
def test_scipy_takes_each_map(whose):
    optimize = pytest.importorskip("scipy.optimize")

    def solve(**how):
        bounds = [(-1, 3)] * 2
        return optimize.differential_evolution(
            lambda x: optimize.rosen(x) + 1, bounds, rng=1, updating="deferred", maxiter=20, **how
        )

    alone = solve()
    if whose == "plait.map":
        found = solve(workers=plait.map)
    else:
        with plait.ProcessPoolExecutor(2) if whose == "executor.map" else plait.Pool(2) as pool:
            found = solve(workers=pool.map)
    assert (found.x == alone.x).all() and found.nfev == alone.nfev


def test_scipy_searches_a_grid():
    optimize = pytest.importorskip("scipy.optimize")
    ranges = [slice(-2, 2, 0.5)] * 2

    def bowl(at):
        return (at[0] - 1) ** 2 + (at[1] + 1.5) ** 2

    assert optimize.brute(bowl, ranges, finish=None, workers=plait.map).tolist() == [1.0, -1.5]


# --- pool=


@pytest.mark.parametrize(
    "make", ["ProcessPoolExecutor", "ThreadPoolExecutor", "Executor", "Pool", "ThreadPool"]
)
def test_objects_with_a_map(make):
    class Model:
        scale = 3

        def at(self, x):
            return self.scale * x

    with getattr(plait, make)(2) if make != "Executor" else plait.Executor("processes", 2) as pool:
        assert list(pool.map(Model().at, range(50))) == [3 * x for x in range(50)]


def test_emcee():
    emcee = pytest.importorskip("emcee")
    numpy = pytest.importorskip("numpy")

    def chain(pool):
        numpy.random.seed(5)
        start = numpy.random.default_rng(1).normal(size=(8, 2))
        sampler = emcee.EnsembleSampler(8, 2, lambda x: -0.5 * float(x @ x), pool=pool)
        sampler.run_mcmc(start, 30)
        return sampler.get_chain()

    alone = chain(None)
    for make in (plait.ProcessPoolExecutor, plait.Pool):
        with make(2) as pool:
            assert (chain(pool) == alone).all()


def test_a_pool_gives_lists_an_executor_iterators():
    with plait.Pool(2) as pool:
        assert pool.map(w.add_one, [1, 2]) == [2, 3]
    with plait.ProcessPoolExecutor(2) as executor:
        results = executor.map(w.add_one, [1, 2])
        assert iter(results) is results


# --- pandas


def test_pandas_groups():
    pandas = pytest.importorskip("pandas")
    numpy = pytest.importorskip("numpy")
    rng = numpy.random.default_rng(3)
    frame = pandas.DataFrame({"key": rng.integers(0, 5, 1000), "value": rng.normal(size=1000)})
    weights = plait.share(numpy.arange(5.0))

    def weighted(pair):
        key, group = pair
        return key, float(group.value.sum() * weights[key])

    expected = {key: float(group.value.sum() * key) for key, group in frame.groupby("key")}
    assert dict(plait.map(weighted, frame.groupby("key"), backend="processes", workers=2)) == expected
