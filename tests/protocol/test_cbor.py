# SPDX-License-Identifier: Apache-2.0
"""Strict CBOR: one spelling for each value, and a hostile stranger who tries all the others (attacks 1 to 7)."""

import tracemalloc
import unicodedata
from collections.abc import Iterator
from unittest.mock import Mock

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import cbor
from protocol.errors import MalformedEnvelope
from protocol.shapes import as_bytes, as_int, as_list, as_map, as_optional_bytes, as_text, as_tuple

LIMIT = 1 << 20

TEXT = st.text(max_size=20).map(lambda text: unicodedata.normalize("NFC", text))
LEAVES = st.none() | st.booleans() | st.integers(0, 2**64 - 1) | st.binary(max_size=40) | TEXT
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.integers(0, 23), inner, max_size=5).map(lambda one: dict(sorted(one.items())))
    ),
    max_leaves=20,
)


def refused(data: bytes) -> None:
    with pytest.raises(MalformedEnvelope):
        cbor.decode(data, limit=LIMIT)


@given(VALUES)
def test_cbor_3_what_is_encoded_decodes_to_the_same_value(value: cbor.Value) -> None:
    assert cbor.decode(cbor.encode(value), limit=LIMIT) == value


@given(st.binary(max_size=200))
def test_cbor_3_whatever_a_stranger_sends_is_refused_or_is_the_only_spelling(data: bytes) -> None:
    try:
        value = cbor.decode(data, limit=LIMIT)
    except MalformedEnvelope:
        return
    assert cbor.encode(value) == data


def spelled(value: cbor.Value, widths: Iterator[int]) -> bytes:
    """Spell `value` as RFC 8949 allows: each head takes, at least, the next of `widths` bytes after its first."""
    match value:
        case bytes():
            return _head(2, len(value), widths) + value
        case str():
            text = value.encode()
            return _head(3, len(text), widths) + text
        case list():
            return _head(4, len(value), widths) + b"".join(spelled(item, widths) for item in value)
        case dict():
            pairs = (spelled(key, widths) + spelled(item, widths) for key, item in value.items())
            return _head(5, len(value), widths) + b"".join(pairs)
        case None | bool():
            return cbor2.dumps(value)
        case int():
            return _head(0, value, widths)


def _head(major: int, number: int, widths: Iterator[int]) -> bytes:
    least = 0 if number < 24 else (number.bit_length() + 7) // 8
    width = next(size for size in (0, 1, 2, 4, 8) if size >= max(least, next(widths, 0)))
    if not width:
        return bytes([major << 5 | number])
    return bytes([major << 5 | {1: 24, 2: 25, 4: 26, 8: 27}[width]]) + number.to_bytes(width, "big")


@given(VALUES, st.lists(st.sampled_from([0, 0, 0, 1, 2, 4, 8]), max_size=40), st.binary(max_size=2))
def test_cbor_3_a_spelling_is_accepted_exactly_if_it_is_what_encoding_gives_again(
    value: cbor.Value, widths: list[int], tail: bytes
) -> None:
    """The decoder compares lengths; here the bytes are compared. The library reads every one of these spellings."""
    data = spelled(value, iter(widths))
    assert cbor2.loads(data) == value
    data += tail
    if data == cbor2.dumps(value):
        assert cbor.decode(data, limit=LIMIT) == value
    else:
        refused(data)


@pytest.mark.parametrize("bound", [24, 2**8, 2**16, 2**32])
@pytest.mark.parametrize("width", [0, 1, 2, 4, 8])
def test_cbor_3_the_shortest_head_of_each_number_is_the_only_one(bound: int, width: int) -> None:
    for value in (bound - 1, bound):
        data = spelled(value, iter([width]))
        if data == cbor2.dumps(value):
            assert cbor.decode(data, limit=LIMIT) == value
        else:
            refused(data)


@given(VALUES, st.binary(min_size=1, max_size=8))
def test_cbor_4_trailing_bytes_are_refused(value: cbor.Value, tail: bytes) -> None:
    """Attack 1."""
    refused(cbor.encode(value) + tail)


@pytest.mark.parametrize("data", [b"\xa2\x00\x01\x00\x02", b"\xa1\x18\x18\x00", b"\xa1\x61a\x00", b"\xa1\x20\x00"])
def test_cbor_2_duplicate_keys_and_keys_that_are_no_small_integers_are_refused(data: bytes) -> None:
    """Attack 2."""
    refused(data)


@pytest.mark.parametrize("data", [b"\x9f\x00\xff", b"\xbf\x00\x01\xff", b"\x5f\x41a\xff", b"\x7f\x61a\xff"])
def test_cbor_3_indefinite_lengths_are_refused(data: bytes) -> None:
    """Attack 3."""
    refused(data)


