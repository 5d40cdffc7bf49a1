"""A program with a breakpoint in its calls, and a session at the terminal that it runs in."""

import re

from outside import until
from terminal import Terminal

# Two calls, in two workers, each with a breakpoint. What comes of them is printed in the order of the calls.
PROGRAM = """
import sys, time, plait

def double(n):
    doubled = 2 * n
    {stop}
    return doubled + 1

def told(future):
    try:
        return future.result()
    except BaseException as error:
        return type(error).__name__

with plait.{pool} as pool:
    futures = [pool.submit(double, n) for n in (100, 200)]
    print("results", *map(told, futures))
    print("then", pool.submit(abs, -3).result())
"""


def program(stop="breakpoint()", pool="ProcessPoolExecutor(2)"):
    return PROGRAM.format(stop=stop, pool=pool)


class Session(Terminal):
    """A program in a terminal, whose debuggers are talked to."""

    program = ("-u", "-c")

    def __init__(self, text, folder, **env):
        super().__init__([text], folder, columns=200, **env)
        self.taken = 0

    def sees(self, pattern):
        """Waits until this is written, after what was seen before; gives the match."""

        def found():
            self.read()
            text = re.sub(rb"\x1b\[\?2004[hl]\r?", b"", self.written).decode(errors="replace")
            # A prompt is written in pieces, between which another worker may say that it waits.
            text = re.sub(r"(\([Pdb)]{0,4})(plait: [^\r]*\r\n)([Pdb) ]{1,5})", r"\2\1\3", text)
            return re.compile(pattern).search(text, self.taken)

        match = until(found, lambda: f"{pattern} at the end of {self.written!r}")
        self.taken = match.end()
        return match

    def does(self, command, pattern):
        """Types a command at a prompt, and waits for what it brings."""
        self.press(f"{command}\n")
        return self.sees(pattern)

    def debugger(self):
        """Waits for a debugger to open: the worker and its process."""
        match = self.sees(r"plait: debugger in ([\w-]+) \(process (\d+)\), in double, at <string>:\d+\r\n")
        self.sees(r"\(Pdb\) ")
        return match[1], int(match[2])
