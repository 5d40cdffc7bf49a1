"""Sub-interpreters as a candidate where plait chooses: when they are one, and how calls come back."""

import contextvars
import itertools
import sys
import threading
import time

import interpreted as i
import plait
import pytest
import workloads as w
from outside import run_program, until
from plait import _kept
from plait._auto import apart, deciding, priors, probe
from platforms import HAS_GIL, needs_gil

old = sys.version_info < (3, 14)
needs_3_14 = pytest.mark.skipif(old, reason="sub-interpreters came with Python 3.14")

CPU = {"calls": 20, "wall": 0.001, "longest": 0.0011, "cpu": 0.001, "held": 0.001, "remaining": 200}
MACHINE = {"cpus": 2, "physical": 2, "memory": 8 << 30, "thread_pool": "warm", "process_pool": "cold"}


@pytest.fixture(autouse=True)
def nothing_known():
    """As in a program that has just begun: no verdicts, no figures."""
    apart._verdicts.clear()
    priors._known.clear()
    yield
    apart._verdicts.clear()
    for key in [key for key in _kept.pools if key[0] == "interpreters"]:
        _kept.pools.pop(key).shutdown()


@pytest.fixture
def preferred(monkeypatch):
    """They are chosen wherever nothing speaks against them, whatever was measured."""
    if not HAS_GIL:
        pytest.skip("without a GIL threads do what interpreters would")

    def prefer(figures, machine, bounds):
        # A busy machine makes a call long now and then.
        told = choose(figures | {"longest": figures["wall"]}, machine, bounds)
        found = [each for each in told["candidates"] if each["backend"] == "interpreters"]
        if not found or found[0]["why_not"] is not None:
            return told
        return told | {"backend": "interpreters", "workers": 2}

    choose = deciding.choose
    monkeypatch.setattr(deciding, "choose", prefer)
    # pytest looks at log records, and nobody here does.
    monkeypatch.setattr(apart, "_is_logged", lambda: False)
    # A busy machine may need long to load anything, and for the first calls.
    monkeypatch.setattr(apart, "PATIENCE", 60.0)
    monkeypatch.setattr(probe, "_LONGEST", 10.0)
    monkeypatch.setattr(deciding, "revise", lambda *_: None)


def chosen(machine, **figures):
    return deciding.choose(CPU | figures, MACHINE | machine, deciding.Bounds(backends=deciding.ANYWHERE))


# --- the candidate


@pytest.mark.once
def test_it_is_asked_for_by_the_machine_and_told_why_not():
    everywhere = deciding.Bounds(backends=("serial", "threads", "processes", "interpreters"))
    told = deciding.choose(CPU, MACHINE | {"interpreters": "cold"}, everywhere)
    assert (told["backend"], told["workers"], told["runner_up"]) == ("interpreters", 2, "processes")
    assert "2 interpreters:" in told["reasons"][-1]
    tried = {"workers": 2, "rate": 150.0, "cpu_share": 1.0}
    said = str(
        plait.Choice(told | {"figures": {"interpreters_tried": tried}, "machine": {"interpreters": "cold"}})
    )
    assert said.startswith("2 interpreters: ") and "2 interpreters: 150 calls a second" in said
    assert "machine  interpreters cold" in said
    refused = deciding.choose(
        CPU | {"unloadable": "x refuses"}, MACHINE | {"interpreters": "cold"}, everywhere
    )
    assert refused["backend"] != "interpreters" and "not interpreters: x refuses" in refused["reasons"]
    without = deciding.choose(CPU, MACHINE, everywhere)
    assert [each["backend"] for each in without["candidates"]] == ["serial", "threads", "processes"]


@pytest.mark.skipif(not old, reason="this Python has them")
def test_an_older_python_knows_nothing_of_them():
    assert "interpreters" not in deciding.ANYWHERE
    assert apart.pool_state(contextvars.Context()) is None
    code = """
import sys, plait
def spin(n):
    for i in range(n): pass
results = plait.map(spin, [20_000] * 300)
assert len(list(results)) == 300
print([each.backend for each in results.choice.candidates])
print([name for name in sys.modules if name.startswith(("plait._interpreters", "plait._auto.interpreted"))])
"""
    assert run_program("-c", code).lines == ["['serial', 'threads', 'processes']", "[]"]


def sorts(choice):
    return [each.backend for each in choice.candidates]


