# SPDX-License-Identifier: Apache-2.0
"""The receiver ends a handover that had taken effect: whoever leads again hears of it, and so do the copies."""

import secrets
from typing import Any

import pytest

from connectors.cases.threads import history_of
from connectors.cli.threads import _to_be_heard_of
from connectors.store import moves, outgoing, threads
from protocol import ids
from protocol.errors import NotFound
from protocol.http.cases import CaseFilter
from protocol.http.messages import MessageRequest
from protocol.ids import Kind, MessageId, ThreadId
from tests.connectors.cases.test_alerts import alerted, alerts, told
from tests.connectors.cases.test_handover import ACCEPT, TAKEN_UP, do, lead, offer
from tests.connectors.cases.test_referral import OFFICER, agreed, row, settle
from tests.connectors.cases.test_thread_api import Served, prison
from tests.connectors.conftest import World
from tests.connectors.stations import Station
from tests.connectors.typing import type_at

__all__ = ["prison"]

PRISON = "gora-prison@hub.example"
IN_ERROR: dict[str, Any] = {"reason": "wrong-person", "capacity": "data-protection"}
KIND = "handover.entered-in-error"


async def accepted(world: World) -> ThreadId:
    """Return a handover that probation accepted, with a copy at social work."""
    thread = await offer(world)
    for event, fields in (("acknowledge", TAKEN_UP), ("accept", ACCEPT)):
        await do(world.probation, thread, event, **fields)
    await settle(world.prison, world.probation, world.social_work)
    return thread


async def taken_over(world: World) -> ThreadId:
    """Return one of which probation has the lead."""
    thread = await accepted(world)
    await do(world.prison, thread, "take-effect", effective_at=world.hub.clock())
    await settle(world.prison, world.probation, world.social_work)
    return thread


async def end(world: World, station: Station, thread: ThreadId) -> None:
    await do(station, thread, "entered-in-error", **IN_ERROR)
    await settle(world.prison, world.probation, world.social_work)


async def answer(prison: Served, world: World, message: MessageId) -> None:
    fields: dict[str, Any] = {"answers": ids.text(Kind.MESSAGE, message), "officer": OFFICER, "answer": "noted"}
    request = MessageRequest(kind="message.answer", to=[world.probation.desk], fields=fields)
    await prison.client.send_message(request, idempotency_key=secrets.token_hex(12))


async def sent_in_error(station: Station, thread: ThreadId) -> int:
    async with station.parts.store.read() as tx:
        return len(await outgoing.in_thread(tx, thread, KIND))


@pytest.mark.parametrize("completed", [False, True])
async def test_han_11_whoever_gets_the_lead_back_is_alerted_until_somebody_there_has_noted_it(
    world: World, prison: Served, completed: bool
) -> None:
    thread = await taken_over(world)
    if completed:
        await do(world.probation, thread, "complete", items=[])
        await settle(world.prison, world.probation)
    await end(world, world.probation, thread)
    assert await agreed(thread, world.prison, world.probation) == "entered-in-error"
    assert await lead(world.prison, thread, world) == PRISON
    assert await alerted(world.prison, world) == [], "a handover is in the list of handovers"
    assert (await row(world.prison, thread)).alert == "lead-returned"
    assert (await row(world.probation, thread)).alert is None
    assert await alerts(world.probation, thread, world) == []
    (alert,) = (await prison.client.thread(thread)).alerts
    assert (alert.kind, alert.what, alert.by) == ("lead-returned", "note", "sender")
    lines = list(_to_be_heard_of(await prison.client.thread(thread)))
    assert [line.partition(", ")[2] for line in lines] == [
        f"note it: throughcare message answer {ids.text(Kind.MESSAGE, alert.message)} noted --as TITLE"
    ]
    events = [one for one in await told(world.prison) if one.startswith("handover.")]
    assert events[-2:] == ["handover.entered-in-error", "handover.alert"]
    assert "handover.alert" not in await told(world.probation)
    # Nothing that is looked at or told again ends it.
    async with world.prison.parts.store.write() as tx:
        await world.prison.parts.threads.refold(tx, await threads.load(tx, thread))
    assert (await row(world.prison, thread)).alert == "lead-returned"
    # What is advised can be typed, with the title of whoever notes it, and ends it.
    title = (await prison.client.status()).officers[0].title
    command = lines[0].partition("throughcare ")[2].split()
    assert await type_at(prison.station, prison.url, *command[:-1], title) == 0
    assert (await row(world.prison, thread)).alert is None
    assert (await prison.client.thread(thread)).alerts == []
    await settle(world.prison, world.probation)
    assert await world.probation.quarantined() == []
    noted = await prison.client.message(alert.message)
    assert [(one.answer, one.desk) for one in noted.answers] == [("noted", world.prison.desk)]
    at_receiver = await world.probation.parts.thread_api._messages.show(alert.message)
    assert at_receiver.answers == noted.answers, "whoever ended it sees who knows of it"


async def test_han_11_only_a_step_that_gave_the_lead_back_is_noted_so(world: World, prison: Served) -> None:
    thread = await taken_over(world)
    async with world.prison.parts.store.read() as tx:
        accept = next(one for one in await moves.of(tx, thread) if one.event == "accept")
    with pytest.raises(NotFound):
        await answer(prison, world, accept.message_id)


async def test_han_11_nobody_is_alerted_where_the_lead_had_not_moved_or_its_own_officer_took_it_back(
    world: World,
) -> None:
    thread = await accepted(world)
    await end(world, world.probation, thread)
    own = await taken_over(world)
    await end(world, world.prison, own)
    for one in (thread, own):
        assert await agreed(one, world.prison, world.probation) == "entered-in-error"
        assert (await row(world.prison, one)).alert is None


@pytest.mark.parametrize("effective", [False, True])
async def test_han_11_whoever_got_a_copy_is_told_once_whichever_side_ended_it(
    world: World, prison: Served, effective: bool
) -> None:
    served, sender, csw = prison, world.prison, world.social_work
    thread = await (taken_over(world) if effective else accepted(world))
    await end(world, world.probation, thread)
    assert (await row(csw, thread)).state == "entered-in-error"
    assert await lead(csw, thread, world) == PRISON
    assert await sent_in_error(sender, thread) == 1
    # What was passed on is no step of the sender's own, and comes to the desks with a copy only.
    async with sender.parts.store.write() as tx:
        stored = await moves.of(tx, thread)
        assert [one.direction for one in stored if one.event == "entered-in-error"] == ["in"]
        await sender.parts.threads.refold(tx, await threads.load(tx, thread))
        assert history_of(await threads.load(tx, thread), stored).conflicts == ()
    assert await sent_in_error(sender, thread) == 1
    for station in (world.probation, csw, sender):
        assert await station.quarantined() == []
    (case,) = (await served.client.cases(CaseFilter())).items
    found = [one.what for one in (await served.client.case(case.id)).history]
    assert [one for one in found if "in-error" in one] == ["entered-in-error"]
