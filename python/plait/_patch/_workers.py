"""The worker processes of a served executor, for programs that look at its private mapping of them."""

from collections.abc import Iterator, Mapping
from typing import Any


class ByPid(Mapping[int, Any]):
    """The workers by process id, as they are when it is looked at."""

    def __init__(self, engine: Any) -> None:
        """Of this engine."""
        self._engine = engine

    def __getitem__(self, pid: int) -> Any:
        """The worker with this id."""
        return self._engine._processes[pid]

    def __iter__(self) -> Iterator[int]:
        """Over their ids."""
        return iter(self._engine._processes)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._engine._processes)
