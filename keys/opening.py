# SPDX-License-Identifier: Apache-2.0
"""Opening: the one way from a slice's bytes to a message that may be believed, all or nothing (ENV-16).

The order of the checks is the rule's. Nothing is returned, written or logged before the last of them; whatever
fails in the cryptography of the content says `CannotOpen` and nothing else, so that a sender who experiments
learns nothing (ENV-20). Only connectors may import this module.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cryptography.cobblestone import Cobblestone256Decryptor
from cryptography.exceptions import InvalidTag

from keys.directory import Directory
from keys.verifying import verify_digest, verify_hybrid, verify_receipt
from keys.xwing import HPKE_SUITE, XWingSecret
from protocol import labels, limits
from protocol.address import AgencyAddress, DeskAddress, agency_of
from protocol.errors import (
    BadSignature,
    CannotOpen,
    DirectoryDisputed,
    DirectorySplit,
    DirectoryStale,
    Expired,
    MalformedEnvelope,
    NotARecipient,
    Replayed,
    Revoked,
    SenderMismatch,
    UntrustedKey,
)
from protocol.ids import EnvelopeId, KeyId, MessageId, ThreadId
from protocol.padding import unpad
from protocol.receipts import Detail, ReceiptBody, ReceiptKind
from protocol.rows import Box, EnvelopeClass, section_context, sha256, wrap_info
from protocol.sections import Actor, Attachment, Claims, ContentSection, SectionZero
from protocol.slices import UnverifiedSlice, parse_slice

_KEY_SIZE = 32


@dataclass(frozen=True, slots=True)
class VerifiedSection:
    """One opened section: its head and its body."""

    category: str
    purpose: str
    label: str
    body: bytes = field(repr=False)
    attachments: tuple[Attachment, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class VerifiedMessage:
    """A message whose every check has passed (ENV-18); times in ms UTC. Only `open_slice` makes one.

    `directory` is the size and root in force at acceptance; `revoked_since` marks a message whose sender, or an
    authority over it, has been revoked after that, or replaced by what did not count at acceptance (ENV-17).
    """

    envelope_id: EnvelopeId
    digest: bytes
    message_id: MessageId
    thread: ThreadId
    after: tuple[MessageId, ...]
    klass: EnvelopeClass
    sender_desk: DeskAddress
    sender_agency: AgencyAddress
    recipient_desk: DeskAddress
    device_id: KeyId
    actor: Actor
    created: int
    expires: int
    accepted_at: int
    leaf_index: int
    payload_type: str
    payload_version: int
    payload: bytes = field(repr=False)
    sections: Mapping[int, VerifiedSection] = field(repr=False)
    box: Box
    label: str
    participants: tuple[DeskAddress, ...]
    directory: tuple[int, bytes]
    revoked_since: bool
    answers: EnvelopeId | None
    due: int | None


@dataclass(frozen=True, slots=True)
class Peeked:
    """What a slice says of itself, unverified: for a report that it could not be opened (HTTP-10)."""

    envelope_id: EnvelopeId
    digest: bytes
    klass: EnvelopeClass
    sender_desk: DeskAddress
    recipient_desk: DeskAddress
    created: int
    expires: int


def peek(raw_slice: bytes) -> Peeked:
    """Return what `raw_slice` says of itself; `MalformedEnvelope` or `UnsupportedSuite` if it cannot be read at all."""
    unverified = parse_slice(raw_slice)
    common = unverified.common
    return Peeked(
        envelope_id=common.envelope_id,
        digest=unverified.digest,
        klass=common.klass,
        sender_desk=common.sender_desk,
        recipient_desk=unverified.row.desk,
        created=common.created,
        expires=common.expires,
    )


def open_slice(
    raw_slice: bytes,
    *,
    own_device: bytes,
    prekey: Callable[[int], XWingSecret | None],
    directory: Directory,
    audit_origin: str,
    audit_key: bytes,
    seen: Callable[[bytes], bool],
) -> VerifiedMessage:
    """Verify and open a slice for the device `own_device`.

    `prekey` gives the secret of an epoch, or None once it was destroyed; `seen` tells whether an envelope id was
    received before; `audit_origin` and `audit_key` are the pinned hub's. Raises, in the order of ENV-16:
    `MalformedEnvelope`, `UnsupportedSuite`, `BadSignature` or `Expired` for the acceptance receipt, `DirectoryStale`
    when `directory` must be brought up to date first, `DirectorySplit`, `Replayed`, `NotARecipient`, `CannotOpen`,
    `UntrustedKey`, `BadSignature`, `Revoked`, `SenderMismatch`, `DirectoryDisputed`, `MalformedEnvelope`.
    """
    unverified = parse_slice(raw_slice)
    receipt = _check_receipt(unverified, audit_origin, audit_key, directory)
    detail = receipt.detail
    _check_directory(detail, directory)
    if seen(unverified.common.envelope_id):
        raise Replayed
    _check_row(unverified, own_device, directory)
    box_bytes, plaintexts = _decrypt(unverified, prekey)
    zero = SectionZero.parse(plaintexts[0])
    claims = Claims.parse(zero.claims)
    _check_signatures(unverified, zero, claims, directory)
    _check_chain(unverified, claims, receipt, directory)
    _check_claims(unverified, zero, claims, receipt, directory)
    box = _check_box(unverified, box_bytes)
    sections = {number: ContentSection.parse(plain) for number, plain in plaintexts.items() if number}
    _check_blobs(unverified, sections)
    common = unverified.common
    return VerifiedMessage(
        envelope_id=common.envelope_id,
        digest=unverified.digest,
        message_id=claims.message_id,
        thread=claims.thread,
        after=claims.after,
        klass=common.klass,
        sender_desk=common.sender_desk,
        sender_agency=claims.agency,
        recipient_desk=unverified.row.desk,
        device_id=common.device_id,
        actor=claims.actor,
        created=common.created,
        expires=common.expires,
        accepted_at=receipt.leaf.at,
        leaf_index=receipt.place,
        payload_type=claims.payload_type,
        payload_version=claims.payload_version,
        payload=zero.payload,
        sections={number: _verified(section) for number, section in sections.items()},
        box=box,
        label=claims.label,
        participants=claims.participants,
        directory=(detail.directory_size, detail.directory_root),
        revoked_since=_revoked_since(claims, receipt, directory),
        answers=unverified.row.answers,
        due=unverified.row.due,
    )


def _verified(section: ContentSection) -> VerifiedSection:
    return VerifiedSection(
        category=section.category,
        purpose=section.purpose,
        label=section.label,
        body=section.body,
        attachments=section.attachments,
    )


def _check_receipt(unverified: UnverifiedSlice, origin: str, key: bytes, directory: Directory) -> ReceiptBody:
    """AUD-6: the pinned hub accepted exactly this envelope, at a time within the envelope's own."""
    receipt = verify_receipt(unverified.receipt, origin, key, directory.audit_starts)
    detail, common = receipt.detail, unverified.common
    of_this = (detail.envelope_id, detail.digest, detail.sender_desk) == (
        common.envelope_id,
        unverified.digest,
        common.sender_desk,
    )
    if receipt.kind is not ReceiptKind.ACCEPTED or not of_this:
        raise BadSignature("The acceptance receipt is not of this envelope.")
    if not common.created - limits.CLOCK_SKEW <= receipt.leaf.at < common.expires:
        raise Expired
    return receipt


