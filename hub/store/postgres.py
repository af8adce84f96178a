# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL: one database for any number of hub processes.

Processes take turns by the locked rows of the table `tree`, which every writing transaction takes first; so
each sees all that was committed before it, and no two can take the same index (AUD-3, AUD-8). Only the primary
is used, for reading too: a replica may lag behind what was already answered.
"""

import asyncio
import base64
import binascii
import secrets
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import asyncpg  # type: ignore[import-untyped] # it has no annotations
from sqlalchemy import Connection, event, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from hub.config import StoreSection
from hub.store.engine import NAMED, ConnectionLost, News, Store
from hub.store.lock import ProcessLock
from hub.store.statements import TEXTS
from keys.privatefile import read_private
from protocol.errors import ConfigurationError, StoreFailed, StoreFull, Unavailable
from protocol.settings import is_loopback

T = TypeVar("T")

LOCK_NAME = "hub.lock"
CHANNEL = "throughcare"
READERS = 4
CONNECT_S = 5.0
STATEMENT_S = 10.0
"""Seconds after which a server that says nothing counts as lost."""
ATTENDED_STATEMENT_S = 600.0
"""Seconds for that where an operator waits: a restore may make the index of a large table."""

# A process that was stopped in the middle of a transaction must not keep the others from writing for good. A restore
# asks its operator in the middle of one, and a backup may wait for the disk that it is written to.
_ATTENDED = {"idle_in_transaction_session_timeout": "3600000"}
_SESSION = {
    "application_name": "throughcare-hub",
    "synchronous_commit": "on",
    "idle_in_transaction_session_timeout": "5000",
    "lock_timeout": "8000",
    "timezone": "UTC",
}
# Settings under which a commit that returned would not be on the disk, or a crash would damage pages.
_DEMANDED = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}

_DISK_FULL = "53100"
# Classes of SQLSTATE that are about the server or the session and not about one statement.
_FAULTS = ("08", "25P", "40", "53", "55P03", "57", "58", "XX")
_LOST = (*_FAULTS[:3], "53", "55P03", "57")
_DRIVER = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
    NoConnectionFree,
)

_ALONE = text("SELECT pg_advisory_xact_lock(:lock)")
_LOCK = 0x7463_0001
_TELL = text("SELECT pg_notify(:channel, :news)")
_ANYTHING = News(None, size=0, directory=True, before=0)
PROBE_S = 30.0
"""Seconds after which it is looked whether the connection that listens still leads anywhere."""
_MOST_DEVICES = 400
"""A notification holds 8,000 bytes."""


class PostgresStore(Store):
    """A PostgreSQL database that other hub processes may write to as well."""

    shared = True

    def __init__(self, lock: ProcessLock | None, writer: AsyncEngine, readers: AsyncEngine) -> None:
        self._lock = lock
        self._writer = writer
        self._readers = readers
        self._name = secrets.token_hex(4)
        """Tells this process's own notifications from those of others."""

    @classmethod
    async def open(cls, folder: Path | None, section: StoreSection, *, attended: bool = False) -> "PostgresStore":
        """Connect to the server and check that it may be used; raises ConfigurationError or StoreFailed.

        `folder` is locked; None is for who only reads. Where it is `attended`, transactions may take their time.
        """
        lock = None if folder is None else _locked(folder)
        try:
            writer = _engine(section, size=1, isolation="READ COMMITTED", read_only=False, attended=attended)
            readers = _engine(section, size=READERS, isolation="REPEATABLE READ", read_only=True, attended=attended)
            store = cls(lock, writer, readers)
            await store._first_connection()
        except BaseException:
            if lock is not None:
                lock.release()
            raise
        return store

    async def _first_connection(self) -> None:
        try:
            async with self._writer.connect():
                pass
        except (*_DRIVER, DBAPIError) as error:
            raise StoreFailed(
                "The PostgreSQL server does not let this hub in. Check that it runs, store.url and the password."
            ) from error

    async def write(self, work: Callable[[Connection], T], then: Callable[[T], None] = lambda result: None) -> T:
        """Run it on the writing connection; READ COMMITTED, so that each statement sees what the lock waited for."""
        try:
            async with self._writer.begin() as connection:
                result = await connection.run_sync(_told_apart(work))
        except _OfTheWork as raised:
            raise raised.error from raised.error.__cause__
        except (*_DRIVER, DBAPIError, ConfigurationError) as error:
            state = _state(error)
            if state == _DISK_FULL:
                raise StoreFull from error
            if _is_lost(error, state):
                lost = ConnectionLost()
                lost.add_note("next: the same command again")
                raise lost from error
            raise StoreFailed from error
        try:
            await asyncio.to_thread(then, result)
        except OSError as error:
            raise StoreFailed from error
        return result

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run it on one of the connections that only read; all its statements see one state."""
        try:
            async with self._readers.begin() as connection:
                return await connection.run_sync(_told_apart(work))
        except _OfTheWork as raised:
            raise raised.error from raised.error.__cause__
        except (*_DRIVER, DBAPIError, ConfigurationError) as error:
            raise Unavailable from error

    def is_fault(self, error: Exception) -> bool:
        """Tell whether the server or the way to it is at fault."""
        state = _state(error)
        return isinstance(error, _DRIVER) or _is_lost(error, state) or (state or "").startswith(_FAULTS)

    def alone(self, connection: Connection) -> None:
        """Wait for other processes that are at the same point."""
        connection.execute(_ALONE, {"lock": _LOCK})

    def tell(self, connection: Connection, news: News) -> None:
        """Notify the other processes; the server does so when the transaction is committed."""
        connection.execute(_TELL, {"channel": CHANNEL, "news": _written(self._name, news)})

    async def listen(self, hear: Callable[[News], None]) -> None:
        """Listen on a connection of its own until that is lost."""
        with suppress(*_DRIVER, DBAPIError, ConfigurationError):
            async with self._listening(hear) as (driver, ended):
                hear(_ANYTHING)
                while not ended.is_set():
                    try:
                        async with asyncio.timeout(PROBE_S):
                            await ended.wait()
                    except TimeoutError:
                        # What stands between may have forgotten a connection on which nothing was said for long.
                        await driver.fetchval("SELECT 1", timeout=STATEMENT_S)

    @asynccontextmanager
    async def _listening(self, hear: Callable[[News], None]) -> AsyncIterator[tuple[Any, asyncio.Event]]:
        ended = asyncio.Event()

        def heard(_connection: object, _pid: int, _channel: str, payload: object) -> None:
            news = _read(self._name, str(payload))
            if news is not None:
                hear(news)

        async with self._readers.connect() as connection:
            driver = await _driver_of(connection)
            driver.add_termination_listener(lambda _connection: ended.set())
            await driver.add_listener(CHANNEL, heard)
            try:
                yield driver, ended
            finally:
                # It must not be used for anything else, nor told to anybody any more.
                await connection.invalidate()

    async def checkpoint(self) -> None:
        """Do nothing: the server does it."""

    async def close(self) -> None:
        """Close every connection, and let other processes have the folder."""
        await self._readers.dispose()
        await self._writer.dispose()
        if self._lock is not None:
            self._lock.release()


def _locked(folder: Path) -> ProcessLock:
    if not folder.is_dir():
        raise ConfigurationError(f"There is no folder {folder}. Make it with `throughcare-hub init`.")
    return ProcessLock(folder / LOCK_NAME)


def _engine(section: StoreSection, *, size: int, isolation: Any, read_only: bool, attended: bool) -> AsyncEngine:
    assert section.url is not None  # noqa: S101 - the caller asks for PostgreSQL only then
    url = make_url(section.url).set(drivername="postgresql+asyncpg")
    arguments: dict[str, Any] = {
        "timeout": CONNECT_S,
        "command_timeout": ATTENDED_STATEMENT_S if attended else STATEMENT_S,
        "prepared_statement_cache_size": TEXTS,
        "server_settings": _SESSION
        | (_ATTENDED if attended else {})
        | ({"default_transaction_read_only": "on"} if read_only else {}),
        "ssl": False if url.host is None or is_loopback(url.host) else _tls(section),
    }
    if section.password_file is not None:
        arguments["password"] = _password(section.password_file)
    # What a transaction is like is set once for each connection. As an option of the engine it would be set at every
    # use, outside of where SQLAlchemy tells a lost connection from other errors and gives the connection back.
    engine = create_async_engine(
        url,
        isolation_level=isolation,
        pool_size=size,
        # One more for listening.
        max_overflow=1 if read_only else 0,
        pool_timeout=STATEMENT_S,
        hide_parameters=True,
        connect_args=arguments,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def check(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute(
            "SELECT pg_is_in_recovery()::text, current_setting('server_version_num')::int, "
            + ", ".join(f"current_setting('{name}')" for name in _DEMANDED)
        )
        standby, version, *found = cursor.fetchone()
        cursor.close()
        connection.rollback()
        _judge(standby == "true", version, found)

    return engine


class _OfTheWork(Exception):
    """What was to be done was refused by itself, and not the server that it was to be done at."""

    def __init__(self, error: ConfigurationError) -> None:
        super().__init__()
        self.error = error


def _told_apart(work: Callable[[Connection], T]) -> Callable[[Connection], T]:
    def run(connection: Connection) -> T:
        try:
            return work(connection)
        except ConfigurationError as error:
            raise _OfTheWork(error) from error

    return run


def _judge(standby: bool, version: int, found: Sequence[str]) -> None:
    """Refuse a server that could lose what was acknowledged, or show an older state."""
    if standby:
        raise ConfigurationError("store.url leads to a replica. The hub reads and writes at the primary only.")
    if version < 130_000:
        raise ConfigurationError("PostgreSQL must be version 13 or newer.")
    for (name, demanded), value in zip(_DEMANDED.items(), found, strict=True):
        if value != demanded:
            raise ConfigurationError(
                f"PostgreSQL runs with {name} = {value}, and could lose what the hub has acknowledged. Set {name} = on."
            )


def _tls(section: StoreSection) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=section.ca_file)
    except OSError:
        raise ConfigurationError("store.ca_file cannot be read as certificates (PEM).") from None


def _password(path: Path) -> str:
    return read_private(path, 1_024).decode().strip()


def _state(error: BaseException | None) -> str | None:
    """Return the SQLSTATE that the server gave, if it gave one."""
    if isinstance(error, DBAPIError):
        error = error.orig
    while error is not None:
        state = getattr(error, "sqlstate", None)
        if state is not None:
            return str(state)
        error = error.__cause__
    return None


def _is_lost(error: BaseException, state: str | None) -> bool:
    if isinstance(error, DBAPIError):
        # Where the server gave no reason it said nothing at all.
        return error.connection_invalidated or state is None or state.startswith(_LOST)
    # A primary that became a replica, or a server set up anew meanwhile, is refused until it is right again.
    return isinstance(error, (*_DRIVER, ConfigurationError))


async def _driver_of(connection: AsyncConnection) -> Any:
    raw = await connection.get_raw_connection()
    return raw.driver_connection


def _written(name: str, news: News) -> str:
    """Return a notification's text: sender, whether the directory grew, both sizes, beginnings of key ids."""
    devices = "*"
    if news.devices is not None and len(news.devices) <= _MOST_DEVICES:
        devices = base64.b64encode(b"".join(sorted(news.devices))).decode()
    return f"{name} {int(news.directory)} {news.before} {news.size} {devices}"


def _read(own: str, payload: str) -> News | None:
    """Return the news of another process, or None for one's own; what cannot be read could mean anything."""
    try:
        name, directory, before, size, devices = payload.split(" ")
        joined = base64.b64decode(devices.removesuffix("*"), validate=True)
        named = frozenset(joined[at : at + NAMED] for at in range(0, len(joined), NAMED))
        news = News(None if devices == "*" else named, int(size), directory == "1", before=int(before))
    except (ValueError, binascii.Error):
        return _ANYTHING
    return None if name == own else news
