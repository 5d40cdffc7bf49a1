"""A window that answers while worker processes count primes: progress, results as they come, cancel, close.

python examples/window.py

Tk belongs to the thread that made the window, and futures end in another one. So what is called at their end
touches no widget: it puts the future into a queue, which the window's own loop empties twenty times a second.
"""

import queue
import signal
import tkinter
from tkinter import ttk

import plait

ITEMS = [40_000 * n for n in range(1, 21)]
MILLISECONDS = 50


def count_primes(limit):
    """Count the primes below `limit` by trial division, up to the square root of each number."""
    count = 0
    for n in range(2, limit):
        divisor = 2
        while divisor * divisor <= n and n % divisor:
            divisor += 1
        count += divisor * divisor > n
    return count


class Window(tkinter.Tk):
    """Calls `function` for each item on the executor, and shows what comes of it."""

    def __init__(self, executor, function, items):
        """Make the window; nothing is computed before its button is clicked."""
        super().__init__()
        self.executor, self.function, self.items = executor, function, items
        self.waiting = {}
        self.ended = queue.SimpleQueue()
        self.closing = False
        self.title("Primes")
        self.start = ttk.Button(self, text="Start", command=self.begin)
        self.stop = ttk.Button(self, text="Cancel", command=self.cancel, state="disabled")
        self.bar = ttk.Progressbar(self, length=300, maximum=len(items))
        self.status = ttk.Label(self, text="ready")
        self.results = tkinter.Listbox(self, width=40, height=12)
        for row, widget in enumerate([self.start, self.stop, self.bar, self.status, self.results]):
            widget.grid(row=row, padx=8, pady=4, sticky="ew")
        self.protocol("WM_DELETE_WINDOW", self.close)
        self.poll()

    def begin(self):
        """Hand all calls to the executor, which returns at once."""
        self.results.delete(0, "end")
        self.start["state"], self.stop["state"] = "disabled", "normal"
        for item in self.items:
            future = self.executor.submit(self.function, item)
            self.waiting[future] = item
            future.add_done_callback(self.ended.put)
        self.show("working")

    def cancel(self):
        """Cancel all calls: those that run are stopped. The last first, so that no worker begins another."""
        for future in reversed(self.waiting):
            future.cancel()
        self.waiting.clear()
        self.show("cancelled")

    def poll(self):
        """Take what has ended since the last time, and come again."""
        if self.closing:
            self.cancel()
            self.destroy()
            return
        for _ in range(self.ended.qsize()):
            future = self.ended.get()
            # One that was cancelled is not waited for any more.
            if future in self.waiting:
                self.take(self.waiting.pop(future), future)
        self.after(MILLISECONDS, self.poll)

    def take(self, item, future):
        """Show the result of a call, or what it raised."""
        error = future.exception()
        self.results.insert("end", f"{item:,}: {error!r}" if error else f"{item:,}: {future.result():,}")
        self.results.see("end")
        self.show("working" if self.waiting else "done")

    def show(self, status):
        """Bring bar, label and buttons up to date."""
        self.bar["value"] = self.results.size()
        self.status["text"] = f"{status}: {self.results.size()} of {len(self.items)}"
        if not self.waiting:
            self.start["state"], self.stop["state"] = "normal", "disabled"

    def close(self, *_):
        """Close at the next poll: a signal may arrive in the middle of another callback."""
        self.closing = True


def main():
    """Show the window until it is closed, by its button, Ctrl-C or SIGTERM."""
    with plait.ProcessPoolExecutor() as executor:
        try:
            window = Window(executor, count_primes, ITEMS)
        except tkinter.TclError as error:
            raise SystemExit(f"no window can be shown here: {error}") from None
        # Tk swallows the KeyboardInterrupt that Ctrl-C would raise in a callback.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, window.close)
        window.mainloop()


if __name__ == "__main__":
    main()
