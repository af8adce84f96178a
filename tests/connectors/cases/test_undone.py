# SPDX-License-Identifier: Apache-2.0
"""A step of the prison that the office's stood before: somebody at the prison hears of it, and every copy too."""

from connectors.cases.composing import Said
from connectors.cases.conversing import ANSWERABLE
from connectors.cli.threads import _to_be_heard_of
from connectors.store import outgoing, threads
from connectors.store.recipients import Plan
from protocol import ids
from protocol.ids import Kind, MessageId, ThreadId
from protocol.kinds.catalogue import KINDS, kind_for
from protocol.lifecycle import copies
from protocol.lifecycle.handover import HANDOVER
from tests.connectors.cases.test_alerts import told
from tests.connectors.cases.test_clockwork import day
from tests.connectors.cases.test_copies import GORA, OFFICE, knows
from tests.connectors.cases.test_handover import TAKEN_UP, do, offer
from tests.connectors.cases.test_lead_back import answer, taken_over
from tests.connectors.cases.test_referral import OFFICER, agreed, history, row, settle
from tests.connectors.cases.test_thread_api import Served, prison
from tests.connectors.conftest import World
from tests.connectors.stations import Station
from tests.connectors.test_giving_up import accepted, given_up_instant

__all__ = ["prison"]


async def crossed(world: World) -> ThreadId:
    """Return a handover that the office completes just before the prison says that the release was taken back."""
    prison, office = world.prison, world.probation
    thread = await taken_over(world)
    await do(office, thread, "complete", items=[])
    await office.seal_and_send()
    await do(prison, thread, "fail", reason="release-cancelled")
    await settle(prison, office, world.social_work)
    return thread


async def refused(world: World, thread: ThreadId) -> list[str]:
    return [step.move.event for step in (await history(world.prison, thread)).conflicts]


async def said(station: Station, thread: ThreadId, kind: str) -> int:
    async with station.parts.store.read() as tx:
        return len(await outgoing.in_thread(tx, thread, kind))


async def slip_in(station: Station, world: World, thread: ThreadId, kind: str, **fields: object) -> None:
    """Have `station` send the prison whatever it likes into a thread."""
    composing = station.parts.moving._composing
    subject = ids.text(Kind.SUBJECT, ids.new_id())
    message = composing.message(KINDS[kind], thread, station.desk, subject, Said(fields=fields))
    async with station.parts.store.write() as tx:
        await outgoing.add(tx, message, {world.prison.desk: Plan()})
    await settle(station, world.prison)


async def test_han_16_whoever_takes_a_lead_back_that_the_other_side_made_final_is_alerted_until_it_is_noted(
    world: World, prison: Served
) -> None:
    sender = world.prison
    thread = await crossed(world)
    assert await agreed(thread, sender, world.probation) == "completed"
    assert await refused(world, thread) == ["fail"]
    here = await row(sender, thread)
    assert (here.alert, here.live) == ("step-refused", False)
    assert (await row(world.probation, thread)).alert is None
    (alert,) = (await prison.client.thread(thread)).alerts
    assert (alert.kind, alert.what, alert.by) == ("step-refused", "note", "sender")
    complete = next(one for one in (await prison.client.thread(thread)).steps if one.event == "complete")
    assert alert.message == complete.message
    (line,) = _to_be_heard_of(await prison.client.thread(thread))
    assert line.endswith(
        f"note it: throughcare message answer {ids.text(Kind.MESSAGE, alert.message)} noted --as TITLE"
    )
    assert [one for one in await told(sender) if one.startswith("handover.")][-1] == "handover.alert"
    assert "handover.alert" not in await told(world.probation)
    await answer(prison, world, alert.message)
    assert (await row(sender, thread)).alert is None
    assert (await prison.client.thread(thread)).alerts == []
    await settle(sender, world.probation)
    assert await sender.quarantined() == await world.probation.quarantined() == []


