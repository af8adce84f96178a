# SPDX-License-Identifier: Apache-2.0
"""What connector and hub say over the websocket, and the CBOR of batches and mailbox pages (HTTP-6, HTTP-7, HTTP-9)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

from protocol import cbor, limits
from protocol.cbor import Value
from protocol.errors import MalformedEnvelope
from protocol.ids import KEY_ID_SIZE, KeyId
from protocol.shapes import as_bytes, as_int, as_list, as_optional_int, as_text, as_tuple

CHALLENGE_SIZE = 32
MAX_INCOMING = limits.MAX_DELIVERY + limits.MAX_SLICE + 65_536
"""Bytes of one frame or page that a connector takes from the hub."""


class ItemKind(IntEnum):
    """What a mailbox item holds."""

    SLICE = 1
    NOTICE = 2


@dataclass(frozen=True, slots=True)
class Item:
    """One thing in a mailbox: its leaf index, which is also its cursor, and its bytes (HTTP-7)."""

    index: int
    kind: ItemKind
    data: bytes = field(repr=False)

    def value(self) -> Value:
        """Return the CBOR value."""
        return [self.index, int(self.kind), self.data]

    @classmethod
    def of(cls, value: Value) -> "Item":
        """Read the CBOR value, or raise `MalformedEnvelope`."""
        index, kind, data = as_tuple(value, 3)
        return cls(as_int(index), ItemKind(as_int(kind, least=1, most=2)), as_bytes(data))


def _items(value: Value) -> tuple[Item, ...]:
    return tuple(Item.of(item) for item in as_list(value, most=1_000))


@dataclass(frozen=True, slots=True)
class Challenge:
    """Hub: sign this."""

    challenge: bytes


@dataclass(frozen=True, slots=True)
class Hello:
    """Connector: the device's key id and its transport key's signature over the challenge."""

    device_id: KeyId
    signature: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Welcome:
    """Hub: authenticated; its time in ms UTC."""

    server_time: int


@dataclass(frozen=True, slots=True)
class Submit:
    """Connector: accept this envelope; `ref` is the connector's own number for the answer."""

    ref: int
    envelope: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Accepted:
    """Hub: the envelope of `ref` is durable; here is its receipt."""

    ref: int
    receipt: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """Hub: the envelope of `ref` was refused with an error code; `retry_after` in seconds when another try may help."""

    ref: int
    code: str
    detail: str
    retry_after: int | None


@dataclass(frozen=True, slots=True)
class Deliver:
    """Hub: items of the mailbox in order of their index."""

    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Connector: everything up to this index is stored durably."""

    up_to: int


Frame: TypeAlias = Challenge | Hello | Welcome | Submit | Accepted | Refused | Deliver | Acknowledge


def encode_frame(frame: Frame) -> bytes:
    """Return a frame's bytes."""
    value: list[Value]
    match frame:
        # What the hub says for each message comes first.
        case Accepted(ref, receipt):
            return cbor.encode_sound([5, ref, receipt])
        case Deliver(items):
            return cbor.encode_sound([7, [item.value() for item in items]])
        case Challenge(challenge):
            value = [1, challenge]
        case Hello(device_id, signature):
            value = [2, device_id, signature]
        case Welcome(server_time):
            value = [3, server_time]
        case Submit(ref, envelope):
            value = [4, ref, envelope]
        case Refused(ref, code, detail, retry_after):
            value = [6, ref, code, detail, retry_after]
        case Acknowledge(up_to):
            value = [8, up_to]
    return cbor.encode(value)


def parse_frame(data: bytes, *, limit: int = limits.MAX_FRAME) -> Frame:
    """Read a frame of at most `limit` bytes (a connector passes `MAX_INCOMING`), or raise `MalformedEnvelope`."""
    fields = as_list(cbor.decode(data, limit=limit), least=2, most=5)
    as_int(fields[0])  # a pattern takes True for 1
    match fields:
        # What the hub is told for each message comes first.
        case [4, ref, envelope]:
            return Submit(as_int(ref), as_bytes(envelope))
        case [8, up_to]:
            return Acknowledge(as_int(up_to))
        case [1, challenge]:
            return Challenge(as_bytes(challenge, size=CHALLENGE_SIZE))
        case [2, device_id, signature]:
            return Hello(
                KeyId(as_bytes(device_id, size=KEY_ID_SIZE)),
                as_bytes(signature, size=limits.ED25519_SIGNATURE),
            )
        case [3, server_time]:
            return Welcome(as_int(server_time))
        case [5, ref, receipt]:
            return Accepted(as_int(ref), as_bytes(receipt, most=limits.MAX_RECEIPT))
        case [6, ref, code, detail, retry_after]:
            return Refused(
                as_int(ref),
                as_text(code, most=limits.MAX_CODE),
                as_text(detail, most=500),
                as_optional_int(retry_after),
            )
        case [7, items]:
            return Deliver(_items(items))
        case _:
            raise MalformedEnvelope("There is no such frame.")


def encode_page(next_cursor: int, items: Sequence[Item]) -> bytes:
    """Return a mailbox page: the cursor to ask with next, and the items (HTTP-7)."""
    return cbor.encode([next_cursor, [item.value() for item in items]])


def parse_page(data: bytes) -> tuple[int, tuple[Item, ...]]:
    """Read a mailbox page, or raise `MalformedEnvelope`."""
    cursor, items = as_tuple(cbor.decode(data, limit=MAX_INCOMING), 2)
    return as_int(cursor), _items(items)


def encode_batch(envelopes: Sequence[bytes]) -> bytes:
    """Return a batch of at most 64 envelopes (HTTP-6)."""
    return cbor.encode(list(envelopes))


def parse_batch(data: bytes) -> tuple[bytes, ...]:
    """Read a batch of 1 to 64 items, each a byte string, or raise `MalformedEnvelope`."""
    items = as_list(cbor.decode(data, limit=MAX_BATCH_BODY), least=1, most=limits.MAX_BATCH)
    return tuple(as_bytes(item) for item in items)


MAX_BATCH_BODY = 4 * limits.MAX_ENVELOPE
"""Bytes of a batch's body."""


def encode_results(results: Sequence[Accepted | Refused]) -> bytes:
    """Return the answers to a batch, `ref` being the place in it."""
    return cbor.encode([encode_frame(result) for result in results])


def parse_results(data: bytes) -> tuple[Accepted | Refused, ...]:
    """Read the answers to a batch, or raise `MalformedEnvelope`."""
    results = []
    for item in as_list(cbor.decode(data, limit=limits.MAX_BATCH * limits.MAX_FRAME), most=limits.MAX_BATCH):
        frame = parse_frame(as_bytes(item))
        if not isinstance(frame, Accepted | Refused):
            raise MalformedEnvelope("There is no such result.")
        results.append(frame)
    return tuple(results)
