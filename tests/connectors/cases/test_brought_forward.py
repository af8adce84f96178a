# SPDX-License-Identifier: Apache-2.0
"""A release that moves to an earlier day: whoever has accepted the person hears of it, and no silence hides that."""

from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.cases.listing import Listing
from connectors.cases.terms import NAMED, dates_of
from connectors.cases.threads import history_of
from connectors.cli.threads import _to_be_heard_of
from connectors.store import moves, threads
from connectors.store.moves import MoveRow
from connectors.store.sequences import Direction
from protocol.address import AgencyAddress
from protocol.clearance import DeskFunction
from protocol.content import encode_payload
from protocol.handover import Trigger, TriggerEvent, parties_for
from protocol.http.threads import ListName
from protocol.ids import Kind, MessageId, ThreadId, text
from protocol.kinds.handover import ChangeDate
from protocol.kinds.reasons import HandoverEndReason
from protocol.lifecycle.handover import HANDOVER
from protocol.lifecycle.history import Move, fold
from protocol.limits import DAY, HOUR
from tests.connectors.cases.test_clockwork import day, told
from tests.connectors.cases.test_handover import PROBATION
from tests.connectors.cases.test_handover_clocks import (
    GORA,
    accept,
    by_release,
    do,
    due,
    heard,
    listed,
    mail,
    offer,
    pass_,
)
from tests.connectors.cases.test_referral import row
from tests.connectors.cases.test_unheard import alerts
from tests.connectors.conftest import World
from tests.connectors.stations import Station
from tests.connectors.tampering import TAMPERINGS
from tests.programme import NOW

TODAY = day(NOW, 0)
SUBJECT = text(Kind.SUBJECT, bytes(16))
NEEDS = frozenset().union(*(one.needs for one in HANDOVER.rows))
OFFER = encode_payload(
    by_release(NOW, expected=20).offer(
        parties_for(SUBJECT, GORA, [(AgencyAddress(PROBATION), DeskFunction.PROBATION_INTAKE)])
    )
)


async def taken(world: World, *, expected: int | None = 20) -> ThreadId:
    """Return a handover that the office has accepted, whose person is expected so many days from now."""
    thread = await offer(world, by_release(world.hub.clock(), expected=expected))
    await accept(world, thread)
    return thread


async def move(world: World, thread: ThreadId, days: int | None) -> None:
    """Move the release to so many days from now, or to a day that nobody knows."""
    on = {} if days is None else {"expected_on": day(world.hub.clock(), days).isoformat()}
    await do(world.prison, thread, "change-date", trigger={"event": "release.notice", **on}, reason="release-moved")
    await mail(world)


async def alert(station: Station, thread: ThreadId) -> str | None:
    return (await row(station, thread)).alert


@pytest.mark.parametrize("expected", [20, None])
async def test_han_17_an_office_is_alerted_of_an_earlier_day_at_once_and_late_until_somebody_there_has_looked(
    world: World, expected: int | None
) -> None:
    prison, office = both = (world.prison, world.probation)
    thread = await taken(world, expected=expected)
    await move(world, thread, 10)
    assert await listed(office, world, ListName.ALERTS) == [thread]
    assert await alerts(office, thread, world) == [("brought-forward", "review", "receiver")]
    view = await Listing(office.parts.store, office.parts.threads, world.hub.clock).show(thread)
    (line,) = _to_be_heard_of(view)
    assert line.endswith(f"look at it, and say so: throughcare handover review {text(Kind.THREAD, thread)}")
    there = await Listing(prison.parts.store, prison.parts.threads, world.hub.clock).show(thread)
    (line,) = _to_be_heard_of(there)
    assert line.endswith("nobody at the other side has looked at the earlier day: call them"), "the step is not its own"
    assert "handover.alert" in await heard(office)
    assert await listed(prison, world, ListName.ALERTS) == [], "it did it itself"
    for station in both:
        assert await due(station, thread, world) == [("review", PROBATION), ("take-effect", GORA)]
    await pass_(world, 4 * DAY + 12 * HOUR)
    await mail(world)
    for station in both:
        assert ("overdue", "review", "receiver") in await alerts(station, thread, world)
    assert (await told(office, thread)).count("escalate") == 1, "its supervisor is told"
    await pass_(world, DAY)
    await mail(world)
    assert (await told(office, thread)).count("escalate") == 2, "and its headquarters"
    await do(office, thread, "review")
    await mail(world)
    for station in both:
        assert await listed(station, world, ListName.ALERTS) == []
        assert [what for what, _ in await due(station, thread, world)] == ["take-effect"]


