# SPDX-License-Identifier: Apache-2.0
"""Steps that were sealed anew: both sides tell one history, in which each side's steps keep their order (LIF-4)."""

from dataclasses import replace

import pytest
from sqlalchemy import select, text, update

from connectors.migrations.versions import v0021_lines
from connectors.receipts import OPENED
from connectors.store import attempts, outgoing, recipients, threadtables
from protocol.ids import MessageId, ThreadId
from protocol.limits import DAY, HOUR
from protocol.receipts import parse_receipt
from tests.connectors.cases.test_handover import ACCEPT, TAKEN_UP, do, lead, offer
from tests.connectors.cases.test_referral import agreed, history, refer, row, settle
from tests.connectors.cases.test_referral import do as step
from tests.connectors.conftest import World
from tests.connectors.hand import say
from tests.connectors.stations import Station
from tests.connectors.tampering import TAMPERINGS
from tests.connectors.test_asking import asks
from tests.connectors.test_giving_up import drain


async def seal_anew(station: Station, thread: ThreadId, kind: str, to: Station) -> None:
    """Have a message sealed once more, as after an end that nobody told of (CON-13)."""
    async with station.parts.store.write() as tx:
        (message,) = await outgoing.in_thread(tx, thread, kind)
        found = await recipients.find(tx, message.message_id, to.desk)
        await recipients.requeue(tx, found, now=message.created_at, error="no-notice")
    await station.seal_and_send()


async def collect_with_a_flipped_bit(station: Station, *, place: int = 0) -> None:
    """Take what the hub has, of which it damages one item."""
    items = list(await station.link.receive(await station.parts.inbox.cursor()))
    items[place] = replace(items[place], data=TAMPERINGS["machine state flipped"](items[place].data))
    await station.take(tuple(items))


async def test_lif_4_one_bit_in_the_first_of_two_steps_does_not_void_the_second(world: World) -> None:
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw)).thread
    await settle(prison, csw)
    await step(csw, thread, "acknowledge")
    await step(csw, thread, "accept")
    await csw.seal_and_send()
    await collect_with_a_flipped_bit(prison)
    assert await prison.quarantined() != []
    await settle(prison, csw)
    assert await agreed(thread, prison, csw) == "accepted"
    found = await history(prison, thread)
    assert found.conflicts == ()
    first, second = (one.move.index or 0 for one in found.steps if one.move.event in ("acknowledge", "accept"))
    assert first > second > 0, "the first was sealed anew and stands behind the second in the log"


async def test_lif_4_a_new_date_of_a_handover_stands_behind_its_offer_that_was_sealed_anew(world: World) -> None:
    prison, probation = world.prison, world.probation
    queued = await prison.compose(probation.desk, world.social_work.desk)
    thread = queued.thread
    await do(prison, thread, "change-date", trigger={"expected_on": "2027-02-09"}, reason="release-moved")
    await prison.seal_and_send()
    await collect_with_a_flipped_bit(probation)
    await settle(prison, probation, world.social_work)
    assert await agreed(thread, prison, probation) == "offered"
    assert (await history(probation, thread)).conflicts == ()


async def test_lif_4_the_place_is_the_sealing_that_was_taken_in_whichever_answer_comes_first(world: World) -> None:
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw)).thread
    await settle(prison, csw)
    await step(prison, thread, "withdraw")
    await prison.seal_and_send()
    await step(csw, thread, "acknowledge")
    await csw.seal_and_send()
    await seal_anew(prison, thread, "referral.withdraw", csw)
    # The hub turns round what it delivers, and keeps back the answer to what came first.
    await csw.take(tuple(reversed(await csw.link.receive(await csw.parts.inbox.cursor()))))
    await csw.seal_and_send()
    acknowledge, _, answer = await prison.link.receive(await prison.parts.inbox.cursor())
    await prison.take((answer, acknowledge))
    await settle(prison, csw)
    assert await agreed(thread, prison, csw) == "cancel-requested"
    events = [one.move.event for one in (await history(prison, thread)).done]
    assert events[-2:] == ["acknowledge", "withdraw"], "it was taken in by its later sealing"


async def test_lif_4_a_copy_that_is_sealed_anew_moves_nothing_between_the_two_sides(world: World) -> None:
    prison, probation, csw = world.prison, world.probation, world.social_work
    thread = await offer(world)
    await do(probation, thread, "acknowledge", **TAKEN_UP)
    await do(probation, thread, "accept", **ACCEPT)
    await settle(prison, probation)
    await do(prison, thread, "take-effect", effective_at=world.hub.clock())
    await prison.seal_and_send()
    before = [one.move.index for one in (await history(prison, thread)).steps]
    assert None not in before
    await seal_anew(prison, thread, "handover.effective", csw)
    assert [one.move.index for one in (await history(prison, thread)).steps] == before
    await settle(prison, probation, csw)
    assert await agreed(thread, prison, probation) == "effective"
    assert await lead(csw, thread, world) == "reka-probation@hub.example"
    assert (await row(csw, thread)).state == "effective"


