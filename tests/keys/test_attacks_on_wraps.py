# SPDX-License-Identifier: Apache-2.0
"""Attacks on suite, wraps and bodies: what a lying hub or a lying sender can try, and that it opens nothing.

The hub here is the worst one: it signs an acceptance receipt for whatever it made (`tamper`).
"""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import cbor
from protocol.envelope import parse_envelope
from protocol.errors import BadSignature, CannotOpen, MalformedEnvelope, ThroughcareError, UnsupportedSuite
from protocol.rows import sha256
from protocol.slices import parse_slice
from tests.keys.drafts import draft, recipient, seal_for
from tests.keys.forger import Forger, To, content
from tests.keys.hubside import cannot_open, deliver, encode_parts, open_as, tamper
from tests.keys.world import Cast

ENC = 1_120
MLKEM_CIPHERTEXT = 1_088


@pytest.fixture(scope="module")
def raw(shared_cast: Cast) -> bytes:
    """The probation office's slice of an envelope with two recipients and two sections, one of several chunks."""
    cast = shared_cast
    to = [recipient(cast.world, cast.probation, 1, 2), recipient(cast.world, cast.social_work, 1)]
    envelope = seal_for(cast.world, cast.prison, draft(cast.prison, b"identity", bytes(40_000)), to)
    return deliver(envelope, 0, cast.world)


# Suite


@pytest.mark.parametrize("suite", [0, 2, 2**16, None, True, b"1", "1"])
def test_env_1_any_other_suite_is_unsupported(shared_cast: Cast, raw: bytes, suite: cbor.Value) -> None:
    """Attack 10."""
    common = cbor.decode(parse_slice(raw).common_bytes, limit=1_024)
    assert isinstance(common, dict)
    changed = {**common, 1: suite} if suite is not None else {key: value for key, value in common.items() if key != 1}
    whole = cbor.decode(raw, limit=1 << 20)
    assert isinstance(whole, dict)
    with pytest.raises(UnsupportedSuite):
        open_as(shared_cast.probation, shared_cast.world, cbor.encode({**whole, 0: cbor.encode(changed)}))


def test_env_1_a_suite_changed_after_sealing_opens_nothing_even_where_it_were_allowed(shared_cast: Cast) -> None:
    """Attack 11: H covers the suite. Sealed under a header with suite 2, delivered under one with suite 1."""

    class OtherSuite(Forger):
        def header(self, common: bytes, rows: Sequence[bytes]) -> bytes:
            fields = cbor.decode(common, limit=1_024)
            assert isinstance(fields, dict)
            return super().header(cbor.encode({**fields, 1: 2}), rows)

    cast = shared_cast
    envelope = OtherSuite(cast.world, cast.prison, [To(cast.probation)]).build()
    cannot_open(cast, cast.probation, deliver(envelope, 0, cast.world))


def test_env_3_a_classical_wrap_does_not_fit_the_slot(shared_cast: Cast) -> None:
    """Attack 12: X25519 alone, and X25519 alone filled up to the size of X-Wing."""

    class Classical(Forger):
        filled = False

        def wrap(self, position: int, header: bytes) -> bytes:
            suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
            to = self.to[position].member
            key = X25519PublicKey.from_public_bytes(to.prekeys[1].public[1184:])
            wrap = suite.encrypt(self.wrap_keys(position), key, b"tc/1 keys\0" + header + to.device.key_id)
            return bytes(MLKEM_CIPHERTEXT) + wrap if self.filled else wrap

    cast = shared_cast
    forger = Classical(cast.world, cast.prison, [To(cast.probation)])
    with pytest.raises(MalformedEnvelope):
        parse_envelope(forger.build())
    forger.filled = True
    cannot_open(cast, cast.probation, deliver(forger.build(), 0, cast.world))


# One bit, anywhere


def flip(data: bytes, position: int, bit: int = 0) -> bytes:
    changed = bytearray(data)
    changed[position] ^= 1 << bit
    return bytes(changed)


WRAP_PLACES = {
    "enc, ML-KEM part": 0,
    "enc, ML-KEM part, last byte": MLKEM_CIPHERTEXT - 1,
    "enc, X25519 part": MLKEM_CIPHERTEXT,
    "sealed section key": ENC,
    "sealed box": ENC + 96,
    "tag": -1,
}
SECTION_PLACES = {
    "salt": 0,
    "commitment": 24,
    "commitment, last byte": 55,
    "first chunk": 56,
    "first chunk's tag": 56 + 16_384,
    "second chunk": 56 + 16_400,
    "second chunk's tag": 56 + 16_400 + 16_399,
    "last chunk": -17,
    "last tag": -1,
}


