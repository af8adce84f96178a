# SPDX-License-Identifier: Apache-2.0
"""A mapping, checked and ready: every expression compiled, every field known, every constant of its field's form.

All that can be said about a mapping file without an export is said here, when it is loaded, with the place
and what to do. Also the table of clearances is asked here: a section that is meant for a function which may
never see its category is an error of the mapping, not something to find out on the day of release.
"""

import contextlib
import difflib
from collections.abc import Mapping as Lookup
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from jmespath.parser import ParsedResult

from connectors.adapters.conversions import Constant, Conversion, Refused, constant, fold
from connectors.adapters.dateforms import ISO, DateForm, date_form
from connectors.adapters.exports import shown
from connectors.adapters.mappingfile import (
    CodeTable,
    FieldEntry,
    ListEntry,
    MappingFile,
    OfferEntry,
    SectionEntry,
    parse_mapping,
)
from connectors.adapters.slots import Slot, SlotKind, date_slot, line_slot, slots_of
from connectors.adapters.traced import compile_expression
from protocol.bodies import CATEGORIES, FORMS
from protocol.clearance import RESTRICTED, Clearance, Label, clearance
from protocol.content import Content
from protocol.errors import MappingInvalid
from protocol.handover import Terms

_DATED = (SlotKind.DATE, SlotKind.CLOCK)


@dataclass(frozen=True, slots=True)
class _Shared:
    """What the whole file says for every field."""

    absent: frozenset[str]
    codes: Lookup[str, CodeTable]


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """How to fill one place: an expression with its conversion, or a constant."""

    where: str
    slot: Slot
    required: bool
    source: str
    expression: ParsedResult | None
    conversion: Conversion
    constant: object | None
    """Used without an expression, and where the expression finds nothing."""


@dataclass(frozen=True, slots=True)
class ListPlan:
    """How to make the items of one list field."""

    where: str
    into: str
    form: type[Content]
    each: ParsedResult
    fields: tuple[FieldPlan, ...]


@dataclass(frozen=True, slots=True)
class SectionPlan:
    """How to make one section."""

    where: str
    entry: SectionEntry
    form: type[Content]
    fields: tuple[FieldPlan, ...]
    lists: tuple[ListPlan, ...]


@dataclass(frozen=True, slots=True)
class AgreePlan:
    """Places that must say the same; `refuse` means that nothing is sent if they do not."""

    what: str
    fields: tuple[FieldPlan, ...]
    refuse: bool


