# SPDX-License-Identifier: Apache-2.0
"""One case whole: who is involved, what is due and what happened, gathered from its threads and messages."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from connectors.cases import due
from connectors.cases.lineage import Child
from connectors.cases.responsibility import responsibility_of
from connectors.cases.sides import OBSERVER, ROLES
from connectors.cases.stopped import IN_ERROR, is_withheld
from connectors.cases.threads import history_of
from connectors.faults import DAMAGED
from connectors.store import moves, replaying, threads
from connectors.store.casefacts import CaseThread
from connectors.store.engine import Transaction
from connectors.store.moves import MoveRow
from connectors.store.replaying import Stored
from connectors.store.sequences import Direction as Way
from connectors.store.threads import ThreadRow
from protocol.address import AgencyAddress, DeskAddress, agency_of
from protocol.clocks import Calendar
from protocol.http.cases import (
    CaseEntry,
    CaseThreadItem,
    DueItem,
    Participant,
)
from protocol.http.handovers import Direction
from protocol.ids import MessageId, ThreadId
from protocol.kinds.catalogue import KINDS, decode_payload
from protocol.lifecycle.history import History

_FAR: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Spoken:
    """A message that moves no thread, ours or another's."""

    thread: ThreadId
    message_id: MessageId
    kind: str
    payload: bytes
    sender: DeskAddress
    to: Sequence[DeskAddress]
    at: int
    signer: str


async def tell(tx: Transaction, told: "Telling", places: Sequence[Stored]) -> None:
    """Tell of messages that move nothing; one that the disk has damaged is shown elsewhere (CON-8)."""
    async for said in replaying.each(tx, places):
        one = said.message
        with suppress(*DAMAGED):
            told.message(
                Spoken(
                    one.thread,
                    one.message_id,
                    one.payload_type,
                    one.payload,
                    one.sender_desk,
                    said.to,
                    said.at,
                    one.actor.name,
                )
            )


async def tell_thread(tx: Transaction, told: "Telling", thread: ThreadId) -> None:
    """Tell of a referral or handover; one that the disk has damaged is named, and hides nothing else (CON-8)."""
    try:
        row = await threads.find(tx, thread)
        if row is not None:
            told.thread(row, await moves.of(tx, thread))
    except DAMAGED:
        told.damaged.add(thread)


@dataclass(slots=True)
class _Part:
    """What is known of one agency's part."""

    desks: set[DeskAddress] = field(default_factory=set)
    sides: set[str] = field(default_factory=set)
    signers: dict[str, int] = field(default_factory=dict)
    leads: bool = False
    last_at: int = 0


