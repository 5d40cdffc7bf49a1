"""Functions by name, with their arguments, and by value to a real second process."""

import collections
import decimal
import functools
import itertools
import json
import math
import operator
import re
import subprocess
import sys
from pathlib import Path

import pytest
from codec_peer import Peer, run_script
from plait import _core

FunctionTable, decode_function = _core.function.FunctionTable, _core.function.decode_function


def test_functions_of_modules_go_by_name():
    table = FunctionTable()
    for function in [
        json.dumps,
        math.sqrt,
        len,
        int,
        collections.OrderedDict,
        str.upper,
        operator.add,
        decimal.Decimal,
        re.compile,
    ]:
        identity, data = table.prepare(function)
        assert table.prepare(function)[0] == identity
        assert decode_function(data) is function
        assert len(data) < 100


class Outer:
    class Inner:
        def method(self):
            return "method"

        @staticmethod
        def static(x):
            return x + 1

    @classmethod
    def build(cls, x):
        return cls, x


def test_methods_by_name():
    table = FunctionTable()
    for function in [Outer.Inner.method, Outer.Inner.static]:
        identity, data = table.prepare(function)
        assert decode_function(data) is function
        assert table.prepare(function)[0] == identity
    assert decode_function(table.prepare(lru_cached)[1]) is lru_cached


@functools.lru_cache
def lru_cached(x):
    return x


class Callable:
    def __call__(self, x):
        return x


def test_what_holds_state_goes_with_the_arguments():
    table = FunctionTable()
    for function in [
        functools.partial(max, 1),
        Outer.build,
        Outer().build,
        [].append,
        Callable(),
        "a".join,
        staticmethod(len),
    ]:
        assert table.prepare(function) is None
    with Peer() as peer:
        assert peer.call(functools.partial(max, 1), 2) == 2
        assert peer.call(Outer.build, 3) == (Outer, 3)
        assert peer.call(Callable(), 4) == 4
        assert peer.call("-".join, ["a", "b"]) == "a-b"
        assert peer.call(functools.partial(lambda x, y: x - y, 5), y=2) == 3


def test_a_function_that_cannot_be_loaded_says_where():
    data = _core.codec.encode_call((json.dumps,))[1].replace(b"json", b"nope")
    with pytest.raises(ModuleNotFoundError) as caught:
        decode_function(data)
    assert caught.value.__notes__ == ["raised while a plait worker loaded the function"]


def test_state_in_the_worker_and_functions_sent_once():
    with Peer() as peer:
        assert [peer.call(count_up, names) for names in itertools.repeat("a", 3)] == [1, 2, 3]


_counts = collections.Counter()


def count_up(name):
    _counts[name] += 1
    return _counts[name]


def test_a_main_script_with_a_real_worker(tmp_path):
    out = run_script(
        tmp_path,
        """
        import functools
        ROWS = [1, 2]
        K = 10

        def helper(x): return x + K

        def f(x): return helper(x) + sum(ROWS)

        print(peer.call(f, 1))
        ROWS.append(100)
        print(peer.call(f, 1))
        K = 20
        print(peer.call(f, 1))
        def helper(x): return -x
        print(peer.call(f, 1))

        def make(n):
            def inner(x): return x * n
            return inner
        print(peer.call(make(3), 5), peer.call(make(4), 5), peer.call(lambda x: x + K, 1))
        for i in range(3):
            print(peer.call(lambda: i))

        class Account:
            rate = 2
            def __init__(self, n): self.n = n
            def interest(self): return self.n * self.rate
            @staticmethod
            def twice(x): return 2 * x
            @classmethod
            def make(cls, n): return cls(n)
            class Inner:
                def name(self): return type(self).__name__
        print(peer.call(Account(21).interest), peer.call(Account.twice, 4), peer.call(Account.make, 1).n)
        print(peer.call(Account.interest, Account(3)), peer.call(Account.Inner().name))
        Account.rate = 5
        print(peer.call(Account(21).interest), peer.call(Account.interest, Account(3)))
        print(peer.call(functools.partial(f, 7)))
        def factorial(n): return 1 if n < 2 else n * factorial(n - 1)
        print(peer.call(factorial, 10))
        """,
    )
    assert " ".join(out) == "14 114 124 102 15 20 21 0 1 2 42 8 1 6 Inner 105 15 96 3628800"


def test_a_script_from_standard_input(tmp_path):
    text = "from codec_peer import Peer\nK = 1\ndef f(x): return x + K\n"
    text += "with Peer() as peer:\n    print(peer.call(f, 1)); K = 5; print(peer.call(f, 1))\n"
    path = ":".join([str(Path(__file__).parent), *(entry for entry in sys.path if entry)])
    for arguments, given in ([["-"], text], [["-c", text], None]):
        done = subprocess.run(
            [sys.executable, *arguments],
            input=given,
            text=True,
            capture_output=True,
            timeout=60,
            env={"PYTHONPATH": path},
        )
        assert done.stdout.split() == ["2", "6"], done.stderr
