# SPDX-License-Identifier: Apache-2.0
"""Which register numbers tell one person from another: what clerks write where there is none does not (CAS-7).

A register that must have a number gets *nepoznato*, *n/a* or *0000* for everybody who has none. Were those compared,
all of them would become one case. Such a number is kept and shown as it was said, and decides nothing.
"""

import re
import unicodedata
from typing import Final

from connectors.folding import fold

LEAST: Final = 2
"""Letters and digits that a number has at least, one of them a digit."""
PLACEHOLDERS: Final = frozenset(
    {
        # As `fold` gives them, so in either script and without marks, and without what stands between their words.
        # English.
        "unknown", "unspecified", "notknown", "notavailable", "notapplicable", "nonumber", "none", "null", "missing",
        "pending",
        # Bosnian, Croatian, Montenegrin, Serbian.
        "nepoznat", "nepoznata", "nepoznato", "nijepoznato", "bezbroja", "bezoznake", "nema", "nemabroj", "nemabroja",
        "nijeodredeno",
        # Macedonian; what it has in common with those above stands there.
        "bezbroj", "neepoznat", "neepoznato",
        # Albanian.
        "panumer", "skanumer", "panjohur", "ipanjohur", "epanjohur", "nukdihet",
        # Turkish and Hungarian, where they are languages of offices.
        "bilinmiyor", "numarasiz", "ismeretlen", "nincs",
    }
)  # fmt: skip
"""What stands for a number that is not known; a year or another number beside it makes it none."""
_MARKS: Final = re.compile(r"[^\W_]")
_YEAR: Final = re.compile(r"/\s*(?:19|20)?\d\d\s*$|^\s*(?:19|20)\d\d\s*/")
"""The year of a number such as 17/2026 or 2026/17; 0/2026 has one too, and is none."""
_MINUS: Final = "\N{MINUS SIGN}"
"""A dash to whoever reads it, though it is none by its kind."""
_UNSEEN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Signs that choose or join forms, and have none of their own, and fillers that are as blank as a space.

Beside those that Unicode counts as formats (Cf), and as spaces.
"""


def telling(number: str) -> bool:
    """Tell whether a register's number can be compared with others."""
    text = fold(spelled(number))
    marks = _MARKS.findall(text)
    letters = "".join(one for one in marks if not one.isdecimal())
    counted = any(int(one) for one in _YEAR.sub("", text, count=1) if one.isdecimal())
    return len(marks) >= LEAST and len(set(marks)) > 1 and counted and letters not in PLACEHOLDERS


def spelled(number: str) -> str:
    """Return a number as it is compared: by what is to be seen of it, however a program has written that.

    How it is spaced, in which case its letters are, which dash divides it and what signs without width came with it
    from where it was copied make no difference. Digits that only look alike do.
    """
    seen = "".join(one for one in _UNSEEN.sub("", number) if unicodedata.category(one) != "Cf")
    # Only now, for a sign without width may have kept a letter from its mark.
    composed = unicodedata.normalize("NFC", seen)
    one_dash = ("-" if unicodedata.category(one) == "Pd" or one == _MINUS else one for one in composed)
    return "".join("".join(one_dash).split()).casefold()
