"""Draws the diagrams of the page "How plait works": `make docs` runs it.

Usage: diagrams.py FOLDER. Pictures are SVG, narrow enough for a phone, and follow light and dark by
themselves. The same code gives the same files, so a test sees when one in the tree is old.
"""

import sys
from collections.abc import Callable
from html import escape
from pathlib import Path

WIDTH = 400
# Of a letter of 13 pixels, on average; text that would leave its box is refused.
LETTER = 6.2
STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #1c2422; text-anchor: middle }
text.small { font-size: 11.5px; fill: #51605c }
text.left { text-anchor: start }
text.right { text-anchor: end }
rect { fill: #ffffff; stroke: #7f918c; rx: 6px }
rect.room { fill: #f1f5f4; stroke: #c3cfcb }
rect.mine { fill: #d9efe8; stroke: #00836b }
rect.theirs { fill: #dbeaf6; stroke: #0072b2 }
rect.shared { fill: #fdf0d5; stroke: #b97d00 }
path { fill: none; stroke: #51605c; stroke-width: 1.5 }
path.head { fill: #51605c; stroke: none }
@media (prefers-color-scheme: dark) {
text { fill: #e4ebe9 }
text.small { fill: #a7b6b1 }
rect { fill: #262d36; stroke: #7f918c }
rect.room { fill: #222831; stroke: #46515c }
rect.mine { fill: #12443a; stroke: #2bb795 }
rect.theirs { fill: #123a57; stroke: #56b4e9 }
rect.shared { fill: #4a3610; stroke: #e69f00 }
path { stroke: #a7b6b1 }
path.head { fill: #a7b6b1 }
}"""


class Drawing:
    """A picture that grows by boxes, words and arrows; places are in pixels from the top left."""

    def __init__(self, title: str, height: int) -> None:
        """Begin an empty picture, with what it is called for those who cannot see it."""
        self._title = title
        self._height = height
        self._parts: list[str] = []

    def box(self, kind: str, x: int, y: int, w: int, h: int, *lines: str) -> None:
        """Draw a box with its words in the middle; the first line is the larger one.

        Raises ValueError where they do not fit.
        """
        self._parts.append(f'<rect class="{kind}" x="{x}" y="{y}" width="{w}" height="{h}" rx="6"/>')
        top = y + h / 2 - 8 * (len(lines) - 1) + 4.5
        for number, line in enumerate(lines):
            if len(line) * LETTER * (11.5 / 13 if number else 1) > w - 8:
                raise ValueError(f"{line!r} is too wide for its box")
            self.words(x + w / 2, top + 16 * number, line, "small" if number else "")

    def words(self, x: float, y: float, text: str, kind: str = "small") -> None:
        """Write a line, around `x`, or from there or up to there, with "left" or "right" in its kind."""
        self._parts.append(f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(text)}</text>')

    def room(self, x: int, y: int, w: int, h: int, name: str) -> None:
        """Draw a place that holds others, with its name, if any, on top."""
        self.box("room", x, y, w, h)
        if name:
            self.words(x + w / 2, y + 17, name)

    def arrow(self, *points: tuple[int, int]) -> None:
        """Draw a line through the points, with a head at the last; lines are level or upright."""
        way = " L ".join(f"{x} {y}" for x, y in points)
        (x0, y0), (x, y) = points[-2:]
        dx, dy = (x > x0) - (x < x0), (y > y0) - (y < y0)
        wing = [(x - 8 * dx - 4 * dy, y - 8 * dy - 4 * dx), (x - 8 * dx + 4 * dy, y - 8 * dy + 4 * dx)]
        head = " L ".join(f"{a} {b}" for a, b in [(x, y), *wing])
        self._parts.append(f'<path d="M {way}"/><path class="head" d="M {head} Z"/>')

    def cells(self, kind: str, x: int, y: int, w: int, count: int) -> None:
        """Draw a ring of slots, unrolled."""
        for number in range(count):
            side = w // count
            self._parts.append(
                f'<rect class="{kind}" x="{x + number * side}" y="{y}" width="{side}" height="18" rx="2"/>'
            )

    def text(self) -> str:
        """Return the picture as a file."""
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self._height}" '
        head += f'width="{WIDTH}" height="{self._height}" role="img">'
        title = f"<title>{escape(self._title)}</title>"
        return "\n".join([head, title, f"<style>\n{self.style()}\n</style>", *self._parts, "</svg>\n"])

    def style(self) -> str:
        """Return the colours and fonts of all that is drawn."""
        return STYLE


def call() -> Drawing:
    """The way of a call to a worker process and back."""
    d = Drawing("the way of a call: claim ring, worker, result ring, future", 300)
    d.room(4, 4, 122, 292, "your program")
    d.room(138, 4, 124, 292, "shared memory")
    d.room(274, 4, 122, 292, "worker process")
    d.box("mine", 14, 34, 102, 50, "submit(fn, x)", "bytes, no lock")
    d.box("mine", 14, 230, 102, 50, "future.result()", "takes it")
    d.words(200, 46, "claim ring")
    d.cells("shared", 150, 54, 100, 5)
    d.words(200, 90, "one swap says")
    d.words(200, 105, "who has which call")
    d.words(200, 242, "result ring")
    d.cells("shared", 150, 250, 100, 5)
    d.words(200, 214, "one of each worker")
    d.box("theirs", 284, 34, 102, 50, "claims a call", "when it is free")
    d.box("theirs", 284, 132, 102, 50, "runs fn(x)", "GIL of its own")
    d.box("theirs", 284, 230, 102, 50, "writes", "and goes on")
    d.arrow((116, 63), (148, 63))
    d.arrow((252, 63), (282, 63))
    d.arrow((335, 84), (335, 130))
    d.arrow((335, 182), (335, 228))
    d.arrow((284, 259), (252, 259))
    d.arrow((148, 259), (118, 259))
    d.words(65, 150, "nobody stands")
    d.words(65, 165, "between")
    return d


def worker() -> Drawing:
    """Where workers come from."""
    d = Drawing("workers are forked from a clean nursery, not from your program", 270)
    d.box("mine", 20, 10, 150, 62, "your program", "runs your script,", "once; has threads")
    d.box("shared", 220, 10, 160, 62, "nursery", "a fresh interpreter,", "one thread, no script")
    d.arrow((170, 41), (218, 41))
    d.words(194, 33, "starts")
    for number in range(3):
        x = 20 + 130 * number
        d.arrow((300, 72), (300, 108), (x + 50, 108), (x + 50, 138))
        d.box("theirs", x, 140, 100, 46, f"worker {number}", "a GIL of its own")
    d.words(180, 98, "forks, in about a millisecond each")
    d.arrow((20, 41), (8, 41), (8, 226), (46, 226))
    what = "what you defined in your script goes along, too"
    d.box("", 48, 206, 332, 40, "functions, by name or by value; no __main__", what)
    d.arrow((70, 206), (70, 188))
    d.arrow((200, 206), (200, 188))
    d.arrow((330, 206), (330, 188))
    return d


def data() -> Drawing:
    """How large data goes."""
    d = Drawing("large data: one file in memory that all processes map", 296)
    d.box("mine", 4, 8, 392, 40, "your program")
    d.room(4, 104, 392, 76, "")
    d.words(136, 122, "one file in memory")
    d.words(264, 122, "that all map")
    d.box("theirs", 4, 248, 392, 40, "worker process")
    d.box("shared", 12, 130, 120, 40, "an argument", "sent")
    d.box("shared", 140, 130, 120, 40, "a result", "of a worker")
    d.box("shared", 268, 130, 120, 40, "plait.zeros()", "shared")
    d.arrow((72, 48), (72, 128))
    d.words(80, 80, "copied once", "small left")
    d.arrow((72, 170), (72, 246))
    d.words(80, 204, "mapped,", "small left")
    d.words(80, 219, "copy on write", "small left")
    d.arrow((200, 248), (200, 172))
    d.words(208, 212, "written once", "small left")
    d.arrow((200, 130), (200, 50))
    d.words(208, 80, "mapped", "small left")
    d.arrow((328, 90), (328, 50))
    d.arrow((328, 90), (328, 128))
    d.words(322, 80, "in place", "small right")
    d.arrow((328, 210), (328, 246))
    d.arrow((328, 210), (328, 172))
    d.words(322, 228, "in place", "small right")
    return d


def choice() -> Drawing:
    """How a backend is chosen."""
    d = Drawing("the first calls are measured, each backend is predicted, the fastest runs the rest", 336)
    d.box("mine", 100, 8, 200, 46, "the first calls", "about 10 ms, in your program")
    d.arrow((200, 54), (200, 76))
    seen = "time, processor, GIL held and waited for,", "bytes to send, state that is shared"
    d.box("", 60, 78, 280, 62, "figures", *seen)
    d.arrow((200, 140), (200, 162))
    d.box("", 60, 164, 280, 46, "predict each", "on this machine's real limits")
    for number, name in enumerate(("serial", "threads", "processes")):
        x = 60 + 95 * number
        d.arrow((x + 45, 210), (x + 45, 232))
        d.box("theirs", x, 234, 90, 34, name)
    d.words(200, 290, "the shortest time wins; of equals, the simpler")
    d.arrow((340, 251), (376, 251), (376, 109), (342, 109))
    d.words(200, 314, "measured again while it runs: more threads,")
    d.words(200, 329, "other chunks, another backend")
    return d


def look() -> Drawing:
    """How a program is looked at."""
    d = Drawing("a recorder reads a program's memory a thousand times a second, from outside", 262)
    d.room(4, 4, 180, 158, "any Python program")
    d.box("theirs", 16, 32, 156, 34, "who holds the GIL")
    d.box("theirs", 16, 74, 156, 34, "each thread's stack")
    d.box("theirs", 16, 116, 156, 34, "what the kernel says")
    d.room(230, 4, 166, 158, "plait record, watch")
    d.box("mine", 242, 58, 142, 50, "looks", "1,000 times a second")
    d.arrow((242, 83), (186, 83))
    d.words(208, 74, "reads")
    d.words(208, 100, "no stop")
    d.arrow((313, 108), (313, 188))
    d.room(4, 188, 392, 70, "lanes: what each thread did, and a verdict")
    for x, w, kind in ((16, 90, "mine"), (106, 60, "shared"), (166, 110, "mine"), (276, 108, "shared")):
        d.box(kind, x, 212, w, 14)
    for x, w, kind in ((16, 90, "shared"), (106, 60, "mine"), (166, 110, "shared"), (276, 108, "mine")):
        d.box(kind, x, 232, w, 14)
    return d


DIAGRAMS: dict[str, Callable[[], Drawing]] = {
    "way-of-a-call": call,
    "way-of-a-worker": worker,
    "way-of-data": data,
    "way-of-a-choice": choice,
    "way-of-a-look": look,
}


def main() -> None:
    """Draw all of them."""
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for name, draw in DIAGRAMS.items():
        (out / f"{name}.svg").write_text(draw().text())


if __name__ == "__main__":
    main()
