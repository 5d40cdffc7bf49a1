"""`plait watch`: the last seconds of a process tree, in the terminal, in a browser or as lines.

While the view has the terminal, a command that was started for it prints into a file in memory, and is
shown that when the view is left. Where the output is no terminal, the command prints as it would alone.
"""

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from plait import _core
from plait._cli import DONE, _say
from plait._recording import shown
from plait._recording.signals import Signals, send
from plait._recording.target import Command, Refused, Target, attach, start
from plait._recording.web import Server

# Between two looks at what asks for the end.
_TURN = 0.2


class _Watching:
    """One run of the command."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked
        self.in_view = not asked.plain and not asked.web and is_screen()
        self.signals = Signals()
        self.spool: int | None = None
        self.shown = 0
        self.deadline = time.monotonic() + (asked.duration or float("inf"))

    def run(self) -> int:
        """Watch, say what was seen, wait for the command; the exit code."""
        asked = self.asked
        with self.signals:
            if asked.command is None:
                target: Target = attach(asked.pid, asked.children)
            else:
                if self.in_view:
                    self.spool = os.memfd_create("plait-watch", os.MFD_CLOEXEC)
                target = start(asked.command, self.spool)
            try:
                try:
                    self._watch(target)
                except Refused as refused:
                    _say(str(refused))
                return self._wait(target) if isinstance(target, Command) else DONE
            finally:
                target.close()

    def _watch(self, target: Target) -> None:
        asked = self.asked
        for note in target.notes:
            _say(note)
        try:
            watcher = _core.Watcher(
                target.pid, target.what, period=1 / asked.rate, pause=asked.pause, children=asked.children
            )
            if self.in_view:
                prefix = f"plait-watch-{target.pid}"
                watcher.show(lambda interrupts: self._goes_on(watcher, target, interrupts), prefix)
            elif asked.web:
                self._serve(watcher, target)
            else:
                self._lines(watcher, target)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise Refused(str(error.strerror or error)) from None
        trace = watcher.stop()
        self._copy()
        print(shown.verdict(trace))
        sys.stdout.flush()

    def _goes_on(self, watcher: _core.Watcher, target: Target, interrupts: int) -> bool:
        """Whether the view is to stay; Ctrl-C was pressed so often in it, where it is but a key."""
        if isinstance(target, Command):
            for _ in range(interrupts):
                send(target.pid, signal.SIGINT)
        self.signals.interrupts += interrupts
        return self._is_wanted(watcher, target) and not target.ended_within(0)

    def _is_wanted(self, watcher: _core.Watcher, target: Target) -> bool:
        if watcher.is_over or time.monotonic() > self.deadline:
            return False
        if not isinstance(target, Command):
            return not self.signals.asked
        if self.signals.ending is not None:
            send(target.pid, self.signals.ending)
            self.signals.ending = None
        # The first one is the command's.
        return self.signals.interrupts < 2

    def _serve(self, watcher: _core.Watcher, target: Target) -> None:
        with Server(watcher, target.what) as server:
            _say(f"open {server.address}")
            while self._is_wanted(watcher, target):
                if target.ended_within(_TURN):
                    break

    def _lines(self, watcher: _core.Watcher, target: Target) -> None:
        while self._is_wanted(watcher, target):
            ended = target.ended_within(_TURN)
            for line in watcher.lines():
                print(line, flush=True)
            if ended:
                break

    def _copy(self) -> None:
        """Print what the command has printed since the last time."""
        if self.spool is None:
            return
        sys.stdout.flush()
        while part := os.pread(self.spool, 1 << 16, self.shown):
            self.shown += len(part)
            sys.stdout.buffer.write(part)
        sys.stdout.flush()

    def _wait(self, command: Command) -> int:
        """Let the command go on to its end, and show what it prints; its exit code."""
        told = False
        while not command.ended_within(_TURN):
            if self.signals.interrupts > 1:
                return 128 + signal.SIGINT
            if self.signals.ending is not None:
                send(command.pid, self.signals.ending)
                self.signals.ending = None
            if not told:
                _say(f"the command runs on as process {command.pid}")
                told = True
            self._copy()
        self._copy()
        return command.reap()


def is_screen() -> bool:
    """Whether there is a terminal that can show more than lines."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb" and _has_keyboard()


def _has_keyboard() -> bool:
    if sys.stdin is not None and sys.stdin.isatty():
        return True
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return Path("/dev/tty").exists()


def run(asked: argparse.Namespace) -> int:
    """Do what was asked for; the exit code."""
    return _Watching(asked).run()
