# SPDX-License-Identifier: Apache-2.0
r"""What proves that a hub signed two directories, as a file that stands by itself (DIR-18, DIR-19).

    file = "throughcare contradiction 1\n" || frame…;  frame = length(4) || bytes
    frames: the hub's domain, then each contradiction:
    [form, signed, head|null, root, [hash…], kept, dismissed|null]

`signed` is what the hub signed of its directory and cannot be true beside `head`, which it signed as well: another
head, or an acceptance receipt. Where the first is of a tree that is not larger, `root` is what the tree of `head` has
at that size, and the hashes are the proof of it (RFC 6962). Nothing in the file is believed: whoever has the hub's keys
checks all of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from protocol import cbor, limits
from protocol.errors import MalformedEnvelope
from protocol.receipts import parse_head, parse_receipt
from protocol.shapes import as_bytes, as_int, as_list, as_text, as_tuple

BEGIN: Final = b"throughcare contradiction 1\n"
MOST: Final = 2_000
"""Contradictions in one file."""
_MOST_HASHES: Final = 64
_MAX_SIGNED: Final = max(limits.MAX_RECEIPT, 2_048)
_MAX_ONE: Final = 4 * _MAX_SIGNED
_LENGTH: Final = 4


class Form(StrEnum):
    """What the hub signed."""

    HEAD = "head"
    RECEIPT = "receipt"


@dataclass(frozen=True, slots=True)
class Named:
    """What a signature of the hub says of its directory: that it had `size` statements and `root` at a time, ms UTC."""

    origin: str
    size: int
    root: bytes
    at: int


@dataclass(frozen=True, slots=True)
class Contradiction:
    """One signature of the hub's beside another; times in ms UTC."""

    form: Form
    signed: bytes = field(repr=False)
    head: bytes | None = field(repr=False)
    root: bytes = field(repr=False)
    proof: tuple[bytes, ...] = field(repr=False)
    kept_at: int
    dismissed_at: int | None = None

    def encode(self) -> bytes:
        """Return the stored form of one."""
        proof: list[cbor.Value] = list(self.proof)
        return cbor.encode([self.form.value, self.signed, self.head, self.root, proof, self.kept_at, self.dismissed_at])

    @classmethod
    def parse(cls, data: bytes) -> "Contradiction":
        """Read the stored form of one, or raise `MalformedEnvelope`."""
        fields = as_tuple(cbor.decode(data, limit=_MAX_ONE), 7)
        form, signed, head, root, proof, kept_at, dismissed_at = fields
        try:
            known = Form(as_text(form, most=20))
        except ValueError:
            raise MalformedEnvelope("The file holds evidence of a form that this version does not know.") from None
        return cls(
            known,
            as_bytes(signed),
            None if head is None else as_bytes(head),
            as_bytes(root),
            tuple(as_bytes(one, size=limits.HASH) for one in as_list(proof, most=_MOST_HASHES)),
            as_int(kept_at),
            None if dismissed_at is None else as_int(dismissed_at),
        )


def named(form: Form, signed: bytes) -> Named:
    """Return what a signature of the hub says of its directory, unverified; `MalformedEnvelope` for its form."""
    if form is Form.HEAD:
        head = parse_head(signed).head
        return Named(head.origin, head.size, head.root, head.at)
    body = parse_receipt(signed).body
    return Named(body.origin, body.detail.directory_size, body.detail.directory_root, body.leaf.at)


def encode_file(domain: str, contradictions: Sequence[Contradiction]) -> bytes:
    """Return the file."""
    frames = [domain.encode(), *(one.encode() for one in contradictions)]
    return BEGIN + b"".join(len(one).to_bytes(_LENGTH, "big") + one for one in frames)


def parse_file(data: bytes) -> tuple[str, list[Contradiction]]:
    """Return the hub's domain and what is in the file; `MalformedEnvelope` if it is none."""
    if not data.startswith(BEGIN):
        raise MalformedEnvelope("This is no file that `throughcare directory evidence` wrote.")
    first, *items = _frames(data[len(BEGIN) :]) or [b""]
    try:
        domain = as_text(first.decode(), least=1, most=200)
    except UnicodeDecodeError:
        raise MalformedEnvelope("The file is cut or damaged.") from None
    return domain, [Contradiction.parse(one) for one in items]


def _frames(data: bytes) -> list[bytes]:
    found: list[bytes] = []
    at = 0
    while at < len(data):
        end = at + _LENGTH + int.from_bytes(data[at : at + _LENGTH], "big")
        if at + _LENGTH > len(data) or end > len(data) or len(found) > MOST:
            raise MalformedEnvelope("The file is cut or damaged.")
        found.append(data[at + _LENGTH : end])
        at = end
    return found
