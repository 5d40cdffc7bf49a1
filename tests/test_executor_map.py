"""Many calls at once, and the map of every executor, on every backend."""

import threading

import plait
import pytest
import workloads as w

pytestmark = pytest.mark.once

# --- many


def test_submitting_from_many_threads_at_once(executor):
    results = [None] * 8

    def work(k):
        futures = [executor.submit(w.add_one, n) for n in range(k * 2000, (k + 1) * 2000)]
        results[k] = [future.result() for future in futures]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [value for part in results for value in part] == list(range(1, 16_001))


def test_fifty_thousand_queued(pool, gate):
    gates = [pool.submit(w.pass_gate, gate.folder, n) for n in range(2)]
    gate.wait_for(0, 1)
    futures = [pool.submit(w.add_one, n) for n in range(50_000)]
    assert not any(future.done() for future in futures[:100] + futures[-100:])
    gate.open()
    assert [future.result() for future in futures] == list(range(1, 50_001))
    assert [future.result() for future in gates] == [None, None]


def test_an_executor_goes_on_after_a_pause_and_errors(executor):
    for round in range(20):
        assert [f.result() for f in [executor.submit(w.add_one, round) for _ in range(5)]] == [round + 1] * 5
        assert isinstance(executor.submit(w.fail).exception(), ValueError)


def test_calls_may_submit_to_another_executor(executor):
    with plait.ThreadPoolExecutor(2) as other:
        futures = [other.submit(lambda n: executor.submit(w.add_one, n).result(), n) for n in range(50)]
        assert [future.result() for future in futures] == list(range(1, 51))


# --- the executor's own map


def test_map_keeps_order_and_ends_with_the_shortest(executor):
    assert list(executor.map(w.add_one, range(100))) == list(range(1, 101))
    assert list(executor.map(w.add, range(10), [10, 20, 30])) == [10, 21, 32]
    assert list(executor.map(w.add_one, [])) == []
    assert list(executor.map(w.add_one, iter(range(10)), chunksize=3)) == list(range(1, 11))


def test_map_raises_where_the_result_would_be(executor):
    results = executor.map(w.fail_on, range(10), [4] * 10, chunksize=3)
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="item 4"):
        next(results)
    assert list(results) == []


def test_map_reads_no_further_than_buffersize(executor):
    taken = []

    def endless():
        n = 0
        while True:
            taken.append(n)
            yield n
            n += 1

    results = executor.map(w.add_one, endless(), buffersize=10)
    for n in range(30):
        assert next(results) == n + 1
        assert len(taken) <= n + 12
    results.close()


@pytest.mark.parametrize("bad", [0, -1])
def test_map_refuses_a_buffersize_below_one(executor, bad):
    with pytest.raises(ValueError, match="buffersize"):
        executor.map(w.add_one, range(3), buffersize=bad)


def test_map_whose_results_nobody_takes_runs_all_the_same(face, tmp_path):
    record = tmp_path / "record"
    with face() as executor:
        executor.map(w.append, [record] * 100, range(100))
    assert sorted(map(int, record.read_text().split())) == list(range(100))


def test_map_raises_at_once_after_shutdown(face):
    executor = face()
    executor.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.map(w.add_one, [1])


def test_map_times_out_on_a_result_that_does_not_come(pool, gate):
    results = pool.map(w.pass_gate, [gate.folder] * 2, ["a", "b"], timeout=0.05)
    with pytest.raises(TimeoutError):
        next(results)