@pytest.mark.parametrize("place", WRAP_PLACES)
def test_env_20_a_flipped_bit_in_the_wrap_opens_nothing(shared_cast: Cast, raw: bytes, place: str) -> None:
    """Attack 16."""
    wrap = flip(parse_slice(raw).wrap, WRAP_PLACES[place])
    cannot_open(shared_cast, shared_cast.probation, tamper(raw, shared_cast.world, wrap=wrap))


@pytest.mark.parametrize("place", SECTION_PLACES)
@pytest.mark.parametrize("number", [0, 2])
def test_env_20_a_flipped_bit_in_a_section_opens_nothing(
    shared_cast: Cast, raw: bytes, number: int, place: str
) -> None:
    """Attack 16: salt, commitment, every chunk, each tag; in machine state and in content."""
    sections = dict(parse_slice(raw).sections)
    position = min(SECTION_PLACES[place], len(sections[number]) - 1)
    sections[number] = flip(sections[number], position, bit=3)
    cannot_open(shared_cast, shared_cast.probation, tamper(raw, shared_cast.world, sections=sections))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_env_16_any_single_bit_flipped_in_a_slice_gives_a_typed_error_and_never_plaintext(
    shared_cast: Cast, raw: bytes, data: st.DataObject
) -> None:
    position = data.draw(st.integers(0, len(raw) - 1))
    spoilt = flip(raw, position, data.draw(st.integers(0, 7)))
    # The receipt covers all but the wrap; a spoilt wrap is found when it does not open.
    with pytest.raises((BadSignature, CannotOpen, MalformedEnvelope, UnsupportedSuite)):
        open_as(shared_cast.probation, shared_cast.world, spoilt)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_env_16_any_bit_flipped_by_a_hub_that_signs_for_it_gives_a_typed_error_and_never_plaintext(
    shared_cast: Cast, raw: bytes, data: st.DataObject
) -> None:
    parsed = parse_slice(raw)
    part = data.draw(st.sampled_from(["common_bytes", "row_bytes", "wraps_hash", "wrap", "sender_sig", "sections"]))
    bit = data.draw(st.integers(0, 7))
    changes: dict[str, object]
    if part == "sections":
        number = data.draw(st.sampled_from(sorted(parsed.sections)))
        place = data.draw(st.integers(0, len(parsed.sections[number]) - 1))
        changes = {part: {**parsed.sections, number: flip(parsed.sections[number], place, bit)}}
    else:
        value: bytes = getattr(parsed, part)
        changes = {part: flip(value, data.draw(st.integers(0, len(value) - 1)), bit)}
    with pytest.raises(ThroughcareError):
        open_as(shared_cast.probation, shared_cast.world, tamper(raw, shared_cast.world, **changes))


# Weak shares


@pytest.mark.parametrize("u", [0, 1, 2**255 - 20, 2**255 - 19, 2**255 - 18])
def test_env_20_an_x25519_share_of_low_order_opens_nothing(shared_cast: Cast, raw: bytes, u: int) -> None:
    """Attack 17."""
    wrap = parse_slice(raw).wrap
    weak = wrap[:MLKEM_CIPHERTEXT] + u.to_bytes(32, "little") + wrap[ENC:]
    cannot_open(shared_cast, shared_cast.probation, tamper(raw, shared_cast.world, wrap=weak))


# Splicing


def test_env_9_a_wrap_of_another_envelope_opens_nothing(shared_cast: Cast, raw: bytes) -> None:
    """Attack 19."""
    cast = shared_cast
    to = [recipient(cast.world, cast.probation, 1, 2), recipient(cast.world, cast.social_work, 1)]
    other = parse_envelope(seal_for(cast.world, cast.prison, draft(cast.prison, b"identity", b"risk"), to))
    cannot_open(cast, cast.probation, tamper(raw, cast.world, wrap=other.wraps[0]))


def test_env_9_swapped_wraps_open_for_neither(shared_cast: Cast) -> None:
    """Attack 20."""
    cast = shared_cast
    to = [recipient(cast.world, cast.probation, 1), recipient(cast.world, cast.social_work, 1)]
    envelope = seal_for(cast.world, cast.prison, draft(cast.prison, b"identity"), to)
    parsed = parse_envelope(envelope)
    for position, one in enumerate((cast.probation, cast.social_work)):
        swapped = tamper(deliver(envelope, position, cast.world), cast.world, wrap=parsed.wraps[1 - position])
        cannot_open(cast, one, swapped)


