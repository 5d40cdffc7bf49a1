"""Several calls of a map as one task of a sub-interpreter, which can be taken back until they begin.

A function is loaded in an interpreter before the first calls of it there. What cannot be loaded so leaves its
calls as they were, and says why.
"""

import pickle
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from plait._asyncio.kind import name_of
from plait._errors import PlaitError
from plait._interpreters import inside
from plait._interpreters.executor import here, opened

if TYPE_CHECKING:
    from plait._interpreters.executor import InterpreterExecutor

# What came of some calls: their seconds and results, and how the one behind these failed.
Answer = tuple[float, list[Any], BaseException | None]


class NotThere(PlaitError):
    """Calls that cannot be made in an interpreter; `made` results are there, and no other call has begun.

    The one behind these may have begun, and met what does not exist there.
    """

    def __init__(self, why: str, made: list[Any] | None = None) -> None:
        """Take what a sentence says of it."""
        super().__init__(why)
        self.made = made or []


class Lot:
    """The calls of a chunk, and what becomes of them: made there, or taken back."""

    def __init__(
        self, pool: "InterpreterExecutor", fn: Callable[..., Any], function: bytes, calls: list[Any]
    ) -> None:
        """Submit them; `function` is `fn` as it is sent.

        Raises:
            Exception: they cannot be pickled.

        """
        self.calls = calls
        self._name = name_of(fn)
        self._fate: dict[str, bool] = {}
        self._future = pool._plain_submit(self._make, function, inside.dumps(calls))

    def take_back(self) -> bool:
        """Whether none of them was begun, nor will be."""
        self._future.cancel()
        return not self._fate.setdefault("begun", False)

    def wait(self, patience: float) -> bool:
        """Wait so long for them to begin or to have failed; whether they have."""
        try:
            self._future.exception(max(0.0, patience))
        except TimeoutError:
            return self._fate.get("begun", False)
        return True

    def answer(self) -> Answer:
        """Wait for their end.

        Raises:
            NotThere: some or all of them cannot be made there.

        """
        answer: Answer = self._future.result()
        return answer

    def cancel(self) -> None:
        """Forget them, if they have not begun."""
        self._future.cancel()

    def done(self) -> bool:
        """Whether no thread has anything to do with them any more."""
        return bool(self._future.done())

    def _make(self, function: bytes, calls: bytes) -> Answer:
        interpreter, loaded = here()
        if function not in loaded:
            try:
                opened(interpreter.call(inside.load, function), self._name)
            except ImportError as error:
                refuses = f"{error.name}, which it needs, refuses to be loaded there"
                raise NotThere(refuses if error.name else f"it cannot be loaded there: {error}") from error
            except Exception as error:
                told = f"it cannot be loaded there ({type(error).__name__}: {error})"
                raise NotThere(told) from error
            loaded.add(function)
        if not self._fate.setdefault("begun", True):
            raise NotThere("they were taken back")
        made, failed = interpreter.call(inside.make_calls, function, calls)
        seconds, values = pickle.loads(made)
        if failed is None:
            return seconds, values, None
        if failed[:1] == b"u":
            raise NotThere(failed[1:].decode(), values)
        try:
            opened(failed, self._name)
        except BaseException as error:
            return seconds, values, error
        raise AssertionError("an answer that says of no failure")
