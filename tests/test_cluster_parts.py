"""The plain parts of maps on clusters: what names one, versions, sizes of chunks, what a worker runs."""

import plait
import pytest
from plait._cluster import job as jobs
from plait._cluster import work
from plait._cluster.place import place_of
from plait._cluster.sizer import Sizer
from plait._cluster.versions import differences, expression, versions
from plait._long.stretch import Singles

pytestmark = pytest.mark.once

# --- what names a cluster


@pytest.mark.parametrize("engine", ["dask", "ray"])
@pytest.mark.parametrize("rest, address", [("", None), ("://h:1", "h:1"), ("://[::1]:8786", "[::1]:8786")])
def test_clusters_are_named_by_engine_and_address(engine, rest, address, monkeypatch):
    monkeypatch.setattr("plait._cluster.place._has_ray", lambda: False)
    backend = engine + rest
    place = place_of(backend)
    assert (place.engine, place.address, str(place)) == (engine, address, backend)
    assert place.is_own is (address is None)


@pytest.mark.parametrize("backend", ["processes", "ray-local", "daskly", 3, None, object()])
def test_other_things_name_none(backend):
    assert place_of(backend) is None


@pytest.mark.parametrize(
    "backend", ["dask:", "dask:8786", "dask://", "dask://host", "dask://host:x", "dask://:1", "dask://h:1/x"]
)
def test_an_address_needs_host_and_port(backend):
    with pytest.raises(ValueError, match=r"needs a host and a port, as in 'dask://10.0.0.5:8786'"):
        plait.map(abs, [1], backend=backend)


def test_an_address_of_ray_needs_host_and_port():
    with pytest.raises(ValueError, match=r"needs a host and a port, as in 'ray://10.0.0.5:10001'"):
        plait.map(abs, [1], backend="ray://host")


def test_what_is_not_there_is_refused_by_name():
    with pytest.raises(ValueError, match=r"no backend 'cluster'; there are .* 'dask', 'ray'"):
        plait.Executor("cluster")
    with pytest.raises(ValueError, match="'ray-local' would be Ray's local mode, which Ray has given up"):
        plait.Executor("ray-local")


# --- what a cluster does not do


@pytest.mark.parametrize("backend", ["dask", "dask://127.0.0.1:1", "ray", "ray://127.0.0.1:1"])
def test_options_of_other_backends_are_refused_before_anything_is_started(backend):
    for options in (
        {"max_tasks_per_child": 3},
        {"memory_limit": "1GiB"},
        {"max_pending": 4},
        {"preload": ["json"]},
    ):
        with pytest.raises(ValueError, match=f"{next(iter(options))} is an option of backend"):
            plait.Executor(backend, **options)
    told = r"initializer is for workers that plait starts itself.*(register_plugin|runtime_env)"
    with pytest.raises(ValueError, match=told):
        plait.Executor(backend, initializer=print)
    with pytest.raises(ValueError, match="concurrency"):
        plait.map(abs, [1], backend=backend, concurrency=2)


def test_the_number_of_workers_is_that_of_the_cluster():
    with pytest.raises(ValueError, match=r"dask://127.0.0.1:1 has as many as it has"):
        plait.map(abs, [1], backend="dask://127.0.0.1:1", workers=2)
    with pytest.raises(ValueError, match=r"dask://127.0.0.1:1 has as many as it has"):
        plait.Executor("dask://127.0.0.1:1", 2)


async def fetch(number):
    return number


@pytest.mark.parametrize("engine", ["dask", "ray"])
def test_coroutine_functions_are_refused(engine):
    told = f"fetch is a coroutine function, which backend '{engine}' does not run"
    with pytest.raises(TypeError, match=told):
        plait.map(fetch, [1], backend=engine)
    with pytest.raises(TypeError, match=told):
        plait.amap(fetch, [1], backend=engine)


# --- versions


def test_versions_are_told_by_text_alone():
    found = eval(expression(), {})
    assert found == versions()
    assert found["plait"] == plait.__version__ and found["cloudpickle"]


@pytest.mark.parametrize(
    "there, said",
    [
        ({}, []),
        ({"Python": "3.99"}, ["Python 3.11 here, 3.99 there"]),
        ({"plait": None}, ["plait 1.2.3 here, missing there"]),
        ({"plait": "1.2.4"}, ["plait 1.2.3 here, 1.2.4 there"]),
        ({"cloudpickle": "3.1.9", "numpy": "2.0.5"}, []),
        (
            {"cloudpickle": "3.2.0", "numpy": "1.26.0"},
            ["cloudpickle 3.1.2 here, 3.2.0 there", "numpy 2.0.1 here, 1.26.0 there"],
        ),
        ({"numpy": None}, []),
    ],
)
def test_differences_name_both_sides(there, said):
    here = {"Python": "3.11", "plait": "1.2.3", "cloudpickle": "3.1.2", "numpy": "2.0.1"}
    assert differences(here, {**here, **there}) == said


