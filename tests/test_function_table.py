"""The function table is bounded, keeps nothing alive, and is shared by threads."""

import gc
import json
import threading
import weakref

from plait import _core

FunctionTable, decode_function = _core.function.FunctionTable, _core.function.decode_function


class Callable:
    def __call__(self, x):
        return x


def test_lambdas_in_a_loop_are_bounded_and_forgotten():
    table = FunctionTable(functions=64)
    live, newest = set(), 0
    for i in range(1000):
        identity, data = table.prepare(lambda x, i=i: x + i)
        assert decode_function(data)(1) == 1 + i
        live.add(identity)
        forgotten = table.take_forgotten()
        assert identity not in forgotten
        assert set(forgotten) <= live
        live -= set(forgotten)
        assert len(live) == len(table) <= 64
        assert identity > newest
        newest = identity


def test_equal_lambdas_keep_their_id():
    table = FunctionTable()
    assert len({table.prepare(lambda x: x + 1)[0] for _ in range(100)}) == 1
    assert len({table.prepare(eval("lambda x: x + 1", {"__name__": "__main__"}))[0] for _ in range(100)}) == 1
    assert table.take_forgotten() == []


def test_the_least_recently_used_goes_first():
    table = FunctionTable(functions=8)
    kept = table.prepare(json.dumps)[0]
    for i in range(100):
        table.prepare(lambda x, i=i: x)
        assert table.prepare(json.dumps)[0] == kept
    assert kept not in table.take_forgotten()


def test_large_pickles_are_bounded():
    table = FunctionTable(bytes=1_000_000)
    # All alive: one that is gone leaves its address to the next, which then takes its place in the table.
    functions = [lambda blob=bytes([i]) * 300_000: blob for i in range(20)]
    ids = [table.prepare(function)[0] for function in functions]
    assert len(table) <= 3
    assert set(ids) - set(table.take_forgotten()) == set(ids[-len(table) :])
    # One alone is kept, however large.
    identity = table.prepare(lambda blob=b"x" * 2_000_000: blob)[0]
    assert len(table) == 1
    assert identity not in table.take_forgotten()


def test_the_table_keeps_nothing_alive_that_was_captured():
    table = FunctionTable()

    def prepared():
        thing = Callable()

        def helper():
            return thing

        def function():
            return helper()

        def plain(x):
            return x

        def uses_plain(x):
            return plain(x)

        table.prepare(function)
        table.prepare(uses_plain)
        return [weakref.ref(made) for made in (thing, helper, function, plain, uses_plain)]

    references = prepared()
    gc.collect()
    assert [reference() for reference in references] == [None] * 5
    assert len(table) == 2


def test_address_reuse_is_seen():
    """Functions made, sent and dropped in turn get each other's addresses."""
    table = FunctionTable()
    for i in range(300):
        names = {"__name__": "__main__"}
        exec(f"K = ({i}, 'x')\ndef helper(): return K\ndef f(): return helper()[0]", names)
        assert decode_function(table.prepare(names["f"])[1])() == i
        del names
        if i % 50 == 0:
            gc.collect()


def test_threads_share_a_table():
    table = FunctionTable(functions=16)
    failures = []

    def work(seed):
        for i in range(200):
            n = (seed * 7 + i) % 40
            names = {"__name__": "__main__", "n": n}
            exec("def f(): return n", names)
            if decode_function(table.prepare(names["f"])[1])() != n:
                failures.append(n)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(table) <= 16


def test_a_table_used_while_it_pickles():
    """Pickling runs user code, which may come back to the same table."""
    table = FunctionTable()
    met = []

    class Meets:
        def __reduce__(self):
            met.append(table.prepare(json.dumps)[0])
            table.prepare(lambda: 1)
            return int, ()

    meets = Meets()
    assert decode_function(table.prepare(lambda: meets)[1])() == 0
    assert met
