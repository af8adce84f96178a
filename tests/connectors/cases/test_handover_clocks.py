# SPDX-License-Identifier: Apache-2.0
"""A handover is missed by nobody: a release that is late, one that was told too early, an offer made anew."""

import secrets
from datetime import date
from typing import Any

import pytest

from connectors.cases.composing import Said
from connectors.cases.due import of_thread
from connectors.cases.listing import Listing
from connectors.cases.moving import Moved, Step
from connectors.cases.releasing import Releasing
from connectors.cases.threads import history_of
from connectors.store import events, moves, outgoing, threads
from protocol import ids
from protocol.address import AgencyAddress
from protocol.errors import InvalidInput
from protocol.handover import HandoverPackage, Priority, Terms, Trigger, TriggerEvent
from protocol.handover import Moved as What
from protocol.http.messages import HandoverEffect
from protocol.http.threads import ListName, Machine, ThreadFilter
from protocol.ids import Kind, MessageId, ThreadId
from protocol.kinds.catalogue import KINDS
from protocol.limits import DAY, HOUR, MINUTE
from tests.connectors.cases.test_clockwork import day, fire, told
from tests.connectors.cases.test_handover import ACCEPT, CALENDAR, PROBATION, TAKEN_UP, dated, lead
from tests.connectors.cases.test_referral import agreed, row
from tests.connectors.conftest import World
from tests.connectors.stations import Station, person_section, risk_section

GORA = AgencyAddress("gora-prison@hub.example")


def by_release(now: int, *, expected: int | None, answer: int = 5) -> HandoverPackage:
    """Return a package that the release makes effective, expected so many days from now, or nobody knows when."""
    return HandoverPackage(
        terms=Terms(
            trigger=Trigger(
                event=TriggerEvent.RELEASE_NOTICE, expected_on=None if expected is None else day(now, expected)
            ),
            what_moves=(What.SUPERVISION,),
            priority=Priority.NORMAL,
            acknowledge_by=day(now, 2),
            answer_by=day(now, answer),
        ),
        sections=(person_section(), risk_section()),
    )


async def do(station: Station, thread: ThreadId, event: str, **fields: object) -> Moved:
    return await station.parts.moving.move(
        thread, Step(event=event, fields=fields), key=secrets.token_hex(12), body=b""
    )


async def mail(world: World) -> None:
    """Let what was said arrive, and the answer to it."""
    for station in (world.prison, world.probation) * 2:
        await station.turn()


async def offer(world: World, content: HandoverPackage) -> ThreadId:
    queued = await world.prison.compose(world.probation.desk, content=content)
    await mail(world)
    return queued.thread


def _expected(on: date) -> dict[str, str]:
    return {"event": "release.notice", "expected_on": on.isoformat()}


async def accept(world: World, thread: ThreadId) -> None:
    await do(world.probation, thread, "acknowledge", **TAKEN_UP)
    await do(world.probation, thread, "accept", **ACCEPT)
    await mail(world)


async def tell(world: World, thread: ThreadId, kind: str, **fields: Any) -> tuple[MessageId, HandoverEffect | None]:
    """Tell the receiver something in the handover's thread, as the service does that sends messages."""
    station, said = world.prison, Said(fields=fields)
    composing = station.parts.moving._composing
    async with station.parts.store.write() as tx:
        here = await threads.load(tx, thread)
        message = composing.message(KINDS[kind], thread, station.desk, here.subject, said)
        await outgoing.add(tx, message, composing.plans(message, [world.probation.desk]))
        await station.parts.threads.register.composed(tx, message, [world.probation.desk])
        releasing = Releasing(station.parts.moving, station.parts.threads, world.hub.clock)
        followed = await releasing.follow(tx, message, said)
    await mail(world)
    return message.message_id, followed.handover


async def released(world: World, thread: ThreadId, at: int | None = None) -> tuple[MessageId, HandoverEffect | None]:
    when = world.hub.clock() if at is None else at
    return await tell(world, thread, "release.notice", released_at=when, reason="conditional")


async def pass_(world: World, ms: int, *stations: Station) -> None:
    """Let time pass, and let each of `stations` (both sides, where none is named) do what time does."""
    world.hub.clock.advance(ms)
    for station in stations or (world.prison, world.probation):
        await station.look()
        await fire(station)


async def listed(station: Station, world: World, which: ListName) -> list[ThreadId]:
    listing = Listing(station.parts.store, station.parts.threads, world.hub.clock)
    return [one.thread for one in (await listing.list(ThreadFilter(machine=Machine.HANDOVER, list=which))).items]


