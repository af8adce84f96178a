# SPDX-License-Identifier: Apache-2.0
"""The envelope's form: what a hub and a recipient refuse before any key is used (attacks 8, 9, 10, 12, 39)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import cbor, limits
from protocol.address import DeskAddress
from protocol.envelope import encode_envelope, parse_envelope
from protocol.errors import MalformedEnvelope, UnsupportedSuite
from protocol.ids import EnvelopeId, KeyId
from protocol.padding import ciphertext_size
from protocol.rows import Box, Common, EnvelopeClass, Row, RowSection, sha256
from protocol.slices import encode_slice, parse_slice, slice_of

SECTION = ciphertext_size(8192)
DESK = DeskAddress("intake.reka-probation@hub.example")


def common(sections: int = 2, **changes: Any) -> Common:
    base = Common(
        envelope_id=EnvelopeId(b"e" * 16),
        created=1_000,
        expires=2_000,
        sender_desk=DeskAddress("release.gora-prison@hub.example"),
        device_id=KeyId(b"s" * 32),
        klass=EnvelopeClass.REFERRAL,
        section_lengths=(SECTION,) * sections,
    )
    return replace(base, **changes)


def row(number: int = 0, sections: tuple[int, ...] = (0, 1), **changes: Any) -> Row:
    base = Row(
        salt=b"a" * 16,
        desk=DESK,
        device_id=KeyId(bytes([number % 256, number // 256]) + b"d" * 30),
        prekey_epoch=1,
        sections=tuple(RowSection(section) for section in sections),
        box_hash=b"b" * 32,
    )
    return replace(base, **changes)


def envelope(head: Common, rows: list[Row], wraps: list[bytes] | None = None, sections: int | None = None) -> bytes:
    count = len(head.section_lengths) if sections is None else sections
    return encode_envelope(
        head.encode(),
        [one.encode() for one in rows],
        [bytes(one.wrap_size) for one in rows] if wraps is None else wraps,
        [bytes([number]) * SECTION for number in range(count)],
        bytes(64),
    )


def malformed(data: bytes) -> None:
    with pytest.raises(MalformedEnvelope):
        parse_envelope(data)


def test_an_envelope_reads_back_as_it_was_written() -> None:
    head, rows = common(), [row(0), row(1, (0,))]
    parsed = parse_envelope(envelope(head, rows))
    assert parsed.common == head
    assert list(parsed.rows) == rows


@pytest.mark.parametrize("suite", [0, 2, 65_536, True, None, b"\x01"])
def test_env_1_every_other_suite_is_unsupported_before_anything_else(suite: cbor.Value) -> None:
    """Attack 10: suite 0, 2^16, absent; told even when the rest is of another shape."""
    fields = cbor.decode(common().encode(), limit=1_024)
    assert isinstance(fields, dict)
    for shape in ({**fields, 1: suite}, {0: 1, 1: suite}, {key: value for key, value in fields.items() if key != 1}):
        with pytest.raises(UnsupportedSuite):
            Common.parse(cbor.encode(shape))
    with pytest.raises(UnsupportedSuite):
        Common.parse(cbor.encode({**fields, 0: 2}))


def test_env_2_wraps_must_be_as_many_as_rows_and_at_least_one() -> None:
    """Attack 8."""
    wrap = bytes(row().wrap_size)
    malformed(envelope(common(), [row()], []))
    malformed(envelope(common(), [row()], [wrap, wrap]))
    malformed(envelope(common(), []))
    crowd = [row(number, (0,)) for number in range(limits.MAX_ROWS + 1)]
    with pytest.raises(MalformedEnvelope):
        parse_envelope(envelope(common(1), crowd))


def test_env_2_ten_thousand_recipients_are_refused() -> None:
    """Attack 8: too many rows, and too many bytes."""
    tiny = cbor.encode([common(1).encode(), [b""] * 10_001, [b""] * 10_001, [b"", b""], bytes(64)])
    malformed(tiny)


def test_env_2_the_same_device_twice_is_refused() -> None:
    """Attack 9."""
    malformed(envelope(common(), [row(0), row(0, desk=DeskAddress("intake.polje-csw@hub.example"))]))


def test_env_3_a_wrap_of_another_size_is_refused() -> None:
    """Attack 12: a classical wrap of 80 bytes in an X-Wing slot."""
    right = row().wrap_size
    assert right == 1_136 + 2 * 32 + 40
    for size in (80, right - 1, right + 1, right - 32, 0):
        malformed(envelope(common(), [row()], [bytes(size)]))


@pytest.mark.parametrize("sections", [(1,), (0, 2), (1, 0), (0, 0), (0, 1, 1)])
def test_env_4_a_row_names_section_0_first_then_existing_ascending_numbers(sections: tuple[int, ...]) -> None:
    malformed(envelope(common(), [row(0, sections), row(1)]))


def test_env_4_every_section_is_in_a_row_and_has_the_length_of_common() -> None:
    malformed(envelope(common(3), [row()]))
    malformed(envelope(common(2), [row()], sections=1))
    with pytest.raises(MalformedEnvelope):
        Common.parse(replace(common(), section_lengths=(SECTION + 1, SECTION)).encode())


def test_env_5_half_a_pair_of_handle_and_ticket_is_refused_and_section_0_has_neither() -> None:
    pair = RowSection(1, b"h" * 16, b"t" * 16)
    assert parse_envelope(envelope(common(), [row(sections=(0, 1)), row(1)])).rows[0].sections[1].ticket is None
    assert Row.parse(replace(row(), sections=(RowSection(0), pair)).encode()).sections[1] == pair
    for wrong in (
        (RowSection(0), replace(pair, ticket=None)),
        (RowSection(0), replace(pair, handle=None)),
        (replace(pair, number=0),),
    ):
        with pytest.raises(MalformedEnvelope):
            Row.parse(replace(row(), sections=wrong).encode())


@pytest.mark.parametrize("klass", [EnvelopeClass.RECEIPT, EnvelopeClass.NOTICE])
def test_env_6_receipts_and_notices_have_section_0_only_and_no_attachments(klass: EnvelopeClass) -> None:
    parse_envelope(envelope(common(1, klass=klass), [row(sections=(0,))]))
    malformed(envelope(common(2, klass=klass), [row()]))
    malformed(envelope(common(1, klass=klass), [row(sections=(0,), blobs=((b"x" * 16, 5),))]))


def test_att_1_a_blob_stands_once_and_only_beside_a_section() -> None:
    """Section 0 lists no attachment, so a row that opens nothing else names no blob."""
    blob = (b"x" * 16, 5)
    parse_envelope(envelope(common(), [row(blobs=(blob,))]))
    malformed(envelope(common(), [row(blobs=(blob, blob))]))
    malformed(envelope(common(), [row(), row(1, (0,), blobs=(blob,))]))


def test_att_8_an_envelope_has_at_most_64_attachments_however_many_rows_name_them() -> None:
    """A hub writes a row for each that may read one: what it takes at once is bounded."""

    def blobs(start: int, count: int) -> tuple[tuple[bytes, int], ...]:
        return tuple((number.to_bytes(16, "big"), 5) for number in range(start, start + count))

    parse_envelope(envelope(common(), [row(blobs=blobs(0, 64)), row(1, blobs=blobs(0, 64))]))
    parse_envelope(envelope(common(), [row(blobs=blobs(0, 32)), row(1, blobs=blobs(32, 32))]))
    malformed(envelope(common(), [row(blobs=blobs(0, 64)), row(1, blobs=blobs(64, 1))]))


def test_att_8_the_rows_name_attachments_at_most_6400_times() -> None:
    blobs = tuple((number.to_bytes(16, "big"), 5) for number in range(64))
    crowd = [row(number, blobs=blobs) for number in range(100)]
    parse_envelope(envelope(common(), crowd))
    malformed(envelope(common(), [*crowd, row(100, blobs=blobs[:1])]))


@pytest.mark.parametrize(("created", "expires"), [(2_000, 1_000), (1_000, 1_000), (1_000, 1_001 + limits.MAX_LIFE)])
def test_env_7_an_envelope_expires_after_it_was_made_within_a_year(created: int, expires: int) -> None:
    """Attack 39, the part that needs no clock."""
    malformed(envelope(common(created=created, expires=expires), [row()]))


def test_env_8_the_digest_covers_every_part() -> None:
    parsed = parse_envelope(envelope(common(), [row(0), row(1)]))
    assert sha256(parsed.common_bytes) != parsed.digest
    seen = {parsed.digest}
    other = envelope(common(created=1_001), [row(0), row(1)])
    for changed in (
        other,
        envelope(common(), [row(0), row(1, salt=b"z" * 16)]),
        envelope(common(), [row(0), row(1)], [bytes(row().wrap_size), b"w" * row().wrap_size]),
        encode_envelope(
            parsed.common_bytes, parsed.row_bytes, parsed.wraps, [parsed.sections[0], b"o" * SECTION], bytes(64)
        ),
    ):
        seen.add(parse_envelope(changed).digest)
    assert len(seen) == 5


def test_env_2_an_envelope_over_1_mib_is_neither_made_nor_read() -> None:
    large = ciphertext_size(1 << 20)
    with pytest.raises(MalformedEnvelope):
        encode_envelope(common().encode(), [row().encode()], [bytes(row().wrap_size)], [bytes(large)], bytes(64))
    malformed(cbor.encode([b"", [b""], [b""], [bytes(large)], bytes(64)]))


def test_env_15_a_slice_holds_its_own_row_wrap_and_sections_and_hashes_of_the_rest() -> None:
    """Attack 5.1: nothing of another recipient's row, wrap or section is in the bytes."""
    mine, theirs = row(0, (0,)), row(1, (0, 1), desk=DeskAddress("intake.polje-csw@hub.example"))
    wraps = [b"m" * mine.wrap_size, b"t" * theirs.wrap_size]
    parsed = parse_envelope(envelope(common(), [mine, theirs], wraps))
    data = slice_of(parsed, 0, b"receipt")
    piece = parse_slice(data)
    assert piece.digest == parsed.digest
    assert piece.header_hash == parsed.header_hash
    assert list(piece.sections) == [0]
    for secret in (b"polje-csw", theirs.device_id, b"t" * 32, parsed.sections[1][:64], parsed.row_bytes[1]):
        assert secret not in data
    assert len(data) < SECTION + mine.wrap_size + 1_000


