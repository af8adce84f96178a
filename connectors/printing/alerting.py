# SPDX-License-Identifier: Apache-2.0
"""What a sheet warns of: the alerts of a matter with what each concerns, and what a case file lacks."""

from collections.abc import Collection, Sequence

from connectors.printing.catalogue import Label, Table, Words
from connectors.printing.markup import BREAK, Html, Part, element, joined
from connectors.printing.page import grid
from protocol import ids
from protocol.http.cases import CaseView
from protocol.http.threads import AlertView, LostView, ThreadView
from protocol.ids import Kind, ThreadId


class Alerting:
    """Writes warnings in one language."""

    def __init__(self, words: Words) -> None:
        """`words` are those of the language."""
        self._words = words

    def of_matter(self, view: ThreadView) -> list[Html]:
        """Return the alerts of a matter, with messages lost in it or forgotten by one side; nothing for none."""
        rows: list[list[Part]] = [
            [self._words.text(Table.NOTES, one.kind), self._about(one), self._words.moment(one.since)]
            for one in view.alerts
        ]
        rows += [self._lost(one) for one in view.lost]
        for unknown in view.forgotten:
            about = joined([unknown.sender, BREAK, f"{self._words.label(Label.MESSAGES)}: {unknown.count}"])
            rows.append([self._words.text(Table.NOTES, "messages-forgotten"), about, self._words.moment(unknown.since)])
        return self._table(Label.ALERTS, Label.ALERTS, rows)

    def of_case(self, view: CaseView, printed: Collection[ThreadId]) -> list[Html]:
        """Return what the file of a case lacks: matters that cannot be read, messages lost, waiting or not opened."""
        rows: list[list[Part]] = [
            [self._words.text(Table.NOTES, "damaged"), ids.text(Kind.THREAD, one.thread), ""]
            for one in view.threads
            if one.damaged and one.thread not in printed
        ]
        rows += [self._lost(one) for one in view.lost]
        for gap in view.gaps:
            waiting = joined([gap.sender, BREAK, f"{self._words.label(Label.MESSAGES)}: {gap.waiting}"])
            rows.append([self._words.text(Table.JOURNEY, "held"), waiting, self._words.moment(gap.since)])
        for one in view.undelivered:
            about = joined([one.desk, BREAK, ids.text(Kind.MESSAGE, one.message)])
            come = "queued" if one.state == "sealed" else one.state
            rows.append([self._words.text(Table.JOURNEY, come), about, self._words.moment(one.since)])
        return self._table(Label.INCOMPLETE, Label.LACKING, rows)

    def _table(self, title: Label, first: Label, rows: Sequence[Sequence[Part]]) -> list[Html]:
        if not rows:
            return []
        heads = [self._words.label(first), self._words.label(Label.CONCERNS), self._words.text(Table.FIELDS, "since")]
        return [element("h2", self._words.label(title)), grid(heads, rows)]

    def _lost(self, one: LostView) -> list[Part]:
        about = joined([one.sender, BREAK, ids.text(Kind.MESSAGE, one.message)])
        return [self._words.text(Table.NOTES, "message-lost"), about, self._words.moment(one.since)]

    def _about(self, alert: AlertView) -> Part:
        """Return what an alert concerns: an appointment, or what is waited for and of which side, and other matters."""
        if alert.appointment is not None:
            return f"{self._words.text(Table.FIELDS, 'appointment')}: {self._words.moment(alert.appointment)}"
        if alert.what is None:
            return "" if alert.by is None else self._words.text(Table.ACTORS, alert.by)
        what = self._words.text(Table.AWAITED, alert.what)
        side = "" if alert.by is None else f": {self._words.text(Table.ACTORS, alert.by)}"
        others = [part for one in alert.threads for part in (BREAK, ids.text(Kind.THREAD, one))]
        return joined([f"{what}{side}", *others])
