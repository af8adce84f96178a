# SPDX-License-Identifier: Apache-2.0
"""Turns what an expression found into what a field takes, or says why not; never with the value itself.

Nothing is guessed: a code that the mapping does not list, a date of another form, a text that is too long
are refused, and the report names the place. Nothing is cut short either.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, tzinfo
from typing import Any, assert_never

from pydantic import ValidationError

from connectors.adapters.dateforms import DateForm
from connectors.adapters.slots import Slot, SlotKind
from connectors.adapters.traced import is_container
from protocol.characters import is_allowed

Constant = str | bool


class Refused(Exception):
    """A value was found and cannot be taken; the text says why, for the report."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """The declared steps, in the order in which they are applied."""

    absent: frozenset[str] = frozenset()
    """Texts, folded, that mean that nothing was recorded."""
    join: str | None = None
    after: tuple[str, ...] = ()
    until: tuple[str, ...] = ()
    codes: Mapping[str, Constant] | None = None
    """By folded text."""
    forms: tuple[DateForm, ...] = ()


def fold(text: str) -> str:
    """Return `text` as codes are compared: normal form C, spaces and letter case evened out."""
    return " ".join(unicodedata.normalize("NFC", text).split()).casefold()


def tidy(text: str, *, one_line: bool) -> str:
    """Return `text` as content may hold it: normal form C, plain line ends, no outer spaces.

    A character that content may not hold becomes U+FFFD, which every reader can see.
    """
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    if one_line:
        text = " ".join(text.split())
    text = "".join(character if is_allowed(character) else "\ufffd" for character in text)
    return text.strip()


def convert(raw: Any, slot: Slot, conversion: Conversion, zone: tzinfo) -> Any:
    """Return what `slot` takes for `raw`, or None where nothing was recorded, or raise `Refused`.

    `zone` is that of the agency's clocks, for dates and times that say their distance from UTC (CNT-7).
    """
    if slot.kind is SlotKind.LINES:
        lines = tuple(line for part in scalars_of(raw) if (line := _scalar(part, slot, conversion, zone)) is not None)
        return _checked(lines, slot) if lines else None
    if conversion.join is not None and isinstance(raw, list):
        parts = [text for part in scalars_of(raw) if (text := _text(part, conversion)) is not None]
        raw = conversion.join.join(parts)
    value = _scalar(raw, slot, conversion, zone)
    return None if value is None else _checked(value, slot)


def _checked(value: Any, slot: Slot) -> Any:
    try:
        return slot.adapter.validate_python(value)
    except ValidationError as error:
        kinds = {detail["type"] for detail in error.errors(include_input=False, include_url=False)}
        if kinds & {"string_too_long", "too_long"}:
            raise Refused(f"it is longer than a {slot.kind} may be") from None
        raise Refused(f"it is not a {slot.kind}") from None


def scalars_of(raw: Any) -> Iterator[Any]:
    """Yield what stands in `raw` when its lists are opened; nulls are passed over."""
    if isinstance(raw, list):
        for part in raw:
            yield from scalars_of(part)
    elif raw is not None:
        yield raw


def _text(value: Any, conversion: Conversion) -> str | None:
    """Return a scalar as text after cutting, or None where nothing was recorded."""
    if is_container(value):
        raise Refused("a list or an object stands where one value is expected")
    if value is None:
        return None
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if not text.strip() or fold(text) in conversion.absent:
        return None
    return _cut(text, conversion) if isinstance(value, str) else text


def _cut(text: str, conversion: Conversion) -> str | None:
    if conversion.after:
        found = [(text.find(mark), mark) for mark in conversion.after if mark in text]
        if not found:
            raise Refused("the words after which the value begins are not there")
        at, mark = min(found)
        text = text[at + len(mark) :]
    if conversion.until:
        ends = [text.find(mark) for mark in conversion.until if mark in text]
        if not ends:
            raise Refused("the words before which the value ends are not there")
        text = text[: min(ends)]
    return text if text.strip() else None


def _scalar(raw: Any, slot: Slot, conversion: Conversion, zone: tzinfo) -> Any:
    text = _text(raw, conversion)
    if text is None:
        return None
    if conversion.codes is not None:
        if (code := conversion.codes.get(fold(text))) is None:
            raise Refused("its code is not in the mapping's table")
        return _constant(code, slot)
    forms = conversion.forms
    match slot.kind:
        case SlotKind.LINE | SlotKind.PASSAGE | SlotKind.LINES:
            if isinstance(raw, bool):
                raise Refused("a yes-or-no value stands where text is expected")
            return tidy(text, one_line=slot.kind is not SlotKind.PASSAGE) or None
        case SlotKind.DATE:
            return _first([form.date(text.strip(), zone) for form in forms], "it is not a date of the form", forms)
        case SlotKind.CLOCK:
            return _first([form.time(text.strip(), zone) for form in forms], "it is not a time of the form", forms)
        case SlotKind.BOOLEAN:
            if not isinstance(raw, bool):
                raise Refused("it is not a yes-or-no value, and the mapping has no table for it")
            return raw
        case SlotKind.CHOICE:
            return _constant(text, slot)
        case SlotKind.ITEMS:
            raise Refused("a value stands where a list of items is expected")
        case _:
            assert_never(slot.kind)


def _constant(value: Constant, slot: Slot) -> Any:
    """Return a value of the mapping's own, or a code that is spelled as the field spells it."""
    if slot.choices is None:
        return value
    try:
        return slot.choices(str(value))
    except ValueError:
        raise Refused("its code is not one of this field, and the mapping has no table for it") from None


def _first(read: Sequence[date | str | None], what: str, forms: Sequence[DateForm]) -> date | str:
    for value in read:
        if value is not None:
            return value
    raise Refused(f"{what} {' or '.join(form.text for form in forms)}")


def constant(value: Constant, slot: Slot) -> Any:
    """Return a constant of the mapping file as `slot` takes it, or raise `Refused`."""
    plain = _constant(tidy(value, one_line=False) if isinstance(value, str) else value, slot)
    return _checked((plain,) if slot.kind is SlotKind.LINES else plain, slot)
