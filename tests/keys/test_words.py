# SPDX-License-Identifier: Apache-2.0
"""Words for a comparison by voice."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st
from mnemonic import Mnemonic

from keys.words import fingerprint_words


def test_enr_4_a_key_request_has_eight_words_of_eleven_bits() -> None:
    words = fingerprint_words(b"key request")
    assert len(words) == 8
    bits = "".join(f"{byte:08b}" for byte in hashlib.sha256(b"tc/1 words\0key request").digest())
    positions = [int(bits[start : start + 11], 2) for start in range(0, 88, 11)]
    assert words == tuple(Mnemonic("english").wordlist[position] for position in positions)


def test_enr_4_the_words_are_those_of_bip_39() -> None:
    joined = "".join(word + "\n" for word in Mnemonic("english").wordlist)
    known = "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"
    assert hashlib.sha256(joined.encode()).hexdigest() == known


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_enr_4_other_requests_have_other_words(one: bytes, other: bytes) -> None:
    assert (fingerprint_words(one) == fingerprint_words(other)) == (one == other)
