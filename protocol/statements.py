# SPDX-License-Identifier: Apache-2.0
"""The signed statements of the directory log: what each kind says, and how it is written (DIR)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import TypeAlias

from protocol import cbor, limits
from protocol.address import AgencyAddress, desk_of
from protocol.cbor import Value
from protocol.errors import InvalidInput, MalformedEnvelope
from protocol.identities import DeviceKey, IdentityKey
from protocol.ids import ID_SIZE, KEY_ID_SIZE, KeyId, OfficerId
from protocol.restoration import Restoration
from protocol.rows import sha256
from protocol.sections import ActorKind, as_agency
from protocol.shapes import as_bytes, as_int, as_list, as_map, as_text, as_tuple


class StatementKind(IntEnum):
    """The kinds of statement, in the order of the chain."""

    ROOT = 1
    AUTHORITY = 2
    AGENCY = 3
    DEVICE = 4
    DELEGATION = 5
    PREKEY = 6
    REVOCATION = 7
    RESTORATION = 8


@dataclass(frozen=True, slots=True)
class Root:
    """The programme's root: any `threshold` of its persons sign for it."""

    version: int
    threshold: int
    identities: tuple[IdentityKey, ...]
    programme: str

    def value(self) -> Value:
        """Return the CBOR value."""
        return {
            0: self.version,
            1: self.threshold,
            2: [key.value() for key in self.identities],
            3: self.programme,
        }

    @classmethod
    def of(cls, value: Value) -> "Root":
        """Read the CBOR value, or raise `MalformedEnvelope`."""
        fields = as_map(value, 4)
        threshold, identities = _signers(fields[1], fields[2])
        return cls(
            as_int(fields[0], least=1),
            threshold,
            identities,
            as_text(fields[3], least=1, most=limits.MAX_NAME),
        )


@dataclass(frozen=True, slots=True)
class Authority:
    """A jurisdiction's authority: any `threshold` of its approvers sign agencies under its hub domain (DIR-3)."""

    jurisdiction: str
    threshold: int
    identities: tuple[IdentityKey, ...]
    domain: str

    def value(self) -> Value:
        """Return the CBOR value."""
        return {
            0: self.jurisdiction,
            1: self.threshold,
            2: [key.value() for key in self.identities],
            3: self.domain,
        }

    @classmethod
    def of(cls, value: Value) -> "Authority":
        """Read the CBOR value, or raise `MalformedEnvelope`."""
        fields = as_map(value, 4)
        threshold, identities = _signers(fields[1], fields[2])
        return cls(
            as_text(fields[0], least=1, most=limits.MAX_NAME),
            threshold,
            identities,
            as_text(fields[3], least=1, most=100),
        )


def _signers(threshold: Value, identities: Value) -> tuple[int, tuple[IdentityKey, ...]]:
    keys = tuple(IdentityKey.of(item) for item in as_list(identities, least=1, most=limits.MAX_SIGNERS))
    if len({key.key_id for key in keys}) != len(keys):
        raise MalformedEnvelope("A signer stands twice in a statement.")
    return as_int(threshold, least=1, most=len(keys)), keys


@dataclass(frozen=True, slots=True)
class Agency:
    """An agency: its identity, its desks with their functions, the payload types it may send."""

    address: AgencyAddress
    agency_kind: str
    identity: IdentityKey
    desks: tuple[tuple[str, str], ...]
    payload_types: tuple[str, ...]
    name: str

    def value(self) -> Value:
        """Return the CBOR value."""
        desks: list[Value] = [[desk, function] for desk, function in self.desks]
        return {
            0: self.address,
            1: self.agency_kind,
            2: self.identity.value(),
            3: desks,
            4: list(self.payload_types),
            5: self.name,
        }

    @classmethod
    def of(cls, value: Value) -> "Agency":
        """Read the CBOR value, or raise `MalformedEnvelope`."""
        fields = as_map(value, 6)
        address = as_agency(fields[0])
        return cls(
            address=address,
            agency_kind=as_text(fields[1], least=1, most=limits.MAX_CODE),
            identity=IdentityKey.of(fields[2]),
            desks=desk_functions(fields[3], address),
            payload_types=tuple(
                as_text(item, least=1, most=limits.MAX_CODE)
                for item in as_list(fields[4], most=limits.MAX_PAYLOAD_TYPES)
            ),
            name=as_text(fields[5], least=1, most=limits.MAX_NAME),
        )


