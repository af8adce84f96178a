# SPDX-License-Identifier: Apache-2.0
"""One person offered to two agencies: told to whoever offers, and an alert once both have accepted."""

import secrets

import pytest

from connectors.cases import twice
from connectors.cases.composing import Said
from connectors.cases.threads import history_of
from connectors.cli.threads import _to_be_heard_of
from connectors.store import cases, moves, outgoing, threads
from protocol import ids
from protocol.handover import HandoverPackage, PackageSection
from protocol.http.handovers import HandoverQueued, HandoverRequest
from protocol.http.threads import ListName, Machine, ThreadFilter
from protocol.ids import Kind, ThreadId
from protocol.kinds.catalogue import KINDS
from protocol.limits import DAY
from tests.connectors.cases.test_alerts import told
from tests.connectors.cases.test_cases import about
from tests.connectors.cases.test_clockwork import fire
from tests.connectors.cases.test_handover import ACCEPT, TAKEN_UP, dated, do
from tests.connectors.cases.test_referral import agreed, row, settle
from tests.connectors.cases.test_thread_api import Served, prison
from tests.connectors.conftest import World
from tests.connectors.stations import Station

__all__ = ["prison"]

TWICE = "handed-over-twice"


def content(world: World, number: str = "51") -> HandoverPackage:
    terms = dated(world.hub.clock(), effective=9)
    return terms.model_copy(update={"sections": (about("Invented", number),)})


async def offered(world: World, station: Station, number: str = "51") -> HandoverQueued:
    queued = await world.prison.compose(station.desk, content=content(world, number))
    await settle(world.prison, world.probation, world.social_work)
    return queued


async def accept(world: World, station: Station, thread: ThreadId) -> None:
    supervisor = {"agency": station.installation.enrolment.agency}
    await do(station, thread, "acknowledge", **TAKEN_UP)
    await do(station, thread, "accept", **{**ACCEPT, "supervisor": supervisor})
    await settle(world.prison, world.probation, world.social_work)


async def take_effect(world: World, thread: ThreadId) -> None:
    """Let somebody out earlier than on the agreed day."""
    trigger = {"event": "release.notice"}
    await do(world.prison, thread, "change-date", trigger=trigger, reason="released-early")
    await do(world.prison, thread, "take-effect", effective_at=world.hub.clock())


async def alerts_at(station: Station, *among: ThreadId) -> list[str | None]:
    return [(await row(station, thread)).alert for thread in among]


async def test_han_12_whoever_offers_a_person_twice_is_told_and_alerted_until_one_handover_is_over(
    world: World, prison: Served
) -> None:
    first = await offered(world, world.probation)
    other = await offered(world, world.social_work, "52")
    second = await offered(world, world.social_work)
    assert (first.other_handovers, other.other_handovers, second.other_handovers) == ([], [], [first.thread])
    await accept(world, world.probation, first.thread)
    await accept(world, world.social_work, other.thread)
    assert await alerts_at(world.prison, first.thread, other.thread, second.thread) == [None, None, None]
    await accept(world, world.social_work, second.thread)
    both = first.thread, second.thread
    assert await alerts_at(world.prison, *both, other.thread) == [TWICE, TWICE, None]
    assert (await told(world.prison)).count("handover.alert") == 1, "its state stayed; the other's new state tells it"
    for station, thread in ((world.probation, first.thread), (world.social_work, second.thread)):
        assert await alerts_at(station, thread) == [None], "neither knows of the other"
    for thread, beside in (both, reversed(both)):
        view = await prison.client.thread(thread)
        (alert,) = view.alerts
        assert (alert.kind, alert.what, alert.by, alert.threads) == (TWICE, "end-one", "sender", [beside])
        (line,) = _to_be_heard_of(view)
        assert f"throughcare handover withdraw {ids.text(Kind.THREAD, thread)} " in line
        assert f"the other: {ids.text(Kind.THREAD, beside)};" in line
    await do(world.prison, first.thread, "withdraw", reason="release-cancelled")
    assert await alerts_at(world.prison, *both) == [None, None]
    await settle(world.prison, world.probation, world.social_work)
    assert await agreed(first.thread, world.prison, world.probation) == "withdrawn"
    assert (await prison.client.thread(second.thread)).alerts == []


