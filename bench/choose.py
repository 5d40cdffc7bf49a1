"""The regret of `backend="auto"` over workloads of real libraries. `make bench-choose` runs it.

For each workload: the fixed configurations of the existing libraries, plait's own fixed backends, and
plait that chooses by itself, each family of contenders in a process of its own. After a first run of each,
those that may be the best are measured in turns. Everything is on this machine: servers are processes of
the bench, on the loopback. Results are checked; a wrong one fails the run, and so does a contender that
fails without having a reason to.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import machine
from choosing import regret, table, workload
from choosing.match import Match


def note(text: str) -> None:
    """Show on a terminal what is being done, in one line that the next one replaces."""
    if sys.stderr.isatty():
        print(f"\r\x1b[2K{text}", end="", file=sys.stderr, flush=True)


def has_auto() -> bool:
    """Return whether plait chooses a backend by itself."""
    import plait

    try:
        return hasattr(plait.map(abs, [1], backend="auto"), "choice")
    except ValueError:
        return False


def parse(known: dict[str, workload.Workload], arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="the regret of backend='auto' over workloads of real libraries"
    )
    parser.add_argument("--quick", action="store_true", help="fewer contenders and rounds")
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="only workloads with this in name or kind; repeatable"
    )
    parser.add_argument("--rounds", type=int, help="how often the best are measured (default 3, quick 1)")
    parser.add_argument(
        "--auto", choices=("plait", "none"), default="plait", help="none: the fixed configurations only"
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures to this file")
    parser.add_argument(
        "--again",
        type=Path,
        metavar="FIGURES",
        help="what --json wrote on this machine: only the best contenders of it are run again, and auto",
    )
    parser.add_argument("--list", action="store_true", help="print the workloads and end")
    parsed = parser.parse_args(arguments)
    parsed.rounds = parsed.rounds if parsed.rounds is not None else 1 if parsed.quick else 3
    if parsed.rounds < 1:
        parser.error("--rounds takes 1 or more")
    names = [word.lower() for word in parsed.only or [""]]
    parsed.workloads = [
        one
        for one in known.values()
        if any(name in one.name.lower() or name == one.kind.lower() for name in names)
    ]
    if not parsed.workloads:
        parser.error(f"no workload is called {' or '.join(parsed.only)}; --list shows them")
    return parsed


def measure(
    asked: argparse.Namespace, cpus: int, auto: bool
) -> tuple[list[dict[str, Any]], list[str], set[str]]:
    """Measure the workloads and print their lines; return these, the errors, and what is missing."""
    rows: list[dict[str, Any]] = []
    errors: list[str] = []
    missing: set[str] = set()
    before = {row["name"]: row for row in json.loads(asked.again.read_text())["rows"]} if asked.again else {}
    for one in asked.workloads:
        with contextlib.ExitStack() as stack:
            try:
                match = Match(one, stack.enter_context(one.site()), cpus, asked.quick, note)
            except ModuleNotFoundError as error:
                note("")
                print(f"{one.name:<40}left out: {error}")
                continue
            stack.callback(match.close)
            began = time.monotonic()
            if one.name in before:
                match.recall(before[one.name], auto)
            else:
                match.scout(auto)
            match.play(asked.rounds)
            row = match.result()
        note("")
        if row is not None:
            row["measuring"] = time.monotonic() - began
            rows.append(row)
            print(table.line(row), flush=True)
        for error in match.errors:
            print(error, file=sys.stderr, flush=True)
        errors += match.errors
        missing |= match.missing
    return rows, errors, missing


def main() -> int:
    """Measure the workloads asked for; return 1 if anything went wrong."""
    known = workload.load()
    asked = parse(known)
    if asked.list:
        for one in known.values():
            print(f"{one.kind:<16}{one.name}")
        return 0
    facts = machine.describe()
    cpus, auto = len(os.sched_getaffinity(0)), asked.auto == "plait"
    if auto and not has_auto():
        print("this plait has no backend='auto'; --auto none compares the fixed ones", file=sys.stderr)
        return 2
    system = f"{facts['cpu']}, {facts['cores']} cores, {facts['system']}, {facts['python']}"
    how = f"{len(asked.workloads)} workloads, {asked.rounds} rounds{', quick' if asked.quick else ''}"
    print(f"{system}, load {facts['load']}\n{how}\n\n{table.HEAD}", flush=True)
    # As Ctrl-C: what was started is ended, what was made is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    rows, errors, missing = measure(asked, cpus, auto)
    total = regret.summary(rows)
    facts["load_at_end"], facts["seconds"] = machine.load(), round(time.monotonic() - began)
    print(f"\n{table.closing(total)}")
    if missing:
        print(f"left out, not installed: {', '.join(sorted(missing))}")
    print(f"load {facts['load_at_end']} at the end; {facts['seconds']} s")
    if asked.json:
        figures = {"machine": facts, "quick": asked.quick, "summary": total, "rows": rows, "errors": errors}
        asked.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