@pytest.mark.parametrize("first", ["sending", "taking in"])
async def test_lif_4_a_step_whose_answer_was_lost_for_weeks_stands_where_the_hub_took_it(
    world: World, first: str
) -> None:
    """The hub has it, and its sender was away until the envelope was over: he knows the place from the A1 alone."""
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw)).thread
    await settle(prison, csw)
    await step(csw, thread, "acknowledge")
    await settle(prison, csw)
    await step(csw, thread, "accept")
    await csw.parts.sealer.step()
    async with csw.parts.store.read() as tx:
        ready = await attempts.ready(tx, world.hub.clock(), limit=9, most_bytes=1 << 20)
    await csw.link.submit([one.raw for one in ready])
    await prison.collect()
    await step(prison, thread, "withdraw")
    await prison.seal_and_send()
    for _ in range(2):
        world.hub.clock.advance(16 * DAY)
        for station in (prison, csw):
            await station.look()
    if first == "taking in":
        await csw.collect()
    await csw.seal_and_send()
    await settle(prison, csw)
    assert await agreed(thread, prison, csw) == "cancel-requested"
    assert (await history(csw, thread)).conflicts == ()


async def newest_leaf(station: Station, message_id: MessageId, to: Station) -> int:
    """Return where the hub put the newest sealing of a message."""
    async with station.parts.store.read() as tx:
        found = await recipients.find(tx, message_id, to.desk)
        assert found.envelope_id is not None
        receipt = await attempts.receipt(tx, found.envelope_id)
    assert receipt is not None
    return parse_receipt(receipt).body.place


async def opens(station: Station, message_id: MessageId, of: Station) -> None:
    """Let a liar say that it has opened the newest sealing of a message, whichever it took in before."""
    async with of.parts.store.read() as tx:
        found = await recipients.find(tx, message_id, station.desk)
        assert found.envelope_id is not None
        sealing = await attempts.by_id(tx, found.envelope_id)
    assert sealing is not None
    await say(station, OPENED, of.desk, sealing.digest, message_id)


@pytest.mark.parametrize("again", ["answer", "withdraw"])
async def test_lif_4_nobody_puts_a_step_that_he_opened_behind_his_own_by_asking_for_it_or_an_earlier_one_again(
    world: World, again: str
) -> None:
    prison, liar, clock = world.prison, world.social_work, world.hub.clock
    thread = (await refer(prison, liar)).thread
    await settle(prison, liar)
    await step(liar, thread, "ask")
    await settle(prison, liar)
    steps = {"answer": (await step(prison, thread, "answer")).message_id}
    await settle(prison, liar)
    # He composes his step in time, and keeps it back until it would come too late.
    kept = (await step(liar, thread, "accept")).message_id
    async with liar.parts.store.write() as tx:
        await recipients.wait(tx, kept, prison.desk, until=clock() + DAY, error="kept-back")
    steps["withdraw"] = (await step(prison, thread, "withdraw")).message_id
    await settle(prison, liar)
    assert (await row(prison, thread)).state == "cancel-requested"
    clock.advance(HOUR)
    async with liar.parts.store.write() as tx:
        await recipients.wait(tx, kept, prison.desk, until=clock(), error="kept-back")
    await asks(liar, steps[again], thread, prison)
    await prison.turn()
    late = (await history(prison, thread)).steps[-1].move
    await opens(liar, steps[again], prison)
    await drain(liar)
    await settle(prison, liar)
    assert late.message_id == kept
    assert (late.index or 0) < await newest_leaf(prison, steps[again], liar), "his step stands before the new sealing"
    assert await agreed(thread, prison, liar) == "cancel-requested"
    assert [one.move.message_id for one in (await history(prison, thread)).conflicts] == [kept]


async def numbers(station: Station) -> dict[bytes, int | None]:
    async with station.parts.store.read() as tx:
        rows = await tx.connection.execute(select(threadtables.move.c.message_id, threadtables.move.c.seq))
        return {row.message_id: row.seq for row in rows}


async def test_lif_4_moves_from_before_they_had_numbers_get_them_from_their_messages(world: World) -> None:
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw)).thread
    await settle(prison, csw)
    for event in ("acknowledge", "accept"):
        await step(csw, thread, event)
    await step(prison, thread, "withdraw")
    await settle(prison, csw)
    for station in (prison, csw):
        before = await numbers(station)
        assert sorted(number or 0 for number in before.values()) == [0, 1, 1, 2, 2], "a receipt has none"
        async with station.parts.store.write() as tx:
            await tx.connection.execute(update(threadtables.move).values(seq=None))
            for statement in (v0021_lines.OURS, v0021_lines.THEIRS):
                await tx.connection.execute(text(statement))
        assert await numbers(station) == before
