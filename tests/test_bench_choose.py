"""The arithmetic of `make bench-choose`: from times to regrets, and what its table says. Nothing is timed."""

import importlib
import math
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

BENCH = Path(__file__).resolve().parent.parent / "bench"


@pytest.fixture
def choosing(monkeypatch):
    """The modules of the benchmark, by name; forgotten at the end."""
    monkeypatch.syspath_prepend(str(BENCH))
    before = set(sys.modules)
    yield lambda name: importlib.import_module(f"choosing.{name}")
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "choosing":
            del sys.modules[name]


@pytest.fixture
def regret(choosing):
    return choosing("regret")


def times(regret, name, rounds, backend="threads", existing=True, **more):
    """What was measured of a contender: a first run of twice the first round, and the rounds."""
    more.setdefault("scouted", 2 * rounds[0] if rounds else None)
    return regret.Times(name, backend, existing, rounds=rounds, **more)


def choice(backend, workers=2, deciding=0.004):
    return {"backend": backend, "workers": workers, "deciding": deciding}


def test_the_regret_is_the_median_of_the_rounds_own_ratios(regret):
    fixed = times(regret, "fixed", [1.0, 2.0, 4.0])
    auto = times(regret, "auto", [1.1, 2.4, 4.2], "auto", existing=False)
    judged = regret.judge([fixed], auto, [choice("threads")] * 4)
    # 1.1, 1.2, 1.05: the second round was slow for both.
    assert judged["regret"] == pytest.approx(1.1)
    assert judged["first"] == pytest.approx(2.2 / 2.0)


def test_the_best_is_that_of_the_existing_libraries(regret):
    slow, fast = times(regret, "slow", [3.0, 3.0]), times(regret, "fast", [2.0, 2.0], "processes")
    own = times(regret, "own", [1.0, 1.0], existing=False)
    auto = times(regret, "auto", [1.5, 1.5], "auto", existing=False)
    judged = regret.judge([own, slow, fast], auto, [choice("threads")] * 3)
    assert (judged["best"], judged["best_backend"], judged["best_seconds"]) == ("fast", "processes", 2.0)
    assert judged["regret"] == pytest.approx(0.75)
    assert (judged["own"], judged["own_regret"]) == ("own", pytest.approx(1.5))


def test_a_lucky_single_run_is_not_the_best(regret):
    lucky = times(regret, "lucky", [], scouted=0.9)
    assert regret.best([lucky, times(regret, "steady", [1.0])]).name == "steady"
    assert regret.best([lucky]).name == "lucky"


@pytest.mark.parametrize("fate", ["cut", "failed", "wrong"])
def test_who_did_not_finish_is_never_the_best(regret, fate):
    out = times(regret, "out", [0.1], fate=fate)
    assert out.typical == math.inf
    assert regret.best([out]) is None
    assert regret.judge([out], None, []) is None
    assert regret.best([out, times(regret, "slow", [9.0])]).name == "slow"


def test_the_right_backend_is_one_within_five_percent(regret):
    contenders = [
        times(regret, "threads", [1.0]),
        times(regret, "loop", [1.04], "serial"),
        times(regret, "processes", [1.06], "processes"),
    ]
    assert regret.backends_as_good(contenders) == ["serial", "threads"]
    slow, quick = (times(regret, "auto", [seconds], "auto", existing=False) for seconds in (1.2, 1.05))
    assert regret.judge(contenders, slow, [choice("serial")] * 2)["right"]
    assert not regret.judge(contenders, slow, [choice("processes")] * 2)["right"]
    # As quick as the best, wherever it ran.
    assert regret.judge(contenders, quick, [choice("processes")] * 2)["right"]


def test_the_backend_is_the_one_chosen_most_after_the_first_run(regret):
    auto = times(regret, "auto", [1.0] * 3, "auto", existing=False)
    choices = [choice(backend) for backend in ("serial", "threads", "processes", "threads")]
    assert regret.judge([times(regret, "fixed", [1.0] * 3)], auto, choices)["backend"] == "threads"


def test_auto_that_is_cut_off_has_the_regret_of_its_limit(regret):
    auto = times(regret, "auto", [], "auto", existing=False, scouted=20.0, fate="cut")
    judged = regret.judge([times(regret, "fixed", [2.0])], auto, [])
    assert judged["regret"] == judged["first"] == 10.0
    assert "right" not in judged


def test_auto_that_fails_has_no_regret_and_is_told(regret, choosing):
    auto = times(regret, "auto", [], "auto", existing=False, fate="wrong", why="result 3 is 4, not 5")
    judged = regret.judge([times(regret, "fixed", [2.0])], auto, []) | {"name": "sums"}
    assert "regret" not in judged and judged["why"] == "result 3 is 4, not 5"
    assert "wrong" in choosing("table").line(judged)
    assert regret.summary([judged])["judged"] == 0


