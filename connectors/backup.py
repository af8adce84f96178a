# SPDX-License-Identifier: Apache-2.0
"""Backups of a connector, and an agency's new device made from one when its machine is lost.

A backup holds the database, attachments, the enrolment, the storage key and the agency's identity. It never holds a
device key or the seed of a prekey (BAK-3): the first would let two machines be one device, the second would keep what
its destruction is to close (DIR-9). So a restored agency gets a new device, and the senders seal anew for it what was
under way to the old one (SEQ-4); what this agency had under way itself is sealed anew by the new device.
"""

import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from connectors import installation as places
from connectors.attachment_files import AttachmentFiles
from connectors.backup_files import END, FileStream, write_file
from connectors.enrolment.pins import Pins, check_hub, replay
from connectors.hub_client import HubClient
from connectors.installation import Enrolment, Installation
from connectors.store import attempts, prekeys, recipients
from connectors.store.engine import DATABASE_FILE, Store
from connectors.vault import Vault
from keys.backupfile import BackupWriter
from keys.backupopening import read_backup
from keys.backuprecord import note_backup
from keys.keystore import Keystore
from keys.privatefile import new_private_file
from keys.sealedfile import CONNECTOR, KdfParams
from keys.signing import DeviceSigner, HybridSigner, device_proof, sign_statement
from keys.xwing import XWingSecret
from protocol import cbor, limits
from protocol.address import desk_name
from protocol.enrolment import LogAnchor
from protocol.errors import ConfigurationError, Conflict, EnrolmentRefused, KeystoreError, MalformedEnvelope
from protocol.shapes import as_bytes, as_int, as_map
from protocol.statements import Body, Device, Revocation

PURPOSE: Final = "connector"
_VERSION: Final = 2
_MAX_FACTS: Final = 512 * 1024
_SIZE: Final = 4


@dataclass(frozen=True, slots=True)
class Opened:
    """An opened backup: when it was made (ms UTC), whose it is, and what its database opens with."""

    made_at: int
    enrolment: Enrolment
    agency: HybridSigner = field(repr=False)
    storage_key: bytes = field(repr=False)


def make_backup(data_dir: Path, installation: Installation, target: Path, public: bytes, now: int) -> None:
    """Write a backup of the installation to the new file `target`, sealed to `public`, also beside a running connector.

    Raises `Conflict` if the file exists and `ConfigurationError` if there is no store yet; then nothing is written.
    """
    if not (data_dir / DATABASE_FILE).exists():
        raise ConfigurationError("There is no store yet to make a backup of. Run the connector first.")
    keystore = installation.keystore
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
    note_backup(data_dir, made_at=now, size=size)


