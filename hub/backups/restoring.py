# SPDX-License-Identifier: Apache-2.0
"""A hub from its backup: opened with the offline key, verified whole, and never a silent fork (BAK-4, BAK-5).

This is the one place of the hub that may import what opens backups. It opens a hub's own data, never an envelope,
and runs when an operator types the command: the hub that serves works without it (docs/adr/0013).
"""

import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection

from hub.backups.standing import Found, Standing, compare, read_guards
from hub.backups.stream import PURPOSE, Chunk, Facts, Reader, Rows
from hub.config import BLOBS_NAME, DATABASE_NAME, GUARD_NAME, HubSettings, StoreSection, pinned_root
from hub.migrations import NEWEST, migrate, move, revision_of
from hub.service.guard import Guard, GuardedHead
from hub.service.logcheck import check_leaves, check_log, origins_of
from hub.service.signingkeys import SEALED_NAME, SigningKeys, open_keys, write_public
from hub.store import blobs, copying, restorations, trees
from hub.store.blobfiles import BlobFiles
from hub.store.blobs import BlobKey
from hub.store.logkeys import hold_to_keys
from hub.store.opening import open_store
from hub.store.restorations import Restored
from hub.store.trees import Log
from keys.backupopening import open_backup_key, read_backup
from keys.directory import Directory
from keys.privatefile import remove_private, write_private
from keys.xwing import XWingSecret
from protocol.errors import ConfigurationError, KeystoreError, MalformedEnvelope, StoreBehind, ThroughcareError
from protocol.receipts import Leaf, commitment

_PAGE = 500


def open_key(path: Path, passphrase: bytes) -> XWingSecret:
    """Return the offline key in `path`; raises KeystoreError for a wrong passphrase or a damaged file."""
    return open_backup_key(path, passphrase)


def facts_of(source: Path, secret: XWingSecret) -> Facts:
    """Return what a backup says of itself at its beginning; raises KeystoreError if it does not open."""
    with source.open("rb") as file:
        return Reader(read_backup(file, secret, PURPOSE)).facts()


async def verify(source: Path, secret: XWingSecret, settings: HubSettings) -> Found:
    """Restore a backup into a folder that is deleted at once, with every check; raises what `restore` does."""
    with _draft(settings.hub.data_dir) as folder:
        return await _fill(source, secret, settings, StoreSection(), folder, lambda connection, found: None)


async def restore(
    source: Path,
    secret: XWingSecret,
    settings: HubSettings,
    guards: Sequence[Path],
    now: int,
    agree: Callable[[Standing], None],
) -> Standing:
    """Make the hub of `settings` from a backup: database, attachments and sealed keys, into an empty place.

    `guards` are guard files that survived; one in the data folder is found by itself. `agree` is called when all is
    verified and nothing is done yet, and raises to leave it at that. Raises ConfigurationError for a place that is
    not empty or a backup of another hub, KeystoreError for one that does not open, and StoreBehind for one whose
    logs are damaged or of another history than the guards.
    """
    folder = settings.hub.data_dir
    _check_place(folder, settings)
    facts = facts_of(source, secret)
    keys, placed = _place_keys(facts, settings)
    done: list[Standing] = []

    def decide(connection: Connection, found: Found) -> None:
        hold_to_keys(connection, {Log.AUDIT: keys.audit.public, Log.DIRECTORY: keys.directory.public})
        standing = compare(connection, found, read_guards(folder, guards), settings)
        agree(standing)
        restored = Restored(now, found.facts.made_at, 0, found.heads[Log.DIRECTORY].size, found.heads[Log.AUDIT].size)
        restorations.note(connection, restored)
        done.append(standing)

    try:
        with _draft(folder) as draft:
            await _fill(source, secret, settings, settings.store, draft, decide)
            if settings.store.url is None:
                if (draft / BLOBS_NAME).exists():
                    (draft / BLOBS_NAME).replace(folder / BLOBS_NAME)
                (draft / DATABASE_NAME).replace(folder / DATABASE_NAME)
    except BaseException:
        if placed:
            remove_private(folder / SEALED_NAME)
        raise
    guard = Guard(folder / GUARD_NAME)
    guard.start(done[0].found.heads.values())
    guard.close()
    write_public(settings, keys)
    return done[0]


def _check_place(folder: Path, settings: HubSettings) -> None:
    if not folder.is_dir():
        raise ConfigurationError(f"There is no folder {folder}. Make it, mode 0700, and type the command again.")
    for name in (DATABASE_NAME, BLOBS_NAME):
        if settings.store.url is None and (folder / name).exists():
            raise ConfigurationError(
                f"There is a {name} in {folder}. A backup is restored into a folder without one; move the old one "
                "away, and leave the guard file where it is."
            )


