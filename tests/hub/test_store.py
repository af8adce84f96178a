# SPDX-License-Identifier: Apache-2.0
"""The database: made by migrations, written by one connection, locked against a second hub."""

import asyncio
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from hub.migrations import NEWEST, migrate, move, revision_of
from hub.store import nonces
from hub.store import sqlite as sqlite_module
from hub.store.nonces import NEW_NONCES
from hub.store.sqlite import SqliteStore, sqlite_is_sound
from hub.store.tables import metadata
from protocol.errors import ConfigurationError, StoreBehind, StoreFailed, StoreFull, Unavailable


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "hub.db")
    yield opened
    await opened.close()


async def test_migrations_make_exactly_the_tables_that_the_code_knows(store: SqliteStore) -> None:
    assert await store.write(migrate)
    assert not await store.write(migrate)

    def differences(connection: Connection) -> object:
        return compare_metadata(MigrationContext.configure(connection), metadata)

    assert await store.write(differences) == []


async def test_migrations_go_down_to_nothing_and_up_again(store: SqliteStore) -> None:
    await store.write(migrate)
    await store.write(lambda connection: move(connection, "base"))
    assert await store.read(lambda connection: inspect(connection).get_table_names()) == ["alembic_version"]
    assert await store.write(migrate)
    assert await store.read(revision_of) == NEWEST


def test_the_newest_revision_is_the_one_that_the_program_expects() -> None:
    config = Config()
    config.set_main_option("script_location", str(files("hub.migrations")))
    assert ScriptDirectory.from_config(config).get_heads() == [NEWEST]


