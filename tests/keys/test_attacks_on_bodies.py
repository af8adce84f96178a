# SPDX-License-Identifier: Apache-2.0
"""Attacks on bodies and padding: truncated, shuffled, falsely padded, or made to be read in two ways."""

import secrets
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.cobblestone import Cobblestone256Encryptor
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keys.opening import VerifiedMessage
from protocol.envelope import parse_envelope
from protocol.errors import CannotOpen, MalformedEnvelope
from protocol.padding import ciphertext_size, pad, padded_size
from protocol.rows import Common
from tests.keys.forger import Forger, To, content
from tests.keys.hubside import cannot_open, deliver, open_as
from tests.keys.world import Cast

CHUNK = 16_384 + 16
HEAD = 56


def chunked(sealed: bytes) -> tuple[bytes, list[bytes]]:
    """Split a section of 64 KiB into salt and commitment, four full chunks and the empty last one."""
    head, rest = sealed[:HEAD], sealed[HEAD:]
    return head, [rest[start : start + CHUNK] for start in range(0, len(rest), CHUNK)]


# What is left has the length of a padded section, so that only the cryptography stands in the way.
BODIES: dict[str, Callable[[bytes, list[bytes]], bytes]] = {
    "cut inside a chunk": lambda head, chunks: (head + b"".join(chunks))[: ciphertext_size(32_768)],
    "chunks removed before the last": lambda head, chunks: head + chunks[0] + chunks[1] + chunks[4],
    "chunks swapped": lambda head, chunks: head + chunks[1] + chunks[0] + b"".join(chunks[2:]),
    "a chunk repeated": lambda head, chunks: head + chunks[0] + chunks[0] + b"".join(chunks[2:]),
    "bytes appended": lambda head, chunks: (head + b"".join(chunks)).ljust(ciphertext_size(padded_size(65_536)), b"\0"),
}
# What is left has a length that no section can have: the parser is first.
STUMPS: dict[str, Callable[[bytes, list[bytes]], bytes]] = {
    "cut at a chunk's end": lambda head, chunks: head + b"".join(chunks[:2]),
    "last chunk removed": lambda head, chunks: head + b"".join(chunks[:-1]),
    "one byte appended": lambda head, chunks: head + b"".join(chunks) + b"\0",
    "nothing left": lambda head, chunks: head,
}


class Spoilt(Forger):
    """A sender who spoils a section of his own and gives its new length in the header."""

    how: Callable[[bytes, list[bytes]], bytes]

    def encrypt(self, number: int, header: bytes, padded: bytes) -> bytes:
        sealed = super().encrypt(number, header, padded)
        return type(self).how(*chunked(sealed)) if number == 1 or not header else sealed


def spoilt(cast: Cast, how: Callable[[bytes, list[bytes]], bytes]) -> bytes:
    kind = type("SpoiltSo", (Spoilt,), {"how": staticmethod(how)})
    forger: Forger = kind(cast.world, cast.prison, [To(cast.probation, (1,))], [content("identity", bytes(60_000))])
    return forger.build()


@pytest.mark.parametrize("case", BODIES)
def test_env_20_a_truncated_or_shuffled_body_opens_nothing(shared_cast: Cast, case: str) -> None:
    """Attack 23."""
    raw_slice = deliver(spoilt(shared_cast, BODIES[case]), 0, shared_cast.world)
    cannot_open(shared_cast, shared_cast.probation, raw_slice)


@pytest.mark.parametrize("case", STUMPS)
def test_env_4_a_body_of_another_length_is_malformed(shared_cast: Cast, case: str) -> None:
    """Attack 23, where the length alone tells."""
    with pytest.raises(MalformedEnvelope):
        parse_envelope(spoilt(shared_cast, STUMPS[case]))


PADDINGS: dict[str, Callable[[bytes], bytes]] = {
    "no mark": lambda plain: plain.ljust(8_192, b"\0"),
    "another mark": lambda plain: (plain + b"\x81").ljust(8_192, b"\0"),
    "something after the mark": lambda plain: (plain + b"\x80").ljust(8_191, b"\0") + b"\x01",
    "a larger bucket than needed": lambda plain: (plain + b"\x80").ljust(16_384, b"\0"),
    "only zeros": lambda plain: bytes(8_192),
}


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("case", PADDINGS)
def test_pad_2_false_padding_opens_nothing(shared_cast: Cast, case: str, number: int) -> None:
    """Attack 25, in machine state and in content."""

    class FalsePadding(Forger):
        def padded(self, number_: int, plaintext: bytes) -> bytes:
            return PADDINGS[case](plaintext) if number_ == number else super().padded(number_, plaintext)

        def common(self) -> Common:
            lengths = list(super().common().section_lengths)
            lengths[number] = len(self.encrypt(number, b"", PADDINGS[case](b"")))
            return replace(super().common(), section_lengths=tuple(lengths))

    cast = shared_cast
    envelope = FalsePadding(cast.world, cast.prison, [To(cast.probation, (1,))], [content("identity")]).build()
    cannot_open(cast, cast.probation, deliver(envelope, 0, cast.world))


def test_env_4_a_length_that_is_no_buckets_is_malformed(shared_cast: Cast) -> None:
    """Attack 25: a bucket that is not in the list."""

    class OddBucket(Forger):
        def encrypt(self, number: int, header: bytes, padded: bytes) -> bytes:
            return super().encrypt(number, header, padded.ljust(9_000, b"\0") if number or not header else padded)

    cast = shared_cast
    envelope = OddBucket(cast.world, cast.prison, [To(cast.probation, (1,))], [content("identity")]).build()
    with pytest.raises(MalformedEnvelope):
        parse_envelope(envelope)


