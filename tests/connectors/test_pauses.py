# SPDX-License-Identifier: Apache-2.0
"""What a clock that was ahead wrote down holds nothing up once the clock is set (CON-24)."""

import asyncio
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.dialects import sqlite

from connectors import asking, connection
from connectors.hub_client import BlobLink, PollingLink
from connectors.incoming_mail import IncomingMail
from connectors.logs import Log
from connectors.loops import Loops
from connectors.store import attachments, attempts, awaited, pauses, recipients, tables
from connectors.store.asked import Missing
from connectors.store.attachments import FetchState
from connectors.store.attempts import AttemptState
from connectors.store.engine import DATABASE_FILE, Store
from connectors.store.recipients import RecipientState
from connectors.store.webhooks import DeliveryState
from connectors.timing import FREE_SEALS, MOST_SEALS, patience, pause, refused_pause, reseal_pause
from connectors.vault import Vault
from connectors.webhooks.courier import PAUSES
from protocol.address import DeskAddress
from protocol.errors import Expired, TooManyRequests, Unavailable
from protocol.frames import Item
from protocol.http.handovers import MessageState
from protocol.http.problems import LONGEST_WAIT_S
from protocol.ids import MessageId, ThreadId, new_id
from protocol.limits import DAY, HOUR, MINUTE, SECOND
from tests.connectors.cases.test_heard import alert, hear, told
from tests.connectors.cases.test_referral import refer, row
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.conftest import World
from tests.connectors.hand import only_recipient
from tests.connectors.lyinghub import bend_info
from tests.connectors.stations import Station
from tests.connectors.test_attachments import carry, read, send, store
from tests.connectors.test_directory_sync import INFO, Scene, scene
from tests.connectors.test_wrong_clock import AHEAD, Machine, starting
from tests.programme import NOW

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")

__all__ = ["csw", "prison", "scene"]

VAULT = Vault(bytes(range(32)))
DESKS = (DeskAddress("a.agency@hub.example"), DeskAddress("b.agency@hub.example"))


@dataclass(frozen=True)
class Row:
    """One row that waits, or does not any more."""

    table: str
    state: str
    seals: int
    at: int


STATES = {
    "recipient": (RecipientState.QUEUED, RecipientState.ACCEPTED),
    "attempt": (AttemptState.UPLOADING, AttemptState.READY, AttemptState.ACCEPTED),
    "attachment_in": (FetchState.WAITING, FetchState.STORED, FetchState.FAILED),
    "delivery": (DeliveryState.WAITING, DeliveryState.FAILED),
}
OVER = {RecipientState.ACCEPTED, AttemptState.ACCEPTED, FetchState.FAILED, DeliveryState.FAILED}


def longest(one: Row) -> int:
    if one.table == "recipient":
        return HOUR if one.seals <= FREE_SEALS else 2 * DAY
    return DAY if one.table == "delivery" else HOUR


@st.composite
def rows(draw: st.DrawFn) -> Row:
    table = draw(st.sampled_from(sorted(STATES)))
    edges = [NOW + span + more for span in (0, HOUR, DAY, 2 * DAY) for more in (-1, 0, 1)]
    at = draw(st.sampled_from(edges) | st.integers(NOW - AHEAD, NOW + 2 * AHEAD))
    return Row(table, draw(st.sampled_from(STATES[table])), draw(st.integers(0, MOST_SEALS)), at)


async def put(tx: Any, place: int, one: Row) -> None:
    """Store a row that stands at `place`."""
    key = place.to_bytes(16, "big")
    waits = {"state": one.state, "next_try_at": one.at}
    thing = {"message_id": key, "sealed": b""}
    match one.table:
        case "recipient":
            told = {"thread": key, "klass": 0, "payload_type": "x", "sender_desk": "x", "created_at": 1, "deadline": 2}
            await tx.connection.execute(tables.outgoing.insert().values(**thing, **told))
            more = {"desk": "x", "seq": 1, "seals": one.seals, "complaints": 0}
            values = thing | waits | more
        case "attempt":
            values = {"envelope_id": key, "message_id": key, "digest": key, "expires": 1, "tries": 1} | waits
        case "attachment_in":
            more = {"sender_desk": "x", "recipient_desk": "x", "section": 1, "place": 0, "tries": 1}
            values = thing | waits | more | {"envelope_id": key, "digest": key, "blob_id": key}
        case _:
            values = {"event": place, "url": "x", "tries": 1} | waits
    await tx.connection.execute(tables.metadata.tables[one.table].insert().values(**values))


