"""An hour of all that plait does, at once and amid faults: do memory, descriptors and latencies stay flat?

`make soak` runs it. The program that works is a process of its own (`program.py`); this one looks at it and
at all that it starts, once a second, from outside. At the end it says of each figure whether it grew, draws
them, and exits 0 only if nothing was lost, nothing hung and nothing grew. Ctrl-C ends it with what was seen
till then.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, TextIO

HERE = Path(__file__).resolve().parent
sys.path.insert(1, str(HERE.parent / "chaos"))

import picture
import report
from processes import TOKEN_VARIABLE, token
from remains import EXPECTED, leftovers
from sampler import Sampler

# A failure that nobody joins within a second is printed; on a busy machine a `join` may be that late.
TRACEBACK = r"Traceback \(most recent call last\):\n(?:  .*\n)+"
UNJOINED = re.compile(
    rf"Exception in thread Thread-\d+ \(raise_plain\):\n{TRACEBACK}ValueError: \d+\n"
    rf"|Process Process-\d+:\n(?:{TRACEBACK}ValueError: \d+\n|plait.WorkerDied: .* work\.\w+\n)"
)
# A program that does not end by itself is ended so long after the longest that its own watchdog waits.
SILENCES = 4
# What a whole soak has to do, in its time.
TASKS, SECONDS = 10_000_000, 3600.0
SLOTS = 1 << 21
STATUS_SECONDS = 30.0


class Soaking:
    """One soak: the program, its figures, and what is wrong."""

    def __init__(self, settings: argparse.Namespace, samples: TextIO) -> None:
        self.settings = settings
        self.samples: list[dict[str, Any]] = []
        self.causes: list[str] = []
        self.interrupted = False
        self._out = samples

    def run(self) -> None:
        """From the program's start until nothing of it is left."""
        settings = self.settings
        with (
            tempfile.TemporaryDirectory(prefix="plait-soak-") as folder,
            tempfile.TemporaryFile("w+", errors="replace") as stderr,
        ):
            room = {name: os.path.join(folder, name) for name in ("folder", "ledger")}
            for path in room.values():
                os.mkdir(path)
            lines = os.path.join(folder, "lines")
            open(lines, "w").close()
            # Only what the soak itself makes is where it is counted.
            environment = {**os.environ, "TMPDIR": room["folder"], "MALLOC_ARENA_MAX": "1"}
            environment["PLAIT_CHAOS_SLOTS"] = str(SLOTS)
            program = subprocess.Popen(
                [sys.executable, HERE / "program.py", json.dumps({**vars(settings), **room, "lines": lines})],
                stdin=subprocess.DEVNULL,
                stderr=stderr,
                env=environment,
                start_new_session=True,
            )
            try:
                code = self._watch(program, lines, room["folder"])
            except KeyboardInterrupt:
                self.interrupted = True
                program.kill()
                code = 0
            program.wait()
            left = leftovers()
            stderr.seek(0)
            printed = UNJOINED.sub("", EXPECTED.sub("", stderr.read()))
            files = [name for _, _, names in os.walk(room["folder"]) for name in names]
        if code:
            self.causes.append(f"the program ended with exit code {code}: see what it printed above")
        if printed and not self.interrupted:
            self.causes.append(f"on stderr stands what the soak does not explain:\n{printed[:20_000]}")
        if left:
            self.causes.append(f"processes {left} have outlived their program")
            for pid in left:
                os.kill(pid, signal.SIGKILL)
        if files and not (self.interrupted or code):
            self.causes.append(f"temporary files were left: {files[:10]}")

    def _watch(self, program: "subprocess.Popen[bytes]", lines: str, folder: str) -> int:
        sampler = Sampler(f"{TOKEN_VARIABLE}={token()}", program.pid, folder)
        settings, said = self.settings, 0.0
        limit = time.monotonic() + 2 * settings.seconds + (SILENCES + 2) * settings.silence
        with open(lines) as reader:
            while program.poll() is None:
                if time.monotonic() > limit:
                    self.causes.append("the program hung: it does not end, and its watchdog is silent")
                    program.send_signal(signal.SIGABRT)
                    return program.wait()
                while line := reader.readline():
                    told = json.loads(line)
                    if "lasting" in told:
                        self._note(sampler, told)
                        if told["at"] - said >= STATUS_SECONDS:
                            said = told["at"]
                            print(report.status(self.samples[-1]), flush=True)
                time.sleep(0.05)
        return program.returncode

    def _note(self, sampler: Sampler, told: dict[str, Any]) -> None:
        sample = {**told, **sampler.sample(told["lasting"])}
        self.samples.append(sample)
        self._out.write(json.dumps(sample) + "\n")
        self._out.flush()


def main() -> int:
    """The exit code."""
    settings = parse()
    # Inherited by the program, and by all that it starts.
    os.environ[TOKEN_VARIABLE] = f"soak-{os.getpid()}-{settings.seed}"
    folder = Path(settings.out)
    folder.mkdir(parents=True, exist_ok=True)
    print(
        f"seed {settings.seed}: {settings.seconds:,.0f} s, {settings.tasks:,} tasks; "
        f"samples go to {folder / 'samples.jsonl'}",
        flush=True,
    )
    with open(folder / "samples.jsonl", "w") as samples:
        soaking = Soaking(settings, samples)
        soaking.run()
    rows = report.rows(soaking.samples)
    about = report.about(soaking.samples, settings.seed)
    print(f"\n{report.table(rows)}\n\n{about}")
    if soaking.samples:
        drawn = picture.draw(soaking.samples)
        (folder / "soak.svg").write_text(drawn)
        print(f"drawn in {folder / 'soak.svg'}")
        if settings.docs and not soaking.interrupted:
            report.keep(rows, about, drawn)
    causes = [*soaking.causes, *(str(row) for row in rows if row.grew)]
    for cause in causes:
        print(f"FAILED: {cause}")
    if soaking.interrupted:
        print("interrupted: this is what was seen till then")
        return 130
    if causes:
        print(f"to see it again: make soak ARGS='--seed {settings.seed} --seconds {settings.seconds:g}'")
        return 1
    print(f"nothing lost, nothing hung, {'nothing grew' if rows else 'too short to say what grew'}")
    return 0


def parse() -> argparse.Namespace:
    """The settings of the soak."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long (default an hour)")
    parser.add_argument("--tasks", type=int, help="how many, evenly spread (default 10 million in an hour)")
    parser.add_argument("--seed", type=int, help="of all dice (default: the time)")
    parser.add_argument("--workers", type=int, default=2, help="of each pool that lasts")
    parser.add_argument("--silence", type=float, default=120.0, help="seconds that are a hang")
    parser.add_argument("--patience", type=int, default=10, help="findings after which it ends early")
    parser.add_argument("--out", default="build/soak", help="the folder for samples and picture")
    parser.add_argument("--docs", action="store_true", help="put table and picture into docs/soak.md")
    parser.add_argument("--leak", choices=["descriptors", "memory", "threads"], help="leak on purpose")
    settings = parser.parse_args()
    settings.hold = False
    if settings.tasks is None:
        settings.tasks = int(TASKS * settings.seconds / SECONDS)
    if settings.seed is None:
        settings.seed = int(time.time()) % 1_000_000
    if settings.seconds <= 0 or settings.tasks < 0:
        parser.error("--seconds and --tasks must be above 0")
    return settings


if __name__ == "__main__":
    sys.exit(main())
