"""The file of a checkpoint: results of one function, by the position of their item and its digest.

An SQLite database in WAL mode, held by one run at a time. What was committed outlives a SIGKILL; each
position is there once. Promises: nothing of a foreign file is changed or unpickled; what cannot be written
is said.
"""

import os
import pickle
import sqlite3
import stat
import time
import weakref
from typing import Any, NoReturn

from plait._errors import CheckpointError
from plait._long.identity import Identity

# The form of the file, and what says that it is one of these.
VERSION = 1
_APPLICATION = 0x706C6169

# Results are written together: when so many wait, when they are so large, or after so long.
_MOST_ROWS = 1000
_MOST_BYTES = 1 << 22
_LONGEST = 0.2

# Writing takes one part in so many of the time.
_SHARE = 50

# Bytes of a row beside its result.
_ROOM = 256

_SCHEMA = """
CREATE TABLE map (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE results (position INTEGER PRIMARY KEY, digest BLOB NOT NULL, value BLOB NOT NULL);
"""

_open: "weakref.WeakSet[Ledger]" = weakref.WeakSet()


class Ledger:
    """The results that are in a file, and those on their way there. Used by one thread at a time."""

    def __init__(self, path: str, function: Identity) -> None:
        """Open the file of an earlier run, or make one.

        Raises:
            plait.CheckpointError: it is in use, not this user's own, no such file, or of another function.

        """
        self.path = os.path.abspath(path)
        self._rows: list[tuple[int, bytes, bytes]] = []
        self._bytes = 0
        # Since when rows wait, and how long to wait for further ones.
        self._since = 0.0
        self._pause = 0.0
        # It could not be written, and is tried no more.
        self._is_broken = False
        self._base: sqlite3.Connection | None = None
        try:
            _make(self.path)
            # The lock is held until the file is closed; nobody waits for it.
            self._base = sqlite3.connect(
                self.path, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=8
            )
            self._last = self._take(self._base, function)
        except BaseException as error:
            if self._base is not None:
                self._base.close()
                self._base = None
            if isinstance(error, (OSError, sqlite3.Error)):
                self._explain(error)
            raise
        _open.add(self)

    def find(self, position: int, digest: bytes) -> tuple[Any] | None:
        """Give the result of this item, within a tuple, or None if it is not there.

        Raises:
            plait.CheckpointError: there is one of another item, or it cannot be loaded.

        """
        if position > self._last or self._base is None:
            return None
        try:
            row = self._base.execute(
                "SELECT digest, value FROM results WHERE position = ?", (position,)
            ).fetchone()
        except sqlite3.Error as error:
            self._explain(error)
        if row is None:
            return None
        if row[0] != digest:
            self._refuse(
                f"item {position} is not what it was when its result was kept: the inputs have changed"
            )
        try:
            return (pickle.loads(row[1]),)
        except Exception as error:
            self._refuse(f"the result of item {position} cannot be loaded ({type(error).__name__}: {error})")

    def keep(self, position: int, digest: bytes, value: Any) -> None:
        """Take a result, to be written before long.

        Raises:
            plait.CheckpointError: it cannot be pickled, or is too large.

        """
        try:
            data = pickle.dumps(value, protocol=5)
        except Exception:
            from plait import _pickled

            try:
                data = _pickled.dumps(value, "result")
            except Exception as error:
                self._refuse(
                    f"the result of item {position} cannot be kept: {error}", "return what can be pickled"
                )
        if self._base is not None and len(data) > self._base.getlimit(sqlite3.SQLITE_LIMIT_LENGTH) - _ROOM:
            self._refuse(
                f"the result of item {position} has {len(data)} bytes, more than SQLite takes",
                "write such a result to a file of its own, and return the path",
            )
        if not self._rows:
            self._since = time.monotonic()
        self._rows.append((position, digest, data))
        self._bytes += len(data)

    @property
    def is_due(self) -> bool:
        """Whether what waits is to be written now."""
        if not self._rows:
            return False
        much = len(self._rows) >= _MOST_ROWS or self._bytes >= _MOST_BYTES
        return much or time.monotonic() - self._since >= self._pause

    def write(self) -> None:
        """Write what waits. After an interrupt it still waits.

        Raises:
            plait.CheckpointError: it cannot be written, for want of room for instance.

        """
        if not self._rows or self._base is None or self._is_broken:
            return
        begun = time.monotonic()
        count = len(self._rows)
        try:
            try:
                self._base.execute("BEGIN IMMEDIATE")
                # Ctrl-C may have come between the last commit and its being noted here.
                self._base.executemany("INSERT OR IGNORE INTO results VALUES (?, ?, ?)", self._rows[:count])
                self._base.execute("COMMIT")
            except BaseException:
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            self._is_broken = True
            self._explain(
                error, f"{count} results could not be written to it, which the next run calls again"
            )
        del self._rows[:count]
        self._bytes = 0
        self._pause = min(_LONGEST, _SHARE * (time.monotonic() - begun))

    def close(self) -> None:
        """Write what waits, and give the file free.

        Raises:
            plait.CheckpointError: as `write`; the file is free all the same.

        """
        try:
            self.write()
        finally:
            self.drop()

    def drop(self) -> None:
        """Give the file free as it is."""
        base, self._base = self._base, None
        self._rows.clear()
        if base is not None:
            try:
                base.close()
            except sqlite3.Error:
                # Moving the log into the file lacked room: it is there for the next run as it stands.
                pass

    def _take(self, base: sqlite3.Connection, function: Identity) -> int:
        """Lock the file, see whose it is, and give the last position in it."""
        base.execute("PRAGMA locking_mode = EXCLUSIVE")
        base.execute("BEGIN EXCLUSIVE")
        tables = base.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        application = base.execute("PRAGMA application_id").fetchone()[0]
        if not tables and not application:
            for statement in _SCHEMA.split(";"):
                base.execute(statement)
            base.executemany("INSERT INTO map VALUES (?, ?)", function._asdict().items())
            base.execute(f"PRAGMA application_id = {_APPLICATION}")
            base.execute(f"PRAGMA user_version = {VERSION}")
        elif application != _APPLICATION:
            self._refuse("it is a database of another program", "give another path")
        else:
            version = base.execute("PRAGMA user_version").fetchone()[0]
            if version != VERSION:
                self._refuse(f"it is of version {version}, and this plait writes and reads version {VERSION}")
            self._compare(dict(base.execute("SELECT key, value FROM map")), function)
        base.execute("COMMIT")
        base.execute("PRAGMA journal_mode = WAL")
        # Safe against a kill of the program; after a power cut the last commits may be missing.
        base.execute("PRAGMA synchronous = NORMAL")
        last = base.execute("SELECT max(position) FROM results").fetchone()[0]
        return -1 if last is None else int(last)

    def _compare(self, kept: dict[str, str], function: Identity) -> None:
        """Refuse a file of another function."""
        before = Identity(*(kept.get(field, "") for field in Identity._fields))
        if (before.module, before.name) != (function.module, function.name):
            self._refuse(
                f"it holds results of {before.module}.{before.name}, "
                f"and this maps {function.module}.{function.name}"
            )
        if before.code == function.code:
            return
        if before.python != function.python:
            self._refuse(
                f"it was written by Python {before.python} and this is {function.python}, so that "
                "the function's code cannot be compared",
                f"go on with Python {before.python}, give another path, or delete the file to start anew",
            )
        self._refuse(
            f"{function.name} has changed since: its code, its constants, its defaults or what it captured"
        )

    def _refuse(
        self, why: str, remedy: str = "give another path, or delete the file to start anew"
    ) -> NoReturn:
        error = CheckpointError(f"checkpoint {self.path!r}: {why}; {remedy}")
        error.path = self.path
        raise error

    def _explain(self, error: Exception, what: str = "it cannot be used") -> NoReturn:
        """Raise what a failure of the file means to the user."""
        said = str(error)
        remedy = "give another path, or delete the file to start anew"
        if "locked" in said:
            what, said = "another run is using it", "one at a time may"
            remedy = "wait for its end, or give another path"
        elif "not a database" in said:
            what = "it is no file of plait's"
        elif isinstance(error, OSError) or not isinstance(error, sqlite3.DatabaseError):
            remedy = "give a path that can be written"
        elif "full" in said or "I/O" in said or "readonly" in said or "unable to open" in said:
            remedy = "make room there or give it back its rights, and start again: what is in the file stays"
        try:
            self._refuse(f"{what} ({said})", remedy)
        except CheckpointError as refusal:
            raise refusal from error


def _make(path: str) -> None:
    """See to it that the file exists, is this user's own, and is nobody else's to write."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        # Not opened here: to close it would take the locks from a run of this program that has it open.
        found = os.stat(path)
        why = None
        if not stat.S_ISREG(found.st_mode):
            why = "it is no regular file"
        elif found.st_uid != os.geteuid():
            why = "it belongs to another user, whose pickles could run any code here"
        elif found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            why = "other users may write to it, and pickles run code; chmod 600 it if you trust what is in it"
        if why is not None:
            error = CheckpointError(f"checkpoint {path!r}: {why}; give another path")
            error.path = path
            raise error from None


def _leave_to_parent() -> None:
    """After a fork: to close the child's copy of a connection would clear the parent's log, so it stays."""
    for ledger in list(_open):
        if ledger._base is not None:
            from ctypes import py_object, pythonapi

            pythonapi.Py_IncRef(py_object(ledger._base))
            ledger._base = None
    _open.clear()


os.register_at_fork(after_in_child=_leave_to_parent)
