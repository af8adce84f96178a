# SPDX-License-Identifier: Apache-2.0
"""SQLite in a thread of its own, visited once for each statement.

aiosqlite goes to its thread four times for one statement: to make a cursor, to execute, to fetch, to close. A
connector runs some fifty statements for each message, and a visit costs more than most of them do.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import aiosqlite

_CHUNK: Final = 64
"""What aiosqlite wants to know for a way of reading that is not used here: no statement's rows are streamed."""


class Cursor:
    """What SQLAlchemy asks of a cursor whose methods are awaited; rows are fetched where the statement runs."""

    def __init__(self, visit: Callable[..., Any], connection: sqlite3.Connection) -> None:
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
        cursor = self._connection.cursor()
        try:
            method(cursor, statement, parameters)
            self._rows = cursor.fetchall() if cursor.description else []
            self.description, self.rowcount, self.lastrowid = cursor.description, cursor.rowcount, cursor.lastrowid
        finally:
            cursor.close()


class _Connection(aiosqlite.Connection):
    def __init__(self, path: Path) -> None:
        super().__init__(self._open, _CHUNK)
        self._path = path
        self._opened: sqlite3.Connection | None = None
        # As SQLAlchemy does for a connection that it makes: a connection that was never closed does not keep the
        # program from ending.
        self._thread.daemon = True

    def cursor(self) -> Cursor:  # type: ignore[override]  # SQLAlchemy enters a cursor itself, aiosqlite's awaits one
        return Cursor(self._execute, self._conn)

    def stop(self) -> "asyncio.Future[Any] | None":
        """End the thread, and close what it may have opened for somebody who did not wait for it."""
        self._tx.put_nowait((None, self._close_opened))
        return super().stop()

    def _open(self) -> sqlite3.Connection:
        self._opened = sqlite3.connect(self._path, check_same_thread=False)
        return self._opened

    def _close_opened(self) -> None:
        if self._opened is not None:
            self._opened.close()

    async def rollback(self) -> None:
        """Roll back if there is something: a pool asks for it also after each commit."""
        if self.in_transaction:
            await super().rollback()


async def connect(path: Path) -> aiosqlite.Connection:
    """Return an open connection to the database at `path`, for SQLAlchemy's `async_creator`."""
    return await _Connection(path)
