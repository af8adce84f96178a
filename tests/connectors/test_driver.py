# SPDX-License-Identifier: Apache-2.0
"""The way to SQLite: one visit to its thread for a statement, and what the driver below would have said."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from sqlalchemy import Integer, Text, column, insert, literal, select, table, text, update
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from connectors.store import driver

NOTES = table("note", column("id", Integer), column("words", Text))


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[AsyncConnection]:
    """An engine of its own on an empty database."""
    engine = create_async_engine("sqlite+aiosqlite://", async_creator=partial(driver.connect, tmp_path / "notes.db"))
    async with engine.begin() as opened:
        await opened.execute(text("CREATE TABLE note (id INTEGER PRIMARY KEY, words TEXT UNIQUE)"))
        yield opened
    await engine.dispose()


async def test_a_statement_takes_one_visit(connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    await connection.execute(insert(NOTES), [{"id": n, "words": str(n)} for n in range(100)])
    visits = list[object]()
    execute: Any = aiosqlite.Connection._execute

    async def counted(self: aiosqlite.Connection, function: Any, *args: Any) -> Any:
        visits.append(function)
        return await execute(self, function, *args)

    monkeypatch.setattr(aiosqlite.Connection, "_execute", counted)
    assert len((await connection.execute(select(NOTES))).all()) == 100
    changed = await connection.execute(update(NOTES).where(NOTES.c.id < 10).values(words=NOTES.c.words + "a"))
    assert changed.rowcount == 10
    assert len(visits) == 2


async def test_nothing_is_rolled_back_after_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = create_async_engine("sqlite+aiosqlite://", async_creator=partial(driver.connect, tmp_path / "notes.db"))
    async with engine.begin() as first:
        await first.execute(text("CREATE TABLE note (id INTEGER PRIMARY KEY, words TEXT UNIQUE)"))
    asked = list[Any]()
    execute: Any = aiosqlite.Connection._execute

    async def noted(self: aiosqlite.Connection, function: Any, *args: Any) -> Any:
        asked.append(function.__name__)
        return await execute(self, function, *args)

    monkeypatch.setattr(aiosqlite.Connection, "_execute", noted)
    async with engine.begin() as second:
        await second.execute(insert(NOTES).values(id=1, words="one"))
    assert asked[-1] == "commit"
    async with engine.connect() as third:
        await third.execute(insert(NOTES).values(id=2, words="two"))
    assert asked[-1] == "rollback"
    async with engine.connect() as fourth:
        assert (await fourth.execute(select(NOTES))).all() == [(1, "one")]
    await engine.dispose()


async def test_rows_come_in_each_way_of_asking(connection: AsyncConnection) -> None:
    await connection.execute(insert(NOTES), [{"id": 1, "words": "one"}, {"id": 2, "words": "two"}])
    found = await connection.execute(select(NOTES).order_by(NOTES.c.id))
    assert found.fetchone() == (1, "one")
    assert found.fetchmany(5) == [(2, "two")]
    assert (await connection.execute(select(NOTES).where(NOTES.c.id == 3))).one_or_none() is None
    assert (await connection.execute(select(literal(7)))).scalar_one() == 7
    assert (await connection.execute(insert(NOTES).values(words="three"))).lastrowid == 3


async def test_what_sqlite_says_comes_through(connection: AsyncConnection) -> None:
    await connection.execute(insert(NOTES).values(id=1, words="one"))
    with pytest.raises(IntegrityError) as refused:
        await connection.execute(insert(NOTES).values(id=2, words="one"))
    assert getattr(refused.value.orig, "sqlite_errorcode", 0) == sqlite3.SQLITE_CONSTRAINT_UNIQUE
    with pytest.raises(OperationalError):
        await connection.execute(text("SELECT nothing FROM nowhere"))
    assert (await connection.execute(select(NOTES))).all() == [(1, "one")]


async def test_no_thread_is_left_after_closing(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    connection = await driver.connect(tmp_path / "notes.db")
    (own,) = set(threading.enumerate()) - before
    assert own.daemon
    await connection.close()
    own.join(10)
    assert not own.is_alive()


async def test_what_was_opened_for_somebody_who_did_not_wait_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connector that is told to stop while its loops open their first connections; Python 3.13 warns of each."""
    opened, may_open = list[sqlite3.Connection](), threading.Event()
    connect = sqlite3.connect

    def slow(*args: Any, **more: Any) -> sqlite3.Connection:
        may_open.wait(10)
        opened.append(connect(*args, **more))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", slow)
    before = set(threading.enumerate())
    opening = asyncio.ensure_future(driver.connect(tmp_path / "notes.db"))
    await asyncio.sleep(0)
    (own,) = set(threading.enumerate()) - before
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        _ = await opening
    may_open.set()
    own.join(10)
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        opened[0].execute("SELECT 1")