async def heard(station: Station) -> list[str]:
    async with station.parts.store.read() as tx:
        return [one.type for one in await events.page(tx, after=None, limit=200)]


async def due(station: Station, thread: ThreadId, world: World) -> list[tuple[str, str]]:
    async with station.parts.store.read() as tx:
        here, stored = await threads.load(tx, thread), await moves.of(tx, thread)
    found = of_thread(here, history_of(here, stored), stored, CALENDAR, now=world.hub.clock())
    return [(one.what, one.by) for one in found]


async def test_han_7_a_release_that_does_not_come_is_told_to_both_sides_and_still_is_the_instant(world: World) -> None:
    prison, probation, both = world.prison, world.probation, (world.prison, world.probation)
    now = world.hub.clock()
    thread = await offer(world, by_release(now, expected=7))
    await accept(world, thread)
    for station in both:
        assert await due(station, thread, world) == [("take-effect", GORA)]
        assert (await row(station, thread)).due_at == CALENDAR.close_of(day(now, 7))
        assert await listed(station, world, ListName.ALERTS) == []
    await pass_(world, 6 * DAY)
    assert await listed(prison, world, ListName.ANSWER_DUE) == [thread], "it is the prison's to do"
    assert await listed(probation, world, ListName.ANSWER_DUE) == []
    await pass_(world, DAY + 12 * HOUR)
    for station in both:
        assert await listed(station, world, ListName.ALERTS) == [thread]
        assert (await heard(station)).count("handover.alert") == 1
    await mail(world)
    await pass_(world, 4 * DAY)
    await mail(world)
    assert (await told(probation, thread)).count("escalate") == 2
    assert (await heard(probation)).count("handover.alert") >= 2, "each level that is told is heard of"
    assert await agreed(thread, *both) == "accepted"
    later = day(world.hub.clock(), 5)
    await do(prison, thread, "change-date", trigger=_expected(later), reason="release-moved")
    await mail(world)
    for station in both:
        assert await listed(station, world, ListName.ALERTS) == [], "the release was moved, and nothing is late"
        assert (await row(station, thread)).due_at == CALENDAR.close_of(later)
    await pass_(world, 10 * DAY)
    await mail(world)
    assert (await told(probation, thread)).count("escalate") == 4, "the new day has clocks of its own"
    await pass_(world, 30 * DAY)
    assert await agreed(thread, *both) == "accepted", "time never gives an accepted handover up"
    _, effect = await released(world, thread)
    assert effect is HandoverEffect.MOVED
    assert await agreed(thread, *both) == "effective"
    assert await lead(probation, thread, world) == PROBATION
    for station in both:
        assert await listed(station, world, ListName.ALERTS) == []


async def test_han_7_the_receiver_hears_of_a_late_release_though_the_senders_machine_is_off(world: World) -> None:
    probation = world.probation
    thread = await offer(world, by_release(world.hub.clock(), expected=7))
    await accept(world, thread)
    assert await probation.parts.clockwork.next_due() is not None
    await pass_(world, 8 * DAY, probation)
    assert await listed(probation, world, ListName.ALERTS) == [thread]
    assert "handover.alert" in await heard(probation)


async def test_han_7_a_release_of_which_nobody_knows_the_day_is_asked_after_in_two_weeks(world: World) -> None:
    thread = await offer(world, by_release(world.hub.clock(), expected=None))
    await accept(world, thread)
    await pass_(world, 10 * DAY)
    assert await listed(world.prison, world, ListName.ALERTS) == []
    await pass_(world, 7 * DAY)
    await mail(world)
    assert "escalate" in await told(world.probation, thread)
    for station in (world.prison, world.probation):
        assert await listed(station, world, ListName.ALERTS) == [thread]


async def test_han_7_papers_that_do_not_arrive_are_told_to_whoever_waits_for_them(world: World) -> None:
    thread = await offer(world, by_release(world.hub.clock(), expected=3))
    await accept(world, thread)
    await released(world, thread)
    for station in (world.prison, world.probation):
        assert await due(station, thread, world) == [("complete", PROBATION)]
    await pass_(world, 20 * DAY)
    await mail(world)
    assert (await told(world.probation, thread)).count("escalate") == 2
    for station in (world.prison, world.probation):
        assert await listed(station, world, ListName.ALERTS) == [thread]
    assert await listed(world.probation, world, ListName.ANSWER_DUE) == [thread]
    await do(world.probation, thread, "complete", items=[])
    assert await listed(world.probation, world, ListName.ALERTS) == []