async def test_han_17_a_day_that_is_later_or_not_known_any_more_alerts_nobody_and_ends_what_was_earlier(
    world: World,
) -> None:
    office, thread = world.probation, await taken(world)
    for days, kind in ((25, None), (10, "brought-forward"), (20, None), (5, "brought-forward"), (None, None)):
        await move(world, thread, days)
        assert await alert(office, thread) == kind


async def test_han_17_nothing_that_the_prison_says_looks_for_the_office_and_any_step_of_the_office_does(
    world: World,
) -> None:
    office, thread = world.probation, await taken(world)
    await move(world, thread, 10)
    await do(world.prison, thread, "run-together")
    await move(world, thread, 9)
    assert await alert(office, thread) == "brought-forward"
    await do(office, thread, "review")
    await mail(world)
    assert await alert(office, thread) is None
    await move(world, thread, 10)
    assert await alert(office, thread) is None, "it knew of an earlier one"


async def test_han_17_an_office_that_has_not_answered_has_its_answer_due_by_the_earlier_day_and_no_more(
    world: World,
) -> None:
    thread = await offer(world, by_release(world.hub.clock(), expected=20))
    await move(world, thread, 1)
    assert await alert(world.probation, thread) is None
    assert await due(world.probation, thread, world) == [("acknowledge", PROBATION), ("answer", PROBATION)]


async def test_han_17_a_step_that_crosses_the_earlier_day_on_its_way_has_not_looked_at_it(world: World) -> None:
    prison, office = both = (world.prison, world.probation)
    thread = await taken(world)
    to = {"event": "release.notice", "expected_on": day(world.hub.clock(), 10).isoformat()}
    await do(prison, thread, "change-date", trigger=to, reason="release-moved")
    await prison.turn()
    await do(office, thread, "review")
    await mail(world)
    for station in both:
        events = [one.event for one in (await history(station, thread))[-2:]]
        assert events == ["change-date", "review"], "at the hub the step stands behind the day that it did not know"
        assert await due(station, thread, world) == [("review", PROBATION), ("take-effect", GORA)]
    assert await alert(office, thread) == "brought-forward"
    await do(office, thread, "review")
    await mail(world)
    for station in both:
        assert await due(station, thread, world) == [("take-effect", GORA)]
    assert await alert(office, thread) is None


async def test_han_17_who_accepts_without_knowing_of_the_earlier_day_is_alerted_of_it(world: World) -> None:
    thread = await offer(world, by_release(world.hub.clock(), expected=20))
    to = {"event": "release.notice", "expected_on": day(world.hub.clock(), 3).isoformat()}
    await do(world.prison, thread, "change-date", trigger=to, reason="release-moved")
    await world.prison.turn()
    await accept(world, thread)
    assert await alert(world.probation, thread) == "brought-forward"


async def test_han_17_a_still_earlier_day_has_its_own_time_to_be_looked_at(world: World) -> None:
    office, both = world.probation, (world.prison, world.probation)
    thread = await taken(world, expected=40)
    await move(world, thread, 30)
    await pass_(world, 4 * DAY + 12 * HOUR)
    await mail(world)
    for station in both:
        assert ("overdue", "review", "receiver") in await alerts(station, thread, world)
    await move(world, thread, 20)
    for station in both:
        assert await alerts(station, thread, world) == [("brought-forward", "review", "receiver")], "late is neither"
    assert (await heard(office)).count("handover.alert") == 3, "it is alerted of the second day too"
    await pass_(world, 4 * DAY)
    await mail(world)
    for station in both:
        assert ("overdue", "review", "receiver") in await alerts(station, thread, world)


async def test_han_17_what_a_step_knew_is_kept_while_it_waits_for_one_before_it(world: World) -> None:
    prison, office = both = (world.prison, world.probation)
    thread = await taken(world)
    await move(world, thread, 10)
    await do(office, thread, "run-together")
    await do(office, thread, "review")
    await office.seal_and_send()
    first, *rest = await prison.link.receive(await prison.parts.inbox.cursor())
    await prison.take((replace(first, data=TAMPERINGS["machine state flipped"](first.data)), *rest))
    assert [what for what, _ in await due(prison, thread, world)] == ["review", "take-effect"]
    await mail(world)
    await mail(world)
    assert [what for what, _ in await due(prison, thread, world)] == ["take-effect"]
    known = []
    for station in both:
        async with station.parts.store.read() as tx:
            (step,) = [one for one in await moves.of(tx, thread) if one.event == "review"]
        known.append(step.after)
    assert known[0] == known[1] != (), "which moves of the prison's the office had"


