# SPDX-License-Identifier: Apache-2.0
"""Which database a hub uses: the SQLite file in its folder, or PostgreSQL where the configuration gives a URL."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, text

from hub.config import DATABASE_NAME, StoreSection
from hub.store.engine import Store
from hub.store.sqlite import SqliteStore, reading_only
from protocol.errors import ConfigurationError

T = TypeVar("T")

_TIME = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")


def server_time(connection: Connection) -> int:
    """Return what the PostgreSQL server's clock says now, in ms UTC."""
    return int(connection.scalar(_TIME) or 0)


async def open_store(folder: Path, section: StoreSection, *, attended: bool = False) -> Store:
    """Open the hub's database; `folder` is locked against other processes in any case, for it holds the guard.

    An `attended` one is of an operator's command, whose transactions may wait for an answer or for a slow disk.
    Raises ConfigurationError when another process has the folder, or the server must not be used as it is set up, and
    StoreFailed when the server cannot be reached.
    """
    if section.url is None:
        return await SqliteStore.open(folder / DATABASE_NAME)
    return await _open_postgres(folder, section, attended=attended)


async def look(folder: Path, section: StoreSection, work: Callable[[Connection], T]) -> T:
    """Run `work` in a transaction that only reads the hub's database, also beside a running hub.

    Raises what `open_store` does, and StoreFailed if the database cannot be read.
    """
    if section.url is None:
        return await asyncio.to_thread(_look, folder / DATABASE_NAME, work)
    store = await _open_postgres(None, section, attended=True)
    try:
        return await store.read(work)
    finally:
        await store.close()


def _look(path: Path, work: Callable[[Connection], T]) -> T:
    with reading_only(path) as connection:
        return work(connection)


async def _open_postgres(folder: Path | None, section: StoreSection, *, attended: bool) -> Store:
    # asyncpg is an optional part.
    try:
        from hub.store.postgres import PostgresStore  # noqa: PLC0415
    except ImportError:
        raise ConfigurationError(
            "store.url needs the extra `postgres`, which is not installed. The locked versions bring it: "
            "`pip install --require-hashes -r requirements/runtime.txt` in a clone."
        ) from None
    return await PostgresStore.open(folder, section, attended=attended)
