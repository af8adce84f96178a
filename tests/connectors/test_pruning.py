# SPDX-License-Identifier: Apache-2.0
"""What a connector forgets, and what it never does."""

from dataclasses import replace

import pytest
from sqlalchemy import delete, insert, update

from connectors.store import events, progress, pruning, recipients, webhooks
from connectors.store.pruning import ATTEMPTS_KEPT, EVENTS_KEPT, EVIDENCE_KEPT, REPLAY_KEPT
from connectors.store.tables import attempt, delivery, webhook
from protocol.errors import NotFound
from protocol.frames import Item, ItemKind
from protocol.http.handovers import Page
from protocol.ids import ThreadId, new_id
from protocol.limits import DAY, MINUTE
from protocol.receipts import parse_receipt
from protocol.slices import parse_slice
from tests.connectors.conftest import World
from tests.connectors.hand import Hand, count, items_of, only_recipient
from tests.connectors.tampering import rebuilt, receipt_for

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")


async def test_con_10_what_can_have_no_effect_any_more_is_forgotten_and_receipts_are_not(world: World) -> None:
    prison, probation = world.prison, world.probation
    sent = await prison.send(probation.desk)
    await probation.collect()
    async with prison.parts.store.write() as tx:
        (row,) = await recipients.of(tx, sent)
        await recipients.requeue(tx, row, now=0, error=None)
    await prison.seal_and_send()
    async with prison.parts.store.write() as tx:
        await recipients.requeue(tx, (await recipients.of(tx, sent))[0], now=0, error=None)
    await prison.seal_and_send()
    async with prison.parts.store.write() as tx:
        # The first was accepted; the second and third as if they never were.
        newest = (await recipients.of(tx, sent))[0].envelope_id
        await tx.connection.execute(
            update(attempt).where(attempt.c.envelope_id != row.envelope_id).values(sealed_receipt=None)
        )
    late = world.hub.clock() + 31 * DAY + ATTEMPTS_KEPT
    for now, left in ((late - 2 * DAY, 3), (late, 2)):
        async with prison.parts.store.write() as tx:
            await pruning.forget_attempts(tx, now)
        assert await count(prison, "attempt") == left
    async with prison.parts.store.read() as tx:
        assert newest is not None
        assert (await recipients.of(tx, sent))[0].envelope_id == newest
    for now, left in ((world.hub.clock() + REPLAY_KEPT, 1), (world.hub.clock() + REPLAY_KEPT + 1, 0)):
        async with probation.parts.store.write() as tx:
            await pruning.forget_replays(tx, now)
        assert await count(probation, "replay") == left
    assert await count(probation, "incoming") == 1


async def test_con_10_what_a_later_sealing_replaced_is_forgotten_when_hubs_forget_it_too(world: World) -> None:
    prison, probation = world.prison, world.probation
    sent = await prison.send(probation.desk)
    async with prison.parts.store.write() as tx:
        await recipients.requeue(tx, (await recipients.of(tx, sent))[0], now=0, error=None)
    await prison.seal_and_send()
    await probation.turn()
    assert (await count(prison, "attempt"), await count(probation, "resealed")) == (2, 1)
    now = world.hub.clock()
    for at, attempts_left, resealed_left in (
        (now + EVIDENCE_KEPT, 2, 1),
        (now + EVIDENCE_KEPT + 1, 2, 0),
        (now + 31 * DAY + EVIDENCE_KEPT, 1, 0),
        (now + 9 * EVIDENCE_KEPT, 1, 0),
    ):
        for station in (prison, probation):
            async with station.parts.store.write() as tx:
                await pruning.forget_attempts(tx, at)
                await pruning.forget_resealed(tx, at)
        assert await count(prison, "attempt") == attempts_left
        assert await count(probation, "resealed") == resealed_left
    # What shows who sent what, and that the hub accepted it, is there still.
    assert await count(probation, "incoming") == 1
    assert (await only_recipient(prison, sent)).receipt is not None


async def test_con_10_a_flood_of_rubbish_pushes_out_the_oldest_of_the_quarantine_only(world: World) -> None:
    items = tuple(Item(index, ItemKind.SLICE, b"rubbish" + bytes(index)) for index in range(100, 110))
    await world.probation.parts.inbox.take(items)
    async with world.probation.parts.store.write() as tx:
        assert await pruning.bound_quarantine(tx) == 0
        assert await pruning.bound_quarantine(tx, items=6) == 4
        assert await pruning.bound_quarantine(tx, size=500) > 0
    await world.probation.parts.inbox.take((Item(200, ItemKind.SLICE, b"more"),))
    page = await world.probation.quarantined()
    assert 0 < len(page) <= 6


