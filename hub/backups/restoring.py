# SPDX-License-Identifier: Apache-2.0
"""A hub from its backup: opened with the offline key, verified whole, and never a silent fork (BAK-4, BAK-5).

This is the one place of the hub that may import what opens backups. It opens a hub's own data, never an envelope,
and runs when an operator types the command: the hub that serves works without it (docs/adr/0013).
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Connection

from hub.backups.bringing import bring_back, read_stated, take_off
from hub.backups.standing import Found, Standing, compare, complete, read_guards, read_shown
from hub.backups.stream import PURPOSE, Chunk, Facts, Reader, Rows
from hub.config import (
    BLOBS_NAME,
    DATABASE_NAME,
    GUARD_NAME,
    RESTORING_PREFIX,
    VERIFYING_PREFIX,
    HubSettings,
    StoreSection,
)
from hub.migrations import NEWEST, migrate, move, revision_of
from hub.service.backupkey import keep_opened_key
from hub.service.behind import forget_behind
from hub.service.entrycheck import check_codes, check_entries, check_leaves
from hub.service.guard import Guard, GuardedHead
from hub.service.logcheck import check_log, origins_in
from hub.service.replaying import replay
from hub.service.restorerequest import REQUEST_NAME
from hub.service.signingkeys import SEALED_NAME, SigningKeys, open_keys, write_public
from hub.store import blobs, contents, copying, restorations, trees
from hub.store.blobfiles import BlobFiles
from hub.store.blobs import BlobKey
from hub.store.logkeys import hold_to_keys
from hub.store.opening import open_store
from hub.store.restorations import Restored
from hub.store.trees import Log
from keys.backupfile import backup_identity
from keys.backupopening import open_backup_key, read_backup
from keys.folderowner import make_folder, open_made
from keys.privatefile import remove_private, sync_folder, write_private
from keys.workfolders import work_folder
from keys.xwing import XWingSecret
from protocol.errors import ConfigurationError, KeystoreError, MalformedEnvelope, StoreBehind
from protocol.http.restoring import KeptBefore, KeptLog, RestoreRequest
from protocol.ids import BlobId, KeyId
from protocol.limits import SIGNATURE_WINDOW

_BESIDE = ("-wal", "-shm", "-journal")
"""Ends of the names of files that SQLite takes for parts of the database beside them, whatever that is."""
_CHECK_KEY = "next: check the backup FILE, the file of --key and its passphrase, then the same command again"


@contextmanager
def _of_the_backup() -> Iterator[None]:
    """Say what to check when a key does not open here: it is the offline one, and not a key of the hub's own."""
    try:
        yield
    except KeystoreError as error:
        error.add_note(_CHECK_KEY)
        raise


def open_key(path: Path, passphrase: bytes) -> XWingSecret:
    """Return the offline key in `path`; raises KeystoreError for a wrong passphrase or a damaged file."""
    with _of_the_backup():
        return open_backup_key(path, passphrase)


def facts_of(source: Path, secret: XWingSecret) -> Facts:
    """Return what a backup says of itself at its beginning; raises KeystoreError if it does not open."""
    with _of_the_backup(), source.open("rb") as file:
        return Reader(read_backup(file, secret, PURPOSE)).facts()


async def verify(source: Path, secret: XWingSecret, settings: HubSettings) -> Found:
    """Restore a backup into a temporary folder, with every check; raises what `restore` does.

    The data folder is neither needed nor touched: the machine with the offline key need not be a hub's.
    """
    with _of_the_backup(), work_folder(Path(tempfile.gettempdir()), VERIFYING_PREFIX) as folder:
        return await _fill(source, secret, settings, StoreSection(), folder, lambda connection, found: None)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What has survived: guard files, files that connectors wrote, and those of the authority's folder."""

    guards: Sequence[Path] = ()
    witnesses: Sequence[Path] = ()
    stated: Sequence[Path] = ()
    """Statements of root and authority, from the authority's folder (GEN-10)."""


Agree = Callable[[Standing], None]
"""Called when all is verified and nothing is done yet; raises to leave it at that."""


