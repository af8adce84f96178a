# SPDX-License-Identifier: Apache-2.0
"""JSON that two parsers could read differently is refused (faults 15 and 16)."""

import json
import sys
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import MalformedRequest
from protocol.http.strictjson import MAX_DEPTH, parse, render

CLEAN_TEXT = st.text(
    st.characters(
        codec="utf-8",
        exclude_categories=["Cc", "Cs"],
        exclude_characters="\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
    )
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | CLEAN_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(CLEAN_TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_rendered_is_read_again(value: object) -> None:
    assert parse(render(value)) == value  # type: ignore[arg-type]
    assert parse(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"{}{}",
        b"{} x",
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":1}}',
        b'{"a":1,"\\u0061":2}',
        b"NaN",
        b"[Infinity]",
        b"[-Infinity]",
        b"1e999",
        b"-1e999",
        b"9223372036854775808",
        b"9" * 100_000,
        b"\xef\xbb\xbf{}",
        b'"\xff"',
        b'"\xc0\x80"',
        b'"\xed\xa0\x80"',
        b'"\\ud800"',
        b'{"\\udc00":1}',
        b'"\\u0000"',
        b'"\x00"',
        b'"\\u202e"',
        '"\u202e"'.encode(),
        b"{}".decode().encode("utf-16"),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b'[{"a":' * 17 + b"1" + b"}]" * 17,
    ],
)
def test_anything_else_is_malformed_and_not_repeated(data: bytes) -> None:
    with pytest.raises(MalformedRequest) as caught:
        parse(data)
    assert caught.value.__cause__ is None
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b"[" + b"[]," * 20_000 + b"[]]",
    ],
)
def test_what_is_too_deep_or_holds_too_much_is_refused_before_it_is_read(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Mock(wraps=json.loads)
    monkeypatch.setattr(json, "loads", read)
    with pytest.raises(MalformedRequest):
        parse(data)
    assert not read.called
    parse(b"[[]]")
    assert read.called


def test_brackets_inside_texts_are_no_nesting() -> None:
    assert parse(b'["' + b"[{" * 100 + b'", "\\"[[["]') == ["[{" * 100, '"[[[']
    assert parse(b"[" + b"[]," * 1000 + b"[]]") == [[]] * 1001
    assert parse(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)


def calls_while_reading(numbers: int) -> int:
    """Return how many functions are called to read an object of so many numbers."""
    data = json.dumps({str(number): number for number in range(numbers)}).encode()
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        value = parse(data)
    finally:
        sys.setprofile(None)
    assert value == {str(number): number for number in range(numbers)}
    return calls


def test_reading_a_flat_body_takes_work_in_proportion_to_its_length() -> None:
    small, large = calls_while_reading(1_000), calls_while_reading(20_000)
    assert 20_000 <= large <= 20 * small


def test_a_body_of_a_million_small_lists_is_refused_before_it_is_built() -> None:
    with pytest.raises(MalformedRequest):
        parse(b'{"statement":[' + b"[]," * 20_000 + b"[]]}")
    assert parse(b"[" + b"{}," * 10_000 + b"{}]") == [{}] * 10_001
