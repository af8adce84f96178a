# SPDX-License-Identifier: Apache-2.0
"""Strict CBOR: one spelling for each value (CBOR-1 to CBOR-8), on top of cbor2.

cbor2 accepts much that RFC 8949 allows: duplicate keys, indefinite lengths, long integers, tags, trailing bytes. We
refuse it all by three means: the decoder's own switches, a walk over the types, and comparing with a re-encoding.
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
    _check(value, MAX_DEPTH)
    return cbor2.dumps(value)


def decode(data: bytes, *, limit: int) -> Value:
    """Return the value that `data` spells, at most `limit` bytes long.

    Raises `MalformedEnvelope` for anything but the strict encoding of one value (CBOR-1 to CBOR-6).
    """
    if len(data) > limit:
        raise MalformedEnvelope("The bytes are longer than this structure may be.")
    _check_items(data)
    try:
        value: Value = cbor2.loads(
            data,
            max_depth=MAX_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            semantic_decoders=_NO_TAGS,
        )
    except (cbor2.CBORError, MalformedEnvelope, TypeError, ValueError, OverflowError, MemoryError):
        raise MalformedEnvelope from None
    _check(value, MAX_DEPTH)
    # Trailing bytes (CBOR-4) and long spellings (CBOR-3) do not survive a re-encoding.
    if cbor2.dumps(value) != data:
        raise MalformedEnvelope
    return value


def _check_items(data: bytes) -> None:
    """Raise if `data` spells more than `MAX_ITEMS` items (CBOR-6).

    A short input can make a decoder build a million objects. This walks the heads only, at most `MAX_ITEMS` of them,
    and passes over the content of strings.
    """
    if len(data) <= MAX_ITEMS:
        return  # an item has at least one byte
    at, items = 0, 0
    while at < len(data):
        items += 1
        if items > MAX_ITEMS:
            raise MalformedEnvelope("The bytes hold more items than any structure has.")
        major, value = data[at] >> 5, data[at] & 0x1F
        size = _FIRST_BYTES.get(value, 0)
        if size:
            value = int.from_bytes(data[at + 1 : at + 1 + size], "big")
        at += 1 + size + (value if major in (2, 3) else 0)


def _check(value: object, depth: int) -> None:
    """Raise unless `value` is in the profile: types (CBOR-1), small keys (CBOR-2) that ascend (CBOR-3), clean text."""
    kind = type(value)
    if kind is bytes or kind is bool or value is None:
        return
    if isinstance(value, int):
        if not 0 <= value <= MAX_INTEGER:
            raise MalformedEnvelope
    elif isinstance(value, str):
        _check_text(value)
    elif isinstance(value, list):
        _check_items_of(value, depth)
    elif isinstance(value, dict):
        last = -1
        for key in value:
            if type(key) is not int or not last < key <= MAX_KEY:
                raise MalformedEnvelope
            last = key
        _check_items_of(value.values(), depth)
    else:
        raise MalformedEnvelope


def _check_items_of(values: Collection[object], depth: int) -> None:
    if values and not depth:
        raise MalformedEnvelope
    for value in values:
        # Most are bytes, of which nothing can be wrong, or numbers, and a call costs more than all the rest here.
        kind = type(value)
        if kind is bytes or (kind is int and 0 <= value <= MAX_INTEGER):  # type: ignore[operator] # it is an int
            continue
        _check(value, depth - 1)


def _check_text(text: str) -> None:
    if text.isascii():  # CBOR-5 can only fail beyond ASCII
        return
    if not unicodedata.is_normalized("NFC", text):
        raise MalformedEnvelope
    try:
        text.encode()
    except UnicodeEncodeError:
        raise MalformedEnvelope from None