@needs_3_14
@pytest.mark.parametrize("asked", [{"timeout": 60}, {"retries": 1}, {"ordered": False}, {"errors": "skip"}])
def test_a_map_that_asks_for_more_has_other_candidates(asked):
    results = plait.map(i.spin, [2000] * 50, **asked)
    assert "interpreters" not in sorts(results.choice)
    assert len(list(results)) == 50


@needs_3_14
def test_an_executor_has_others():
    with plait.Executor() as executor:
        assert [future.result() for future in [executor.submit(abs, n) for n in range(300)]] == list(
            range(300)
        )
        assert "interpreters" not in sorts(executor.choice)


def why_not_there(choice):
    return next(each.why_not for each in choice.candidates if each.backend == "interpreters")


# --- real runs

PROGRAM = """
import threading
import plait

def spin(n):
    from concurrent import interpreters
    total = 0
    for i in range(n):
        total += i * i
    return total, interpreters.get_current().id

results = plait.map(spin, [{work}] * 200)
choice = results.choice
found = list(results)
assert {{value for value, _ in found}} == {{sum(i * i for i in range({work}))}}
print(choice.backend, len({{place for _, place in found}} - {{0}}) > 0)
print(choice.reasons[-1])
"""


@needs_3_14
@needs_gil
@pytest.mark.skipif(plait.cpu_count() < 2, reason="one processor")
def test_a_program_that_computes_for_a_moment_goes_there():
    ended = []

    def goes_there():
        # Where other programs have the processors, calls are measured to be longer.
        ended.append(run_program("-c", PROGRAM.format(work=20_000)))
        assert ended[-1].code == 0 and ended[-1].err == "", ended[-1]
        return ended[-1].lines[0] == "interpreters True"

    until(goes_there, lambda: f"interpreters, instead of {ended[-1].out}")
    assert ended[-1].lines[1].startswith("2 interpreters: ") or plait.cpu_count() != 2
    assert "processes" in ended[-1].lines[1]


@needs_3_14
def test_little_work_does_not():
    assert run_program("-c", PROGRAM.format(work=10)).lines[0] == "serial False"


@needs_3_14
def test_explain_loads_the_function_there(preferred, monkeypatch, tmp_path):
    assert plait.explain(i.spin, [20_000] * 200).backend == "interpreters"
    refuses = refusing("raise ImportError('module fake.core does not support loading in subinterpreters')")
    note = module_of(refuses, monkeypatch, tmp_path, "refuses_to_explain").note
    for _ in range(2):
        refused = plait.explain(note, itertools.repeat(tmp_path / "calls"), range(2000))
        assert refused.backend != "interpreters"
        assert why_not_there(refused) == "fake.core, which it needs, refuses to be loaded there"


@needs_3_14
@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("options", [{}, {"chunksize": 3}, {"buffersize": 5}, {"workers": 2}])
def test_results_come_in_order_and_from_there(preferred, sized, options):
    items = list(range(1000, 2000))
    results = plait.map(i.spin_where, items if sized else iter(items), **options)
    found = list(results)
    assert [value for value, _ in found] == [i.spin(item) for item in items]
    assert {place for _, place in found} - {0}
    assert results.choice.backend == "interpreters"


@needs_3_14
def test_functions_of_the_script_and_closures(preferred):
    shift = 5

    def shifted(n):
        return helper(n) + shift

    def helper(n):
        return i.spin(n) * 2

    assert list(plait.map(shifted, range(500))) == [2 * i.spin(n) + 5 for n in range(500)]
    assert list(plait.map(w.add, range(500), itertools.count(3))) == [2 * n + 3 for n in range(500)]


@needs_3_14
@pytest.mark.parametrize("limit", [0, 5, 700, 15_000])
def test_what_came_before_an_exception_is_handed_out(preferred, limit):
    results = plait.map(i.fail_at, itertools.repeat(limit), range(20_000))
    assert list(itertools.islice(results, limit)) == list(range(limit))
    with pytest.raises(ValueError, match=f"no {limit}"):
        next(results)
    assert list(results) == []


@needs_3_14
def test_what_the_input_raises_comes_after_the_results_before_it(preferred):
    def items():
        yield from range(3000)
        raise LookupError("the input is over")

    results = plait.map(i.spin, items())
    assert list(itertools.islice(results, 3000)) == [i.spin(n) for n in range(3000)]
    with pytest.raises(LookupError, match="the input is over"):
        next(results)