async def test_han_8_a_release_that_was_told_before_anybody_accepted_takes_effect_when_somebody_does(
    world: World,
) -> None:
    prison, probation, now = world.prison, world.probation, world.hub.clock()
    thread = await offer(world, by_release(now, expected=20))
    await do(probation, thread, "acknowledge", **TAKEN_UP)
    await mail(world)
    with pytest.raises(InvalidInput):
        await released(world, thread, now + MINUTE)
    _, effect = await released(world, thread)
    assert effect is HandoverEffect.ONCE_ACCEPTED
    assert await agreed(thread, prison, probation) == "acknowledged", "whoever has not accepted does not lead"
    await pass_(world, MINUTE)
    await mail(world)
    assert await told(probation, thread) == ["offer", "receive", "acknowledge", "escalate"], (
        "somebody is called at once"
    )
    for station in (prison, probation):
        assert await listed(station, world, ListName.ALERTS) == [thread]
    await pass_(world, 2 * HOUR)
    await mail(world)
    assert (await told(probation, thread)).count("escalate") == 2
    await pass_(world, DAY)
    await do(probation, thread, "accept", **ACCEPT)
    await mail(world)
    assert await prison.parts.clockwork.next_due() is not None
    assert await fire(prison) == 1
    await mail(world)
    assert await agreed(thread, prison, probation) == "effective"
    for station in (prison, probation):
        view = await Listing(station.parts.store, station.parts.threads, world.hub.clock).show(thread)
        assert (view.lead, view.lead_since) == (PROBATION, world.hub.clock()), "from when it was accepted, not before"
    assert await fire(prison) == 0


@pytest.mark.parametrize("kind", ["release.cancelled", "custody.returned"])
async def test_han_8_one_that_was_taken_back_meanwhile_does_not(world: World, kind: str) -> None:
    now = world.hub.clock()
    thread = await offer(world, by_release(now, expected=20))
    notice, _ = await released(world, thread)
    fields: dict[str, Any] = {"notice": ids.text(Kind.MESSAGE, notice)}
    if kind == "custody.returned":
        fields["returned_at"] = now
    _, effect = await tell(world, thread, kind, **fields)
    assert effect is HandoverEffect.STILL_WAITS
    await accept(world, thread)
    await pass_(world, MINUTE)
    assert await agreed(thread, world.prison, world.probation) == "accepted"
    assert "escalate" not in await told(world.prison, thread)
    _, effect = await released(world, thread)
    assert effect is HandoverEffect.MOVED


async def test_han_8_a_release_told_before_a_handover_that_failed_does_not_move_the_one_that_is_offered_again(
    world: World,
) -> None:
    prison, probation, now = world.prison, world.probation, world.hub.clock()
    thread = await offer(world, by_release(now, expected=3))
    await accept(world, thread)
    await released(world, thread)
    await do(prison, thread, "fail", reason="custody-returned")
    again = {"trigger": {"event": "release.notice"}, "reason": "custody-returned"}
    await do(prison, thread, "offer-again", **again, acknowledge_by=str(day(now, 2)), answer_by=str(day(now, 5)))
    await mail(world)
    await accept(world, thread)
    await pass_(world, MINUTE)
    assert await agreed(thread, prison, probation) == "accepted"


async def test_han_8_a_release_told_after_nobody_took_it_over_counts_once_it_is_offered_again(world: World) -> None:
    prison, probation, now = world.prison, world.probation, world.hub.clock()
    thread = await offer(world, by_release(now, expected=20))
    await do(probation, thread, "acknowledge", **TAKEN_UP)
    await do(probation, thread, "decline", reason="no-legal-basis")
    await mail(world)
    _, effect = await released(world, thread)
    assert effect is HandoverEffect.IF_OFFERED_AGAIN
    again = {"trigger": {"event": "release.notice"}, "reason": "released-early"}
    await do(prison, thread, "offer-again", **again, acknowledge_by=str(day(now, 2)), answer_by=str(day(now, 5)))
    assert await fire(prison) == 1, "somebody is out, and nobody has said that he leads"
    await mail(world)
    await accept(world, thread)
    await fire(prison)
    await mail(world)
    assert await agreed(thread, prison, probation) == "effective"


