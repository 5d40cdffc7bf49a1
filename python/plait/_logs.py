"""Log records of workers, on their way to the handlers of their parent.

Where the program's logging is configured when a pool is made, each worker gets its levels, and one handler
that sends every record to the parent: there it is handled as if it had been logged there, with the worker's
name as its process. Promises: each record goes once, in the worker's order, and is there before the result
of its call; its message, its traceback and what else it carries arrive whatever they are made of. What
handlers of the worker's own have written to the same place as the parent's is not written again.

Where logging is not configured, nothing here is loaded by workers.
"""

import logging
import os
import pickle
import sys
from typing import Any

from plait import _core, _warned

# Of a record, what the sender writes itself or the formatter of a handler leaves behind.
_OWN = frozenset({"msg", "args", "exc_info", "exc_text", "message", "asctime"})
_PLAIN = frozenset({str, int, float, bool, type(None)})
_STANDARD_LEVELS = {
    logging.CRITICAL: "CRITICAL",
    logging.ERROR: "ERROR",
    logging.WARNING: "WARNING",
    logging.INFO: "INFO",
    logging.DEBUG: "DEBUG",
    logging.NOTSET: "NOTSET",
}


def of_program() -> tuple[Any, ...] | None:
    """What workers are told of this program's logging: hashable; None where nothing is configured."""
    root = logging.root
    manager = root.manager
    configured = bool(
        root.handlers or root.filters or root.level != logging.WARNING or root.disabled or manager.disable
    )
    loggers = []
    for name, logger in list(manager.loggerDict.items()):
        if not isinstance(logger, logging.Logger):
            continue
        if logger.level or logger.disabled or not logger.propagate:
            loggers.append((name, logger.level, logger.disabled, logger.propagate))
        elif logger.handlers and not configured:
            # A library's way to say nothing.
            configured = not all(isinstance(handler, logging.NullHandler) for handler in logger.handlers)
    if not configured and not loggers:
        return None
    names = logging._levelToName
    levels = tuple(item for item in names.items() if _STANDARD_LEVELS.get(item[0]) != item[1])
    captures = logging._warnings_showwarning is not None  # type: ignore[attr-defined]
    flags = (logging.raiseExceptions, captures)
    return (root.level, root.disabled, manager.disable, tuple(sorted(loggers)), levels, flags)


def install(told: tuple[Any, ...], writer: _core.RecordWriter, warns: bool = True) -> None:
    """In a worker: log as `of_program` said, to the parent. `warns`: warnings, too, if that logs them."""
    level, disabled, limit, loggers, levels, (raises, captures) = told
    for number, name in levels:
        logging.addLevelName(number, name)
    sender = Sender(writer)
    logging.root.setLevel(level)
    logging.root.disabled = disabled
    logging.root.addHandler(sender)
    logging.disable(limit)
    logging.raiseExceptions = raises
    for name, level, disabled, propagate in loggers:
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.disabled = disabled
        if not propagate:
            logger.propagate = False
            logger.addHandler(sender)
    if captures and warns:
        logging.captureWarnings(True)


def name_process(name: str) -> None:
    """In a worker: say in its records that this is its name."""
    loggers = [it for it in logging.root.manager.loggerDict.values() if isinstance(it, logging.Logger)]
    for logger in (logging.root, *loggers):
        for handler in logger.handlers:
            if isinstance(handler, Sender):
                handler._worker = name


