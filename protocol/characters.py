# SPDX-License-Identifier: Apache-2.0
"""Which characters may stand in text that people read: none that hide, overwrite or turn around what they see."""

import unicodedata

_DIRECTION_MARKS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def is_allowed(character: str) -> bool:
    """Tell whether a text may hold `character`.

    Not allowed: control characters other than line feed and tab, halves of surrogate pairs, and the marks
    that turn the direction of writing around, with which a text can be made to look like another.
    """
    if character in "\n\t":
        return True
    return unicodedata.category(character) not in ("Cc", "Cs") and character not in _DIRECTION_MARKS


def is_line(text: str) -> bool:
    """Tell whether `text` is one line of allowed characters (CBOR-5)."""
    if text.isascii():
        return text.isprintable()
    return "\n" not in text and "\t" not in text and all(map(is_allowed, text))
