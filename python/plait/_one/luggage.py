"""Descriptors on their way into a process that is about to run.

Pipes, queues and shared values of multiprocessing hold descriptors, and sockets are some. Where the stdlib
starts a process they are inherited; a process of plait's comes from the nursery, so they are sent to it, over
a socket that it has connected to before. Promises: the sender never waits for the receiver; nothing has a
name that outlives a process; what a process did not ask for is closed in it.
"""

import fcntl
import os
import select
import socket
import struct
from typing import Any

from plait import _inherit

# So many go in one message.
_TOGETHER = 250

# Seconds between two looks whether there is still somebody to come.
_GLANCE = 0.05

# Seconds that one who has connected has to say who it is, which the right one has done before.
_PATIENCE = 5.0

# pid, uid and gid of whoever has connected.
_PEER = struct.Struct("3i")
_COUNT = struct.Struct("I")


class Luggage(_inherit.Lent):
    """What one process is to get. A context: what is pickled in it may hold locks, pipes and sockets."""

    def __init__(self) -> None:
        """Wait for no process yet, but have an address for it.

        Raises:
            OSError: the system has no descriptors left.

        """
        super().__init__()
        # Any process of this machine can knock.
        self._secret = os.urandom(16)
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # A name that the kernel finds, and that is gone with the socket.
        try:
            self._door.bind("")
            self._door.listen(8)
        except BaseException:
            self._door.close()
            raise

    def duplicate_for_child(self, file: int) -> int:
        """Take a descriptor along; what multiprocessing calls while it pickles one. Gives its place."""
        self._files.append(fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, 3))
        return len(self._files) - 1

    def DupFd(self, place: int) -> "Piece":  # type: ignore[override]
        """Give what a descriptor is in a pickle."""
        return Piece(place)

    def ticket(self) -> "Ticket":
        """What the process unpickles first, by which it connects."""
        return Ticket(self._door.getsockname(), self._secret)

    def meet(self, future: Any) -> int | None:
        """Wait until the process that runs a call has unpickled its ticket; send what was taken along.

        Gives its process id, or None if the call has ended without.
        """
        while not _has_ended(future) or self._is_knocked_at(0):
            if not self._is_knocked_at(_GLANCE):
                continue
            peer, _ = self._door.accept()
            with peer:
                peer.settimeout(_PATIENCE)
                try:
                    known = peer.recv(len(self._secret)) == self._secret
                except OSError:
                    known = False
                if known:
                    peer.settimeout(None)
                    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
                    self._send(peer)
                    return int(_PEER.unpack(credentials)[0])
        return None

    def close(self) -> None:
        """Let go of everything."""
        self._door.close()
        while self._files:
            os.close(self._files.pop())

    def _is_knocked_at(self, seconds: float) -> bool:
        return bool(select.select([self._door], [], [], seconds)[0])

    def _send(self, peer: socket.socket) -> None:
        try:
            peer.send(_COUNT.pack(len(self._files)))
            for first in range(0, len(self._files), _TOGETHER):
                socket.send_fds(peer, [b"+"], self._files[first : first + _TOGETHER])
        except (BrokenPipeError, ConnectionResetError):
            # It has gone, as the result of the call will say.
            pass


class Ticket:
    """Leads a process to who sends it what it needs."""

    def __init__(self, address: bytes, secret: bytes) -> None:
        """To this address; `secret` proves that it was sent here."""
        self._way = (address, secret)

    def __reduce__(self) -> Any:
        """Lead there as it arrives."""
        return _connect, self._way


class Piece:
    """A descriptor that travels, as what multiprocessing unpickles it from."""

    def __init__(self, place: int) -> None:
        """The one at this place."""
        self._place = place

    def detach(self) -> int:
        """Give the descriptor, in the process that has got it."""
        return _unpack().pop(self._place)


_arriving: socket.socket | None = None
_arrived: dict[int, int] = {}


def _has_ended(future: Any) -> bool:
    try:
        # Looks for news, as `done` does not.
        future.exception(0)
    except TimeoutError:
        return False
    return True


def _connect(address: bytes, secret: bytes) -> None:
    global _arriving
    _arriving = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    _arriving.connect(address)
    _arriving.send(secret)


def settle() -> None:
    """Close what nobody has asked for."""
    left = _unpack()
    while left:
        os.close(left.popitem()[1])


def _unpack() -> dict[int, int]:
    global _arriving
    if _arriving is not None:
        with _arriving as peer:
            _arriving = None
            # Nothing at all if the parent has gone, as this process will.
            count = peer.recv(_COUNT.size) or _COUNT.pack(0)
            (left,) = _COUNT.unpack(count)
            while left:
                _, files, _, _ = socket.recv_fds(peer, 1, _TOGETHER)
                if not files:
                    raise OSError("descriptors did not arrive; see `ulimit -n`")
                for file in files:
                    os.set_inheritable(file, False)
                    _arrived[len(_arrived)] = file
                left -= len(files)
    return _arrived


def tracker() -> "Tracker | None":
    """What makes a process report to this program's tracker of shared memory, if there is one."""
    import sys

    module: Any = sys.modules.get("multiprocessing.resource_tracker")
    found = getattr(getattr(module, "_resource_tracker", None), "_fd", None)
    return None if found is None else Tracker(found)


class Tracker:
    """The end of a pipe to the process that removes named shared memory when a program has ended.

    Children of multiprocessing's have their parent's. One of its own would remove what it has merely opened.
    """

    def __init__(self, file: int) -> None:
        """Of this program."""
        self._file = file

    def __reduce__(self) -> Any:
        """Go as a descriptor."""
        from multiprocessing import reduction

        return _report_to, (reduction.DupFd(self._file),)


def _report_to(end: Any) -> None:
    from multiprocessing import resource_tracker

    file = end.detach()
    mine: Any = resource_tracker._resource_tracker
    if mine._fd is None:
        mine._fd = file
    else:
        os.close(file)