async def test_han_12_an_offer_whose_end_is_not_opened_can_still_be_accepted_and_whoever_offers_again_is_told(
    world: World,
) -> None:
    """The office accepts in time, and the prison cannot know: its own clock lets the offer expire meanwhile."""
    office, centre = world.probation, world.social_work
    first = (await offered(world, office)).thread
    await do(office, first, "acknowledge", **TAKEN_UP)
    await do(office, first, "accept", **ACCEPT)
    await office.seal_and_send()
    world.hub.clock.advance(10 * DAY)
    for station in (world.prison, office, centre):
        await station.look()
    await fire(world.prison)
    assert (await row(world.prison, first)).state == "expired"
    key, request = secrets.token_hex(12), HandoverRequest(to=[centre.desk], package=content(world))
    sent, again = [await world.prison.parts.handovers.send(request, key=key, body=key.encode()) for _ in range(2)]
    second = sent.answer.thread
    assert sent.answer.other_handovers == [first]
    assert (again.replayed, again.answer) == (True, sent.answer)
    await settle(world.prison, office, centre)
    assert await agreed(first, world.prison, office) == "accepted"
    await accept(world, centre, second)
    assert await alerts_at(world.prison, first, second) == [TWICE, TWICE]


async def test_han_12_an_offer_whose_end_was_opened_is_over(world: World) -> None:
    first = (await offered(world, world.probation)).thread
    await do(world.prison, first, "withdraw", reason="release-cancelled")
    second = await world.prison.compose(world.social_work.desk, content=content(world))
    assert second.other_handovers == [first]
    await settle(world.prison, world.probation, world.social_work)
    third = await world.prison.compose(world.probation.desk, content=content(world))
    assert third.other_handovers == [second.thread]


async def test_han_12_both_of_one_day_take_effect_and_the_alert_stays(world: World) -> None:
    first, second = await offered(world, world.probation), await offered(world, world.social_work)
    await accept(world, world.probation, first.thread)
    await accept(world, world.social_work, second.thread)
    world.hub.clock.advance(10 * DAY)
    for station in (world.prison, world.probation, world.social_work):
        await station.look()
    await fire(world.prison)
    await settle(world.prison, world.probation, world.social_work)
    assert [(await row(world.prison, one.thread)).state for one in (first, second)] == ["effective", "effective"]
    assert await alerts_at(world.prison, first.thread, second.thread) == [TWICE, TWICE]
    await do(world.social_work, second.thread, "complete", items=[])
    await settle(world.prison, world.social_work)
    assert await agreed(second.thread, world.prison, world.social_work) == "completed"
    assert await alerts_at(world.prison, first.thread, second.thread) == [TWICE, None], "both agencies lead"
    async with world.prison.parts.store.read() as tx:
        assert await twice.others(tx, second.thread) == [first.thread]
        own = (await threads.load(tx, first.thread)).own_desk
        assert await twice.others(tx, second.thread, frozenset({own})) == [first.thread]
        assert await twice.others(tx, second.thread, frozenset({world.probation.desk})) == []
        led = await threads.load(tx, first.thread)
        history = history_of(led, list(await moves.of(tx, first.thread)))
        assert await twice.rivals(tx, led, history) == [second.thread], "completed, and it goes on leading"
        assert await twice.rivals(tx, led, history, frozenset({world.probation.desk})) == []


@pytest.mark.parametrize("ended", ["the completed one is entered in error", "the other is taken back"])
async def test_han_12_the_alert_stays_beside_a_completed_one_until_one_lead_is_taken_away(
    world: World, ended: str
) -> None:
    first, second = await offered(world, world.probation), await offered(world, world.social_work)
    for one, station in ((first, world.probation), (second, world.social_work)):
        await accept(world, station, one.thread)
        await take_effect(world, one.thread)
        await settle(world.prison, station)
    await do(world.social_work, second.thread, "complete", items=[])
    await settle(world.prison, world.social_work)
    both = first.thread, second.thread
    assert await alerts_at(world.prison, *both) == [TWICE, None]
    if ended == "the other is taken back":
        await do(world.prison, first.thread, "fail", reason="release-cancelled")
    else:
        await do(world.prison, second.thread, "entered-in-error", reason="wrong-person", capacity="data-protection")
    assert await alerts_at(world.prison, *both) == [None, None]


