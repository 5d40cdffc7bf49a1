"""What is seen of the state that a function shares with its caller, and what must not be taken for it.

`sharers` and `objects_shared` have functions of the one kind, `loners` of the other.
"""

import threading
import types

import objects_shared  # noqa: F401
import pytest
from loners import LONERS
from looking import seen, strict  # noqa: F401
from plait import _state
from plait._state import facts
from platforms import in_place
from sharers import SHARERS


def name_of(case):
    return getattr(case, "__name__", None)


@pytest.mark.parametrize("fn, args, said", SHARERS, ids=name_of)
def test_functions_that_share_state(fn, args, said):
    assert seen(fn, *args) == said


@pytest.mark.parametrize("fn, args", LONERS, ids=name_of)
def test_functions_that_share_none(fn, args):
    assert seen(fn, *args) is None


# --- when


def test_what_the_code_says_is_known_before_any_call():
    lock = threading.Lock()

    def guarded():
        with lock:
            pass

    assert "uses the lock `lock`" in _state.look(guarded).finding
    assert _state.look(print).finding is None


def test_it_may_be_asked_again():
    found = []

    def find(x):
        if x > 2:
            found.append(x)

    look = _state.look(find)
    for x in range(3):
        find(x)
        assert look.changed() is None
    find(3)
    assert look.changed() == look.changed() == "it appends to the list `found` of its closure"


def test_what_others_did_before_is_no_matter():
    found = []

    def read():
        return len(found)

    found.append(1)
    look = _state.look(read)
    assert look.changed() is None


def test_names_may_be_given_another_value_by_others():
    names = {"__name__": "of_its_own", "table": {"a": 1}, "limit": 3}
    fn = types.FunctionType((lambda: (table, limit)).__code__, names)  # noqa: F821
    look = _state.look(fn)
    names["limit"] = 3
    assert look.changed() is None
    names["limit"] = 4
    assert look.changed() == "it assigns the global `limit`"
    look = _state.look(fn)
    names["table"] = {"a": 1}
    assert look.changed() == "it assigns the global `table`"
    look = _state.look(fn)
    del names["table"]
    assert look.changed() == "it assigns the global `table`"


def test_what_cannot_be_looked_at_is_taken_for_shared(monkeypatch):
    cannot = "what it shares could not be looked at (RuntimeError: a fault)"

    def fail(*_):
        raise RuntimeError("a fault")

    for place in ("start", "argument", "follow"):
        with monkeypatch.context() as patch:
            patch.setattr(_state.Reach, place, fail)
            with pytest.raises(RuntimeError, match="a fault"):
                _state.look(seen, [([],)])
            patch.setattr(_state, "RAISES", False)
            look = _state.look(seen, [([],)])
            assert look.changed([([],)]) == cannot
    with monkeypatch.context() as patch:
        found = []
        look = _state.look(found.append)
        patch.setattr(facts.Print, "change", fail)
        with pytest.raises(RuntimeError, match="a fault"):
            look.changed()
        patch.setattr(_state, "RAISES", False)
        assert look.changed() == look.changed() == cannot


@in_place
def test_what_other_threads_do_meanwhile_is_no_fault():
    shared = {"list": [], "dict": {}, "set": set(), "raw": bytearray(10)}
    stop = threading.Event()

    def change():
        n = 0
        while not stop.is_set():
            n += 1
            shared["list"].append(n)
            shared["dict"][n] = [n]
            shared["set"].add(n)
            shared["raw"].extend(b"more")
            if n % 1000 == 0:
                shared["list"].clear(), shared["dict"].clear(), shared["set"].clear(), shared["raw"].clear()

    def read():
        return shared

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(40):
            _state.look(read, [(shared,)]).changed()
    finally:
        stop.set()
        thread.join()


# --- arguments


def test_arguments_are_watched_call_by_call():
    look = _state.look(list.append)
    first, second = [], {"a": [1]}
    look.watch(first)
    look.watch(second, 5)
    assert look.changed() is None
    second["a"].append(2)
    assert look.changed() == "it changed an argument: it appends to the list `items[1][0]['a']`"
    first.append(2)
    assert look.changed() == "it changed an argument: it appends to the list `items[0]`"


def test_arguments_of_later_calls_are_not_watched():
    look = _state.look(list.append)
    items = [[] for _ in range(_state.CALLS + 1)]
    for item in items:
        look.watch(item)
    items[-1].append(1)
    assert look.changed() is None
    items[-2].append(1)
    assert look.changed() is not None


def test_arguments_that_were_not_watched_still_tell_what_they_are():
    lock, item = threading.Lock(), []
    assert _state.look(print).changed([(lock,)]).startswith("it uses the lock `items[0]`")
    look = _state.look(print)
    assert look.changed([(item,)]) is None
    item.append(1)
    assert look.changed([(item,)]) is not None
