# SPDX-License-Identifier: Apache-2.0
"""What is sealed and certainly still here when its thread is stopped is called back; what may have left is not."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from connectors.cases.moving import Step
from connectors.hub_client import BlobLink, Outcome
from connectors.migrations import NEWEST
from connectors.store import attempts, recipients, replaying, untried
from connectors.store.attempts import Attempt, AttemptState
from connectors.store.engine import DATABASE_FILE, migrate
from protocol.errors import HubUnreachable, NotFound, ThroughcareError, Unavailable, UnexpectedAnswer
from protocol.http.handovers import MessageState, RecipientView
from protocol.http.hub import GET_HUB
from protocol.ids import EnvelopeId, KeyId, ThreadId, new_id
from protocol.limits import DAY, HOUR
from tests.connectors.cases.test_handover import do as step_of_handover
from tests.connectors.cases.test_referral import OFFICER, WORDS, agreed, do, refer, settle
from tests.connectors.cases.test_stopped import STOPS, view
from tests.connectors.cases.test_strangers import intrude
from tests.connectors.cases.test_thread_api import Served, prison
from tests.connectors.cases.test_transferred import BLOCK
from tests.connectors.conftest import World
from tests.connectors.lyinghub import LyingHub
from tests.connectors.stations import Station, open_station
from tests.connectors.test_attachments import send, store
from tests.connectors.test_outbox import ENVELOPES, Raised, ScriptedLink

__all__ = ["prison"]


@pytest.fixture
async def relay() -> AsyncIterator[LyingHub]:
    async with LyingHub() as lying:
        yield lying


async def at_sender(world: World, thread: ThreadId, station: Station | None = None) -> RecipientView:
    """Return how what began the thread stands at its only desk, as its sender is shown."""
    (desk,) = (await view(station or world.prison, thread, world)).steps[0].recipients
    return desk


async def got(world: World, thread: ThreadId) -> list[str]:
    """Return the categories that came to social work in the thread, whether they are shown there or not (CON-26)."""
    async with world.social_work.parts.store.read() as tx:
        places = [one for one in await replaying.in_thread(tx, thread) if not one.ours]
        came = [await replaying.theirs(tx, one) for one in places]
    return [section.category for one in came for section in one.sections]


async def sealed(world: World) -> ThreadId:
    thread = (await refer(world.prison, world.social_work)).thread
    assert await world.prison.parts.sealer.step() == 1
    return thread


@pytest.mark.parametrize(("event", "fields", "state", "reason"), STOPS)
async def test_con_22_what_is_sealed_and_still_here_is_called_back_and_goes_out_without_its_sections(
    world: World, event: str, fields: dict[str, Any], state: str, reason: str
) -> None:
    thread = await sealed(world)
    await do(world.prison, thread, event, **fields)
    desk = await at_sender(world, thread)
    assert (desk.state, desk.error, desk.attempts) == (MessageState.QUEUED, "called-back", 0)
    assert desk.detail is not None
    await settle(world.prison, world.social_work)
    assert await agreed(thread, world.prison, world.social_work) == state
    desk = await at_sender(world, thread)
    assert (desk.state, desk.error, desk.attempts, desk.sections) == (MessageState.OPENED, None, 1, [])
    assert [one.reason for one in desk.withheld] == [reason]
    first, second = desk.sealings
    assert ([one.category for one in first.sections], first.marks, first.receipt) == (["needs"], ["called-back"], None)
    assert (second.sections, second.taken_in) == ([], True)
    assert await got(world, thread) == []
    assert await world.social_work.quarantined() == await world.prison.quarantined() == []


async def test_con_22_what_waits_behind_the_first_is_called_back_too_and_the_line_stays_whole(world: World) -> None:
    """Two messages with sections and the step that stops them: three places, and the receiver sees no gap."""
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw)).thread
    await settle(prison, csw)
    for event in ("acknowledge", "ask"):
        await do(csw, thread, event)
    await settle(prison, csw)
    answer = Step(event="answer", fields={}, sections=(WORDS,))
    await prison.parts.moving.move(thread, answer, key="a" * 24, body=b"")
    await prison.parts.sealer.step()
    await do(prison, thread, "block", **BLOCK)
    await settle(prison, csw)
    assert await agreed(thread, prison, csw) == "blocked-consent"
    assert await got(world, thread) == ["needs"], "what came before it was stopped; the answer brought nothing"
    assert (await view(csw, thread, world)).steps[-1].event == "block"


async def test_con_22_while_the_hub_is_out_of_reach_for_days_nothing_counts_as_tried(
    world: World, relay: LyingHub
) -> None:
    here = world.prison
    async with open_station(here.folder, here.member, here.installation, world.hub.clock, relay.url) as away:
        thread = (await refer(away, world.social_work)).thread
        await away.parts.sealer.step()
        for _ in range(3):
            with pytest.raises(HubUnreachable):
                await away.parts.outbox.step(away.link)
            world.hub.clock.advance(DAY)
        assert (await at_sender(world, thread, away)).error == HubUnreachable.code, "why it waits is shown (CON-2)"
        assert relay.paths(ENVELOPES) == []
        await do(away, thread, "entered-in-error", reason="wrong-recipient")
        relay.target = world.hub.url
        await away.look()
        await world.social_work.look()
        await settle(away, world.social_work)
        assert await agreed(thread, away, world.social_work) == "entered-in-error"
    assert await got(world, thread) == []


async def test_con_22_what_answers_in_the_hub_s_place_gets_no_envelope(world: World, relay: LyingHub) -> None:
    """A network's login page, say: it answers everything, and never as a hub does."""
    here = world.prison
    relay.target, relay.refuse[GET_HUB.path] = world.hub.url, 302
    async with open_station(here.folder, here.member, here.installation, world.hub.clock, relay.url) as away:
        thread = (await refer(away, world.social_work)).thread
        await away.parts.sealer.step()
        with pytest.raises(UnexpectedAnswer):
            await away.parts.outbox.step(away.link)
        assert relay.paths(ENVELOPES) == []
        relay.refuse[GET_HUB.path] = 503
        await settle(away, world.social_work)
    assert await got(world, thread) == ["needs"], "a busy hub is one"


