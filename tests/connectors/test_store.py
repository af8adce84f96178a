# SPDX-License-Identifier: Apache-2.0
"""The store: durable, private, one writer at a time, one long-running connector for each installation."""

import asyncio
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, insert, select, text

import connectors.migrations
from connectors.cli.failures import next_step
from connectors.store import facts, tables, threadtables
from connectors.store.engine import DATABASE_FILE, LOCK_FILE, Store, migrate
from connectors.store.lock import InstallationLock
from connectors.vault import Vault
from protocol.errors import Conflict, StoreFailed, StoreFull, Unavailable

VAULT = Vault(bytes(range(32)))


def test_the_newest_migration_is_what_the_tables_say(tmp_path: Path) -> None:
    migrate(tmp_path / DATABASE_FILE)
    engine = create_engine(f"sqlite:///{tmp_path / DATABASE_FILE}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), threadtables.thread.metadata) == []
    engine.dispose()


def test_the_program_works_with_the_newest_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(connectors.migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_current_head() == connectors.migrations.NEWEST


def test_every_migration_goes_down_and_up_again(tmp_path: Path) -> None:
    path = tmp_path / DATABASE_FILE
    migrate(path)
    migrate(path, "base")
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        names = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars().all()
    engine.dispose()
    assert set(names) <= {"alembic_version", "sqlite_sequence"}
    migrate(path)


async def test_the_database_is_private_and_survives_being_opened_again(tmp_path: Path) -> None:
    path = tmp_path / DATABASE_FILE
    store = await Store.open(path, VAULT)
    async with store.write() as tx:
        await tx.connection.execute(insert(tables.meta).values(name="a", sealed=b"1"))
    await store.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    store = await Store.open(path, VAULT)
    async with store.read() as tx:
        assert (await tx.connection.execute(select(tables.meta.c.name))).scalars().all() == ["a"]
    await store.close()


async def test_every_commit_is_synced(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / DATABASE_FILE, VAULT)
    async with store.write() as tx:
        assert (await tx.connection.execute(text("PRAGMA journal_mode"))).scalar() == "wal"
        assert (await tx.connection.execute(text("PRAGMA synchronous"))).scalar() == 2
    await store.close()


async def test_an_answer_of_the_hub_finds_its_recipient_without_walking_through_all(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / DATABASE_FILE, VAULT)
    statement = "EXPLAIN QUERY PLAN UPDATE recipient SET accepted_at = 1 WHERE recipient.envelope_id = x'00'"
    async with store.write() as tx:
        steps = [row[3] for row in (await tx.connection.execute(text(statement))).all()]
    await store.close()
    assert steps == ["SEARCH recipient USING INDEX ix_recipient_envelope_id (envelope_id=?)"]


async def test_an_error_inside_a_transaction_leaves_nothing_behind(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / DATABASE_FILE, VAULT)

    async def fail_half_way() -> None:
        async with store.write() as tx:
            await tx.connection.execute(insert(tables.meta).values(name="a", sealed=b"1"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_half_way()
    async with store.read() as tx:
        assert (await tx.connection.execute(select(tables.meta))).all() == []
    await store.close()


async def test_a_reading_transaction_cannot_write(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / DATABASE_FILE, VAULT)
    with pytest.raises(StoreFailed):
        async with store.read() as tx:
            await tx.connection.execute(insert(tables.meta).values(name="a", sealed=b"1"))
    await store.close()


async def test_a_full_store_says_so_stores_nothing_and_recovers(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / DATABASE_FILE, VAULT)

    async def write(name: str, size: int) -> None:
        async with store.write() as tx:
            await tx.connection.execute(insert(tables.meta).values(name=name, sealed=bytes(size)))

    async def limit(pages: int) -> None:
        async with store.write() as tx:
            await tx.connection.execute(text(f"PRAGMA max_page_count={pages}"))

    await write("first", 10)
    await limit(1)
    with pytest.raises(StoreFull):
        await write("second", 1_000_000)
    await limit(1_000_000)
    async with store.read() as tx:
        assert (await tx.connection.execute(select(tables.meta.c.name))).scalars().all() == ["first"]
    await write("second", 1_000_000)
    await store.close()


async def test_a_damaged_database_is_told_without_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / DATABASE_FILE
    await (await Store.open(path, VAULT)).close()
    store = await Store.open(path, VAULT)
    with path.open("r+b") as file:  # the damage is the test
        file.seek(0)
        file.write(b"planted phrase" * 1_000)
    with pytest.raises(StoreFailed) as failure:
        async with store.read() as tx:
            await tx.connection.execute(select(tables.meta))
    assert "planted" not in str(failure.value)
    await store.close()


async def test_a_store_of_a_newer_version_asks_for_that_version_and_for_no_backup(tmp_path: Path) -> None:
    path, vault = tmp_path / DATABASE_FILE, Vault(b"v" * 32)
    await (await Store.open(path, vault)).close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreFailed, match="made by a newer version") as caught:
        await Store.open(path, vault)
    assert next_step(caught.value) == "install that version, or a newer one, then the same command again"


async def test_a_process_that_writes_for_too_long_makes_others_unavailable_not_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.store.engine._BUSY_MS", 10)
    first = await Store.open(tmp_path / DATABASE_FILE, VAULT)
    second = await Store.open(tmp_path / DATABASE_FILE, VAULT)
    async with first.write():
        with pytest.raises(Unavailable):
            async with second.write():
                pass
    async with second.write():
        pass
    await first.close()
    await second.close()


async def test_a_reader_sees_one_state_while_another_writes(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / DATABASE_FILE, VAULT)
    async with store.read() as reading:
        assert (await reading.connection.execute(select(tables.meta))).all() == []
        async with store.write() as tx:
            await tx.connection.execute(insert(tables.meta).values(name="a", sealed=b"1"))
        assert (await reading.connection.execute(select(tables.meta))).all() == []
    await store.close()


async def test_who_is_cancelled_while_he_waits_for_another_process_leaves_no_transaction_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # SQLite's own waiting cannot be cut short, so the cancelled one ends when that has.
    monkeypatch.setattr("connectors.store.engine._BUSY_MS", 500)
    vault = Vault(bytes(32))
    one, other = [await Store.open(tmp_path / DATABASE_FILE, vault) for _ in range(2)]

    async def write() -> None:
        async with other.write() as tx:
            await facts.put(tx, "who", b"other")

    async with one.write() as tx:
        await facts.put(tx, "who", b"one")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await write()
    async with asyncio.timeout(5):
        await write()
        async with one.write() as tx:
            assert await facts.get(tx, "who") == b"other"
    await one.close()
    await other.close()


async def test_writers_of_two_processes_wait_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / DATABASE_FILE
    first, second = await Store.open(path, VAULT), await Store.open(path, VAULT)

    async def write(store: Store, name: str) -> None:
        async with store.write() as tx:
            await tx.connection.execute(insert(tables.meta).values(name=name, sealed=b"1"))

    await asyncio.gather(*(write(store, f"{n}-{i}") for i in range(10) for n, store in enumerate((first, second))))
    async with first.read() as tx:
        assert len((await tx.connection.execute(select(tables.meta))).all()) == 20
    await first.close()
    await second.close()


def test_a_second_connector_on_one_installation_is_refused(tmp_path: Path) -> None:
    with InstallationLock(tmp_path / LOCK_FILE), pytest.raises(Conflict), InstallationLock(tmp_path / LOCK_FILE):
        pass
    with InstallationLock(tmp_path / LOCK_FILE):
        pass


def test_a_second_process_on_one_installation_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time, pathlib\n"
        "from connectors.store.lock import InstallationLock\n"
        f"with InstallationLock(pathlib.Path({str(tmp_path / LOCK_FILE)!r})):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(Conflict), InstallationLock(tmp_path / LOCK_FILE):
            pass
        process.kill()
        process.wait()
    with InstallationLock(tmp_path / LOCK_FILE):
        pass