class Sender(logging.Handler):
    """The handler of a worker: sends each record to the parent, and waits while there is no room."""

    def __init__(self, writer: _core.RecordWriter) -> None:
        """Of the worker that the writer belongs to."""
        super().__init__()
        self._write = writer.write
        self._worker = f"plait-worker-{writer.worker}"
        self._pid = os.getpid()
        self._formatter = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        """Send it."""
        try:
            sent = self._write(self._pack(record))
        except Exception:
            self.handleError(record)
            return
        last = logging.lastResort
        if not sent and last is not None and record.levelno >= last.level:
            # A process that a call has forked is nobody's worker.
            last.handle(record)

    def _pack(self, record: logging.LogRecord) -> bytes:
        text = record.exc_text
        if not text and record.exc_info:
            text = self._formatter.formatException(record.exc_info)
        # The exact string, also of a message whose class nobody else knows.
        plain: dict[str, Any] = {"msg": str.__str__(record.getMessage()), "exc_text": text}
        others = {}
        for name, value in record.__dict__.items():
            if name in _OWN:
                continue
            if type(value) in _PLAIN:
                plain[name] = value
                continue
            try:
                others[name] = _core.codec.encode(value)
            except Exception:
                plain[name] = _shown(value)
        if record.process is None or record.process == self._pid:
            # Otherwise it is a worker's of this worker's, and has its name.
            plain["process"] = self._pid
            plain["processName"] = self._worker
        return pickle.dumps((plain, others, self._written(record)), 5)

    def _written(self, record: logging.LogRecord) -> list[tuple[Any, ...]]:
        """The places to which handlers of this process write the record."""
        written = []
        logger: logging.Logger | None = logging.getLogger(record.name)
        while logger is not None:
            for handler in logger.handlers:
                if handler is not self and record.levelno >= handler.level:
                    place = _place(handler)
                    if place is not None:
                        written.append((logger.name, *place))
            logger = logger.parent if logger.propagate else None
        return written


def _shown(value: object) -> str:
    try:
        return str.__str__(repr(value))
    except Exception:
        return object.__repr__(value)


def _place(handler: logging.Handler) -> tuple[str, str] | None:
    """Where a handler writes to, if that is a place which a parent and its workers share."""
    kind = type(handler).__qualname__
    name = getattr(handler, "baseFilename", None)
    if isinstance(name, str):
        return kind, name
    stream = getattr(handler, "stream", None)
    if stream is None:
        return None
    for name in ("stdout", "stderr"):
        if stream is getattr(sys, name) or stream is getattr(sys, f"__{name}__"):
            return kind, name
    return None


def hear(records: list[bytes]) -> None:
    """In the parent: have its handlers hear what workers logged, and warn as they did.

    Called by one thread of a pool at a time. Raises what is no mere exception, such as Ctrl-C in a handler,
    after the last record.
    """
    stop: BaseException | None = None
    for packed in records:
        try:
            _hear(packed)
        except Exception:
            _complain()
        except BaseException as error:
            stop = stop or error
    if stop is not None:
        raise stop


def _hear(packed: bytes) -> None:
    told = pickle.loads(packed)
    if told[0] == _warned.MARK:
        _warned.hear(*told[1:])
        return
    plain, others, written = told
    for name, (kind, value) in others.items():
        try:
            plain[name] = _core.codec.decode(kind, value)
        except Exception as error:
            plain[name] = f"<cannot be unpickled here: {type(error).__name__}: {error}>"
    if plain["exc_text"]:
        from plait._remote import with_source

        plain["exc_text"] = with_source(plain["exc_text"])
    record = logging.makeLogRecord({"args": (), "exc_info": None, **plain})
    logger = logging.getLogger(record.name)
    if not logger.isEnabledFor(record.levelno):
        # It was made less talkative since the worker heard of its level.
        return
    if not written:
        logger.handle(record)
        return
    # As `Logger.handle`, but for what the worker's own handlers have done.
    if logger.disabled:
        return
    passed = logger.filter(record)
    if isinstance(passed, logging.LogRecord):
        record = passed
    step: logging.Logger | None = logger if passed else None
    while step is not None:
        for handler in step.handlers:
            place = _place(handler)
            if record.levelno >= handler.level and (place is None or (step.name, *place) not in written):
                handler.handle(record)
        step = step.parent if step.propagate else None


def _complain() -> None:
    """Say that a handler or a filter raised, as `logging` says it of its own."""
    if not logging.raiseExceptions or sys.stderr is None:
        return
    import traceback

    try:
        print("--- Logging error, for a record of a worker process ---", file=sys.stderr)
        traceback.print_exc(file=sys.stderr)
    except (OSError, ValueError):
        pass
