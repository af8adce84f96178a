# SPDX-License-Identifier: Apache-2.0
"""A person who does not come, and an appointment of which nobody says anything: whoever must hear of it does."""

from typing import Any

import pytest

from connectors.cases.composing import Said
from connectors.cases.listing import Listing
from connectors.store import events, outgoing
from connectors.store.recipients import Plan
from protocol import ids
from protocol.http.threads import ListName, ThreadFilter
from protocol.ids import Kind, MessageId, ThreadId
from protocol.kinds.alerting import alert_in, alert_of
from protocol.kinds.catalogue import KINDS
from protocol.limits import DAY, HOUR
from tests.connectors.cases.test_clockwork import fire
from tests.connectors.cases.test_referral import do, refer, row, settle
from tests.connectors.conftest import World
from tests.connectors.stations import Station


async def scheduled(world: World, *, at: int) -> ThreadId:
    """Return a referral that was accepted and has its first appointment."""
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw)).thread
    await settle(prison, csw)
    for event in ("acknowledge", "accept"):
        await do(csw, thread, event)
    await do(csw, thread, "schedule", appointment=at)
    await settle(prison, csw)
    return thread


async def report(world: World, thread: ThreadId, event: str, **fields: Any) -> None:
    await do(world.social_work, thread, event, **fields)
    await settle(world.prison, world.social_work)


async def alerts(station: Station, thread: ThreadId, world: World) -> list[str]:
    listing = Listing(station.parts.store, station.parts.threads, world.hub.clock)
    return [one.kind for one in (await listing.show(thread)).alerts]


async def alerted(station: Station, world: World) -> list[ThreadId]:
    listing = Listing(station.parts.store, station.parts.threads, world.hub.clock)
    return [one.thread for one in (await listing.list(ThreadFilter(list=ListName.ALERTS))).items]


async def told(station: Station) -> list[str]:
    async with station.parts.store.read() as tx:
        return [one.type for one in await events.page(tx, after=None, limit=200)]


async def test_ref_5_a_missed_first_appointment_alerts_the_requester_until_the_person_comes(world: World) -> None:
    prison, csw = world.prison, world.social_work
    at = world.hub.clock()
    thread = await scheduled(world, at=at)
    assert await alerted(prison, world) == []
    await report(world, thread, "no-show", appointment=at)
    assert await alerts(prison, thread, world) == await alerts(csw, thread, world) == ["first-missed"]
    assert await alerted(prison, world) == [thread]
    assert await alerted(csw, world) == [], "whoever reported it need not be alerted"
    assert "referral.alert" in await told(prison)
    assert "referral.alert" not in await told(csw)
    later = at + DAY
    await report(world, thread, "schedule", appointment=later)
    assert await alerted(prison, world) == [thread], "a new appointment is not yet a person who came"
    await report(world, thread, "attended", appointment=later)
    assert await alerted(prison, world) == []
    assert await alerts(prison, thread, world) == []


async def test_ref_5_one_that_is_excused_alerts_nobody(world: World) -> None:
    at = world.hub.clock()
    thread = await scheduled(world, at=at)
    await report(world, thread, "no-show", appointment=at, excused=True)
    assert await alerts(world.prison, thread, world) == []


async def test_ref_5_after_the_person_came_once_it_is_the_second_miss_that_alerts(world: World) -> None:
    prison, at = world.prison, world.hub.clock()
    thread = await scheduled(world, at=at)
    await report(world, thread, "attended", appointment=at)
    found = []
    for _ in range(2):
        await report(world, thread, "schedule", appointment=at)
        await report(world, thread, "no-show", appointment=at)
        found.append(await alerts(prison, thread, world))
    assert found == [[], ["missed-again"]]
    await report(world, thread, "decline-late", reason="person-refused", handback=[])
    assert await alerted(prison, world) == [], "the end of the referral ends the alert"