# Two readings of one body


class TwoKeys(Forger):
    """A sender who gives each recipient another key for the same section."""

    def __init__(self, cast: Cast, plaintext: bytes) -> None:
        to = [To(cast.probation, (1,)), To(cast.social_work, (1,))]
        super().__init__(cast.world, cast.prison, to, [plaintext])
        self.other_key = secrets.token_bytes(32)

    def wrap_keys(self, position: int) -> bytes:
        keys = self.keys if position == 0 else [self.keys[0], self.other_key]
        return b"".join(keys) + self.boxes[position]


def opened_by(cast: Cast, envelope: bytes) -> list[VerifiedMessage]:
    """Return what the recipients can open; whoever cannot says CannotOpen."""
    opened = []
    for position, one in enumerate((cast.probation, cast.social_work)):
        raw_slice = deliver(envelope, position, cast.world)
        try:
            opened.append(open_as(one, cast.world, raw_slice))
        except CannotOpen:
            cannot_open(cast, one, raw_slice)
    return opened


def test_env_20_one_body_never_opens_under_two_keys(shared_cast: Cast) -> None:
    """Attack 22 with Cobblestone: the commitment admits one of the two keys."""
    cast = shared_cast
    opened = opened_by(cast, TwoKeys(cast, content("identity", b"the only text")).build())
    assert [message.sections[1].body for message in opened] == [b"the only text"]


class Salamander(TwoKeys):
    """Attack 22 in full: a body that AES-256-GCM opens under both keys, each time to another text."""

    def encrypt(self, number: int, header: bytes, padded: bytes) -> bytes:
        return (
            salamander(self.keys[1], self.other_key)
            if number == 1 and header
            else super().encrypt(number, header, padded)
        )


def multiply(x: int, y: int) -> int:
    """Multiply in GCM's field: GF(2^128) with reflected bits."""
    product = 0
    for position in range(127, -1, -1):
        if x >> position & 1:
            product ^= y
        y = y >> 1 ^ (0xE1 << 120) if y & 1 else y >> 1
    return product


def power(x: int, exponent: int) -> int:
    result = 1 << 127
    while exponent:
        if exponent & 1:
            result = multiply(result, x)
        x = multiply(x, x)
        exponent >>= 1
    return result


GCM_NONCE = bytes(12)
GCM_BLOCKS = 515


def gcm_hash_key(key: bytes) -> tuple[int, int]:
    """Return H and the mask of the tag for `key` under the fixed nonce, from GCM's own tags."""
    mask = int.from_bytes(AESGCM(key).encrypt(GCM_NONCE, b"", b"")[-16:])
    # GHASH of one block of associated data X and the length block L is X·H² + L·H; with X = 0 it is L·H.
    one = int.from_bytes(AESGCM(key).encrypt(GCM_NONCE, b"", bytes(16))[-16:]) ^ mask
    length = 128 << 64
    return multiply(one, power(length, 2**128 - 2)), mask


def salamander(key: bytes, other: bytes) -> bytes:
    """Return one ciphertext and tag, as long as a section of the smallest bucket, valid under both keys.

    All blocks but one are free; the free one solves GHASH_H(c) + mask = GHASH_H'(c) + mask', which is linear in it.
    """
    blocks = [int.from_bytes(secrets.token_bytes(16)) for _ in range(GCM_BLOCKS)]
    blocks[-1] = 0
    length = GCM_BLOCKS * 128
    sums, weights = [], []
    for one in (key, other):
        hash_key, mask = gcm_hash_key(one)
        total = 0
        for block in blocks:
            total = multiply(total ^ block, hash_key)
        sums.append(multiply(total ^ length, hash_key) ^ mask)
        weights.append(multiply(hash_key, hash_key))
    blocks[-1] = multiply(sums[0] ^ sums[1], power(weights[0] ^ weights[1], 2**128 - 2))
    tag = sums[0] ^ multiply(blocks[-1], weights[0])
    return b"".join(block.to_bytes(16) for block in blocks) + tag.to_bytes(16) + bytes(8)


def test_the_salamander_is_real() -> None:
    """Attack 22: plain AES-256-GCM accepts these bytes under two keys, with different plaintexts."""
    key, other = secrets.token_bytes(32), secrets.token_bytes(32)
    body = salamander(key, other)[:-8]
    texts = [AESGCM(one).decrypt(GCM_NONCE, body, b"") for one in (key, other)]
    assert texts[0] != texts[1]


def test_env_20_a_salamander_opens_for_nobody(shared_cast: Cast) -> None:
    """Attack 22."""
    cast = shared_cast
    forger = Salamander(cast, content("identity"))
    envelope = forger.build()
    assert len(parse_envelope(envelope).sections[1]) == len(salamander(*(secrets.token_bytes(32) for _ in range(2))))
    assert opened_by(cast, envelope) == []


def test_a_cobblestone_body_of_the_right_length_and_the_wrong_key_says_the_same(shared_cast: Cast) -> None:
    """Attack 26: random bytes of the right length are one more failure to open."""

    class Noise(Forger):
        def encrypt(self, number: int, header: bytes, padded: bytes) -> bytes:
            if number == 0 and header:
                encryptor = Cobblestone256Encryptor(secrets.token_bytes(32), b"")
                return encryptor.update(pad(b"")) + encryptor.finalize()
            return super().encrypt(number, header, padded)

    cast = shared_cast
    envelope = Noise(cast.world, cast.prison, [To(cast.probation)]).build()
    cannot_open(cast, cast.probation, deliver(envelope, 0, cast.world))
