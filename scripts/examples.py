#!/usr/bin/env python3
"""Each example with the picture that it is there to give: figures, and whether they look as they should.

    python scripts/examples.py [NAME…]      # all of them, or those whose names hold one of these words

`make examples` calls it. The figures are ratios within one run, held against wide margins. A picture that
is missing is looked for once more; exit code 1 if it is not there then. Where other programs have the
processors, what computes is judged by its waits for the GIL alone. Where something is not installed, its
example is skipped, with the reason.
"""

import dataclasses
import json
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import plait

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
CORES = plait.cpu_count()
GIL = not sysconfig.get_config_var("Py_GIL_DISABLED")

# What was measured: names of figures, all of them ratios.
Figures = Mapping[str, float]
# Where a figure has to be: at least, at most. One that could not be measured is not judged.
Bounds = Mapping[str, tuple[float, float]]
# How much of a core serial must have had for speed-ups to tell of cores.
QUIET = 0.85


@dataclasses.dataclass(frozen=True)
class Picture:
    """What an example shows: the words for it, how to get its figures, and where these have to be.

    `cores` are bounds of what only processors that nobody else uses can show.
    """

    words: str
    measure: Callable[[str], dict[str, float]]
    bounds: Bounds
    cores: Bounds = dataclasses.field(default_factory=dict)
    programs: tuple[str, ...] = ()


def missing(figures: Figures, bounds: Bounds) -> list[str]:
    """Return what of a picture cannot be seen, in words."""
    return [
        f"{name} is {figures[name]:.2f}, and should be from {low:g} to {high:g}"
        for name, (low, high) in bounds.items()
        if name in figures and not low <= figures[name] <= high
    ]


def computing(cores: int, gil: bool, measure: Callable[[str], dict[str, float]]) -> Picture:
    """Return what a loop in Python looks like: threads take turns on the GIL, processes share it out."""
    shared = (1 + 0.25 * (cores - 1), 1.3 * cores) if cores > 1 else (0.5, 1.3)
    words = "threads take turns and are as slow as serial, processes faster with each core"
    if not gil:
        both = {"threads": shared, "processes": shared}
        return Picture("threads and processes are faster with each core", measure, {}, both)
    turns = {"threads, GIL": (0.2, 1.0), "processes, GIL": (0.0, 0.1)} if cores > 1 else {}
    return Picture(words, measure, turns, {"threads": (0.4, 1.35), "processes": shared})


# --- how figures are got


def compared(*arguments: str) -> Callable[[str], dict[str, float]]:
    """Return what measures an example by `plait compare`: the speed-up of each backend, and more."""

    def measure(name: str) -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "figures.json"
            file, _, function = name.partition(":")
            target = f"{EXAMPLES / file}:{function}" if function else str(EXAMPLES / file)
            ran(["-m", "plait", "compare", target, "--json", str(out), *arguments])
            return of_rows(json.loads(out.read_text())["rows"])

    return measure


def of_rows(rows: list[dict[str, float]]) -> dict[str, float]:
    """Return the figures of a comparison: speed-ups, waits for the GIL, memory, serial's share of a core."""
    serial = rows[0]
    figures = {"cores": serial["cpu_seconds"] / serial["seconds"]}
    for row in rows:
        backend = str(row["backend"])
        figures[backend] = row["speedup"]
        if row["gil_wait"] is not None:
            figures[f"{backend}, GIL"] = row["gil_wait"]
        if row["pss_bytes"] and serial["pss_bytes"]:
            figures[f"{backend}, memory"] = row["pss_bytes"] / serial["pss_bytes"]
    return figures


def told(*arguments: str) -> Callable[[str], dict[str, float]]:
    """Return what measures an example by the table that it prints: backend, time, speed-up, one page."""
    return lambda name: of_table(ran([str(EXAMPLES / name), *arguments]))


def of_table(printed: str) -> dict[str, float]:
    """Return the figures of such a table."""
    row = re.compile(r"^ *\d+ (\w+) +([\d.]+) s +([\d.]+)x +([\d.]+) ms", re.MULTILINE)
    figures: dict[str, float] = {}
    alone = None
    for backend, _, speed_up, page in row.findall(printed):
        alone = alone or float(page)
        figures[backend] = float(speed_up)
        figures[f"{backend}, a page"] = float(page) / alone
    return figures


