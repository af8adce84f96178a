# SPDX-License-Identifier: Apache-2.0
"""Sealing: what comes out has the form that the text gives, is fresh each time, and never comes out by half."""

import hashlib
from dataclasses import replace

import pytest
from cryptography.cobblestone import Cobblestone256Decryptor
from cryptography.hazmat.primitives import hpke
from hypothesis import given, settings
from hypothesis import strategies as st

from keys import sealing
from keys.sealing import MessageDraft, Recipient, choose_prekey
from keys.verifying import verify_sender
from keys.xwing import MLKEM_PUBLIC_SIZE
from protocol import limits
from protocol.address import DeskAddress
from protocol.envelope import UnverifiedEnvelope, parse_envelope
from protocol.errors import (
    BadSignature,
    Expired,
    InvalidInput,
    MalformedEnvelope,
    RecipientUnavailable,
    SenderMismatch,
    UntrustedKey,
)
from protocol.ids import EnvelopeId, KeyId
from protocol.padding import ciphertext_size, padded_size, unpad
from protocol.rows import Box, EnvelopeClass
from protocol.sections import Attachment, Claims, ContentSection, SectionZero
from tests.keys.drafts import draft, recipient, seal_for
from tests.keys.world import DAY, DOMAIN, NOW, Cast, Member, seed

SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)


def sealed_for_two(cast: Cast) -> UnverifiedEnvelope:
    to = [recipient(cast.world, cast.probation, 1, 2), recipient(cast.world, cast.social_work, 1)]
    return parse_envelope(seal_for(cast.world, cast.prison, draft(cast.prison, b"identity", b"risk"), to))


def wrapped(envelope: UnverifiedEnvelope, position: int, one: Member) -> bytes:
    """Open a wrap as the text says, without keys.opening."""
    info = b"tc/1 keys\0" + envelope.header_hash + one.device.key_id
    return SUITE.decrypt(envelope.wraps[position], one.prekeys[1].private(), info)


def section(envelope: UnverifiedEnvelope, number: int, key: bytes) -> bytes:
    context = b"tc/1 section\0" + envelope.header_hash + number.to_bytes(2, "big")
    decryptor = Cobblestone256Decryptor(key, context)
    return unpad(decryptor.update(envelope.sections[number]) + decryptor.finalize())


def test_env_9_an_envelope_opens_by_hand_as_the_text_says(shared_cast: Cast) -> None:
    """A reader written from docs/protocol.md finds everything where it is promised."""
    cast = shared_cast
    envelope = sealed_for_two(cast)
    plain = wrapped(envelope, 0, cast.probation)
    keys, box = [plain[:32], plain[32:64], plain[64:96]], plain[96:]
    zero = SectionZero.parse(section(envelope, 0, keys[0]))
    claims = Claims.parse(zero.claims)
    assert claims.header_hash == envelope.header_hash
    assert claims.device_id == cast.prison.device.key_id == envelope.common.device_id
    assert (claims.agency, claims.created, claims.not_after) == (cast.prison.address, NOW, NOW + 30 * DAY)
    assert claims.payload_hash == hashlib.sha256(zero.payload).digest()
    assert claims.section_hashes == tuple(hashlib.sha256(one).digest() for one in envelope.sections[1:])
    assert claims.directory == (cast.world.directory.size, cast.world.directory.root)
    assert ContentSection.parse(section(envelope, 1, keys[1])).body == b"identity"
    assert ContentSection.parse(section(envelope, 2, keys[2])).body == b"risk"
    assert hashlib.sha256(box).digest() == envelope.rows[0].box_hash
    assert (Box.parse(box).seq, Box.parse(box).previous) == (1, None)


def test_env_10_a_wrap_holds_the_keys_of_exactly_its_rows_sections(shared_cast: Cast) -> None:
    cast = shared_cast
    envelope = sealed_for_two(cast)
    both, one = wrapped(envelope, 0, cast.probation), wrapped(envelope, 1, cast.social_work)
    assert len(both) == 3 * 32 + 40
    assert len(one) == 2 * 32 + 40
    assert one[:64] == both[:64]
    assert both[64:96] not in one


def test_env_3_wraps_and_sections_have_the_sizes_that_the_text_gives(shared_cast: Cast) -> None:
    envelope = sealed_for_two(shared_cast)
    assert [len(wrap) for wrap in envelope.wraps] == [1_136 + 32 * 3 + 40, 1_136 + 32 * 2 + 40]
    assert envelope.common.section_lengths == (8_192 + 72, 8_192 + 72, 8_192 + 72)


def test_env_10_nothing_secret_or_random_repeats_between_sealings(shared_cast: Cast) -> None:
    cast = shared_cast
    first, second = sealed_for_two(cast), sealed_for_two(cast)
    assert first.header_hash != second.header_hash
    assert not set(first.row_bytes) & set(second.row_bytes)
    assert not set(first.wraps) & set(second.wraps)
    assert not set(first.sections) & set(second.sections)
    one, other = wrapped(first, 0, cast.probation), wrapped(second, 0, cast.probation)
    keys = [plain[start : start + 32] for plain in (one, other) for start in (0, 32, 64)]
    assert len(set(keys)) == 6
    assert one[-16:] != other[-16:]


