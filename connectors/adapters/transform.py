# SPDX-License-Identifier: Apache-2.0
"""Applies a mapping to an export: a handover package, and a plain account of what was not understood.

The two promises: nothing stands in the package that is not in the export or in the mapping, and every leaf
of the export is sent, left out for a stated reason, or reported.
"""

import re
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Lookup
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any

from connectors.adapters.conversions import Refused, convert, fold, scalars_of
from connectors.adapters.exports import Export, shown
from connectors.adapters.mapping import AgreePlan, FieldPlan, IgnorePlan, ListPlan, Mapping, SectionPlan
from connectors.adapters.report import (
    NO_RECORD,
    NOT_JSON,
    NOT_THERE,
    NOTHING_FOUND,
    Ignored,
    NotUnderstood,
    Report,
)
from connectors.adapters.traced import (
    Trace,
    TracedList,
    TracedObject,
    Unfit,
    displayed,
    evaluate,
    is_hollow,
    leaves,
    leaves_within,
    step,
    traced,
)
from protocol.content import MAX_ITEMS, Content
from protocol.errors import ExportUnreadable, PackageIncomplete, TooLarge
from protocol.handover import HandoverPackage, PackageSection, Terms, Trigger, check_size

_UNFIT = "the mapping's expression does not fit the type of the data"
_NO_OBJECTS = "the mapping expects objects here"
_PLACEHOLDER = "it was sent as it stands, but holds a placeholder {{…}} that its source did not fill in"


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a mapping made of an export."""

    package: HandoverPackage = field(repr=False)
    subject_number: str = field(repr=False)
    """The sender's own number for the person, to find the case by; it is for the sender's store only."""
    not_understood: tuple[NotUnderstood, ...]
    ignored: tuple[Ignored, ...]

    @property
    def ignored_count(self) -> int:
        """How many leaves were left out on purpose."""
        return sum(each.count for each in self.ignored)


def transform(mapping: Mapping, export: Export, *, now_ms: int, zone: tzinfo) -> Mapped:
    """Return the package that `mapping` makes of `export` at `now_ms` (ms UTC), which dates the deadlines (CNT-6).

    `zone` is that of the agency's clocks (`calendar.zone`): its day is today, and what the export writes with a
    distance from UTC becomes the day and the time there (CNT-7).

    `PackageIncomplete` if something required is missing or of the wrong form, `ExportUnreadable` if the
    export contradicts itself about whom it is, `TooLarge` if no envelope could hold the package. In each
    case there is no package at all.
    """
    return _Run(mapping, export, zone).mapped(now_ms)


class _Root(TracedObject):
    """The export under its file stems and the mapping's short names for them; a path has the stem."""

    def __init__(self, document: dict[str, Any], names: Lookup[str, str], trace: Trace) -> None:
        super().__init__("", {key: traced(value, trace, step("", key)) for key, value in document.items()}, trace)
        self._names = names

    def get(self, key: str, default: Any = None) -> Any:
        return super().get(self._names.get(key, key), default)


@dataclass(slots=True)
class _Answer:
    """What one expression gave: a value, or a refusal, or neither; and the leaves that were read for it."""

    value: Any = None
    refusal: str | None = None
    paths: dict[str, None] = field(default_factory=dict)


