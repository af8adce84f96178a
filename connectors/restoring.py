# SPDX-License-Identifier: Apache-2.0
"""An agency's new device, made from a backup when its machine is lost.

A backup holds no key of the device and no prekey (BAK-3). So a restored agency gets a new device, and the senders seal
anew for it what was under way to the old one (SEQ-4); what this agency had under way itself is sealed anew by the new
device.

Publishing that device takes the desks from the old one. It must therefore not happen that its keys are lost after
that, whatever is cut off when (BAK-7). All is made, synced and in its place before; what was cut off goes on with the
same keys:

    .restoring/             while it is made; worthless, and removed by the next try, until it holds restoration.json
    restoration.json        all keys lie in the data folder: now the device may be published, once or again
    enrolment.json          written last; no connector starts here before (DIR-4)
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from connectors import installation as places
from connectors.backup import Opened, identity_of
from connectors.backupkey import keep_backup_key
from connectors.enrolment.pins import Pins, check_hub, replay
from connectors.hub_client import HubClient
from connectors.installation import Enrolment
from connectors.store import attempts, prekeys, recipients, restored
from connectors.store.engine import DATABASE_FILE, LOCK_FILE, Store
from connectors.store.lock import InstallationLock
from connectors.vault import Vault
from connectors.vouching import TROUBLES, Vouching, vouching
from keys.directory import Directory
from keys.folderowner import make_folder
from keys.keystore import Keystore
from keys.privatefile import read_private, remove_private, sync_folder, write_private
from keys.sealedfile import CONNECTOR, KdfParams
from keys.signing import DeviceSigner, HybridSigner, device_proof, sign_statement
from protocol import limits
from protocol.address import desk_name
from protocol.errors import ConfigurationError, Conflict, EnrolmentRefused
from protocol.http.fields import Bytes32, KeyIdText
from protocol.ids import KeyId
from protocol.statements import Body, Device, Revocation

DRAFT_FOLDER: Final = ".restoring"
_MAX_FILE: Final = 512 * 1024
_NOTHING: Final = frozenset({DRAFT_FOLDER, LOCK_FILE, f"{LOCK_FILE}-journal", "lost+found"})
"""What may lie in an empty folder: what was left by a try that was cut off, and what a disk of its own has."""


class Restoration(BaseModel):
    """A restore that is under way: which backup it is of, which device was lost, and the enrolment to be."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)
    backup: Bytes32
    made_at: int
    lost_device: KeyIdText
    enrolment: Enrolment


@dataclass(frozen=True, slots=True)
class Place:
    """Where a backup is restored to: the data folder, and the restore that is under way there already."""

    data_dir: Path
    begun: Restoration | None

    @property
    def draft(self) -> Path:
        """The folder in which a new restore is prepared; what lies in it moves into the data folder."""
        return self.data_dir / DRAFT_FOLDER


@contextmanager
def restoring_into(data_dir: Path, source: Path) -> Iterator[Place]:
    """Yield the place for the backup `source`, held against others meanwhile.

    It is new, or one where a restore of the same backup was cut off. Where nothing can have been published yet when
    the block fails, nothing is left behind. Raises `Conflict` for anything else in `data_dir`.
    """
    _check_content(data_dir)
    made = not data_dir.exists()
    make_folder(data_dir, parents=True, exist_ok=True)
    held = False
    try:
        with InstallationLock(data_dir / LOCK_FILE):
            held = True
            _check_content(data_dir)
            begun = _begun(data_dir)
            if begun is None:
                _begin(data_dir)
            elif begun.backup != identity_of(source):
                if (data_dir / places.ENROLMENT_FILE).exists():
                    raise _occupied()
                error = Conflict("In this folder a restore of another backup is under way. Nothing was sent.")
                error.add_note(
                    "next: the same command with that backup; or empty the folder, to begin anew with this one"
                )
                raise error
            try:
                yield Place(data_dir, begun)
            finally:
                if not _under_way(data_dir):
                    shutil.rmtree(data_dir / DRAFT_FOLDER, ignore_errors=True)
    finally:
        begun_here = any((data_dir / name).exists() for name in (places.RESTORATION_FILE, places.ENROLMENT_FILE))
        # Whoever did not get the lock leaves it to whoever has it: without its name a third could take another.
        if held and not begun_here:
            with suppress(OSError):  # it may hold what no other try would find in its way
                (data_dir / LOCK_FILE).unlink(missing_ok=True)
                if made:
                    data_dir.rmdir()


