# SPDX-License-Identifier: Apache-2.0
"""Cases as the local interface shows them: the list, and one case whole, made from its messages when asked for."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Final

from connectors import folding
from connectors.cases.correcting import mark_entries
from connectors.cases.hearing import Hearing
from connectors.cases.lineage import children
from connectors.cases.listing import lost_view
from connectors.cases.register import word_key
from connectors.cases.telling import Telling, tell, tell_thread
from connectors.store import caselist, cases, conversations, cursors, lost
from connectors.store.casefacts import CaseThread, Facts, merge
from connectors.store.caselist import CaseRow, Filter
from connectors.store.engine import Store, Transaction
from connectors.timing import Clock
from protocol import cbor
from protocol.address import AgencyAddress
from protocol.clocks import Calendar
from protocol.errors import InvalidInput, NotFound
from protocol.http.call import Answer, Call, Handler
from protocol.http.cases import (
    MAX_HISTORY,
    CaseFilter,
    CaseItem,
    CaseList,
    CasePage,
    CasePath,
    CasePerson,
    CaseSearch,
    CaseView,
    Gap,
    Undelivered,
)
from protocol.ids import CaseId
from protocol.kinds.catalogue import KINDS
from protocol.limits import DAY
from protocol.shapes import as_bytes, as_int, as_tuple

SOON: Final = 2 * DAY
"""How long before an answer is due its case stands in the list of those."""
_CURSOR: Final = "case cursor"
_UNMOVED: Final = frozenset(kind.name for kind in KINDS.values() if kind.machine is None)


class Casebook:
    """The service and the handlers of the operations on cases. Nothing is stored here."""

    def __init__(
        self,
        store: Store,
        agency: AgencyAddress,
        calendar: Callable[[AgencyAddress], Calendar],
        hearing: Hearing,
        clock: Clock,
    ) -> None:
        """`agency` is our own; `calendar` gives an agency's working days; `hearing` knows what waits for an answer."""
        self._store = store
        self._agency = agency
        self._calendar = calendar
        self._hearing = hearing
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
        found = await caselist.page(tx, wanted, before=_place(tx, cursor), limit=limit + 1)
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
            row = None if now_called is None else await caselist.load(tx, now_called)
            if row is None:
                raise NotFound
            rows = await cases.of(tx, [row.case_id])
            told = Telling(self._agency, self._calendar, self._clock())
            for one in rows:
                await tell_thread(tx, told, one.thread)
            members = [one.thread for one in rows]
            await tell(tx, told, await conversations.of(tx, members, _UNMOVED))
            following = await children(tx, members)
            gaps = await conversations.gaps(tx, members)
            for thread, waits in await self._hearing.waits(tx, members):
                told.add_due(waits, thread)
            unopened = await conversations.unopened(tx, members)
            gone = await lost.of(tx, members)
            history = sorted(told.entries, key=lambda entry: entry.at)[::-1]
            shown = await mark_entries(tx, history[:MAX_HISTORY])
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
            lost=[lost_view(one) for one in gone],
            history=shown,
            older=max(0, len(history) - MAX_HISTORY),
        )


def _last(shown: Sequence[CaseRow]) -> list[cbor.Value]:
    return [shown[-1].changed_at, shown[-1].case_id]


def _item(row: CaseRow, rows: Iterable[CaseThread]) -> CaseItem:
    known = Facts()
    numbers = dict[str, None]()
    for one in rows:
        known = merge(known, one.facts)
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
