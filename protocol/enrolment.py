# SPDX-License-Identifier: Apache-2.0
"""Enrolment: the code that travels outside the hub, its registration, and the key request it protects (ENR)."""

import base64
import hmac
from dataclasses import dataclass, field

from protocol import cbor, labels, limits
from protocol.address import AgencyAddress
from protocol.cbor import Value
from protocol.errors import EnrolmentRefused, MalformedEnvelope
from protocol.identities import DeviceKey, IdentityKey
from protocol.ids import ID_SIZE, KEY_ID_SIZE, CodeId, KeyId
from protocol.rows import sha256
from protocol.sections import as_agency
from protocol.shapes import as_bytes, as_int, as_list, as_map, as_text, as_tuple
from protocol.statements import StatementSignature, as_signatures, desk_functions

CODE_PREFIX = "TC-ENROL-1-"
_CHECKSUM = 4
_MAX_CODE_TEXT = 8_192


@dataclass(frozen=True, slots=True)
class LogAnchor:
    """What a newcomer must know of a log: its origin, its Ed25519 key, and the least size it may have."""

    origin: str
    key: bytes
    size: int

    def value(self) -> Value:
        """Return the CBOR value."""
        return [self.origin, self.key, self.size]

    @classmethod
    def of(cls, value: Value) -> "LogAnchor":
        """Read the CBOR value, or raise `MalformedEnvelope`."""
        origin, key, size = as_tuple(value, 3)
        return cls(as_text(origin, least=1, most=200), as_bytes(key, size=limits.ED25519_PUBLIC), as_int(size))


@dataclass(frozen=True, slots=True)
class EnrolmentTerms:
    """For whom a code is: the agency, its kind, its desks with functions, until when (ms UTC)."""

    agency: AgencyAddress
    agency_kind: str
    desks: tuple[tuple[str, str], ...]
    expires: int

    def value(self) -> Value:
        """Return the CBOR value."""
        desks: list[Value] = [[desk, function] for desk, function in self.desks]
        return [self.agency, self.agency_kind, desks, self.expires]

    @classmethod
    def of(cls, value: Value) -> "EnrolmentTerms":
        """Read the CBOR value, or raise `MalformedEnvelope`."""
        address, kind, desks, expires = as_tuple(value, 4)
        agency = as_agency(address)
        return cls(
            agency,
            as_text(kind, least=1, most=limits.MAX_CODE),
            desk_functions(desks, agency),
            as_int(expires),
        )


@dataclass(frozen=True, slots=True)
class EnrolmentCode:
    """The code itself (ENR-1): a 128-bit secret and all that a newcomer pins before it speaks to the hub."""

    secret: bytes = field(repr=False)
    root_fingerprint: bytes
    hub_url: str
    directory: LogAnchor
    audit: LogAnchor
    terms: EnrolmentTerms
    name: str

    @property
    def code_id(self) -> CodeId:
        """What the hub knows the code by (ENR-2)."""
        return code_id(self.secret)

    @property
    def proof(self) -> bytes:
        """What its holder reveals to redeem it, 32 bytes (ENR-6)."""
        return code_proof(self.secret)

    def text(self) -> str:
        """Return the code as text: a prefix and base32 with a checksum."""
        data = cbor.encode(
            {
                0: self.secret,
                1: self.root_fingerprint,
                2: self.hub_url,
                3: self.directory.value(),
                4: self.audit.value(),
                5: self.terms.value(),
                6: self.name,
            }
        )
        return CODE_PREFIX + base64.b32encode(data + sha256(data)[:_CHECKSUM]).decode().rstrip("=")


def code_id(secret: bytes) -> CodeId:
    """Return the id of a code with this 16-byte secret (ENR-2)."""
    return CodeId(sha256(labels.CODE_ID + secret)[:ID_SIZE])


def code_proof(secret: bytes) -> bytes:
    """Return what proves at redemption, and only then, that one holds the code with this secret (ENR-6)."""
    return sha256(labels.CODE_PROOF + secret)


def code_verifier(proof: bytes) -> bytes:
    """Return what a hub knows of a code's proof before it is redeemed, 32 bytes (ENR-6)."""
    return sha256(labels.CODE_VERIFIER + proof)


