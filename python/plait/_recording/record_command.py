"""`plait record`: a trace of a process tree, and what it says.

The trace is written while it grows, so that what was recorded is kept whatever happens to this command.
"""

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from plait import _core
from plait._cli import DONE, FAILED, _say
from plait._recording import shown, written
from plait._recording.formats import TRACE, form_of
from plait._recording.signals import Signals, send
from plait._recording.target import Command, Refused, Target, attach, start

# Between two looks at what asks for the end.
_TURN = 0.2


class _Recording:
    """One run of the command."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked
        self.out: Path | None = asked.out
        try:
            self.form = TRACE if self.out is None else form_of(self.out)
        except ValueError as error:
            raise Refused(str(error)) from None
        self.path = Path()
        self.signals = Signals()

    def run(self) -> int:
        """Record, say what was seen, wait for the command; the exit code."""
        with self.signals:
            self.target = target = self._target()
            try:
                code = self._record(target)
            except Refused as refused:
                _say(str(refused))
                code = FAILED
            try:
                return (self._wait(target) or code) if isinstance(target, Command) else code
            finally:
                target.close()

    def _target(self) -> Target:
        """Open the file, then take or start what is to be recorded."""
        asked = self.asked
        if self.out is not None:
            written.check(self.out)
        if asked.command is None:
            target: Target = attach(asked.pid, asked.children)
            self._open(asked.pid)
            return target
        self._open(os.getpid())
        try:
            command = start(asked.command)
        except Refused:
            self.path.unlink(missing_ok=True)
            raise
        if self.out is None:
            # Now that it has a number.
            path = written.unused(f"plait-record-{command.pid}")
            self.path = self.path.rename(path)
        return command

    def _open(self, pid: int) -> None:
        if self.out is None:
            self.path = written.unused(f"plait-record-{pid}")
            written.check(self.path)
        elif self.form == TRACE:
            self.path = self.out
        else:
            # What is asked for is made of the trace at the end; until then, and if it fails, there is this.
            self.path = written.unused(str(self.out))
        try:
            self.recorder = _core.Recorder(str(self.path))
        except OSError as error:
            raise Refused(
                f"cannot write {str(self.path)!r}: {error.strerror}; choose another place"
            ) from None

    def _record(self, target: Target) -> int:
        asked = self.asked
        for note in target.notes:
            _say(note)
        try:
            self.recorder.start(
                target.pid, target.what, period=1 / asked.rate, pause=asked.pause, children=asked.children
            )
        except OSError as error:
            raise Refused(str(error.strerror)) from None
        if not asked.quiet and sys.stderr.isatty():
            until = f"{asked.duration:g} s" if asked.duration is not None else "its end"
            _say(f"recording {target.what} until Ctrl-C or {until}")
        ended = self._look(target)
        failure = self.recorder.stop()
        code = DONE
        if failure is not None:
            _say(
                f"cannot write {str(self.path)!r} any more: {failure}; what was recorded until then is in it"
            )
            code = FAILED
        if isinstance(target, Command) and not ended:
            _say(f"recording has ended; the command runs on as process {target.pid}")
        return self._report() or code

    def _look(self, target: Target) -> bool:
        """Wait until the recording is to end; whether the process has ended."""
        is_command = isinstance(target, Command)
        deadline = time.monotonic() + (self.asked.duration or float("inf"))
        passed_on: int | None = None
        while not self.recorder.is_over:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if target.ended_within(min(left, _TURN)):
                return True
            if not is_command:
                if self.signals.asked:
                    return False
            elif self.signals.interrupts > 1:
                # The first one the command got as well, from the terminal.
                return False
            elif self.signals.ending not in (None, passed_on):
                passed_on = self.signals.ending
                send(target.pid, passed_on or signal.SIGTERM)
        return target.ended_within(0)

    def _report(self) -> int:
        """Say what was seen, and write what was asked for; the exit code."""
        asked = self.asked
        trace = written.read(self.path)
        for line in shown.unseen(trace, "\n".join(self.target.notes)):
            _say(line)
        if not asked.quiet:
            print(shown.verdict(trace), end="\n\n")
        if self.form == TRACE:
            if not asked.quiet:
                print(f"trace: {self.path}  ({trace.seconds:.1f} s, {written.size(self.path)})")
                print(f"next:  plait report {self.path} -o page.html  (opens in any browser)")
        else:
            assert self.out is not None
            why = written.export(trace, self.out, self.form)
            if why is not None:
                _say(f"{why}; the recording is in {str(self.path)!r}")
                return FAILED
            self.path.unlink(missing_ok=True)
            if not asked.quiet:
                print(written.told(self.out, self.form))
        sys.stdout.flush()
        return DONE

    def _wait(self, command: Command) -> int:
        """Wait for the end of the command, passing signals on; its exit code."""
        while not command.ended_within(_TURN):
            if self.signals.interrupts > 1:
                # It does not end by Ctrl-C, and the user has pressed it twice.
                return 128 + signal.SIGINT
            if self.signals.ending is not None:
                send(command.pid, self.signals.ending)
                self.signals.ending = None
        return command.reap()


def run(asked: argparse.Namespace) -> int:
    """Do what was asked for; the exit code."""
    return _Recording(asked).run()
