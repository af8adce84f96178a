# SPDX-License-Identifier: Apache-2.0
"""The authority's word that a hub was restored from a backup, and what of its logs was kept (GEN-2)."""

from dataclasses import dataclass

from protocol import limits
from protocol.cbor import Value
from protocol.errors import MalformedEnvelope
from protocol.generations import MAX_GENERATION
from protocol.shapes import as_bytes, as_int, as_map, as_text, as_tuple


@dataclass(frozen=True, slots=True)
class Kept:
    """What a restore kept of a log, and the newest of it that anybody had shown by then: sizes and roots."""

    size: int
    root: bytes
    known_size: int
    known_root: bytes

    def value(self) -> Value:
        """Return the CBOR value."""
        return [self.size, self.root, self.known_size, self.known_root]

    @classmethod
    def of(cls, value: Value) -> "Kept":
        """Read the CBOR value, or raise `MalformedEnvelope`."""
        size, root, known_size, known_root = as_tuple(value, 4)
        kept = cls(
            as_int(size), as_bytes(root, size=limits.HASH), as_int(known_size), as_bytes(known_root, size=limits.HASH)
        )
        if kept.known_size < kept.size or (kept.known_size == kept.size and kept.known_root != kept.root):
            raise MalformedEnvelope("A restore cannot have kept more than was known.")
        return kept


@dataclass(frozen=True, slots=True)
class Restoration:
    """The hub of `domain` was restored; generation `generation` of both logs goes on from what was kept."""

    domain: str
    generation: int
    directory: Kept
    audit: Kept

    def value(self) -> Value:
        """Return the CBOR value."""
        return {0: self.domain, 1: self.generation, 2: self.directory.value(), 3: self.audit.value()}

    @classmethod
    def of(cls, value: Value) -> "Restoration":
        """Read the CBOR value, or raise `MalformedEnvelope`."""
        fields = as_map(value, 4)
        return cls(
            as_text(fields[0], least=1, most=100),
            as_int(fields[1], least=1, most=MAX_GENERATION),
            Kept.of(fields[2]),
            Kept.of(fields[3]),
        )