async def restore(
    source: Path, secret: XWingSecret, settings: HubSettings, evidence: Evidence, now: int, agree: Agree
) -> Standing:
    """Make the hub of `settings` from a backup: database, attachments and sealed keys, into an empty place.

    A guard in the data folder is found by itself. Where nothing newer was signed the hub may go on; otherwise a request
    to the authority is left in the folder, and the hub does not serve before `resume`. Raises ConfigurationError for a
    place that is not empty or a backup of another hub, KeystoreError for one that does not open, and StoreBehind for
    one whose logs are damaged or of another history than what has survived.
    """
    folder = settings.hub.data_dir
    _check_place(folder, settings)
    keys, placed = _place_keys(facts_of(source, secret), settings)
    done: list[Standing] = []

    def decide(connection: Connection, found: Found) -> None:
        done.append(_decide(connection, found, keys, settings, evidence, now, agree))
        if settings.store.url is not None and not done[0].certain:
            # Before the commit: who is killed behind it has a database that nothing else says to be an old one.
            _leave_request(done[0], settings)

    try:
        with work_folder(folder, RESTORING_PREFIX) as draft:
            with _of_the_backup():
                await _fill(source, secret, settings, settings.store, draft, decide)
            # Whoever restores has the offline key in hand: there is no better time to know it by (BAK-10).
            keep_opened_key(folder, backup_identity(secret.public))
            if settings.store.url is None:
                if (draft / BLOBS_NAME).exists():
                    (draft / BLOBS_NAME).replace(folder / BLOBS_NAME)
                _conclude(done[0], settings, first=lambda: (draft / DATABASE_NAME).replace(folder / DATABASE_NAME))
            else:
                _conclude(done[0], settings)
    except BaseException:
        # A server may have committed what nobody heard of, and that database is of these keys.
        committed = bool(done) if settings.store.url is not None else (folder / DATABASE_NAME).exists()
        if placed and not committed:
            remove_private(folder / SEALED_NAME)
        raise
    write_public(settings, keys)
    return done[0]


async def restore_in_place(settings: HubSettings, evidence: Evidence, now: int, agree: Agree) -> Standing:
    """Take the database as it is for the backup: one that lost its newest commits, or was put back by other means.

    Raises and returns what `restore` does.
    """
    keys = open_keys(settings)
    store = await open_store(settings.hub.data_dir, settings.store, attended=True)

    def work(connection: Connection) -> Standing:
        store.alone(connection)
        if revision_of(connection) is None:
            raise ConfigurationError("The database is empty. Restore a backup, or run the hub.")
        migrate(connection)
        brought = take_off(connection, settings.hub.data_dir)
        heads = _heads(connection, settings)
        made_at = trees.newest_time(connection)
        found = _verified(connection, Facts(made_at, settings.hub.domain, NEWEST, heads, None), settings)
        standing = _decide(connection, found, keys, settings, evidence, now, agree, brought)
        if not standing.certain:
            # Before the database has changed: who is killed between can still type it again (`take_off`).
            _leave_request(standing, settings)
        return standing

    try:
        standing = await store.write(work)
    finally:
        await store.close()
    _conclude(standing, settings)
    return standing


def _decide(
    connection: Connection,
    found: Found,
    keys: SigningKeys,
    settings: HubSettings,
    evidence: Evidence,
    now: int,
    agree: Agree,
    brought: Sequence[bytes] = (),
) -> Standing:
    hold_to_keys(connection, {Log.AUDIT: keys.audit.public, Log.DIRECTORY: keys.directory.public})
    guards = read_guards(settings.hub.data_dir, evidence.guards)
    shown = [read_shown(path, found, keys) for path in evidence.witnesses]
    found = complete(connection, found, shown)
    stated = read_stated(evidence.stated, settings.hub.domain, brought)
    standing = compare(connection, found, guards, shown, shared=settings.store.url is not None)
    standing = bring_back(connection, standing, stated)
    standing = replace(standing, leaves=tuple(trees.hashes_from(connection, Log.DIRECTORY, 0)))
    agree(standing)
    restorations.wait_for(connection, None if standing.certain else standing.found.directory.generation + 1)
    if standing.certain:
        at = max(now, standing.signed_until + SIGNATURE_WINDOW)
        sizes = found.heads[Log.DIRECTORY].size, found.heads[Log.AUDIT].size  # nothing was brought back
        restorations.note(connection, Restored(at, found.facts.made_at, 0, *sizes))
    return standing


def _conclude(standing: Standing, settings: HubSettings, first: Callable[[], object] = lambda: None) -> None:
    """Leave a guard where the hub may go on, and else the request to the authority, before the database is there."""
    folder, found = settings.hub.data_dir, standing.found
    if not standing.certain:
        _leave_request(standing, settings)
        first()
        sync_folder(folder)
        return
    first()
    guard = Guard(folder / GUARD_NAME)
    guard.start(found.heads.values())
    guard.close()
    forget_behind(folder)
    remove_private(folder / REQUEST_NAME)


def _leave_request(standing: Standing, settings: HubSettings) -> None:
    found = standing.found
    line = found.directory.authority_line(settings.hub.domain)
    request = RestoreRequest(
        domain=settings.hub.domain,
        generation=found.directory.generation + 1,
        backup_at=found.facts.made_at,
        signed_until=standing.signed_until,
        directory=_kept(standing, Log.DIRECTORY),
        leaves=list(standing.leaves),
        audit=_kept(standing, Log.AUDIT),
        before=_before(standing),
        roots=[one.digest for one in found.directory.root_line()],
        authorities=[one.digest for one in line],
        authority_at=line[-1].issued if line else 0,
    )
    write_private(settings.hub.data_dir / REQUEST_NAME, request.model_dump_json(indent=2).encode() + b"\n")


