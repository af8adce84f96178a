# SPDX-License-Identifier: Apache-2.0
"""Opening: what an honest slice gives, in which order the checks stand, and what the receipt decides."""

import dataclasses
from collections.abc import Sequence
from dataclasses import replace

import pytest

from keys.opening import Peeked, VerifiedMessage, open_slice, peek
from keys.xwing import XWingSecret
from protocol.envelope import UnverifiedEnvelope, parse_envelope
from protocol.errors import (
    BadSignature,
    CannotOpen,
    MalformedEnvelope,
    NotARecipient,
    Replayed,
    Revoked,
    ThroughcareError,
)
from protocol.ids import MessageId
from protocol.rows import EnvelopeClass, Row
from protocol.sections import Attachment, Claims, ContentSection
from protocol.slices import UnverifiedSlice, parse_slice
from tests.keys.drafts import draft, recipient, seal_for, two_recipients
from tests.keys.forger import ENVELOPE, MESSAGE, THREAD, Forger, To, content
from tests.keys.hubside import deliver, encode_parts, open_as, tamper
from tests.keys.world import (
    AUDIT_KEY,
    AUDIT_ORIGIN,
    DAY,
    NOW,
    Cast,
    seed,
)


@pytest.fixture(scope="module")
def sealed(shared_cast: Cast) -> bytes:
    return two_recipients(shared_cast)


def test_env_16_each_recipient_opens_its_own_sections(shared_cast: Cast, sealed: bytes) -> None:
    cast = shared_cast
    for position, (one, bodies) in enumerate(
        [(cast.probation, {1: b"identity", 2: b"risk"}), (cast.social_work, {1: b"identity"})]
    ):
        message = open_as(one, cast.world, deliver(sealed, position, cast.world))
        assert {number: section.body for number, section in message.sections.items()} == bodies
        assert message.recipient_desk == one.desk
        assert message.payload == b'{"kind":"handover.offer"}'


def test_env_18_a_verified_message_says_who_when_and_where(shared_cast: Cast, sealed: bytes) -> None:
    cast = shared_cast
    message = open_as(cast.probation, cast.world, deliver(sealed, 0, cast.world))
    assert isinstance(message, VerifiedMessage)
    assert message.envelope_id == ENVELOPE
    assert message.digest == parse_envelope(sealed).digest
    assert (message.message_id, message.thread, message.after) == (MESSAGE, THREAD, ())
    assert message.klass is EnvelopeClass.REFERRAL
    assert (message.sender_desk, message.sender_agency) == (cast.prison.desk, cast.prison.address)
    assert message.device_id == cast.prison.device.key_id
    assert message.actor == cast.prison.actor
    assert (message.created, message.expires, message.accepted_at) == (NOW, NOW + 30 * DAY, NOW + 1_000)
    assert message.leaf_index == 0
    assert (message.payload_type, message.payload_version) == ("handover.offer", 1)
    assert (message.box.seq, message.box.previous) == (1, None)
    assert (message.label, message.participants) == ("standard", ())
    assert message.directory == (cast.world.directory.size, cast.world.directory.root)
    assert (message.revoked_since, message.answers, message.due) == (False, None, NOW + DAY)
    section = message.sections[2]
    assert (section.category, section.purpose, section.label) == ("category-1", "supervision", "restricted")


def test_env_18_unverified_and_verified_are_different_types() -> None:
    verified = {one.name for one in dataclasses.fields(VerifiedMessage)}
    for unverified in (UnverifiedEnvelope, UnverifiedSlice, Peeked):
        assert not issubclass(unverified, VerifiedMessage)
        assert "payload" in verified - {one.name for one in dataclasses.fields(unverified)}


