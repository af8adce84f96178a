# SPDX-License-Identifier: Apache-2.0
"""What stands beside a message on the sheet: how it came to each desk, what each was shown, and what proves it."""

from collections.abc import Sequence
from typing import Protocol

from connectors.printing import contents
from connectors.printing.catalogue import Label, Table, Words
from connectors.printing.evidence import DIGEST, Evidence, Journey, Sealing
from connectors.printing.markup import BREAK, Html, Part, element, joined, said
from connectors.printing.page import grid
from protocol import ids
from protocol.address import DeskAddress
from protocol.ids import Kind
from protocol.sections import Actor, ActorKind

Rows = list[tuple[str, Part]]


class Named(Protocol):
    """Writes a desk with its agency and function: that of `function`, or what the directory says as of `at`."""

    def __call__(self, desk: DeskAddress, at: int | None = None, function: str | None = None) -> Html:
        """Return it."""


class Proof:
    """Writes the evidence of messages in one language."""

    def __init__(self, words: Words, desk: Named) -> None:
        """`desk` writes a desk."""
        self._words = words
        self._desk = desk

    def parties(self, evidence: Evidence) -> Rows:
        """Return from which desk to which it went, with their functions of then, and who acted."""
        shown = [(one.desk, one.shown) for one in evidence.journeys]
        at = next((one.accepted_at for _, one in shown if one is not None), evidence.sent_at)
        return [
            (self._words.label(Label.SENDER), self._desk(evidence.sender, at)),
            *((self._words.label(Label.RECIPIENT), self._recipient(desk, one)) for desk, one in shown),
            *self._actor(evidence.actor),
        ]

    def _recipient(self, desk: DeskAddress, sealing: Sealing | None) -> Html:
        if sealing is None:
            return self._desk(desk)
        return self._desk(desk, sealing.accepted_at, sealing.function)

    def _actor(self, actor: Actor) -> Rows:
        role = Label.OFFICER if actor.kind is ActorKind.OFFICER else Label.SERVICE
        return [
            (self._words.label(role), joined([said(actor.name), f" ({self._words.label(Label.ATTESTED)})"])),
            (self._words.label(Label.DELEGATION), actor.delegation.hex()),
        ]

    def journeys(self, evidence: Evidence) -> Rows:
        """Return when it was sent, and how far it came at each desk, which is named where there are several."""
        rows: Rows = []
        if evidence.sent_at is not None:
            rows.append((self._words.label(Label.SENT_AT), self._words.moment(evidence.sent_at)))
        for one in evidence.journeys:
            where: list[Part] = [BREAK, one.desk] if len(evidence.journeys) > 1 else []
            accepted_at = None if one.shown is None else one.shown.accepted_at
            rows += self._way(accepted_at, one.opened_at, one.marks, where)
        return rows

    def _way(self, accepted_at: int | None, opened_at: int | None, marks: Sequence[str], where: list[Part]) -> Rows:
        rows: Rows = []
        for label, at in ((Label.ACCEPTED_AT, accepted_at), (Label.RECEIVED_AT, opened_at)):
            if at is not None:
                rows.append((self._words.label(label), joined([self._words.moment(at), *where])))
        if marks:
            noted = "; ".join(self._words.text(Table.NOTES, mark) for mark in marks)
            rows.append((self._words.label(Label.MARKS), joined([noted, *where])))
        return rows

    def withheld(self, evidence: Evidence, level: int) -> list[Html]:
        """Return what each desk did not get, and why."""
        parts = []
        for one in (journey for journey in evidence.journeys if journey.withheld):
            parts += [
                element(f"h{level}", self._words.label(Label.WITHHELD)),
                element("p", self._recipient(one.desk, one.shown)),
                self._kept(one.withheld),
            ]
        return parts

    def _kept(self, withheld: Sequence[tuple[str, str]]) -> Html:
        heads = [self._words.label(Label.CATEGORY), self._words.label(Label.REASON)]
        rows: list[list[Part]] = [
            [self._words.text(Table.CATEGORIES, category), self._words.text(Table.NOTES, reason)]
            for category, reason in withheld
        ]
        return grid(heads, rows)

    def sealings(self, evidence: Evidence, level: int) -> list[Html]:
        """Return each sealing by itself for a desk that it was sealed for several times, or in another's name.

        A desk may have been shown by one what was withheld from it in the next (CON-17).
        """
        parts = []
        for one in (journey for journey in evidence.journeys if journey.needs_telling(evidence.actor)):
            parts.append(element(f"h{level}", self._words.label(Label.SEALINGS)))
            for number, sealing in enumerate(one.sealings, start=1):
                title = f"{self._words.label(Label.ENVELOPE)} {number}"
                if sealing.taken_in:
                    title += f": {self._words.label(Label.TAKEN_IN)}"
                parts.append(element(f"h{level + 1}", title))
                parts.append(contents.facts(self._sealing(one, sealing)))
                if sealing.withheld:
                    parts += [element("p", self._words.label(Label.WITHHELD)), self._kept(sealing.withheld)]
        return parts

    def _sealing(self, journey: Journey, one: Sealing) -> Rows:
        rows: Rows = [(self._words.label(Label.RECIPIENT), self._recipient(journey.desk, one))]
        rows += self._actor(one.actor) if one.actor is not None else []
        if one.sealed_at is not None:
            rows.append((self._words.label(Label.SEALED_AT), self._words.moment(one.sealed_at)))
        rows += self._way(one.accepted_at, one.opened_at, one.marks, [])
        if one.going:
            held = element("ul", *(element("li", self._words.text(Table.CATEGORIES, kind)) for kind in one.going))
            rows.append((self._words.label(Label.WENT), held))
        return rows + self._envelope(one)

    def _envelope(self, one: Sealing) -> Rows:
        rows: Rows = [
            (self._words.label(Label.ENVELOPE), ids.text(Kind.ENVELOPE, one.envelope_id)),
            (self._words.label(Label.DIGEST), f"{DIGEST} {one.digest.hex()}"),
        ]
        if one.leaf_index is not None:
            rows.append((self._words.label(Label.LOG_PLACE), str(one.leaf_index)))
        return rows

    def of(self, evidence: Evidence | None, message: str, leaf_index: int | None) -> Html:
        """Return the block that ends a message: its id, and what carried it; `leaf_index` where no more is known."""
        rows: Rows = [(self._words.label(Label.MESSAGE_ID), message)]
        journeys = evidence.journeys if evidence is not None else ()
        # One envelope may go to several desks.
        carried = {one.shown.envelope_id: one.shown for one in journeys if one.shown is not None}
        for one in carried.values():
            rows += self._envelope(one)
        if leaf_index is not None and all(one.leaf_index is None for one in carried.values()):
            rows.append((self._words.label(Label.LOG_PLACE), str(leaf_index)))
        label = element("strong", self._words.label(Label.EVIDENCE))
        return element("div", label, contents.facts(rows), class_="evidence")
