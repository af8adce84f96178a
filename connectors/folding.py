# SPDX-License-Identifier: Apache-2.0
"""One spelling for names and numbers however they are written, so that either script finds the other.

A clerk types *Djordje*, *Đorđe*, *Dorde* or *Ђорђе* and means the same person. Folding is coarse on purpose: it may
find one too many, and must not miss one. It is for finding only; nothing that is sent or shown is ever folded, and no
name is ever transliterated.
"""

import re
import unicodedata
from collections.abc import Iterable
from itertools import chain
from typing import Final

LONGEST: Final = 24
"""Letters of a word that count."""
SHORTEST: Final = 2
"""Letters of the shortest beginning of a word that finds it; a word of one letter finds itself."""
MOST_WORDS: Final = 12
"""Words of a question that count."""
MOST_FINDABLE: Final = 256
"""Words of one message by which it is found, those that it names first."""

_CYRILLIC: Final = {
    # Serbian and Montenegrin; a letter with a mark of its own gives what its Latin counterpart gives without it.
    "а": "a", "б": "b", "в": "v", "г": "g", "д": "d", "ђ": "d", "е": "e", "ж": "z", "з": "z", "и": "i", "ј": "j",
    "к": "k", "л": "l", "љ": "lj", "м": "m", "н": "n", "њ": "nj", "о": "o", "п": "p", "р": "r", "с": "s", "т": "t",
    "ћ": "c", "у": "u", "ф": "f", "х": "h", "ц": "c", "ч": "c", "џ": "dz", "ш": "s",
    # Macedonian.
    "ѓ": "g", "ѕ": "dz", "ќ": "k", "ѐ": "e", "ѝ": "i",
    # Letters of neighbours, in names from elsewhere.
    "ё": "e", "й": "j", "щ": "s", "ъ": "", "ы": "i", "ь": "", "э": "e", "ю": "ju", "я": "ja", "є": "e", "і": "i",
    "ї": "i", "ґ": "g", "ў": "u",
}  # fmt: skip
_LATIN: Final = {"đ": "d", "ð": "d", "ł": "l", "ø": "o", "ı": "i", "ß": "ss", "æ": "ae", "œ": "oe", "þ": "t"}
_LETTERS: Final = str.maketrans({**_CYRILLIC, **_LATIN})
_DIGRAPHS: Final = (
    # The same sounds where a keyboard has no such letter: Djordje, Gjorgji, Kjosev.
    ("dj", "d"),
    ("gj", "g"),
    ("kj", "k"),
)
_WORD: Final = re.compile(r"[^\W_]+")
_DAY: Final = re.compile(r"([0-9]{1,2})\.\s*([0-9]{1,2})\.\s*([0-9]{4})\.?")


def fold(text: str) -> str:
    """Return `text` in small Latin letters without marks, digits and what stands between them."""
    composed = unicodedata.normalize("NFC", text).casefold().translate(_LETTERS)
    # A second time for what only stands bare once its mark is gone, such as a Cyrillic letter with an accent.
    plain = "".join(one for one in unicodedata.normalize("NFKD", composed) if not unicodedata.combining(one))
    plain = plain.translate(_LETTERS)
    for pair, single in _DIGRAPHS:
        plain = plain.replace(pair, single)
    return plain


def words(text: str) -> list[str]:
    """Return the words of `text`, folded."""
    return [one[:LONGEST] for one in _WORD.findall(fold(text))]


def whole(text: str) -> str:
    """Return `text` folded to one word, as a number is found however its parts are set apart."""
    return "".join(_WORD.findall(fold(text)))[:LONGEST]


def findable(texts: Iterable[str]) -> set[str]:
    """Return every beginning by which one of `texts` is found, as far as there are not too many words.

    A person has some dozens of words. Without a bound one message could fill the index and stop all others meanwhile.
    """
    taken, found = set[str](), set[str]()
    for word in chain.from_iterable((*words(text), whole(text)) for text in texts):
        if len(taken) == MOST_FINDABLE:
            break
        taken.add(word)
        found.update(word[:length] for length in range(min(SHORTEST, len(word)), len(word) + 1))
    return found - {""}


def asked(text: str) -> tuple[list[str], str]:
    """Return what a question asks for: words that must all be there, and the same as one number.

    A day of birth lies in the index as 1991-02-14 and is typed as on paper, 14.2.1991.
    """
    day = _DAY.fullmatch(text.strip())
    number = f"{day[3]}{day[2].zfill(2)}{day[1].zfill(2)}" if day else whole(text)
    return list(dict.fromkeys(words(text)))[:MOST_WORDS], number
