"""From times to regrets. Plain data in, plain data out.

The regret of a workload is the time of `plait.map(..., backend="auto")` divided by that of the best fixed
configuration of the best existing library; 1.0 is a choice as good as knowing. The best is the one with the
smallest median; the regret is the median of the rounds' own ratios, since what loads the machine for a while
loads both sides of a round.
"""

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

# A backend that is this close to the best is as right as the best.
AS_GOOD = 1.05
# Deciding may take this many seconds, or this part of the run, whichever is more.
DECIDING_SECONDS, DECIDING_SHARE = 0.05, 0.02


@dataclass
class Times:
    """What was measured of one contender, in seconds."""

    name: str
    backend: str
    existing: bool
    straw: str = ""
    # Of the first, single run.
    scouted: float | None = None
    # Of the runs in turns with the others; empty if the first run showed that it is not among the best.
    rounds: list[float] = field(default_factory=list)
    # "ok", or what went wrong; "cut" if it was ended for taking too long: `scouted` is the limit then.
    fate: str = "ok"
    why: str = ""

    @property
    def typical(self) -> float:
        """The median of the rounds, or else the first run; infinite if there is no result."""
        if self.fate != "ok":
            return math.inf
        if self.rounds:
            return statistics.median(self.rounds)
        return math.inf if self.scouted is None else self.scouted


def best(contenders: Iterable[Times], existing: bool = True) -> Times | None:
    """Return the contender of the existing libraries, or of plait's fixed ones, with the smallest time.

    Those measured in rounds go before those measured once: a single run is lucky at times.
    """
    finished = [one for one in contenders if one.existing == existing and math.isfinite(one.typical)]
    return min(finished, key=lambda one: (not one.rounds, one.typical), default=None)


def ratio(mine: Times, other: Times) -> float:
    """Return how many times longer `mine` takes than `other`: the median over the rounds that both have."""
    pairs = list(zip(mine.rounds, other.rounds))
    if pairs and mine.fate == "ok":
        return statistics.median(own / theirs for own, theirs in pairs)
    return mine.typical / other.typical


def backends_as_good(contenders: Iterable[Times]) -> list[str]:
    """Return the backends on which an existing library is within 5 % of the best of them."""
    fastest: dict[str, float] = {}
    for one in contenders:
        if one.existing and math.isfinite(one.typical):
            fastest[one.backend] = min(one.typical, fastest.get(one.backend, math.inf))
    least = min(fastest.values(), default=math.inf)
    return sorted(backend for backend, seconds in fastest.items() if seconds <= AS_GOOD * least)


def straw_men(contenders: Iterable[Times], against: Times) -> dict[str, dict[str, Any]]:
    """Return what the configurations that nobody chose cost: the ratio, and the fate.

    The ratio of one that was cut off is what it took at least; one that failed or was wrong has none.
    """
    found = {}
    for one in contenders:
        if one.straw and one.fate == "ok":
            found[one.straw] = {"ratio": ratio(one, against), "fate": "ok"}
        elif one.straw:
            least = one.scouted / against.typical if one.fate == "cut" and one.scouted else None
            found[one.straw] = {"ratio": least, "fate": one.fate}
    return found


def judge(
    contenders: list[Times], auto: Times | None, choices: list[dict[str, Any]]
) -> dict[str, Any] | None:
    """Return the regret of a workload and what goes with it; None if no existing library finished.

    `choices` are what the chooser said in each of auto's runs, `auto.scouted` is its first.
    """
    fixed = best(contenders)
    if fixed is None:
        return None
    own = best(contenders, existing=False)
    judged: dict[str, Any] = {
        "best": fixed.name,
        "best_backend": fixed.backend,
        "best_seconds": fixed.typical,
        "own": own.name if own else None,
        "own_seconds": own.typical if own else None,
        "straw_men": straw_men(contenders, fixed),
        "as_good": backends_as_good(contenders),
    }
    if auto is None:
        return judged
    judged |= {"fate": auto.fate, "why": auto.why}
    if auto.fate == "cut":
        return judged | {"regret": auto.scouted / fixed.typical, "first": auto.scouted / fixed.typical}
    if auto.fate != "ok":
        return judged
    regret = ratio(auto, fixed)
    backends = [choice["backend"] for choice in choices]
    backend = statistics.mode(backends[1:] or backends)
    deciding = [choice["deciding"] for choice in choices if choice.get("deciding") is not None]
    return judged | {
        "auto_seconds": auto.typical,
        "regret": regret,
        "first": auto.scouted / fixed.typical,
        "own_regret": ratio(auto, own) if own else None,
        "backend": backend,
        "workers": choices[-1]["workers"],
        "right": backend in judged["as_good"] or regret <= AS_GOOD,
        "deciding": statistics.median(deciding) if deciding else None,
        "deciding_ok": all(deciding_in_bounds(seconds, auto.typical) for seconds in deciding),
    }


def deciding_in_bounds(deciding: float, run: float) -> bool:
    """Return whether deciding took no longer than it may, in a run of so many seconds."""
    return deciding <= max(DECIDING_SECONDS, DECIDING_SHARE * run)


def geometric_mean(ratios: Iterable[float]) -> float | None:
    """Return the geometric mean, None of nothing."""
    known = list(ratios)
    return math.exp(sum(map(math.log, known)) / len(known)) if known else None


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what all judged workloads come to."""
    judged = [row for row in rows if "regret" in row]
    regrets = [row["regret"] for row in judged]
    names = sorted({name for row in rows for name in row["straw_men"]})
    straw = {}
    for name in names:
        known = [row["straw_men"][name] for row in rows if name in row["straw_men"]]
        ratios = [one["ratio"] for one in known if one["ratio"] is not None]
        straw[name] = {
            "mean": geometric_mean(ratios),
            "worst": max(ratios, default=None),
            "cut": sum(one["fate"] == "cut" for one in known),
            "without_result": sum(one["fate"] not in ("ok", "cut") for one in known),
        }
    deciding = [row["deciding"] for row in judged if row.get("deciding") is not None]
    return {
        "workloads": len(rows),
        "judged": len(judged),
        "mean": geometric_mean(regrets),
        "worst": max(regrets, default=None),
        "worst_name": max(judged, key=lambda row: row["regret"])["name"] if judged else None,
        "first_mean": geometric_mean(row["first"] for row in judged),
        "first_worst": max((row["first"] for row in judged), default=None),
        "own_mean": geometric_mean(row["own_regret"] for row in judged if row.get("own_regret")),
        "right": sum(bool(row.get("right")) for row in judged) / len(judged) if judged else None,
        "deciding_median": statistics.median(deciding) if deciding else None,
        "deciding_worst": max(deciding, default=None),
        "deciding_over": sum(not row.get("deciding_ok", True) for row in judged),
        "straw_men": straw,
    }
