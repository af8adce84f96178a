# SPDX-License-Identifier: Apache-2.0
"""A backup of a hub while it runs: one state of the database, read in one transaction, sealed as it is read (BAK-4).

It is sealed to the one key that this hub knows, or to the first that it ever gets (BAK-10).

Nothing but the sealed file is ever written, and memory stays bounded. A hub that serves goes on meanwhile; on SQLite
its write-ahead log grows until the backup is done.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from hub.backups.stream import END, PURPOSE, Chunk, Facts, encode_chunk, framed, write_rows
from hub.config import BLOBS_NAME, DATABASE_NAME, GUARD_NAME, HubSettings
from hub.migrations import NEWEST, revision_of
from hub.service.backupkey import check_backup_key, keep_backup_key
from hub.service.behind import check_not_behind
from hub.service.guard import Guard
from hub.service.logcheck import check_logs, origins_in
from hub.service.signingkeys import SEALED_NAME
from hub.store import blobs, copying, restorations
from hub.store.blobfiles import BlobFiles
from hub.store.opening import look
from keys.backupfile import BackupWriter, backup_identity
from keys.backuprecord import note_backup, note_refused_backup
from keys.privatefile import new_private_file, read_private
from protocol.blobs import chunk_size
from protocol.errors import ConfigurationError, KeystoreError, UntrustedKey
from protocol.limits import BLOB_CHUNK

_MAX_SEALED = 64 * 1024


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made: of when (ms UTC), the leaves of each log by origin, its bytes, and if it is the first."""

    made_at: int
    sizes: dict[str, int]
    bytes: int
    first: bool


async def make_backup(settings: HubSettings, target: Path, public: bytes, now: int) -> Made:
    """Write a backup of the hub to the new file `target`, sealed to `public`, also beside running hub processes.

    Raises `UntrustedKey` if earlier ones were sealed to another key (BAK-10), `Conflict` if the file exists,
    `ConfigurationError` if there is nothing yet to make a backup of, and `StoreBehind` for a database that is not what
    was signed: a backup of it would be worth nothing. Nothing is left then.
    """
    folder = settings.hub.data_dir
    if settings.store.url is None and not (folder / DATABASE_NAME).exists():
        raise ConfigurationError("There is no database yet to make a backup of. Run the hub first.")
    try:
        first = check_backup_key(folder, public)
    except UntrustedKey:
        with suppress(KeystoreError):  # on a full disk it is still this that is to be told
            note_refused_backup(folder, refused_at=now)
        raise
    sealed = folder / SEALED_NAME
    keys = read_private(sealed, _MAX_SEALED) if sealed.exists() else None
    # The guard first: what a running hub adds meanwhile only makes the database larger than it, as it may be.
    guard = Guard(folder / GUARD_NAME)
    guard.read()
    with new_private_file(target) as file:
        writer = BackupWriter(file, public, PURPOSE)

        def copy(connection: Connection) -> Facts:
            if revision_of(connection) != NEWEST:
                raise ConfigurationError(
                    "The database is of another version of Throughcare. That version makes a backup of it, and this "
                    "one once the hub has run."
                )
            check_not_behind(folder, len(restorations.generations(connection)))
            heads = check_logs(connection, origins_in(connection, settings.hub.domain), guard.heads)
            facts = Facts(now, settings.hub.domain, NEWEST, tuple(heads.values()), keys)
            writer.write(framed(facts.encode()))
            _copy(connection, writer.write, folder, shared=settings.store.url is not None)
            return facts

        facts = await look(folder, settings.store, copy)
        writer.write(END)
        writer.close()
        size = file.tell()
    if first:
        keep_backup_key(folder, backup_identity(public))
    made = Made(now, {head.origin: head.size for head in facts.heads}, size, first)
    note_backup(folder, made_at=now, size=made.bytes)
    return made


def _copy(connection: Connection, write: Callable[[bytes], None], folder: Path, *, shared: bool) -> None:
    for table in copying.copied_tables():
        names = [column.name for column in table.columns]
        write_rows(write, table.name, names, copying.rows(connection, table))
    for chunk in _chunks_in_rows(connection) if shared else _chunks_in_files(connection, folder):
        write(encode_chunk(chunk))


def _chunks_in_rows(connection: Connection) -> Iterator[Chunk]:
    for key, received in blobs.received(connection):
        for place in range(-(-received // BLOB_CHUNK)):
            data = blobs.chunk(connection, key, place)
            if data is not None:
                yield Chunk(key, place, data)


def _chunks_in_files(connection: Connection, folder: Path) -> Iterator[Chunk]:
    """Yield what the files hold; one that is gone by now was collected meanwhile, and nobody waits for it."""
    files = BlobFiles(folder / BLOBS_NAME)
    for key, received in blobs.received(connection):
        try:
            with files.path(key).open("rb") as file:
                for offset in range(0, received, BLOB_CHUNK):
                    yield Chunk(key, offset // BLOB_CHUNK, file.read(chunk_size(offset, received)))
        except FileNotFoundError:
            continue
