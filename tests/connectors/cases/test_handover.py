# SPDX-License-Identifier: Apache-2.0
"""A handover between three real connectors: the lead moves at the instant and at no other time."""

import secrets
from datetime import datetime, time
from typing import Any

import pytest

from connectors.calendars import Calendars
from connectors.cases.due import Due, of_thread
from connectors.cases.listing import Listing
from connectors.cases.moving import Step
from connectors.cases.sides import OBSERVER
from connectors.cases.threads import history_of
from connectors.store import moves, threads
from protocol.address import AgencyAddress
from protocol.errors import IllegalTransition, NotFound
from protocol.handover import HandoverPackage, Moved, Priority, Terms, Trigger
from protocol.ids import ThreadId
from protocol.kinds.catalogue import KINDS
from protocol.limits import DAY, HOUR
from protocol.statements import Agency
from tests.connectors.cases.test_clockwork import day, fire, told
from tests.connectors.cases.test_referral import OFFICER, agreed, row, settle
from tests.connectors.conftest import World
from tests.connectors.stations import Station, package, person_section, risk_section

CALENDAR = Calendars().of(AgencyAddress("reka-probation@hub.example"))
"""The calendar that counts where none is configured."""
PROBATION = "reka-probation@hub.example"
ACCEPT: dict[str, Any] = {"officer": OFFICER, "supervisor": {"agency": PROBATION}, "items": [], "risks_read": True}
TAKEN_UP = {"officer": OFFICER, "answer_by": "2027-01-25"}


def dated(now: int, *, effective: int) -> HandoverPackage:
    """Return a package whose handover takes effect `effective` days from now, without an event."""
    return HandoverPackage(
        terms=Terms(
            trigger=Trigger(expected_on=day(now, effective)),
            what_moves=(Moved.SUPERVISION,),
            priority=Priority.NORMAL,
            acknowledge_by=day(now, 2),
            answer_by=day(now, 5),
        ),
        sections=(person_section(), risk_section()),
    )


async def do(station: Station, thread: ThreadId, event: str, **fields: object) -> None:
    await station.parts.moving.move(thread, Step(event=event, fields=fields), key=secrets.token_hex(12), body=b"")


async def offer(world: World, content: HandoverPackage | None = None) -> ThreadId:
    queued = await world.prison.compose(world.probation.desk, world.social_work.desk, content=content or package())
    await settle(world.prison, world.probation, world.social_work)
    return queued.thread


async def lead(station: Station, thread: ThreadId, world: World) -> str | None:
    return (await Listing(station.parts.store, station.parts.threads, world.hub.clock).show(thread)).lead


async def test_han_2_the_lead_moves_at_the_instant_and_both_sides_say_so(world: World) -> None:
    prison, probation = world.prison, world.probation
    thread = await offer(world)
    steps: list[tuple[Station, str, dict[str, Any]]] = [
        (probation, "acknowledge", TAKEN_UP),
        (probation, "accept", ACCEPT),
        (prison, "run-together", {}),
    ]
    for station, event, fields in steps:
        await do(station, thread, event, **fields)
        await settle(prison, probation)
        assert await lead(prison, thread, world) == await lead(probation, thread, world) == "gora-prison@hub.example"
    await do(prison, thread, "take-effect", effective_at=world.hub.clock())
    await settle(prison, probation)
    assert await agreed(thread, prison, probation) == "effective"
    assert await lead(prison, thread, world) == await lead(probation, thread, world) == PROBATION
    await do(probation, thread, "complete", items=[])
    await settle(prison, probation)
    assert await agreed(thread, prison, probation) == "completed"


async def responsible(station: Station, thread: ThreadId, world: World) -> tuple[str | None, str | None, int | None]:
    """Return who leads, who supervises in law, and since when, as one side knows it."""
    view = await Listing(station.parts.store, station.parts.threads, world.hub.clock).show(thread)
    return view.lead, view.supervisor or view.no_supervisor, view.lead_since