@contextmanager
def _copied(data_dir: Path) -> Iterator[Path]:
    """Yield a consistent copy of the database, made while others may write; it is as encrypted as the original."""
    copy = data_dir / f".backup-{secrets.token_hex(8)}.db"
    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with closing(sqlite3.connect(data_dir / DATABASE_FILE)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
            # One file, whole in itself, without a write-ahead log beside it.
            target.execute("PRAGMA journal_mode=DELETE")
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def open_backup(source: Path, secret: XWingSecret, folder: Path) -> Opened:
    """Open a backup: its database and attachments go into `folder`, the rest is returned.

    Raises `KeystoreError` if it was made for another key or is damaged anywhere; `folder` is worthless then (BAK-2).
    """
    with source.open("rb") as file:
        stream = FileStream(read_backup(file, secret, PURPOSE))
        size = int.from_bytes(stream.take(_SIZE), "big")
        if size > _MAX_FACTS:
            raise KeystoreError("The backup is not one of a connector.")
        opened = _opened(stream.take(size))
        if stream.next_file() != "":
            raise KeystoreError("The backup is not one of a connector.")
        stream.copy_to(folder / DATABASE_FILE)
        attachments = AttachmentFiles(folder)
        while (name := stream.next_file()) is not None:
            stream.copy_to(attachments.place_for(name))
        stream.end()
    return opened


def _opened(raw: bytes) -> Opened:
    try:
        facts = as_map(cbor.decode(raw, limit=_MAX_FACTS), 6)
        as_int(facts[0], least=_VERSION, most=_VERSION)
        return Opened(
            made_at=as_int(facts[1]),
            enrolment=Enrolment.model_validate_json(as_bytes(facts[2])),
            agency=HybridSigner.from_seeds(as_bytes(facts[3], size=32), as_bytes(facts[4], size=32)),
            storage_key=as_bytes(facts[5], size=32),
        )
    except (MalformedEnvelope, ValidationError) as error:
        raise KeystoreError("The backup is of another version of Throughcare, or incomplete.") from error


@contextmanager
def new_folder(data_dir: Path) -> Iterator[Path]:
    """Yield a private folder that becomes `data_dir` when all went well, and is removed when not.

    Raises `Conflict` if there is anything in `data_dir`.
    """
    if data_dir.exists() and any(data_dir.iterdir()):
        raise Conflict("There is something in that folder already. A backup is restored into a new or an empty one.")
    folder = data_dir.absolute().with_name(f".{data_dir.name}.{secrets.token_hex(8)}")
    folder.mkdir(mode=0o700, parents=True)
    try:
        yield folder
        if data_dir.exists():
            data_dir.rmdir()
        folder.replace(data_dir)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def restore(
    opened: Opened,
    folder: Path,
    hub: HubClient,
    passphrase: bytes,
    now: int,
    *,
    hub_url: str | None = None,
    revoke: bool = False,
    params: KdfParams = CONNECTOR,
) -> Enrolment:
    """Make the installation in `folder` whole: new keystore, new device, published at the hub; return its enrolment.

    `hub_url` is where the hub is now, if not where it was at the enrolment. With `revoke` the lost device is revoked
    as well. Raises `EnrolmentRefused` if the hub is not the pinned one, or if the authority vouches for other keys
    of the agency by now: then only a new enrolment helps.
    """
    old = opened.enrolment
    pins = Pins(old.domain, old.root_fingerprint, _anchor(old.directory), _anchor(old.audit))
    await check_hub(hub, pins)
    directory = await replay(hub, pins)
    entry = directory.agency(old.agency, now)
    if entry is None or entry.identity != opened.agency.public:
        raise EnrolmentRefused(
            "The directory has no certificate for the keys in this backup (ended, revoked or replaced). "
            "Ask the authority for a new code and enrol."
        )
    await _start_anew(folder, opened.storage_key, now)
    device = DeviceSigner.generate()
    keystore = Keystore.create(folder / places.KEYSTORE_FOLDER, passphrase, params)
    kept = {
        places.AGENCY_ED25519: opened.agency.seeds[0],
        places.AGENCY_MLDSA65: opened.agency.seeds[1],
        places.DEVICE_ED25519: device.seeds[0],
        places.DEVICE_MLDSA65: device.seeds[1],
        places.DEVICE_TRANSPORT: device.seeds[2],
        places.STORAGE: opened.storage_key,
    }
    for name, seed in kept.items():
        keystore.put(name, name, seed)
    pinned = old.directory.model_copy(update={"minimum_size": directory.size})
    enrolment = old.model_copy(
        update={"device_key_id": device.key_id, "directory": pinned, "hub_url": hub_url or old.hub_url}
    )
    places.write_enrolment(folder, enrolment)
    lost = directory.device(old.device_key_id)
    if revoke and lost is not None and lost.revoked_index is None:
        revocation = Revocation(old.device_key_id, "lost")
        await hub.submit_statement(_signed(revocation, limits.DEVICE_LIFE, opened.agency, now))
    # The last step, since it takes the desks from the old device: from here on senders seal for the new one.
    desks = tuple(desk_name(desk) for desk in old.desks)
    certificate = Device(old.agency, device.public, desks, device_proof(old.agency, device))
    await hub.submit_statement(_signed(certificate, limits.DEVICE_LIFE, opened.agency, now))
    return enrolment


async def _start_anew(folder: Path, storage_key: bytes, now: int) -> None:
    """Let go of what only the old device could do: its prekeys, and the envelopes that it signed."""
    store = await Store.open(folder / DATABASE_FILE, Vault(storage_key))
    try:
        async with store.write() as tx:
            await prekeys.forget_all(tx)
            await attempts.lapse_unsent(tx, "device-replaced")
            await recipients.reopen_under_way(tx, now, "device-replaced")
    finally:
        await store.close()


def _anchor(log: places.LogIdentity) -> LogAnchor:
    return LogAnchor(log.origin, log.key, log.minimum_size)


def _signed(subject: Device | Revocation, life: int, agency: HybridSigner, now: int) -> bytes:
    begin = now - limits.CLOCK_SKEW
    return sign_statement(Body(now, begin, begin + life, subject), [agency])
