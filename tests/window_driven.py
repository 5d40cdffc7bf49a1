"""examples/window.py as a program that test_window.py drives: it obeys lines on stdin, and answers on stdout.

What it computes waits at gates in a folder, `sys.argv[1]`; the items are the other arguments. Without items
it computes what the example does, of few numbers.
"""

import json
import os
import sys
import tkinter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))

import window

folder, *items = sys.argv[1:]


def compute(item):
    """Keep a processor busy until the gate of this item is open."""
    Path(folder, f"entered-{item}").write_text(str(os.getpid()))
    while not os.path.exists(os.path.join(folder, f"open-{item}")):
        sum(range(1000))
    if os.path.exists(os.path.join(folder, f"raise-{item}")):
        raise LookupError(f"item {item}")
    if os.path.exists(os.path.join(folder, f"die-{item}")):
        os._exit(3)
    return item * 1000


class Driven(window.Window):
    """The window, with somebody who clicks, and a count of what its loop gets round to."""

    def __init__(self, executor, function, _):
        if items:
            super().__init__(executor, compute, [int(item) for item in items])
        else:
            super().__init__(executor, function, [100, 1_000, 10_000])
        self.ticks = 0
        self.unread = b""
        self.createfilehandler(sys.stdin, tkinter.READABLE, self.read)
        self.tick()

    def tick(self):
        self.ticks += 1
        self.after(5, self.tick)

    def read(self, *_):
        came = os.read(sys.stdin.fileno(), 4096)
        if not came:
            # Whoever drove it is gone.
            self.deletefilehandler(sys.stdin)
            self.close()
        self.unread += came
        *lines, self.unread = self.unread.split(b"\n")
        for line in lines:
            getattr(self, f"on_{line.decode()}")()
            print(json.dumps(self.look()), flush=True)

    def on_look(self):
        pass

    def on_start(self):
        self.click(self.start)

    def on_cancel(self):
        self.click(self.stop)

    def on_close(self):
        # What Tk calls when a window manager asks for the end.
        self.tk.eval(self.protocol("WM_DELETE_WINDOW"))

    def click(self, button):
        self.update()
        for event in ("<Enter>", "<ButtonPress-1>", "<ButtonRelease-1>", "<Leave>"):
            button.event_generate(event, x=5, y=5)

    def look(self):
        return {
            "ticks": self.ticks,
            "results": self.results.get(0, "end"),
            "status": self.status["text"],
            "bar": float(self.bar["value"]),
            "start": str(self.start["state"]),
            "cancel": str(self.stop["state"]),
        }


window.Window = Driven
window.main()
