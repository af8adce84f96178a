# SPDX-License-Identifier: Apache-2.0
"""Strict CBOR: one spelling for each value (CBOR-1 to CBOR-8), on top of cbor2.

cbor2 accepts much that RFC 8949 allows: duplicate keys, indefinite lengths, long integers, tags, trailing bytes. We
refuse it all by three means: the decoder's own switches, a walk over the types, and the length of the one strict
encoding, which every other spelling of a value exceeds.
"""

import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NoReturn, TypeAlias

import cbor2

from protocol.errors import MalformedEnvelope

Value: TypeAlias = "int | bytes | str | bool | list[Value] | dict[int, Value] | None"

MAX_DEPTH = 16
MAX_KEY = 23
MAX_INTEGER = 2**64 - 1
MAX_ITEMS = 4_096
"""CBOR-6: the largest structure, an envelope for 1,000 devices, has about 2,100 items; a page of 1,000 has 4,000."""

_FIRST_BYTES = {24: 1, 25: 2, 26: 4, 27: 8}


class _RefuseTags(Mapping[int, Callable[..., NoReturn]]):
    """Stands for every tag's decoder, so that no tag is ever interpreted (CBOR-1)."""

    def __getitem__(self, tag: int) -> Callable[..., NoReturn]:
        return _refuse_tag

    def __contains__(self, tag: object) -> bool:
        return True

    def __iter__(self) -> Iterator[int]:
        return iter(())

    def __len__(self) -> int:
        return 1


def _refuse_tag(*_: object) -> NoReturn:
    raise MalformedEnvelope


_NO_TAGS: Any = _RefuseTags()


def encode(value: Value) -> bytes:
    """Return the one strict encoding of `value`, whose maps must be built with ascending keys.

    Raises `MalformedEnvelope` for a value outside the profile, so that nothing is ever sent that we would refuse.
    """
    _length((value,), MAX_DEPTH)
    return cbor2.dumps(value)


def encode_sound(value: Value) -> bytes:
    """Return what `encode` does, of a value that its caller knows to be in the profile.

    Only for structures of fixed keys whose parts are byte strings, counts and text that was parsed. To check them takes
    longer than to encode them, and the hub makes seven for each message.
    """
    return cbor2.dumps(value)


def decode(data: bytes, *, limit: int) -> Value:
    """Return the value that `data` spells, at most `limit` bytes long.

    Raises `MalformedEnvelope` for anything but the strict encoding of one value (CBOR-1 to CBOR-6), and `MemoryError`
    where there is no memory for it: nothing is wrong with it then.
    """
    if len(data) > limit:
        raise MalformedEnvelope("The bytes are longer than this structure may be.")
    if len(data) > MAX_ITEMS:  # an item has at least one byte
        _check_items(data)
    try:
        value: Value = cbor2.loads(
            data,
            max_depth=MAX_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            semantic_decoders=_NO_TAGS,
        )
    except (cbor2.CBORError, MalformedEnvelope, TypeError, ValueError, OverflowError):
        raise MalformedEnvelope from None
    except MemoryError:
        if _claims_more(data):
            raise MalformedEnvelope from None
        raise
    # What is left are long spellings (CBOR-3) and trailing bytes (CBOR-4). Both only ever add bytes: with the length of
    # the strict encoding, each head must be in its shortest form, and so all bytes are those of the strict encoding.
    # Encoding the value again to compare takes twice as long.
    if _length((value,), MAX_DEPTH) != len(data):
        raise MalformedEnvelope
    return value


def _check_items(data: bytes) -> None:
    """Raise if `data` spells more than `MAX_ITEMS` items (CBOR-6).

    A short input can make a decoder build a million objects. This walks the heads only, at most `MAX_ITEMS` of them,
    and passes over the content of strings.
    """
    for items, _ in enumerate(_heads(data), start=1):
        if items > MAX_ITEMS:
            raise MalformedEnvelope("The bytes hold more items than any structure has.")


def _claims_more(data: bytes) -> bool:
    """Tell whether a string, list or map in `data` says that it is longer than all that follows it."""
    return any(0x40 <= head < 0xC0 and number > rest for head, number, rest in _heads(data))


def _heads(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the first byte of each head, its number, and how many bytes follow it."""
    at, end = 0, len(data)
    while at < end:
        head = data[at]
        at += 1
        value = head & 0x1F
        if value > 23:
            size = _FIRST_BYTES.get(value, 0)
            value = int.from_bytes(data[at : at + size], "big")
            at += size
        yield head, value, end - at
        if 0x40 <= head < 0x80:  # a string
            at += value


def _length(values: Collection[Any], depth: int) -> int:
    """Return how many bytes the strict encodings of `values` have together.

    Raises unless all are in the profile: types (CBOR-1), small keys (CBOR-2) that ascend (CBOR-3), clean text (CBOR-5),
    no deeper than `depth` (CBOR-6). It is one loop for all types, since a call costs more than the rest.
    """
    if values and depth < 0:
        raise MalformedEnvelope
    length = 0
    for value in values:
        kind = type(value)
        if kind is bytes:
            number = len(value)
            length += number
        elif kind is int:
            if not 0 <= value <= MAX_INTEGER:
                raise MalformedEnvelope
            number = value
        elif kind is str:
            number = len(value) if value.isascii() else _length_of_text(value)
            length += number
        elif value is None or kind is bool:
            number = 0
        elif kind is list:
            number = len(value)
            length += _length(value, depth - 1)
        elif kind is dict:
            number = len(value)
            _check_keys(value)
            length += number + _length(value.values(), depth - 1)  # a small key is one byte
        else:
            length += _length((_plain(value),), depth)
            continue
        # A head is one byte, and 1, 2, 4 or 8 more for a number that does not fit into it.
        length += (
            1 if number < 24 else 2 if number < 1 << 8 else 3 if number < 1 << 16 else 5 if number < 1 << 32 else 9
        )
    return length


def _plain(value: object) -> Value:
    """Return a member of an enumeration as the number or text that it is; raise for what is no value at all."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        return str.__str__(value)
    raise MalformedEnvelope


def _check_keys(value: Mapping[object, object]) -> None:
    last = -1
    for key in value:
        if type(key) is not int or not last < key <= MAX_KEY:
            raise MalformedEnvelope
        last = key


def _length_of_text(text: str) -> int:
    """Return how many bytes `text` has in UTF-8, or raise unless it is in normal form C (CBOR-5)."""
    if not unicodedata.is_normalized("NFC", text):
        raise MalformedEnvelope
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise MalformedEnvelope from None