async def test_han_16_a_copy_is_told_once_more_what_stands(world: World) -> None:
    prison, csw = world.prison, world.social_work
    thread = await crossed(world)
    assert await knows(world, thread) == OFFICE, "and since when, and under whom"
    at_copy = [step.move.event for step in (await history(csw, thread)).done]
    assert at_copy[-3:] == ["take-effect", "fail", "take-effect"]
    assert await said(prison, thread, "handover.effective") == 2
    async with prison.parts.store.write() as tx:
        await prison.parts.threads.refold(tx, await threads.load(tx, thread))
    await settle(prison, world.probation, csw)
    assert await said(prison, thread, "handover.effective") == 2, "and no more than once"
    # What was told again is no step between the two sides.
    assert await agreed(thread, prison, world.probation) == "completed"
    assert len([step for step in (await history(prison, thread)).steps if step.move.event == "take-effect"]) == 1
    assert await csw.quarantined() == await world.probation.quarantined() == []


async def test_han_16_an_instant_that_a_refusal_stood_before_is_known_to_be_none_at_every_desk(world: World) -> None:
    """The person is out; the prison binds the office, and does not know that it has refused."""
    prison, office, csw, now = world.prison, world.probation, world.social_work, world.hub.clock()
    thread = await offer(world)
    await do(office, thread, "acknowledge", **TAKEN_UP)
    await settle(prison, office)
    await do(office, thread, "decline", reason="no-legal-basis")
    await office.seal_and_send()
    await do(prison, thread, "bind", statute="probation-act-12")
    await do(prison, thread, "take-effect", effective_at=now)
    await settle(prison, office, csw)
    assert await agreed(thread, prison, office) == "declined"
    assert await refused(world, thread) == ["bind", "take-effect"]
    assert await knows(world, thread) == GORA
    assert (await row(csw, thread)).state == "offered"
    assert (await row(prison, thread)).alert == "step-refused"
    days = {"acknowledge_by": str(day(now, 2)), "answer_by": str(day(now, 5))}
    trigger = {"event": "release.notice"}
    await do(prison, thread, "offer-again", trigger=trigger, reason="released-early", **days)
    assert (await row(prison, thread)).alert is None, "whoever goes on from there knows"


async def test_han_16_a_copy_that_had_an_instant_which_was_given_up_is_told_that_the_offer_stands(world: World) -> None:
    thread = await accepted(world)
    await given_up_instant(world, thread)
    await settle(world.prison, world.probation, world.social_work)
    assert await knows(world, thread) == GORA
    at_copy = await history(world.social_work, thread)
    assert [step.move.event for step in at_copy.done] == ["offer", "take-effect", "change-date"]
    assert (await row(world.prison, thread)).alert == "message-lost"
    await do(world.prison, thread, "take-effect", effective_at=world.hub.clock())
    await settle(world.prison, world.probation, world.social_work)
    assert await knows(world, thread) == OFFICE


async def test_han_16_a_desk_with_a_copy_lets_no_step_be_in_vain(world: World) -> None:
    """It writes the very step that would stand before the prison's, in a thread in which it has no part."""
    prison, csw = world.prison, world.social_work
    thread = await taken_over(world)
    await slip_in(csw, world, thread, "handover.complete", items=[])
    await do(prison, thread, "fail", reason="release-cancelled")
    await settle(prison, world.probation, csw)
    assert await agreed(thread, prison, world.probation) == "failed-effective"
    assert await knows(world, thread) == GORA
    assert (await row(prison, thread)).alert is None
    assert await said(prison, thread, "handover.effective") == 1


async def test_han_16_nobody_but_the_prison_itself_notes_that_its_step_was_in_vain(world: World) -> None:
    """An office that would like nobody to call says in the prison's place that it was noted."""
    prison = world.prison
    thread = await crossed(world)
    complete = next(step.move for step in (await history(prison, thread)).done if step.move.event == "complete")
    fields = {"answers": named(complete.message_id), "answer": "noted", "officer": OFFICER}
    for station in (world.probation, world.social_work):
        await slip_in(station, world, thread, "message.answer", **fields)
        async with prison.parts.store.write() as tx:
            await prison.parts.threads.refold(tx, await threads.load(tx, thread))
        assert (await row(prison, thread)).alert == "step-refused"


def named(message_id: MessageId) -> str:
    return ids.text(Kind.MESSAGE, message_id)


def test_han_16_whatever_step_one_was_in_vain_behind_can_be_answered() -> None:
    kinds = [kind_for(HANDOVER.name, event) for event in copies.ENDS]
    assert {kind.name for kind in kinds if kind is not None} <= ANSWERABLE
    assert None not in kinds