class Telling:
    """Gathers what the threads and the messages of one case say."""

    def __init__(self, own: AgencyAddress, calendar: Callable[[AgencyAddress], Calendar], now: int) -> None:
        self._own = own
        self._calendar = calendar
        self._now = now
        self._parts: dict[AgencyAddress, _Part] = {}
        self._due: list[tuple[int, DueItem]] = []
        self._threads: dict[ThreadId, ThreadRow] = {}
        self._peers: dict[ThreadId, set[DeskAddress]] = {}
        self.entries: list[CaseEntry] = []
        self.damaged = set[ThreadId]()

    def thread(self, row: ThreadRow, stored: Sequence[MoveRow]) -> None:
        """Take in a referral or handover."""
        history, roles = history_of(row, list(stored)), ROLES[row.machine]
        self._threads[row.thread] = row
        for agency, side in ((row.begins, roles.begins), (row.answers, roles.answers)):
            self._part(agency, row.begun_at).sides.add(side)
        if row.side == OBSERVER:
            self._part(self._own, row.begun_at).sides.add(OBSERVER)
        for desk in (row.own_desk, row.peer_desk):
            self._part(agency_of(desk), row.begun_at).desks.add(desk)
        leading = responsibility_of(row, history, stored).lead
        if leading is not None:
            self._part(leading, row.begun_at).leads = True
        self._steps(row, history, {one.message_id: one for one in stored})
        for one in due.of_thread(row, history, stored, self._calendar(row.answers), now=self._now):
            self.add_due(one, row.thread)

    def _steps(self, row: ThreadRow, history: History, stored: Mapping[MessageId, MoveRow]) -> None:
        peer = agency_of(row.peer_desk)
        for step in history.steps:
            sent = stored[step.move.message_id].direction is Way.OUT
            agency = self._own if sent else peer
            self._part(agency, step.move.at).signers[step.move.signer] = step.move.at
            self.entries.append(
                CaseEntry(
                    at=step.move.at,
                    thread=row.thread,
                    message=step.move.message_id,
                    what=step.move.event,
                    direction=Direction.SENT if sent else Direction.RECEIVED,
                    agency=agency,
                    signer=step.move.signer,
                    state=step.after.state,
                    refused=step.refused,
                )
            )

    def message(self, one: Spoken) -> None:
        """Take in a message that moves nothing."""
        sender, recipients = agency_of(one.sender), sorted({agency_of(desk) for desk in one.to})
        payload = decode_payload(KINDS[one.kind], one.payload)
        for desk in (one.sender, *one.to):
            self._part(agency_of(desk), one.at).desks.add(desk)
            if agency_of(desk) != self._own:
                self._peers.setdefault(one.thread, set()).add(desk)
        self._part(sender, one.at).signers[one.signer] = one.at
        self.entries.append(
            CaseEntry(
                at=one.at,
                thread=one.thread,
                message=one.message_id,
                what=one.kind,
                direction=Direction.SENT if sender == self._own else Direction.RECEIVED,
                agency=sender,
                signer=one.signer,
                state=None,
                refused=None,
            )
        )
        for found in due.of_message(payload, sender, recipients, self._calendar, now=self._now):
            self.add_due(found, one.thread)

    def _part(self, agency: AgencyAddress, at: int) -> _Part:
        part = self._parts.setdefault(agency, _Part())
        part.last_at = max(part.last_at, at)
        return part

    def add_due(self, one: due.Due, thread: ThreadId) -> None:
        """Take in something that is due in a thread."""
        ends = one.ends(self._calendar(one.by))
        item = DueItem(
            what=one.what, by=one.by, thread=thread, at=one.at, on=one.on, late=ends is not None and ends < self._now
        )
        self._due.append((_FAR if ends is None else ends, item))

    def participants(self) -> list[Participant]:
        """Return the agencies, our own first."""
        return [
            Participant(
                agency=agency,
                desks=sorted(part.desks),
                sides=sorted(part.sides),
                signers=sorted(part.signers),
                leads=part.leads,
                last_at=part.last_at,
            )
            for agency, part in sorted(self._parts.items(), key=lambda item: (item[0] != self._own, item[0]))
        ]

    def dues(self) -> list[DueItem]:
        """Return what is due, the soonest first."""
        return [item for _, item in sorted(self._due, key=lambda found: (found[0], found[1].what, found[1].thread))]

    def listed(self, one: CaseThread, following: Sequence[Child]) -> CaseThreadItem:
        """Return a thread of the case as its list shows it."""
        row, facts = self._threads.get(one.thread), one.facts
        return CaseThreadItem(
            thread=one.thread,
            machine=row.machine if row else None,
            side=row.side if row else None,
            state=row.state if row else None,
            live=row.live if row else False,
            peer=[row.peer_desk] if row else sorted(self._peers.get(one.thread, ())),
            register_number=facts.number.values[0] if facts.number else None,
            other_register_number=facts.other_number.values[1] if facts.other_number else None,
            alert=row.alert if row else None,
            children=[child.view() for child in following],
            changed_at=row.changed_at if row else one.changed_at,
            damaged=one.damaged or one.thread in self.damaged,
            withheld=IN_ERROR if is_withheld(row) else None,
        )