def desk_functions(value: Value, agency: AgencyAddress) -> tuple[tuple[str, str], ...]:
    """Read [[desk name, function]…] of one agency, no desk twice, or raise `MalformedEnvelope`."""
    desks = []
    for item in as_list(value, least=1, most=limits.MAX_DESKS):
        desk, function = as_tuple(item, 2)
        desks.append((_desk_name(desk, agency), as_text(function, least=1, most=limits.MAX_CODE)))
    if len({desk for desk, _ in desks}) != len(desks):
        raise MalformedEnvelope("A desk stands twice in a statement.")
    return tuple(desks)


def _desk_name(value: Value, agency: AgencyAddress) -> str:
    name = as_text(value, least=1, most=40)
    try:
        desk_of(name, agency)
    except InvalidInput:
        raise MalformedEnvelope from None
    return name


def _desk_names(value: Value, agency: AgencyAddress) -> tuple[str, ...]:
    names = tuple(_desk_name(item, agency) for item in as_list(value, least=1, most=limits.MAX_DESKS))
    if len(set(names)) != len(names):
        raise MalformedEnvelope("A desk stands twice in a statement.")
    return names


@dataclass(frozen=True, slots=True)
class Device:
    """One connector installation of an agency and the desks it serves, with its proof of possession (DIR-5)."""

    agency: AgencyAddress
    key: DeviceKey
    desks: tuple[str, ...]
    proof: tuple[bytes, bytes] = field(repr=False)

    def value(self) -> Value:
        """Return the CBOR value."""
        return {0: self.agency, 1: self.key.value(), 2: list(self.desks), 3: list(self.proof)}

    @classmethod
    def of(cls, value: Value) -> "Device":
        """Read the CBOR value, or raise `MalformedEnvelope`."""
        fields = as_map(value, 4)
        agency = as_agency(fields[0])
        return cls(agency, DeviceKey.of(fields[1]), _desk_names(fields[2], agency), as_signatures(fields[3]))


def as_signatures(value: Value) -> tuple[bytes, bytes]:
    """Read [Ed25519, ML-DSA-65] signatures, or raise `MalformedEnvelope`."""
    ed25519, mldsa65 = as_tuple(value, 2)
    return as_bytes(ed25519, size=limits.ED25519_SIGNATURE), as_bytes(mldsa65, size=limits.MLDSA65_SIGNATURE)


@dataclass(frozen=True, slots=True)
class Delegation:
    """An officer or service that may act for some desks of an agency; a title, never a person's name."""

    agency: AgencyAddress
    officer: OfficerId
    actor_kind: ActorKind
    title: str
    desks: tuple[str, ...]

    def value(self) -> Value:
        """Return the CBOR value."""
        return {0: self.agency, 1: self.officer, 2: int(self.actor_kind), 3: self.title, 4: list(self.desks)}

    @classmethod
    def of(cls, value: Value) -> "Delegation":
        """Read the CBOR value, or raise `MalformedEnvelope`."""
        fields = as_map(value, 5)
        agency = as_agency(fields[0])
        return cls(
            agency=agency,
            officer=OfficerId(as_bytes(fields[1], size=ID_SIZE)),
            actor_kind=ActorKind(as_int(fields[2], least=1, most=2)),
            title=as_text(fields[3], least=1, most=limits.MAX_NAME),
            desks=_desk_names(fields[4], agency),
        )


@dataclass(frozen=True, slots=True)
class Prekey:
    """A device's X-Wing public key; the newest epoch is the one to seal to (DIR-8)."""

    device_id: KeyId
    epoch: int
    public: bytes = field(repr=False)

    def value(self) -> Value:
        """Return the CBOR value."""
        return {0: self.device_id, 1: self.epoch, 2: self.public}

    @classmethod
    def of(cls, value: Value) -> "Prekey":
        """Read the CBOR value, or raise `MalformedEnvelope`."""
        fields = as_map(value, 3)
        return cls(
            KeyId(as_bytes(fields[0], size=KEY_ID_SIZE)),
            as_int(fields[1], least=1),
            as_bytes(fields[2], size=limits.XWING_PUBLIC),
        )