async def test_han_6_a_day_that_was_agreed_is_not_moved_by_a_release_and_whoever_tells_it_is_told_so(
    world: World,
) -> None:
    thread = await offer(world, dated(world.hub.clock(), effective=4))
    _, effect = await released(world, thread)
    assert effect is HandoverEffect.ON_ITS_DAY
    await accept(world, thread)
    await pass_(world, 4 * DAY + 9 * HOUR)
    await mail(world)
    assert await agreed(thread, world.prison, world.probation) == "effective"
    _, effect = await released(world, thread)
    assert effect is HandoverEffect.NOTHING


async def test_han_9_an_offer_made_again_has_days_of_its_own_and_can_be_accepted(world: World) -> None:
    prison, probation, now = world.prison, world.probation, world.hub.clock()
    thread = await offer(world, by_release(now, expected=None))
    await do(probation, thread, "acknowledge", **TAKEN_UP)
    await do(probation, thread, "decline", reason="no-legal-basis")
    await mail(world)
    await pass_(world, 8 * DAY)
    later = world.hub.clock()
    step = {"trigger": {"event": "release.notice"}, "reason": "release-moved"}
    with pytest.raises(InvalidInput):
        await do(prison, thread, "offer-again", **step)
    again = await do(
        prison, thread, "offer-again", **step, acknowledge_by=str(day(later, 2)), answer_by=str(day(later, 5))
    )
    assert again.in_the_past == ()
    assert await fire(prison) == 0, "no clock of the first offer runs on"
    await mail(world)
    for station in (prison, probation):
        assert (await row(station, thread)).due_at == CALENDAR.close_of(day(later, 5))
    await pass_(world, 4 * DAY)
    await mail(world)
    assert (await told(prison, thread)).count("escalate") == 2, "it was not taken up"
    await accept(world, thread)
    assert await agreed(thread, prison, probation) == "accepted"


async def test_han_9_one_that_nobody_answers_expires_by_its_own_days(world: World) -> None:
    prison, now = world.prison, world.hub.clock()
    thread = await offer(world, by_release(now, expected=3, answer=3))
    await pass_(world, 8 * DAY)
    assert (await row(prison, thread)).state == "expired"
    later = world.hub.clock()
    step: dict[str, Any] = {
        "trigger": {"event": "release.notice", "expected_on": str(day(later, 9))},
        "reason": "release-moved",
        "acknowledge_by": str(day(later, 2)),
        "answer_by": str(day(later, 5)),
    }
    await do(prison, thread, "offer-again", **step)
    await pass_(world, 6 * DAY)
    assert (await row(prison, thread)).state == "offered"
    assert (await told(prison, thread)).count("escalate") > 4, "the second round has clocks too"
    await pass_(world, 5 * DAY)
    assert (await row(prison, thread)).state == "expired"


async def test_han_9_days_that_were_over_when_they_were_written_are_told_and_leave_a_working_day_to_answer(
    world: World,
) -> None:
    prison, probation, now = world.prison, world.probation, world.hub.clock()
    thread = await offer(world, by_release(now, expected=None))
    await do(probation, thread, "acknowledge", **TAKEN_UP)
    await do(probation, thread, "decline", reason="no-legal-basis")
    await mail(world)
    over = str(day(now, -1))
    step: dict[str, Any] = {"trigger": {"event": "release.notice", "expected_on": over}, "reason": "other"}
    again = await do(prison, thread, "offer-again", **step, acknowledge_by=over, answer_by=over)
    assert sorted(again.in_the_past) == ["acknowledge_by", "answer_by", "expected_on"]
    await fire(prison)
    await mail(world)
    assert await agreed(thread, prison, probation) == "offered", "it did not expire in the second in which it was made"
    await accept(world, thread)
    assert await agreed(thread, prison, probation) == "accepted"


async def test_han_13_another_day_of_release_moves_no_handover_and_whoever_tells_it_is_told_so(world: World) -> None:
    now, told_of = world.hub.clock(), {"reason": "decision", "certainty": "decided"}
    thread = await offer(world, by_release(now, expected=9))
    await accept(world, thread)

    async def another(days: int) -> HandoverEffect | None:
        return (await tell(world, thread, "release.date-changed", becomes=str(day(now, days)), **told_of))[1]

    assert await another(9) is None, "the day that it has"
    assert await another(20) is HandoverEffect.STILL_ITS_DAY
    trigger = {"event": TriggerEvent.RELEASE_NOTICE, "expected_on": str(day(now, 20))}
    await do(world.prison, thread, "change-date", trigger=trigger, reason="release-moved")
    assert await another(20) is None
    await released(world, thread)
    assert await another(30) is HandoverEffect.NOTHING, "it took effect"
