# SPDX-License-Identifier: Apache-2.0
"""Cases as the local interface shows them: the list, and one case whole, made from its messages when asked for."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from connectors import folding
from connectors.cases import due
from connectors.cases.lineage import Child, children
from connectors.cases.register import word_key
from connectors.cases.responsibility import responsibility_of
from connectors.cases.sides import ROLES
from connectors.cases.threads import OBSERVER, history_of
from connectors.store import cases, conversations, cursors, moves, replaying, threads
from connectors.store.cases import CaseRow, CaseThread, Facts, Filter
from connectors.store.engine import Store, Transaction
from connectors.store.moves import MoveRow
from connectors.store.replaying import Stored
from connectors.store.sequences import Direction as Way
from connectors.store.threads import ThreadRow
from connectors.timing import Clock
from protocol import cbor, ids
from protocol.address import AgencyAddress, DeskAddress, agency_of
from protocol.clocks import Ack, Calendar
from protocol.errors import InvalidInput, KeystoreError, MalformedEnvelope, NotFound
from protocol.http.call import Answer, Call, Handler
from protocol.http.cases import (
    MAX_HISTORY,
    CaseEntry,
    CaseFilter,
    CaseItem,
    CaseList,
    CasePage,
    CasePath,
    CasePerson,
    CaseSearch,
    CaseThreadItem,
    CaseView,
    DueItem,
    Gap,
    Participant,
    Undelivered,
)
from protocol.http.handovers import Direction
from protocol.ids import CaseId, Kind, MessageId, ThreadId
from protocol.kinds.catalogue import KINDS, decode_payload
from protocol.kinds.thread import MessageAnswer
from protocol.lifecycle.history import History
from protocol.limits import DAY
from protocol.shapes import as_bytes, as_int, as_tuple

SOON: Final = 2 * DAY
"""How long before an answer is due its case stands in the list of those."""
_CURSOR: Final = "case cursor"
_UNMOVED: Final = frozenset(kind.name for kind in KINDS.values() if kind.machine is None)
_FAR: Final = 1 << 62


class Casebook:
    """The service and the handlers of the operations on cases. Nothing is stored here."""

    def __init__(
        self, store: Store, agency: AgencyAddress, calendar: Callable[[AgencyAddress], Calendar], clock: Clock
    ) -> None:
        """`agency` is our own; `calendar` gives an agency's working days."""
        self._store = store
        self._agency = agency
        self._calendar = calendar
        self._clock = clock

    def by_operation(self) -> Mapping[str, Handler[str]]:
        """Return the handler of each operation, by its id."""
        return {"listCases": self.list_cases, "getCase": self.get_case, "searchCases": self.search_cases}

    async def list_cases(self, call: Call[str]) -> Answer:
        """List cases."""
        return Answer(await self.list(call.query(CaseFilter)))

    async def get_case(self, call: Call[str]) -> Answer:
        """Show one case."""
        return Answer(await self.show(call.path(CasePath).case))

    async def search_cases(self, call: Call[str]) -> Answer:
        """Find cases."""
        return Answer(await self.search(call.body(CaseSearch)))

    async def search(self, asked: CaseSearch) -> CasePage:
        """Return a page of the cases in which all words of the text are found, the one that changed last first."""
        words, number = folding.asked(asked.text)
        if not words:
            raise InvalidInput("Look for letters or digits: a name, a number, or the beginning of one.")
        async with self._store.read() as tx:
            having = tuple(word_key(tx, word) for word in words)
            return await self._page(tx, Filter(having=having, enough=word_key(tx, number)), asked.limit, asked.cursor)

    async def list(self, query: CaseFilter) -> CasePage:
        """Return a page of cases, the one that changed last first."""
        wanted = {
            CaseList.ALL: Filter(),
            CaseList.OPEN: Filter(live=True),
            CaseList.CLOSED: Filter(live=False),
            CaseList.DUE: Filter(due_before=self._clock() + SOON),
        }[query.list]
        async with self._store.read() as tx:
            return await self._page(tx, wanted, query.limit, query.cursor)

    async def _page(self, tx: Transaction, wanted: Filter, limit: int, cursor: str | None) -> CasePage:
        found = await cases.page(tx, wanted, before=_place(tx, cursor), limit=limit + 1)
        shown = found[:limit]
        rows = await cases.of(tx, [one.case_id for one in shown])
        more = cursors.seal(tx, _CURSOR, _last(shown)) if len(found) > len(shown) else None
        return CasePage(
            items=[_item(one, [row for row in rows if row.case_id == one.case_id]) for one in shown], next_cursor=more
        )

    async def show(self, case_id: CaseId) -> CaseView:
        """Return one case; `NotFound` alike for what does not exist and what is not ours (HTTP-4)."""
        async with self._store.read() as tx:
            now_called = await cases.current(tx, case_id)
            row = None if now_called is None else await cases.load(tx, now_called)
            if row is None:
                raise NotFound
            rows = await cases.of(tx, [row.case_id])
            told = _Telling(self._agency, self._calendar, self._clock())
            for one in rows:
                thread = await threads.find(tx, one.thread)
                if thread is not None:
                    told.thread(thread, await moves.of(tx, one.thread))
            members = [one.thread for one in rows]
            for place in await conversations.of(tx, members, _UNMOVED):
                await _tell(tx, told, place)
            following = await children(tx, members)
            gaps = await conversations.gaps(tx, members)
            unopened = await conversations.unopened(tx, members)
        history = sorted(told.entries, key=lambda entry: entry.at)[::-1]
        return CaseView(
            item=_item(row, rows),
            participants=told.participants(),
            due=told.dues(),
            threads=[told.listed(one, following[one.thread]) for one in rows],
            gaps=[
                Gap(thread=one.thread, sender=one.sender, missing=one.missing, waiting=one.waiting, since=one.since)
                for one in gaps
            ],
            undelivered=[
                Undelivered(message=one.message_id, thread=one.thread, desk=one.desk, state=one.state, since=one.since)
                for one in unopened
            ],
            history=history[:MAX_HISTORY],
            older=max(0, len(history) - MAX_HISTORY),
        )


