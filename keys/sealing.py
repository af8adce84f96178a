# SPDX-License-Identifier: Apache-2.0
"""Sealing: one message becomes one envelope for all its recipients, each of whom can open only its sections.

All checks come first: a recipient's key that cannot be trusted stops everything before a byte is encrypted, and an
envelope comes out whole or not at all (ID-4, DIR-8). Each sealing draws fresh section keys, salts and blinds from
the system's source of chance (ENV-10); sealing a message again is calling `seal` again with another envelope id.
"""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

from cryptography.cobblestone import Cobblestone256Encryptor
from cryptography.hazmat.primitives import hpke

from keys.directory import DeviceEntry, Directory, PrekeyEntry
from keys.signing import DeviceSigner
from keys.xwing import HPKE_SUITE, public_key
from protocol import labels, limits
from protocol.address import AgencyAddress, DeskAddress, agency_of
from protocol.envelope import encode_envelope
from protocol.errors import Expired, InvalidInput, RecipientUnavailable, UntrustedKey
from protocol.ids import EnvelopeId, KeyId, MessageId, ThreadId
from protocol.padding import ciphertext_size, pad, padded_size
from protocol.rows import (
    Box,
    Common,
    EnvelopeClass,
    Row,
    RowSection,
    envelope_digest,
    header_hash,
    section_context,
    sha256,
    wrap_info,
)
from protocol.sections import Actor, Attachment, Claims, ContentSection, SectionZero

_SALT_SIZE = 16
_KEY_SIZE = 32


@dataclass(frozen=True, slots=True)
class SectionDraft:
    """Content of one category for one purpose; its number is its place in the draft, counted from 1."""

    category: str
    purpose: str
    label: str
    body: bytes = field(repr=False)
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class MessageDraft:
    """A message before sealing; `expires` in ms UTC, `payload` at most 8,191 bytes with its claims (ENV-12)."""

    sender_desk: DeskAddress
    agency: AgencyAddress
    klass: EnvelopeClass
    message_id: MessageId
    thread: ThreadId
    after: tuple[MessageId, ...]
    expires: int
    payload_type: str
    payload_version: int
    payload: bytes = field(repr=False)
    label: str
    sections: tuple[SectionDraft, ...]
    actor: Actor
    participants: tuple[DeskAddress, ...] = ()


@dataclass(frozen=True, slots=True)
class Recipient:
    """One recipient device: the key to seal to, its sections (numbers >= 1) and its place in the thread (SEQ-1)."""

    desk: DeskAddress
    device_id: KeyId
    prekey_epoch: int
    prekey_public: bytes = field(repr=False)
    sections: tuple[int, ...]
    seq: int
    previous: MessageId | None
    due: int | None = None
    answers: EnvelopeId | None = None


@dataclass(frozen=True, slots=True)
class PrekeyChoice:
    """Whom and what to seal to for a desk; `marked` when the prekey is over 14 days old (DIR-8)."""

    device: DeviceEntry
    prekey: PrekeyEntry
    marked: bool


def choose_prekey(directory: Directory, desk: DeskAddress, now: int) -> PrekeyChoice:
    """Return the device that serves `desk` and its newest prekey, from the sender's own replay (DIR-8, DIR-12).

    Raises `RecipientUnavailable` if there is no such desk, device or prekey, and `UntrustedKey` if the newest prekey
    is over 60 days old.
    """
    entry = directory.desk(desk, now)
    device = entry.device if entry else None
    prekey = directory.newest_prekey(device.key_id) if device else None
    if device is None or prekey is None:
        raise RecipientUnavailable
    age = now - prekey.issued
    if age > limits.PREKEY_REFUSED:
        raise UntrustedKey(
            "The desk's newest prekey is over 60 days old. Ask that agency to bring its connector online."
        )
    return PrekeyChoice(device, prekey, marked=age > limits.PREKEY_MARKED)


def seal(
    draft: MessageDraft,
    recipients: Sequence[Recipient],
    device: DeviceSigner,
    directory: tuple[int, bytes],
    *,
    now: int,
    envelope_id: EnvelopeId,
) -> bytes:
    """Return the envelope of `draft` for `recipients`, created at `now` (ms UTC), signed by `device`.

    `directory` is the size and root of the sender's replay, which the claims name. Raises `InvalidInput` for a draft
    that no envelope can carry, `Expired` for times out of bounds, `UntrustedKey` for a recipient's key (ID-4) and
    `MalformedEnvelope` when section 0 or the whole would be too large (ENV-2, ENV-12).
    """
    _check(draft, recipients, now)
    publics = [public_key(recipient.prekey_public) for recipient in recipients]
    contents = [_content(section) for section in draft.sections]
    padded = [pad(content.encode()) for content in contents]
    claims = _claims(draft, device.key_id, directory, now)
    common = Common(
        envelope_id=envelope_id,
        created=now,
        expires=draft.expires,
        sender_desk=draft.sender_desk,
        device_id=device.key_id,
        klass=draft.klass,
        section_lengths=(
            ciphertext_size(padded_size(_section_zero_size(claims, draft.payload))),
            *(ciphertext_size(len(plaintext)) for plaintext in padded),
        ),
    ).encode()
    boxes = [
        Box(one.seq, one.previous, blind).encode() for one, blind in zip(recipients, _chance(recipients), strict=True)
    ]
    rows = _rows(recipients, contents, boxes)
    header = header_hash(common, [sha256(row) for row in rows])

    keys = [secrets.token_bytes(_KEY_SIZE) for _ in range(len(padded) + 1)]
    sealed = [
        _encrypt(key, header, number, plaintext)
        for number, (key, plaintext) in enumerate(zip(keys[1:], padded, strict=True), start=1)
    ]
    hashes = [sha256(ciphertext) for ciphertext in sealed]
    zero = _section_zero(_claims(draft, device.key_id, directory, now, header, hashes), draft.payload, device)
    sealed.insert(0, _encrypt(keys[0], header, 0, pad(zero)))
    hashes.insert(0, sha256(sealed[0]))

    wraps = [_wrap(public, keys, one, box, header) for public, one, box in zip(publics, recipients, boxes, strict=True)]
    wraps_hash = sha256(b"".join(sha256(wrap) for wrap in wraps))
    signature = device.sign_digest(envelope_digest(header, wraps_hash, hashes))
    return encode_envelope(common, rows, wraps, sealed, signature)


