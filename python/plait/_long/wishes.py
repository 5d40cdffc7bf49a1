"""What a map was asked for beyond its calls, checked."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

ERRORS = ("raise", "return", "skip")


class Wishes(NamedTuple):
    """How a map is to deal with errors, order, progress and a checkpoint; see `plait.map`."""

    errors: str
    ordered: bool
    progress: bool | Callable[..., object] | None
    checkpoint: str | None

    @property
    def any(self) -> bool:
        """Whether anything was asked for that a plain map does not do."""
        return self != PLAIN


PLAIN = Wishes("raise", True, None, None)


def wishes(errors: Any, ordered: Any, progress: Any, checkpoint: Any) -> Wishes:
    """Give what was asked for.

    Raises:
        ValueError: `errors` is none of the three words.
        TypeError: another option is of a wrong type.

    """
    if errors not in ERRORS:
        raise ValueError(f"errors must be 'raise', 'return' or 'skip', not {errors!r}")
    if not isinstance(ordered, bool):
        raise TypeError(f"ordered must be True or False, not {ordered!r}")
    if not (progress is None or isinstance(progress, bool) or callable(progress)):
        raise TypeError(f"progress must be True, False, None or a callable, not {progress!r}")
    path = None
    if checkpoint is not None:
        try:
            path = os.fsdecode(checkpoint)
        except TypeError:
            raise TypeError(f"checkpoint must be a path or None, not {checkpoint!r}") from None
        if not path:
            raise ValueError("checkpoint must be the path of a file, not an empty text")
    return Wishes(errors, ordered, progress or None, path)
