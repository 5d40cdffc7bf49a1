"""What Ctrl-C and the signals that end programs ask of a recorder: counted here, acted on by its loop."""

import os
import signal
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Takes SIGINT, SIGTERM and SIGHUP as long as it is entered; what is ignored stays ignored.

    Attributes:
        interrupts: How often Ctrl-C was pressed.
        ending: The last of the others that came, or None.

    """

    def __init__(self) -> None:
        """Take nothing yet."""
        self.interrupts = 0
        self.ending: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Signals":
        """Take them from now on."""
        for number in (signal.SIGINT, *ENDING):
            # Ignored: a job in the background, or one that was started by nohup.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._on)
        return self

    def __exit__(self, *_: object) -> None:
        """Have them do what they did before."""
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]
        self._before.clear()

    def _on(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            self.interrupts += 1
        else:
            self.ending = number

    @property
    def asked(self) -> bool:
        """Whether any came."""
        return self.interrupts > 0 or self.ending is not None


def send(pid: int, number: int) -> None:
    """Send a signal to a process that may have ended."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
