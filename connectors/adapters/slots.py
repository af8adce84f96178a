# SPDX-License-Identifier: Apache-2.0
"""The places that a mapping fills: read from the body's own types, so that the two cannot drift apart."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from protocol.content import Content, Line, TextForm


class SlotKind(StrEnum):
    """What a place takes."""

    LINE = "line of text"
    PASSAGE = "text"
    CLOCK = "time of day"
    DATE = "date"
    BOOLEAN = "yes or no"
    CHOICE = "code"
    LINES = "list of lines"
    ITEMS = "list of items"


@dataclass(frozen=True, slots=True)
class Slot:
    """One field of a body or item."""

    name: str
    kind: SlotKind
    required: bool
    adapter: TypeAdapter[Any]
    choices: type[StrEnum] | None = None
    item: type[Content] | None = None


@cache
def slots_of(form: type[Content]) -> dict[str, Slot]:
    """Return the places of a body or item by name; its constant `kind` is none of them."""
    return {
        name: _slot(name, info)
        for name, info in form.model_fields.items()
        if get_origin(info.annotation) is not Literal
    }


def line_slot(name: str, *, required: bool = False) -> Slot:
    """Return a place for one line of text that belongs to no body."""
    return Slot(name=name, kind=SlotKind.LINE, required=required, adapter=TypeAdapter(Line))


def date_slot(name: str) -> Slot:
    """Return a place for a date that belongs to no body."""
    return Slot(name=name, kind=SlotKind.DATE, required=False, adapter=TypeAdapter(date))


def _slot(name: str, info: FieldInfo) -> Slot:
    plain, marks = _plain(info.annotation)
    marks = [*marks, *info.metadata]
    whole: Any = Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
    kind, choices, item = SlotKind.LINE, None, None
    if plain is date:
        kind = SlotKind.DATE
    elif plain is bool:
        kind = SlotKind.BOOLEAN
    elif isinstance(plain, type) and issubclass(plain, StrEnum):
        kind, choices = SlotKind.CHOICE, plain
    elif get_origin(plain) is tuple:
        member, _ = _plain(get_args(plain)[0])
        if isinstance(member, type) and issubclass(member, Content):
            kind, item = SlotKind.ITEMS, member
        else:
            kind = SlotKind.LINES
    elif TextForm.PASSAGE in marks:
        kind = SlotKind.PASSAGE
    elif TextForm.CLOCK in marks:
        kind = SlotKind.CLOCK
    return Slot(
        name=name, kind=kind, required=info.is_required(), adapter=TypeAdapter(whole), choices=choices, item=item
    )


def _plain(annotation: Any) -> tuple[Any, list[Any]]:
    """Return a type without `None` and `Annotated`, and the marks that stood on it."""
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(part for part in get_args(annotation) if part is not NoneType)
    if get_origin(annotation) is Annotated:
        plain, *marks = get_args(annotation)
        return plain, marks
    return annotation, []
