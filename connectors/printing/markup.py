# SPDX-License-Identifier: Apache-2.0
"""HTML that cannot be written wrong: text is escaped because it is text, and only elements are markup."""

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Final, TypeAlias

from protocol.characters import is_harmless

_REPLACED: Final = "\N{REPLACEMENT CHARACTER}"
_MOST_MARKS: Final = 4
"""Marks that one letter bears; more would pile up over the lines above and below it."""


@dataclass(frozen=True, slots=True)
class Html:
    """Markup. It comes from `element` and `joined`, never from a text."""

    markup: str

    def __bool__(self) -> bool:
        """Tell whether there is anything to show."""
        return bool(self.markup)


Part: TypeAlias = Html | str
NOTHING: Final = Html("")
BREAK: Final = Html("<br>")


def element(name: str, /, *parts: Part, **attributes: str) -> Html:
    """Return an element around `parts`; a trailing underscore of an attribute's name is left out (`class_`)."""
    given = "".join(f' {key.rstrip("_")}="{_text(value)}"' for key, value in attributes.items())
    return Html(f"<{name}{given}>{joined(parts).markup}</{name}>")


def joined(parts: Iterable[Part]) -> Html:
    """Return the parts one after another; a text among them is escaped."""
    return Html("".join(one.markup if isinstance(one, Html) else _text(one) for one in parts))


def said(text: str) -> Html:
    """Return what somebody wrote: in its own direction, with its own line breaks, and as it was written (PRT-2)."""
    return element("bdi", text, class_="said")


def _text(text: str) -> str:
    # Also what no message can hold: it may stand in what an older version stored, and must hide nothing on paper.
    hidden = {ord(one): _REPLACED for one in set(text) if not is_harmless(one)}
    shown = text.translate(hidden) if hidden else text
    return escape("".join(_unpiled(shown)) if any(map(_is_mark, set(shown))) else shown)


def _unpiled(text: str) -> Iterator[str]:
    marks = 0
    for one in text:
        # What joins letters without being seen begins no new one.
        if _is_mark(one):
            marks += 1
        elif unicodedata.category(one) != "Cf":
            marks = 0
        if not _is_mark(one) or marks <= _MOST_MARKS:
            yield one
        elif marks == _MOST_MARKS + 1:
            yield _REPLACED


def _is_mark(character: str) -> bool:
    return unicodedata.category(character) in ("Me", "Mn")
