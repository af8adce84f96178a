# SPDX-License-Identifier: Apache-2.0
"""What a hub has found sound before it serves or signs anything: its database, and the guard beside it (AUD-4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from hub.config import GUARD_NAME, RESTORING_PREFIX, HubSettings
from hub.logs import Event, Log
from hub.migrations import migrate
from hub.service.behind import check_not_behind
from hub.service.damage import naming
from hub.service.following import Followed
from hub.service.guard import Guard, GuardedHead
from hub.service.logcheck import check_logs, origins_of
from hub.service.restorerequest import check_database_waits_not, check_not_waiting
from hub.service.signingkeys import SigningKeys
from hub.store import restorations, trees
from hub.store.engine import Store
from hub.store.logkeys import hold_to_keys
from hub.store.opening import open_store, server_time
from hub.store.sqlite import sqlite_is_sound
from keys.directory import Directory
from keys.workfolders import remove_left
from protocol.clockwatch import Clock
from protocol.errors import ConfigurationError, StoreBehind
from protocol.limits import CLOCK_SKEW


@dataclass(frozen=True, slots=True)
class CheckedStore:
    """A database, open and up to date, that agrees with its guard; `close` ends both."""

    store: Store
    guard: Guard
    restored: Sequence[restorations.Restored]
    """The restores that each began a generation of both logs, in their order."""
    origins: dict[trees.Log, str]
    heads: Mapping[trees.Log, GuardedHead]
    followed: Followed
    """The state of each log that the guard was compared with; the writer goes on from there."""

    @property
    def generation(self) -> int:
        """The generation that both logs have come to (GEN-1)."""
        return len(self.restored)

    @property
    def newest(self) -> int:
        """When the newer of both heads was made, in ms UTC: the logs' time never goes back."""
        return max(head.at for head in self.heads.values())

    def check_directory(self, directory: Directory) -> None:
        """Raise StoreBehind unless `directory`, made of the stored statements, is the one that its log was made of."""
        if directory.audit_starts != tuple(one.audit_size for one in self.restored):
            raise StoreBehind("The directory tells of other restores than the database.")
        if directory.root != self.heads[trees.Log.DIRECTORY].root:
            raise StoreBehind("The directory's statements are not those that its log was made of.")

    async def close(self) -> None:
        """Close the database, then the guard: a commit that is still on its way writes its line there (AUD-3)."""
        try:
            await self.store.close()
        finally:
            self.guard.close()


async def open_checked(
    settings: HubSettings, keys: SigningKeys, log: Log, *, against_server: Clock | None
) -> CheckedStore:
    """Open the database, bring it up to date and compare it with its guard and with `keys`.

    `against_server` is the clock that must agree with a PostgreSQL server's; None where a clock is set on purpose.
    Raises ConfigurationError, StoreBehind or StoreFailed, with everything closed again.
    """
    if settings.store.url is None and not sqlite_is_sound():
        log.warning(Event.SQLITE_OLD)
    folder = settings.hub.data_dir
    store = await open_store(folder, settings.store)
    guard = Guard(folder / GUARD_NAME)
    try:
        if store.shared and against_server is not None:
            await _same_time(store, against_server)
        guard.read()
        if guard.torn:
            log.warning(Event.GUARD_LINE_TORN)
        check_not_waiting(folder)
        restored = await store.read(restorations.generations)
        # Before anything is written: it may be the wrong database, or one that an older version is to have again.
        check_not_behind(folder, len(restored))
        if await store.write(partial(_prepare, store)):
            log.info(Event.MIGRATED)
        await store.write(partial(_hold_to_keys, store, keys))
        # Metadata in clear, and as large as the database: nobody else would ever look for it (BAK-9).
        remove_left(folder, RESTORING_PREFIX)
        origins = origins_of(settings.hub.domain, len(restored))
        followed = Followed()

        def checked(connection: Connection) -> dict[trees.Log, GuardedHead]:
            followed.start(connection)
            found = check_logs(connection, origins, guard.heads)
            check_database_waits_not(connection)
            return found

        heads = await store.read(checked)
        guard.start(heads.values())
    except BaseException:
        guard.close()
        await store.close()
        raise
    log.info(Event.STORE_CHECKED, size=heads[trees.Log.AUDIT].size)
    return CheckedStore(store, guard, restored, origins, heads, followed)


async def _same_time(store: Store, clock: Clock) -> None:
    """Refuse to start a process whose clock would stop all others on its database: the logs' time never goes back."""
    if abs(await store.read(server_time) - clock()) > CLOCK_SKEW:
        raise ConfigurationError(
            "The clocks of this machine and of the PostgreSQL server differ by over 10 minutes. Set both (NTP), then "
            "start the hub."
        )


def _prepare(store: Store, connection: Connection) -> bool:
    """Make or update the tables, and begin the logs; tell whether the tables have changed."""
    store.alone(connection)
    changed = migrate(connection)
    with naming("The state of a log"):
        trees.load_trees(connection)
    return changed


def _hold_to_keys(store: Store, keys: SigningKeys, connection: Connection) -> None:
    store.alone(connection)
    hold_to_keys(connection, {trees.Log.AUDIT: keys.audit.public, trees.Log.DIRECTORY: keys.directory.public})