def _check_content(data_dir: Path) -> None:
    if data_dir.exists() and not _under_way(data_dir) and {path.name for path in data_dir.iterdir()} - _NOTHING:
        raise _occupied()


def _occupied() -> Conflict:
    error = Conflict("There is something in that folder already. A backup is restored into a new or an empty one.")
    error.add_note("next: the same command with a new or an empty folder as --data-dir")
    return error


def _under_way(data_dir: Path) -> bool:
    """Tell whether all that is needed to publish, or to publish again, lies in the folder."""
    return any((folder / places.RESTORATION_FILE).exists() for folder in (data_dir, data_dir / DRAFT_FOLDER))


def _begin(data_dir: Path) -> None:
    """Make an empty draft, in place of one that was cut off; only its owner looks into an installation."""
    with suppress(PermissionError):  # of a folder that is another's, its files are private each by itself
        data_dir.chmod(0o700)
    shutil.rmtree(data_dir / DRAFT_FOLDER, ignore_errors=True)
    make_folder(data_dir / DRAFT_FOLDER)


def _begun(data_dir: Path) -> Restoration | None:
    """Return the restore that is under way, with all of it in its place."""
    if not _under_way(data_dir):
        return None
    if (data_dir / DRAFT_FOLDER / places.RESTORATION_FILE).exists():
        _settle(data_dir)
    shutil.rmtree(data_dir / DRAFT_FOLDER, ignore_errors=True)
    try:
        return Restoration.model_validate_json(read_private(data_dir / places.RESTORATION_FILE, _MAX_FILE, "file"))
    except ValidationError as error:
        raise ConfigurationError("restoration.json is damaged. Restore the backup into a new folder.") from error


def _settle(data_dir: Path) -> None:
    """Move a draft that is whole to its place, what says so last: it can be cut off anywhere, and done again."""
    draft = data_dir / DRAFT_FOLDER
    for path in sorted(draft.iterdir()):
        if path.name != places.RESTORATION_FILE:
            path.replace(data_dir / path.name)
    sync_folder(data_dir)
    (draft / places.RESTORATION_FILE).replace(data_dir / places.RESTORATION_FILE)
    draft.rmdir()
    sync_folder(data_dir)
    sync_folder(data_dir.absolute().parent)


async def restore(
    place: Place,
    source: Opened | Restoration,
    hub: HubClient,
    passphrase: bytes,
    now: int,
    *,
    hub_url: str | None = None,
    revoke: bool = False,
    params: KdfParams = CONNECTOR,
    told: Callable[[KeyId], None] = lambda _: None,
) -> Enrolment:
    """Make the installation whole and publish its new device at the hub; return its enrolment, for `finish`.

    `source` is the backup, opened into the draft, or the restore that is under way: that goes on with the keys that
    were made, and what the log has already is not sent again. `hub_url` is where the hub is now, if not where it was
    at the enrolment. With `revoke` every earlier device for these desks is revoked as well, and `told` of each: the
    machine that was lost may itself be one that was restored from this backup. Raises `EnrolmentRefused` if the hub is
    not the pinned one, if it does not know the device to revoke, or if the authority does not vouch for the agency's
    keys now, and says what helps.
    """
    pins = Pins.kept(source.enrolment)
    await check_hub(hub, pins)
    directory = await replay(hub, pins)
    if isinstance(source, Opened):
        _check_certificate(directory, source.enrolment, source.agency, now)
        restoration = await _prepare(place, source, directory, passphrase, now, params)
    else:
        restoration = source
    # Opened from its place, also where it was written just now: what is published is what lies there.
    keystore = Keystore.open(place.data_dir / places.KEYSTORE_FOLDER, passphrase)
    agency, device = places.agency_signer(keystore), places.device_signer(keystore)
    enrolment = restoration.enrolment
    _check_certificate(directory, enrolment, agency, now)
    for lost in _lost_devices(directory, restoration, agency, device.key_id) if revoke else ():
        await hub.submit_statement(_signed(Revocation(lost, "lost"), agency, now))
        told(lost)
    if directory.device(device.key_id) is None:
        # The last step, since it takes the desks from the old device: from here on senders seal for the new one.
        desks = tuple(desk_name(desk) for desk in enrolment.desks)
        certificate = Device(enrolment.agency, device.public, desks, device_proof(enrolment.agency, device))
        await hub.submit_statement(_signed(certificate, agency, now))
    return enrolment.model_copy(update={"hub_url": hub_url or enrolment.hub_url})


