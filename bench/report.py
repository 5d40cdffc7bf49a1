"""From measurements to ratios and a table. Plain data in, text out."""

import statistics
from collections.abc import Iterable
from typing import Any

from rows import CPU, MEMORY, RATE, WALL, Bound, Goal, Row

Rounds = dict[str, list[dict[str, float]]]

NAMES = {WALL: "wall", CPU: "CPU", MEMORY: "peak", RATE: "rate"}
HEAD = (
    f"{'row':<4}{'':<6}{'plait':>13}  {'peer':<32}{'':>13}{'ratio':>9}  {'(rounds)':<16}{'goal':>6}"
    "      per task"
)


def middle(rounds: list[dict[str, float]], metric: str) -> float:
    """Return the median of a metric over the rounds."""
    return statistics.median(measured[metric] for measured in rounds)


def judge(row: Row, goal: Goal, rounds: Rounds) -> dict[str, Any] | None:
    """Set plait beside the best of the goal's peers; None when one of the two was not measured.

    The ratio is the median of the rounds' own ratios: what loads the machine loads both sides of a round.
    """
    present = [peer for peer in goal.peers if rounds.get(peer)]
    mine = rounds.get(row.plait.name)
    if not present or not mine:
        return None
    peer = min(present, key=lambda name: middle(rounds[name], goal.metric))
    ratios = [theirs[goal.metric] / own[goal.metric] for theirs, own in zip(rounds[peer], mine)]
    ratio = statistics.median(ratios)
    return {
        "row": row.number,
        "title": row.title,
        "metric": goal.metric,
        "plait": middle(mine, goal.metric),
        "peer": peer,
        "peer_value": middle(rounds[peer], goal.metric),
        "ratio": ratio,
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "goal": goal.at_least,
        "ok": None if goal.at_least is None else ratio >= goal.at_least,
        "rounds": len(ratios),
    }


def judge_bound(row: Row, bound: Bound, rounds: Rounds) -> dict[str, Any] | None:
    """Set plait's own figure beside its bound; None when it was not measured."""
    mine = rounds.get(row.plait.name)
    if not mine:
        return None
    values = [measured[bound.metric] for measured in mine]
    value = statistics.median(values)
    low, high = bound.at_least, bound.at_most
    return {
        "row": row.number,
        "title": row.title,
        "metric": bound.metric,
        "plait": value,
        "peer": None,
        "low": min(values),
        "high": max(values),
        "at_least": low,
        "at_most": high,
        "ok": (low is None or value >= low) and (high is None or value <= high),
        "rounds": len(values),
    }


def figure(metric: str, value: float) -> str:
    """Return a figure in its unit."""
    if metric == MEMORY:
        return f"{value:.2f} sizes"
    if metric == RATE:
        return f"{value:.2f} GiB/s"
    return microseconds(value)


def microseconds(value: float) -> str:
    """Return a time that fits its column."""
    return f"{value:,.2f} µs" if value < 100 else f"{value:,.0f} µs"


def times(ratio: float) -> str:
    """Return a ratio in as many digits as it deserves."""
    return f"{ratio:,.0f}x" if ratio >= 20 else f"{ratio:.1f}x" if ratio >= 3 else f"{ratio:.2f}x"


def line(judged: dict[str, Any]) -> str:
    """Return one line of the table."""
    if judged["peer"] is None:
        return bound_line(judged)
    spread = f"({times(judged['ratio_low'])}-{times(judged['ratio_high'])})"
    goal = "" if judged["goal"] is None else f"{judged['goal']:g}x"
    verdict = {None: "", True: "  ok", False: "  short"}[judged["ok"]]
    mine, theirs = (figure(judged["metric"], judged[key]) for key in ("plait", "peer_value"))
    text = (
        f"{judged['row']:<4}{NAMES[judged['metric']]:<6}{mine:>13}  {judged['peer']:<32}"
        f"{theirs:>13}{times(judged['ratio']):>9}  {spread:<16}{goal:>6}{verdict}"
    )
    return text.rstrip()


def bound_line(judged: dict[str, Any]) -> str:
    """Return the line of a bound: no peer, and the spread in the figure's own unit."""
    metric = judged["metric"]
    spread = f"({judged['low']:.2f}-{judged['high']:.2f})"
    sides = (("at least", judged["at_least"]), ("at most", judged["at_most"]))
    asked = ", ".join(f"{words} {value:g}" for words, value in sides if value is not None)
    verdict = "ok" if judged["ok"] else "short"
    mine = figure(metric, judged["plait"])
    return f"{judged['row']:<4}{NAMES[metric]:<6}{mine:>13}  {spread:<32}{'':>22}  {asked:>22}  {verdict}"


def unmeasured(row: Row, rounds: Rounds) -> list[str]:
    """Return a line for each side measured without an opponent, so that its own figures are not lost."""
    if rounds.get(row.plait.name) and any(rounds.get(peer.name) for peer in row.peers):
        return []
    lines = []
    for name, each in rounds.items():
        if each:
            shown = (f"{NAMES[m]} {figure(m, middle(each, m))}" for m in NAMES if m in each[0])
            lines.append(f"{row.number:<4}{name}: {', '.join(shown)}")
    return lines


def closing(judged: Iterable[dict[str, Any]]) -> str:
    """Return the last line: how many goals were reached, and which were not."""
    with_goal = [result for result in judged if result["ok"] is not None]
    short = [
        f"row {result['row']} {NAMES[result['metric']]}"
        + (f" against {result['peer']}" if result["peer"] else "")
        for result in with_goal
        if not result["ok"]
    ]
    reached = len(with_goal) - len(short)
    return f"{reached} of {len(with_goal)} goals reached" + (f"; short: {', '.join(short)}" if short else "")
