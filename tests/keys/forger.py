# SPDX-License-Identifier: Apache-2.0
"""A second way to make an envelope, written from docs/protocol.md alone, in steps that can each be done wrongly.

`Forger(...).build()` is an honest envelope. An attack overrides the one step that it attacks. The class shares no
code with `keys.sealing`, so that opening what it builds also shows that the text suffices to write a sealer.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.cobblestone import Cobblestone256Encryptor
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from keys.signing import DeviceSigner
from protocol import cbor
from protocol.address import DeskAddress
from protocol.ids import EnvelopeId, MessageId, ThreadId
from protocol.padding import pad
from protocol.rows import Box, Common, EnvelopeClass, Row, RowSection, sha256
from protocol.sections import Actor, Claims, ContentSection
from tests.keys.world import DAY, NOW, Member, World, seed

SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
SECTION_ZERO_LENGTH = 8_192 + 56 + 16

THREAD = ThreadId(seed("thread")[:16])
MESSAGE = MessageId(seed("message")[:16])
ENVELOPE = EnvelopeId(seed("envelope")[:16])


@dataclass
class To:
    """One recipient of a forged envelope: an agency, and the numbers of its sections from 1 on."""

    member: Member
    numbers: tuple[int, ...] = ()
    epoch: int = 1


def content(category: str, body: bytes = b"body") -> bytes:
    """Return the plaintext of a section."""
    return ContentSection(category, "continuity-of-care", "standard", body).encode()


class Forger:
    """Builds one envelope; each method is one step."""

    klass = EnvelopeClass.REFERRAL
    created = NOW
    expires = NOW + 30 * DAY

    def __init__(self, world: World, sender: Member, to: Sequence[To], contents: Sequence[bytes] = ()) -> None:
        self.world = world
        self.sender = sender
        self.to = to
        self.contents = list(contents)
        self.payload = b'{"kind":"handover.offer"}'
        self.keys = [secrets.token_bytes(32) for _ in range(len(contents) + 1)]
        self.boxes = [Box(1, None, secrets.token_bytes(16)).encode() for _ in to]

    @property
    def device(self) -> DeviceSigner:
        """The device that signs."""
        return self.sender.device

    @property
    def sender_desk(self) -> DeskAddress:
        """The desk in common."""
        return self.sender.desk

    @property
    def actor(self) -> Actor:
        """The actor in the claims."""
        return self.sender.actor

    def common(self) -> Common:
        """Return the clear part for all."""
        return Common(
            envelope_id=ENVELOPE,
            created=self.created,
            expires=self.expires,
            sender_desk=self.sender_desk,
            device_id=self.device.key_id,
            klass=self.klass,
            section_lengths=(SECTION_ZERO_LENGTH, *(len(self.encrypt(0, b"", pad(one))) for one in self.contents)),
        )

    def row(self, position: int) -> Row:
        """Return a recipient's row."""
        to = self.to[position]
        return Row(
            salt=secrets.token_bytes(16),
            desk=to.member.desk,
            device_id=to.member.device.key_id,
            prekey_epoch=to.epoch,
            sections=tuple(RowSection(number) for number in (0, *to.numbers)),
            box_hash=sha256(self.boxes[position]),
        )

    def header(self, common: bytes, rows: Sequence[bytes]) -> bytes:
        """Return H."""
        return sha256(b"tc/1 header\0" + sha256(common) + b"".join(sha256(row) for row in rows))

    def encrypt(self, number: int, header: bytes, padded: bytes) -> bytes:
        """Return a section's ciphertext."""
        context = b"tc/1 section\0" + header + number.to_bytes(2, "big")
        encryptor = Cobblestone256Encryptor(self.keys[number], context)
        return encryptor.update(padded) + encryptor.finalize()

    def padded(self, number: int, plaintext: bytes) -> bytes:
        """Return a section's plaintext with padding."""
        return pad(plaintext)

    def claims(self, header: bytes, hashes: Sequence[bytes]) -> Claims:
        """Return the claims; `hashes` are of the sections from 1 on."""
        return Claims(
            header_hash=header,
            device_id=self.device.key_id,
            agency=self.sender.address,
            actor=self.actor,
            message_id=MESSAGE,
            thread=THREAD,
            after=(),
            created=self.created,
            not_after=self.expires,
            payload_type="handover.offer",
            payload_version=1,
            payload_hash=sha256(self.payload),
            section_hashes=tuple(hashes),
            label="standard",
            directory=(self.world.directory.size, self.world.directory.root),
        )

    def sign_claims(self, claims: bytes) -> list[bytes]:
        """Return the signatures in section 0."""
        return list(self.device.sign_hybrid(b"tc/1 claims\0", claims))

    def section_zero(self, header: bytes, hashes: Sequence[bytes]) -> bytes:
        """Return the plaintext of section 0."""
        claims = self.claims(header, hashes).encode()
        return cbor.encode({0: claims, 1: list(self.sign_claims(claims)), 2: self.payload})

    def wrap_keys(self, position: int) -> bytes:
        """Return what a wrap carries."""
        numbers = (0, *self.to[position].numbers)
        return b"".join(self.keys[number] for number in numbers) + self.boxes[position]

    def wrap(self, position: int, header: bytes) -> bytes:
        """Return a recipient's wrap."""
        to = self.to[position]
        public = to.member.prekeys[to.epoch].public
        key = hpke.MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(public[:1184]), X25519PublicKey.from_public_bytes(public[1184:])
        )
        info = b"tc/1 keys\0" + header + to.member.device.key_id
        return SUITE.encrypt(self.wrap_keys(position), key, info)

    def sender_sig(self, digest: bytes) -> bytes:
        """Return the signature over the whole."""
        return self.device.sign_digest(digest)

    def sections(self, header: bytes) -> list[bytes]:
        """Return all sections' ciphertexts."""
        sealed = [
            self.encrypt(number, header, self.padded(number, one)) for number, one in enumerate(self.contents, start=1)
        ]
        zero = self.section_zero(header, [sha256(section) for section in sealed])
        return [self.encrypt(0, header, self.padded(0, zero)), *sealed]

    def build(self) -> bytes:
        """Return the envelope's bytes."""
        common = self.common().encode()
        rows = [self.row(position).encode() for position in range(len(self.to))]
        header = self.header(common, rows)
        sections = self.sections(header)
        wraps = [self.wrap(position, header) for position in range(len(self.to))]
        digest = sha256(
            b"tc/1 envelope\0"
            + header
            + sha256(b"".join(sha256(wrap) for wrap in wraps))
            + b"".join(sha256(section) for section in sections)
        )
        return cbor.encode([common, list(rows), list(wraps), list(sections), self.sender_sig(digest)])
