# SPDX-License-Identifier: Apache-2.0
"""The way to SQLite: one visit to its thread for a statement, and what the driver below would have said."""

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
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from connectors.store import driver

NOTES = table("note", column("id", Integer), column("words", Text))


def engine_on(folder: Path) -> AsyncEngine:
    """Return an engine on a database in `folder`."""
    way = partial(driver.connect, folder / "notes.db", "BEGIN IMMEDIATE", ["foreign_keys=ON"])
    return create_async_engine("sqlite+aiosqlite://", async_creator=way)


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[AsyncConnection]:
    """An engine of its own on an empty database."""
    engine = engine_on(tmp_path)
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


async def test_a_transaction_begins_with_its_first_statement_as_it_was_told(tmp_path: Path) -> None:
    engine = engine_on(tmp_path)
    async with engine.begin() as first:
        await first.execute(text("CREATE TABLE note (id INTEGER PRIMARY KEY, words TEXT UNIQUE)"))
    other = sqlite3.connect(tmp_path / "notes.db", isolation_level=None, timeout=0)
    async with engine.begin() as second:
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
        assert (await second.execute(text("PRAGMA foreign_keys"))).scalar_one() == 1
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.close()
    await engine.dispose()


async def test_what_sqlite_has_rolled_back_is_neither_gone_on_with_nor_committed(tmp_path: Path) -> None:
    engine = engine_on(tmp_path)
    async with engine.begin() as first:
        await first.execute(text("CREATE TABLE note (id INTEGER PRIMARY KEY, words TEXT UNIQUE)"))
    async with engine.connect() as second:
        await second.execute(insert(NOTES).values(id=1, words="one"))
        await second.execute(text("ROLLBACK"))  # as SQLite does by itself when a disk fails
        with pytest.raises(OperationalError, match="rolled back"):
            await second.execute(insert(NOTES).values(id=2, words="two"))
        with pytest.raises(OperationalError, match="rolled back"):
            await second.commit()
    async with engine.begin() as third:
        assert not (await third.execute(select(NOTES))).all()
    await engine.dispose()


async def test_nothing_is_rolled_back_after_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_on(tmp_path)
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
    connection = await driver.connect(tmp_path / "notes.db", "BEGIN")
    (own,) = set(threading.enumerate()) - before
    assert own.daemon
    await connection.close()
    own.join(10)
    assert not own.is_alive()