async def test_han_12_a_person_who_comes_back_later_is_handed_over_anew_without_an_alert(world: World) -> None:
    first = await offered(world, world.probation)
    await accept(world, world.probation, first.thread)
    await take_effect(world, first.thread)
    await settle(world.prison, world.probation)
    await do(world.probation, first.thread, "complete", items=[])
    await settle(world.prison, world.probation)
    world.hub.clock.advance(DAY)
    for station in (world.prison, world.social_work):
        await station.look()
    second = await offered(world, world.social_work)
    await accept(world, world.social_work, second.thread)
    assert await alerts_at(world.prison, first.thread, second.thread) == [None, None]


async def test_han_12_a_later_message_that_says_that_two_are_of_one_person_raises_the_alert_at_once(
    world: World, prison: Served
) -> None:
    first, second = await offered(world, world.probation, "nepoznato"), await offered(world, world.social_work)
    await accept(world, world.probation, first.thread)
    await accept(world, world.social_work, second.thread)
    both = first.thread, second.thread
    assert await alerts_at(world.prison, *both) == [None, None]
    told_before = (await told(world.prison)).count("handover.alert")
    # A stranger to the first handover cannot join them, nor the side that does not keep this register.
    for station, section in (
        (world.social_work, about("Invented", recipient_number="51")),
        (world.probation, about("Invented", "51")),
    ):
        await say(station, first.thread, world.prison, section)
        assert await alerts_at(world.prison, *both) == [None, None]
    await say(world.prison, first.thread, world.probation, about("Invented", "51"))
    assert await alerts_at(world.prison, *both) == [TWICE, TWICE]
    assert (await told(world.prison)).count("handover.alert") == told_before + 2
    listed = await prison.client.threads(ThreadFilter(machine=Machine.HANDOVER, list=ListName.ALERTS))
    assert {one.thread for one in listed.items} == {*both}


async def say(station: Station, thread: ThreadId, to: Station, section: PackageSection) -> None:
    """Send records in a thread, as whoever knows its id can."""
    composing = station.parts.moving._composing
    word = composing.message(
        KINDS["record.share"],
        thread,
        station.desk,
        ids.text(Kind.SUBJECT, ids.new_id()),
        Said(fields={}, sections=(section,)),
    )
    async with station.parts.store.write() as tx:
        await outgoing.add(tx, word, composing.plans(word, [to.desk]))
        await station.parts.threads.composed(tx, word, to.desk)
    await settle(station, to)


async def test_han_12_nobody_else_s_handover_of_that_person_raises_an_alert_or_is_named(world: World) -> None:
    """A stranger that knows our number of the person hands that person over to us: he cannot make us doubt our own."""
    first = (await offered(world, world.probation)).thread
    theirs = dated(world.hub.clock(), effective=9)
    theirs = theirs.model_copy(update={"sections": (about("Invented", recipient_number="51"),)})
    liar = await world.social_work.compose(world.prison.desk, content=theirs)
    await settle(world.prison, world.probation, world.social_work)
    await accept(world, world.probation, first)
    await do(world.social_work, liar.thread, "bind", statute="probation-act-12")
    await settle(world.prison, world.probation, world.social_work)
    assert (await row(world.prison, liar.thread)).state == "accepted"
    assert await alerts_at(world.prison, first, liar.thread) == [None, "bound"]
    async with world.prison.parts.store.read() as tx:
        placed = [await cases.find(tx, one) for one in (first, liar.thread)]
        assert len({one.case_id for one in placed if one is not None}) == 1, "it stands in the same case"
        assert await twice.others(tx, first) == []