async def test_han_4_lead_and_supervisor_change_at_one_instant_on_every_side_also_at_a_copys(world: World) -> None:
    prison, probation, everybody = world.prison, world.probation, (world.prison, world.probation, world.social_work)
    now = world.hub.clock()
    thread = await offer(world, dated(now, effective=2))
    await do(probation, thread, "acknowledge", **TAKEN_UP)
    await do(probation, thread, "accept", **{**ACCEPT, "supervisor": {"nobody": "full-term"}})
    await settle(*everybody)
    await do(prison, thread, "change-date", trigger={"expected_on": day(now, 16).isoformat()}, reason="release-moved")
    await settle(*everybody)
    gora = "gora-prison@hub.example"
    async with world.social_work.parts.store.read() as tx:
        copy, stored = await threads.load(tx, thread), await moves.of(tx, thread)
    dues = of_thread(copy, history_of(copy, stored), stored, CALENDAR, now=now)
    assert list(dues) == [Due("take-effect", AgencyAddress(gora), on=day(now, 16))], "a copy owes nobody an answer"
    for days in (3, 10):
        world.hub.clock.advance(days * DAY)
        for station in everybody:
            await station.look()
            await fire(station)
        await settle(*everybody)
        for station in everybody:
            assert await responsible(station, thread, world) == (gora, gora, None)
    world.hub.clock.advance(4 * DAY)
    await prison.look()
    assert await fire(prison) == 1
    for station in everybody:
        await station.look()
    await settle(*everybody)
    found = {await responsible(station, thread, world) for station in everybody}
    assert found == {
        (PROBATION, "full-term", int(datetime.combine(day(now, 16), time(9), CALENDAR.zone).timestamp() * 1000))
    }
    assert (await row(world.social_work, thread)).state == "effective"
    assert await world.social_work.quarantined() == []


async def test_han_5_a_copy_is_told_when_the_lead_comes_back(world: World) -> None:
    prison, csw = world.prison, world.social_work
    thread = await offer(world)
    await do(prison, thread, "bind", statute="probation-act-12")
    await do(prison, thread, "take-effect", effective_at=world.hub.clock())
    await settle(prison, csw)
    assert await responsible(csw, thread, world) == (PROBATION, PROBATION, world.hub.clock())
    await do(prison, thread, "fail", reason="release-cancelled")
    await settle(prison, csw)
    assert await lead(csw, thread, world) == "gora-prison@hub.example"
    assert not (await row(csw, thread)).live


@pytest.mark.parametrize(
    ("event", "fields", "state"),
    [
        ("change-date", {"trigger": {"expected_on": "2027-03-01"}, "reason": "release-moved"}, "offered"),
        ("take-effect", {"effective_at": 1_800_000_000_000}, "effective"),
        ("withdraw", {"reason": "release-cancelled"}, "withdrawn"),
    ],
)
async def test_han_5_a_copy_is_told_a_step_whose_words_it_may_not_see(
    world: World, event: str, fields: dict[str, Any], state: str
) -> None:
    prison, probation, csw = everybody = (world.prison, world.probation, world.social_work)
    thread = await offer(world)
    await do(prison, thread, "bind", statute="probation-act-12")
    step = Step(event=event, fields=fields, sections=(risk_section(),))
    moved = await prison.parts.moving.move(thread, step, key=secrets.token_hex(12), body=b"")
    await settle(*everybody)
    listing = Listing(prison.parts.store, prison.parts.threads, world.hub.clock)
    at = {one.desk: one for one in (await listing.show(thread)).steps[-1].recipients}
    assert [(one.state, one.error) for one in at.values()] == [("opened", None)] * 2
    assert [one.reason for one in at[csw.desk].withheld] == ["not-meant-for-this-function"]
    assert [one.category for one in at[probation.desk].sections] == ["risk-summary"]
    view = await Listing(csw.parts.store, csw.parts.threads, world.hub.clock).show(thread)
    assert (view.steps[-1].event, view.steps[-1].message, view.steps[-1].sections) == (event, moved.message_id, [])
    assert (view.item.state, view.lead, view.lost) == (state, await lead(prison, thread, world), [])


