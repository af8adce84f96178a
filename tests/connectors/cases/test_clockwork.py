# SPDX-License-Identifier: Apache-2.0
"""Time's own moves: each once, however long the connector was off, and told to the other side like any other."""

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select

from connectors.calendars import Calendars
from connectors.cases.clockwork import Clockwork
from connectors.cases.listing import Listing
from connectors.cases.moving import Step
from connectors.migrations import NEWEST
from connectors.store import moves
from connectors.store.engine import DATABASE_FILE, migrate
from connectors.store.tables import outgoing
from connectors.store.threadtables import move
from protocol.address import AgencyAddress
from protocol.handover import Priority
from protocol.http.threads import ListName, ThreadFilter
from protocol.kinds.catalogue import KINDS
from protocol.lifecycle.timers import Level, timers
from protocol.limits import DAY, HOUR, MINUTE
from protocol.statements import Agency
from tests.connectors.cases.test_referral import OFFICER, agreed, do, history, refer, row, settle
from tests.connectors.conftest import World
from tests.connectors.stations import Station, open_station

AGENCY = AgencyAddress("polje-csw@hub.example")


def day(now: int, days: int) -> date:
    return datetime.fromtimestamp(now / 1000 + days * 86_400, UTC).date()


async def fire(station: Station) -> int:
    made = 0
    while now := await station.parts.clockwork.step():
        made += now
    return made


async def told(station: Station, thread: bytes) -> list[str]:
    return [step.move.event for step in (await history(station, thread)).done]  # type: ignore[arg-type]


async def test_clk_4_an_hour_off_misses_no_escalation_and_doubles_none(world: World) -> None:
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw, priority="emergency")).thread
    assert await fire(prison) == 0
    world.hub.clock.advance(HOUR)
    assert await fire(prison) == 2
    parts = prison.parts
    again = Clockwork(parts.store, parts.threads, parts.moving, parts.directory, world.hub.clock, parts.inbox._log)
    assert await again.step() == 0
    assert await told(prison, thread) == ["send", "escalate", "escalate"]
    await settle(prison, csw)
    assert await agreed(thread, prison, csw) == "delivered"
    assert [step.move.actor for step in (await history(csw, thread)).done][1:3] == ["clock", "clock"]


async def test_clk_4_nobody_answers_and_the_referral_expires_after_three_times_its_span(world: World) -> None:
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw, priority="emergency")).thread
    world.hub.clock.advance(3 * DAY + MINUTE)
    assert await fire(prison) == 7
    assert (await row(prison, thread)).state == "expired"
    assert await prison.parts.clockwork.next_due() is None


async def test_clk_4_an_answer_in_time_leaves_time_nothing_to_do(world: World) -> None:
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw, priority="emergency")).thread
    await settle(prison, csw)
    await do(csw, thread, "acknowledge")
    await do(csw, thread, "accept", start_by=day(world.hub.clock(), 20).isoformat())
    await settle(prison, csw)
    assert await prison.parts.clockwork.next_due() == (await row(prison, thread)).due_at, "the start is due next"
    world.hub.clock.advance(3 * DAY)
    assert await fire(prison) == 0
    assert (await row(prison, thread)).alert is None


async def test_clk_4_only_the_side_that_began_makes_the_moves_of_time(world: World) -> None:
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw, priority="emergency")).thread
    await settle(prison, csw)
    world.hub.clock.advance(4 * HOUR)
    assert await fire(csw) == 0
    assert "escalate" not in await told(csw, thread)
    assert (await row(csw, thread)).alert == "overdue", "but it knows that it is late"
    assert await fire(prison) == 2


