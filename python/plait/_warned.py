"""Warnings of workers, which become warnings of their parent.

A worker has the filters that the program had when the pool was made. What they let through is sent to the
parent and warned of there anew, by the filters of that moment: so it is shown once for each place and text
where they say so, however many workers meet it, and seen by whatever there looks for warnings. Promises: a
warning is there before the result of its call; one that a filter makes an error is raised in the call.
"""

import pickle
import sys
import warnings
from typing import Any

from plait import _core

MARK = "warning"

# What shows a warning once counts in the parent; here each task is to tell of it once.
_ONCE = frozenset(["default", "module", "once"])

# Places of the parent's that are no module's: by file.
_registries: dict[str, dict[Any, Any]] = {}


def of_program() -> tuple[Any, ...]:
    """What workers are told of this program's filters: hashable. Categories go by name."""
    return tuple(
        (action, _plain(message), (kind.__module__, kind.__qualname__), _plain(module), line)
        for action, message, category, module, line in warnings.filters
        for kind in (category if isinstance(category, tuple) else (category,))
    )


def _plain(pattern: Any) -> Any:
    return pattern if pattern is None or isinstance(pattern, str) else (pattern.pattern, pattern.flags)


class _Pattern:
    """A pattern of a filter, compiled when a warning is met: many workers never meet one."""

    def __init__(self, source: tuple[str, int]) -> None:
        """Takes the pattern and its flags, which are told to the worker's own workers."""
        self.pattern, self.flags = source

    def match(self, text: str) -> Any:
        """As that of `re.Pattern`, which is all that filters ask for."""
        import re

        return re.compile(self.pattern, self.flags).match(text)


def _loaded(pattern: Any) -> Any:
    return _Pattern(pattern) if isinstance(pattern, tuple) else pattern


def install(told: tuple[Any, ...], writer: _core.RecordWriter) -> None:
    """In a worker: warn as `of_program` said, to the parent."""
    told = tuple(
        (action, _loaded(message), kind, _loaded(module), line)
        for action, message, kind, module, line in told
    )
    filters: list[Any] = []
    for action, message, (home, name), module, line in told:
        # A category whose module is not loaded is none that could be met yet: see `Sender`.
        category = getattr(sys.modules.get(home), name, None)
        if isinstance(category, type) and issubclass(category, Warning):
            filters.append(("always" if action in _ONCE else action, message, category, module, line))
    warnings.filters[:] = [  # type: ignore[index]
        *filters,
        ("always", None, Warning, None, 0),
    ]
    warnings._filters_mutated()  # type: ignore[attr-defined]
    warnings.showwarning = Sender(told, writer)


class Sender:
    """What shows the warnings of a worker: sends them to the parent."""

    def __init__(self, told: tuple[Any, ...], writer: _core.RecordWriter) -> None:
        """Of the worker that the writer belongs to."""
        self._filters = told
        self._writer = writer
        self._show = warnings.showwarning
        self._task = -1
        self._sent: set[tuple[Any, ...]] = set()

    def __call__(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: Any = None,
        line: str | None = None,
    ) -> None:
        """As `warnings.showwarning`."""
        if file is not None:
            self._show(message, category, filename, lineno, file, line)
            return
        if not isinstance(message, Warning):
            message = category(message)
        text = str(message)
        # Of code that runs nowhere here, what Python takes for its module.
        module = _passed_on or _module_at(filename, lineno) or filename.removesuffix(".py") or "<unknown>"
        action = self._action(text, type(message), module, lineno)
        if action == "error":
            raise message
        if action == "ignore":
            return
        if action in _ONCE:
            if self._writer.tasks != self._task:
                self._task = self._writer.tasks
                self._sent.clear()
            what = (text, type(message), filename, lineno)
            if what in self._sent:
                return
            self._sent.add(what)
        try:
            sent = _core.codec.encode(message)
        except Exception:
            sent = None
        names = [kind.__name__ for kind in type(message).__mro__ if kind.__module__ == "builtins"]
        packed = pickle.dumps((MARK, sent, text, names[0], filename, lineno, module), 5)
        try:
            heard = self._writer.write(packed)
        except RuntimeError:
            # The pool has gone.
            heard = False
        if not heard:
            # Nor is a process that a call has forked anybody's worker.
            self._show(message, category, filename, lineno, file, line)

    def _action(self, text: str, category: type[Warning], module: str, line: int) -> str:
        """What the first of the program's filters that fits says, also of categories that came later."""
        kinds = [(kind.__module__, kind.__qualname__) for kind in category.__mro__]
        for action, message, kind, home, number in self._filters:
            if kind in kinds and _fits(message, text) and _fits(home, module) and number in (0, line):
                return str(action)
        return "default"


def _fits(pattern: Any, text: str) -> bool:
    if pattern is None:
        return True
    return pattern == text if isinstance(pattern, str) else pattern.match(text) is not None


def _module_at(file: str, line: int) -> str | None:
    """The module whose code is warned of, which is at that line."""
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename == file and frame.f_lineno == line:
            name = frame.f_globals.get("__name__")
            return name if isinstance(name, str) else None
        frame = frame.f_back  # type: ignore[assignment]
    return None


# Of a worker's worker, on its way up: the module that was warned of.
_passed_on: str | None = None


def hear(sent: Any, text: str, name: str, file: str, line: int, module: str) -> None:
    """In the parent: warn as a worker did."""
    global _passed_on
    try:
        message = _core.codec.decode(*sent)
    except Exception:
        # Its class is not here, or it could not be sent.
        message = None
    if not isinstance(message, Warning):
        category = getattr(sys.modules["builtins"], name, UserWarning)
        message = category(text) if issubclass(category, Warning) else UserWarning(text)
    home = sys.modules.get(module)
    if home is not None and (module == "__main__" or getattr(home, "__file__", None) == file):
        # The program's own warnings of that place count, too.
        registry = vars(home).setdefault("__warningregistry__", {})
    else:
        registry = _registries.setdefault(file, {})
    _passed_on = module
    try:
        warnings.warn_explicit(message, type(message), file, line, module, registry)
    except type(message):
        # A filter that is younger than the worker, and comes too late for the call.
        warnings.showwarning(message, type(message), file, line)
    finally:
        _passed_on = None