async def test_con_22_what_may_have_left_is_sent_as_it_is(world: World, relay: LyingHub) -> None:
    here = world.prison
    relay.target = world.hub.url
    async with open_station(here.folder, here.member, here.installation, world.hub.clock, relay.url) as lossy:
        thread = (await refer(lossy, world.social_work)).thread
        relay.lose_answers.add(ENVELOPES)
        with pytest.raises(HubUnreachable):
            await lossy.seal_and_send()
        await do(lossy, thread, "entered-in-error", reason="wrong-recipient")
        relay.lose_answers.clear()
        await settle(lossy, world.social_work)
        assert await agreed(thread, lossy, world.social_work) == "entered-in-error"
        desk = await at_sender(world, thread, lossy)
    assert (desk.attempts, desk.withheld, len(desk.sealings)) == (1, [], 1)
    assert [one.category for one in desk.sections] == await got(world, thread) == ["needs"]
    first, again, *_ = relay.paths(ENVELOPES)
    assert first == again


@pytest.mark.parametrize("answer", [Unavailable(), Raised(HubUnreachable()), b"no receipt"])
async def test_con_22_whatever_a_first_try_ended_with_it_was_one(world: World, answer: Outcome | Raised) -> None:
    thread = await sealed(world)
    with suppress(HubUnreachable):
        await world.prison.parts.outbox.step(ScriptedLink(answer))
    await do(world.prison, thread, "entered-in-error", reason="wrong-recipient")
    world.hub.clock.advance(HOUR)
    await settle(world.prison, world.social_work)
    assert await got(world, thread) == ["needs"]
    assert (await at_sender(world, thread)).withheld == []


class Killed(BaseException):
    """The end of a process."""


class Dying:
    """A link at which the process ends, while the hub is asked for or while envelopes are handed over."""

    def __init__(self, at: str) -> None:
        self.at = at
        self.handed: list[bytes] = []

    async def reach(self) -> None:
        if self.at == "reach":
            raise Killed

    async def submit(self, envelopes: Sequence[bytes]) -> list[Outcome]:
        self.handed += envelopes
        raise Killed