def _check_directory(detail: Detail, directory: Directory) -> None:
    """The directory in force at acceptance must be part of ours, or nothing can be judged by it (ENV-17)."""
    root = directory.root_at(detail.directory_size)
    if root is None:
        raise DirectoryStale("The envelope was accepted under a newer directory. Fetch the directory, then open it.")
    if root != detail.directory_root:
        raise DirectorySplit


def _check_row(unverified: UnverifiedSlice, own_device: bytes, directory: Directory) -> None:
    row = unverified.row
    if row.device_id != own_device or not directory.ever_served(own_device, row.desk):
        raise NotARecipient


def _decrypt(
    unverified: UnverifiedSlice, prekey: Callable[[int], XWingSecret | None]
) -> tuple[bytes, dict[int, bytes]]:
    """Return the box and the plaintexts of all own sections, or `CannotOpen` for whatever is wrong (ENV-20)."""
    row, header = unverified.row, unverified.header_hash
    secret = prekey(row.prekey_epoch)
    if secret is None:
        raise CannotOpen
    try:
        wrapped = HPKE_SUITE.decrypt(unverified.wrap, secret.private(), wrap_info(header, row.device_id))
        keys = {
            number: wrapped[place * _KEY_SIZE : (place + 1) * _KEY_SIZE] for place, number in enumerate(row.numbers)
        }
        plaintexts = {
            number: unpad(_uncobble(keys[number], header, number, unverified.sections[number]))
            for number in row.numbers
        }
    except (InvalidTag, ValueError):
        # Neither the cause nor the context: what failed, and where, is nobody's business.
        raise CannotOpen from None
    return wrapped[len(row.numbers) * _KEY_SIZE :], plaintexts


