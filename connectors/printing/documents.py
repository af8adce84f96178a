# SPDX-License-Identifier: Apache-2.0
"""What stands on the sheet: a message, a handover, or a whole matter, made from the views that the interface shows.

Nothing is read here. A print holds what a view holds (PRT-1), and beside it who acted and what proves it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from connectors.printing import contents
from connectors.printing.alerting import Alerting
from connectors.printing.catalogue import Label, Table, Words
from connectors.printing.evidence import Evidence
from connectors.printing.markup import BREAK, Html, Part, element, joined, said
from connectors.printing.page import blank, grid
from connectors.printing.proof import Proof
from protocol import ids
from protocol.address import AgencyAddress, DeskAddress, agency_of
from protocol.clocks import Ack
from protocol.handover import PAYLOAD_TYPE
from protocol.http.cases import CaseView
from protocol.http.handovers import CorrectionView, HandoverView, SectionView
from protocol.http.messages import MessageView
from protocol.http.threads import StepView, ThreadView
from protocol.ids import Kind, MessageId
from protocol.lifecycle.referral import State

_RUNGS: Final = {Ack.A1: Label.RUNG_OPENED, Ack.A2: Label.RUNG_ACKNOWLEDGED, Ack.A3: Label.RUNG_ANSWERED}
_MACHINES: Final = {"referral": Label.REFERRAL, "handover": Label.HANDOVER}


@dataclass(frozen=True, slots=True)
class Party:
    """An agency as the directory shows it now; None for what it does not say."""

    agency: AgencyAddress
    name: str | None = None
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What the directory says of desks and agencies."""

    party: Callable[[AgencyAddress], Party]
    function: Callable[[DeskAddress, int | None], str | None]
    """The function of a desk at a moment, in ms UTC, or now: a message is of then."""
    title: Callable[[AgencyAddress, str], str | None]
    """Under which title an officer of an agency acts, by the officer's id."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A title, what stands below it, and the id of what it is about, which stands on each page."""

    title: str
    content: Html
    reference: str


@dataclass(frozen=True, slots=True)
class Matter:
    """A thread, and what there is to prove each of its steps, by the id of its message."""

    view: ThreadView
    evidence: Mapping[MessageId, Evidence]


@dataclass(frozen=True, slots=True)
class Single:
    """A message that is no step, and what there is to prove it."""

    view: MessageView
    evidence: Evidence


