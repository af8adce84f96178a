# SPDX-License-Identifier: Apache-2.0
"""The public half of a key that somebody has made to take another's place at an authority (ENR-12)."""

from dataclasses import dataclass, field

from protocol import cbor, limits
from protocol.identities import IdentityKey
from protocol.shapes import as_bytes, as_map, as_text
from protocol.statements import as_signatures

MAX_NEW_KEY = 16 * 1024
"""Bytes of its file; it has about 5,500."""
_MAX_PLACE = 16


@dataclass(frozen=True, slots=True)
class NewKey:
    """What a newcomer's public file says, with the proof that its maker holds the key.

    `place` is whose place the key is for (`approver-2`, `root-1`), `root_fingerprint` the 32 bytes that it is bound to,
    `proof` the Ed25519 and ML-DSA-65 signatures over `message`.
    """

    place: str
    root_fingerprint: bytes
    identity: IdentityKey
    proof: tuple[bytes, bytes] = field(repr=False)

    @property
    def message(self) -> bytes:
        """What the key signs, after the label, and what the 8 words are of (ENR-12)."""
        return new_key_message(self.place, self.root_fingerprint, self.identity)

    def encode(self) -> bytes:
        """Return the bytes of the file."""
        return cbor.encode(
            {0: self.place, 1: self.root_fingerprint, 2: self.identity.value(), 3: list(self.proof)},
        )

    @classmethod
    def parse(cls, data: bytes) -> "NewKey":
        """Read a public file, or raise `MalformedEnvelope`; nothing in it is checked yet."""
        fields = as_map(cbor.decode(data, limit=MAX_NEW_KEY), 4)
        return cls(
            place=as_text(fields[0], least=1, most=_MAX_PLACE),
            root_fingerprint=as_bytes(fields[1], size=limits.HASH),
            identity=IdentityKey.of(fields[2]),
            proof=as_signatures(fields[3]),
        )


def new_key_message(place: str, root_fingerprint: bytes, identity: IdentityKey) -> bytes:
    """Return what a new key signs, after the label, to prove that its maker holds it (ENR-12)."""
    return cbor.encode([place, root_fingerprint, identity.value()])