@pytest.mark.parametrize(
    ("deciding", "run", "fits"),
    [(0.05, 0.1, True), (0.051, 0.1, False), (0.051, 2.55, True), (0.2, 10.0, True), (0.21, 10.0, False)],
)
def test_deciding_may_take_50_ms_or_2_percent(regret, deciding, run, fits):
    assert regret.deciding_in_bounds(deciding, run) is fits


def test_straw_men_that_were_cut_off_count_with_what_they_took_at_least(regret, choosing):
    fixed = times(regret, "fixed", [0.5], straw="always threads")
    cut = times(regret, "cut", [], "processes", straw="always processes", scouted=6.0, fate="cut")
    broken = times(
        regret, "broken", [], "processes", straw="joblib's default", fate="failed", why="TypeError"
    )
    judged = regret.judge([fixed, cut, broken], None, []) | {"name": "waits"}
    assert judged["straw_men"]["always threads"] == {"ratio": 1.0, "fate": "ok"}
    assert judged["straw_men"]["always processes"] == {"ratio": 12.0, "fate": "cut"}
    assert judged["straw_men"]["joblib's default"] == {"ratio": None, "fate": "failed"}
    table = choosing("table")
    assert [table.straw(judged, name) for name in table.STRAW] == ["1.00", ">12", "failed"]
    total = regret.summary([judged])["straw_men"]
    assert total["always processes"] == {
        "mean": pytest.approx(12),
        "worst": 12,
        "cut": 1,
        "without_result": 0,
    }
    assert total["joblib's default"] == {"mean": None, "worst": None, "cut": 0, "without_result": 1}


def test_the_summary_has_the_geometric_mean_the_worst_and_the_share_of_right_backends(regret, choosing):
    rows = []
    for name, seconds, backend in (("a", 0.8, "threads"), ("b", 1.0, "threads"), ("c", 1.6, "processes")):
        auto = times(regret, "auto", [seconds], "auto", existing=False)
        judged = regret.judge([times(regret, "fixed", [1.0])], auto, [choice(backend, deciding=0.06)] * 2)
        rows.append(judged | {"name": name})
    total = regret.summary(rows)
    assert total["mean"] == pytest.approx((0.8 * 1.0 * 1.6) ** (1 / 3))
    assert (total["worst"], total["worst_name"]) == (pytest.approx(1.6), "c")
    assert total["right"] == pytest.approx(2 / 3)
    assert (total["deciding_worst"], total["deciding_over"]) == (0.06, 3)
    closing = choosing("table").closing(total)
    assert "worst 1.60" in closing and "67%" in closing


def test_nothing_judged_makes_no_figures(regret, choosing):
    total = regret.summary([])
    assert (total["mean"], total["worst"], total["right"], total["judged"]) == (None, None, None, 0)
    assert "geometric mean" not in choosing("table").closing(total)


def test_there_are_workloads_of_every_kind_and_each_checks_its_results(choosing):
    workloads = choosing("workload").load()
    assert len(workloads) >= 28
    kinds = {one.kind for one in workloads.values()}
    assert kinds >= {"I/O", "Python", "native, no GIL", "native, GIL", "tiny items", "large data", "uneven"}
    assert kinds >= {"limits", "shared state", "mixed", "unsendable"}
    job = workloads["recursion"].prepare({})
    items = list(job.items)
    assert len(items) == job.count
    right = [987 + (item > 16) * 610 + (item > 17) * 987 for item in items]
    job.check(right)
    with pytest.raises(AssertionError, match="result 1 is 1598, not 1597"):
        job.check([right[0], right[1] + 1, *right[2:]])


def test_a_digest_is_of_the_results_and_their_order(choosing):
    digest = choosing("workload").digest
    assert digest([1, "a", b"b"]) == digest([1, "a", b"b"])
    assert len({digest(results) for results in ([1, 2], [2, 1], [12], ["1", 2], [1, 2, None])}) == 5


def test_figures_of_an_earlier_run_stand_for_the_first_runs(choosing):
    contenders, match = choosing("contenders"), choosing("match")
    recursion = choosing("workload").load()["recursion"]
    one = match.Match(recursion, {}, 2, False, print)
    try:
        processes = contenders.Spec("stdlib", "processes", 2, 1, straw="always processes")
        entries = [
            {
                "spec": contenders.LOOP.as_json(),
                "scouted": 1.2,
                "rounds": [1.0, 1.1, 0.9],
                "fate": "ok",
                "why": "",
            },
            {"spec": processes.as_json(), "scouted": 5.0, "rounds": [], "fate": "cut", "why": ""},
            {"spec": contenders.AUTO.as_json(), "scouted": 0.1, "rounds": [0.1], "fate": "ok", "why": ""},
        ]
        one.recall({"contenders": entries}, auto=False)
        row = one.result()
    finally:
        one.close()
    assert (row["best"], row["best_seconds"], row["own"]) == ("a loop", 1.0, None)
    assert row["straw_men"] == {"always processes": {"ratio": 5.0, "fate": "cut"}}
    assert [entry["spec"] for entry in row["contenders"]] == [entry["spec"] for entry in entries[:2]]