@pytest.mark.parametrize(("at", "left"), [("seal", False), ("reach", False), ("submit", True)])
async def test_con_22_a_kill_anywhere_before_the_first_try_leaves_what_can_be_called_back(
    world: World, at: str, left: bool
) -> None:
    thread = await sealed(world)
    if at != "seal":
        link = Dying(at)
        with pytest.raises(Killed):
            await world.prison.parts.outbox.step(link)
        assert bool(link.handed) is left
    here = world.prison
    async with open_station(here.folder, here.member, here.installation, world.hub.clock) as again:
        await again.look()
        await do(again, thread, "entered-in-error", reason="wrong-recipient")
    async with open_station(here.folder, here.member, here.installation, world.hub.clock) as last:
        await last.look()
        await settle(last, world.social_work)
        assert await agreed(thread, last, world.social_work) == "entered-in-error"
    assert await got(world, thread) == (["needs"] if left else [])


class Stopping(ScriptedLink):
    """A link that answers only after somebody has stopped the thread."""

    def __init__(self, stop: Callable[[], Awaitable[object]]) -> None:
        super().__init__()
        self._stop = stop

    async def reach(self) -> None:
        await self._stop()


async def test_con_22_what_is_stopped_while_the_hub_is_being_reached_is_not_sent(world: World) -> None:
    thread = await sealed(world)
    link = Stopping(lambda: do(world.prison, thread, "entered-in-error", reason="wrong-recipient"))
    assert await world.prison.parts.outbox.step(link) == 0
    assert link.handed == []
    await settle(world.prison, world.social_work)
    assert await got(world, thread) == []


@pytest.mark.parametrize(
    ("kind", "fields"), [("referral.entered-in-error", {"reason": "wrong-recipient"}), ("referral.block", BLOCK)]
)
async def test_con_22_a_stranger_calls_nothing_back(
    prison: Served, world: World, kind: str, fields: dict[str, Any]
) -> None:
    """He knows the thread, and says that it was entered in error, or that it is blocked: it is none of his."""
    thread = await sealed(world)
    await intrude(world, prison, thread, kind, fields)
    assert len((await at_sender(world, thread)).sealings) == 1
    await settle(world.prison, world.social_work)
    assert await agreed(thread, world.prison, world.social_work) == "delivered"
    assert await got(world, thread) == ["needs"]


async def test_con_22_the_other_side_cannot_make_us_seal_the_same_over_and_over(world: World) -> None:
    """Blocked and unblocked by turns: once it is sealed without its sections nothing is called back any more."""
    thread = await sealed(world)
    for _ in range(6):
        await do(world.prison, thread, "block", **BLOCK)
        await world.prison.parts.sealer.step()
        await do(world.prison, thread, "unblock", basis="statute", agreed_by=OFFICER)
        await world.prison.parts.sealer.step()
    desk = await at_sender(world, thread)
    assert (desk.attempts, [one.marks for one in desk.sealings]) == (1, [["called-back"], []])
    await settle(world.prison, world.social_work)
    assert await got(world, thread) == []


async def test_con_22_every_desk_of_an_envelope_is_sealed_for_anew(world: World) -> None:
    prison = world.prison
    queued = await prison.compose(world.probation.desk, world.social_work.desk)
    assert await prison.parts.sealer.step() == 1
    await step_of_handover(prison, queued.thread, "withdraw", reason="release-cancelled")
    await settle(prison, world.probation, world.social_work)
    for station in (world.probation, world.social_work):
        assert (await station.view(queued.id)).sections == []
        assert await station.quarantined() == []
    for desk in (await prison.view(queued.id)).recipients:
        assert (desk.state, desk.attempts, desk.sections) == (MessageState.OPENED, 1, [])
        assert {one.reason for one in desk.withheld} == {"thread-withdrawn"}