def _check(draft: MessageDraft, recipients: Sequence[Recipient], now: int) -> None:
    if not now < draft.expires <= now + limits.MAX_LIFE:
        raise Expired
    if agency_of(draft.sender_desk) != draft.agency:
        raise InvalidInput("The sender desk is not one of the sending agency's.")
    if not 1 <= len(recipients) <= limits.MAX_ROWS:
        raise InvalidInput("A message has 1 to 1,000 recipients.")
    if len({one.device_id for one in recipients}) != len(recipients):
        raise InvalidInput("A device stands twice among the recipients.")
    numbers = set(range(1, len(draft.sections) + 1))
    if len(numbers) >= limits.MAX_SECTIONS:
        raise InvalidInput("A message has at most 31 sections besides its machine state.")
    if numbers and draft.klass.bare:
        raise InvalidInput("Receipts and notices have no sections.")
    for one in recipients:
        if list(one.sections) != sorted(set(one.sections)) or not set(one.sections) <= numbers:
            raise InvalidInput("A recipient's sections must exist, once each, in ascending order.")
    if numbers != {number for one in recipients for number in one.sections}:
        raise InvalidInput("A section is meant for no recipient.")


def _content(section: SectionDraft) -> ContentSection:
    return ContentSection(
        category=section.category,
        purpose=section.purpose,
        label=section.label,
        body=section.body,
        attachments=section.attachments,
    )


def _chance(recipients: Sequence[Recipient]) -> Iterator[bytes]:
    """Give 16 random bytes for each recipient, from one call to the system for all of them."""
    drawn = secrets.token_bytes(_SALT_SIZE * len(recipients))
    return (drawn[start : start + _SALT_SIZE] for start in range(0, len(drawn), _SALT_SIZE))


def _rows(recipients: Sequence[Recipient], contents: Sequence[ContentSection], boxes: Sequence[bytes]) -> list[bytes]:
    @cache
    def parts(numbers: tuple[int, ...]) -> tuple[tuple[RowSection, ...], tuple[tuple[bytes, int], ...]]:
        attachments = [entry for number in numbers for entry in contents[number - 1].attachments]
        blobs = tuple((entry.blob_id, entry.ciphertext_size) for entry in attachments)
        return tuple(RowSection(number) for number in (0, *numbers)), blobs

    rows = []
    for recipient, box, salt in zip(recipients, boxes, _chance(recipients), strict=True):
        sections, blobs = parts(recipient.sections)
        row = Row(
            salt=salt,
            desk=recipient.desk,
            device_id=recipient.device_id,
            prekey_epoch=recipient.prekey_epoch,
            sections=sections,
            box_hash=sha256(box),
            blobs=blobs,
            due=recipient.due,
            answers=recipient.answers,
        )
        rows.append(row.encode())
    return rows


def _claims(
    draft: MessageDraft,
    device_id: KeyId,
    directory: tuple[int, bytes],
    now: int,
    header: bytes = bytes(limits.HASH),
    section_hashes: Sequence[bytes] | None = None,
) -> bytes:
    """Return the claims; without header and hashes, stand-ins of the same size, to know the size beforehand."""
    hashes = [bytes(limits.HASH)] * len(draft.sections) if section_hashes is None else section_hashes
    return Claims(
        header_hash=header,
        device_id=device_id,
        agency=draft.agency,
        actor=draft.actor,
        message_id=draft.message_id,
        thread=draft.thread,
        after=draft.after,
        created=now,
        not_after=draft.expires,
        payload_type=draft.payload_type,
        payload_version=draft.payload_version,
        payload_hash=sha256(draft.payload),
        section_hashes=tuple(hashes),
        label=draft.label,
        directory=directory,
        participants=draft.participants,
    ).encode()


def _section_zero_size(claims: bytes, payload: bytes) -> int:
    unsigned = SectionZero(claims, bytes(limits.ED25519_SIGNATURE), bytes(limits.MLDSA65_SIGNATURE), payload)
    return len(unsigned.encode())


def _section_zero(claims: bytes, payload: bytes, device: DeviceSigner) -> bytes:
    return SectionZero(claims, *device.sign_hybrid(labels.CLAIMS, claims), payload).encode()


def _encrypt(key: bytes, header: bytes, number: int, padded: bytes) -> bytes:
    encryptor = Cobblestone256Encryptor(key, section_context(header, number))
    return encryptor.update(padded) + encryptor.finalize()


def _wrap(
    public: hpke.MLKEM768X25519PublicKey, keys: Sequence[bytes], recipient: Recipient, box: bytes, header: bytes
) -> bytes:
    own = b"".join(keys[number] for number in (0, *recipient.sections))
    return HPKE_SUITE.encrypt(own + box, public, wrap_info(header, recipient.device_id))