class _Run:
    """One application of a mapping; the export's values live no longer than this."""

    def __init__(self, mapping: Mapping, export: Export, zone: tzinfo) -> None:
        self._mapping = mapping
        self._zone = zone
        self._export = export
        self._trace = Trace()
        self._root = _Root(export.document, mapping.files, self._trace)
        self._report = Report(export.document)

    def mapped(self, now_ms: int) -> Mapped:
        self._check_files()
        for agreement in self._mapping.agree:
            self._agree(agreement)
        known, _ = self._values((self._mapping.subject,), self._root)
        terms = self._terms(now_ms)
        sections = [section for plan in self._mapping.sections if (section := self._section(plan)) is not None]
        if not sections:
            raise PackageIncomplete("No section of the mapping found anything in the export. Nothing was sent.")
        package = HandoverPackage(terms=terms, sections=tuple(sections))
        check_size(package)
        for plan in self._mapping.ignore:
            self._ignore(plan)
        for name in self._export.unread:
            self._report.doubt_place(name, NOT_JSON)
        return Mapped(
            package=package,
            subject_number=known[self._mapping.subject.slot.name],
            not_understood=self._report.not_understood(),
            ignored=self._report.ignored(),
        )

    def _check_files(self) -> None:
        """Refuse an export without a required file, and name every other one that is not there or is empty (CNT-6).

        A source that did not answer must not look like a person of whom there is nothing to say.
        """
        for stem in self._mapping.files.values():
            document = self._export.document
            if stem not in document:
                lack = NOT_THERE
            elif not isinstance(document[stem], dict | list) or not any(leaves(document[stem])):
                lack = NO_RECORD
            else:
                continue
            if stem in self._mapping.required_files:
                raise PackageIncomplete(f"{shown(stem)}.json is required: {lack.partition(',')[0]}. Nothing was sent.")
            self._report.doubt_place(stem, lack)

    def _terms(self, now_ms: int) -> Terms:
        offer = self._mapping.offer
        today = datetime.fromtimestamp(now_ms / 1000, tz=UTC).astimezone(self._zone).date()
        plans = [plan for plan in (self._mapping.expected_on, self._mapping.register_number) if plan is not None]
        found, _ = self._values(plans, self._root)
        expected = found.get("expected_on")
        if expected is None and offer.event is None:
            raise PackageIncomplete("offer: neither an event nor a date makes it effective. Nothing was sent.")
        return Terms(
            trigger=Trigger(event=offer.event, expected_on=expected),
            what_moves=offer.what_moves,
            priority=offer.priority,
            acknowledge_by=add_weekdays(today, offer.acknowledge_within_days),
            answer_by=add_weekdays(today, offer.answer_within_days),
            sender_register_number=found.get("sender_register_number"),
        )

    def _section(self, plan: SectionPlan) -> PackageSection | None:
        values, found = self._values(plan.fields, self._root)
        for each in plan.lists:
            items = [*values.get(each.into, ()), *self._items(each)]
            if len(items) > MAX_ITEMS:
                raise TooLarge(f"{each.where}: there are more than {MAX_ITEMS} items. Nothing was sent.")
            values[each.into] = tuple(items)
            found = found or bool(items)
        entry = plan.entry
        if not found:
            if entry.required:
                raise PackageIncomplete(f"{plan.where}: the export has nothing for it. Nothing was sent.")
            self._report.doubt_place(plan.where, NOTHING_FOUND)
            return None
        return PackageSection(
            category=entry.category,
            purpose=entry.purpose,
            basis=entry.basis,
            citation=entry.citation,
            label=entry.label,
            functions=entry.functions,
            body=plan.form(**values),  # type: ignore[arg-type]  # FORMS has only forms of body
        )

    def _items(self, plan: ListPlan) -> list[Content]:
        with self._trace.reading() as paths:
            try:
                raw = evaluate(plan.each, self._root)
            except Unfit:
                self._report.doubt(paths, f"{_UNFIT} ({plan.where})")
                return []
            candidates = [item for item in (raw if isinstance(raw, list) else [raw]) if item is not None]
        if not all(isinstance(item, dict) for item in candidates):
            self._report.doubt(paths, f"{_NO_OBJECTS} ({plan.where})")
            return []
        self._report.take(paths)
        return [item for candidate in candidates if (item := self._item(plan, candidate)) is not None]

    def _item(self, plan: ListPlan, candidate: dict[str, Any]) -> Content | None:
        answers = [(each, self._answer(each, candidate)) for each in plan.fields]
        values: dict[str, Any] = {}
        for each, answer in answers:
            value = each.constant if answer.value is None else answer.value
            if value is not None:
                values[each.slot.name] = value
            elif each.required:
                if isinstance(candidate, TracedObject) and any(leaves_within(candidate)):
                    self._report.doubt_place(
                        candidate.path, f"it was left out: it has no {each.slot.name} ({plan.where})"
                    )
                return None
        if not any(answer.value is not None for _, answer in answers):
            return None
        for _, answer in answers:
            self._report.take(answer.paths)
        return plan.form(**values)

    def _values(self, plans: Sequence[FieldPlan], scope: Any) -> tuple[dict[str, Any], bool]:
        """Return the fields that have a value, and whether one of them came from the export."""
        values: dict[str, Any] = {}
        found = False
        for plan in plans:
            answer = self._answer(plan, scope)
            self._report.take(answer.paths)
            if answer.value is not None:
                found = True
                values[plan.slot.name] = answer.value
            elif plan.constant is not None:
                values[plan.slot.name] = plan.constant
            elif plan.required:
                raise PackageIncomplete(f"{plan.where}: it is required, but {self._lack(plan, answer)}.")
        return values, found

    def _answer(self, plan: FieldPlan, scope: Any) -> _Answer:
        """Return what a field's expression gives; what is refused is reported and its leaves count as not taken."""
        if plan.expression is None:
            return _Answer()
        raw: Any = None
        with self._trace.reading() as paths:
            try:
                raw = evaluate(plan.expression, scope)
                value = convert(raw, plan.slot, plan.conversion, self._zone)
            except (Unfit, Refused) as refusal:
                reason = str(refusal) or _UNFIT
                self._report.doubt(paths, f"{reason} ({plan.where})")
                if isinstance(raw, TracedObject | TracedList):
                    self._report.doubt_place(raw.path, f"{reason} ({plan.where})")
                return _Answer(refusal=reason)
        if isinstance(value, str) and "{{" in value:
            self._report.doubt(paths, _PLACEHOLDER)
        return _Answer(value=value, paths=paths)

    def _lack(self, plan: FieldPlan, answer: _Answer) -> str:
        if answer.refusal:
            return f"of what stands at {plan.source}, {answer.refusal}. Nothing was sent"
        missing = [
            f"{stem}.json"
            for name, stem in self._mapping.files.items()
            if re.search(rf"\b{re.escape(name)}\b", plan.source) and stem not in self._export.document
        ]
        hint = f" ({', '.join(missing)} is not there)" if missing else ""
        return f"the export has nothing at {plan.source}{hint}. Nothing was sent"

    def _agree(self, agreement: AgreePlan) -> None:
        first: tuple[object, str] | None = None
        for plan in agreement.fields:
            for value, paths in self._compared(plan):
                if first is None:
                    first = value, displayed(paths[0]) if paths else "what the mapping says"
                elif value != first[0]:
                    if agreement.refuse:
                        places = ", ".join(displayed(path) for path in paths[:3])
                        raise ExportUnreadable(
                            f"The export contradicts itself about {agreement.what}: {places} differs from {first[1]}. "
                            "It may hold two people's records. Nothing was sent."
                        )
                    self._report.doubt(paths, f"it differs from {first[1]}")
                    continue
                self._report.take(paths)

    def _compared(self, plan: FieldPlan) -> Iterator[tuple[object, list[str]]]:
        """Yield each value to compare with its path, or with all that were read where one cannot be told."""
        if plan.expression is None:
            return
        with self._trace.reading() as paths:
            try:
                raw = evaluate(plan.expression, self._root)
                scalars = [part for part in scalars_of(raw) if not is_hollow(part)]
            except Unfit:
                return
        read = [path for path in paths if self._report.has(path)]
        followed = [[path] for path in read] if len(read) == len(scalars) else [read] * len(scalars)
        for scalar, places in zip(scalars, followed, strict=True):
            text = str(scalar).lower() if isinstance(scalar, bool) else scalar
            try:
                value = convert(text, plan.slot, plan.conversion, self._zone)
            except Refused as refusal:
                self._report.doubt(places, str(refusal))
                continue
            if value is not None:
                yield fold(value) if isinstance(value, str) else value, places

    def _ignore(self, plan: IgnorePlan) -> None:
        for expression in plan.expressions:
            with self._trace.reading() as paths:
                try:
                    raw = evaluate(expression, self._root)
                except Unfit:
                    continue
            self._report.ignore([*paths, *leaves_within(raw)], plan.reason)


def add_weekdays(start: date, days: int) -> date:
    """Return the date `days` weekdays (Monday to Friday) after `start`; holidays are not known here."""
    day = start
    while days:
        day += timedelta(days=1)
        days -= day.weekday() < 5
    return day
