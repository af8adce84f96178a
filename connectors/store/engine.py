# SPDX-License-Identifier: Apache-2.0
"""Opening the store: SQLite with write-ahead log, every commit synced, one writer at a time.

A transaction that writes begins IMMEDIATE, so that two processes never discover only at commit that both
wanted to write. `synchronous=FULL` is what makes "stored before it is acknowledged" true over a power cut.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

import connectors.migrations
from connectors.migrations import NEWEST
from connectors.store import driver
from connectors.store.refusals import Refusal, refusal_of
from connectors.vault import Vault
from keys.folderowner import make_folder, open_made
from protocol.diagnosis import REPORT
from protocol.errors import StoreFailed, StoreFull, Unavailable

DATABASE_FILE: Final = "connector.db"
LOCK_FILE: Final = "connector.lock"

_BUSY_MS: Final = 10_000
_WHOLE: Final = "Nothing in it was changed. Restore no backup."


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction and the vault: what every access function is handed."""

    connection: AsyncConnection
    vault: Vault = field(repr=False)


class Store:
    """The connector's database. Make it with `Store.open`, and close it."""

    def __init__(self, path: Path, writer: AsyncEngine, readers: AsyncEngine, vault: Vault) -> None:
        """Use `open`."""
        self._path = path
        self._writer = writer
        self._readers = readers
        self._vault = vault
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, path: Path, vault: Vault) -> "Store":
        """Open the database at `path`, made and migrated to the newest form if need be, mode 0600.

        Raises `StoreFull` when the disk is full, `Unavailable` when another process keeps it busy, and `StoreFailed`
        if it is damaged, no database, made by a newer version, or cannot be read or written. An upgrade is all or
        nothing: whatever breaks it off, the store is as it was, and the next opening begins anew.
        """
        try:
            await asyncio.to_thread(_prepare, path)
        except (sqlite3.DatabaseError, DatabaseError) as error:
            raise _cannot_open(error, path) from error
        url, way = URL.create("sqlite+aiosqlite", database=str(path)), partial(driver.connect, path)
        writer = create_async_engine(url, async_creator=way, pool_size=1, max_overflow=0)
        readers = create_async_engine(url, async_creator=way, pool_size=4, max_overflow=4)
        _configure(writer.sync_engine, "BEGIN IMMEDIATE", query_only=False)
        _configure(readers.sync_engine, "BEGIN", query_only=True)
        return cls(path, writer, readers, vault)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Transaction]:
        """Enter a transaction that may write: committed and synced at the end, rolled back on any error.

        Raises `StoreFull` when the disk is full, `Unavailable` when another process writes for too long, and
        `StoreFailed` when the disk or the database fails; nothing of the transaction is stored then.
        """
        with self._told():
            async with self._turn, self._writer.begin() as connection:
                yield Transaction(connection, self._vault)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        """Enter a transaction that reads one unchanging state and cannot write; raises as `write` does."""
        with self._told():
            async with self._readers.begin() as connection:
                yield Transaction(connection, self._vault)

    async def close(self) -> None:
        """Close all connections; the store can be opened again."""
        await self._writer.dispose()
        await self._readers.dispose()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tell what the database says in our own words; its texts may repeat values."""
        try:
            yield
        except OperationalError as error:
            match refusal_of(error, self._path):
                case Refusal.FULL:
                    raise StoreFull from error
                case Refusal.PASSING:
                    raise Unavailable from error
                case _:
                    pass
            raise StoreFailed from error
        except DatabaseError as error:
            raise StoreFailed from error


def _cannot_open(error: Exception, path: Path) -> Exception:
    """Return what it means that the store could not be opened; a backup is named only where the file is damaged."""
    match refusal_of(error, path):
        case Refusal.FULL:
            return _advised(StoreFull(), "make room on that disk, then the same command again")
        case Refusal.PASSING:
            return Unavailable()
        case Refusal.DAMAGED:
            what = "it is damaged, or no database. Restore the newest backup."
            return StoreFailed(f"{DATABASE_FILE} cannot be opened: {what}")
        case Refusal.CLOSED:
            what = f"it, or its folder, cannot be written by this user. {_WHOLE}"
            advice = (
                "look who owns data_dir and its files, and whether that disk is read-only, then the same command again"
            )
        case Refusal.FAILING:
            what = f"the disk fails. {_WHOLE}"
            advice = "look at the disk (dmesg, SMART), then the same command again; throughcare doctor --config FILE"
        case _:
            what = f"it cannot be brought to this version's form. {_WHOLE}"
            advice = f"install the version that it was used with before; please {REPORT}"
    return _advised(StoreFailed(f"{DATABASE_FILE} cannot be opened: {what}"), advice)


def _advised(error: Exception, advice: str) -> Exception:
    error.add_note(f"next: {advice}")
    return error


def migrate(path: Path, revision: str = "head") -> None:
    """Bring the database at `path` to `revision`; used at start and by the tests of each migration.

    All steps are one transaction: a step that is cut off half-way could never be done again.

    Raises `StoreFailed` for a database whose form this version does not know.
    """
    # Alembic takes long to import and is needed once per release.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    engine = create_engine(URL.create("sqlite", database=str(path)), poolclass=NullPool)
    # A step makes tables anew under their old names, which other tables refer to.
    _configure(engine, "BEGIN IMMEDIATE", query_only=False, foreign_keys=False)
    config = Config()
    config.set_main_option("script_location", str(Path(connectors.migrations.__file__).parent))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        move = command.downgrade if revision == "base" else command.upgrade
        try:
            move(config, revision)
        except CommandError as error:
            newer = StoreFailed(f"{DATABASE_FILE} was made by a newer version of Throughcare. Install that version.")
            raise _advised(newer, "install that version, or a newer one, then the same command again") from error


def _prepare(path: Path) -> None:
    make_folder(path.parent, parents=True, exist_ok=True)
    # Made here, so that no moment exists in which others could open it.
    os.close(open_made(path, os.O_RDWR))
    connection = sqlite3.connect(path)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        revision = _revision(connection)
    finally:
        connection.close()
    if revision != NEWEST:
        # Alembic reads all its steps each time; a store that is up to date need not wait for that.
        migrate(path)


def _revision(connection: sqlite3.Connection) -> str | None:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
        return None
    found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(found[0]) if found else None


def _configure(engine: Engine, begin: str, *, query_only: bool, foreign_keys: bool = True) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _: object) -> None:  # SQLAlchemy's adapted driver connection has no public type
        # The driver must not begin transactions of its own: `begin` below says which kind.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={_BUSY_MS}",
            "synchronous=FULL",
            f"foreign_keys={int(foreign_keys)}",
            "secure_delete=ON",
            f"query_only={int(query_only)}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Any) -> None:  # as above
        connection.exec_driver_sql(begin)
