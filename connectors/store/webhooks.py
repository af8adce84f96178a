# SPDX-License-Identifier: Apache-2.0
"""Which addresses are told of events, and what each has not confirmed. What is confirmed leaves no row (EVT-6)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, delete, func, select, tuple_, update
from sqlalchemy.dialects.sqlite import insert

from connectors.store.engine import Transaction
from connectors.store.events import EventRow, of
from connectors.store.tables import delivery, event, webhook
from protocol.ids import EventId


class DeliveryState(StrEnum):
    """How an event stands at an address that has not confirmed it."""

    WAITING = "waiting"
    FAILED = "failed"
    """Nobody tries any more, until somebody asks for it."""


_COLUMNS: Final = (
    delivery.c.url,
    delivery.c.state.label("standing"),
    delivery.c.tries,
    delivery.c.next_try_at,
    delivery.c.outcome,
)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one address; `position` is the event's place, `outcome` what came of the last try."""

    position: int
    url: str
    state: DeliveryState
    tries: int
    next_try_at: int
    outcome: str | None
    told: EventRow


async def plan(tx: Transaction, urls: Collection[str], now: int, most: int) -> int:
    """Note up to `most` new events for each address in force and return how many; forget all other addresses.

    An address that is new is told of what happens from now on.
    """
    for table in (delivery, webhook):
        await tx.connection.execute(delete(table).where(table.c.url.not_in(urls)))
    newest = await tx.connection.scalar(select(func.max(event.c.position))) or 0
    for url in urls:
        await tx.connection.execute(insert(webhook).values(url=url, planned=newest).on_conflict_do_nothing())
    planned = 0
    for row in (await tx.connection.execute(select(webhook).where(webhook.c.disabled_at.is_(None)))).all():
        places = (
            await tx.connection.scalars(
                select(event.c.position).where(event.c.position > row.planned).order_by(event.c.position).limit(most)
            )
        ).all()
        for place in places:
            await again(tx, place, row.url, now)
        if places:
            await tx.connection.execute(update(webhook).where(webhook.c.url == row.url).values(planned=places[-1]))
        planned += len(places)
    return planned


async def pending(tx: Transaction, urls: Collection[str], now: int, *, of: Collection[str]) -> bool:
    """Tell whether `plan` would find anything for the addresses `urls`, or `due` for one `of` them."""
    known = {row.url: row for row in await tx.connection.execute(select(webhook))}
    newest = await tx.connection.scalar(select(func.max(event.c.position))) or 0
    if set(urls) != set(known):
        return True
    if any(row.disabled_at is None and row.planned < newest for row in known.values()):
        return True
    return any([bool(await due(tx, url, now, 1)) for url in of])


async def due(tx: Transaction, url: str, now: int, most: int) -> Sequence[Delivery]:
    """Return up to `most` deliveries to try at an address now: those never tried first, and those due longest."""
    in_force = select(webhook.c.url).where(webhook.c.disabled_at.is_(None))
    conditions = (
        delivery.c.state == DeliveryState.WAITING,
        delivery.c.next_try_at <= now,
        delivery.c.url == url,
        delivery.c.url.in_(in_force),
    )
    # What is new is told at once, whatever has to be tried again (EVT-5).
    return await _found(tx, conditions, (delivery.c.tries > 0, delivery.c.next_try_at, delivery.c.event), most)


async def page(
    tx: Transaction, state: DeliveryState | None, *, after: tuple[int, str] | None, limit: int
) -> Sequence[Delivery]:
    """Return up to `limit` deliveries behind the place `after` (event's place, address), oldest event first."""
    conditions: list[ColumnElement[bool]] = []
    if state is not None:
        conditions.append(delivery.c.state == state)
    if after is not None:
        conditions.append(tuple_(delivery.c.event, delivery.c.url) > tuple_(*after))
    return await _found(tx, conditions, (delivery.c.event, delivery.c.url), limit)


async def disabled(tx: Transaction) -> dict[str, int | None]:
    """Return each address that is known here, and since when it is disabled."""
    rows = await tx.connection.execute(select(webhook).order_by(webhook.c.url))
    return {row.url: row.disabled_at for row in rows}


async def counts(tx: Transaction) -> dict[DeliveryState, int]:
    """Return how many events are not confirmed, by how they stand, of all addresses together."""
    rows = await tx.connection.execute(select(delivery.c.state, func.count()).group_by(delivery.c.state))
    found = {row[0]: row[1] for row in rows}
    return {state: found.get(state, 0) for state in DeliveryState}


async def confirmed(tx: Transaction, one: Delivery) -> None:
    """Note that the address has confirmed the event."""
    await tx.connection.execute(delete(delivery).where(*_is(one)))


async def tried(tx: Transaction, one: Delivery, outcome: str, next_try_at: int | None) -> bool:
    """Note a try that was not confirmed, and when the next is, None for never; tell whether it still counts."""
    changed = await tx.connection.execute(
        update(delivery)
        .where(*_is(one))
        .values(
            state=DeliveryState.FAILED if next_try_at is None else DeliveryState.WAITING,
            tries=one.tries + 1,
            next_try_at=one.next_try_at if next_try_at is None else next_try_at,
            outcome=outcome,
        )
    )
    return changed.rowcount > 0


async def disable(tx: Transaction, url: str, now: int) -> None:
    """Note that the address wants to be told nothing more."""
    await tx.connection.execute(update(webhook).where(webhook.c.url == url).values(disabled_at=now))


async def enable(tx: Transaction, url: str) -> None:
    """Note that the address is told again, also of what happened meanwhile."""
    await tx.connection.execute(update(webhook).where(webhook.c.url == url).values(disabled_at=None))


async def again(tx: Transaction, place: int, url: str, now: int) -> None:
    """Have the event at `place` told to the address from the first try on."""
    fresh = {"state": DeliveryState.WAITING, "tries": 0, "next_try_at": now, "outcome": None}
    statement = insert(delivery).values(event=place, url=url, **fresh)
    await tx.connection.execute(statement.on_conflict_do_update(index_elements=delivery.primary_key, set_=fresh))


async def place_of(tx: Transaction, event_id: EventId) -> int | None:
    """Return the place of an event, or None if there is none of that id."""
    found: int | None = await tx.connection.scalar(select(event.c.position).where(event.c.event_id == event_id))
    return found


def _is(one: Delivery) -> tuple[ColumnElement[bool], ...]:
    """Return the condition that it is as it was read: a try says nothing of a replay asked for meanwhile (EVT-5)."""
    unchanged = delivery.c.tries == one.tries, delivery.c.next_try_at == one.next_try_at
    return delivery.c.event == one.position, delivery.c.url == one.url, *unchanged


async def _found(
    tx: Transaction, conditions: Collection[ColumnElement[bool]], order: Sequence[ColumnElement[Any]], most: int
) -> Sequence[Delivery]:
    rows = await tx.connection.execute(
        select(*_COLUMNS, event)
        .join(event, event.c.position == delivery.c.event)
        .where(*conditions)
        .order_by(*order)
        .limit(most)
    )
    return [_row(row) for row in rows]


def _row(row: Row[Any]) -> Delivery:
    return Delivery(
        position=row.position,
        url=row.url,
        # Of another state nobody tries it, as if all tries had failed (CON-8).
        state=DeliveryState.WAITING if row.standing == DeliveryState.WAITING else DeliveryState.FAILED,
        tries=row.tries,
        next_try_at=row.next_try_at,
        outcome=row.outcome,
        told=of(row),
    )