def _lost_devices(directory: Directory, restoration: Restoration, agency: HybridSigner, new: KeyId) -> Sequence[KeyId]:
    """Return each device, but the `new` one, that this agency's keys certified for one of these desks (BAK-8)."""
    if directory.device(restoration.lost_device) is None:
        error = EnrolmentRefused("The hub's directory does not hold the device that is to be revoked.")
        error.add_note("next: call the operator; without --revoke the lost device stays in force where others know it")
        raise error
    desks = set(restoration.enrolment.desks)
    return [
        entry.key_id
        for entry in directory.devices_of(restoration.enrolment.agency)
        if entry.issuer == agency.key_id
        and entry.key_id != new
        and entry.revoked_index is None
        and desks & set(entry.desks)
    ]


def finish(place: Place, enrolment: Enrolment) -> None:
    """Let the connector start: the device is published."""
    places.write_enrolment(place.data_dir, enrolment)
    remove_private(place.data_dir / places.RESTORATION_FILE)


def _check_certificate(directory: Directory, enrolment: Enrolment, agency: HybridSigner, now: int) -> None:
    standing = vouching(directory, enrolment.agency, agency.key_id, now)
    if standing is Vouching.FOR:
        return
    trouble = TROUBLES[standing]
    error = EnrolmentRefused(f"{trouble.found} The keys in this backup do not count.")
    error.add_note(f"next: {trouble.fix}")
    raise error


async def _prepare(
    place: Place, opened: Opened, directory: Directory, passphrase: bytes, now: int, params: KdfParams
) -> Restoration:
    """Make the draft whole, with keys for a new device, and move it into the data folder."""
    if not (place.draft / DATABASE_FILE).exists():
        raise ConfigurationError("What was read from the backup is not in its place any more. Nothing was sent.")
    await _start_anew(place.draft, opened.storage_key, now)
    device = DeviceSigner.generate()
    keystore = Keystore.create(place.draft / places.KEYSTORE_FOLDER, passphrase, params)
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
    # Whoever restores has the offline key in hand: there is no better time to know it by (BAK-10).
    keep_backup_key(keystore, opened.sealed_to)
    old = opened.enrolment
    pinned = old.directory.model_copy(update={"minimum_size": directory.size})
    restoration = Restoration(
        backup=opened.backup,
        made_at=opened.made_at,
        lost_device=old.device_key_id,
        enrolment=old.model_copy(update={"device_key_id": device.key_id, "directory": pinned}),
    )
    for folder, _, _ in os.walk(place.draft):
        sync_folder(Path(folder))
    write_private(place.draft / places.RESTORATION_FILE, restoration.model_dump_json().encode())
    _settle(place.data_dir)
    return restoration


async def _start_anew(folder: Path, storage_key: bytes, now: int) -> None:
    """Let go of what only the old device could do: its prekeys, and the envelopes that it signed."""
    store = await Store.open(folder / DATABASE_FILE, Vault(storage_key))
    try:
        async with store.write() as tx:
            await restored.note(tx)
            await prekeys.forget_all(tx)
            await attempts.lapse_unsent(tx, "device-replaced")
            await recipients.reopen_under_way(tx, now, "device-replaced")
    finally:
        await store.close()


def _signed(subject: Device | Revocation, agency: HybridSigner, now: int) -> bytes:
    begin = now - limits.CLOCK_SKEW
    return sign_statement(Body(now, begin, begin + limits.DEVICE_LIFE, subject), [agency])
