# SPDX-License-Identifier: Apache-2.0
"""Why SQLite refuses something: only one of these reasons means that the file is damaged."""

import sqlite3
from enum import Enum, auto
from pathlib import Path
from typing import Final

from protocol.disk import has_room

_PRIMARY: Final = 0xFF
"""SQLite's extended result codes have the primary one in their lowest byte."""
_MAYBE_FULL: Final = (sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)
"""What SQLite says, among other things, when a quota or a file's allowed size is used up."""


class Refusal(Enum):
    """Why the database could not be used."""

    FULL = auto()
    """The disk is full, or a file has its largest size."""
    PASSING = auto()
    """Another process keeps it busy, or memory is short: it passes."""
    DAMAGED = auto()
    """The file is damaged, or no database."""
    CLOSED = auto()
    """It may not be opened or written: it is another user's, or on a disk that is read only."""
    FAILING = auto()
    """The disk fails."""
    UNKNOWN = auto()
    """Anything else: a form that this program does not understand."""


_REASONS: Final = {
    sqlite3.SQLITE_FULL: Refusal.FULL,
    sqlite3.SQLITE_BUSY: Refusal.PASSING,
    sqlite3.SQLITE_LOCKED: Refusal.PASSING,
    sqlite3.SQLITE_NOMEM: Refusal.PASSING,
    sqlite3.SQLITE_INTERRUPT: Refusal.PASSING,
    sqlite3.SQLITE_CORRUPT: Refusal.DAMAGED,
    sqlite3.SQLITE_NOTADB: Refusal.DAMAGED,
    sqlite3.SQLITE_CANTOPEN: Refusal.CLOSED,
    sqlite3.SQLITE_READONLY: Refusal.CLOSED,
    sqlite3.SQLITE_PERM: Refusal.CLOSED,
    sqlite3.SQLITE_AUTH: Refusal.CLOSED,
    sqlite3.SQLITE_IOERR: Refusal.FAILING,
}


def refusal_of(error: Exception, path: Path) -> Refusal:
    """Return why the database at `path` was refused, by an error of SQLite's or one of SQLAlchemy's around it."""
    code = getattr(getattr(error, "orig", error), "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code in _MAYBE_FULL and not has_room(path.parent, _largest(path)):
        return Refusal.FULL
    return _REASONS.get(code & _PRIMARY, Refusal.UNKNOWN)


def _largest(path: Path) -> int:
    """Return the bytes of the larger of database and write-ahead log."""
    files = (path, path.with_name(f"{path.name}-wal"))
    return max(file.stat().st_size if file.exists() else 0 for file in files)
