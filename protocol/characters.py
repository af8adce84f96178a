# SPDX-License-Identifier: Apache-2.0
"""Which characters may stand in text that people read: none that hide, overwrite or turn around what they see."""

import unicodedata

_DIRECTION_MARKS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

_UNSEEN = frozenset("\u061c\u200f\u2028\u2029\ufff9\ufffa\ufffb")


def is_allowed(character: str) -> bool:
    """Tell whether a text may hold `character`.

    Not allowed: control characters other than line feed and tab, halves of surrogate pairs, and the marks
    that turn the direction of writing around, with which a text can be made to look like another.
    """
    if character in "\n\t":
        return True
    return unicodedata.category(character) not in ("Cc", "Cs") and character not in _DIRECTION_MARKS


def is_harmless(character: str) -> bool:
    """Tell whether paper may show `character` as it is.

    Messages may hold a few more, for a text that was copied from elsewhere has them: marks of right-to-left writing,
    with which a span of days or doses stands the other way round; ends of lines that are none of ours; tags, which
    are a second text that nobody sees.
    """
    return is_allowed(character) and not (character in _UNSEEN or "\U000e0000" <= character <= "\U000e007f")


def is_line(text: str) -> bool:
    """Tell whether `text` is one line of allowed characters (CBOR-5)."""
    if text.isascii():
        return text.isprintable()
    return "\n" not in text and "\t" not in text and all(map(is_allowed, text))
