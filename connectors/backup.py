# SPDX-License-Identifier: Apache-2.0
"""Backups of a connector: how one is made and opened. What is made of it is in `connectors.restoring`.

A backup holds the database, attachments, the enrolment, the storage key and the agency's identity. It never holds a
device key or the seed of a prekey (BAK-3): the first would let two machines be one device, the second would keep what
its destruction is to close (DIR-9).
"""

import hashlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir
from typing import Final

from pydantic import ValidationError
from sqlalchemy import text

from connectors import installation as places
from connectors.attachment_files import AttachmentFiles
from connectors.backup_files import END, FileStream, write_file
from connectors.backupkey import check_backup_key, keep_backup_key
from connectors.installation import Enrolment, Installation
from connectors.store.engine import DATABASE_FILE, Store
from connectors.store.lock import InstallationLock
from connectors.vault import Vault
from keys.backupfile import BackupWriter, backup_identity
from keys.backupopening import read_backup
from keys.backuprecord import note_backup, note_refused_backup
from keys.privatefile import new_private_file
from keys.signing import HybridSigner
from keys.workfolders import own_left, work_folder
from keys.xwing import XWingSecret
from protocol import cbor
from protocol.errors import ConfigurationError, KeystoreError, MalformedEnvelope, StoreFailed, UntrustedKey
from protocol.shapes import as_bytes, as_int, as_map

PURPOSE: Final = "connector"
LOCK_FILE: Final = "backup.lock"
_COPY: Final = ".backup-"
_CHECKED: Final = "throughcare-backup-"
_VERSION: Final = 2
_MAX_FACTS: Final = 512 * 1024
_SIZE: Final = 4
_BEGINNING: Final = 4_096


@dataclass(frozen=True, slots=True)
class Opened:
    """An opened backup: which one, for which key, of when (ms UTC), whose it is, and what its database opens with."""

    backup: bytes
    sealed_to: bytes
    """The id of the backup key, to which later ones are sealed too (BAK-10)."""
    made_at: int
    enrolment: Enrolment
    agency: HybridSigner = field(repr=False)
    storage_key: bytes = field(repr=False)


def make_backup(data_dir: Path, installation: Installation, target: Path, public: bytes, now: int) -> bool:
    """Write a backup of the installation to the new file `target`, sealed to `public`, also beside a running connector.

    Returns whether it is the first one here: later ones must be sealed to the same key. Raises `UntrustedKey` if this
    is another (BAK-10), `Conflict` if the file exists or another backup is being made, and `ConfigurationError` if
    there is no store yet; then nothing is written.
    """
    if not (data_dir / DATABASE_FILE).exists():
        raise ConfigurationError("There is no store yet to make a backup of. Run the connector first.")
    keystore = installation.keystore
    try:
        first = check_backup_key(keystore, public)
    except UntrustedKey:
        with suppress(KeystoreError):  # on a full disk it is still this that is to be told
            note_refused_backup(data_dir, refused_at=now)
        raise
    facts = cbor.encode(
        {
            0: _VERSION,
            1: now,
            2: installation.enrolment.model_dump_json().encode(),
            3: keystore.get(places.AGENCY_ED25519, places.AGENCY_ED25519),
            4: keystore.get(places.AGENCY_MLDSA65, places.AGENCY_MLDSA65),
            5: installation.storage_key,
        }
    )
    with new_private_file(target) as file, _copied(data_dir) as database:
        writer = BackupWriter(file, public, PURPOSE)
        writer.write(len(facts).to_bytes(_SIZE, "big") + facts)
        write_file(writer.write, "", database)
        # The database first: an attachment that comes meanwhile is in no row of it, and swept after a restore.
        for name, path in AttachmentFiles(data_dir).finished():
            write_file(writer.write, name, path)
        writer.write(END)
        writer.close()
        size = file.tell()
    if first:
        keep_backup_key(keystore, backup_identity(public))
    note_backup(data_dir, made_at=now, size=size)
    return first


