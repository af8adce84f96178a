# SPDX-License-Identifier: Apache-2.0
"""Eight words that two people compare by voice: nobody between them can have changed a key (ENR-4)."""

from functools import cache

from mnemonic import Mnemonic

from protocol.enrolment import words_input

WORD_COUNT = 8
_BITS_PER_WORD = 11


@cache
def _word_list() -> tuple[str, ...]:
    """Return BIP-39's 2,048 English words: known, tested for being told apart, four letters suffice."""
    return tuple(Mnemonic("english").wordlist)


def fingerprint_words(data: bytes) -> tuple[str, ...]:
    """Return the 8 words of `data` (an encoded key request): 88 bits of its labelled SHA-256 (ENR-4)."""
    digest = int.from_bytes(words_input(data))
    words = _word_list()
    shifts = range(256 - _BITS_PER_WORD, 256 - _BITS_PER_WORD * (WORD_COUNT + 1), -_BITS_PER_WORD)
    return tuple(words[digest >> shift & 0x7FF] for shift in shifts)
