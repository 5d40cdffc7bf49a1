"""A terminal of our own, with a program in it: what its screen shows, what is pressed, how it is left."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pyte
from outside import PATIENCE, TESTS, kill_session, session, until


class Terminal:
    """Runs a command of plait's in a terminal, and keeps what its screen shows."""

    program = ("-m", "plait")

    def __init__(self, arguments, cwd, columns=80, lines=24, **env):
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self.written = b""
        self.ours, theirs = pty.openpty()
        self._resize(theirs, columns, lines)
        self.before = termios.tcgetattr(theirs)
        self.process = subprocess.Popen(
            [sys.executable, *self.program, *map(str, arguments)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(TESTS), "TERM": "xterm-256color", "NO_COLOR": "1", **env},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        # Open until the end, so that what the program leaves can be looked at.
        self._theirs = theirs

    def __enter__(self):
        return self

    def hang_up(self):
        """Goes away, as a window that is closed does."""
        for end in self.ours, self._theirs:
            os.close(end)
        self.ours = self._theirs = None

    def __exit__(self, *_):
        kill_session(self.process.pid)
        self.process.wait()
        until(lambda: not session(self.process.pid), "the end of the session")
        if self.ours is not None:
            os.close(self.ours)
            os.close(self._theirs)

    def _resize(self, of, columns, lines):
        fcntl.ioctl(of, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def resize(self, columns, lines):
        """Makes it another size, which the kernel tells the program."""
        self.read()
        self.screen.resize(lines, columns)
        self._resize(self.ours, columns, lines)

    def press(self, keys):
        os.write(self.ours, keys.encode())

    def read(self, seconds=0.0):
        """Takes what was written until now, or within so many seconds."""
        while select.select([self.ours], [], [], seconds)[0]:
            with contextlib.suppress(OSError):
                if part := os.read(self.ours, 1 << 16):
                    self.written += part
                    self._stream.feed(part)
                    seconds = 0.0
                    continue
            break

    @property
    def text(self):
        """What stands on the screen."""
        self.read()
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def shows(self, *words):
        """Waits until all of these stand on the screen."""
        until(
            lambda: all(word in self.text for word in words), lambda: f"{words} on the screen:\n{self.text}"
        )

    def ends(self):
        """Waits for the end of the program; its exit code."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"the program hung:\n{self.text}"
            self.read(0.02)
        self.read()
        return self.process.returncode

    @property
    def in_view(self):
        """Whether the other screen is shown, as full-screen programs do it."""
        self.read()
        return self.written.rfind(b"\x1b[?1049h") > self.written.rfind(b"\x1b[?1049l")

    @property
    def printed(self):
        """What was written since the view was left."""
        self.read()
        return self.written.rpartition(b"\x1b[?1049l")[2].decode().replace("\r\n", "\n")

    def is_as_before(self):
        """Whether keys, the screen and the cursor do what they did before."""
        return (
            termios.tcgetattr(self._theirs) == self.before
            and not self.in_view
            and self.written.rfind(b"\x1b[?25l") <= self.written.rfind(b"\x1b[?25h")
        )

    def signal(self, number):
        os.kill(self.process.pid, number)


INTERRUPT = "\x03"
SIGNALS = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT]