@contextmanager
def _copied(data_dir: Path) -> Iterator[Path]:
    """Yield a consistent copy of the database, made while others may write; it is as encrypted as the original.

    The copy has the size of the database. One that a killed backup left goes first, so that at most one lies there.
    """
    with InstallationLock(data_dir / LOCK_FILE, "Another backup of this installation is being made. Wait for it."):
        for left in data_dir.glob(f"{_COPY}*"):
            left.unlink()
        with _copy(data_dir) as copy:
            yield copy


@contextmanager
def _copy(data_dir: Path) -> Iterator[Path]:
    copy = data_dir / f"{_COPY}{secrets.token_hex(8)}.db"
    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with closing(sqlite3.connect(data_dir / DATABASE_FILE)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
            # One file, whole in itself, without a write-ahead log beside it.
            target.execute("PRAGMA journal_mode=DELETE")
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def left_behind(data_dir: Path) -> list[Path]:
    """Return what killed backups and checks of backups have left here, each until the next of its kind (BAK-9)."""
    copies = [] if InstallationLock(data_dir / LOCK_FILE).is_held() else sorted(data_dir.glob(f"{_COPY}*"))
    return copies + own_left(Path(gettempdir()), _CHECKED)


def open_backup(source: Path, secret: XWingSecret, folder: Path) -> Opened:
    """Open a backup: its database and attachments go into `folder`, the rest is returned.

    Raises `KeystoreError` if it was made for another key or is damaged anywhere; `folder` is worthless then (BAK-2).
    """
    with source.open("rb") as file:
        stream = FileStream(read_backup(file, secret, PURPOSE))
        size = int.from_bytes(stream.take(_SIZE), "big")
        if size > _MAX_FACTS:
            raise KeystoreError("The backup is not one of a connector.")
        opened = _opened(stream.take(size), identity_of(source), backup_identity(secret.public))
        if stream.next_file() != "":
            raise KeystoreError("The backup is not one of a connector.")
        stream.copy_to(folder / DATABASE_FILE)
        attachments = AttachmentFiles(folder)
        while (name := stream.next_file()) is not None:
            stream.copy_to(attachments.place_for(name))
        stream.end()
    return opened


async def check_backup(source: Path, secret: XWingSecret) -> tuple[Opened, int]:
    """Open a backup as a restore would, in a folder that is gone afterwards; return it and how many attachments it has.

    Raises `KeystoreError` as `open_backup` does, and `StoreFailed` for a database that is damaged or of a newer
    version.
    """
    with work_folder(Path(gettempdir()), _CHECKED) as folder:
        opened = open_backup(source, secret, folder)
        store = await Store.open(folder / DATABASE_FILE, Vault(opened.storage_key))
        try:
            async with store.read() as tx:
                # Indexes and all, which takes longer than a look at each start would be worth.
                found = (await tx.connection.execute(text("PRAGMA integrity_check(1)"))).scalar_one()
        finally:
            await store.close()
        if found != "ok":
            raise StoreFailed("The database in this backup is damaged. Make another backup, and check that one.")
        return opened, sum(1 for _ in AttachmentFiles(folder).finished())


def identity_of(source: Path) -> bytes:
    """Return what tells this backup from every other one, without opening it: a hash of its beginning.

    The beginning holds a key that was wrapped anew for this backup alone.
    """
    with source.open("rb") as file:
        return hashlib.sha256(file.read(_BEGINNING)).digest()


def _opened(raw: bytes, backup: bytes, sealed_to: bytes) -> Opened:
    try:
        facts = as_map(cbor.decode(raw, limit=_MAX_FACTS), 6)
        as_int(facts[0], least=_VERSION, most=_VERSION)
        return Opened(
            backup=backup,
            sealed_to=sealed_to,
            made_at=as_int(facts[1]),
            enrolment=Enrolment.model_validate_json(as_bytes(facts[2])),
            agency=HybridSigner.from_seeds(as_bytes(facts[3], size=32), as_bytes(facts[4], size=32)),
            storage_key=as_bytes(facts[5], size=32),
        )
    except (MalformedEnvelope, ValidationError) as error:
        raise KeystoreError("The backup is of another version of Throughcare, or incomplete.") from error