def test_env_16_an_envelope_made_from_the_text_alone_opens(shared_cast: Cast) -> None:
    """The second implementation (tests.keys.forger) and the first understand each other."""
    cast = shared_cast
    forger = Forger(
        cast.world,
        cast.prison,
        [To(cast.social_work), To(cast.probation, (1, 2))],
        [content("identity", b"one"), content("risk-summary", bytes(20_000))],
    )
    envelope = forger.build()
    assert open_as(cast.social_work, cast.world, deliver(envelope, 0, cast.world)).sections == {}
    opened = open_as(cast.probation, cast.world, deliver(envelope, 1, cast.world))
    assert [opened.sections[number].body for number in (1, 2)] == [b"one", bytes(20_000)]


def test_seq_1_the_box_travels_inside_the_wrap(shared_cast: Cast) -> None:
    cast = shared_cast
    previous = MessageId(seed("previous")[:16])
    to = [recipient(cast.world, cast.probation, seq=7, previous=previous)]
    envelope = seal_for(cast.world, cast.prison, draft(cast.prison, klass=EnvelopeClass.CHAT), to)
    assert bytes(previous) not in envelope
    message = open_as(cast.probation, cast.world, deliver(envelope, 0, cast.world))
    assert (message.box.seq, message.box.previous) == (7, previous)


# Replay, recipients, prekeys


def test_env_19_an_envelope_seen_before_is_replayed(shared_cast: Cast, sealed: bytes) -> None:
    """Attack 37, this package's part: it asks before it opens anything."""
    cast = shared_cast
    asked: list[bytes] = []

    def seen(envelope_id: bytes) -> bool:
        asked.append(envelope_id)
        return len(asked) > 1

    raw = deliver(sealed, 0, cast.world)
    open_as(cast.probation, cast.world, raw, seen=seen)
    with pytest.raises(Replayed):
        open_as(cast.probation, cast.world, raw, seen=seen)
    assert asked == [ENVELOPE, ENVELOPE]


def test_env_15_anothers_slice_is_not_for_this_device(shared_cast: Cast, sealed: bytes) -> None:
    cast = shared_cast
    with pytest.raises(NotARecipient):
        open_as(cast.social_work, cast.world, deliver(sealed, 0, cast.world))
    with pytest.raises(NotARecipient):
        open_as(cast.prison, cast.world, deliver(sealed, 1, cast.world))


def test_env_16_a_row_for_a_desk_that_this_device_never_served_is_not_for_it(shared_cast: Cast) -> None:
    class WrongDesk(Forger):
        def row(self, position: int) -> Row:
            return replace(super().row(position), desk=shared_cast.social_work.desk)

    cast = shared_cast
    envelope = WrongDesk(cast.world, cast.prison, [To(cast.probation)]).build()
    with pytest.raises(NotARecipient):
        open_as(cast.probation, cast.world, deliver(envelope, 0, cast.world))


def test_dir_9_what_was_sealed_to_a_destroyed_prekey_cannot_be_opened(shared_cast: Cast, sealed: bytes) -> None:
    """Attack 42."""
    cast = shared_cast
    arguments = {
        "own_device": cast.probation.device.key_id,
        "directory": cast.world.directory,
        "audit_origin": AUDIT_ORIGIN,
        "audit_key": AUDIT_KEY.public,
        "seen": lambda _: False,
    }
    raw = deliver(sealed, 0, cast.world)
    for prekey in (lambda _: None, lambda _: XWingSecret(seed("another prekey"))):
        with pytest.raises(CannotOpen):
            open_slice(raw, prekey=prekey, **arguments)  # type: ignore[arg-type]


# Order