def _uncobble(key: bytes, header: bytes, number: int, ciphertext: bytes) -> bytes:
    """Decrypt a section to its end; `update` gives chunks away before the last check, this does not."""
    decryptor = Cobblestone256Decryptor(key, section_context(header, number))
    early = decryptor.update(ciphertext)
    return early + decryptor.finalize()


def _check_signatures(unverified: UnverifiedSlice, zero: SectionZero, claims: Claims, directory: Directory) -> None:
    """Three signatures: the claims' two by the device they name, the envelope's by the device it names.

    That the two devices are one is checked with the claims; so a re-sealed inner part of another sender is told
    as what it is (ENV-8, ENV-11).
    """
    signer = directory.device(claims.device_id)
    sender = directory.device(unverified.common.device_id)
    if signer is None or sender is None:
        raise UntrustedKey
    verify_hybrid(signer.key, labels.CLAIMS, zero.claims, zero.ed25519, zero.mldsa65)
    verify_digest(sender.key, unverified.digest, unverified.sender_sig)


def _check_chain(unverified: UnverifiedSlice, claims: Claims, receipt: ReceiptBody, directory: Directory) -> None:
    """Device and delegation were in force, for this desk, when the hub accepted the envelope (ENV-14, ENV-17)."""
    at, size = receipt.leaf.at, receipt.detail.directory_size
    desk = unverified.common.sender_desk
    device = directory.device_in_force(unverified.common.device_id, at=at, size=size)
    if desk not in device.desks or agency_of(desk) != device.agency:
        raise SenderMismatch
    # What device and delegation once got from the agency does not outlive the agency's own list of desks.
    directory.check_desk(desk, at=at, size=size)
    if not directory.serves(device.key_id, desk, size=size):
        raise UntrustedKey("Another device served the sender's desk when the envelope was accepted.")
    delegation = directory.delegation(claims.actor.delegation, at=at, size=size)
    actor = (delegation.agency, delegation.officer, delegation.actor_kind)
    if actor != (device.agency, claims.actor.officer, claims.actor.kind) or desk not in delegation.desks:
        raise SenderMismatch("The actor's delegation is not one of this agency's for this desk.")
    if claims.actor.name != delegation.title:
        raise SenderMismatch("The actor calls himself otherwise than his delegation does.")


def _check_claims(
    unverified: UnverifiedSlice, zero: SectionZero, claims: Claims, receipt: ReceiptBody, directory: Directory
) -> None:
    """ENV-13: what is signed inside agrees with what carried it."""
    common = unverified.common
    if (
        claims.header_hash != unverified.header_hash
        or claims.device_id != common.device_id
        or claims.agency != agency_of(common.sender_desk)
        or claims.created != common.created
        or claims.payload_hash != sha256(zero.payload)
        or claims.section_hashes != unverified.section_hashes[1:]
    ):
        raise SenderMismatch
    if receipt.leaf.at >= claims.not_after:
        raise Expired
    size, root = claims.directory
    if size > receipt.detail.directory_size or directory.root_at(size) != root:
        # The sender says so, not the hub: it may have been shown another log, or it may lie.
        if _may_be_lost(claims, directory):
            raise SenderMismatch("The sender relied on statements that the hub had lost when it was restored.")
        raise DirectoryDisputed


def _may_be_lost(claims: Claims, directory: Directory) -> bool:
    """Tell whether a sender may have relied on what a restored hub has lost, not having heard of the restore (GEN-4).

    By a directory that is not confirmed for 72 hours nobody seals (DIR-11).
    """
    size, _ = claims.directory
    return any(
        size > one.kept and claims.created < one.issued + limits.DIRECTORY_REFUSED for one in directory.restorations
    )


def _check_box(unverified: UnverifiedSlice, box: bytes) -> Box:
    if sha256(box) != unverified.row.box_hash:
        raise SenderMismatch("The message's place in its thread is not the one that the header commits to.")
    return Box.parse(box)


def _check_blobs(unverified: UnverifiedSlice, sections: Mapping[int, ContentSection]) -> None:
    """ATT-1: the row lists exactly the attachments of its sections, each once."""
    listed = [(entry.blob_id, entry.ciphertext_size) for one in sections.values() for entry in one.attachments]
    if sorted(listed) != sorted(unverified.row.blobs):
        raise MalformedEnvelope("The attachments of the sections and of the row differ.")


def _revoked_since(claims: Claims, receipt: ReceiptBody, directory: Directory) -> bool:
    at = receipt.leaf.at
    try:
        directory.device_in_force(claims.device_id, at=at, size=directory.size)
        directory.delegation(claims.actor.delegation, at=at, size=directory.size)
    except (Revoked, UntrustedKey):
        # Replaced since by what did not count at acceptance: that takes back no more than a revocation.
        return True
    return False
