"""Takes the pictures of pages that README and docs show, in a real browser: `make docs` runs it.

Usage: screenshots.py FOLDER. Without a Chromium it says so, and the pictures that are there stay.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from pages import chromium  # noqa: E402

# Name of the picture, page, width of the window, colours, and what of the page, or all of it.
PICTURES = (
    ("compare", "compare.html", 1100, "light", "main > :nth-child(-n+2)"),
    ("compare-dark", "compare.html", 1100, "dark", "main > :nth-child(-n+2)"),
    ("square-roots", "square-roots.html", 1100, "light", "main > :nth-child(2)"),
    ("square-roots-dark", "square-roots.html", 1100, "dark", "main > :nth-child(2)"),
    ("fetch-pages", "fetch-pages.html", 1100, "light", "main > :nth-child(4)"),
    ("fetch-pages-dark", "fetch-pages.html", 1100, "dark", "main > :nth-child(4)"),
    ("lanes", "lanes.html", 1100, "light", "#charts"),
    ("lanes-dark", "lanes.html", 1100, "dark", "#charts"),
)


# Pages of comparisons: the function of an example, and options.
COMPARED = {
    "compare.html": ("primes.py",),
    "square-roots.html": ("square_roots.py",),
    "fetch-pages.html": ("fetch_pages.py:fetch", "--workers", "10", "--rounds", "2"),
}


def make_pages(folder: Path) -> None:
    """Compare examples, and record one comparison: serial, threads and processes in turn."""
    plait = [sys.executable, "-m", "plait"]
    for page, (example, *options) in COMPARED.items():
        compare = [*plait, "compare", str(ROOT / "examples" / example), *options]
        subprocess.run([*compare, "--html", page], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    compare = [*plait, "compare", str(ROOT / "examples" / "primes.py")]
    record = [*plait, "record", "--quiet", "-o", "lanes.html", "--"]
    subprocess.run([*record, *compare, "--rounds", "1"], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def take(browser: Any, folder: Path, out: Path) -> None:
    """Take each picture."""
    for name, page, width, colors, part in PICTURES:
        window = {"width": width, "height": 900}
        context = browser.new_context(viewport=window, color_scheme=colors, offline=True)
        tab = context.new_page()
        tab.goto((folder / page).as_uri())
        if page == "lanes.html":
            tab.wait_for_selector("html[data-drawn]", state="attached")
        boxes = [box for one in tab.locator(part).all() if (box := one.bounding_box())]
        top, bottom = min(box["y"] for box in boxes), max(box["y"] + box["height"] for box in boxes)
        clip = {"x": 0, "y": max(top - 16, 0), "width": width, "height": bottom - top + 32}
        tab.screenshot(path=out / f"{name}.png", full_page=True, clip=clip)
        context.close()


def main() -> None:
    """Take all pictures."""
    out = Path(sys.argv[1]).resolve()
    path = chromium()
    if path is None:
        print("no Chromium: the pictures of pages stay as they are (`apt-get install chromium`)")
        return
    from playwright.sync_api import sync_playwright

    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        make_pages(Path(name))
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        take(browser, Path(name), out)
        browser.close()


if __name__ == "__main__":
    main()
