"""`plait.Choice`: a decision of the chooser, with the figures that it was made from, as Python sees it.

Pure: it holds what it was given and shows it; `parts` puts it into words, `text` and `page` into lines and
tables.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from plait._choice.page import page
from plait._choice.text import text
from plait._choice.words import shown

_WIDTH = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """The best that one backend offers. `seconds` is predicted for the calls to come, None where it cannot
    be.

    `why_not` says what speaks against it whatever it takes, or is None.
    """

    backend: str
    workers: int
    seconds: float | None
    why_not: str | None


class Choice:
    """Which backend, how many workers, what chunks, and the measured why. `str()` tells it, a notebook shows
    it.

    It cannot be changed. Two are equal if all that they say is.

    Attributes: backend: "serial", "threads", "processes" or "interpreters". workers: How many it begins with.
    chunksize: Items sent to a process together; None where chunks follow the measured times. seconds: What
    the calls to come are predicted to take; None where that is not known. reasons: Why, one sentence each.
    candidates: The best that each backend offers: `backend`, `workers`, `seconds`, `why_not`. runner_up: The
    backend that would have been next, or None if no other was possible. margin: The runner-up's time by the
    chosen one's; below 1 where the simpler of two near ones was chosen. figures: What was measured, by name:
    seconds are those of a call, a mean; bytes too; None is not known. machine: The limits that it was chosen
    for: processors, cores, bytes of memory. deciding: Seconds that it took beside the measured calls, or
    None.

    """

    __module__ = "plait"
    __slots__ = (
        "_told",
        "backend",
        "candidates",
        "chunksize",
        "deciding",
        "figures",
        "machine",
        "margin",
        "reasons",
        "runner_up",
        "seconds",
        "workers",
    )

    _told: Mapping[str, Any]
    backend: str
    workers: int
    chunksize: int | None
    seconds: float | None
    reasons: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    runner_up: str | None
    margin: float | None
    figures: Mapping[str, Any]
    machine: Mapping[str, Any]
    deciding: float | None

    def __init__(self, told: Mapping[str, Any]) -> None:
        """Take what the chooser answered, with `figures` and `machine`; `plait.explain` and maps do this.

        Raises:
            KeyError: there is no backend, or no number of workers.

        """
        told = _frozen(told)
        names = [field.name for field in dataclasses.fields(Candidate)]
        values = {
            "_told": told,
            "backend": told["backend"],
            "workers": told["workers"],
            "reasons": told.get("reasons", ()),
            "candidates": tuple(
                Candidate(**{name: each.get(name) for name in names}) for each in told.get("candidates", ())
            ),
            "figures": told.get("figures", MappingProxyType({})),
            "machine": told.get("machine", MappingProxyType({})),
        }
        for name in self.__slots__:
            object.__setattr__(self, name, values[name] if name in values else told.get(name))

    def text(self, width: int = _WIDTH, color: bool = False) -> str:
        """Return it for a terminal of `width` columns, with colours if asked for."""
        return text(self, width, color)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain dicts and lists."""
        thawed: dict[str, Any] = _thawed(self._told)
        return thawed

    def to_json(self) -> str:
        """Return all of it as JSON; what is not a number is null."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: what was decided stays."""
        raise AttributeError(f"a plait.Choice cannot be changed, so {name!r} cannot be set")

    def __delattr__(self, name: str) -> None:
        """Refuse, too."""
        raise AttributeError(f"a plait.Choice cannot be changed, so {name!r} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        """Compare all that they say."""
        return self._told == other._told if type(other) is Choice else NotImplemented

    def __hash__(self) -> int:
        """Agree with equality."""
        return hash((self.backend, self.workers, self.chunksize, self.seconds, self.reasons))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as what it was made of."""
        return Choice, (self.to_dict(),)

    def __str__(self) -> str:
        """Return the text."""
        return self.text()

    def __repr__(self) -> str:
        """Return the decision, and the runner-up."""
        margin = "" if self.margin is None else f", margin={self.margin:.2f}"
        chunks = "" if self.chunksize is None else f", chunksize={self.chunksize}"
        decided = f"{self.backend}, workers={self.workers}{chunks}"
        return f"<plait.Choice {shown(decided)}; runner-up: {shown(str(self.runner_up))}{margin}>"

    def _repr_html_(self) -> str:
        """Return the tables."""
        return page(self)


def _frozen(value: Any) -> Any:
    """The same so that nobody can change it; numbers that are none become None, as in the chooser's JSON."""
    if isinstance(value, Mapping):
        return MappingProxyType({str(key): _frozen(each) for key, each in value.items()})
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _thawed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _thawed(each) for key, each in value.items()}
    return [_thawed(each) for each in value] if isinstance(value, tuple) else value