async def test_con_10_rubbish_and_replays_push_out_no_evidence_against_an_agency(world: World) -> None:
    """A hub that wants to spare an agency delivers whatever it can make, with receipts of its own for all of it."""
    prison, office, hand = world.prison, world.probation, Hand(world)
    genuine = [await prison.send(office.desk) for _ in range(3)]
    thread = ThreadId(new_id())
    fork = [hand.seal(office.desk, thread=thread)]
    hand.sender._last.clear()
    fork.append(hand.seal(office.desk, thread=thread))
    await hand.submit(*fork)
    items = await items_of(office)
    await office.take(items)
    assert len(genuine) == 3
    (evidence,) = (await office.parts.overview.quarantine(Page())).items
    assert (evidence.code, evidence.signed_by) == ("sequence-error", "sender")
    copies = list[Item]()
    for number in range(30):
        # What was genuine again, under receipts of the hub's own: at another place, or after its end, or of the fork.
        item = items[number % len(items)]
        body = parse_receipt(parse_slice(item.data).receipt).body
        late = body.leaf.at if number % 2 else body.leaf.at + 400 * DAY
        again = replace(body, index=1_000 + number, size=2_000 + number)
        raw = rebuilt(item.data, receipt=receipt_for(body.detail, again, at=late))
        copies.append(Item(1_000 + number, ItemKind.SLICE, raw))
    await office.parts.inbox.take(tuple(copies))
    await office.parts.inbox.take(tuple(Item(n, ItemKind.SLICE, b"rubbish %d" % n) for n in range(3_000, 3_030)))
    found = (await office.parts.overview.quarantine(Page(limit=200))).items
    assert {one.signed_by for one in found[:30]} == {"nobody"}
    assert {one.signed_by for one in found[30:-1]} == {"hub"}, "also the copies of the fork itself"
    assert await office.parts.overview.quarantined(evidence.number) == items[-1].data
    async with office.parts.store.write() as tx:
        assert await pruning.bound_quarantine(tx, items=20) == 61 - 20
    left = (await office.parts.overview.quarantine(Page(limit=200))).items
    assert left[-1] == evidence
    assert [one.signed_by for one in left].count("hub") == 5
    async with office.parts.store.write() as tx:
        assert await pruning.bound_quarantine(tx, size=3 * len(items[-1].data)) > 0
    assert evidence in (await office.parts.overview.quarantine(Page(limit=200))).items


async def test_http_10_the_bytes_of_what_was_refused_can_be_taken_out(world: World) -> None:
    office = world.probation
    await office.parts.inbox.take((Item(7, ItemKind.SLICE, b"rubbish"),))
    (item,) = (await office.parts.overview.quarantine(Page())).items
    assert (item.signed_by, await office.parts.overview.quarantined(item.number)) == ("nobody", b"rubbish")
    with pytest.raises(NotFound):
        await office.parts.overview.quarantined(item.number + 1)


async def test_evt_7_old_events_are_forgotten_once_everybody_knows_of_them(world: World) -> None:
    prison, store = world.prison, world.prison.parts.store
    url, begun = "http://localhost:9/told", world.hub.clock()

    async def compose() -> None:
        world.hub.clock.advance(MINUTE)
        await prison.compose(world.probation.desk)

    async def forget(at: int, *, given: int | None = None) -> list[int]:
        """Forget what may be, and return the places of the events that are left."""
        async with store.write() as tx:
            await pruning.forget_events(tx, at, given=given)
        async with store.read() as tx:
            return [place for place, _ in await events.following(tx, 0, 100)]

    late = begun + MINUTE + 1 + EVENTS_KEPT
    assert await forget(late) == []
    for _ in range(6):
        await compose()
    assert await forget(late) == [2, 3, 4, 5, 6]  # only the first is old enough
    late += DAY
    assert await forget(late, given=2) == [3, 4, 5, 6]
    async with store.write() as tx:
        await tx.connection.execute(insert(webhook).values(url=url, planned=4))
        await webhooks.again(tx, 3, url, begun)
    # The third is not confirmed, and of what follows the fourth nothing was planned yet.
    assert await forget(late) == [3, 5, 6]
    async with store.write() as tx:
        await tx.connection.execute(delete(delivery))
        await tx.connection.execute(delete(webhook))
    assert await forget(late) == [6]
    await compose()
    async with store.read() as tx:
        assert [place for place, _ in await events.following(tx, 6, 100)] == [7]


async def test_con_2_what_waits_to_go_out_is_as_old_as_the_oldest_message_of_people(world: World) -> None:
    """A receipt for an agency that has left waits for months, and nobody can do anything about it."""
    await world.prison.send(world.probation.desk)
    await world.probation.collect()
    async with world.probation.parts.store.read() as tx:
        assert sum((await progress.counts(tx)).values()) == 0
        assert await count(world.probation, "recipient") == 1, "the receipt"
        assert await progress.oldest_open(tx) is None
    await world.prison.compose(world.probation.desk)
    async with world.prison.parts.store.read() as tx:
        assert await progress.oldest_open(tx) == world.hub.clock()
