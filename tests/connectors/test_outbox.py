# SPDX-License-Identifier: Apache-2.0
"""Sending: stored before it is answered, the same bytes until a receipt comes, nothing given up silently."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from connectors.hub_client import Outcome
from connectors.store import attempts, outgoing, recipients
from connectors.timing import LONGEST_PAUSE, patience, pause
from protocol.errors import (
    HubUnreachable,
    MalformedEnvelope,
    RecipientUnavailable,
    StoreFull,
    ThroughcareError,
    TooManyRequests,
    Unavailable,
    UnexpectedAnswer,
)
from protocol.http.handovers import MessageState
from protocol.ids import MessageId
from protocol.limits import DAY, HOUR, MINUTE, SECOND
from tests.connectors.conftest import World
from tests.connectors.lyinghub import LyingHub
from tests.connectors.stations import Station, install, open_station
from tests.hub.running import RunningHub, TestClock
from tests.programme import Programme

ENVELOPES = "/v1/envelopes/batch"


@dataclass
class Raised:
    """What becomes of a whole batch."""

    error: ThroughcareError


class ScriptedLink:
    """Answers each batch with what the test says, and remembers the bytes it was handed."""

    def __init__(self, *answers: Outcome | Raised) -> None:
        self.answers = list(answers)
        self.handed: list[list[bytes]] = []

    async def reach(self) -> None:
        return None

    async def submit(self, envelopes: Sequence[bytes]) -> list[Outcome]:
        self.handed.append(list(envelopes))
        answer = self.answers.pop(0)
        if isinstance(answer, Raised):
            raise answer.error
        return [answer for _ in envelopes]


@pytest.fixture
async def relay() -> AsyncIterator[LyingHub]:
    async with LyingHub() as lying:
        yield lying


async def sealed_bytes(station: Station) -> list[bytes]:
    async with station.parts.store.read() as tx:
        return [one.raw for one in await attempts.ready(tx, 2**62, limit=64, most_bytes=1 << 22)]


async def test_con_1_what_was_answered_with_202_is_there_after_a_restart(world: World, hub: RunningHub) -> None:
    queued = await world.prison.compose(world.probation.desk)
    again = open_station(world.prison.folder, world.prison.member, world.prison.installation, hub.clock)
    async with again as restarted:
        assert await restarted.states(queued.id) == {world.probation.desk: MessageState.QUEUED}
        await restarted.seal_and_send()
        assert await restarted.states(queued.id) == {world.probation.desk: MessageState.ACCEPTED}


async def test_con_1_the_sealed_bytes_are_stored_before_they_are_sent(world: World) -> None:
    await world.prison.compose(world.probation.desk)
    await world.prison.parts.sealer.step()
    stored = await sealed_bytes(world.prison)
    link = ScriptedLink(Raised(HubUnreachable()))
    with pytest.raises(HubUnreachable):
        await world.prison.parts.outbox.step(link)
    assert link.handed == [stored]


async def test_con_1_the_same_bytes_are_sent_until_a_receipt_comes(world: World) -> None:
    await world.prison.compose(world.probation.desk)
    await world.prison.parts.sealer.step()
    link = ScriptedLink(Raised(HubUnreachable()), Unavailable(), StoreFull())
    for _ in range(3):
        try:
            await world.prison.parts.outbox.step(link)
        except HubUnreachable:
            continue
        world.hub.clock.advance(HOUR)
        assert await world.prison.parts.sealer.step() == 0
    assert len({bytes(handed[0]) for handed in link.handed}) == 1
    await world.prison.look()
    assert await world.prison.seal_and_send() == 1
    assert await sealed_bytes(world.prison) == []


async def test_con_15_a_batch_that_never_arrives_whole_is_halved_until_it_does(world: World) -> None:
    for _ in range(9):
        await world.prison.compose(world.probation.desk)
    while await world.prison.parts.sealer.step():
        pass
    link = ScriptedLink(*[Raised(HubUnreachable())] * 6, *[Unavailable()] * 4)
    for _ in range(10):
        with suppress(HubUnreachable):
            await world.prison.parts.outbox.step(link)
    # Of 64 at most: nine wait, and 32, 16, 8, 4, 2 and 1 are asked for; then it grows again.
    assert [len(handed) for handed in link.handed] == [9, 9, 9, 8, 4, 2, 1, 2, 4, 2]


@pytest.mark.parametrize("broken", [HubUnreachable(), UnexpectedAnswer()], ids=["cut", "answered in between"])
async def test_con_15_of_those_that_break_the_way_alone_the_one_is_next_that_waits_longest(
    world: World, broken: ThroughcareError
) -> None:
    for _ in range(3):
        await world.prison.compose(world.probation.desk)
    while await world.prison.parts.sealer.step():
        world.hub.clock.advance(SECOND)
    link = ScriptedLink(*[Raised(broken)] * 15)
    for _ in range(15):
        with suppress(type(broken)):
            await world.prison.parts.outbox.step(link)
        world.hub.clock.advance(SECOND)
    alone = [handed[0] for handed in link.handed if len(handed) == 1]
    # 64, 32, 16, 8, 4 and 2 at once, and then one by one, around and around.
    assert len(alone) == 9
    assert len(set(alone[:3])) == 3
    assert alone == alone[:3] * 3


async def test_con_2_a_permanent_error_is_shown_at_once(world: World) -> None:
    queued = await world.prison.compose(world.probation.desk)
    await world.prison.parts.sealer.step()
    await world.prison.parts.outbox.step(ScriptedLink(MalformedEnvelope()))
    (recipient,) = (await world.prison.view(queued.id)).recipients
    assert (recipient.state, recipient.error) == (MessageState.FAILED, "malformed-envelope")
    assert recipient.detail == MalformedEnvelope.default
    assert await world.prison.parts.outbox.next_due() is None


async def test_con_2_transient_errors_are_tried_again_with_growing_pauses_and_shown(world: World) -> None:
    queued = await world.prison.compose(world.probation.desk)
    await world.prison.parts.sealer.step()
    pauses = []
    for _ in range(6):
        await world.prison.parts.outbox.step(ScriptedLink(Unavailable()))
        due = await world.prison.parts.outbox.next_due()
        assert due is not None
        pauses.append(due - world.hub.clock())
        world.hub.clock.advance(pauses[-1])
    assert all(later > earlier / 2 for earlier, later in itertools.pairwise(pauses))
    assert pauses[-1] > 8 * pauses[0]
    assert await world.prison.states(queued.id) == {world.probation.desk: MessageState.QUEUED}


async def test_http_14_a_connector_that_is_told_to_slow_down_waits_as_long_and_loses_nothing(world: World) -> None:
    await world.prison.compose(world.probation.desk)
    await world.prison.parts.sealer.step()
    stored = await sealed_bytes(world.prison)
    slower = TooManyRequests()
    slower.retry_after = 20
    link = ScriptedLink(*[slower] * 12)
    for _ in range(12):
        assert await world.prison.parts.outbox.step(link) == 1
        assert await world.prison.parts.outbox.step(link) == 0
        due = await world.prison.parts.outbox.next_due()
        assert due is not None
        # However often it is told: the wait is what the hub says, with some chance, and does not grow.
        assert 20 * SECOND <= due - world.hub.clock() < 40 * SECOND
        world.hub.clock.advance(due - world.hub.clock())
    assert link.handed == [stored] * 12
    assert await world.prison.seal_and_send() == 1


async def test_con_2_a_hub_that_says_how_long_to_wait_is_not_asked_before(world: World) -> None:
    await world.prison.compose(world.probation.desk)
    await world.prison.parts.sealer.step()
    busy = Unavailable()
    busy.retry_after = 90
    await world.prison.parts.outbox.step(ScriptedLink(busy))
    due = await world.prison.parts.outbox.next_due()
    assert due is not None
    assert due - world.hub.clock() >= 90 * SECOND
    assert await world.prison.parts.outbox.step(ScriptedLink()) == 0


async def test_con_2_a_message_is_never_given_up_before_its_deadline_and_then_visibly(world: World) -> None:
    queued = await world.prison.compose(world.probation.desk)
    world.hub.clock.advance(179 * DAY)
    with pytest.raises(Exception, match="72 hours"):
        await world.prison.parts.sealer.step()
    assert await world.prison.states(queued.id) == {world.probation.desk: MessageState.QUEUED}
    world.hub.clock.advance(DAY)
    await world.prison.parts.sealer.step()
    assert await world.prison.states(queued.id) == {world.probation.desk: MessageState.EXPIRED}


async def test_con_2_what_the_hub_took_and_nobody_opened_is_given_up_at_its_deadline(world: World) -> None:
    prison, clock = world.prison, world.hub.clock

    async def accepted() -> MessageId:
        queued = await prison.compose(world.probation.desk)
        await prison.seal_and_send()
        assert await prison.states(queued.id) == {world.probation.desk: MessageState.ACCEPTED}
        return queued.id

    first = await accepted()
    # Somebody set the clock a year ahead, and back: what is composed then has an earlier deadline.
    clock.advance(365 * DAY)
    await prison.parts.sealer.step()
    assert await prison.states(first) == {world.probation.desk: MessageState.EXPIRED}
    clock.advance(-365 * DAY)
    second = await accepted()
    for days, state in ((179, MessageState.ACCEPTED), (1, MessageState.EXPIRED)):
        clock.advance(days * DAY)
        await prison.parts.sealer.step()
        assert await prison.states(second) == {world.probation.desk: state}


def test_con_2_pauses_grow_to_an_hour_and_are_jittered() -> None:
    longest = [pause(tries, lambda: 1.0) for tries in range(30)]
    shortest = [pause(tries, lambda: 0.0) for tries in range(30)]
    assert longest == sorted(longest)
    assert max(longest) == LONGEST_PAUSE
    assert min(shortest) >= SECOND // 2
    assert all(low < high for low, high in zip(shortest, longest, strict=True))
    assert patience(0, lambda: 1.0) == 5 * SECOND
    assert patience(30 * DAY, lambda: 1.0) == LONGEST_PAUSE


async def test_the_hub_is_killed_and_started_again_in_mid_send_and_nothing_is_lost(
    tmp_path: Path, hub_folder: Path, programme: Programme, relay: LyingHub
) -> None:
    clock = TestClock(programme.now)
    members = programme.members
    for name in ("prison", "probation"):
        (tmp_path / name).mkdir()
    installed = install(tmp_path / "prison", members["gora-prison"], programme, relay.url)
    other = install(tmp_path / "probation", members["reka-probation"], programme, relay.url)
    async with (
        open_station(tmp_path / "prison", members["gora-prison"], installed, clock) as prison,
        open_station(tmp_path / "probation", members["reka-probation"], other, clock) as probation,
    ):
        async with RunningHub(hub_folder, programme, clock) as first:
            relay.target = first.url
            await prison.look()
            sent = [(await prison.compose(probation.desk)).id for _ in range(5)]
            # The hub accepts and answers, and no answer arrives.
            relay.lose_answers.add(ENVELOPES)
            with pytest.raises(HubUnreachable):
                await prison.seal_and_send()
        relay.target = None
        with pytest.raises(HubUnreachable):
            await prison.seal_and_send()
        relay.lose_answers.clear()
        async with RunningHub(hub_folder, programme, clock) as second:
            relay.target = second.url
            await prison.seal_and_send()
            await probation.look()
            await probation.turn()
            await prison.collect()
            for message_id in sent:
                assert await prison.states(message_id) == {probation.desk: MessageState.OPENED}
            status = await probation.parts.overview.status()
            assert (status.counts.received, status.counts.quarantined) == (5, 0)


async def test_every_lost_answer_repeated_has_one_effect(world: World, relay: LyingHub, hub: RunningHub) -> None:
    relay.target = hub.url
    prison = world.prison
    again = open_station(prison.folder, prison.member, prison.installation, hub.clock, relay.url)
    async with again as through_relay:
        sent = await prison.compose(world.probation.desk)
        relay.lose_answers.add(ENVELOPES)
        for _ in range(3):
            with pytest.raises(HubUnreachable):
                await through_relay.seal_and_send()
        relay.lose_answers.clear()
        assert await through_relay.seal_and_send() == 1
    bodies = relay.paths(ENVELOPES)
    assert len(bodies) == 4
    assert len(set(bodies)) == 1
    await world.probation.turn()
    assert (await world.probation.parts.overview.status()).counts.received == 1
    assert await prison.states(sent.id) == {world.probation.desk: MessageState.ACCEPTED}


@pytest.mark.parametrize("lie", ["garbage", "other envelope", "flipped bit", "other origin"])
async def test_aud_6_a_receipt_that_does_not_verify_counts_for_nothing(world: World, lie: str) -> None:
    first = await world.prison.compose(world.probation.desk)
    await world.prison.seal_and_send()
    receipt = (await world.prison.view(first.id)).recipients[0].receipt
    assert receipt is not None
    second = await world.prison.compose(world.probation.desk)
    await world.prison.parts.sealer.step()
    lies = {
        "garbage": b"\x00",
        "other envelope": receipt,
        "flipped bit": receipt[:-1] + bytes([receipt[-1] ^ 1]),
        "other origin": b"",
    }
    await world.prison.parts.outbox.step(ScriptedLink(lies[lie]))
    assert await world.prison.states(second.id) == {world.probation.desk: MessageState.QUEUED}
    # It is not forgotten either: the same bytes go to an honest answer.
    world.hub.clock.advance(MINUTE)
    await world.prison.seal_and_send()
    assert await world.prison.states(second.id) == {world.probation.desk: MessageState.ACCEPTED}


async def test_seq_4_an_envelope_that_lapsed_before_the_hub_had_it_is_sealed_anew(world: World) -> None:
    queued = await world.prison.compose(world.probation.desk)
    await world.prison.parts.sealer.step()
    (before,) = await sealed_bytes(world.prison)
    world.hub.clock.advance(31 * DAY)
    await world.prison.look()
    assert await world.prison.seal_and_send() == 0
    assert await world.prison.seal_and_send() == 1
    (recipient,) = (await world.prison.view(queued.id)).recipients
    assert (recipient.state, recipient.attempts) == (MessageState.ACCEPTED, 2)
    await world.probation.look()
    await world.probation.turn()
    assert (await world.probation.view(queued.id)).state is MessageState.RECEIVED
    assert before not in await sealed_bytes(world.prison)


async def test_a_desk_that_cannot_be_reached_yet_waits_and_the_others_do_not(world: World) -> None:
    prison, hub = world.prison, world.hub
    hub.programme.now = hub.clock()
    member = hub.programme.enrol("nova-ngo", "ngo", {"intake": "ngo"})
    hub.programme.revoke_device(member)
    await hub.catch_up()
    await prison.look()
    queued = await prison.compose(world.probation.desk)
    async with prison.parts.store.write() as tx:
        message = await outgoing.load(tx, queued.id)
        await outgoing.add(
            tx,
            replace(message, message_id=type(queued.id)(bytes(16))),
            {member.desk: recipients.Plan(), world.social_work.desk: recipients.Plan()},
        )
    await prison.seal_and_send()
    rows = {}
    async with prison.parts.store.read() as tx:
        for row in await recipients.of(tx, type(queued.id)(bytes(16))):
            rows[row.desk] = row
    assert rows[world.social_work.desk].state is recipients.RecipientState.ACCEPTED
    assert rows[member.desk].state is recipients.RecipientState.QUEUED
    assert rows[member.desk].error == RecipientUnavailable.code
    assert rows[member.desk].next_try_at > hub.clock()


async def test_many_messages_at_once_keep_content_recipient_and_receipt_together(world: World) -> None:
    from tests.connectors.stations import package, person_section

    desks = (world.probation.desk, world.social_work.desk)
    queued = await asyncio.gather(
        *(
            world.prison.compose(desks[number % 2], content=package(person_section(f"canary-{number}")))
            for number in range(32)
        )
    )
    await world.prison.seal_and_send()
    await asyncio.gather(world.probation.turn(), world.social_work.turn())
    await world.prison.collect()
    for number, one in enumerate(queued):
        station = (world.probation, world.social_work)[number % 2]
        view = await station.view(one.id)
        assert [section.body["family_name"] for section in view.sections] == [f"canary-{number}"]
        assert await world.prison.states(one.id) == {desks[number % 2]: MessageState.OPENED}