@dataclass(frozen=True, slots=True)
class _Spoken:
    """A message that moves no thread, ours or another's."""

    thread: ThreadId
    message_id: MessageId
    kind: str
    payload: bytes
    sender: DeskAddress
    to: Sequence[DeskAddress]
    at: int
    signer: str


async def _tell(tx: Transaction, told: "_Telling", place: Stored) -> None:
    """Tell of a message that moves nothing; one that the disk has damaged is shown elsewhere (CON-8)."""
    try:
        if place.ours:
            sent, to = await replaying.ours(tx, place)
            one = _Spoken(
                sent.thread,
                sent.message_id,
                sent.payload_type,
                sent.payload,
                sent.sender_desk,
                to,
                sent.created_at,
                sent.actor.name,
            )
        else:
            came = await replaying.theirs(tx, place)
            one = _Spoken(
                came.thread,
                came.message_id,
                came.payload_type,
                came.payload,
                came.sender_desk,
                [came.recipient_desk],
                came.accepted_at,
                came.actor.name,
            )
        told.message(one)
    except (KeystoreError, MalformedEnvelope):
        return


@dataclass(slots=True)
class _Part:
    """What is known of one agency's part."""

    desks: set[DeskAddress] = field(default_factory=set)
    sides: set[str] = field(default_factory=set)
    signers: dict[str, int] = field(default_factory=dict)
    leads: bool = False
    last_at: int = 0


class _Telling:
    """Gathers what the threads and the messages of one case say."""

    def __init__(self, own: AgencyAddress, calendar: Callable[[AgencyAddress], Calendar], now: int) -> None:
        self._own = own
        self._calendar = calendar
        self._now = now
        self._parts: dict[AgencyAddress, _Part] = {}
        self._due: list[tuple[int, DueItem]] = []
        self._asked: list[tuple[str, ThreadId, due.Due]] = []
        self._answered: set[tuple[str, AgencyAddress]] = set()
        self._threads: dict[ThreadId, ThreadRow] = {}
        self._peers: dict[ThreadId, set[DeskAddress]] = {}
        self.entries: list[CaseEntry] = []

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
            self._add_due(one, row.thread)

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

    def message(self, one: _Spoken) -> None:
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
        if isinstance(payload, MessageAnswer):
            if payload.ack is Ack.A3:
                self._answered.add((payload.answers, sender))
            return
        for found in due.of_message(payload, sender, recipients, self._calendar(recipients[0]), now=self._now):
            self._asked.append((ids.text(Kind.MESSAGE, one.message_id), one.thread, found))

    def _part(self, agency: AgencyAddress, at: int) -> _Part:
        part = self._parts.setdefault(agency, _Part())
        part.last_at = max(part.last_at, at)
        return part

    def _add_due(self, one: due.Due, thread: ThreadId) -> None:
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
        """Return what is due, the soonest first; what an agency has answered is not (KIND-5)."""
        for message, thread, one in self._asked:
            if (message, one.by) not in self._answered:
                self._add_due(one, thread)
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
        )


def _last(shown: Sequence[CaseRow]) -> list[cbor.Value]:
    return [shown[-1].changed_at, shown[-1].case_id]


def _item(row: CaseRow, rows: Iterable[CaseThread]) -> CaseItem:
    known = Facts()
    numbers = dict[str, None]()
    for one in rows:
        known = cases.merge(known, one.facts)
        if one.facts.number is not None:
            numbers[one.facts.number.values[0]] = None
    return CaseItem(
        id=row.case_id,
        person=_person(known),
        register_numbers=list(numbers),
        threads=row.threads,
        live=row.live,
        begun_at=row.begun_at,
        changed_at=row.changed_at,
        due_at=row.due_at,
    )


def _person(known: Facts) -> CasePerson | None:
    if known.name is None:
        return None
    family_name, given_names, born = known.name.values
    return CasePerson(
        family_name=family_name,
        given_names=given_names or None,
        date_of_birth=date.fromisoformat(born) if born else None,
    )


def _place(tx: Transaction, cursor: str | None) -> tuple[int, CaseId] | None:
    if cursor is None:
        return None
    at, case_id = as_tuple(cursors.unseal(tx, _CURSOR, cursor), 2)
    return as_int(at), CaseId(as_bytes(case_id))
