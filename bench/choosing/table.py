"""The table of regrets as text."""

import math
from typing import Any

from choosing.contenders import ALWAYS_PROCESSES, ALWAYS_THREADS, JOBLIB
from choosing.regret import AS_GOOD, DECIDING_SECONDS, DECIDING_SHARE

STRAW = (ALWAYS_THREADS, ALWAYS_PROCESSES, JOBLIB)
# What a chooser is to reach: the geometric mean, the worst, the share of right backends.
MEAN_GOAL, WORST_GOAL, RIGHT_GOAL = 1.05, 1.25, 0.95

HEAD = (
    f"{'workload':<40}{'best fixed':<32}{'s':>6}{'auto, s':>9}  {'on':<15}"
    f"{'regret':>7}{'first':>7}{'plait':>7}  {'decided':>7}  {'threads':>8}{'procs':>8}{'joblib':>8}"
)
EXPLAINED = """\
regret: auto's time / best fixed of the existing libraries; first: that of the first run in a new program;
plait: auto's time / best of plait's own fixed backends; decided: ms until the choice. The last three are
straw men: always ThreadPoolExecutor(), always ProcessPoolExecutor(), joblib.Parallel(n_jobs=-1).
`!`: neither the right backend nor within 5 % of it."""


def times(value: float | None) -> str:
    """Return a ratio."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def straw(row: dict[str, Any], name: str) -> str:
    """Return a straw man's ratio, or why there is none."""
    found = row["straw_men"].get(name)
    if found is None:
        return "-"
    if found["fate"] == "cut":
        return f">{found['ratio']:.0f}"
    return times(found["ratio"]) if found["fate"] == "ok" else found["fate"]


def line(row: dict[str, Any]) -> str:
    """Return the line of a workload."""
    auto = row.get("auto_seconds")
    where = f"{row['backend']} x{row['workers']}" if "backend" in row else row.get("fate", "-")
    mark = " " if row.get("right", True) else "!"
    deciding = row.get("deciding")
    return (
        f"{row['name']:<40}{row['best']:<32}{row['best_seconds']:>6.2f}"
        f"{f'{auto:.2f}' if auto is not None else '-':>9} {mark}{where:<15}"
        f"{times(row.get('regret')):>7}{times(row.get('first')):>7}{times(row.get('own_regret')):>7}"
        f"  {f'{deciding * 1e3:.1f}' if deciding is not None else '-':>7}  "
        + "".join(f"{straw(row, name):>8}" for name in STRAW)
    ).rstrip()


def closing(total: dict[str, Any]) -> str:
    """Return the lines below the table."""
    lines = [EXPLAINED, ""]
    if total["judged"]:
        lines += [
            f"regret of {total['judged']} workloads: geometric mean {times(total['mean'])} "
            f"(at most {MEAN_GOAL}), worst {times(total['worst'])} (at most {WORST_GOAL}): "
            f"{total['worst_name']}",
            f"first run in a new program: geometric mean {times(total['first_mean'])}, "
            f"worst {times(total['first_worst'])}",
            f"against plait's own fixed backends: geometric mean {times(total['own_mean'])}",
            f"right backend, or within {AS_GOOD - 1:.0%} of it: {total['right']:.0%} "
            f"(at least {RIGHT_GOAL:.0%})",
        ]
        if total["deciding_median"] is not None:
            lines.append(
                f"deciding: {total['deciding_median'] * 1e3:.1f} ms in the middle, "
                f"{total['deciding_worst'] * 1e3:.1f} ms at most; over {DECIDING_SECONDS * 1e3:.0f} ms or "
                f"{DECIDING_SHARE:.0%} of the run: {total['deciding_over']}"
            )
    for name, found in total["straw_men"].items():
        without = f", {found['without_result']} without a result" if found["without_result"] else ""
        at_least = f", {found['cut']} cut off" if found["cut"] else ""
        lines.append(
            f"{name}: geometric mean {times(found['mean'])}, worst {times(found['worst'])}{at_least}{without}"
        )
    return "\n".join(lines)