@dataclass(frozen=True, slots=True)
class Revocation:
    """The end of an authority, agency, device or delegation, named by its key id or its statement's digest."""

    target: bytes
    reason: str

    def value(self) -> Value:
        """Return the CBOR value."""
        return {0: self.target, 1: self.reason}

    @classmethod
    def of(cls, value: Value) -> "Revocation":
        """Read the CBOR value, or raise `MalformedEnvelope`."""
        fields = as_map(value, 2)
        return cls(as_bytes(fields[0], size=limits.HASH), as_text(fields[1], least=1, most=limits.MAX_CODE))


Subject: TypeAlias = Root | Authority | Agency | Device | Delegation | Prekey | Revocation | Restoration

_READERS: Mapping[StatementKind, Callable[[Value], Subject]] = {
    StatementKind.ROOT: Root.of,
    StatementKind.AUTHORITY: Authority.of,
    StatementKind.AGENCY: Agency.of,
    StatementKind.DEVICE: Device.of,
    StatementKind.DELEGATION: Delegation.of,
    StatementKind.PREKEY: Prekey.of,
    StatementKind.REVOCATION: Revocation.of,
    StatementKind.RESTORATION: Restoration.of,
}

_KINDS: Mapping[type[Subject], StatementKind] = {
    Root: StatementKind.ROOT,
    Authority: StatementKind.AUTHORITY,
    Agency: StatementKind.AGENCY,
    Device: StatementKind.DEVICE,
    Delegation: StatementKind.DELEGATION,
    Prekey: StatementKind.PREKEY,
    Revocation: StatementKind.REVOCATION,
    Restoration: StatementKind.RESTORATION,
}


@dataclass(frozen=True, slots=True)
class Body:
    """What is signed: a subject and the time it counts, in ms UTC (DIR-6)."""

    issued: int
    not_before: int
    not_after: int
    subject: Subject

    @property
    def kind(self) -> StatementKind:
        """The kind that the subject's type implies."""
        return _KINDS[type(self.subject)]

    def encode(self) -> bytes:
        """Return the strict encoding."""
        return cbor.encode(
            {
                0: int(self.kind),
                1: self.issued,
                2: self.not_before,
                3: self.not_after,
                4: self.subject.value(),
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "Body":
        """Read a body, or raise `MalformedEnvelope`."""
        fields = as_map(cbor.decode(data, limit=limits.MAX_STATEMENT), 5)
        kind = StatementKind(as_int(fields[0], least=1, most=len(StatementKind)))
        body = cls(as_int(fields[1]), as_int(fields[2]), as_int(fields[3]), _READERS[kind](fields[4]))
        if not body.not_before < body.not_after:
            raise MalformedEnvelope("A statement must end after it begins.")
        return body


@dataclass(frozen=True, slots=True)
class StatementSignature:
    """One signer's two signatures over a statement's body (DIR-1)."""

    signer: KeyId
    ed25519: bytes = field(repr=False)
    mldsa65: bytes = field(repr=False)


@dataclass(frozen=True)
class UnverifiedStatement:
    """A statement of the right form; nothing in it counts until the directory has accepted it."""

    raw: bytes = field(repr=False)
    body_bytes: bytes = field(repr=False)
    body: Body
    signatures: tuple[StatementSignature, ...]

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the body: the statement's name in claims and revocations, and the root fingerprint (DIR-4)."""
        return sha256(self.body_bytes)


def parse_statement(raw: bytes) -> UnverifiedStatement:
    """Read a statement of at most 128 KiB; `MalformedEnvelope` for any fault of form, or a signer that stands twice."""
    body_item, signature_items = as_tuple(cbor.decode(raw, limit=limits.MAX_STATEMENT), 2)
    body_bytes = as_bytes(body_item)
    signatures = []
    for item in as_list(signature_items, least=1, most=2 * limits.MAX_SIGNERS):
        signer, ed25519, mldsa65 = as_tuple(item, 3)
        pair = as_signatures([ed25519, mldsa65])
        signatures.append(StatementSignature(KeyId(as_bytes(signer, size=KEY_ID_SIZE)), *pair))
    if len({signature.signer for signature in signatures}) != len(signatures):
        raise MalformedEnvelope("A signer stands twice in a statement.")
    return UnverifiedStatement(raw, body_bytes, Body.parse(body_bytes), tuple(signatures))


def encode_statement(body_bytes: bytes, signatures: Sequence[StatementSignature]) -> bytes:
    """Return a statement's bytes; the body's bytes are kept as they were signed (CBOR-8)."""
    items: list[Value] = [[one.signer, one.ed25519, one.mldsa65] for one in signatures]
    return cbor.encode([body_bytes, items])