async def times(tx: Any, places: Sequence[tuple[int, Row]]) -> list[int]:
    keys = {"recipient": "message_id", "attempt": "envelope_id", "attachment_in": "envelope_id", "delivery": "event"}
    found = []
    for place, one in places:
        key: object = place if one.table == "delivery" else place.to_bytes(16, "big")
        asked = text(f"SELECT next_try_at FROM {one.table} WHERE {keys[one.table]} = :key")  # noqa: S608
        found.append(await tx.connection.scalar(asked, {"key": key}))
    return found


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pauses") / DATABASE_FILE


@settings(max_examples=60, deadline=None)
@given(every=st.lists(rows(), max_size=12), moved=st.integers(-2 * DAY, 2 * DAY))
def test_con_24_nothing_waits_for_longer_than_a_pause_can_last(database: Path, every: list[Row], moved: int) -> None:
    """Whatever stands in the store, at whatever time; and what a pause may have written stays as it is."""

    async def check() -> None:
        now = NOW + moved
        opened = await Store.open(database, VAULT)
        try:
            placed = list(enumerate(every, 1))
            async with opened.write() as tx:
                await tx.connection.execute(text("PRAGMA defer_foreign_keys = ON"))
                for place, one in placed:
                    await put(tx, place, one)
                too_far = [one.state not in OVER and one.at > now + longest(one) for one in every]
                assert await pauses.any_too_far(tx, now) is any(too_far)
                assert await pauses.pull_back(tx, now) == sum(too_far)
                assert await times(tx, placed) == [
                    now if far else one.at for far, one in zip(too_far, every, strict=True)
                ]
                assert not await pauses.any_too_far(tx, now)
                due = [await recipients.next_sealing_at(tx), await attempts.next_sending_at(tx)]
                due.append(await attachments.next_due(tx))
                assert all(at is None or at <= now + 2 * DAY for at in due), "nobody sleeps for longer"
                for table in (*reversed(STATES), "outgoing"):
                    await tx.connection.execute(tables.metadata.tables[table].delete())
        finally:
            await opened.close()

    asyncio.run(check())


@given(
    st.integers(0, 10_000), st.integers(0, MOST_SEALS), st.integers(-AHEAD, AHEAD), st.floats(0, 1, exclude_max=True)
)
def test_con_24_con_2_seq_6_no_pause_is_longer_than_what_is_taken_for_the_longest(
    tries: int, seals: int, age: int, lot: float
) -> None:
    """Else what rightly waits would be tried too early, again and again."""
    assert max(pause(tries, lambda: lot), patience(age, lambda: lot), LONGEST_WAIT_S * SECOND) <= HOUR
    again = refused_pause(seals, lambda: lot) + reseal_pause(seals, lambda: lot)
    assert again <= longest(Row("recipient", RecipientState.QUEUED, seals, 0))
    assert max(PAUSES) <= DAY
    assert asking.asking_pause(tries, lambda: lot) <= asking.LONGEST


async def test_con_24_what_waits_too_long_is_found_without_walking_through_all(world: World) -> None:
    async with world.prison.parts.store.read() as tx:
        compiled = str(pauses._ANY.compile(dialect=sqlite.dialect()))
        plan = await tx.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", (0,) * compiled.count("?"))
        steps = [one.detail for one in plan if "SCALAR" not in one.detail and "CONSTANT" not in one.detail]
    assert len(steps) == len(pauses._WAITING)
    assert all("SEARCH" in step and "state=? AND next_try_at>?" in step for step in steps), steps


