# SPDX-License-Identifier: Apache-2.0
"""The feed of events that the agency's own systems read: what the store noted, as CloudEvents (EVT-2)."""

from collections.abc import Mapping

from connectors.bound import Desks
from connectors.store import events
from connectors.store.engine import Store
from connectors.store.events import EventRow
from connectors.tokens import desks_of
from protocol.address import AgencyAddress
from protocol.http.call import Answer, Call, Handler
from protocol.http.events import CloudEvent, EventData, EventFilter, EventPage, source_of


class Feed:
    """The service behind `listEvents`."""

    def __init__(self, store: Store, agency: AgencyAddress) -> None:
        """Read from `store`; `agency` is the source of all events."""
        self._store = store
        self._agency = agency

    def by_operation(self) -> Mapping[str, Handler[str]]:
        """Return the handler of each operation, by its id."""
        return {"listEvents": self.list_events}

    async def list_events(self, call: Call[str]) -> Answer:
        """List what happened, oldest first."""
        return Answer(await self.page(call.query(EventFilter), desks=desks_of(call.caller)))

    async def page(self, query: EventFilter, *, desks: Desks = None) -> EventPage:
        """Return what followed the event that the caller has last (EVT-3)."""
        async with self._store.read() as tx:
            found = await events.page(tx, after=query.after, limit=query.limit + 1, desks=desks)
        shown = found[: query.limit]
        return EventPage(
            items=[cloud_event(self._agency, row) for row in shown],
            next_after=shown[-1].event_id if len(found) > len(shown) else None,
        )


def cloud_event(agency: AgencyAddress, row: EventRow) -> CloudEvent:
    """Return an event as it is told: the same each time."""
    return CloudEvent(
        id=row.event_id,
        source=source_of(agency),
        type=f"eu.throughcare.{row.type}.v1",
        subject=row.thread,
        time=row.at,
        data=EventData(
            thread=row.thread,
            message=row.message_id,
            machine=row.machine,
            side=row.side,
            state=row.state,
            version=row.version,
        ),
    )