def test_env_9_wraps_and_body_under_another_header_open_nothing(shared_cast: Cast) -> None:
    """Attack 21: the header of A over wraps and body of B; attack 38: a fresh header made by the hub."""
    cast = shared_cast
    to = [recipient(cast.world, cast.probation, 1)]
    a, b = (
        parse_slice(deliver(seal_for(cast.world, cast.prison, draft(cast.prison, b"identity"), to), 0, cast.world))
        for _ in range(2)
    )
    spliced = encode_parts(replace(a, wrap=b.wrap, wraps_hash=b.wraps_hash, sections=b.sections))
    cannot_open(cast, cast.probation, tamper(spliced, cast.world))
    body_only = encode_parts(replace(a, sections=b.sections))
    cannot_open(cast, cast.probation, tamper(body_only, cast.world))
    fresh = replace(b.common, expires=b.common.expires + 1).encode()
    cannot_open(cast, cast.probation, tamper(encode_parts(b), cast.world, common_bytes=fresh))


def test_env_9_a_recipient_inserted_by_the_hub_closes_the_envelope_for_all(shared_cast: Cast) -> None:
    """Attack 49."""
    cast = shared_cast
    to = [recipient(cast.world, cast.probation, 1), recipient(cast.world, cast.social_work, 1)]
    envelope = seal_for(cast.world, cast.prison, draft(cast.prison, b"identity"), to)
    extra = sha256(b"a row for somebody else")
    for position, one in enumerate((cast.probation, cast.social_work)):
        raw_slice = deliver(envelope, position, cast.world)
        hashes = (*parse_slice(raw_slice).row_hashes, extra)
        cannot_open(cast, one, tamper(raw_slice, cast.world, row_hashes=hashes))


def test_env_9_a_section_does_not_open_under_another_number(shared_cast: Cast) -> None:
    """Two sections of one size change places."""
    cast = shared_cast
    to = [recipient(cast.world, cast.probation, 1, 2)]
    envelope = seal_for(cast.world, cast.prison, draft(cast.prison, b"identity", b"risk"), to)
    raw_slice = deliver(envelope, 0, cast.world)
    sections = parse_slice(raw_slice).sections
    swapped = {0: sections[0], 1: sections[2], 2: sections[1]}
    cannot_open(cast, cast.probation, tamper(raw_slice, cast.world, sections=swapped))


def test_env_9_a_key_used_twice_by_its_sender_opens_no_other_body(shared_cast: Cast) -> None:
    """Attack 24: one section key for two messages; the context keeps the bodies apart."""
    cast = shared_cast
    one = Forger(cast.world, cast.prison, [To(cast.probation, (1,))], [content("identity", b"first")])
    two = Forger(cast.world, cast.prison, [To(cast.probation, (1,))], [content("identity", b"second")])
    two.keys = one.keys
    first, second = (deliver(forger.build(), 0, cast.world) for forger in (one, two))
    assert open_as(cast.probation, cast.world, first).sections[1].body == b"first"
    assert open_as(cast.probation, cast.world, second).sections[1].body == b"second"
    cannot_open(cast, cast.probation, tamper(first, cast.world, sections=parse_slice(second).sections))


# Keys of others


def test_env_10_another_sections_key_in_the_wrap_opens_nothing(shared_cast: Cast) -> None:
    """Section 5, attack 2: a wrap has room for its row's keys only; a wrong key in a place opens nothing."""

    class Smuggled(Forger):
        def wrap_keys(self, position: int) -> bytes:
            if position == 1:
                return self.keys[0] + self.keys[2] + self.boxes[1]
            return super().wrap_keys(position)

    cast = shared_cast
    to = [To(cast.probation, (1, 2)), To(cast.social_work, (1,))]
    plain = [content("identity"), content("risk-summary")]
    envelope = Smuggled(cast.world, cast.prison, to, plain).build()
    cannot_open(cast, cast.social_work, deliver(envelope, 1, cast.world))


def test_env_3_a_wrap_with_a_key_too_many_is_malformed(shared_cast: Cast) -> None:
    """Section 5, attack 2."""

    class TooMany(Forger):
        def wrap_keys(self, position: int) -> bytes:
            return b"".join(self.keys) + self.boxes[position]

    cast = shared_cast
    to = [To(cast.probation, (1, 2)), To(cast.social_work, (1,))]
    plain = [content("identity"), content("risk-summary")]
    envelope = TooMany(cast.world, cast.prison, to, plain).build()
    with pytest.raises(MalformedEnvelope):
        parse_envelope(envelope)


def test_env_9_a_wrap_made_for_one_device_does_not_open_under_anothers_id(shared_cast: Cast) -> None:
    """The device key id is part of the info: Mallory registers Alice's prekey and gets Alice to open for her."""

    class OtherInfo(Forger):
        def wrap(self, position: int, header: bytes) -> bytes:
            self.to = [replace(self.to[0], member=replace(self.to[0].member, device=shared_cast.prison.device))]
            return super().wrap(position, header)

    cast = shared_cast
    envelope = OtherInfo(cast.world, cast.prison, [To(cast.probation)]).build()
    cannot_open(cast, cast.probation, deliver(envelope, 0, cast.world))