@needs_3_14
def test_an_endless_input_is_read_as_it_is_asked_for(preferred):
    read = []

    def items():
        for n in itertools.count():
            read.append(n)
            yield n

    results = plait.map(i.spin, items(), buffersize=50)
    assert list(itertools.islice(results, 200)) == [i.spin(n) for n in range(200)]
    assert len(read) <= 250
    results.close()
    assert list(results) == []


@needs_3_14
@pytest.mark.parametrize("limit", [0, 1600, 1999])
def test_a_module_that_a_call_is_refused_is_loaded_here(preferred, monkeypatch, tmp_path, limit):
    text = "from concurrent import interpreters\nif interpreters.get_current().id:\n"
    text += "    raise ImportError('module late_refusal does not support loading in subinterpreters')\n"
    text += "number = 0\n"
    (tmp_path / "late_refusal.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "late_refusal", raising=False)
    results = plait.map(i.load_later, range(2000), itertools.repeat(limit))
    assert list(results) == list(range(2000))
    if limit:
        assert results.choice.backend != "interpreters"
        assert why_not_there(results.choice) == "late_refusal, which a call needs, refuses to be loaded there"


@needs_3_14
def test_what_interpreters_do_not_let_calls_do_is_done_here(preferred):
    results = plait.map(i.start_daemon, range(300))
    assert list(results) == list(range(300))
    assert results.choice.backend != "interpreters"
    assert "daemon threads are disabled" in str(results.choice)


def refusing(text):
    """A module that does so in a sub-interpreter, and here has a function that notes its calls."""
    return f"""
from concurrent import interpreters
if interpreters.get_current().id:
    {text}

def note(path, number):
    with open(path, "a") as file:
        file.write(f"{{number}}\\n")
    return number
"""


def module_of(text, monkeypatch, tmp_path, name):
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    return __import__(name)


@needs_3_14
@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "raise ImportError('module fake.core does not support loading in subinterpreters')",
            "fake.core, which it needs, refuses to be loaded there",
        ),
        ("raise LookupError('no such thing')", "LookupError: no such thing"),
        ("import time; time.sleep(1)", "it was not loaded within 0.25 seconds"),
    ],
)
def test_a_function_that_does_not_load_goes_elsewhere_before_any_call(
    preferred, monkeypatch, tmp_path, text, why
):
    if "sleep" in text:
        monkeypatch.setattr(apart, "PATIENCE", 0.25)
    note = module_of(refusing(text), monkeypatch, tmp_path, f"loads_{abs(hash(text))}").note
    path = tmp_path / "calls"
    results = plait.map(note, itertools.repeat(path), range(2000))
    assert list(results) == list(range(2000))
    assert sorted(int(line) for line in path.read_text().split()) == list(range(2000))
    assert why in why_not_there(results.choice) and why in apart.why_not(note, None, [], [])
    assert results.choice.backend != "interpreters"


@needs_3_14
def test_what_cannot_be_sent_is_no_loss(preferred):
    items = [*range(1500), threading.Lock(), *range(1500)]
    results = plait.map(i.pass_on, items)
    assert list(itertools.islice(results, 1500)) == items[:1500]
    assert "its arguments cannot be sent" in why_not_there(results.choice)
    results = plait.map(i.lock_from, itertools.repeat(1200), range(20_000))
    taken = []
    with pytest.raises(TypeError, match=r"cannot pickle '_thread\.lock'"):
        taken.extend(results)
    assert taken == list(range(len(taken))) and len(taken) >= 1200


@needs_3_14
def test_a_map_moves_from_there_and_back(preferred, monkeypatch):
    moves = iter(["serial", "interpreters", "threads"])

    def move(choice, figures, machine, bounds, switches):
        time.sleep(0.001)
        backend = next(moves, None)
        return backend and choice | {"backend": backend, "workers": 1 if backend == "serial" else 2}

    monkeypatch.setattr(deciding, "revise", move)
    items = [3000] * 3000
    results = plait.map(i.spin, items)
    assert list(results) == [i.spin(3000)] * 3000
    assert results.choice.backend == "threads"


@needs_3_14
def test_what_they_reach_is_measured(preferred, monkeypatch):
    seen = []

    def look(choice, figures, machine, bounds, switches):
        seen.append(figures.get("interpreters_tried"))

    monkeypatch.setattr(deciding, "revise", look)
    list(plait.map(i.spin, [20_000] * 600))
    tried = [each for each in seen if each]
    assert tried and all(each["workers"] == 2 and each["rate"] > 0 for each in tried)
    assert all(0 <= each["cpu_share"] <= 1 for each in tried)
