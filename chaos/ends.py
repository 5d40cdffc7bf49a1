"""What a call may end with. Beside that the storm may kill its worker, and somebody may take it back."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Value:
    """The call gives this."""

    value: Any


@dataclass(frozen=True)
class Raises:
    """The call raises this class, and its text holds this."""

    error: type[BaseException]
    text: str


@dataclass(frozen=True)
class Dies:
    """The call ends its worker, with this exit code as `WorkerDied` tells it."""

    exitcode: int


@dataclass(frozen=True)
class Late:
    """The call takes longer than its timeout, so it is stopped."""


@dataclass(frozen=True)
class Close:
    """The call ends about when its time is over: it gives this, or was stopped."""

    value: Any


@dataclass(frozen=True)
class Hogs:
    """The call takes more memory than its worker may have."""


@dataclass(frozen=True)
class Refused:
    """The call cannot be sent: this error comes from `submit`, or out of the future."""

    error: type[BaseException]


End = Value | Raises | Dies | Late | Close | Hogs | Refused
