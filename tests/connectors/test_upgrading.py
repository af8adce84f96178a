# SPDX-License-Identifier: Apache-2.0
"""An upgrade of the store that is cut off: the store is as it was, opens again, and nobody is told to restore it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from connectors.cli.failures import next_step
from connectors.store.engine import DATABASE_FILE, Store, migrate
from connectors.vault import Vault
from protocol.errors import StoreFailed, StoreFull, Unavailable

VAULT = Vault(bytes(range(32)))
OLD = "0018"
"""A form with many kinds of steps after it: new columns, tables and indexes, and rows that are changed."""


class Cut(BaseException):
    """What ends a process, as far as a transaction sees it."""


@contextmanager
def statements(cut_before: int | None = None) -> Iterator[list[str]]:
    """Collect what SQLite is told, and end before the statement of that number."""
    told: list[str] = []

    def look(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if len(told) == cut_before:
            raise Cut
        told.append(statement)

    event.listen(Engine, "before_cursor_execute", look)
    try:
        yield told
    finally:
        event.remove(Engine, "before_cursor_execute", look)


def schema(path: Path) -> list[Any]:
    with closing(sqlite3.connect(path)) as database:
        made = database.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name").fetchall()
        return [made, database.execute("SELECT * FROM alembic_version").fetchall()] if made else made


def cut_off(path: Path, cut_before: int) -> None:
    with statements(cut_before), pytest.raises(Cut):
        migrate(path)


async def opens_whole(path: Path, whole: list[Any]) -> None:
    await (await Store.open(path, VAULT)).close()
    assert schema(path) == whole


def changing(told: list[str]) -> list[int]:
    return [number for number, one in enumerate(told) if one.lstrip().upper().startswith(("CREATE", "ALTER", "UPDATE"))]


async def test_an_upgrade_that_is_cut_off_anywhere_leaves_the_store_as_it_was_and_is_done_at_the_next_start(
    tmp_path: Path,
) -> None:
    path = tmp_path / DATABASE_FILE
    migrate(path, OLD)
    before, bytes_before = schema(path), path.read_bytes()
    with statements() as told:
        migrate(path)
    whole = schema(path)
    assert whole != before
    points = changing(told)
    assert len(points) > 20
    path.write_bytes(bytes_before)
    for point in points:
        cut_off(path, point)
        assert schema(path) == before, told[point]
    await opens_whole(path, whole)


async def test_a_first_start_that_is_cut_off_anywhere_leaves_nothing_that_stands_in_the_way(tmp_path: Path) -> None:
    with statements() as told:
        migrate(tmp_path / "whole.db")
    whole = schema(tmp_path / "whole.db")
    points = changing(told)
    path = tmp_path / DATABASE_FILE
    for point in points[1 :: len(points) // 8]:
        cut_off(path, point)
        assert schema(path) == [], told[point]
    await opens_whole(path, whole)


async def test_a_disk_that_is_full_at_an_upgrade_is_called_full_and_the_next_start_goes_on(tmp_path: Path) -> None:
    path = tmp_path / DATABASE_FILE
    migrate(path, OLD)

    def small(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA max_page_count=1")

    event.listen(Engine, "connect", small)
    try:
        with pytest.raises(StoreFull) as caught:
            await Store.open(path, VAULT)
    finally:
        event.remove(Engine, "connect", small)
    assert next_step(caught.value) == "make room on that disk, then the same command again"
    await (await Store.open(path, VAULT)).close()


async def test_an_upgrade_while_another_process_writes_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.store.engine._BUSY_MS", 10)
    path = tmp_path / DATABASE_FILE
    migrate(path, OLD)
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable):
            await Store.open(path, VAULT)
    await (await Store.open(path, VAULT)).close()


@pytest.mark.parametrize(
    ("code", "says", "advises"),
    [
        (sqlite3.SQLITE_READONLY_DIRECTORY, "cannot be written by this user", "look who owns"),
        (sqlite3.SQLITE_CANTOPEN, "cannot be written by this user", "look who owns"),
        (sqlite3.SQLITE_IOERR_READ, "the disk fails", "look at the disk"),
        (sqlite3.SQLITE_ERROR, "this version's form", "install the version that it was used with before"),
    ],
)
async def test_only_a_damaged_store_is_to_be_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, says: str, advises: str
) -> None:
    def fail(_path: Path) -> None:
        error = sqlite3.OperationalError("planted phrase")
        error.sqlite_errorcode = code
        raise error

    monkeypatch.setattr("connectors.store.engine._prepare", fail)
    with pytest.raises(StoreFailed, match=says) as caught:
        await Store.open(tmp_path / DATABASE_FILE, VAULT)
    assert next_step(caught.value).startswith(advises)
    assert "Restore no backup" in caught.value.detail
    assert "planted" not in caught.value.detail


async def test_a_file_that_is_no_database_is_to_be_restored(tmp_path: Path) -> None:
    path = tmp_path / DATABASE_FILE
    path.write_bytes(b"planted phrase" * 1_000)
    with pytest.raises(StoreFailed, match=r"damaged, or no database\. Restore the newest backup"):
        await Store.open(path, VAULT)
