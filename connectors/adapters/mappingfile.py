# SPDX-License-Identifier: Apache-2.0
"""The mapping file as it is written: TOML tables and their keys (docs/mapping.md explains them to its authors).

This module knows the file's form only. What an expression or a code means for a field is checked in
`connectors.adapters.mapping`.
"""

import difflib
import json
import tomllib
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from connectors.adapters.conversions import Constant
from protocol.clearance import Basis, Category, DeskFunction, Label, Purpose
from protocol.errors import MappingInvalid
from protocol.handover import MAX_PACKAGE_SECTIONS, Moved, Priority, TriggerEvent

MAX_MAPPING = 1 << 20
"""Bytes of a mapping file."""
MAX_EXPRESSION = 1_000
"""Characters of one JMESPath expression."""

Expression = Annotated[str, Field(min_length=1, max_length=MAX_EXPRESSION)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,59}$")]
Sentence = Annotated[str, Field(min_length=1, max_length=200)]


def _one_or_many(value: object) -> object:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _short_field(value: object) -> object:
    return {"from": value} if isinstance(value, str) else value


Words = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_one_or_many)]
CodeTable = dict[str, Constant]
Expressions = Annotated[tuple[Expression, ...], Field(min_length=1), BeforeValidator(_one_or_many)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class FieldEntry(_Table):
    """How one field is filled: from an expression or with a constant, and what is done to it on the way."""

    source: Expression | None = Field(default=None, alias="from")
    value: Constant | None = None
    required: bool = False
    default: Constant | None = None
    form: Words = Field(default=(), alias="format")
    codes: CodeTable | Name | None = Field(default=None, alias="map")
    """A table of codes, or the name of one that stands in the file for several fields."""
    join: str | None = None
    after: Words = ()
    until: Words = ()


Entry = Annotated[FieldEntry, BeforeValidator(_short_field)]


class ListEntry(_Table):
    """How items of a list field are made: one for each object that `each` finds."""

    into: str
    each: Expression
    fields: dict[str, Entry] = Field(min_length=1)


class SectionEntry(_Table):
    """One section: its head, whom it is meant for, and how its body is filled."""

    name: Name
    body: str
    category: Category
    purpose: Purpose
    basis: Basis
    citation: Sentence | None = None
    label: Label = Label.STANDARD
    functions: tuple[DeskFunction, ...] = Field(min_length=1)
    required: bool = False
    fields: dict[str, Entry] = Field(default_factory=dict)
    lists: tuple[ListEntry, ...] = Field(default=(), alias="list")


class OfferFields(_Table):
    """The terms that are read from the export."""

    expected_on: Entry | None = None
    register_number: Entry | None = None


class OfferEntry(_Table):
    """The terms of the handover."""

    what_moves: tuple[Moved, ...] = Field(min_length=1)
    priority: Priority = Priority.NORMAL
    event: TriggerEvent | None = TriggerEvent.RELEASE_NOTICE
    acknowledge_within_days: int = Field(default=2, ge=1, le=60)
    answer_within_days: int = Field(default=5, ge=1, le=60)
    fields: OfferFields = OfferFields()


class SubjectEntry(_Table):
    """The number under which the sender knows the person; it stays with the sender."""

    number: Entry


class AgreeEntry(_Table):
    """Places that must say the same."""

    what: Sentence
    values: tuple[Entry, ...] = Field(min_length=2)
    otherwise: Literal["refuse", "report"] = "report"


class IgnoreEntry(_Table):
    """What is understood and not sent, on purpose."""

    source: Expressions = Field(alias="from")
    reason: Sentence


class Header(_Table):
    """What the file is."""

    name: Name
    version: int = Field(ge=1)
    kind: Literal["handover.offer"]
    kind_version: Literal[1]
    absent: Words = ()
    required_files: Words = ()
    """Short names of files without which nothing is sent."""


class MappingFile(_Table):
    """The whole file."""

    mapping: Header
    files: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,59}$")], str] = Field(default_factory=dict)
    codes: dict[Name, CodeTable] = Field(default_factory=dict)
    subject: SubjectEntry
    offer: OfferEntry
    section: tuple[SectionEntry, ...] = Field(min_length=1, max_length=MAX_PACKAGE_SECTIONS)
    agree: tuple[AgreeEntry, ...] = ()
    ignore: tuple[IgnoreEntry, ...] = ()


def parse_mapping(data: bytes) -> MappingFile:
    """Return the mapping file in `data`, or raise `MappingInvalid`, which names the table and the key."""
    if len(data) > MAX_MAPPING:
        raise MappingInvalid(f"The mapping file is larger than {MAX_MAPPING >> 10} KiB.")
    try:
        tables = tomllib.loads(data.decode("utf-8"))
        plain = json.dumps(tables, allow_nan=False, default=str)
    except UnicodeDecodeError:
        raise MappingInvalid("The mapping file is not UTF-8; save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise MappingInvalid(f"The mapping file is not TOML: {error}.") from None
    except (ValueError, RecursionError):
        raise MappingInvalid("The mapping file holds a number or a nesting that has no place in it.") from None
    try:
        return MappingFile.model_validate_json(plain)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = _where(tables, first["loc"])
        raise MappingInvalid(f"{where}: {_why(first['type'], first['msg'], first['loc'])}.") from None


def _where(tables: dict[str, Any], loc: tuple[int | str, ...]) -> str:
    """Return a place in the file as its author would look for it: `section "person", fields.name.from`."""
    words: list[str] = []
    here: Any = tables
    for part in loc:
        here = here[part] if isinstance(here, dict) and part in here else _item(here, part)
        if isinstance(part, int):
            name = here.get("name") if isinstance(here, dict) else None
            words[-1] += f' "{name}"' if isinstance(name, str) else f" number {part + 1}"
        else:
            words.append(part)
    return ", ".join([words[0], ".".join(words[1:])]) if len(words) > 1 else words[0]


def _item(here: Any, part: int | str) -> Any:
    return here[part] if isinstance(here, list) and isinstance(part, int) and part < len(here) else None


def _keys(model: type[BaseModel]) -> set[str]:
    keys = {info.alias or name for name, info in model.model_fields.items()}
    for info in model.model_fields.values():
        for part in (info.annotation, *get_args(info.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                keys |= _keys(part)
    return keys


def _why(kind: str, message: str, loc: tuple[int | str, ...]) -> str:
    match kind:
        case "extra_forbidden":
            close = difflib.get_close_matches(str(loc[-1]), _keys(MappingFile), n=1)
            return "there is no such key" + (f'; did you mean "{close[0]}"' if close else "")
        case "missing":
            return "this key is missing"
        case _:
            return message[:1].lower() + message[1:]
