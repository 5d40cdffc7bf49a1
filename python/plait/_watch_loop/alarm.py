"""An alarm that each heartbeat puts off, without waking the thread that waits for it.

It is a timer of Linux's that can be polled (timerfd). Python has it from 3.13 on, and lets go of the GIL for
it, which a loop is not to be asked for each time.
"""

import ctypes
import os
from typing import Any


class Alarm:
    """Rings when it was not put off in time: then its descriptor can be read."""

    def __init__(self) -> None:
        """Rings never yet; raises OSError where there is none to be had."""
        try:
            libc = ctypes.PyDLL(None, use_errno=True)
            self._settime, create = libc.timerfd_settime, libc.timerfd_create
        except (AttributeError, OSError, TypeError):
            raise OSError("the system has no timerfd") from None
        # interval and first time, each as seconds and nanoseconds
        self._times: ctypes.Array[Any] = (ctypes.c_long * 4)()
        self.descriptor = create(_CLOCK_MONOTONIC, _CLOEXEC_NONBLOCK)
        if self.descriptor < 0:
            raise OSError(ctypes.get_errno(), "no timerfd is left")

    def put_off(self, seconds: float) -> None:
        """Ring so many seconds from now, and not before."""
        self._times[2] = int(seconds)
        self._times[3] = int(seconds % 1 * 1e9)
        self._settime(self.descriptor, 0, self._times, None)

    def __del__(self) -> None:
        """Nobody puts it off, or waits for it."""
        if getattr(self, "descriptor", -1) >= 0:
            os.close(self.descriptor)


class Bell:
    """Rings when somebody asks for it, from any thread."""

    def __init__(self) -> None:
        """Silent at first."""
        self.descriptor, self._other = os.pipe()
        os.set_blocking(self.descriptor, False)
        os.set_blocking(self._other, False)

    def ring(self) -> None:
        """Make the descriptor one that can be read."""
        try:
            os.write(self._other, b"!")
        except BlockingIOError:
            # It rings already.
            pass

    def silence(self) -> None:
        """Wait for the next ringing."""
        try:
            while os.read(self.descriptor, 4096):
                pass
        except BlockingIOError:
            pass

    def __del__(self) -> None:
        """Nobody rings it any more."""
        for descriptor in (getattr(self, "descriptor", None), getattr(self, "_other", None)):
            if descriptor is not None:
                os.close(descriptor)


_CLOCK_MONOTONIC = 1
_CLOEXEC_NONBLOCK = os.O_CLOEXEC | os.O_NONBLOCK