@dataclass(frozen=True, slots=True)
class IgnorePlan:
    """What is left out on purpose, and why."""

    reason: str
    expressions: tuple[ParsedResult, ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping that can be applied to any number of exports."""

    name: str
    version: int
    files: Lookup[str, str]
    """Short names and the file stems they stand for."""
    required_files: tuple[str, ...]
    """Stems of files without which nothing is sent."""
    offer: OfferEntry
    expected_on: FieldPlan | None
    register_number: FieldPlan | None
    subject: FieldPlan
    sections: tuple[SectionPlan, ...]
    agree: tuple[AgreePlan, ...]
    ignore: tuple[IgnorePlan, ...]


def find_mapping(name: str) -> Path:
    """Return the path of a mapping: a file that exists, or the name of one that is shipped with the program.

    `MappingInvalid` if it is neither.
    """
    path = Path(name)
    with contextlib.suppress(OSError):  # a name that no file can have is the name of no file
        if path.is_file():
            return path
    shipped = Path(str(resources.files("connectors.adapters"))) / "mappings"
    known = sorted(file.stem for file in shipped.glob("*.toml"))
    if name in known:
        return shipped / f"{name}.toml"
    raise MappingInvalid(
        f"There is no mapping file {shown(path.name)}. Give a path, or the name of a shipped mapping: "
        f"{', '.join(known)}."
    )


def load_mapping(path: Path) -> Mapping:
    """Return the mapping in the file at `path`, or raise `MappingInvalid` with the table, the key and the fix."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MappingInvalid(f"The mapping file {shown(path.name)} cannot be read: {error.strerror}.") from None
    return build_mapping(parse_mapping(data))


def build_mapping(file: MappingFile) -> Mapping:
    """Return the mapping that `file` describes, or raise `MappingInvalid`."""
    shared = _Shared(frozenset(fold(text) for text in file.mapping.absent), file.codes)
    for name in file.mapping.required_files:
        if name not in file.files:
            raise MappingInvalid(f'mapping, required_files: there is no file "{name}" under [files].')
    names = [section.name for section in file.section]
    for name in names:
        if names.count(name) > 1:
            raise MappingInvalid(f'section "{name}": the name stands twice; names must differ.')
    offer = file.offer.fields
    return Mapping(
        name=file.mapping.name,
        version=file.mapping.version,
        files=dict(file.files),
        required_files=tuple(file.files[name] for name in file.mapping.required_files),
        offer=file.offer,
        expected_on=_term(offer.expected_on, date_slot("expected_on"), "expected_on", shared),
        register_number=_term(
            offer.register_number, slots_of(Terms)["sender_register_number"], "register_number", shared
        ),
        subject=_field(file.subject.number, line_slot("number", required=True), "subject, number", shared),
        sections=tuple(_section(entry, shared) for entry in file.section),
        agree=tuple(
            AgreePlan(
                what=entry.what,
                fields=tuple(
                    _agreed(value, f'agree "{entry.what}", values number {i}', shared)
                    for i, value in enumerate(entry.values, 1)
                ),
                refuse=entry.otherwise == "refuse",
            )
            for entry in file.agree
        ),
        ignore=tuple(
            IgnorePlan(
                reason=entry.reason,
                expressions=tuple(_compiled(text, f"ignore number {number}, from") for text in entry.source),
            )
            for number, entry in enumerate(file.ignore, 1)
        ),
    )


def _agreed(entry: FieldEntry, where: str, shared: _Shared) -> FieldPlan:
    if entry.source is None:
        raise MappingInvalid(f'{where}: say "from"; a fixed value is written as an expression, like `true`.')
    slot = date_slot("value") if entry.form else line_slot("value")
    return _field(entry, slot, where, shared)


def _term(entry: FieldEntry | None, slot: Slot, key: str, shared: _Shared) -> FieldPlan | None:
    return None if entry is None else _field(entry, slot, f"offer, fields.{key}", shared)


def _section(entry: SectionEntry, shared: _Shared) -> SectionPlan:
    where = f'section "{entry.name}"'
    form = FORMS.get(entry.body)
    if form is None:
        raise MappingInvalid(f"{where}, body: there is no such form; forms are {', '.join(FORMS)}.")
    _check_head(entry, form, where)
    slots = slots_of(form)
    fields = _fields(entry.fields, slots, where, shared)
    lists = tuple(_list(each, slots, where, shared) for each in entry.lists)
    if not fields and not lists:
        raise MappingInvalid(f"{where}: it has neither fields nor lists, so it would always be empty.")
    return SectionPlan(where=where, entry=entry, form=form, fields=fields, lists=lists)


def _check_head(entry: SectionEntry, form: type[Content], where: str) -> None:
    if entry.category not in CATEGORIES[form]:
        may = ", ".join(sorted(CATEGORIES[form]))
        raise MappingInvalid(f'{where}, category: the body "{entry.body}" stands under {may}.')
    if entry.category in RESTRICTED and entry.label is not Label.RESTRICTED:
        raise MappingInvalid(f'{where}, label: a section of category {entry.category} must say label = "restricted".')
    for function in entry.functions:
        if clearance(entry.category, function) is Clearance.NEVER:
            raise MappingInvalid(f"{where}, functions: {function} may never see the category {entry.category}.")
        if clearance(entry.category, function) is not Clearance.YES and not (entry.citation or "").strip():
            raise MappingInvalid(
                f"{where}, citation: {function} may see the category {entry.category} only on a law or a public "
                "task that is named here."
            )


def _list(entry: ListEntry, slots: dict[str, Slot], where: str, shared: _Shared) -> ListPlan:
    slot = _known(entry.into, slots, f"{where}, list.into")
    if slot.item is None:
        raise MappingInvalid(f'{where}, list.into: "{entry.into}" is no list of items; use fields for it.')
    where = f'{where}, list into "{entry.into}"'
    return ListPlan(
        where=where,
        into=entry.into,
        form=slot.item,
        each=_compiled(entry.each, f"{where}, each"),
        fields=_fields(entry.fields, slots_of(slot.item), where, shared),
    )


def _fields(
    entries: dict[str, FieldEntry], slots: dict[str, Slot], where: str, shared: _Shared
) -> tuple[FieldPlan, ...]:
    for slot in slots.values():
        if slot.required and slot.name not in entries:
            raise MappingInvalid(f'{where}, fields: "{slot.name}" must be filled.')
    return tuple(
        _field(entry, _known(name, slots, f"{where}, fields"), f"{where}, fields.{name}", shared)
        for name, entry in entries.items()
    )


def _known(name: str, slots: dict[str, Slot], where: str) -> Slot:
    if name in slots:
        return slots[name]
    close = difflib.get_close_matches(name, slots, n=1)
    hint = f'; did you mean "{close[0]}"' if close else f"; there are {', '.join(slots)}"
    raise MappingInvalid(f'{where}: there is no field "{name}"{hint}.')


def _field(entry: FieldEntry, slot: Slot, where: str, shared: _Shared) -> FieldPlan:
    _check_steps(entry, slot, where)
    fixed = entry.value if entry.source is None else entry.default
    return FieldPlan(
        where=where,
        slot=slot,
        required=entry.required or slot.required,
        source=entry.source or "",
        expression=None if entry.source is None else _compiled(entry.source, where),
        conversion=Conversion(
            absent=shared.absent,
            join=entry.join,
            after=entry.after,
            until=entry.until,
            codes=_codes(entry.codes, slot, where, shared),
            forms=_forms(entry, slot, where),
        ),
        constant=None if fixed is None else _constant(fixed, slot, where),
    )


def _check_steps(entry: FieldEntry, slot: Slot, where: str) -> None:
    if (entry.source is None) == (entry.value is None):
        raise MappingInvalid(f'{where}: say either "from" or "value".')
    if slot.kind is SlotKind.ITEMS:
        raise MappingInvalid(f'{where}: it is a list of items; fill it with [[section.list]] and into = "{slot.name}".')
    if entry.value is not None and len(entry.model_fields_set) > 1:
        raise MappingInvalid(f'{where}: with "value" nothing else can be said.')
    if entry.required and entry.default is not None:
        raise MappingInvalid(f'{where}: a field with a "default" is never missing; leave out "required".')
    if entry.join is not None and (entry.after or entry.until or entry.codes is not None):
        raise MappingInvalid(f'{where}: "join" cannot stand with "after", "until" or "map".')
    if entry.form and slot.kind not in _DATED:
        raise MappingInvalid(f'{where}: "format" is for dates and times; this is a {slot.kind}.')
    if entry.codes is not None and slot.kind in _DATED:
        raise MappingInvalid(f'{where}: "map" is for codes; this is a {slot.kind}.')


def _codes(codes: CodeTable | str | None, slot: Slot, where: str, shared: _Shared) -> CodeTable | None:
    if codes is None:
        return None
    if isinstance(codes, str):
        if codes not in shared.codes:
            raise MappingInvalid(f"{where}.map: there is no table [codes.{codes}].")
        codes = shared.codes[codes]
    folded = {fold(code): value for code, value in codes.items()}
    if len(folded) != len(codes):
        raise MappingInvalid(f"{where}.map: two codes differ only in letter case or spaces.")
    for value in folded.values():
        _constant(value, slot, f"{where}.map")
    return folded


def _constant(value: Constant, slot: Slot, where: str) -> object:
    try:
        return constant(value, slot)
    except Refused as refusal:
        choices = f"; codes are {', '.join(slot.choices)}" if slot.choices else ""
        raise MappingInvalid(f"{where}: the constant does not fit, {refusal}{choices}.") from None


def _forms(entry: FieldEntry, slot: Slot, where: str) -> tuple[DateForm, ...]:
    if slot.kind not in _DATED:
        return ()
    try:
        forms = tuple(date_form(text) for text in entry.form or (ISO,))
    except ValueError as error:
        raise MappingInvalid(f"{where}.format: {error}.") from None
    for form in forms:
        if not (form.has_date if slot.kind is SlotKind.DATE else form.has_time):
            raise MappingInvalid(f"{where}.format: it gives no {slot.kind}.")
    return forms


def _compiled(text: str, where: str) -> ParsedResult:
    try:
        return compile_expression(text)
    except ValueError as error:
        raise MappingInvalid(f"{where}: {error}.") from None
