"""plait beside its peers, in one interleaved run: each ratio beside its goal. `make bench` runs it.

Each contender lives in a process of its own (`arm.py`). Within a row the sides take turns, A B C A B C, so
that what loads the machine for a while loads them all; a figure is the median of the rounds, a ratio the
median of the rounds' ratios. CPU time is that of the contender's process and of all its workers together;
it holds on a loaded machine, where wall time does not. A contender that is not installed is left out, with
a line that says so. Exits 1 when a contender fails.
"""

import argparse
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import machine
import report
from rows import ROWS, Row, Side

HERE = Path(__file__).resolve().parent
# Longer than any answer takes: a contender that is still silent hangs, and is made to show its stacks.
SILENCE_SECONDS = 120
# What a contender is made to do before it is measured: starts workers, fills caches, sends functions.
WARM_UP = 200


class ArmFailed(Exception):
    """A contender could not be started, raised, or went away."""


class Missing(Exception):
    """A contender is not installed."""


class Arm:
    """One contender's process, and the talk with it."""

    def __init__(self, contender: str, workers: int) -> None:
        self.contender = contender
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open as long as the arm
        self._process = subprocess.Popen(
            [sys.executable, HERE / "arm.py", contender, str(workers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            # A group of its own: to be ended with all its workers. Ctrl-C ends it through its stdin.
            start_new_session=True,
        )
        first = self._answer()
        if "missing" in first:
            self._process.wait()
            raise Missing(first["missing"])
        self.versions: dict[str, str] = first["versions"]

    def measure(self, workload: str, count: int, parameters: dict[str, Any]) -> dict[str, float]:
        """Let the contender do the work once."""
        command = {"workload": workload, "count": count, "parameters": parameters}
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        if "error" in answer:
            raise ArmFailed(f"{self.contender}: {answer['error']}{self._tail()}")
        return answer["measured"]

    def close(self) -> None:
        """Let the contender end its pool, and itself."""
        self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the contender and what it started, come what may."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _answer(self) -> dict[str, Any]:
        heard, _, _ = select.select([self._process.stdout], [], [], SILENCE_SECONDS)
        if not heard:
            # faulthandler, enabled in the arm, writes the stacks of all threads on its way out.
            self._process.send_signal(signal.SIGABRT)
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            raise ArmFailed(f"{self.contender} ended with exit code {code}{self._tail()}")
        return json.loads(line)

    def _tail(self) -> str:
        self._log.seek(0)
        return "".join(f"\n    {line}" for line in self._log.read().splitlines()[-40:])


class Bench:
    """The run: starts contenders when a row first needs them, ends them after the last that does."""

    def __init__(self, workers: int, rounds: int, quick: bool) -> None:
        self.workers, self.rounds, self.quick = workers, rounds, quick
        self.versions: dict[str, str] = {}
        self.failures: list[str] = []
        self._arms: dict[str, Arm] = {}
        # Contenders that are missing or failed, never asked again.
        self._out: set[str] = set()

    def run_row(self, row: Row) -> report.Rounds:
        """Measure every side of a row in turn, as often as there are rounds."""
        rounds: report.Rounds = {}
        for side in (row.plait, *row.peers):
            if row.anew or self._measure(row, side, min(WARM_UP, side.quick)) is not None:
                rounds[side.name] = []
        for turn in range(self.rounds):
            for side in (row.plait, *row.peers):
                if side.name not in rounds:
                    continue
                note(f"row {row.number}, round {turn + 1} of {self.rounds}: {side.name}")
                measured = self._measure(row, side, side.quick if self.quick else side.count)
                if measured is None:
                    del rounds[side.name]
                    continue
                if measured["lost_processes"]:
                    note("")
                    print(f"    {side.name}: a process ended within the round; its CPU time is not counted")
                rounds[side.name].append(measured)
        note("")
        return rounds

    def end_all_but(self, needed: set[str]) -> None:
        """End the contenders that no later row needs: an idle cluster still takes some of the machine."""
        for contender in [name for name in self._arms if name not in needed]:
            self._arms.pop(contender).close()

    def _measure(self, row: Row, side: Side, count: int) -> dict[str, float] | None:
        contender = side.contender
        if contender in self._out:
            return None
        if row.anew and contender in self._arms:
            self._arms.pop(contender).close()
        try:
            if contender not in self._arms:
                note(f"starting {contender}")
                self._arms[contender] = Arm(contender, self.workers)
                self.versions.update(self._arms[contender].versions)
            return self._arms[contender].measure(row.workload, count, side.parameters)
        except Missing as error:
            note("")
            print(f"    {contender} is left out: {error}")
        except (ArmFailed, BrokenPipeError) as error:
            note("")
            print(f"    {error}", file=sys.stderr)
            self.failures.append(str(error))
            if failed := self._arms.pop(contender, None):
                failed.kill()
        self._out.add(contender)
        return None


def note(text: str) -> None:
    """Show on a terminal what is being done, in one line that the next one replaces."""
    if sys.stderr.isatty():
        print(f"\r\x1b[2K{text}", end="", file=sys.stderr, flush=True)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="plait beside its peers, each ratio beside its goal")
    parser.add_argument(
        "--quick", action="store_true", help="fewer calls and rounds: done within four minutes"
    )
    parser.add_argument("--rows", help="only these, as in 1,2 (default: all)")
    parser.add_argument("--rounds", type=int, help="how often each side is measured (default 7, quick 3)")
    parser.add_argument("--workers", type=int, default=2, help="workers of each pool (default 2)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures to this file")
    parsed = parser.parse_args(arguments)
    known = {row.number for row in ROWS}
    try:
        parsed.rows = {int(number) for number in parsed.rows.split(",")} if parsed.rows else known
    except ValueError:
        parser.error(f"--rows takes numbers with commas between them, not {parsed.rows!r}")
    if unknown := parsed.rows - known:
        parser.error(f"there is no row {min(unknown)}; the rows are {min(known)} to {max(known)}")
    parsed.rounds = parsed.rounds if parsed.rounds is not None else 3 if parsed.quick else 7
    if parsed.rounds < 1 or parsed.workers < 1:
        parser.error("--rounds and --workers take 1 or more")
    return parsed


def main() -> int:
    """Run the rows asked for and print them."""
    asked = parse()
    rows = [row for row in ROWS if row.number in asked.rows]
    facts = machine.describe()
    print(
        f"{facts['cpu']}, {facts['cores']} cores, {facts['system']}, {facts['python']}, load {facts['load']}"
    )
    print(f"{asked.workers} workers to a pool, {asked.rounds} rounds{', quick' if asked.quick else ''}")
    print(f"\n{report.HEAD}")
    bench = Bench(asked.workers, asked.rounds, asked.quick)
    judged: list[dict[str, Any]] = []
    try:
        for index, row in enumerate(rows):
            print(f"\n{row.number}. {row.title}", flush=True)
            rounds = bench.run_row(row)
            results = [report.judge(row, goal, rounds) for goal in row.goals]
            results += [report.judge_bound(row, bound, rounds) for bound in row.bounds]
            results = [result for result in results if result]
            judged += results
            print(*map(report.line, results), *report.unmeasured(row, rounds), sep="\n", flush=True)
            bench.end_all_but(
                {side.contender for later in rows[index + 1 :] for side in (later.plait, *later.peers)}
            )
    finally:
        bench.end_all_but(set())
    facts["load_at_end"] = machine.load()
    print(f"\n{report.closing(judged)}")
    versions = ", ".join(f"{package} {version}" for package, version in sorted(bench.versions.items()))
    print(f"{versions or 'no package'}; load {facts['load']} at the start, {facts['load_at_end']} at the end")
    if asked.json:
        figures = {"machine": facts, "versions": bench.versions, "quick": asked.quick, "results": judged}
        asked.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