def test_env_16_the_checks_stand_in_the_order_of_the_rule(cast: Cast) -> None:
    """A slice in which everything is wrong is healed step by step: each time the next check speaks."""
    world = cast.world

    class AllWrong(Forger):
        def claims(self, header: bytes, hashes: Sequence[bytes]) -> Claims:
            return replace(super().claims(header, hashes), header_hash=bytes(32))

        def row(self, position: int) -> Row:
            return replace(super().row(position), box_hash=bytes(32))

    envelope = AllWrong(world, cast.prison, [To(cast.probation)]).build()
    good_slice = deliver(envelope, 0, world)
    world.revoke(cast.prison.device.key_id, cast.prison.identity)
    after_revocation = deliver(envelope, 0, world)
    parsed = parse_slice(after_revocation)
    bad_sections = {0: parsed.sections[0][:-1] + bytes([parsed.sections[0][-1] ^ 1])}
    other_receipt = parse_slice(deliver(two_recipients(cast), 0, world)).receipt

    steps: list[tuple[bytes, dict[str, object], type[ThroughcareError]]] = [
        (good_slice + b"\0", {}, MalformedEnvelope),
        (encode_parts(replace(parsed, receipt=other_receipt)), {"seen": lambda _: True}, BadSignature),
        (after_revocation, {"seen": lambda _: True, "own_device": bytes(32)}, Replayed),
        (after_revocation, {"own_device": bytes(32), "prekey": lambda _: None}, NotARecipient),
        (tamper(after_revocation, world, sections=bad_sections), {}, CannotOpen),
        (tamper(after_revocation, world, sender_sig=bytes(64)), {}, BadSignature),
        (after_revocation, {}, Revoked),
    ]
    for raw, changes, error in steps:
        arguments: dict[str, object] = {
            "own_device": cast.probation.device.key_id,
            "prekey": cast.probation.prekeys.get,
            "directory": world.directory,
            "audit_origin": AUDIT_ORIGIN,
            "audit_key": AUDIT_KEY.public,
            "seen": lambda _: False,
        }
        with pytest.raises(error) as caught:
            open_slice(raw, **{**arguments, **changes})  # type: ignore[arg-type]
        assert type(caught.value) is error


# Reports and manifests


def test_http_10_a_slice_that_cannot_be_opened_can_still_be_named(shared_cast: Cast, sealed: bytes) -> None:
    cast = shared_cast
    raw = deliver(sealed, 1, cast.world)
    peeked = peek(raw)
    assert (peeked.envelope_id, peeked.digest) == (ENVELOPE, parse_envelope(sealed).digest)
    assert (peeked.sender_desk, peeked.recipient_desk) == (cast.prison.desk, cast.social_work.desk)
    assert (peeked.klass, peeked.created, peeked.expires) == (EnvelopeClass.REFERRAL, NOW, NOW + 30 * DAY)
    with pytest.raises(MalformedEnvelope):
        peek(raw[:-1])


SCAN = Attachment(seed("blob")[:16], seed("blob key"), 1_000, seed("blob hash"), 900, "application/pdf", "scan.pdf")


def test_att_1_the_manifest_of_the_sections_is_that_of_the_row(shared_cast: Cast) -> None:
    cast = shared_cast
    message = draft(cast.prison, b"identity")
    message = replace(message, sections=(replace(message.sections[0], attachments=(SCAN,)),))
    envelope = seal_for(cast.world, cast.prison, message, [recipient(cast.world, cast.probation, 1)])
    opened = open_as(cast.probation, cast.world, deliver(envelope, 0, cast.world))
    assert opened.sections[1].attachments == (SCAN,)


@pytest.mark.parametrize("blobs", [(), ((SCAN.blob_id, 1_001),), ((SCAN.blob_id, 1_000), (bytes(16), 5))])
def test_att_1_a_row_that_lists_other_attachments_is_malformed(
    shared_cast: Cast, blobs: tuple[tuple[bytes, int], ...]
) -> None:
    class OtherBlobs(Forger):
        def row(self, position: int) -> Row:
            return replace(super().row(position), blobs=blobs)

    cast = shared_cast
    plain = ContentSection("identity", "supervision", "standard", b"body", attachments=(SCAN,)).encode()
    envelope = OtherBlobs(cast.world, cast.prison, [To(cast.probation, (1,))], [plain]).build()
    with pytest.raises(MalformedEnvelope):
        open_as(cast.probation, cast.world, deliver(envelope, 0, cast.world))