async def test_con_22_what_waits_for_its_attachments_is_called_back_with_them(world: World) -> None:
    prison = world.prison
    sent = await send(world, (await store(prison, b"an invented scan"), 1))
    await prison.parts.sealer.step()
    thread = (await prison.view(sent)).thread
    await step_of_handover(prison, thread, "withdraw", reason="release-cancelled")
    assert await prison.parts.uploads.step() == 0, "not one byte of it goes to the hub any more"
    await settle(prison, world.probation)
    assert (await world.probation.view(sent)).sections == []
    (first, *_), _ = [one.sealings for one in (await prison.view(sent)).recipients]
    assert first.marks == ["called-back"]


@pytest.mark.parametrize("refused", [Unavailable, NotFound], ids=["for now", "for good"])
async def test_con_17_con_22_an_upload_under_way_makes_no_other_story_of_what_was_called_back(
    world: World, monkeypatch: pytest.MonkeyPatch, refused: type[ThroughcareError]
) -> None:
    """The thread is stopped while a chunk is on its way on a bad line."""
    prison = world.prison
    sent = await send(world, (await store(prison, b"an invented scan"), 1))
    await prison.parts.sealer.step()
    thread = (await prison.view(sent)).thread

    async def stopped_meanwhile(_: BlobLink, *__: object) -> object:
        await step_of_handover(prison, thread, "withdraw", reason="release-cancelled")
        raise refused

    with monkeypatch.context() as patch:
        patch.setattr(BlobLink, "upload", stopped_meanwhile)
        assert await prison.parts.uploads.step() == 1
    await settle(prison, world.probation)
    assert (await world.probation.view(sent)).sections == []
    (first, *_), _ = [one.sealings for one in (await prison.view(sent)).recipients]
    assert first.marks == ["called-back"]


async def test_con_22_what_was_sealed_before_an_update_counts_as_tried(world: World, tmp_path: Path) -> None:
    thread = await sealed(world)
    folder = tmp_path / "updated"
    shutil.copytree(world.prison.folder, folder)
    with closing(sqlite3.connect(folder / DATABASE_FILE)) as database:
        database.execute("ALTER TABLE attempt DROP COLUMN here_only")
        database.execute("UPDATE alembic_version SET version_num = '0029'")
        database.commit()
    migrate(folder / DATABASE_FILE, "0030")
    with closing(sqlite3.connect(folder / DATABASE_FILE)) as database:
        database.execute("UPDATE alembic_version SET version_num = ?", (NEWEST,))
        database.commit()
    async with open_station(folder, world.prison.member, world.prison.installation, world.hub.clock) as updated:
        await updated.look()
        await do(updated, thread, "entered-in-error", reason="wrong-recipient")
        await settle(updated, world.social_work)
    assert await got(world, thread) == ["needs"]


@pytest.mark.parametrize("state", attempts.UNSENT)
async def test_a_restored_connector_sends_nothing_that_the_lost_one_had_sealed(
    world: World, state: AttemptState
) -> None:
    sent = (await world.prison.compose(world.probation.desk)).id
    one = EnvelopeId(new_id())
    async with world.prison.parts.store.write() as tx:
        devices = {world.probation.desk: KeyId(bytes(32))}
        await attempts.add(tx, Attempt(one, sent, bytes(32), 10**15, state, 0, devices, None), b"bytes", 0)
        await attempts.lapse_unsent(tx, "device-replaced")
        found = await attempts.by_id(tx, one)
        assert found is not None
        assert found.state is AttemptState.LAPSED
        assert await untried.begin(tx, [one]) == set()


async def test_con_22_two_processes_begin_one_first_try(world: World) -> None:
    """Both note it in a transaction of their own; what one of them called back meanwhile neither begins."""
    thread = await sealed(world)
    store_ = world.prison.parts.store
    async with store_.read() as tx:
        (waiting,) = await untried.of_thread(tx, thread)

    async def begin() -> set[EnvelopeId]:
        async with store_.write() as tx:
            return await untried.begin(tx, [waiting.envelope_id])

    first, second = await asyncio.gather(begin(), begin())
    assert sorted([first, second], key=len) == [set(), {waiting.envelope_id}]
    async with store_.read() as tx:
        assert await untried.of_thread(tx, thread) == []
        assert (await recipients.of(tx, waiting.message_id))[0].seals == 1