async def test_han_5_a_copy_that_the_directory_lacks_just_now_is_told_once_it_is_there_again(world: World) -> None:
    prison, probation, csw = everybody = (world.prison, world.probation, world.social_work)
    thread = await offer(world)
    await do(prison, thread, "bind", statute="probation-act-12")
    await settle(*everybody)

    async def state_desks(*desks: str) -> None:
        member, programme = csw.member, world.hub.programme
        world.hub.clock.advance(HOUR)
        programme.now = world.hub.clock()
        stated = tuple((name, "social-work") for name in desks)
        agency = Agency(member.address, member.kind, member.identity.public, stated, tuple(KINDS), "DEMO")
        programme.state(agency, programme.approvers[:2], age=0, life=365 * DAY)
        await world.hub.catch_up()

    await state_desks("other")
    await prison.look()
    sections = (risk_section(), person_section())
    step = Step(event="take-effect", fields={"effective_at": world.hub.clock()}, sections=sections)
    await prison.parts.moving.move(thread, step, key=secrets.token_hex(12), body=b"")
    await settle(prison, probation)
    listing = Listing(prison.parts.store, prison.parts.threads, world.hub.clock)
    waits = {one.desk: one for one in (await listing.show(thread)).steps[-1].recipients}[csw.desk]
    assert (waits.state, waits.error) == ("queued", "recipient-unavailable")
    assert await lead(csw, thread, world) == "gora-prison@hub.example"
    await state_desks(csw.desk.partition(".")[0])
    for station in everybody:
        await station.look()
    await settle(*everybody)
    view = await Listing(csw.parts.store, csw.parts.threads, world.hub.clock).show(thread)
    assert view.lead == PROBATION
    assert [one.category for one in view.steps[-1].sections] == ["identity"]


async def test_an_agency_that_was_sent_a_copy_observes_and_moves_nothing(world: World) -> None:
    thread = await offer(world)
    assert (await row(world.social_work, thread)).side == OBSERVER
    with pytest.raises(NotFound):
        await do(world.social_work, thread, "acknowledge", **TAKEN_UP)


async def test_han_3_a_day_that_was_agreed_is_made_by_time_and_a_moved_release_takes_it_along(world: World) -> None:
    prison, probation, now = world.prison, world.probation, world.hub.clock()
    thread = await offer(world, dated(now, effective=20))
    await do(probation, thread, "acknowledge", **TAKEN_UP)
    await do(probation, thread, "accept", **ACCEPT)
    await settle(prison, probation)
    moved: dict[str, Any] = {"trigger": {"expected_on": day(now, 6).isoformat()}, "reason": "release-moved"}
    await do(prison, thread, "change-date", **moved)
    await settle(prison, probation)
    await do(probation, thread, "review")
    await settle(prison, probation)
    world.hub.clock.advance(5 * DAY)
    assert await fire(prison) == 0
    world.hub.clock.advance(DAY + 12 * HOUR)
    for station in (prison, probation):
        await station.look()
    assert await fire(prison) == 1
    await settle(prison, probation)
    assert (await row(prison, thread)).state == "effective"
    assert await lead(prison, thread, world) == PROBATION


async def test_han_3_nobody_answers_and_the_lead_stays_where_it_was(world: World) -> None:
    prison, now = world.prison, world.hub.clock()
    thread = await offer(world, dated(now, effective=9))
    world.hub.clock.advance(14 * DAY)
    assert await fire(prison) == 5
    assert (await row(prison, thread)).state == "expired"
    assert (await told(prison, thread)).count("escalate") == 4
    assert await lead(prison, thread, world) == "gora-prison@hub.example"


async def test_han_1_only_a_named_statute_binds_and_then_the_receiver_can_review_and_not_decline(world: World) -> None:
    prison, probation = world.prison, world.probation
    thread = await offer(world)
    await do(prison, thread, "bind", statute="probation-act-12")
    await settle(prison, probation)
    assert await agreed(thread, prison, probation) == "accepted"
    with pytest.raises(IllegalTransition):
        await do(probation, thread, "decline", reason="no-legal-basis")
    await do(probation, thread, "review")