async def test_a_database_of_a_newer_program_is_left_alone(store: SqliteStore) -> None:
    await store.write(migrate)
    await store.write(lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(StoreBehind, match="newer version"):
        await store.write(migrate)


async def test_a_second_process_on_the_same_file_is_refused(store: SqliteStore) -> None:
    program = (
        "import asyncio, pathlib, sys\nfrom hub.store.sqlite import SqliteStore\n"
        "asyncio.run(SqliteStore.open(pathlib.Path(sys.argv[1])))"
    )
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program, str(store.path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert "Another hub process uses this data directory" in done.stderr
    with pytest.raises(ConfigurationError, match="Another hub process"):
        await SqliteStore.open(store.path)


async def test_a_commit_is_synced_and_only_the_writer_checkpoints(store: SqliteStore) -> None:
    def pragmas(connection: Connection) -> dict[str, object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "wal_autocheckpoint", "query_only")
        return {name: connection.scalar(text(f"PRAGMA {name}")) for name in names}

    full = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "wal_autocheckpoint": 0}
    assert await store.write(pragmas) == {**full, "query_only": 0}
    assert await store.read(pragmas) == {**full, "query_only": 1}


async def test_http_7_nothing_of_what_was_deleted_is_left_in_the_database_file(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large values lie on pages of their own, small ones between others that stay; Debian's SQLite does it unasked."""
    connect = sqlite3.dbapi2.connect

    def as_others_build_it(*given: Any, **more: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*given, **more)
        connection.execute("PRAGMA secure_delete=OFF")
        return connection

    monkeypatch.setattr(sqlite3.dbapi2, "connect", as_others_build_it)
    await store.write(
        lambda connection: connection.execute(text("CREATE TABLE mail (idx INTEGER PRIMARY KEY, b BLOB)"))
    )
    large, small, kept = (secrets.token_bytes(size) for size in (20_000, 60, 60))

    def insert(connection: Connection) -> None:
        for value in (large, small, kept):
            connection.execute(text("INSERT INTO mail (b) VALUES (:b)"), {"b": value})

    def pieces_in_file() -> list[bool]:
        data = store.path.read_bytes()
        return [value[at : at + 30] in data for value in (large, small, kept) for at in (0, len(value) - 30)]

    await store.write(insert)
    await store.checkpoint()
    assert pieces_in_file() == [True] * 6
    await store.write(lambda connection: connection.execute(text("DELETE FROM mail WHERE idx < 3")))
    await store.checkpoint()
    assert pieces_in_file() == [False] * 4 + [True] * 2


async def test_a_reader_cannot_write(store: SqliteStore) -> None:
    await store.write(migrate)
    with pytest.raises(Unavailable):
        await store.read(lambda connection: connection.execute(text("DELETE FROM leaf")))


async def test_a_failed_transaction_leaves_nothing(store: SqliteStore) -> None:
    await store.write(migrate)

    def half(connection: Connection) -> None:
        connection.execute(text("INSERT INTO code VALUES (x'00', x'00', 1)"))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await store.write(half)
    assert await store.read(lambda connection: connection.scalar(text("SELECT count(*) FROM code"))) == 0


async def test_a_full_disk_is_told_as_such_and_reading_goes_on(store: SqliteStore) -> None:
    await store.write(migrate)
    await store.write(lambda connection: connection.execute(text("PRAGMA max_page_count = 40")))

    def fill(connection: Connection) -> None:
        connection.execute(text("INSERT INTO code VALUES (x'00', zeroblob(1000000), 1)"))

    with pytest.raises(StoreFull):
        await store.write(fill)
    assert await store.read(lambda connection: connection.scalar(text("SELECT count(*) FROM code"))) == 0
    await store.write(lambda connection: connection.execute(text("PRAGMA max_page_count = 100000")))
    await store.write(fill)


async def test_rows_put_in_past_sqlalchemy_fail_and_fill_the_disk_like_any_others(store: SqliteStore) -> None:
    await store.write(migrate)
    await store.write(lambda connection: connection.execute(text("PRAGMA max_page_count = 60")))

    def rows(first: int, size: int) -> Callable[[Connection], None]:
        values = [{"device_id": bytes(size), "nonce": bytes([first + one]), "expires": 1} for one in range(40)]
        return lambda connection: NEW_NONCES.run(connection, values)

    with pytest.raises(StoreFull):
        await store.write(rows(0, 10_000))
    await store.write(rows(20, 1))
    with pytest.raises(sqlite3.IntegrityError) as refused:
        await store.write(rows(0, 1))
    assert not store.is_fault(refused.value)
    assert store.is_fault(sqlite3.OperationalError())
    assert await store.read(lambda connection: len(nonces.stored(connection))) == 40
    with pytest.raises(Unavailable):
        await store.read(rows(0, 1))


async def test_whatever_ends_a_transaction_the_next_one_is_a_whole_one(store: SqliteStore) -> None:
    await store.write(migrate)

    def ended_by(error: BaseException) -> Callable[[Connection], None]:
        def work(connection: Connection) -> None:
            NEW_NONCES.run(connection, [{"device_id": b"d", "nonce": b"n", "expires": 1}])
            raise error

        return work

    for error in (MemoryError(), sqlite3.IntegrityError(), StoreBehind(), SystemExit()):
        with pytest.raises(type(error)):
            await store.write(ended_by(error))
        assert await store.write(nonces.stored) == []
        await store.checkpoint()


async def test_a_damaged_page_that_a_change_meets_is_a_fault_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    store = await SqliteStore.open(path)
    await store.write(migrate)
    root, size = await store.read(
        lambda connection: (
            connection.scalar(text("SELECT rootpage FROM sqlite_master WHERE name = 'code'")),
            connection.scalar(text("PRAGMA page_size")),
        )
    )
    await store.close()
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)
    store = await SqliteStore.open(path)
    faults: list[bool] = []

    def work(connection: Connection) -> None:
        try:
            connection.execute(text("INSERT INTO code VALUES (x'00', x'00', 1)"))
        except DBAPIError as error:
            faults.append(store.is_fault(error))
            raise

    try:
        with pytest.raises(StoreFailed, match="damaged"):
            await store.write(work)
        assert faults == [True]
    finally:
        await store.close()


async def test_a_checkpoint_moves_what_is_committed_into_the_file(store: SqliteStore) -> None:
    await store.write(migrate)
    before = store.path.stat().st_size
    await store.checkpoint()
    assert store.path.stat().st_size > before


async def test_a_checkpoint_does_not_wait_for_a_backup_that_reads(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that is long is begun anew, for which SQLite waits until nobody reads it."""
    monkeypatch.setattr(sqlite_module, "RESTART_ABOVE", 0)
    await store.write(migrate)
    with closing(sqlite3.connect(store.path)) as backup:
        backup.execute("BEGIN")
        backup.execute("SELECT * FROM code").fetchall()
        await store.write(lambda connection: connection.execute(text("INSERT INTO code VALUES (x'00', x'00', 1)")))
        async with asyncio.timeout(8):
            await store.checkpoint()
    assert await store.write(lambda connection: connection.scalar(text("PRAGMA busy_timeout"))) == 10_000


async def test_nobody_else_can_read_the_files(store: SqliteStore) -> None:
    await store.write(migrate)
    modes = {path.name: path.stat().st_mode & 0o077 for path in store.path.parent.iterdir()}
    assert set(modes.values()) == {0}, modes


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "hub.db")
    await store.close()
    for act in (store.write, store.read):
        with pytest.raises(Unavailable):
            await act(lambda connection: None)


async def test_what_is_to_follow_a_commit_runs_after_it_and_its_failure_is_the_stores(store: SqliteStore) -> None:
    await store.write(migrate)
    seen: list[int] = []

    def count(connection: Connection) -> int:
        connection.execute(text("INSERT INTO code VALUES (x'00', x'00', 1)"))
        return 7

    def fail(_result: int) -> None:
        raise OSError(5, "input/output error")

    with pytest.raises(StoreFailed):
        await store.write(count, fail)
    assert await store.read(lambda connection: connection.scalar(text("SELECT count(*) FROM code"))) == 1
    await store.write(lambda connection: 3, seen.append)
    assert seen == [3]


@pytest.mark.parametrize(
    ("version", "sound"),
    [((3, 40, 1), False), ((3, 51, 2), False), ((3, 51, 3), True), ((3, 44, 6), True), ((3, 50, 7), True)],
)
def test_sqlite_versions_with_the_known_fault_are_known(version: tuple[int, ...], sound: bool) -> None:
    assert sqlite_is_sound(version) is sound


async def test_another_fault_of_the_database_is_not_taken_for_a_full_disk(store: SqliteStore) -> None:
    with pytest.raises(StoreFailed):
        await store.write(lambda connection: connection.execute(text("SELECT * FROM nothing")))
