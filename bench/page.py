"""Pages of recordings in headless Chromium: how large they are, and how long they take to draw and to move.

`make bench-page` runs it. Each page is of a recording that is made up: lanes of spans as short as a look
apart. The time of a step is that of the browser's main thread, from the key that asks for it until the
picture is handed on; rastering is in software.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import plait
from pages import LETTERS, Made, chromium

# Times each step of the page, until its microtasks are over and the picture is made.
TIMED = """
    const ask = window.requestAnimationFrame.bind(window);
    window.steps = [];
    window.requestAnimationFrame = (step) => ask((now) => {
        const begin = performance.now();
        step(now);
        setTimeout(() => window.steps.push(performance.now() - begin), 0);
    });
"""
# What hands do, over and over: in and out, to the sides, and all of it again.
KEYS = ["+", "ArrowRight", "+", "ArrowLeft", "-", "+", "+", "ArrowRight", "ArrowRight", "-", "-", "0"]


def made(lanes: int, spans: int) -> Made:
    """Make up so many lanes of so many spans each, a millisecond long and uneven."""
    recording = Made()
    for number in range(lanes):
        at, found, seed = 0, [], number + 1
        for place in range(spans):
            seed = seed * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
            end = at + 200 + (seed >> 33) % 1600
            found.append((at, end, LETTERS.index("Pwln"[(place + number) % 4])))
            at = end
        recording.add(f"thread {number}", found)
    # One thread at a time has a GIL.
    recording.holds = {begin: (begin, to, 1) for begin, to, state in recording.threads[0][1] if state == 0}
    return recording


def empty_page() -> str:
    """Make a real page to put recordings into."""
    with plait.record() as recording:
        sum(range(10**6))
    return recording.to_html()


def measure(browser: Any, page: Path, rounds: int) -> dict[str, float]:
    """Return milliseconds: to the first picture, and of the steps."""
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    tab.add_init_script(TIMED)
    tab.goto(page.as_uri())
    tab.wait_for_selector("html[data-drawn]", state="attached", timeout=120_000)
    first = float(tab.evaluate("document.documentElement.dataset.drawn"))
    tab.focus(".field")
    tab.evaluate("window.steps.length = 0")
    for _ in range(rounds):
        for key in KEYS:
            tab.keyboard.press(key)
            tab.wait_for_timeout(40)
    steps = tab.evaluate("window.steps")
    tab.close()
    return {"first": first, "median": statistics.median(steps), "p95": statistics.quantiles(steps, n=20)[-1]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8, help="times that hands go over each page")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures to this file")
    asked = parser.parse_args()
    path = chromium()
    if path is None:
        sys.exit("there is no Chromium: `apt-get install chromium`, or name one in PLAIT_TEST_BROWSER")
    from playwright.sync_api import sync_playwright

    like, figures = empty_page(), {}
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        for lanes, spans in ((12, 10_000), (20, 25_000), (12, 100_000)):
            count = lanes * spans
            page = Path(folder) / "page.html"
            page.write_text(made(lanes, spans).page(like))
            figures[count] = {"bytes": page.stat().st_size, **measure(browser, page, asked.rounds)}
            of = figures[count]
            goal = "goal: first < 1000 ms, p95 < 50 ms" if count == 500_000 else ""
            goal = "goal: < 2 MB" if count == 120_000 else goal
            print(
                f"{count:>9,} spans  {of['bytes'] / 1e6:5.2f} MB  first picture {of['first']:5.0f} ms  "
                f"step {of['median']:5.1f} ms, p95 {of['p95']:5.1f} ms  {goal}".rstrip(),
                flush=True,
            )
        browser.close()
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