def parse_code(text: str) -> EnrolmentCode:
    """Read a code; `EnrolmentRefused` when it is damaged, and nothing was sent anywhere (ENR-1)."""
    compact = "".join(text.split())
    damaged = EnrolmentRefused("The enrolment code is damaged. Copy it again, whole, or ask for a new one.")
    if not compact.startswith(CODE_PREFIX) or len(compact) > _MAX_CODE_TEXT:
        raise damaged
    body = compact.removeprefix(CODE_PREFIX)
    try:
        data = base64.b32decode(body + "=" * (-len(body) % 8))
    except ValueError:
        raise damaged from None
    data, checksum = data[:-_CHECKSUM], data[-_CHECKSUM:]
    if sha256(data)[:_CHECKSUM] != checksum:
        raise damaged
    try:
        fields = as_map(cbor.decode(data, limit=_MAX_CODE_TEXT), 7)
        return EnrolmentCode(
            secret=as_bytes(fields[0], size=16),
            root_fingerprint=as_bytes(fields[1], size=limits.HASH),
            hub_url=as_text(fields[2], least=1, most=limits.MAX_NAME),
            directory=LogAnchor.of(fields[3]),
            audit=LogAnchor.of(fields[4]),
            terms=EnrolmentTerms.of(fields[5]),
            name=as_text(fields[6], least=1, most=limits.MAX_NAME),
        )
    except MalformedEnvelope:
        raise damaged from None


@dataclass(frozen=True, slots=True)
class CodeRegistration:
    """How the authority tells the hub of a code without its secret (ENR-2); `verifier` is 32 bytes (ENR-6)."""

    code_id: CodeId
    terms: EnrolmentTerms
    verifier: bytes

    @classmethod
    def of(cls, code: EnrolmentCode) -> "CodeRegistration":
        """Return the registration of `code`."""
        return cls(code.code_id, code.terms, code_verifier(code.proof))

    def encode(self) -> bytes:
        """Return the strict encoding of what an approver signs."""
        return cbor.encode([self.code_id, self.terms.value(), self.verifier])

    @classmethod
    def parse(cls, data: bytes) -> "CodeRegistration":
        """Read a registration, or raise `MalformedEnvelope`."""
        code, terms, verifier = as_tuple(cbor.decode(data, limit=_MAX_CODE_TEXT), 3)
        return cls(
            CodeId(as_bytes(code, size=ID_SIZE)),
            EnrolmentTerms.of(terms),
            as_bytes(verifier, size=limits.HASH),
        )


def encode_registration(body: bytes, signature: StatementSignature) -> bytes:
    """Return a registration with one approver's signatures."""
    return cbor.encode([body, [signature.signer, signature.ed25519, signature.mldsa65]])


def parse_registration(raw: bytes) -> tuple[bytes, CodeRegistration, StatementSignature]:
    """Read a signed registration into what was signed, what it says and by whom, or raise `MalformedEnvelope`."""
    body_item, signature = as_tuple(cbor.decode(raw, limit=16_384), 2)
    signer, ed25519, mldsa65 = as_tuple(signature, 3)
    body = as_bytes(body_item)
    pair = as_signatures([ed25519, mldsa65])
    return (
        body,
        CodeRegistration.parse(body),
        StatementSignature(KeyId(as_bytes(signer, size=KEY_ID_SIZE)), *pair),
    )


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """A newcomer's public keys with a proof of possession of each (ENR-3)."""

    code_id: CodeId
    agency: AgencyAddress
    identity: IdentityKey
    device: DeviceKey
    identity_proof: tuple[bytes, bytes] = field(repr=False)
    device_proof: tuple[bytes, bytes] = field(repr=False)
    desks: tuple[str, ...]

    def encode(self) -> bytes:
        """Return the strict encoding, which the MAC and the words cover."""
        return cbor.encode(
            {
                0: self.code_id,
                1: self.agency,
                2: self.identity.value(),
                3: self.device.value(),
                4: list(self.identity_proof),
                5: list(self.device_proof),
                6: list(self.desks),
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "KeyRequest":
        """Read a key request, or raise `MalformedEnvelope`."""
        fields = as_map(cbor.decode(data, limit=limits.MAX_KEY_REQUEST), 7)
        return cls(
            code_id=CodeId(as_bytes(fields[0], size=ID_SIZE)),
            agency=as_agency(fields[1]),
            identity=IdentityKey.of(fields[2]),
            device=DeviceKey.of(fields[3]),
            identity_proof=as_signatures(fields[4]),
            device_proof=as_signatures(fields[5]),
            desks=tuple(as_text(item, least=1, most=40) for item in as_list(fields[6], least=1, most=64)),
        )


def request_mac(secret: bytes, request: bytes) -> bytes:
    """Return HMAC-SHA-256 of a key request under a code's secret, 32 bytes (ENR-3)."""
    return hmac.digest(secret, labels.KEY_REQUEST + request, "sha256")


def words_input(request: bytes) -> bytes:
    """Return the 32 bytes whose first 88 bits are the words to compare by voice (ENR-4)."""
    return sha256(labels.WORDS + request)