async def test_con_24_an_attachment_that_failed_while_the_clock_was_ahead_comes_when_it_is_set(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole of it: the hub refuses whoever's clock is a year ahead, and the next try would be in a year."""
    sent = await send(world, (await store(world.prison, b"an invented scan"), 1))
    await carry(world.prison)
    probation, clock = world.probation, world.hub.clock
    await probation.collect()

    async def refuse(*_: object) -> bytes:
        raise Unavailable

    with monkeypatch.context() as patched:
        patched.setattr(BlobLink, "read", refuse)
        clock.advance(AHEAD)
        await probation.parts.downloads.step()
        clock.advance(-AHEAD)
    assert await probation.parts.downloads.step() == 0, "it waits for a year to pass"
    loops = Loops(probation.parts, probation.settings, clock, Log(io.StringIO()))
    loops._skipped.set()
    await loops._tick()
    assert loops._mail.arrived.is_set()
    assert probation.parts.work.is_set()
    assert '"pauses-cut"' in probation.logged.getvalue()
    assert await probation.parts.downloads.step() == 1
    assert await read(probation, sent) == b"an invented scan"
    assert await probation.parts.pauses.step() == 0


async def test_con_24_seq_6_a_message_that_the_hub_refused_while_the_clock_was_ahead_is_sealed_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    prison, clock = world.prison, world.hub.clock
    queued = await prison.compose(world.probation.desk)
    await prison.parts.sealer.step()
    (envelope,) = await waiting(prison)
    clock.advance(AHEAD)
    await prison.parts.outbox._refused(envelope, Expired())
    clock.advance(-AHEAD)
    assert await prison.seal_and_send() == 0
    async with prison.parts.store.read() as tx:
        assert (await recipients.next_sealing_at(tx) or 0) > clock() + AHEAD - DAY
    assert await prison.parts.pauses.step() == 1
    assert await prison.parts.outbox.next_due() == clock()
    assert await prison.seal_and_send() == 1
    assert (await only_recipient(prison, queued.id)).state is MessageState.ACCEPTED


async def waiting(one: Station) -> list[attempts.ReadyEnvelope]:
    async with one.parts.store.read() as tx:
        return await attempts.ready(tx, one.parts.sealer._clock(), limit=1, most_bytes=0)


async def test_con_24_http_14_the_hubs_wish_for_quiet_ends_when_the_clock_is_set(world: World) -> None:
    prison, clock = world.prison, world.hub.clock
    await prison.compose(world.probation.desk)
    await prison.parts.sealer.step()
    outbox = prison.parts.outbox
    busy = TooManyRequests()
    busy.retry_after = LONGEST_WAIT_S
    clock.advance(AHEAD)
    outbox._slow_down(busy)
    clock.advance(-AHEAD)
    assert await outbox.next_due() == clock()
    outbox._slow_down(busy)
    assert await outbox.step(prison.link) == 0, "what it wishes for now counts"
    assert clock() + HOUR <= (await outbox.next_due() or 0) <= clock() + 2 * HOUR
    clock.advance(2 * HOUR)
    assert await outbox.step(prison.link) == 1


async def test_con_24_con_16_a_websocket_that_was_blocked_is_tried_again_when_the_clock_is_set(world: World) -> None:
    one, clock = world.prison.parts.connection, world.hub.clock
    clock.advance(AHEAD)
    one._block()
    assert one._is_blocked()
    clock.advance(-AHEAD)
    assert not one._is_blocked()
    one._block()
    clock.advance(connection.BLOCKED_FOR - 1)
    assert one._is_blocked()
    clock.advance(1)
    assert not one._is_blocked()


@given(st.integers(0, 2 * AHEAD), st.none() | st.integers(0, 2 * AHEAD))
def test_con_24_seq_10_a_gap_is_asked_for_whenever_it_seems_to_have_been_found(since: int, at: int | None) -> None:
    """Its time is that of the machine, which may have been a year ahead."""
    one = Missing(ThreadId(new_id()), *DESKS, MessageId(new_id()), NOW + since, 1, None if at is None else NOW + at)
    due = asking._at(one, NOW)
    assert due <= NOW + (asking.LONGEST if at is not None else asking.PATIENCE)
    wished = NOW + since + asking.PATIENCE if at is None else NOW + at
    assert due in (NOW, wished)


async def test_con_24_kind_7_what_was_told_as_unanswered_before_its_time_is_told_in_its_time(
    world: World, tmp_path: Path, prison: Served, csw: Served
) -> None:
    await alert(world, prison, [csw])
    machine = Machine(world, AHEAD)
    async with starting(world, tmp_path / "again", machine) as again:
        await hear(again)
        assert await told(again) == 1, "the hub was not met, and nobody knows that the clock is wrong"
        assert await again.parts.pauses.step() == 0, "it may be right"
        machine.clock.advance(-AHEAD)
        await again.parts.directory.sync()
        assert await again.parts.pauses.step() == 1
        await hear(again)
        assert await told(again) == 1
        async with again.parts.store.read() as tx:
            assert (await awaited.next_at(tx) or 0) > machine.clock()
        machine.pass_time(3 * HOUR)
        await hear(again)
        assert await told(again) == 2
        machine.pass_time(DAY)
        await hear(again)
        assert await told(again) == 3
        assert await again.parts.pauses.step() == 0, "what was told in time is not told again"


async def test_con_24_lif_7_what_was_shown_as_late_by_a_clock_that_was_ahead_is_shown_so_no_more(
    world: World, tmp_path: Path
) -> None:
    thread = (await refer(world.prison, world.social_work, priority="emergency")).thread
    machine = Machine(world, AHEAD)
    async with starting(world, tmp_path / "again", machine) as again:
        assert await again.parts.clockwork.step() == 0
        assert (await row(again, thread)).alert == "overdue"
        machine.clock.advance(-AHEAD)
        await again.parts.directory.sync()
        assert await again.parts.clockwork.step() == 0
        assert (await row(again, thread)).alert is None


@pytest.mark.parametrize("met", [False, True], ids=["before-the-hub-is-met", "after"])
async def test_con_24_what_is_composed_by_a_clock_that_is_years_behind_is_sent_when_it_is_set(
    world: World, tmp_path: Path, met: bool
) -> None:
    """A dead battery: the machine begins in 2020, somebody writes, and only then the network sets the clock."""
    machine = Machine(world, 0 if met else -5 * AHEAD)
    async with starting(world, tmp_path / "again", machine) as again:
        if met:
            await again.parts.directory.sync()
            machine.clock.advance(-5 * AHEAD)
        queued = await again.compose(world.probation.desk)
        thread = (await refer(again, world.social_work)).thread
        machine.clock.advance(5 * AHEAD)
        machine.pass_time(MINUTE)
        await again.look()
        assert await again.seal_and_send() == 2
        assert (await only_recipient(again, queued.id)).state is MessageState.ACCEPTED
        assert (await row(again, thread)).state == "sent"


async def test_con_24_a_hub_that_lies_of_the_time_shortens_no_messages_life(scene: Scene) -> None:
    scene.lying.bends[INFO] = bend_info(lambda info: info.model_copy(update={"server_time": info.server_time - AHEAD}))
    directory = scene.prison.parts.directory
    await directory.sync()
    assert directory.clock_is_wrong
    assert directory.time() == scene.hub.clock()


class Answered(PollingLink):
    """A link whose answer is there already."""

    def __init__(self, items: tuple[Item, ...]) -> None:
        self._items = items

    async def receive(self, cursor: int) -> tuple[Item, ...]:
        return self._items


@pytest.mark.parametrize("wrong", [AHEAD, -AHEAD, 0])
async def test_con_23_dir_9_a_mailbox_counts_as_read_only_by_a_clock_that_is_known(
    world: World, tmp_path: Path, wrong: int
) -> None:
    """Noted by a clock a year ahead it would end every seed, and every message that waits for an answer.

    A long poll that was under way when the clock jumped still ends with an answer that is empty.
    """
    machine = Machine(world)
    async with starting(world, tmp_path / "again", machine) as again:
        mail = IncomingMail(again.parts, machine.clock)
        await again.parts.directory.sync()
        under_way = await again.link.receive(await again.parts.inbox.cursor())
        machine.clock.advance(wrong)
        await mail.take(Answered(under_way))
        assert mail.is_read()
        assert mail.drained_at == (None if wrong else machine.clock())


async def test_con_24_clk_4_a_thread_that_cannot_be_moved_is_not_put_off_by_a_clock_that_jumps(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = (await refer(world.prison, world.social_work, priority="emergency")).thread
    machine = Machine(world)
    async with starting(world, tmp_path / "again", machine) as again:
        await again.parts.directory.sync()
        machine.pass_time(HOUR)

        async def jump(*_: object) -> int:
            machine.clock.advance(AHEAD)
            raise ValueError

        with monkeypatch.context() as patched:
            patched.setattr(again.parts.clockwork, "_make", jump)
            assert await again.parts.clockwork.step() == 0
        machine.clock.advance(-AHEAD)
        assert (await again.parts.clockwork.next_due() or 0) <= machine.clock()
        assert await again.parts.clockwork.step() == 2
        assert (await row(again, thread)).alert == "overdue"
