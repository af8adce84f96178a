# SPDX-License-Identifier: Apache-2.0
"""What enrolment left behind and a connector starts from: the pinned identities and the device's keys.

`enrolment.json` holds public facts that must not change unnoticed (the root fingerprint above all, DIR-4);
the keystore beside it holds the seeds. Enrolment writes both, the connector only reads the first.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from keys.keystore import Keystore
from keys.privatefile import read_private, write_private
from keys.signing import DeviceSigner, HybridSigner
from protocol.address import agency_of, domain_of
from protocol.errors import ConfigurationError, InvalidInput, KeystoreError
from protocol.http.fields import AgencyText, Bytes32, DeskText, KeyIdText, OfficerIdText, TextForm
from protocol.ids import OfficerId
from protocol.sections import Actor, ActorKind

ENROLMENT_FILE: Final = "enrolment.json"
KEYSTORE_FOLDER: Final = "keystore"
RESTORATION_FILE: Final = "restoration.json"
"""Stands for an enrolment whose device a restore has still to publish."""

# Names in the keystore; each name is also the purpose.
DEVICE_ED25519: Final = "device-ed25519"
DEVICE_MLDSA65: Final = "device-mldsa65"
DEVICE_TRANSPORT: Final = "device-transport"
STORAGE: Final = "storage"
AGENCY_ED25519: Final = "agency-ed25519"
AGENCY_MLDSA65: Final = "agency-mldsa65"
PREKEY_PREFIX: Final = "prekey-"
PREKEY_PURPOSE: Final = "prekey"

_MAX_FILE: Final = 256 * 1024


def prekey_name(epoch: int) -> str:
    """Return the keystore's name for the seed of the prekey `epoch`; its purpose is `PREKEY_PURPOSE`."""
    return f"{PREKEY_PREFIX}{epoch}"


def _parse_hash(text: str) -> bytes:
    raw = bytes.fromhex(text)
    if len(raw) != 32 or raw.hex() != text:
        raise ValueError("64 characters of 0-9 and a-f")
    return raw


HashText = Annotated[bytes, TextForm(bytes, _parse_hash, bytes.hex, {"pattern": "^[0-9a-f]{64}$"})]
"""SHA-256 of a statement's body: 32 bytes inside, hexadecimal digits in the file."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class LogIdentity(_Strict):
    """A log of the hub as the enrolment code named it (DIR-13, ENR-1)."""

    origin: str = Field(max_length=200)
    key: Bytes32
    minimum_size: int = Field(default=0, ge=0)


class ActorName(StrEnum):
    """Whom a message names as acting: a person, or the connector's own service account."""

    OFFICER = "officer"
    SERVICE = "service"


class ActorRecord(_Strict):
    """A delegation made at enrolment; `delegation` is the SHA-256 of the statement's body."""

    officer_id: OfficerIdText
    kind: ActorName
    name: str = Field(min_length=1, max_length=200)
    delegation: HashText

    @property
    def actor(self) -> Actor:
        """The same as the claims name it (ENV-14)."""
        kind = ActorKind.OFFICER if self.kind is ActorName.OFFICER else ActorKind.SERVICE
        return Actor(officer=self.officer_id, kind=kind, name=self.name, delegation=self.delegation)


class Enrolment(_Strict):
    """The public facts of one installation; nothing in it is secret, all of it is pinned."""

    hub_url: str = Field(min_length=1, max_length=500)
    domain: str = Field(min_length=1, max_length=100)
    root_fingerprint: HashText
    """SHA-256 of the root statement's body, in hexadecimal digits (DIR-4)."""
    directory: LogIdentity
    audit: LogIdentity
    agency: AgencyText
    desks: Annotated[tuple[DeskText, ...], Field(min_length=1, max_length=64)]
    device_key_id: KeyIdText
    actors: Annotated[tuple[ActorRecord, ...], Field(min_length=1, max_length=5_000)]

    def actor(self, officer: OfficerId | None) -> Actor:
        """Return the actor of `officer`, or the service account for None.

        Raises `InvalidInput` if enrolment made no such delegation.
        """
        for record in self.actors:
            if record.officer_id == officer or (officer is None and record.kind is ActorName.SERVICE):
                return record.actor
        raise InvalidInput("This installation has no delegation for that officer. Enrol the officer first.")


@dataclass(frozen=True, slots=True)
class Installation:
    """An opened installation: what its parts are handed, piece by piece, by the composition root."""

    enrolment: Enrolment
    device: DeviceSigner = field(repr=False)
    keystore: Keystore = field(repr=False)
    storage_key: bytes = field(repr=False)


def agency_signer(keystore: Keystore) -> HybridSigner:
    """Return the agency's identity, which signs its devices and officers (DIR-2); `KeystoreError` if it is not here."""
    return HybridSigner.from_seeds(
        keystore.get(AGENCY_ED25519, AGENCY_ED25519), keystore.get(AGENCY_MLDSA65, AGENCY_MLDSA65)
    )


def device_signer(keystore: Keystore) -> DeviceSigner:
    """Return the keys of this installation's device; `KeystoreError` if they are not here."""
    return DeviceSigner.from_seeds(
        keystore.get(DEVICE_ED25519, DEVICE_ED25519),
        keystore.get(DEVICE_MLDSA65, DEVICE_MLDSA65),
        keystore.get(DEVICE_TRANSPORT, DEVICE_TRANSPORT),
    )


def write_enrolment(data_dir: Path, enrolment: Enrolment) -> None:
    """Write `enrolment.json` into `data_dir`, whole or not at all, mode 0600."""
    write_private(data_dir / ENROLMENT_FILE, enrolment.model_dump_json(indent=2).encode() + b"\n")


def read_enrolment(data_dir: Path) -> Enrolment:
    """Return what enrolment left in `data_dir`.

    Raises `ConfigurationError` if there is nothing, or if it contradicts itself: a connector without a
    pinned root fingerprint never starts (DIR-4).
    """
    path = data_dir / ENROLMENT_FILE
    if not path.exists():
        if (data_dir / RESTORATION_FILE).exists():
            raise ConfigurationError("A restore is under way in this folder. Type `throughcare restore` again.")
        raise ConfigurationError("This folder holds no enrolment. Type `throughcare enrol` first.")
    try:
        enrolment = Enrolment.model_validate_json(read_private(path, _MAX_FILE, "file"))
    except (ValidationError, KeystoreError) as error:
        raise ConfigurationError("enrolment.json is damaged, incomplete or readable by others. Enrol again.") from error
    if domain_of(enrolment.agency) != enrolment.domain or any(
        agency_of(desk) != enrolment.agency for desk in enrolment.desks
    ):
        raise ConfigurationError("enrolment.json names a desk of another agency or hub. Enrol again.")
    return enrolment


def open_installation(data_dir: Path, passphrase: bytes) -> Installation:
    """Open the installation in `data_dir`: takes about a second, because Argon2id does.

    Raises `ConfigurationError` for what is missing or contradictory and `KeystoreError` for a wrong
    passphrase or damaged keys (KEY-5).
    """
    enrolment = read_enrolment(data_dir)
    keystore = Keystore.open(data_dir / KEYSTORE_FOLDER, passphrase)
    device = device_signer(keystore)
    if device.key_id != enrolment.device_key_id:
        raise ConfigurationError("enrolment.json and the keystore belong to different devices.")
    return Installation(enrolment, device, keystore, keystore.get(STORAGE, STORAGE))
