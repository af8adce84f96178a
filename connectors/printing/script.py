# SPDX-License-Identifier: Apache-2.0
"""Cyrillic letters as Latin ones, for the words of a catalogue only (PRT-2).

Serbian and Montenegrin are written in both. Each Cyrillic letter has exactly one Latin form; the way back is a guess
(`nj` is one letter in `njega` and two in `injekcija`), and so there is none here.
"""

from typing import Final

_LETTERS: Final = {
    "а": "a", "б": "b", "в": "v", "г": "g", "д": "d", "ђ": "đ", "е": "e", "ж": "ž", "з": "z", "и": "i", "ј": "j",
    "к": "k", "л": "l", "љ": "lj", "м": "m", "н": "n", "њ": "nj", "о": "o", "п": "p", "р": "r", "с": "s", "т": "t",
    "ћ": "ć", "у": "u", "ф": "f", "х": "h", "ц": "c", "ч": "č", "џ": "dž", "ш": "š",
}  # fmt: skip


def latin(text: str) -> str:
    """Return `text` with each letter of the Serbian Cyrillic alphabet in its Latin form; all else as it is."""
    return "".join(_letter(text, place) for place in range(len(text)))


def _letter(text: str, place: int) -> str:
    letter = text[place]
    small = _LETTERS.get(letter.lower())
    if small is None:
        return letter
    if letter.islower():
        return small
    # Two letters for one: both are large where the word is written in capitals.
    beside = text[place + 1 : place + 2] or text[max(place - 1, 0) : place]
    return small.upper() if beside.isupper() else small.capitalize()
