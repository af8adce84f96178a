# SPDX-License-Identifier: Apache-2.0
"""SQLite in a thread of its own, visited once for each statement.

aiosqlite goes to its thread four times for one statement: to make a cursor, to execute, to fetch, to close. A
connector runs some fifty statements for each message, and a visit costs more than most of them do. For the same
reason a transaction begins with its first statement, in the same visit, and one without any never does.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import aiosqlite

_CHUNK: Final = 64
"""What aiosqlite wants to know for a way of reading that is not used here: no statement's rows are streamed."""


class Cursor:
    """What SQLAlchemy asks of a cursor whose methods are awaited; rows are fetched where the statement runs."""

    def __init__(self, visit: Callable[..., Any], connection: "_Connection") -> None:
        """`visit` runs a function in the connection's thread and returns what it returns."""
        self._visit = visit
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None

    async def __aenter__(self) -> "Cursor":
        """Enter; nothing has to be made before the first statement."""
        return self

    async def execute(self, statement: str, parameters: Any = ()) -> None:
        """Run one statement and fetch all its rows; raises what sqlite3 raises."""
        await self._visit(self._run, sqlite3.Cursor.execute, statement, parameters)

    async def executemany(self, statement: str, parameters: Iterable[Any]) -> None:
        """Run one statement for each of `parameters`; raises what sqlite3 raises."""
        await self._visit(self._run, sqlite3.Cursor.executemany, statement, parameters)

    async def fetchall(self) -> list[Any]:
        """Return the rows of the last statement, once."""
        rows, self._rows = self._rows, []
        return rows

    async def close(self) -> None:
        """Close; the thread keeps nothing open between two visits."""

    def _run(self, method: Callable[..., Any], statement: str, parameters: Any) -> None:
        cursor = self._connection.in_a_transaction().cursor()
        try:
            method(cursor, statement, parameters)
            self._rows = cursor.fetchall() if cursor.description else []
            self.description, self.rowcount, self.lastrowid = cursor.description, cursor.rowcount, cursor.lastrowid
        finally:
            cursor.close()


class _Connection(aiosqlite.Connection):
    def __init__(self, path: Path, begin: str, pragmas: Sequence[str]) -> None:
        super().__init__(lambda: _open(path, pragmas), _CHUNK)
        # As SQLAlchemy does for a connection that it makes: a connection that was never closed does not keep the
        # program from ending.
        self._thread.daemon = True
        self._begin = begin
        self._begun = False

    def cursor(self) -> Cursor:  # type: ignore[override]  # SQLAlchemy enters a cursor itself, aiosqlite's awaits one
        return Cursor(self._execute, self)

    def in_a_transaction(self) -> sqlite3.Connection:
        """Return the connection for the next statement, after beginning if it is the first; in the thread."""
        if not self._begun:
            self._conn.execute(self._begin)
            self._begun = True
        self._check_not_ended()
        return self._conn

    async def commit(self) -> None:
        """Commit what has begun; nothing is left of it if that fails, since SQLAlchemy does not roll back then."""
        if not self._begun:
            return
        self._begun = False
        self._check_not_ended()
        try:
            await super().commit()
        except sqlite3.Error:
            await self.rollback()
            raise

    async def rollback(self) -> None:
        """Roll back if there is something: a pool asks for it also after each commit."""
        self._begun = False
        if self.in_transaction:
            await super().rollback()

    def _check_not_ended(self) -> None:
        """Refuse to go on with, or to commit, what SQLite itself has rolled back, as it may when a disk fails."""
        if not self.in_transaction:
            raise sqlite3.OperationalError("the transaction was rolled back")


def _open(path: Path, pragmas: Sequence[str]) -> sqlite3.Connection:
    # The sqlite3 module must not begin transactions on its own, of a kind that it chooses.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}")
    return connection


async def connect(path: Path, begin: str, pragmas: Sequence[str] = ()) -> aiosqlite.Connection:
    """Return an open connection to the database at `path`, for SQLAlchemy's `async_creator`.

    `begin` is the statement that its transactions begin with, `pragmas` are set at once.
    """
    return await _Connection(path, begin, pragmas)