@given(position=st.integers(0, 3), flip=st.integers(0, 10**6))
def test_env_15_a_changed_slice_is_refused_or_has_another_digest(position: int, flip: int) -> None:
    rows = [row(number, (0,) if number % 2 else (0, 1)) for number in range(4)]
    parsed = parse_envelope(envelope(common(), rows))
    data = bytearray(slice_of(parsed, position, b"receipt"))
    data[flip % len(data)] ^= 1 << (flip % 8)
    try:
        piece = parse_slice(bytes(data))
    except (MalformedEnvelope, UnsupportedSuite):
        return
    same = (piece.digest, piece.wrap, piece.sender_sig, piece.receipt)
    assert same != (parsed.digest, parsed.wraps[position], parsed.sender_sig, b"receipt")


def test_env_15_a_slice_with_more_or_fewer_sections_than_its_row_is_refused() -> None:
    parsed = parse_envelope(envelope(common(), [row(0), row(1, (0,))]))

    def piece(position: int, sections: dict[int, bytes]) -> bytes:
        return encode_slice(
            common=parsed.common_bytes,
            position=position,
            row_hashes=parsed.row_hashes,
            row=parsed.row_bytes[position],
            wraps_hash=parsed.wraps_hash,
            wrap=parsed.wraps[position],
            section_hashes=parsed.section_hashes,
            sections=sections,
            sender_sig=bytes(64),
            receipt=b"",
        )

    parse_slice(piece(0, {0: parsed.sections[0], 1: parsed.sections[1]}))
    makers: list[Callable[[], bytes]] = [
        lambda: piece(0, {0: parsed.sections[0]}),
        lambda: piece(1, {0: parsed.sections[0], 1: parsed.sections[1]}),
        lambda: piece(1, {0: parsed.sections[0][:-1]}),
        lambda: piece(1, {}),
    ]
    for make in makers:
        with pytest.raises(MalformedEnvelope):
            parse_slice(make())


@given(st.integers(1, 2**53 - 1), st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))
def test_seq_1_a_box_is_40_bytes_and_reads_back(seq: int, previous: bytes, blind: bytes) -> None:
    box = Box(seq=seq, previous=None if seq == 1 or previous == bytes(16) else previous, blind=blind)
    if box.previous is None and seq > 1:
        with pytest.raises(MalformedEnvelope):
            Box.parse(box.encode())
        return
    assert len(box.encode()) == 40
    assert Box.parse(box.encode()) == box
    assert blind.hex() not in repr(box)


@pytest.mark.parametrize(
    "data", [bytes(40), bytes(39), (1).to_bytes(8, "big") + b"p" * 32, (1 << 53).to_bytes(8, "big") + b"p" * 32]
)
def test_seq_1_a_box_without_a_seq_or_with_a_false_first_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedEnvelope):
        Box.parse(data)


def test_secrets_and_content_are_not_in_the_repr_of_an_envelope() -> None:
    parsed = parse_envelope(envelope(common(), [row()]))
    assert len(repr(parsed)) < 1_500
    assert "\\x01\\x01\\x01" not in repr(parsed)
