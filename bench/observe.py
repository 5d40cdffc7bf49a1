"""What `plait record` finds, and what it costs, on programs that know what they do.

`make bench-observe` runs it. Each part prints its figures beside its goal. The observer is the command
itself, in a process of its own; py-spy is beside it where it is installed. Everything runs on this machine,
one thing after another: nothing else should.
"""

import argparse
import contextlib
import json
import shutil
import signal
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine


def note(text: str) -> None:
    """Show on a terminal what is being done, in one line that the next one replaces."""
    if sys.stderr.isatty():
        print(f"\r\x1b[2K{text}", end="", file=sys.stderr, flush=True)


def line(what: str, figure: str, goal: str = "") -> None:
    """Print one figure."""
    note("")
    print(f"  {what:<46} {figure:<34} {goal}".rstrip(), flush=True)


def cost(quick: bool) -> dict[str, Any]:
    """What being watched costs."""
    from observing import cost

    figures = {}
    for threads, goal in ((1, "goal < 1 %"), (10, "goal < 2 %")):
        print(f"\nSlow-down of {threads} threads of Python code: median [middle half], CPU, wall")
        found = cost.measure(threads, 0.25, 12 if quick else 100, note)
        for name, spreads in found.items():
            cpu, wall = (f"{m:+.1f} % [{low:+.1f}, {high:+.1f}]" for m, low, high in spreads)
            line(name, f"{cpu:<24} {wall}", goal if name.startswith("plait, 1,000") else "")
        figures[str(threads)] = found
    return figures


def holds(quick: bool) -> dict[str, Any]:
    """Holds of known times."""
    from observing import truth

    print("\nHolds of the GIL of known times (ctypes.PyDLL usleep beside a loop)")
    figures = {}
    for rate, shortest, longest in ((1000, 0.002, 0.012), (1000, 0.001, 0.002), (5000, 0.0005, 0.002)):
        note(f"holds at {rate}/s")
        found = truth.measure(rate, shortest, longest, 6 if quick else 20)
        what = f"{rate:,} looks/s, {1e3 * shortest:g} to {1e3 * longest:g} ms"
        share = 100 * found["long found"] / max(found["long"], 1)
        line(
            f"{what}: of 2 periods or more",
            f"{found['long found']} of {found['long']} ({share:.1f} %)",
            "goal 100 %",
        )
        line("  all", f"{found['found']} of {found['all']}, {found['in gaps']} in gaps")
        line("  edges, median", f"{found['edge ms']:.2f} ms", f"goal <= {0.6e3 / rate:g} ms")
        off = 100 * (found["seen share"] - found["true share"])
        line(
            "  share of the GIL, true and seen",
            f"{100 * found['true share']:.1f} %, {off:+.1f} points",
            "goal +-2.5",
        )
        line("  looks, late", f"{found['looks/s']:.0f}/s, p99 {found['late p99 ms']:.2f} ms")
        figures[what] = found
    return figures


def hogs(quick: bool) -> dict[str, Any]:
    """Native code that keeps the GIL."""
    from observing import hogs

    print("\nNative code that keeps the GIL: told, and by the right name")
    figures: dict[str, Any] = {}
    right = shots = 0
    pauses: list[float] = []
    for kind in hogs.KINDS:
        note(f"hog {kind}")
        found = figures[kind] = hogs.measure(kind, 2 if quick else 6)
        right, shots = right + found["right"], shots + found["shots"]
        pauses += found["pauses us"]
        told = f"{100 * found['native share']:.0f} % native, {found['right']} of {found['shots']} names"
        line(kind, told, ", ".join(found["names"])[:60])
    line("right names", f"{right} of {shots} ({100 * right / max(shots, 1):.0f} %)", "goal >= 90 %")
    if pauses:
        low, high = statistics.median(pauses), sorted(pauses)[int(len(pauses) * 0.9)]
        line("pause of the one thread", f"p50 {low:.0f} us, p90 {high:.0f} us", "goal p50 < 200 us")
    note("false alarms")
    found = figures["false"] = hogs.false_alarms(5 if quick else 30)
    line(
        "Python loops taken for native code",
        f"{100 * found['share']:.2f} % of {found['seconds']:.0f} s",
        "goal 0",
    )
    return figures


def crowd(quick: bool) -> dict[str, Any]:
    """Many threads."""
    from observing import scale

    print("\nMany threads")
    note("crowd")
    found = scale.crowd(190, 10, 5 if quick else 20)
    line("200 threads, 10 of them busy", f"{100 * found['core share']:.1f} % of a core", "goal < 10 %")
    line("  looks", f"{found['looks/s']:.0f}/s")
    note("long recording")
    long = scale.crowd(0, 20, 10 if quick else 60)
    line("20 busy threads for 10 minutes would take", f"{600 * long['bytes/s'] / 1e6:.1f} MB", "goal < 50 MB")
    return {"crowd": found, "long": long}