async def test_clk_3_a_question_stops_the_answers_clock_and_its_answer_starts_it_again(world: World) -> None:
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw, priority="emergency")).thread
    await settle(prison, csw)
    due = (await row(csw, thread)).due_at
    asked_for = day(world.hub.clock(), 1)
    await do(csw, thread, "ask", due=asked_for.isoformat())
    await settle(prison, csw)
    for station in (prison, csw):
        assert (await row(station, thread)).due_at == Calendars().of(AGENCY).close_of(asked_for)
    world.hub.clock.advance(5 * HOUR)
    assert await fire(prison) == 0
    await do(prison, thread, "answer")
    await settle(prison, csw)
    assert due is not None
    assert (await row(csw, thread)).due_at == due + 5 * HOUR


async def test_ref_12_a_question_that_nobody_answers_is_heard_of_on_both_sides_and_expires(world: World) -> None:
    """The recipient asks a minute before its time is up, for a day far away, and waits."""
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw, priority="emergency")).thread
    await settle(prison, csw)
    world.hub.clock.advance(DAY - MINUTE)
    await do(csw, thread, "ask", due="2099-01-01")
    await settle(prison, csw)
    await fire(prison)
    called = (await told(prison, thread)).count("escalate")
    listing = Listing(prison.parts.store, prison.parts.threads, world.hub.clock)
    for days in (2, 2):
        world.hub.clock.advance(days * DAY)
        for station in (prison, csw):
            await station.look()
            assert await fire(station) == 0
    for station in (prison, csw):
        assert (await row(station, thread)).alert == "overdue"
    (alert,) = (await listing.show(thread)).alerts
    assert (alert.what, alert.by, alert.appointment) == ("answer-question", "requester", None)
    for which in (ListName.ANSWER_DUE, ListName.ALERTS):
        assert [one.thread for one in (await listing.list(ThreadFilter(list=which))).items] == [thread]
    world.hub.clock.advance(3 * DAY)
    assert await fire(prison) == 1
    await settle(prison, csw)
    assert await agreed(thread, prison, csw) == "expired"
    assert (await told(csw, thread)).count("escalate") == called, "no answer was late while the question was open"
    assert (await row(prison, thread)).alert is (await row(csw, thread)).alert is None


async def test_lif_7_a_service_that_never_begins_is_late_on_both_sides(world: World) -> None:
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw)).thread
    await settle(prison, csw)
    begin = day(world.hub.clock(), 4)
    await do(csw, thread, "acknowledge")
    await do(csw, thread, "accept", start_by=begin.isoformat())
    await settle(prison, csw)
    world.hub.clock.advance(6 * DAY)
    for station in (prison, csw):
        await station.look()
        assert await fire(station) == 0
        assert (await row(station, thread)).alert == "overdue"
    await do(csw, thread, "progress", period={"first": begin.isoformat(), "last": begin.isoformat()})
    await settle(prison, csw)
    for station in (prison, csw):
        assert (await row(station, thread)).alert is None


async def test_lif_7_a_thread_of_an_older_version_is_looked_at_once_after_the_update(
    world: World, tmp_path: Path
) -> None:
    """It has no clock in its state yet, as the version that stored it knew of none."""
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw)).thread
    await settle(prison, csw)
    await do(csw, thread, "acknowledge")
    await do(csw, thread, "accept", start_by=day(world.hub.clock(), 4).isoformat())
    await settle(prison, csw)
    folder = tmp_path / "updated"
    shutil.copytree(csw.folder, folder)
    with closing(sqlite3.connect(folder / DATABASE_FILE)) as database:
        database.execute("DELETE FROM timer")
        database.execute("UPDATE alembic_version SET version_num = '0019'")
        database.commit()
        migrate(folder / DATABASE_FILE, "0020")
        # What later migrations do has been done to this database already.
        database.execute("UPDATE alembic_version SET version_num = ?", (NEWEST,))
        database.commit()
    async with open_station(folder, csw.member, csw.installation, world.hub.clock) as again:
        await again.look()
        assert await again.parts.clockwork.next_due() == 0
        assert await fire(again) == 0
        assert await again.parts.clockwork.next_due() == (await row(again, thread)).due_at
        world.hub.clock.advance(6 * DAY)
        assert await fire(again) == 0
        assert (await row(again, thread)).alert == "overdue"