async def test_ref_5_each_new_alert_is_told_also_beside_one_that_stands(world: World) -> None:
    prison, csw, at = world.prison, world.social_work, world.hub.clock()
    thread = await scheduled(world, at=at)
    for missed in (1, 2, 3):
        await report(world, thread, "no-show", appointment=at)
        assert (await told(prison)).count("referral.alert") == missed
        await report(world, thread, "schedule", appointment=at + missed * DAY)
        assert (await told(prison)).count("referral.alert") == missed
    world.hub.clock.advance(10 * DAY)
    for station in (prison, csw):
        await station.look()
        await fire(station)
    assert await alerts(prison, thread, world) == ["missed-again", "unreported"]
    assert (await told(prison)).count("referral.alert") == 4
    assert (await told(csw)).count("referral.alert") == 1


async def test_ref_5_nobody_says_whether_the_person_came_and_both_sides_hear_of_it(world: World) -> None:
    prison, csw = world.prison, world.social_work
    at = world.hub.clock() + DAY
    thread = await scheduled(world, at=at)
    assert await csw.parts.clockwork.next_due() is not None
    world.hub.clock.advance(DAY + HOUR)
    for station in (prison, csw):
        assert await fire(station) == 0
        assert await alerted(station, world) == []
    before = (await row(csw, thread)).version
    world.hub.clock.advance(6 * DAY)
    for station in (prison, csw):
        assert await fire(station) == 0, "time sends nothing: an alert follows from what both sides hold"
        assert await alerted(station, world) == [thread]
        assert await alerts(station, thread, world) == ["unreported"]
        assert await station.parts.clockwork.next_due() is None
        await station.look()
    assert (await row(csw, thread)).version == before + 1
    await report(world, thread, "attended", appointment=at)
    assert await alerted(prison, world) == await alerted(csw, world) == []


@pytest.mark.parametrize(
    ("attendance", "alert", "event"),
    [("no-show", "no-show", "message.alert"), ("excused", None, "message.received")],
)
async def test_kind_6_who_leads_is_alerted_by_a_report_that_somebody_did_not_come(
    world: World, attendance: str, alert: str | None, event: str
) -> None:
    csw, probation = world.social_work, world.probation
    composing = csw.parts.moving._composing
    said = Said(fields={"appointment": world.hub.clock(), "attendance": attendance})
    subject = ids.text(Kind.SUBJECT, ids.new_id())
    kind = KINDS["appointment.attendance"]
    report_ = composing.message(kind, ThreadId(ids.new_id()), csw.desk, subject, said)
    async with csw.parts.store.write() as tx:
        await outgoing.add(tx, report_, composing.plans(report_, [probation.desk]))
    await settle(csw, probation)
    assert (await told(probation))[-1] == event
    assert alert_in("appointment.attendance", report_.payload) == alert


@pytest.mark.parametrize(
    ("kind", "fields", "alert"),
    [
        ("alert.risk", {"imminence": "days", "answer_by": 1}, "risk"),
        ("alert.safeguarding", {"harm": "neglect", "child": True}, "safeguarding"),
    ],
)
def test_kind_6_an_alert_of_risk_is_one(kind: str, fields: dict[str, Any], alert: str) -> None:
    payload = KINDS[kind].payload.model_construct(**fields)
    assert alert_of(payload) == alert


async def test_kind_6_con_9_an_alert_is_told_whoever_has_sent_another_under_its_id_before(world: World) -> None:
    """Somebody who got a copy of it is quicker, and sends one of his own under the same id."""
    csw, said = world.social_work, {"imminence": "days", "answer_by": world.hub.clock() + DAY}
    message_id = MessageId(ids.new_id())
    for station in (world.probation, world.prison):
        composing, subject = station.parts.moving._composing, ids.text(Kind.SUBJECT, ids.new_id())
        words = Said(fields=said, message_id=message_id)
        message = composing.message(KINDS["alert.risk"], ThreadId(ids.new_id()), station.desk, subject, words)
        async with station.parts.store.write() as tx:
            await outgoing.add(tx, message, {csw.desk: Plan()})
        await settle(station, csw)
    assert (await told(csw)).count("message.alert") == 2