def tree(quick: bool) -> dict[str, Any]:
    """Many processes."""
    from observing import scale

    print("\nProcesses that live for 120 ms")
    note("tree")
    found = scale.family(8, 3 if quick else 10)
    line("seen", f"{found['seen']} of {found['all']}", "goal all")
    late = found["found after ms"]
    line(
        "found after", f"median {statistics.median(late):.0f} ms, at most {late[-1]:.0f} ms" if late else "-"
    )
    return found


def probe(quick: bool) -> dict[str, Any]:
    """The gauge on functions of ten kinds."""
    from observing import probe
    from observing.watching import burners

    print("\nThe probe of the chooser: kinds of functions within 100 ms of calls")
    figures = {}
    for beside in (0, 4):
        note(f"probe beside {beside}")
        with burners(beside):
            found = probe.measure(3 if quick else 12)
        what = f"beside {beside} processes that compute" if beside else "on a quiet machine"
        line(
            what,
            f"{found['right']} of {found['all']} ({100 * found['right'] / found['all']:.0f} %)",
            "goal >= 98 %",
        )
        for kind, taken, seen in found["wrong"][:5]:
            print(f"      {kind} taken for {taken}: {seen}")
        figures[str(beside)] = found
    return figures


def corpus(quick: bool) -> dict[str, Any]:
    """The verdicts on programs whose answer is known."""
    from observing import corpus
    from observing.watching import burners, quota

    figures = {}
    places = {
        "as it is": contextlib.nullcontext([]),
        "on one processor": contextlib.nullcontext(["taskset", "-c", "0"]),
        "with a quota of half a processor": quota(0.5),
        "beside a process that computes": burners(1),
    }
    for where, place in places.items():
        print(f"\nVerdicts on programs whose answer is known, {where}")
        as_it_is = where == "as it is"
        with contextlib.ExitStack() as stack:
            try:
                before = stack.enter_context(place)
            except OSError as why:
                line("not measured", str(why))
                continue
            found = corpus.measure(3 if as_it_is and not quick else 1, note, before or (), not as_it_is)
        for name, says in found["wrong"]:
            line(name, says)
        share = 100 * found["right"] / found["all"]
        line("right", f"{found['right']} of {found['all']} ({share:.1f} %)", "goal >= 95 %")
        line("wrong and sure of it", str(found["sure and wrong"]), "goal 0")
        line("named the C function", f"{found['named']} of {found['to name']}")
        figures[where] = found
    return figures


def oracle(quick: bool) -> dict[str, Any]:
    """Who has the GIL, against the kernel's probes."""
    from observing import oracle
    from observing.probes import Unavailable

    print("\nWho has the GIL, six threads: what uprobes of take_gil and drop_gil say")
    note("oracle")
    try:
        found = oracle.measure(4 if quick else 10)
    except Unavailable as why:
        line("not measured", str(why))
        return {}
    line(
        "same holder, of the time",
        f"{100 * found['agreed']:.2f} %, {100 * found['in gaps']:.2f} % in gaps",
        "goal >= 98 %",
    )
    line("  holds", f"{found['holds']:,} in {found['seconds']:.1f} s, {found['lost']} lost")
    return found


def requests(quick: bool) -> dict[str, Any]:
    """Who waits for the GIL, against Python 3.15's own word."""
    from observing import requests

    print("\nWho waits for the GIL, six threads: what gil_requested says in Python 3.15")
    python = shutil.which("python3.15")
    if python is None:
        line("not measured", "there is no python3.15 on the path")
        return {}
    note("requests")
    found = requests.measure(4 if quick else 10, python)
    line(
        "same, of the samples",
        f"{100 * found['agreed']:.2f} %, {100 * found['unseen']:.2f} % in gaps",
        "goal >= 98 %",
    )
    line("  samples, of threads that wait", f"{found['samples']:,}, {100 * found['waiting']:.0f} %")
    return found


PARTS: dict[str, Callable[[bool], dict[str, Any]]] = {
    "cost": cost,
    "holds": holds,
    "oracle": oracle,
    "requests": requests,
    "hogs": hogs,
    "crowd": crowd,
    "tree": tree,
    "probe": probe,
    "corpus": corpus,
}


def main() -> None:
    """Run the parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: some three minutes")
    parser.add_argument(
        "--only", action="append", choices=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}; repeatable"
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures to this file")
    asked = parser.parse_args()
    # Observers are ended by it. In the background of a script it is ignored, and that is inherited.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    about = machine.describe()
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    figures: dict[str, Any] = {"machine": about}
    with contextlib.suppress(KeyboardInterrupt):
        for name, part in PARTS.items():
            if not asked.only or name in asked.only:
                figures[name] = part(asked.quick)
    note("")
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
