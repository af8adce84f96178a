# SPDX-License-Identifier: Apache-2.0
"""The alerts of a new version come for threads that stood before its update, at its first start (LIF-7)."""

import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from connectors.cases.listing import Listing
from connectors.migrations import NEWEST
from connectors.store.engine import DATABASE_FILE, migrate
from protocol.http.threads import ListName, Machine, ThreadFilter
from protocol.ids import ThreadId
from protocol.limits import DAY, HOUR
from tests.connectors.cases.test_bound import bound
from tests.connectors.cases.test_clockwork import fire
from tests.connectors.cases.test_handed_over_twice import accept, offered, take_effect
from tests.connectors.cases.test_handover import do
from tests.connectors.cases.test_referral import refer, row, settle
from tests.connectors.cases.test_unheard import accepted, pass_
from tests.connectors.conftest import World
from tests.connectors.stations import Station, open_station

Standing = Callable[[World], Awaitable[tuple[Station, ThreadId]]]


async def is_bound(world: World) -> tuple[Station, ThreadId]:
    return world.probation, await bound(world)


async def is_unheard(world: World) -> tuple[Station, ThreadId]:
    thread = await accepted(world)
    await pass_(world, 9 * DAY + HOUR)
    await fire(world.prison)
    world.hub.clock.advance(12 * HOUR)
    return world.prison, thread


async def is_proposed(world: World) -> tuple[Station, ThreadId]:
    thread = (await refer(world.prison, world.social_work)).thread
    await settle(world.prison, world.social_work)
    await do(world.social_work, thread, "propose-forward", agency="reka-probation@hub.example", reason="better-placed")
    await settle(world.prison, world.social_work)
    return world.prison, thread


async def is_beside_a_completed_one(world: World) -> tuple[Station, ThreadId]:
    first, second = await offered(world, world.probation), await offered(world, world.social_work)
    for one, station in ((first, world.probation), (second, world.social_work)):
        await accept(world, station, one.thread)
        await take_effect(world, one.thread)
        await settle(world.prison, station)
    await do(world.social_work, second.thread, "complete", items=[])
    await settle(world.prison, world.social_work)
    return world.prison, first.thread


def before_the_update(station: Station, folder: Path) -> Path:
    """Return a copy of a connector's folder as the version before left it, with clocks that knew of no alert."""
    shutil.copytree(station.folder, folder)
    with closing(sqlite3.connect(folder / DATABASE_FILE)) as database:
        database.execute("UPDATE thread SET alert = NULL, alerts = ''")
        database.execute("UPDATE timer SET at = at + 864000000000")
        database.execute("UPDATE alembic_version SET version_num = '0031'")
        database.commit()
    return folder


async def alerted(station: Station, world: World) -> list[ThreadId]:
    listing = Listing(station.parts.store, station.parts.threads, world.hub.clock)
    return [
        one.thread
        for machine in Machine
        for one in (await listing.list(ThreadFilter(machine=machine, list=ListName.ALERTS))).items
    ]


@pytest.mark.parametrize(
    ("stands", "alert"),
    [
        pytest.param(is_bound, "bound", id="han-14"),
        pytest.param(is_unheard, "overdue", id="han-15"),
        pytest.param(is_proposed, "forward-proposed", id="ref-4"),
        pytest.param(is_beside_a_completed_one, "handed-over-twice", id="han-12"),
    ],
)
async def test_lif_7_what_stands_at_an_update_is_alerted_by_its_first_start_and_once(
    world: World, tmp_path: Path, stands: Standing, alert: str
) -> None:
    station, thread = await stands(world)
    folder = before_the_update(station, tmp_path / "updated")
    migrate(folder / DATABASE_FILE, "0032")
    with closing(sqlite3.connect(folder / DATABASE_FILE)) as database:
        # What later migrations do has been done to this database already.
        database.execute("UPDATE alembic_version SET version_num = ?", (NEWEST,))
        database.commit()
    async with open_station(folder, station.member, station.installation, world.hub.clock) as again:
        await again.look()
        assert await alerted(again, world) == []
        told = await events_of(again)
        await fire(again)
        assert (await row(again, thread)).alert == alert
        assert thread in await alerted(again, world)
        assert (await events_of(again)).count("alert") > told.count("alert")
        later, told = await again.parts.clockwork.next_due(), await events_of(again)
        assert later != 0, "it is looked at once"
        await fire(again)
        assert await events_of(again) == told


async def events_of(station: Station) -> list[str]:
    async with station.parts.store.read() as tx:
        found = await tx.connection.exec_driver_sql("SELECT type FROM event")
        return [row[0].partition(".")[2] for row in found]


def test_lif_7_nobody_is_made_to_look_at_what_is_over_or_at_a_copy(tmp_path: Path) -> None:
    """Nothing would take away the row of a copy, on which no clock runs."""
    path = tmp_path / DATABASE_FILE
    migrate(path, "0031")
    copy, over, bare, looked = b"copy", b"over", b"bare", b"looked"
    with closing(sqlite3.connect(path)) as database:
        sides = ((copy, "observer", 1), (over, "receiver", 0), (bare, "receiver", 1), (looked, "sender", 1))
        for thread, side, live in sides:
            database.execute(
                "INSERT INTO thread (thread, machine, side, own_desk, peer_desk, begun_by, begun_at, changed_at,"
                " version, state, live, sealed) VALUES (?, 'handover', ?, '', '', '', 0, 0, 1, 'offered', ?, '')",
                (thread, side, live),
            )
        add = "INSERT INTO timer (message_id, thread, at, event) VALUES (?, ?, ?, ?)"
        database.execute(add, (looked, looked, 900, "look"))
        database.execute(add, (b"move", looked, 800, "expire"))
        database.commit()
    migrate(path, "0032")
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT thread, at, event FROM timer ORDER BY at, thread").fetchall()
    assert rows == [(bare, 0, "look"), (looked, 0, "look"), (looked, 800, "expire")]
