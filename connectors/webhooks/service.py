# SPDX-License-Identifier: Apache-2.0
"""The service behind the operations on webhooks: what was not confirmed, and telling it again."""

from collections.abc import Collection, Mapping
from typing import Final

from connectors.store import cursors, webhooks
from connectors.store.engine import Store, Transaction
from connectors.store.webhooks import Delivery, DeliveryState
from connectors.timing import Clock
from protocol.errors import NotFound
from protocol.http.call import Answer, Call, Handler
from protocol.http.webhooks import (
    DeliveryFilter,
    DeliveryItem,
    DeliveryPage,
    EventPath,
    Replayed,
    WebhookItem,
)
from protocol.ids import EventId
from protocol.shapes import as_int, as_text, as_tuple

_CURSOR: Final = "delivery cursor"


class Webhooks:
    """Answers `listDeliveries` and `replayEvent`."""

    def __init__(self, store: Store, urls: Collection[str], clock: Clock) -> None:
        """`urls` are the addresses in force."""
        self._store = store
        self._urls = urls
        self._clock = clock

    def by_operation(self) -> Mapping[str, Handler[str]]:
        """Return the handler of each operation, by its id."""
        return {"listDeliveries": self.list_deliveries, "replayEvent": self.replay_event}

    async def list_deliveries(self, call: Call[str]) -> Answer:
        """List what was not confirmed."""
        return Answer(await self.page(call.query(DeliveryFilter)))

    async def replay_event(self, call: Call[str]) -> Answer:
        """Tell every address of one event again."""
        return Answer(await self.replay(call.path(EventPath).event))

    async def page(self, query: DeliveryFilter) -> DeliveryPage:
        """Return a page of deliveries, oldest event first, and how each address stands."""
        async with self._store.read() as tx:
            known = await webhooks.disabled(tx)
            state = None if query.state is None else DeliveryState(query.state)
            found = await webhooks.page(tx, state, after=_place(tx, query.cursor), limit=query.limit + 1)
            shown = found[: query.limit]
            more = cursors.seal(tx, _CURSOR, [shown[-1].position, shown[-1].url]) if len(found) > len(shown) else None
        return DeliveryPage(
            webhooks=[WebhookItem(url=url, disabled_at=known.get(url)) for url in self._urls],
            items=[_item(one) for one in shown],
            next_cursor=more,
        )

    async def replay(self, event: EventId) -> Replayed:
        """Have `event` told to every address in force from the first try on; one that is disabled is enabled by it."""
        async with self._store.write() as tx:
            place = await webhooks.place_of(tx, event)
            if place is None:
                raise NotFound
            for url in self._urls:
                await webhooks.again(tx, place, url, self._clock())
                await webhooks.enable(tx, url)
        return Replayed(event=event, webhooks=len(self._urls))


def _item(one: Delivery) -> DeliveryItem:
    return DeliveryItem(
        event=one.told.event_id,
        type=f"eu.throughcare.{one.told.type}.v1",
        url=one.url,
        state=one.state,
        tries=one.tries,
        next_try_at=one.next_try_at if one.state is DeliveryState.WAITING else None,
        outcome=one.outcome,
    )


def _place(tx: Transaction, cursor: str | None) -> tuple[int, str] | None:
    if cursor is None:
        return None
    position, url = as_tuple(cursors.unseal(tx, _CURSOR, cursor), 2)
    return as_int(position), as_text(url, most=2_000)
