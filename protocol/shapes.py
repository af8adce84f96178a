# SPDX-License-Identifier: Apache-2.0
"""Reading decoded CBOR into typed values: what a function promises, or `MalformedEnvelope` (CBOR-7)."""

from protocol.cbor import MAX_KEY, Value
from protocol.characters import is_line
from protocol.errors import MalformedEnvelope

MAX_NUMBER = 2**53 - 1
"""CBOR-7: a number in a table fits every language and database that may have to hold it."""

_KEYS = tuple(frozenset(range(size)) for size in range(MAX_KEY + 2))
"""The keys of a map of each size."""


def as_map(value: Value, keys: int) -> dict[int, Value]:
    """Return `value` as a map with exactly the keys 0 to `keys` - 1 (CBOR-7)."""
    if not isinstance(value, dict) or value.keys() != _KEYS[keys]:
        raise MalformedEnvelope
    return value


def as_list(value: Value, *, least: int = 0, most: int) -> list[Value]:
    """Return `value` as a list of `least` to `most` items."""
    if not isinstance(value, list) or not least <= len(value) <= most:
        raise MalformedEnvelope
    return value


def as_tuple(value: Value, size: int) -> list[Value]:
    """Return `value` as a list of exactly `size` items."""
    if not isinstance(value, list) or len(value) != size:
        raise MalformedEnvelope
    return value


def as_int(value: Value, *, least: int = 0, most: int = MAX_NUMBER) -> int:
    """Return `value` as an integer from `least` to `most`; a boolean is none."""
    if type(value) is not int or not least <= value <= most:
        raise MalformedEnvelope
    return value


def as_bytes(value: Value, *, size: int | None = None, most: int | None = None) -> bytes:
    """Return `value` as a byte string of `size` bytes, or of at most `most`."""
    if type(value) is not bytes:
        raise MalformedEnvelope
    if size is not None and len(value) != size:
        raise MalformedEnvelope
    if most is not None and len(value) > most:
        raise MalformedEnvelope
    return value


def as_byte_strings(value: Value, *, most: int) -> tuple[bytes, ...]:
    """Return `value` as 1 to `most` byte strings."""
    items = as_list(value, least=1, most=most)
    strings = tuple([item for item in items if type(item) is bytes])
    if len(strings) != len(items):
        raise MalformedEnvelope
    return strings


def as_text(value: Value, *, least: int = 0, most: int) -> str:
    """Return `value` as one line of `least` to `most` characters, none of them control or direction marks (CBOR-5)."""
    if type(value) is not str or not least <= len(value) <= most or not is_line(value):
        raise MalformedEnvelope
    return value


def as_optional_bytes(value: Value, *, size: int) -> bytes | None:
    """Return `value` as a byte string of `size` bytes, or None for null."""
    return None if value is None else as_bytes(value, size=size)


def as_optional_int(value: Value, *, most: int = MAX_NUMBER) -> int | None:
    """Return `value` as an integer, or None for null."""
    return None if value is None else as_int(value, most=most)