class Writer:
    """Writes the contents of sheets in one language."""

    def __init__(self, words: Words, known: Known) -> None:
        """`known` is the directory."""
        self._words = words
        self._known = known
        self._proof = Proof(words, self._desk)
        self._alerting = Alerting(words)

    def message(self, view: MessageView, evidence: Evidence) -> Sheet:
        """Return the sheet of a message that moves no thread."""
        rows: list[tuple[str, Part]] = [
            self._row(Label.DELIVERY, self._text(Table.JOURNEY, view.item.state)),
            self._row(Label.THREAD_ID, ids.text(Kind.THREAD, view.item.thread)),
        ]
        # One that waits shows nothing of what it says.
        payload: dict[str, Any] = dict(view.payload) or {"kind": view.item.kind}
        if "subject" in payload:
            rows.append(self._row(Label.PSEUDONYM, str(payload["subject"])))
        if view.item.alert:
            rows.append(self._row(Label.ALERTS, self._text(Table.NOTES, view.item.alert)))
        if view.in_error:
            rows.append(self._row(Label.ALERTS, self._text(Table.STATES, State.ENTERED_IN_ERROR)))
        for late in view.item.overdue:
            what: list[Part] = [self._text(Table.NOTES, "overdue"), ": ", late.desk, BREAK, self._rung(late.ack)]
            rows.append(self._row(Label.ALERTS, joined([*what, BREAK, self._words.moment(late.since)])))
        answers: list[list[Part]] = [
            [self._rung(one.ack), self._words.moment(one.at), said(one.signer), self._text(Table.CODES, one.answer)]
            for one in view.answers
        ]
        answered = [self._heading(2, Label.ANSWERS), grid(self._heads(Label.ANSWER), answers)] if answers else []
        of = ids.text(Kind.MESSAGE, view.item.id)
        shown = view.sections, evidence, of, 2
        more: dict[str, Any] = {"corrections": view.corrections, "withheld": view.withheld}
        body = self._message(payload, *shown, waits=not view.payload, **more)
        return Sheet(self._title(payload), joined([contents.facts(rows), body, *answered]), of)

    def handover(self, view: HandoverView, evidence: Evidence, state: str | None = None) -> Sheet:
        """Return the sheet of a handover's package; `state` is that of the handover, which its message began here."""
        stands = [] if state is None else [self._row(Label.STATE, self._text(Table.STATES, state))]
        rows = [
            *stands,
            self._row(Label.DELIVERY, self._text(Table.JOURNEY, view.state)),
            self._row(Label.THREAD_ID, ids.text(Kind.THREAD, view.thread)),
        ]
        # One that waits shows nothing of what it says.
        offer: dict[str, Any] = dict(view.offer) or {"kind": PAYLOAD_TYPE}
        if "parties" in offer:
            rows.append(self._row(Label.PSEUDONYM, str(offer["parties"]["subject"])))
        shown = view.sections, evidence, ids.text(Kind.MESSAGE, view.id), 2
        more: dict[str, Any] = {"waits": not view.offer, "corrections": view.corrections, "withheld": view.withheld}
        parts = [contents.facts(rows), self._message(offer, *shown, **more)]
        if view.not_understood:
            unread: list[tuple[str, Part]] = [(one.path, said(one.reason)) for one in view.not_understood]
            parts += [self._heading(2, Label.NOT_UNDERSTOOD), contents.facts(unread)]
        return Sheet(self._title(offer), joined(parts), ids.text(Kind.THREAD, view.thread))

    def step(self, view: ThreadView, step: StepView, evidence: Evidence | None) -> Sheet:
        """Return the sheet of one step of a matter."""
        content = joined([self._matter(view), self._step(step, evidence, 2)])
        return Sheet(self._title(step.payload), content, ids.text(Kind.THREAD, view.item.thread))

    def thread(self, view: ThreadView, evidence: Mapping[MessageId, Evidence]) -> Sheet:
        """Return the sheet of a whole matter; `evidence` by the id of each step's message."""
        parts = [self._matter(view), self._receipts(view)]
        parts += self._alerting.of_matter(view)
        if view.residual:
            left: list[list[Part]] = [
                [said(one.code), self._text(Table.CODES, one.reason)] for one in view.residual.services
            ]
            heads = [self._text(Table.FIELDS, "services"), self._words.label(Label.REASON)]
            parts += [self._heading(2, Label.RESIDUAL), grid(heads, left)]
        parts.append(self._heading(2, Label.STEPS))
        for number, step in enumerate(view.steps, start=1):
            title = element("h3", f"{number}. {self._title(step.payload)}")
            parts.append(element("section", title, self._step(step, evidence.get(step.message), 4)))
        machine = _MACHINES.get(view.item.machine)
        name = self._words.label(machine) if machine else view.item.machine
        return Sheet(name, joined(parts), ids.text(Kind.THREAD, view.item.thread))

    def case(self, view: CaseView, threads: Sequence[Matter], messages: Sequence[Single]) -> Sheet:
        """Return the sheet of a whole case: each of its threads, and the messages that are steps of none."""
        rows: list[tuple[str, Part]] = [self._row(Label.CASE_FILE, ids.text(Kind.CASE, view.item.id))]
        person = view.item.person
        if person is not None:
            rows.append((self._text(Table.FIELDS, "family_name"), said(person.family_name)))
            if person.given_names is not None:
                rows.append((self._text(Table.FIELDS, "given_names"), said(person.given_names)))
            if person.date_of_birth is not None:
                rows.append((self._text(Table.FIELDS, "date_of_birth"), self._words.day(person.date_of_birth)))
        if view.item.register_numbers:
            kept = element("ul", *(element("li", said(one)) for one in view.item.register_numbers))
            rows.append((self._text(Table.FIELDS, "register_numbers"), kept))
        involved = element("ul", *(element("li", self._agency(one.agency)) for one in view.participants))
        rows.append(self._row(Label.PARTICIPANTS, involved))
        if view.older:
            rows.append(self._row(Label.OLDER, str(view.older)))
        printed = {one.view.item.thread for one in threads}
        parts = [contents.facts(rows), *self._alerting.of_case(view, printed)]
        for thread in threads:
            parts.append(_part(self.thread(thread.view, thread.evidence)))
        if messages:
            parts.append(element("h1", self._words.label(Label.MESSAGES), class_="part"))
        for message in messages:
            sheet = self.message(message.view, message.evidence)
            parts.append(element("section", element("h2", sheet.title), sheet.content))
        return Sheet(self._words.label(Label.CASE_FILE), joined(parts), ids.text(Kind.CASE, view.item.id))

    def _matter(self, view: ThreadView) -> Html:
        item = view.item
        rows = [
            self._row(Label.THREAD_ID, ids.text(Kind.THREAD, item.thread)),
            self._row(Label.PSEUDONYM, view.subject),
            self._row(Label.STATE, self._text(Table.STATES, item.state)),
            (self._text(Table.FIELDS, "priority"), self._text(Table.CODES, item.priority)),
            self._row(Label.OWN_SIDE, self._desk(item.own_desk)),
            self._row(Label.SIDE, self._text(Table.ACTORS, item.side)),
            self._row(Label.OTHER_SIDE, self._desk(item.peer_desk)),
        ]
        if item.due_at is not None:
            rows.append(self._row(Label.DUE_AT, self._words.moment(item.due_at)))
        if view.lead:
            rows.append(self._row(Label.LEAD, self._agency(view.lead)))
        if view.lead_since is not None:
            rows.append(self._row(Label.LEAD_SINCE, self._words.moment(view.lead_since)))
        if view.supervisor:
            rows.append(self._row(Label.LEGAL_SUPERVISOR, self._agency(view.supervisor)))
        if view.no_supervisor:
            rows.append((self._text(Table.FIELDS, "no_supervisor"), self._text(Table.CODES, view.no_supervisor)))
        return contents.facts(rows)

    def _receipts(self, view: ThreadView) -> Html:
        given = {one.ack: one for one in view.ladder}
        rows: list[list[Part]] = []
        for ack in Ack:
            rung = given.get(ack)
            if rung is None:
                rows.append([self._rung(ack), self._words.label(Label.OPEN), "", ""])
            else:
                message = ids.text(Kind.MESSAGE, rung.message)
                rows.append([self._rung(ack), self._words.moment(rung.at), said(rung.signer), message])
        return joined([self._heading(2, Label.RECEIPTS), grid(self._heads(Label.MESSAGE_ID), rows)])

    def _step(self, step: StepView, evidence: Evidence | None, level: int) -> Html:
        rows = [
            self._row(Label.TIME, self._words.moment(step.at)),
            self._row(Label.SIDE, self._text(Table.ACTORS, step.actor)),
            self._row(Label.SIGNER, said(step.signer)),
            self._row(Label.STATE_AFTER, self._text(Table.STATES, step.state)),
        ]
        parts = [contents.facts(rows)]
        if step.refused:
            why = joined([self._words.label(Label.NO_EFFECT), ": ", self._text(Table.NOTES, step.refused)])
            parts.append(element("p", why, class_="refused"))
        if step.damaged:
            parts.append(element("p", self._text(Table.NOTES, "damaged"), class_="refused"))
        message = ids.text(Kind.MESSAGE, step.message)
        shown = step.sections, evidence, message, level
        more: dict[str, Any] = {
            "leaf_index": step.leaf_index,
            "corrections": step.corrections,
            "withheld": step.withheld,
        }
        parts.append(self._message(step.payload, *shown, **more))
        return joined(parts)

    def _message(
        self,
        payload: dict[str, Any],
        sections: Sequence[SectionView],
        evidence: Evidence | None,
        message: str,
        level: int,
        *,
        leaf_index: int | None = None,
        waits: bool = False,
        corrections: Sequence[CorrectionView] = (),
        withheld: str | None = None,
    ) -> Html:
        receipt = "kind" not in payload
        parts = [contents.facts(self._sides(payload, evidence, with_numbers=not receipt and not waits))]
        if not receipt and not waits:
            title = partial(self._known.title, agency_of(evidence.sender)) if evidence is not None else _unknown
            parts += [self._heading(level, Label.CONTENT), contents.payload(payload, self._words, title=title)]
        if withheld is not None:
            why = joined([self._words.label(Label.NOT_SHOWN), ": ", self._text(Table.STATES, withheld)])
            parts.append(element("p", why, class_="refused"))
        parts += self._sections(sections, level)
        parts += self._corrections(corrections, level)
        if evidence is not None:
            parts += [*self._proof.withheld(evidence, level), *self._proof.sealings(evidence, level)]
        parts.append(self._proof.of(evidence, message, leaf_index))
        return joined(parts)

    def _sides(
        self, payload: dict[str, Any], evidence: Evidence | None, *, with_numbers: bool
    ) -> list[tuple[str, Part]]:
        rows: list[tuple[str, Part]] = []
        if evidence is not None:
            rows += self._proof.parties(evidence)
        if with_numbers:
            ours, theirs = contents.numbers(payload)
            rows.append(self._row(Label.NUMBER_OF_SENDER, said(ours) if ours else blank()))
            rows.append(self._row(Label.NUMBER_OF_RECIPIENT, said(theirs) if theirs else blank()))
        return rows + (self._proof.journeys(evidence) if evidence is not None else [])

    def _sections(self, sections: Sequence[SectionView], level: int) -> list[Html]:
        """Return the sections under their data categories, in the order in which each category comes first."""
        parts = []
        several = len({desk for one in sections for desk in one.desks}) > 1
        for category in dict.fromkeys(one.category for one in sections):
            parts.append(element(f"h{level}", self._text(Table.CATEGORIES, category)))
            for one in (section for section in sections if section.category == category):
                form = self._text(Table.FORMS, str(one.body.get("kind", "")))
                rows = [
                    *(self._row(Label.RECIPIENT, desk) for desk in one.desks if several),
                    self._row(Label.PURPOSE, self._text(Table.PURPOSES, one.purpose)),
                    self._row(Label.HANDLING, self._text(Table.CODES, one.label)),
                    *contents.ground(one, self._words),
                ]
                if one.corrected is not None:
                    by = f"{ids.text(Kind.MESSAGE, one.corrected.message)}, {self._words.moment(one.corrected.at)}"
                    rows.insert(0, self._row(Label.CORRECTED, by))
                title = f"{self._words.label(Label.SECTION)} {one.number}: {form}"
                parts += [
                    element(f"h{level + 1}", title),
                    contents.facts(rows),
                    contents.body(one.body, self._words),
                    contents.facts(
                        [
                            self._row(Label.ATTACHMENT, contents.attachment(file, self._words))
                            for file in one.attachments
                        ]
                    ),
                ]
        return parts

    def _corrections(self, found: Sequence[CorrectionView], level: int) -> list[Html]:
        """Return what its sender has said since is wrong in a message, and what takes its place (KIND-9)."""
        parts = [self._heading(level, Label.CORRECTIONS)] if found else []
        for one in found:
            rows = [
                self._row(Label.MESSAGE_ID, ids.text(Kind.MESSAGE, one.message)),
                self._row(Label.TIME, self._words.moment(one.at)),
                self._row(Label.SENDER, self._desk(one.sender, one.at)),
                self._row(Label.SIGNER, said(one.signer)),
            ]
            parts += [contents.facts(rows), *self._sections(one.sections, level + 1)]
        return parts

    def _desk(self, desk: DeskAddress, at: int | None = None, function: str | None = None) -> Html:
        function = function or self._known.function(desk, at)
        lines: list[Part] = [self._agency(agency_of(desk)), BREAK, desk]
        if function is not None:
            lines.append(f" ({self._text(Table.FUNCTIONS, function)})")
        return joined(lines)

    def _agency(self, address: AgencyAddress) -> Html:
        party = self._known.party(address)
        if party.name is None:
            return joined([address])
        kind = f", {self._text(Table.INSTITUTIONS, party.kind)}" if party.kind else ""
        return joined([said(party.name), kind, f" ({address})"])

    def _title(self, payload: dict[str, Any]) -> str:
        kind = payload.get("kind")
        return self._words.label(Label.AUTOMATIC_RECEIPT) if kind is None else self._text(Table.KINDS, str(kind))

    def _row(self, label: Label, value: Part) -> tuple[str, Part]:
        return self._words.label(label), value

    def _heads(self, last: Label) -> list[str]:
        return [self._words.label(one) for one in (Label.RECEIPT, Label.TIME, Label.SIGNER, last)]

    def _rung(self, ack: str) -> str:
        return self._words.label(_RUNGS[Ack(ack)])

    def _heading(self, level: int, label: Label) -> Html:
        return element(f"h{level}", self._words.label(label))

    def _text(self, table: Table, key: str) -> str:
        return self._words.text(table, key)


def _unknown(_: str) -> str | None:
    return None


def _part(sheet: Sheet) -> Html:
    return element("section", element("h1", sheet.title), sheet.content, class_="part")