def _kept(standing: Standing, log: Log) -> KeptLog:
    head, known = standing.found.heads[log], standing.known[log]
    # What was brought back stands in the place of leaves that are lost: no more can be known then than is here (GEN-8).
    known = known if known.size > head.size else head
    return KeptLog(size=head.size, root=head.root, known_size=known.size, known_root=known.root)


def _before(standing: Standing) -> KeptBefore | None:
    head, known = standing.before, standing.known[Log.DIRECTORY]
    if head is None:
        return None
    return KeptBefore(
        size=head.size,
        root=head.root,
        known_size=known.size,
        known_root=known.root,
        brought=list(standing.digests),
    )


def _check_place(folder: Path, settings: HubSettings) -> None:
    if not folder.is_dir():
        raise ConfigurationError(f"There is no folder {folder}. Make it, mode 0700, and type the command again.")
    for name in (DATABASE_NAME, *(DATABASE_NAME + end for end in _BESIDE), BLOBS_NAME):
        if settings.store.url is None and (folder / name).exists():
            raise ConfigurationError(
                f"There is a {name} in {folder}. A backup is restored into a folder without one; move {DATABASE_NAME}* "
                f"and {BLOBS_NAME} away, and leave the guard file where it is."
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


async def _fill(
    source: Path,
    secret: XWingSecret,
    settings: HubSettings,
    section: StoreSection,
    folder: Path,
    decide: Callable[[Connection, Found], None],
) -> Found:
    """Read the backup into the database of `section`, in one transaction that ends only when all is verified."""
    store = await open_store(folder, section, attended=True)
    files = None if section.url is not None else BlobFiles(folder / BLOBS_NAME)

    def work(connection: Connection) -> Found:
        store.alone(connection)
        if revision_of(connection) is not None:
            taken = ConfigurationError(
                "The database in store.url is not empty. A backup is restored into an empty one."
            )
            if (settings.hub.data_dir / REQUEST_NAME).exists():
                taken.add_note(f"next: have {REQUEST_NAME} signed; a restore that was cut off has filled the database")
            raise taken
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
        attachments = _sound_attachments(connection, files)
        found = replace(_verified(connection, facts, settings), attachments=attachments[0], left_out=attachments[1])
        decide(connection, found)
        return found

    try:
        return await store.write(work)
    except MalformedEnvelope as error:
        raise KeystoreError("The backup is damaged, or of another version of Throughcare.") from error
    finally:
        await store.close()


def _copy(connection: Connection, reader: Reader, files: BlobFiles | None) -> None:
    for part in reader.contents():
        if isinstance(part, Rows):
            copying.put(connection, part.table, part.columns, part.values)
        else:
            _put_chunk(connection, files, part)


def _sound_attachments(connection: Connection, files: BlobFiles | None) -> tuple[int, int]:
    """Compare attachments with their rows, and delete the rows of those that are not right; return both numbers.

    One that was collected while the backup was made has a row and no bytes: nobody waits for it any more. A damaged one
    is of use to nobody; the message that names it is delivered all the same, and its recipient asks for it in vain.
    """
    sound = left_out = 0
    for row in contents.all_blobs(connection):
        key = BlobKey(KeyId(row.sender_device), BlobId(row.blob_id))
        size, found = blobs.chunks_state(connection, key) if files is None else files.settle(key)
        if size == row.received and (not row.complete or found == row.sha256):
            sound += 1
        else:
            blobs.forget(connection, key)
            left_out += 1
    if files is not None:
        files.settle_folder()
    return sound, left_out


def _put_chunk(connection: Connection, files: BlobFiles | None, chunk: Chunk) -> None:
    if files is None:
        blobs.put_chunk(connection, chunk.key, chunk.place, chunk.data)
        return
    path = files.path(chunk.key)
    make_folder(path.parent, exist_ok=True)
    with os.fdopen(open_made(path, os.O_WRONLY | os.O_APPEND), "ab") as file:
        file.write(chunk.data)


def _verified(connection: Connection, facts: Facts, settings: HubSettings) -> Found:
    """Check both logs, the whole directory and all that is stored of each entry (AUD-10); return what is there."""
    said = {head.origin: head for head in facts.heads}
    heads = {}
    for log, origin in origins_in(connection, settings.hub.domain).items():
        check_leaves(connection, log)
        if origin not in said:
            raise StoreBehind("The backup is not of the logs that it says it is of.")
        heads[log] = check_log(connection, log, origin, said[origin])
        if heads[log].size != said[origin].size:
            raise StoreBehind("The backup holds more leaves than it says. Take another backup.")
    directory = replay(connection, settings, verified=False)
    check_entries(connection, heads[Log.AUDIT].size, directory)
    check_codes(connection)
    return Found(facts, heads, directory)


def _heads(connection: Connection, settings: HubSettings) -> tuple[GuardedHead, ...]:
    stored, at = trees.stored_heads(connection), trees.newest_time(connection)
    origins = origins_in(connection, settings.hub.domain)
    return tuple(GuardedHead(origin, *stored[log], at) for log, origin in origins.items())