# --- sizes of chunks


def sizer(fixed=None, left=None, aim=0.1):
    return Sizer(fixed, aim, 0.004, lambda: left)


def test_sizes_grow_by_steps_to_the_aim():
    grown = sizer()
    sizes = [grown.size]
    for _ in range(4):
        grown.learn(1e-4 * grown.size, grown.size, grown.size)
        sizes.append(grown.size)
    assert sizes == [1, 32, 1000, 1000, 1000]


def test_long_items_go_alone_at_once():
    grown = sizer()
    grown.learn(1e-6, 1, 1)
    assert grown.size == 32
    grown.learn(32.0, 32, 32)
    assert grown.size == 1


def test_heavy_items_go_by_weight():
    grown = sizer()
    grown.learn(1e-6, 1, 1 << 19)
    assert grown.size == 2


def test_what_is_left_is_shared_out_unless_it_is_not_worth_sending():
    shared = sizer(left=80)
    shared.places = 2
    for _ in range(4):
        shared.learn(5e-3 * shared.size, shared.size, shared.size)
    assert shared.size == 10
    tiny = sizer(left=80)
    tiny.places = 2
    for _ in range(4):
        tiny.learn(1e-8 * tiny.size, tiny.size, tiny.size)
    assert tiny.size > 80


def test_the_next_map_begins_near_the_size_of_the_one_before():
    first = sizer()
    for _ in range(4):
        first.learn(1e-4 * first.size, first.size, first.size)
    again = sizer()
    again.begin_with(first.figures)
    assert again.size == first.size // 8 == 125


def test_items_of_one_input_are_kept_as_they_are():
    calls = Singles([1, 2, 3])
    assert (len(calls), list(calls), calls[1]) == (3, [(1,), (2,), (3,)], (2,))
    assert list(calls[1:]) == [(2,), (3,)] and isinstance(calls[1:], Singles)
    assert jobs.chunk_of(calls, 0, True, (None, 0)) == jobs.chunk_of([*calls], 0, True, (None, 0))


def test_a_given_size_stays():
    fixed = sizer(7, left=3)
    fixed.learn(100.0, 1, 1)
    assert fixed.size == 7 and fixed.is_fixed


# --- what a worker runs


def ran(fn, calls, goes_on=True, limits=(None, 0)):
    job = jobs.job_of(fn)
    return jobs.opened(
        work.run(job.digest, job.function, jobs.chunk_of(calls, 0, goes_on, limits)), job.name, "here"
    )


def odd(number):
    if number % 2:
        raise ValueError(number)
    return [number]


def test_each_call_has_an_outcome_of_its_own():
    answer = ran(odd, [(0,), (1,), (2,)])
    assert answer.values == [[0], None, [2]]
    assert list(answer.failures) == [1] and isinstance(answer.failures[1], ValueError)


def test_the_first_failure_ends_a_chunk_that_shall_not_go_on():
    answer = ran(odd, [(0,), (1,), (2,)], goes_on=False)
    assert answer.values == [[0], None] and list(answer.failures) == [1]


def test_a_result_that_cannot_be_sent_is_its_own_calls_failure():
    answer = ran(lambda n: (i for i in ()) if n == 1 else {n}, [(0,), (1,), (2,)])
    assert answer.values == [{0}, None, {2}]
    assert isinstance(answer.failures[1], plait.NotPicklable)


def test_sets_and_several_arguments_travel():
    assert ran(lambda a, b: {a, b}, [(1, 2), (3, 4)]).values == [{1, 2}, {3, 4}]


def test_tries_are_counted_in_the_worker():

    def fails():
        fails.tries += 1
        raise OSError(fails.tries)

    fails.tries = 0
    [error] = ran(fails, [()], limits=(None, 2)).failures.values()
    assert error.args == (3,) and error.__notes__ == ["plait: failed in each of 3 tries"]


def test_a_worker_of_another_version_says_so(monkeypatch):
    job = jobs.job_of(abs)
    monkeypatch.setattr(work, "own_versions", lambda: {**versions(), "plait": "0.0.0"})
    answer = work.run(job.digest + b"!", job.function, jobs.chunk_of([(1,)], 0, True, (None, 0)))
    with pytest.raises(
        plait.PlaitError, match=rf"plait {plait.__version__} here, 0.0.0 there.*install the same"
    ):
        jobs.opened(answer, job.name, "the cluster")