def late(name: str) -> dict[str, float]:
    """Measure how late a heartbeat came, beside how late it may come at best: five milliseconds."""
    found = re.findall(r"late by up to (\d+) ms", ran([str(EXAMPLES / name)]))
    first, *others = (float(number) / 5 for number in found)
    return {"late": first, "less late": first / max(*others, 0.2)} if others else {"late": first}


def waited(name: str) -> dict[str, float]:
    """Measure how much longer the waits are than the run."""
    printed = ran([str(EXAMPLES / name)])
    [(took, alone)] = re.findall(r"in ([\d.]+) s; one after the other it is ([\d.,]+) s", printed)
    return {"at once": float(alone.replace(",", "")) / float(took)}


def lost(name: str) -> dict[str, float]:
    """Measure which share of what was counted is lost, and what is left of it with a cure."""
    row = re.compile(
        r"^(\w+): expected ([\d,]+), counted ([\d,]+).*\n.* add: ([\d,]+); .* lock: ([\d,]+)$", re.M
    )
    figures: dict[str, float] = {}
    for backend, *numbers in row.findall(ran([str(EXAMPLES / name)])):
        expected, raced, added, locked = (float(number.replace(",", "")) for number in numbers)
        figures[f"{backend}, lost"] = 1 - raced / expected
        figures[f"{backend}, cured"] = min(added, locked) / expected
    return figures


def says(*words: str) -> Callable[[str], dict[str, float]]:
    """Return what measures which share of these words an example prints."""

    def measure(name: str) -> dict[str, float]:
        printed = ran([str(EXAMPLES / name)])
        return {"said": sum(word in printed for word in words) / len(words)}

    return measure