async def history(station: Station, thread: ThreadId) -> list[Move]:
    """Return the moves of a thread that had an effect, in the hub's order."""
    async with station.parts.store.read() as tx:
        here, stored = await threads.load(tx, thread), await moves.of(tx, thread)
    return [step.move for step in history_of(here, stored).done]


def said(
    number: int, event: str, actor: str, payload: bytes = b"{}", after: tuple[MessageId, ...] = ()
) -> tuple[Move, MoveRow]:
    """Return a step of a thread at its place of the log, and the row that it is stored as."""
    message_id, at = MessageId(number.to_bytes(16, "big")), NOW + number
    move = Move(message_id=message_id, index=number, at=at, event=event, actor=actor, signer="somebody", carried=NEEDS)
    row = MoveRow(ThreadId(bytes(16)), message_id, Direction.IN, number, number, True, at, event, actor, payload)
    return move, replace(row, after=after)


def changed(number: int, on: date | None) -> tuple[Move, MoveRow]:
    trigger = Trigger(event=TriggerEvent.RELEASE_NOTICE, expected_on=on)
    payload = ChangeDate(subject=SUBJECT, occurred_at=NOW, trigger=trigger, reason=HandoverEndReason.RELEASE_MOVED)
    return said(number, "change-date", "sender", encode_payload(payload))


def is_sooner(on: date | None, known: date | None) -> bool:
    return on is not None and (known is None or on < known)


LOOKS = st.sampled_from([("look", None), *(("look", missing) for missing in range(4))])
"""A step of the receiver's that names nothing, as earlier versions made it, or whose maker lacked the last words."""


@given(st.lists(st.one_of(LOOKS, st.none(), st.integers(1, 40)), max_size=12))
def test_han_17_the_day_is_compared_with_the_last_one_that_the_receiver_had_when_it_made_a_step(
    ways: list[int | tuple[str, int | None] | None],
) -> None:
    known: date | None = TODAY + timedelta(days=20)
    both = [said(1, "offer", "sender", OFFER), said(2, "acknowledge", "receiver"), said(3, "accept", "receiver")]
    words, since = [both[0][0].message_id], list[tuple[MessageId, date | None]]()
    for number, way in enumerate(ways, start=4):
        if isinstance(way, tuple):
            _, missing = way
            had = words[: max(1, len(words) - (missing or 0))]
            both.append(said(number, "review", "receiver", after=() if missing is None else tuple(had[-NAMED:])))
            seen = [on for which, on in since if which in had]
            known, since = (seen[-1] if seen else known), since[len(seen) :]
        else:
            on = TODAY + timedelta(days=way) if isinstance(way, int) else None
            both.append(changed(number, on))
            words.append(both[-1][0].message_id)
            since.append((words[-1], on))
    history = fold(HANDOVER, [move for move, _ in both])
    assert history.conflicts == ()
    dates = dates_of(history, [stored for _, stored in both])
    assert dates is not None
    days = [known, *(on for _, on in since)]
    forward = [
        place
        for place, (before, on) in enumerate(pairwise(days))
        if is_sooner(on, known) and (is_sooner(on, before) or not is_sooner(before, known))
    ]
    if not is_sooner(days[-1], known):
        assert dates.brought_forward is None, "the day that counts is no earlier than the one that is known"
    else:
        assert dates.brought_forward == since[forward[-1]][0], "the newest step that made it an earlier one"


def test_han_17_a_step_that_names_only_what_its_sender_has_lost_has_not_looked_at_what_is_left() -> None:
    steps = [said(1, "offer", "sender", OFFER), said(2, "acknowledge", "receiver"), said(3, "accept", "receiver")]
    steps += [changed(4, TODAY), said(5, "review", "receiver", after=(MessageId(bytes(16)),))]
    history = fold(HANDOVER, [move for move, _ in steps])
    dates = dates_of(history, [stored for _, stored in steps])
    assert dates is not None
    assert dates.brought_forward == steps[3][0].message_id