def test_env_8_the_sender_signs_the_whole(shared_cast: Cast) -> None:
    cast = shared_cast
    envelope = sealed_for_two(cast)
    verify_sender(envelope, cast.prison.device.public)
    with pytest.raises(SenderMismatch):
        verify_sender(envelope, cast.probation.device.public)
    for changed in (
        replace(envelope, wraps=(envelope.wraps[1], envelope.wraps[0])),
        replace(envelope, sections=envelope.sections[::-1]),
        replace(envelope, row_bytes=envelope.row_bytes[::-1]),
        replace(envelope, row_bytes=envelope.row_bytes[:1]),
        replace(envelope, sender_sig=bytes(64)),
    ):
        with pytest.raises(BadSignature):
            verify_sender(changed, cast.prison.device.public)


def test_env_12_machine_state_alone_fills_section_zero(shared_cast: Cast) -> None:
    cast = shared_cast
    to = [recipient(cast.world, cast.probation)]
    for size in (0, 1, 3_000, 3_500, 7_000):
        envelope = parse_envelope(seal_for(cast.world, cast.prison, draft(cast.prison, payload=bytes(size)), to))
        plain = wrapped(envelope, 0, cast.probation)
        zero = SectionZero.parse(section(envelope, 0, plain[:32]))
        assert len(zero.payload) == size
    with pytest.raises(MalformedEnvelope, match="machine state"):
        seal_for(cast.world, cast.prison, draft(cast.prison, payload=bytes(8_000)), to)


def test_env_2_an_envelope_above_one_mebibyte_is_not_made(shared_cast: Cast) -> None:
    cast = shared_cast
    to = [recipient(cast.world, cast.probation, 1)]
    assert len(seal_for(cast.world, cast.prison, draft(cast.prison, bytes(900_000)), to)) <= limits.MAX_ENVELOPE
    with pytest.raises(MalformedEnvelope, match="1 MiB"):
        seal_for(cast.world, cast.prison, draft(cast.prison, bytes(1_048_000)), to)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 100_000))
def test_pad_1_a_sections_length_tells_only_its_bucket(shared_cast: Cast, size: int) -> None:
    cast = shared_cast
    to = [recipient(cast.world, cast.probation, 1)]
    envelope = parse_envelope(seal_for(cast.world, cast.prison, draft(cast.prison, bytes(size)), to))
    content = ContentSection("category-0", "supervision", "restricted", bytes(size)).encode()
    assert envelope.common.section_lengths[1] == ciphertext_size(padded_size(len(content)))


def test_att_1_a_row_lists_the_attachments_of_its_sections(shared_cast: Cast) -> None:
    cast = shared_cast
    scan = Attachment(seed("blob")[:16], seed("blob key"), 1_000, seed("blob hash"), 900, "application/pdf", "scan.pdf")
    message = draft(cast.prison, b"identity", b"risk")
    message = replace(message, sections=(message.sections[0], replace(message.sections[1], attachments=(scan,))))
    to = [recipient(cast.world, cast.probation, 1, 2), recipient(cast.world, cast.social_work, 1)]
    envelope = parse_envelope(seal_for(cast.world, cast.prison, message, to))
    assert [row.blobs for row in envelope.rows] == [((scan.blob_id, 1_000),), ()]


def spoilt(public: bytes, how: str) -> bytes:
    match how:
        case "zero":
            return public[:MLKEM_PUBLIC_SIZE] + bytes(32)
        case "low order":
            return public[:MLKEM_PUBLIC_SIZE] + bytes([1, *bytes(31)])
        case "coefficient":
            return b"\x01\x0d" + public[2:]
        case _:
            return public[:-1]


