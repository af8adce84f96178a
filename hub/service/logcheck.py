# SPDX-License-Identifier: Apache-2.0
"""Are the logs what they were when they were last guarded? Asked before anything is served or signed (AUD-4).

A database's own integrity check finds neither a lost commit nor most flipped bits; a Merkle root finds both.
"""

from collections.abc import Mapping, Sequence
from functools import partial

from sqlalchemy import Connection

from hub.config import DATABASE_NAME, GUARD_NAME, HubSettings
from hub.migrations import revision_of
from hub.service.guard import Guard, GuardedHead
from hub.store import trees
from hub.store.opening import open_store
from hub.store.trees import Log
from protocol.errors import StoreBehind
from protocol.tree import CompactRange, leaf_hash

NEXT = "Do not go on with it: put back the newest copy of the database together with its guard file."
"""What to do, at the end of every StoreBehind that is raised here."""
_PAGE = 1_000


def check_log(connection: Connection, log: Log, origin: str, guarded: GuardedHead | None) -> GuardedHead:
    """Recompute the root of `log` from its leaf hashes; return its head.

    Raises StoreBehind when the log is smaller than the guard says, had another root at the guarded size, is not
    guarded at all though it has leaves, or does not lead to the stored tree state.
    """
    size, root = trees.stored_heads(connection).get(log, (0, CompactRange().root))
    if guarded is None and size:
        raise StoreBehind(f"The database holds {size} leaves of a log, but the guard file knows nothing of it. {NEXT}")
    least = guarded.size if guarded else 0
    if size < least:
        raise StoreBehind(f"The database is behind: it holds {size} leaves of a log, the guard file {least}. {NEXT}")
    state = CompactRange()
    for indexes, hashes in trees.leaf_hashes(connection, log):
        _no_gap(indexes, state.size)
        known = max(0, least - state.size)
        for hashed in hashes[:known]:
            state.append(hashed)
        _compare(state, guarded)
        for hashed in hashes[known:]:
            state.append(hashed)
    _compare(state, guarded)
    if (state.size, state.root) != (size, root):
        raise StoreBehind(f"The leaves of a log do not lead to its stored state of {size} leaves. {NEXT}")
    return GuardedHead(origin, size, root, guarded.at if guarded else 0)


def _no_gap(indexes: Sequence[int], start: int) -> None:
    """Indexes ascend and none is there twice, so the last one tells whether one is missing."""
    if indexes[-1] != start + len(indexes) - 1:
        missing = next(expected for expected, index in enumerate(indexes, start) if index != expected)
        raise StoreBehind(f"Leaf {missing} of a log is missing. {NEXT}")


def _compare(state: CompactRange, guarded: GuardedHead | None) -> None:
    if guarded is not None and state.size == guarded.size and state.root != guarded.root:
        raise StoreBehind(f"The first {state.size} leaves of a log are not those that the guard file knows. {NEXT}")


def check_logs(
    connection: Connection, origins: Mapping[Log, str], guarded: Mapping[str, GuardedHead]
) -> dict[Log, GuardedHead]:
    """Check every log as `check_log` does; also that the guard file is of this hub."""
    if foreign := guarded.keys() - set(origins.values()):
        raise StoreBehind(f"The guard file belongs to another hub: it names {len(foreign)} other logs. {NEXT}")
    return {log: check_log(connection, log, origin, guarded.get(origin)) for log, origin in origins.items()}


def origins_of(settings: HubSettings) -> dict[Log, str]:
    """Return the origin of each log (DIR-13)."""
    domain = settings.hub.domain
    return {Log.DIRECTORY: f"{domain}/directory", Log.AUDIT: f"{domain}/audit"}


def check_leaves(connection: Connection, log: Log) -> int:
    """Check the stored bytes of every leaf against its hash; returns how many there are.

    Slower than `check_log`, and finds a flipped bit in any leaf; raises StoreBehind that names it.
    """
    start = 0
    for indexes, hashes in trees.leaf_hashes(connection, log):
        _no_gap(indexes, start)
        for page in range(start, start + len(hashes), _PAGE):
            for index, data in enumerate(trees.leaves(connection, log, page, _PAGE), page):
                if leaf_hash(data) != hashes[index - start]:
                    raise StoreBehind(f"Leaf {index} of a log is damaged. {NEXT}")
        start += len(hashes)
    return start


async def check_everything(settings: HubSettings) -> dict[str, int]:
    """Check the database against its guard and every leaf against its hash; return the size of each log.

    Nothing is changed; before the first run there is nothing to check, and the answer is empty. Raises StoreBehind
    that names what is wrong, ConfigurationError if a hub is running.
    """
    folder = settings.hub.data_dir
    if settings.store.url is None and not (folder / DATABASE_NAME).exists():
        if (folder / GUARD_NAME).exists():
            raise StoreBehind(f"There is a guard file, but no database. {NEXT}")
        return {}
    store = await open_store(folder, settings.store)
    try:
        guard = Guard(folder / GUARD_NAME)
        guard.read()
        if not guard.heads and await store.read(revision_of) is None:
            return {}
        origins = origins_of(settings)
        await store.read(lambda connection: check_logs(connection, origins, guard.heads))
        return {origin: await store.read(partial(check_leaves, log=log)) for log, origin in origins.items()}
    finally:
        await store.close()