def _place_keys(facts: Facts, settings: HubSettings) -> tuple[SigningKeys, bool]:
    """Return the hub's signing keys, and whether they were put into the folder from the backup just now."""
    path = settings.hub.data_dir / SEALED_NAME
    if settings.hub.credentials_directory is not None or path.exists():
        return open_keys(settings), False
    if facts.sealed_keys is None:
        raise ConfigurationError("The backup holds no signing keys. Put the hub's own where the configuration says.")
    write_private(path, facts.sealed_keys)
    try:
        return open_keys(settings), True
    except BaseException:
        remove_private(path)
        raise


@contextmanager
def _draft(folder: Path) -> Iterator[Path]:
    draft = folder / f".restoring-{secrets.token_hex(8)}"
    draft.mkdir(mode=0o700, parents=True)
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


async def _fill(
    source: Path,
    secret: XWingSecret,
    settings: HubSettings,
    section: StoreSection,
    folder: Path,
    decide: Callable[[Connection, Found], None],
) -> Found:
    """Read the backup into the database of `section`, in one transaction that ends only when all is verified."""
    store = await open_store(folder, section)
    files = None if section.url is not None else BlobFiles(folder / BLOBS_NAME)

    def work(connection: Connection) -> Found:
        store.alone(connection)
        if revision_of(connection) is not None:
            raise ConfigurationError("The database in store.url is not empty. A backup is restored into an empty one.")
        with source.open("rb") as file:
            reader = Reader(read_backup(file, secret, PURPOSE))
            facts = reader.facts()
            if facts.domain != settings.hub.domain:
                raise ConfigurationError(f"The backup is of the hub {facts.domain}, not of {settings.hub.domain}.")
            if facts.revision > NEWEST:
                raise ConfigurationError("The backup was made by a newer version of Throughcare. Install that one.")
            move(connection, facts.revision)
            _copy(connection, reader, files)
        migrate(connection)
        found = Found(facts, _verified(connection, facts, settings))
        decide(connection, found)
        return found

    try:
        return await store.write(work)
    except MalformedEnvelope as error:
        raise KeystoreError("The backup is damaged, or of another version of Throughcare.") from error
    finally:
        await store.close()


def _copy(connection: Connection, reader: Reader, files: BlobFiles | None) -> None:
    here: dict[BlobKey, int] = {}
    for part in reader.contents():
        if isinstance(part, Rows):
            copying.put(connection, part.table, part.columns, part.values)
        else:
            _put_chunk(connection, files, part)
            here[part.key] = here.get(part.key, 0) + len(part.data)
    for key, received in blobs.received(connection):
        if here.get(key, 0) != received:
            # Collected while the backup was made: nobody waits for it any more.
            blobs.forget(connection, key)


def _put_chunk(connection: Connection, files: BlobFiles | None, chunk: Chunk) -> None:
    if files is None:
        blobs.put_chunk(connection, chunk.key, chunk.place, chunk.data)
        return
    path = files.path(chunk.key)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.touch(mode=0o600)
    with path.open("ab") as file:
        file.write(chunk.data)


def _verified(connection: Connection, facts: Facts, settings: HubSettings) -> dict[Log, GuardedHead]:
    """Check every leaf, both roots, every detail and the whole directory; return the heads."""
    said = {head.origin: head for head in facts.heads}
    heads = {}
    for log, origin in origins_of(settings).items():
        check_leaves(connection, log)
        heads[log] = check_log(connection, log, origin, said.get(origin))
        if heads[log].size != said[origin].size:
            raise StoreBehind("The backup holds more leaves than it says. Take another backup.")
    _check_details(connection)
    _check_directory(connection, heads[Log.DIRECTORY], settings)
    return heads


def _check_details(connection: Connection) -> None:
    """Check that every stored detail is what its leaf commits to (AUD-1)."""
    for index, salt, detail, leaf in trees.details(connection):
        if Leaf.parse(leaf).commitment != commitment(salt, detail):
            raise StoreBehind(f"What the backup says of leaf {index} is not what the leaf commits to.")


def _check_directory(connection: Connection, head: GuardedHead, settings: HubSettings) -> None:
    """Replay the directory from the pinned root, every signature verified."""
    directory = Directory(pinned_root(settings), settings.hub.domain)
    try:
        while page := trees.leaves(connection, Log.DIRECTORY, directory.size, _PAGE):
            for raw in page:
                directory.apply(raw)
    except ThroughcareError as error:
        raise StoreBehind(
            "The backup's directory does not begin with the pinned root, or holds a statement that is not right. Check "
            "hub.root_fingerprint; if it is right, take another backup."
        ) from error
    if directory.size != head.size:
        raise StoreBehind("The backup's directory is not whole.")