@pytest.mark.parametrize("data", [b"\x18\x05", b"\x19\x00\x18", b"\x58\x01a", b"\x98\x01\x00", b"\xa2\x01\x00\x00\x00"])
def test_cbor_3_long_spellings_and_unsorted_keys_are_refused(data: bytes) -> None:
    """Attack 4."""
    refused(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\xf9\x00\x00",  # float
        b"\xfb" + bytes(8),  # float, 8 bytes
        b"\xf7",  # undefined
        b"\xe1",  # simple value
        b"\x20",  # negative
        b"\xc2\x41\x01",  # bignum
        b"\xc0\x74" + b"2026-01-01T00:00:00Z",  # date
        b"\xd8\x1c\x81\xd8\x1d\x00",  # a list that holds itself
        b"\xd8\x23\x68(a+)+$aa",  # regular expression
        b"\xd9\xd9\xf7\x00",  # self-described
        b"\x82\x00\xc2\x41\x01",  # deeper
    ],
)
def test_cbor_1_floats_tags_undefined_and_shared_references_are_refused(data: bytes) -> None:
    """Attack 5."""
    refused(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x81" * 10_000 + b"\x00",
        b"\xa1\x00" * 10_000 + b"\x00",
        b"\x9b\x7f" + b"\xff" * 7,
        b"\xbb\x7f" + b"\xff" * 7,
        b"\x5b\x7f" + b"\xff" * 7,
        b"\x7b\x7f" + b"\xff" * 7,
        b"\x9a\x7f\xff\xff\xff",
        b"\x5a\x7f\xff\xff\xff",
        b"\x81" * 17 + b"\x00",
    ],
)
def test_cbor_6_deep_nesting_and_huge_declared_lengths_cost_nothing(data: bytes) -> None:
    """Attack 6: refused at once, without building anything from what was only declared."""
    tracemalloc.start()
    refused(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20


@pytest.mark.parametrize("item", [b"\x80", b"\x40", b"\x00", b"\xa0", b"\x81\x80", b"\x60"])
def test_cbor_6_a_short_input_never_becomes_a_million_objects(item: bytes) -> None:
    count = LIMIT // len(item) - 10
    data = b"\x9a" + count.to_bytes(4, "big") + item * count
    tracemalloc.start()
    refused(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_cbor_6_the_largest_structures_have_room() -> None:
    value: cbor.Value = [b"c" * 500, [b"r" * 100] * 1_000, [b"w" * 100] * 1_000, [b"s" * 8_264] * 32, b"s" * 64]
    assert cbor.decode(cbor.encode(value), limit=LIMIT) == value
    page: cbor.Value = [1_000, [[1, 1, b"x" * 100]] * 1_000]
    assert cbor.decode(cbor.encode(page), limit=LIMIT) == page


def test_cbor_6_input_longer_than_the_named_limit_is_refused_unread() -> None:
    with pytest.raises(MalformedEnvelope):
        cbor.decode(cbor.encode(b"x" * 100), limit=50)


@pytest.mark.parametrize("text", [b"\xff", b"\xed\xa0\x80", "e\u0301".encode(), b"\xc0\x80"])
def test_cbor_5_text_that_is_not_utf_8_in_normal_form_c_is_refused(text: bytes) -> None:
    """Attack 7."""
    refused(bytes([0x60 + len(text)]) + text)


def test_cbor_5_nothing_is_encoded_that_would_be_refused() -> None:
    values: list[cbor.Value] = ["e\u0301", "\ud800", -1, 2**64, {24: 0}, {1: 0, 0: 0}]
    for value in values:
        with pytest.raises(MalformedEnvelope):
            cbor.encode(value)
    with pytest.raises(MalformedEnvelope):
        cbor.encode([1.5])  # type: ignore[list-item]


def test_cbor_7_a_structure_has_exactly_its_keys_and_types() -> None:
    assert as_map({0: 1, 1: 2}, 2) == {0: 1, 1: 2}
    for wrong in ({0: 1}, {0: 1, 2: 2}, {0: 1, 1: 2, 2: 3}, [1, 2], None):
        with pytest.raises(MalformedEnvelope):
            as_map(wrong, 2)  # type: ignore[arg-type]
    for call in (
        lambda: as_int(True),
        lambda: as_int(5, most=4),
        lambda: as_bytes("x"),
        lambda: as_bytes(b"xx", size=1),
        lambda: as_bytes(b"xx", most=1),
        lambda: as_text(b"x", most=5),
        lambda: as_text("", least=1, most=5),
        lambda: as_int(2**53),
        lambda: as_text("two\nlines", most=20),
        lambda: as_text("\x1b]0;owned\x07", most=20),
        lambda: as_text("exe.\u202egnp", most=20),
        lambda: as_list([1], least=2, most=3),
        lambda: as_tuple([1], 2),
        lambda: as_optional_bytes(b"", size=1),
    ):
        with pytest.raises(MalformedEnvelope):
            call()


def test_the_library_alone_would_accept_what_the_profile_refuses() -> None:
    """The reason for the profile: if cbor2 grows stricter, this says so."""
    assert cbor2.loads(b"\x00\x00") == 0
    assert cbor2.loads(b"\xa2\x00\x01\x00\x02") == {0: 2}
    assert cbor2.loads(b"\x18\x05") == 5


@given(VALUES)
def test_cbor_6_want_of_memory_is_not_taken_for_wrong_bytes(value: cbor.Value) -> None:
    """A sender must not be told that its message is wrong because the hub had no memory to read it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cbor2, "loads", Mock(side_effect=MemoryError))
        with pytest.raises(MemoryError):
            cbor.decode(cbor.encode(value), limit=LIMIT)
        for declared in (b"\x5b\x7f" + b"\xff" * 7, b"\x9a\x7f\xff\xff\xff", b"\xbb\x7f" + b"\xff" * 7):
            refused(declared)