@pytest.mark.parametrize("how", ["zero", "low order", "coefficient", "short"])
def test_id_4_nothing_is_sealed_when_one_key_is_untrusted(
    shared_cast: Cast, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Attack 18: before any sealing, also when the bad key is the last of many."""
    cast = shared_cast
    sealed: list[int] = []
    monkeypatch.setattr(sealing, "_encrypt", lambda *_: sealed.append(1))
    monkeypatch.setattr(sealing, "_wrap", lambda *_: sealed.append(1))
    good, bad = recipient(cast.world, cast.probation, 1), recipient(cast.world, cast.social_work, 1)
    with pytest.raises(UntrustedKey):
        seal_for(
            cast.world,
            cast.prison,
            draft(cast.prison, b"identity"),
            [good, replace(bad, prekey_public=spoilt(bad.prekey_public, how))],
        )
    assert sealed == []


def bad_drafts(cast: Cast) -> dict[str, tuple[MessageDraft, list[Recipient], type[Exception]]]:
    world = cast.world
    message = draft(cast.prison, b"identity", b"risk")
    both = recipient(world, cast.probation, 1, 2)
    return {
        "no recipient": (message, [], InvalidInput),
        "device twice": (message, [both, both], InvalidInput),
        "section for nobody": (message, [recipient(world, cast.probation, 1)], InvalidInput),
        "unknown section": (message, [recipient(world, cast.probation, 1, 2, 3)], InvalidInput),
        "section zero named": (message, [recipient(world, cast.probation, 0, 1, 2)], InvalidInput),
        "section twice": (message, [recipient(world, cast.probation, 1, 1, 2)], InvalidInput),
        "descending": (message, [recipient(world, cast.probation, 2, 1)], InvalidInput),
        "too many sections": (
            draft(cast.prison, *[b"x"] * 32),
            [recipient(world, cast.probation, *range(1, 33))],
            InvalidInput,
        ),
        "content in a notice": (replace(message, klass=EnvelopeClass.NOTICE), [both], InvalidInput),
        "content in a receipt": (replace(message, klass=EnvelopeClass.RECEIPT), [both], InvalidInput),
        "foreign desk": (replace(message, sender_desk=cast.probation.desk), [both], InvalidInput),
        "expired": (replace(message, expires=NOW), [both], Expired),
        "too long a life": (replace(message, expires=NOW + limits.MAX_LIFE + 1), [both], Expired),
    }


CASES = [
    "no recipient",
    "device twice",
    "section for nobody",
    "unknown section",
    "section zero named",
    "section twice",
    "descending",
    "too many sections",
    "content in a notice",
    "content in a receipt",
    "foreign desk",
    "expired",
    "too long a life",
]


@pytest.mark.parametrize("case", CASES)
def test_a_draft_that_no_envelope_can_carry_is_refused(shared_cast: Cast, case: str) -> None:
    cases = bad_drafts(shared_cast)
    assert list(cases) == CASES
    message, to, error = cases[case]
    with pytest.raises(error):
        seal_for(shared_cast.world, shared_cast.prison, message, to)


def test_env_2_a_thousand_recipients_are_the_most(shared_cast: Cast) -> None:
    cast = shared_cast
    one = recipient(cast.world, cast.probation)
    many = [replace(one, device_id=KeyId(seed(f"device {n}"))) for n in range(limits.MAX_ROWS + 1)]
    with pytest.raises(InvalidInput):
        seal_for(cast.world, cast.prison, draft(cast.prison), many)


# Whom to seal to


def test_dir_8_the_newest_prekey_of_the_desks_device_is_chosen(cast: Cast) -> None:
    assert choose_prekey(cast.world.directory, cast.prison.desk, NOW).prekey.epoch == 1
    cast.world.add_prekey(cast.prison, 7, issued=NOW)
    choice = choose_prekey(cast.world.directory, cast.prison.desk, NOW)
    assert (choice.prekey.epoch, choice.prekey.public) == (7, cast.prison.prekeys[7].public)
    assert choice.device.key_id == cast.prison.device.key_id
    assert not choice.marked


@pytest.mark.parametrize(
    ("age", "marked"), [(0, False), (14 * DAY, False), (14 * DAY + 1, True), (60 * DAY, True), (60 * DAY + 1, None)]
)
def test_dir_8_an_old_prekey_is_marked_and_then_refused(shared_cast: Cast, age: int, marked: bool | None) -> None:
    """Attack 41: a prekey over 60 days old."""
    issued = NOW - DAY
    if marked is None:
        with pytest.raises(UntrustedKey, match="60 days"):
            choose_prekey(shared_cast.world.directory, shared_cast.prison.desk, issued + age)
    else:
        assert choose_prekey(shared_cast.world.directory, shared_cast.prison.desk, issued + age).marked is marked


def test_dir_8_a_desk_without_a_device_in_force_or_a_prekey_is_unavailable(cast: Cast) -> None:
    directory = cast.world.directory
    nobody = DeskAddress(f"intake.nobody@{DOMAIN}")
    unknown = DeskAddress(f"cellar.gora-prison@{DOMAIN}")
    for desk in (nobody, unknown):
        with pytest.raises(RecipientUnavailable):
            choose_prekey(directory, desk, NOW)
    with pytest.raises(RecipientUnavailable):
        choose_prekey(directory, cast.prison.desk, NOW + 75 * DAY)
    cast.world.revoke(cast.prison.device.key_id, cast.prison.identity)
    with pytest.raises(RecipientUnavailable):
        choose_prekey(directory, cast.prison.desk, NOW)


def test_seq_4_a_message_is_sealed_anew_under_another_envelope_id(shared_cast: Cast) -> None:
    cast = shared_cast
    to, message = [recipient(cast.world, cast.probation, 1)], draft(cast.prison, b"identity")
    first = parse_envelope(seal_for(cast.world, cast.prison, message, to))
    second = parse_envelope(
        seal_for(cast.world, cast.prison, message, to, envelope_id=EnvelopeId(seed("second envelope")[:16]))
    )
    assert first.common.envelope_id != second.common.envelope_id
    for envelope in (first, second):
        plain = wrapped(envelope, 0, cast.probation)
        claims = Claims.parse(SectionZero.parse(section(envelope, 0, plain[:32])).claims)
        assert claims.message_id == message.message_id
        assert plain[-40:-16] == Box(1, None, bytes(16)).encode()[:24]
