# SPDX-License-Identifier: Apache-2.0
"""Padding: sizes tell only the bucket, and nothing but the one right padding comes off (attack 25)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import CannotOpen
from protocol.padding import BUCKETS, ciphertext_size, is_bucket, is_section_length, pad, padded_size, unpad

SIZES = st.integers(0, 3 << 20)


@given(st.binary(max_size=200), st.integers(0, 70_000))
def test_pad_2_what_is_padded_comes_off_again(head: bytes, zeros: int) -> None:
    plaintext = head + bytes(zeros)
    assert unpad(pad(plaintext)) == plaintext


@given(SIZES)
def test_pad_1_the_smallest_bucket_that_fits_is_used_and_grows_little(size: int) -> None:
    padded = padded_size(size)
    assert padded >= size + 1
    assert is_bucket(padded)
    assert padded <= max(BUCKETS[-1], (size + 1) * 1.12)
    assert padded == BUCKETS[0] or padded_size(padded - 1) == padded


@given(SIZES)
def test_pad_1_there_are_few_sizes(size: int) -> None:
    assert padded_size(padded_size(size) - 1) == padded_size(size)


@given(st.binary(max_size=20_000))
def test_pad_2_bytes_that_are_no_padding_cannot_be_opened(data: bytes) -> None:
    try:
        plaintext = unpad(data)
    except CannotOpen:
        return
    assert pad(plaintext) == data


@pytest.mark.parametrize(
    "padded",
    [
        b"",
        bytes(8192),
        b"text".ljust(8192, b"\0"),
        b"text\x80".ljust(8192, b"\0")[:-1] + b"\1",
        b"text\x80".ljust(16384, b"\0"),
        b"text\x80".ljust(8191, b"\0"),
        b"text\x80".ljust(8193, b"\0"),
        b"x" * 8191 + b"\x81",
    ],
)
def test_pad_2_wrong_mark_zeros_or_bucket_cannot_be_opened(padded: bytes) -> None:
    """Attack 25: no 0x80, other bytes, a bucket too large, no bucket at all."""
    with pytest.raises(CannotOpen):
        unpad(padded)


@given(SIZES)
def test_env_4_a_section_length_is_that_of_a_padded_section(size: int) -> None:
    length = ciphertext_size(padded_size(size))
    assert is_section_length(length)
    assert not is_section_length(length + 1)
    assert not is_section_length(length - 1)


@pytest.mark.parametrize("length", [0, 1, 71, 72, 8192, 8192 + 71, 8192 + 73])
def test_env_4_other_lengths_are_not(length: int) -> None:
    assert not is_section_length(length)
