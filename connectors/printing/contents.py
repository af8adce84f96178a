# SPDX-License-Identifier: Apache-2.0
"""What a message says, as a table: labels and codes in the print's language, everybody's own words as written.

What is a code and what is somebody's word is known from the field's type alone, so no word is ever taken for a code.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel, JsonValue, ValidationError
from pydantic.fields import FieldInfo

from connectors.printing.catalogue import Label, Table, Words
from connectors.printing.markup import NOTHING, Html, Part, element, joined, said
from protocol.bodies import FORMS
from protocol.content import Content
from protocol.handover import PAYLOAD_TYPE
from protocol.http.handovers import AttachmentView, SectionView
from protocol.http.strictjson import render
from protocol.kinds.base import MOST_INSTANT, OfficerRef
from protocol.kinds.catalogue import KINDS

SHOWN_ABOVE: Final = frozenset({"subject", "register_numbers", "sender_register_number", "recipient_register_numbers"})
"""Fields that stand at the head of a message."""
_OFFICER: Final = get_args(OfficerRef)[1]
"""The mark of a field that names an officer."""


def _nobody(_: str) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class _Way:
    """How content is shown: in which words, without which fields, and who an officer's id is."""

    words: Words
    without: frozenset[str] = frozenset()
    title: Callable[[str], str | None] = _nobody


def payload(fields: Mapping[str, JsonValue], words: Words, *, title: Callable[[str], str | None] = _nobody) -> Html:
    """Return the content of section 0 of a message; `title` says under which title an officer's id acts."""
    kind = KINDS.get(str(fields.get("kind")))
    return _shown(fields, None if kind is None else kind.payload, _Way(words, SHOWN_ABOVE | {"version"}, title))


def body(fields: Mapping[str, JsonValue], words: Words) -> Html:
    """Return the content of a section."""
    return _shown(fields, FORMS.get(str(fields.get("kind"))), _Way(words))


def numbers(payload: dict[str, Any]) -> tuple[str | None, str | None]:
    """Return the register numbers of a message's sender and of its recipients, as far as the message says them."""
    if payload.get("kind") != PAYLOAD_TYPE:
        found = payload.get("register_numbers") or {}
        return found.get("sender"), found.get("recipient")
    terms, parties = payload.get("terms") or {}, payload.get("parties") or {}
    theirs = [f"{one['number']} ({one['agency']})" for one in parties.get("recipient_register_numbers") or ()]
    return terms.get("sender_register_number"), "; ".join(theirs) or None


def attachment(one: AttachmentView, words: Words) -> Part:
    """Return an attachment by its name, its media type and its size in bytes, or that it is damaged."""
    if one.state == "damaged":
        return words.text(Table.NOTES, one.state)
    return joined([said(one.name), " (", said(one.media_type), f", {one.size})"])


def ground(section: SectionView, words: Words) -> list[tuple[str, Part]]:
    """Return rows of the ground in law on which a section went; none where that is not known, as of what came."""
    rows: list[tuple[str, Part]] = []
    if section.basis is not None:
        rows.append((words.label(Label.LEGAL_BASIS), words.text(Table.CODES, section.basis)))
    if section.citation is not None:
        rows.append((words.label(Label.CITATION), said(section.citation)))
    return rows


def _shown(fields: Mapping[str, JsonValue], model: type[Content] | None, way: _Way) -> Html:
    try:
        content = None if model is None else model.model_validate_json(render(dict(fields)))
    except ValidationError:
        content = None
    if content is None:
        # Somebody's words may be among it, so nothing of it is translated.
        rows = [(key, _plain(value)) for key, value in fields.items() if key not in way.without]
        return joined([element("p", way.words.label(Label.UNREADABLE)), facts(rows)])
    return facts(_rows(content, way))


def facts(rows: Sequence[tuple[str, Part]]) -> Html:
    """Return rows of a label and what it says as a table; nothing where there are none."""
    cells = [element("tr", element("th", label, scope="row"), element("td", value)) for label, value in rows]
    return element("table", *cells, class_="facts") if cells else NOTHING


def _rows(content: BaseModel, way: _Way) -> list[tuple[str, Part]]:
    rows: list[tuple[str, Part]] = []
    for name, info in type(content).model_fields.items():
        value = getattr(content, name)
        if name in way.without or is_constant(info) or value is None or value == ():
            continue
        rows.append((way.words.text(Table.FIELDS, name), _value(value, info, way)))
    return rows


def is_constant(info: FieldInfo) -> bool:
    """Tell whether a field says which form it is and nothing else."""
    return get_origin(info.annotation) is Literal


def _value(value: object, info: FieldInfo, way: _Way) -> Part:
    words = way.words
    match value:
        case bool():
            return words.text(Table.CODES, "yes" if value else "no")
        case int():
            return words.moment(value) if _is_instant(info) else str(value)
        case StrEnum():
            return words.code(value)
        case str() if _OFFICER in _marks(info) and (title := way.title(value)) is not None:
            return joined([said(title), f" ({value})"])
        case str():
            return said(value)
        case date():
            return words.day(value)
        case BaseModel():
            return facts(_rows(value, way))
        case tuple():
            return element("ul", *(element("li", _value(one, info, way)) for one in value))
        case _:
            raise TypeError("content is made of texts, numbers, days, codes and further content")


def _is_instant(info: FieldInfo) -> bool:
    return any(getattr(mark, "le", None) == MOST_INSTANT for mark in _marks(info))


def _marks(info: FieldInfo) -> Iterator[Any]:
    yield from info.metadata
    for part in get_args(info.annotation):
        for mark in getattr(part, "__metadata__", ()):
            yield from mark.metadata if isinstance(mark, FieldInfo) else (mark,)


def _plain(value: JsonValue) -> Html:
    if isinstance(value, dict):
        return facts([(key, _plain(inner)) for key, inner in value.items()])
    if isinstance(value, list):
        return element("ul", *(element("li", _plain(inner)) for inner in value))
    return said(value if isinstance(value, str) else render(value).decode())
