"""joblib on clusters."""

import os

import plait
import pytest
from clusters import ENGINES, cluster_of
from outside import until

joblib = pytest.importorskip("joblib")

pytestmark = pytest.mark.once


@pytest.fixture(scope="module", params=ENGINES)
def backend(request):
    return cluster_of(request.param, request).backend


def odd_fails(number):
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number


def sums(number):
    inner = joblib.Parallel(n_jobs=2)(joblib.delayed(abs)(-n) for n in range(number))
    return os.getpid(), sum(inner)


def test_calls_go_to_the_cluster(backend):
    with joblib.parallel_config(backend="plait", cluster=backend):
        assert joblib.effective_n_jobs() == 2 and joblib.effective_n_jobs(-2) == 1
        assert joblib.Parallel()(joblib.delayed(lambda n: n * n)(n) for n in range(300)) == [
            n * n for n in range(300)
        ]
        assert os.getpid() not in joblib.Parallel()(joblib.delayed(os.getpid)() for _ in range(4))
        # joblib's own way with one at a time.
        assert joblib.Parallel(n_jobs=1)([joblib.delayed(os.getpid)()]) == [os.getpid()]
    # What calls call within themselves stays in their worker.
    told = joblib.Parallel(n_jobs=2, backend="plait", cluster=backend)(
        joblib.delayed(sums)(n) for n in (4, 5)
    )
    assert [total for _, total in told] == [6, 10] and os.getpid() not in {pid for pid, _ in told}


def test_failures_are_raised_and_the_next_call_works(backend):
    parallel = joblib.Parallel(n_jobs=2, backend="plait", cluster=backend)
    with pytest.raises(ValueError, match="3 is odd"):
        parallel(joblib.delayed(odd_fails)(n) for n in (0, 2, 3, 4))
    assert parallel(joblib.delayed(odd_fails)(n) for n in (0, 2)) == [0, 2]
    stream = joblib.Parallel(n_jobs=2, backend="plait", cluster=backend, return_as="generator")
    assert list(stream(joblib.delayed(odd_fails)(n) for n in (0, 2, 4))) == [0, 2, 4]


def test_tries_are_made_again(backend, tmp_path):
    def second_time(number):
        path = tmp_path / str(number)
        if path.exists():
            return number
        path.touch()
        raise OSError("not yet")

    parallel = joblib.Parallel(n_jobs=2, backend="plait", cluster=backend, retries=4, batch_size=2)
    assert parallel(joblib.delayed(second_time)(n) for n in range(4)) == [0, 1, 2, 3]


def test_what_a_cluster_does_not_do_is_refused(backend):
    for options in ({"initializer": print}, {"memory_limit": "1GiB"}, {"idle_worker_timeout": 3}):
        with pytest.raises(
            TypeError, match=f"{next(iter(options))} is for worker processes that plait starts"
        ):
            joblib.Parallel(n_jobs=2, backend="plait", cluster=backend, **options)([joblib.delayed(abs)(1)])
    with (
        joblib.parallel_config(backend="plait", cluster=backend, inner_max_num_threads=1),
        pytest.raises(TypeError, match="inner_max_num_threads has no meaning with cluster="),
    ):
        joblib.Parallel(n_jobs=2)([joblib.delayed(abs)(1)])


def test_a_name_of_no_cluster_is_refused():
    with pytest.raises(ValueError, match="cluster='processes' names no cluster; there are 'dask' and 'ray'"):
        joblib.Parallel(n_jobs=2, backend="plait", cluster="processes")([joblib.delayed(abs)(1)])


def test_nothing_waits_on_it_after_a_failure(backend, gate):
    import workloads

    parallel = joblib.Parallel(n_jobs=2, backend="plait", cluster=backend, batch_size=1, pre_dispatch="all")
    with pytest.raises(ValueError, match="1 is odd"):
        parallel(
            [
                joblib.delayed(odd_fails)(1),
                *[joblib.delayed(workloads.pass_gate)(gate.folder, n) for n in "ab"],
            ]
        )
    gate.open()
    until(lambda: list(plait.map(abs, [-1], backend=backend)) == [1], "a free worker")