def interrupted(name: str) -> dict[str, float]:
    """Measure which share of its three threads says that it has stopped, after Ctrl-C."""
    command = [sys.executable, str(EXAMPLES / name)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        try:
            begun = program.stdout.readline() if program.stdout else ""
            time.sleep(0.5)
            program.send_signal(signal.SIGINT)
            printed = begun + program.communicate(timeout=60)[0]
        finally:
            program.kill()
    show(printed)
    return {"stopped": printed.count(" has stopped after ") / 3}


def handed_out(name: str) -> dict[str, float]:
    """Measure how many of ten lines are there and whole, and how many of five workers had a job."""
    lines = ran([str(EXAMPLES / name)]).splitlines()[:-1]
    whole = [re.fullmatch(r"([a-z]+( \d)?): the square of (\d) is (\d+)", line) for line in lines]
    right = [match for match in whole if match and int(match[3]) ** 2 == int(match[4])]
    return {"whole lines": len(right) / 10, "workers": len({match[1] for match in right}) / 5}


def ran(command: list[str]) -> str:
    """Run Python with these arguments, show what it prints, and return that."""
    done = subprocess.run(
        [sys.executable, *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    show(done.stdout)
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def show(printed: str) -> None:
    """Show what an example printed."""
    print("    " + printed.rstrip().replace("\n", "\n    "), flush=True)


# --- the pictures

SEVERAL = (3.0, 11.0)
PICTURES = {
    "primes.py": computing(min(CORES, 4), GIL, compared("--workers", str(min(CORES, 4)))),
    "square_roots.py": computing(CORES, GIL, compared()),
    "fetch_urls.py": Picture(
        "twenty threads wait for twenty pages at once",
        compared("--workers", "20", "--rounds", "3"),
        {"threads": (4.0, 20.5), "processes": (2.5, 20.5)},
    ),
    "fetch_pages.py": Picture(
        "threads, processes and asyncio alike, about eight times serial; a page takes no less than alone",
        told(),
        {"threads": SEVERAL, "processes": SEVERAL, "asyncio": SEVERAL, "threads, a page": (0.85, 10)},
    ),
    "browse_pages.py": Picture(
        "threads and processes alike, less than without a browser; a page takes longer than alone",
        told("40"),
        {"threads": (1.3, 8.5), "processes": (1.3, 8.5), "threads, a page": (1.1, 30)},
        programs=("chromium", "chromedriver"),
    ),
    "many_connections.py": Picture(
        "one thread waits for hundreds of answers at once", waited, {"at once": (8, 410)}
    ),
    "shared_array.py": Picture(
        "workers write to one array, of which nobody has a copy",
        compared("--workers", "2", "--rounds", "3"),
        {"processes, memory": (0.5, 1.7)},
    ),
    "blocked_loop.py": Picture(
        "calls in the loop hold up all else, calls in threads do not",
        late,
        {"late": (20, 10_000), "less late": (3, 100_000)},
    ),
    "five_workers.py": Picture(
        "each of five workers has some of ten jobs, and each line is whole",
        handed_out,
        {"whole lines": (1.0, 1.0), "workers": (0.6, 1.0)},
    ),
    "gil_hog.py": Picture("native code holds up all threads", late, {"late": (2, 10_000)}),
    "race.py": Picture(
        "what is counted in three steps is lost in part, what is counted in one step or behind a lock is not",
        lost,
        {
            "threads, lost": (0.01, 0.99),
            "processes, lost": (0.01, 0.99),
            "threads, cured": (1, 1),
            "processes, cured": (1, 1),
        },
    ),
    "stop_threads.py": Picture("all threads stop at Ctrl-C", interrupted, {"stopped": (1, 1)}),
    "threads_in_processes.py": Picture(
        "each process waits for eight pages at once",
        says("read in other processes: True; threads in each: up to 8\n"),
        {"said": (1, 1)},
    ),
    "await_calls.py": Picture(
        "a loop goes on while processes compute, and a call that takes too long is stopped",
        says("were given up\n", "the loop went on meanwhile: True\n"),
        {"said": (1, 1)},
    ),
    "nested_awaits.py": Picture(
        "calls that await calls need no worker each",
        says("1,093 coroutines on 2 workers\n", "40 calls, one within the other\n"),
        {"said": (1, 1)},
    ),
    "callbacks_to_loop.py": Picture(
        "threads hand over to a loop", says("apples: 3.00\npears: 4.00\nplums: 7.00\n"), {"said": (1, 1)}
    ),
    "four_processes.py": Picture(
        "each process gives its result",
        says(": 2,762 ", ": 5,133 ", ": 9,592 ", ": 17,984 "),
        {"said": (1, 1)},
    ),
    "responsive.py": Picture(
        "a main loop stands still for work of its own, and goes on beside threads and processes",
        late,
        {"late": (20, 100_000), "less late": (2, 100_000)},
    ),
}


def shown(name: str, picture: Picture) -> str:
    """Look for a picture; return what is to be said of it."""
    print(f"\n== {name}: {picture.words}", flush=True)
    for program in picture.programs:
        if shutil.which(program) is None:
            return f"skipped: there is no {program} (apt-get install chromium chromium-driver)"
    for _ in range(2):
        try:
            figures = picture.measure(name)
            quiet = figures.get("cores", 1) >= QUIET
            lacks = missing(figures, {**picture.bounds, **(picture.cores if quiet else {})})
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            lacks = [str(error)]
        if not lacks:
            busy = picture.cores and not quiet
            return "ok, as far as can be told: other programs had the cores" if busy else "ok"
        print(f"    not seen: {'; '.join(lacks)}", flush=True)
    return "FAILED: " + "; ".join(lacks)


def main(words: list[str]) -> int:
    """Show all pictures, or those whose names hold a word; return the exit code."""
    chosen = [name for name in PICTURES if not words or any(word in name for word in words)]
    if not chosen:
        print(f"no picture is named so: {', '.join(PICTURES)}", file=sys.stderr)
        return 2
    said = {name: shown(name, PICTURES[name]) for name in chosen}
    print()
    for name, words_of in said.items():
        print(f"{name:<22} {words_of}")
    return any(words_of.startswith("FAILED") for words_of in said.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
