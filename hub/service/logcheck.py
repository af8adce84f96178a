# SPDX-License-Identifier: Apache-2.0
"""Are the logs what they were when they were last guarded? Asked before anything is served or signed (AUD-4).

A database's own integrity check finds neither a lost commit nor most flipped bits; a Merkle root finds both. The
operator's check begins the same way and goes on to everything else that is stored (AUD-10, `entrycheck`).
"""

from collections.abc import Mapping
from functools import partial

from sqlalchemy import Connection

from hub.config import BLOBS_NAME, DATABASE_NAME, GUARD_NAME, HubSettings
from hub.migrations import NEWEST, revision_of
from hub.service.damage import GO_BACK, NEXT, damaged, no_gap, require
from hub.service.entrycheck import check_blob, check_codes, check_entries, check_keys, check_leaves
from hub.service.guard import Guard, GuardedHead
from hub.service.replaying import replay
from hub.store import contents, restorations, trees
from hub.store.blobfiles import BlobFiles
from hub.store.blobs import BlobKey, chunks_digest
from hub.store.engine import Store
from hub.store.opening import open_store
from hub.store.trees import Log
from protocol.errors import StoreBehind, StoreFailed, Unavailable
from protocol.generations import origin_of
from protocol.ids import BlobId, KeyId
from protocol.tree import CompactRange

_OTHER_VERSION = (
    "The database is not of this program's version. After an update the hub brings it up to date when it runs; only "
    "then can it be checked. If nothing was updated, it is damaged: restore it from its newest backup."
)


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
        raise StoreBehind(f"The database is behind: it holds {size} leaves of a log, the guard file {least}. {GO_BACK}")
    state = CompactRange()
    for indexes, hashes in trees.leaf_hashes(connection, log):
        no_gap(indexes, state.size)
        known = max(0, least - state.size)
        state.extend(hashes[:known])
        _compare(state, guarded)
        state.extend(hashes[known:])
    _compare(state, guarded)
    if (state.size, state.root) != (size, root):
        raise StoreBehind(f"The leaves of a log do not lead to its stored state of {size} leaves. {NEXT}")
    return GuardedHead(origin, size, root, trees.stored_times(connection).get(log, 0))


def _compare(state: CompactRange, guarded: GuardedHead | None) -> None:
    if guarded is not None and state.size == guarded.size and state.root != guarded.root:
        raise StoreBehind(f"The first {state.size} leaves of a log are not those that the guard file knows. {NEXT}")


def check_logs(
    connection: Connection, origins: Mapping[Log, str], guarded: Mapping[str, GuardedHead]
) -> dict[Log, GuardedHead]:
    """Check every log as `check_log` does; also that the guard file is of this hub."""
    if foreign := guarded.keys() - set(origins.values()):
        domains = {origin.partition("/")[0] for origin in origins.values()}
        if all(one.partition("/")[0] in domains for one in foreign):
            raise StoreBehind(
                "The guard file is of before this hub was restored from a backup. Copy the guard file of the process "
                "that was restored into this one's data folder."
            )
        raise StoreBehind(f"The guard file belongs to another hub: it names {len(foreign)} other logs. {NEXT}")
    return {log: check_log(connection, log, origin, guarded.get(origin)) for log, origin in origins.items()}


def origins_of(domain: str, generation: int = 0) -> dict[Log, str]:
    """Return the origin of each log in a generation (DIR-13, GEN-1)."""
    names = {Log.DIRECTORY: "directory", Log.AUDIT: "audit"}
    return {log: origin_of(f"{domain}/{name}", generation) for log, name in names.items()}


def origins_in(connection: Connection, domain: str) -> dict[Log, str]:
    """Return the origin of each log in the generation that the database has come to."""
    return origins_of(domain, len(restorations.generations(connection)))


async def check_everything(settings: HubSettings, keys: Mapping[Log, bytes] | None = None) -> dict[str, int]:
    """Check all that is stored against guard, hashes and signatures (AUD-10); return the size of each log.

    `keys` are the public keys of the logs, where they are known. Nothing is changed; before the first run there is
    nothing to check, and the answer is empty. Raises StoreBehind or StoreFailed that names what is wrong,
    ConfigurationError if a hub is running.
    """
    folder = settings.hub.data_dir
    if settings.store.url is None and not (folder / DATABASE_NAME).exists():
        if (folder / GUARD_NAME).exists():
            raise StoreBehind(f"There is a guard file, but no database. {NEXT}")
        return {}
    store = await open_store(folder, settings.store, attended=True)
    try:
        guard = Guard(folder / GUARD_NAME)
        guard.read()
        if not guard.heads and await store.read(revision_of) is None:
            return {}
        return await _check_store(settings, store, guard, keys)
    except Unavailable as error:
        raise StoreFailed("The database is damaged: its tables cannot be read.") from error
    finally:
        await store.close()


async def _check_store(
    settings: HubSettings, store: Store, guard: Guard, keys: Mapping[Log, bytes] | None
) -> dict[str, int]:
    if await store.read(revision_of) != NEWEST:
        raise StoreBehind(_OTHER_VERSION)
    if (broken := await store.read(contents.broken_structure)) is not None:
        raise damaged(broken)
    origins = await store.read(lambda connection: origins_in(connection, settings.hub.domain))
    heads = await store.read(lambda connection: check_logs(connection, origins, guard.heads))
    for log, origin in origins.items():
        await store.read(partial(check_leaves, log=log))
        noted = guard.heads.get(origin)
        require(noted is None or noted.size != heads[log].size or noted.at == heads[log].at, "The time of a log")
    if keys is not None:
        await store.read(partial(check_keys, keys=keys))
    directory = await store.read(partial(replay, settings=settings))
    await store.read(partial(check_entries, size=heads[Log.AUDIT].size, directory=directory))
    await store.read(check_codes)
    files = None if store.shared else BlobFiles(settings.hub.data_dir / BLOBS_NAME)
    for number, blob in enumerate(await store.read(contents.all_blobs)):
        key = BlobKey(KeyId(blob.sender_device), BlobId(blob.blob_id))
        whole = files.digest(key, blob.size) if files else store.read(partial(chunks_digest, key=key))
        check_blob(number, blob, await whole, directory)
    return {origin: heads[log].size for log, origin in origins.items()}
