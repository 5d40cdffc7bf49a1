"""Pages in a real browser, of recordings whose every span is known."""

import base64
import json
import os
import re
import shutil
import struct
import zlib

import pytest

# The states by their letters, in the order in which pages number them.
STATES = {
    "P": "holds-python",
    "N": "holds-native",
    "B": "holds-blocked",
    "G": "holds-gc",
    "w": "waits",
    "h": "hands-off",
    "n": "native",
    "r": "runnable",
    "i": "network",
    "d": "disk",
    "o": "poll",
    "s": "sleep",
    "l": "lock",
    "c": "child",
    "A": "attached",
    "a": "detached",
    "?": "unknown",
}
LETTERS = "".join(STATES)
# Made up, too: each is told from all others.
COLORS = [f"#{place * 9 + 40:02x}{255 - place * 12:02x}{place % 5 * 50:02x}" for place in range(len(STATES))]


class Made:
    """A recording made up for a page, as its script reads it: threads as lanes drawn in letters."""

    def __init__(self, letter=10_000, command="app.py", process="app.py (PID 7)"):
        """Make an empty one in which a letter stands for so many microseconds."""
        self.letter = letter
        self.threads = []
        self.holds = {}
        self.tasks = {}
        self.stacks = {}
        self.process = {"pid": 7, "name": process, "command": command, "python": "3.13.1", "why": None}
        self.frames = []
        self.shots = []

    def thread(self, name, lane, tasks=(), stacks=()):
        """Add a thread: what it did, `(from, to, name)` of tasks and `(at, frame names)` of stacks."""
        key = len(self.threads)
        spans, at = [], 0
        for run in re.finditer(r"(.)\1*", lane):
            to = at + len(run[0]) * self.letter
            if run[1] != " ":
                spans.append((at, to, LETTERS.index(run[1])))
            at = to
        self.add(name, spans, tasks, stacks)
        return key

    def add(self, name, spans, tasks=(), stacks=()):
        """Add a thread by its spans: `(from, to, place of the state)`."""
        key = len(self.threads)
        for begin, to, state in spans:
            if LETTERS[state] in "PNBG":
                self.holds[begin] = (begin, to, key + 1)
        self.threads.append((name, spans, list(tasks), list(stacks)))

    def _frame(self, name):
        place = [name, "/srv/app.py", 12]
        if place not in self.frames:
            self.frames.append(place)
        return self.frames.index(place)

    def packed(self):
        """Return it packed as the page has it."""
        columns = bytearray()
        threads, names, stacks = [], [], []
        for number, (name, spans, tasks, taken) in enumerate(self.threads):
            put_stretches(columns, spans)
            frames = [[self._frame(frame) for frame in stack] for _, stack in taken]
            put_moments(columns, [at for at, _ in taken], range(len(stacks), len(stacks) + len(taken)))
            stacks += frames
            for task in tasks:
                if task[2] not in names:
                    names.append(task[2])
            put_moments(columns, [task[0] for task in tasks], [names.index(task[2]) for task in tasks])
            put(columns, [to - begin for begin, to, _ in tasks])
            put(columns, range(len(tasks)))
            count = {"spans": len(spans), "stacks": len(taken), "tasks": len(tasks)}
            threads.append(
                {"process": 0, "tid": 7 + number, "name": name, "found": 0, "ended": None, "count": count}
            )
        holds = [self.holds[begin] for begin in sorted(self.holds)]
        put_stretches(columns, holds)
        length = max((spans[-1][1] for _, spans, *_ in self.threads if spans), default=0)
        header = {
            "what": "app.py",
            "length": length,
            "from": 0,
            "states": [
                {"word": word, "label": f"label of {word}", "light": color, "dark": f"#{place:02x}0000"}
                for place, (word, color) in enumerate(zip(STATES.values(), COLORS))
            ],
            "kinds": [{"state": place, "call": None} for place in range(len(STATES))],
            "processes": [{**self.process, "found": 0, "ended": None}],
            "threads": threads,
            "gils": [{"process": 0, "title": "GIL", "count": {"holds": len(holds)}}],
            "frames": self.frames,
            "stacks": stacks,
            "patience": 60_000,
            "names": names,
            "shots": self.shots,
            "gaps": [],
            "curves": {"step": 100_000, "cpu": [1.0] * 5, "delay": [0.0] * 5, "throttled": [None] * 5},
        }
        header = json.dumps(header).encode()
        deflate = zlib.compressobj(wbits=-15)
        packed = deflate.compress(struct.pack("<I", len(header)) + header + bytes(columns)) + deflate.flush()
        return base64.b64encode(packed).decode()

    def page(self, like):
        """Return a real page with this recording in place of its own."""
        return re.sub(
            r'(<script id="recording" type="text/plain">)[^<]*', lambda found: found[1] + self.packed(), like
        )


def put(columns, values):
    """Append numbers of seven bits a byte."""
    for value in values:
        while value >= 128:
            columns.append(value & 127 | 128)
            value >>= 7
        columns.append(value)


def put_stretches(columns, stretches):
    """Append the columns of stretches: gaps, lengths, and what they are."""
    ends = [0, *(to for _, to, _ in stretches)]
    put(columns, [begin - end for (begin, _, _), end in zip(stretches, ends)])
    put(columns, [to - begin for begin, to, _ in stretches])
    put(columns, [what for _, _, what in stretches])


def put_moments(columns, times, whats):
    """Append the columns of moments: steps, and what is at them."""
    put(columns, [at - before for at, before in zip(times, [0, *times])])
    put(columns, whats)


def tab_of(browser, page, path, width=1280, height=900, **options):
    """Return a tab with this page, written to `path`; it reaches nothing, and keeps what was asked, said."""
    path.write_text(page)
    context = browser.new_context(viewport={"width": width, "height": height}, offline=True, **options)
    tab = context.new_page()
    tab.asked, tab.said = [], []
    tab.on("request", lambda request: tab.asked.append(request.url))
    tab.on("console", lambda message: tab.said.append(message.text))
    tab.on("pageerror", lambda error: tab.said.append(str(error)))
    tab.goto(path.as_uri())
    return tab


def chromium():
    """Return the path of a Chromium that is there, or None."""
    named = os.environ.get("PLAIT_TEST_BROWSER")
    return (
        named or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    )


@pytest.fixture(scope="module")
def browser():
    """A real browser, without a window."""
    path = chromium()
    if path is None and "CI" not in os.environ:
        pytest.skip("there is no Chromium: `apt-get install chromium`, or name one in PLAIT_TEST_BROWSER")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()