async def test_lif_7_what_is_late_is_an_alert_here_also_where_time_may_not_say_so(world: World) -> None:
    """The agency was approved before there were escalations, so its clock can make none."""
    prison, csw, programme = world.prison, world.social_work, world.hub.programme
    thread = (await refer(prison, csw, priority="emergency")).thread
    await settle(prison, csw)
    member = prison.member
    types = (*(one for one in KINDS if one != "referral.escalate"), "receipt.opened", "receipt.cannot-open")
    agency = Agency(
        member.address, member.kind, member.identity.public, tuple(member.functions.items()), types, "older"
    )
    programme.state(agency, programme.approvers[:2])
    await world.hub.catch_up()
    await prison.look()
    world.hub.clock.advance(3 * DAY)
    assert await fire(prison) == 0
    assert (await row(prison, thread)).alert == "overdue"
    async with prison.parts.store.read() as tx:
        assert await moves.failing(tx) == [(thread, "policy-denied")]


@pytest.mark.parametrize("level", Level)
async def test_a_level_that_was_told_is_on_record_with_what_was_late(world: World, level: Level) -> None:
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw, priority="emergency")).thread
    world.hub.clock.advance(HOUR)
    await fire(prison)
    async with prison.parts.store.read() as tx:
        payloads = b"".join(one.payload for one in await moves.of(tx, thread))
    assert f'"level":"{level}"'.encode() in payloads
    assert b'"ack":"opened"' in payloads


@pytest.mark.parametrize("live", [20, pytest.param(10_000, marks=pytest.mark.full)])
async def test_clk_4_an_hour_of_downtime_misses_and_doubles_none_of_many_timers(
    world: World, tmp_path: Path, live: int
) -> None:
    """Each of `live` emergencies has two clocks that run out within the hour; the connector is off, and starts anew."""
    prison, csw = world.prison, world.social_work
    begun = {(await refer(prison, csw, priority="emergency")).thread for _ in range(live)}
    world.hub.clock.advance(HOUR)
    folder = tmp_path / "started anew"
    shutil.copytree(prison.folder, folder)
    async with open_station(folder, prison.member, prison.installation, world.hub.clock) as again:
        await again.look()
        half = again.parts.clockwork
        for _ in range(2):
            await half.step()
    async with open_station(folder, prison.member, prison.installation, world.hub.clock) as once_more:
        await once_more.look()
        await fire(once_more)
        assert await fire(once_more) == 0
        async with once_more.parts.store.read() as tx:
            found = await tx.connection.execute(
                select(move.c.thread, func.count()).where(move.c.event == "escalate").group_by(move.c.thread)
            )
            told_of = {row.thread: row[1] for row in found}
            queued = await tx.connection.scalar(
                select(func.count()).select_from(outgoing).where(outgoing.c.payload_type == "referral.escalate")
            )
    assert told_of == dict.fromkeys(begun, 2)
    assert queued == 2 * live


async def test_clk_4_a_recipient_that_takes_the_ids_of_timers_beforehand_stops_none(world: World) -> None:
    """A hostile recipient knows the round, and sends its own moves under the ids that follow from it."""
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw, priority="emergency")).thread
    await settle(prison, csw)
    foreseen = timers(
        await history(csw, thread), Priority.EMERGENCY, Calendars().of(AGENCY), named={}, now=world.hub.clock()
    )
    assert [timer.event for timer in foreseen].count("escalate") == 4
    for timer in foreseen:
        step = Step(event="reassign", fields={"officer": OFFICER}, message_id=timer.move_id)
        await csw.parts.moving.move(thread, step, key=timer.move_id.hex(), body=b"")
    await settle(prison, csw)
    world.hub.clock.advance(4 * HOUR)
    assert await fire(prison) == 2
    assert (await told(prison, thread)).count("escalate") == 2
