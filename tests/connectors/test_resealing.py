# SPDX-License-Identifier: Apache-2.0
"""Sealing anew, weeks offline, and what receipts may and may not do."""

from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete

from connectors.composition import Composer, Share
from connectors.handover_form import HandoverComposer
from connectors.receipts import CANNOT_OPEN
from connectors.store import recipients
from connectors.store.outgoing import OutgoingMessage
from connectors.timing import FREE_SEALS
from hub.store.tables import metadata
from keys.sealing import SectionDraft
from keys.signing import sign_receipt
from protocol.frames import Item, ItemKind
from protocol.http.handovers import HandoverFilter, MessageState
from protocol.limits import DAY, MINUTE
from protocol.receipts import Detail, Leaf, ReceiptBody, ReceiptKind, commitment, parse_receipt
from tests.connectors.conftest import World
from tests.connectors.hand import digest_of, only_recipient, say
from tests.connectors.stations import Station, install, open_station
from tests.hub.running import KEYS, RunningHub

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")

hub_tables = metadata.tables


async def pass_time(world: World, days: int, *stations: Station) -> None:
    """Let days pass; the hub does its rounds, and `stations` look at the directory once at the end."""
    world.hub.clock.advance(days * DAY)
    await world.hub.hub.expiry.expire()
    for station in stations:
        await station.look()


# Weeks offline


async def test_seq_4_a_desk_that_was_offline_for_weeks_catches_up(world: World) -> None:
    """Attack 41 at the sender: nothing is sealed to a prekey of over 60 days."""
    sent = await world.prison.send(world.probation.desk, world.social_work.desk)
    await world.social_work.turn()
    await world.prison.collect()
    for days in (31, 32):
        await pass_time(world, days, world.prison)
        await world.prison.turn()
    rows = {one.desk: one for one in (await world.prison.view(sent)).recipients}
    assert rows[world.social_work.desk].state is MessageState.OPENED
    # Its newest prekey is over 60 days old, so nothing is sealed to it; it is shown, not forgotten.
    missed = rows[world.probation.desk]
    assert (missed.state, missed.error, missed.attempts) == (MessageState.QUEUED, "untrusted-key", 2)
    # It comes back: publishes a prekey, and what waited is sealed to that.
    await world.probation.look()
    await world.prison.look()
    await world.prison.seal_and_send()
    await world.probation.turn()
    assert len((await world.probation.view(sent)).sections) == 2
    await world.prison.collect()
    assert set((await world.prison.states(sent)).values()) == {MessageState.OPENED}
    assert await world.probation.quarantined() == []


async def test_http_11_an_envelope_that_expired_uncollected_is_sealed_anew_for_whoever_missed_it(world: World) -> None:
    sent = await world.prison.send(world.probation.desk, world.social_work.desk)
    await world.social_work.turn()
    await world.prison.collect()
    await pass_time(world, 31, world.prison)
    await world.probation.look()
    await world.prison.look()
    await world.prison.turn()
    rows = {one.desk: one for one in (await world.prison.view(sent)).recipients}
    assert (rows[world.probation.desk].attempts, rows[world.social_work.desk].attempts) == (2, 1)
    assert rows[world.probation.desk].state is MessageState.ACCEPTED
    await world.probation.turn()
    assert len((await world.probation.view(sent)).sections) == 2


async def test_con_2_after_the_deadline_an_expired_envelope_is_given_up_visibly(world: World) -> None:
    sent = await world.prison.send(world.probation.desk)
    async with world.prison.parts.store.write() as tx:
        from sqlalchemy import update

        from connectors.store.tables import outgoing as table

        await tx.connection.execute(update(table).values(deadline=world.hub.clock() + 31 * DAY))
    await pass_time(world, 32)
    await world.prison.collect()
    recipient = await only_recipient(world.prison, sent)
    assert (recipient.state, recipient.error) == (MessageState.EXPIRED, "expired")


@pytest.mark.parametrize(
    "lie", ["another hub's key", "accepted, not expired", "of an unknown envelope", "other digest"]
)
async def test_http_11_a_notice_that_is_not_the_hub_s_or_not_ours_changes_nothing(world: World, lie: str) -> None:
    sent = await world.prison.send(world.probation.desk)
    receipt = (await only_recipient(world.prison, sent)).receipt
    assert receipt is not None
    genuine = parse_receipt(receipt).body.detail
    detail = replace(genuine, kind=ReceiptKind.EXPIRED)
    if lie == "accepted, not expired":
        detail = genuine
    elif lie == "of an unknown envelope":
        detail = replace(detail, envelope_id=type(detail.envelope_id)(bytes(16)))
    elif lie == "other digest":
        detail = replace(detail, digest=bytes(32))
    key = KEYS.directory if lie == "another hub's key" else KEYS.audit
    notice = signed_receipt(detail, key, index=9)
    await world.prison.parts.inbox.take((Item(9, ItemKind.NOTICE, notice),))
    assert (await only_recipient(world.prison, sent)).state is MessageState.ACCEPTED
    assert len(await world.prison.quarantined()) == 1


def signed_receipt(detail: Detail, key: object, *, index: int) -> bytes:
    """Return a receipt as the hub would sign it, or as somebody else would."""
    salt = bytes(32)
    body = ReceiptBody(
        kind=detail.kind,
        origin="hub.example/audit",
        index=index,
        size=index + 1,
        root=bytes(32),
        leaf_bytes=Leaf(1_800_000_000_000, commitment(salt, detail.encode()), bytes(16)).encode(),
        salt=salt,
        detail_bytes=detail.encode(),
    )
    return sign_receipt(body.encode(), key)  # type: ignore[arg-type]


# A hub that says nothing


async def drop_everything(world: World) -> None:
    """Have the hub lose all mail without a word, as a liar or a bad restore does."""

    def lose(connection: Connection) -> None:
        for name in ("delivery", "section", "envelope"):
            connection.execute(delete(hub_tables[name]))

    await world.hub.hub.store.write(lose)


async def test_con_13_what_the_hub_dropped_without_a_word_is_sealed_anew_a_day_after_its_end(world: World) -> None:
    sent = await world.prison.send(world.probation.desk)
    await drop_everything(world)
    resealing, clock = world.prison.parts.resealing, world.hub.clock
    for days in (30, 1):
        assert await resealing.follow_silence(clock()) == 0
        await pass_time(world, days, world.probation, world.prison)
        await world.prison.turn()
    assert (await only_recipient(world.prison, sent)).state is MessageState.ACCEPTED
    # Not by the calendar alone: the mailbox may hold what was not read yet.
    assert await resealing.follow_silence(None) == 0
    assert await resealing.follow_silence(clock() - 1) == 0
    assert await resealing.follow_silence(clock()) == 1
    assert (await only_recipient(world.prison, sent)).error == "no-notice"
    await world.prison.seal_and_send()
    await world.probation.turn()
    await world.prison.turn()
    recipient = await only_recipient(world.prison, sent)
    assert (recipient.state, recipient.attempts) == (MessageState.OPENED, 2)
    assert await resealing.follow_silence(clock() + 365 * DAY) == 0


async def test_con_13_a_message_that_was_collected_meanwhile_has_no_second_effect(world: World) -> None:
    """The desk took it, and its receipt never came through."""
    sent = await world.prison.send(world.probation.desk)
    await world.probation.collect()
    await pass_time(world, 31, world.probation, world.prison)
    assert await world.prison.parts.resealing.follow_silence(world.hub.clock()) == 1
    await world.prison.seal_and_send()
    await world.probation.turn()
    await world.prison.turn()
    assert (await only_recipient(world.prison, sent)).state is MessageState.OPENED
    received = await world.probation.parts.handovers.list(HandoverFilter())
    assert [item.id for item in received.items] == [sent]
    assert await world.probation.quarantined() == []


# A device that was replaced


async def test_seq_4_a_replaced_device_gets_nothing_old_and_the_sender_seals_anew(
    world: World, hub: RunningHub, tmp_path: Path
) -> None:
    """Section 5, attack 6."""
    sent = await world.prison.send(world.probation.desk, world.social_work.desk)
    hub.programme.now = hub.clock()
    hub.programme.replace_device(world.probation.member, "the new laptop")
    await hub.catch_up()
    folder = tmp_path / "new laptop"
    folder.mkdir()
    installation = install(folder, world.probation.member, hub.programme, hub.url)
    async with open_station(folder, world.probation.member, installation, hub.clock) as new:
        await new.look()
        assert await new.collect() == 0
        await world.prison.look()
        await world.prison.seal_and_send()
        await new.turn()
        assert [one.category for one in (await new.view(sent)).sections] == ["identity", "risk-summary"]
        await world.prison.collect()
    rows = {one.desk: one for one in (await world.prison.view(sent)).recipients}
    assert (rows[world.probation.desk].state, rows[world.probation.desk].attempts) == (MessageState.OPENED, 2)
    assert (rows[world.social_work.desk].state, rows[world.social_work.desk].attempts) == (MessageState.ACCEPTED, 1)


async def test_con_7_what_may_go_is_decided_again_at_every_sealing(
    world: World, hub: RunningHub, tmp_path: Path
) -> None:
    sent = await world.prison.send(world.probation.desk)
    hub.programme.now = hub.clock()
    hub.programme.replace_device(world.probation.member, "another laptop")
    await hub.catch_up()

    class Stricter:
        """The rules as they stand later: no risk summaries."""

        def sections(self, message: OutgoingMessage) -> tuple[SectionDraft, ...]:
            return HandoverComposer().sections(message)

        def share(self, message: OutgoingMessage, function: str) -> Share:
            return Share(included=(0,), withheld=(("risk-summary", "never-for-this-function"),))

    composers: dict[str, Composer] = {**world.prison.parts.sealer._composers, "handover.offer": Stricter()}
    world.prison.parts.sealer._composers = composers
    folder = tmp_path / "another laptop"
    folder.mkdir()
    installation = install(folder, world.probation.member, hub.programme, hub.url)
    async with open_station(folder, world.probation.member, installation, hub.clock) as new:
        await world.prison.look()
        await world.prison.seal_and_send()
        await new.look()
        await new.collect()
        assert [one.category for one in (await new.view(sent)).sections] == ["identity"]
    recipient = await only_recipient(world.prison, sent)
    assert [one.category for one in recipient.withheld] == ["risk-summary"]


async def test_con_7_when_nothing_may_go_any_more_the_message_fails_visibly(world: World, hub: RunningHub) -> None:
    queued = await world.prison.compose(world.probation.desk)

    class Nothing:
        """Rules under which nothing goes."""

        def sections(self, message: OutgoingMessage) -> tuple[SectionDraft, ...]:
            return HandoverComposer().sections(message)

        def share(self, message: OutgoingMessage, function: str) -> Share:
            return Share()

    composers: dict[str, Composer] = {"handover.offer": Nothing()}
    world.prison.parts.sealer._composers = composers
    await world.prison.seal_and_send()
    recipient = await only_recipient(world.prison, queued.id)
    assert (recipient.state, recipient.error) == (MessageState.FAILED, "nothing-to-send")


async def test_an_unsent_envelope_for_a_replaced_device_is_not_sent(world: World, hub: RunningHub) -> None:
    queued = await world.prison.compose(world.probation.desk, world.social_work.desk)
    await world.prison.parts.sealer.step()
    hub.programme.now = hub.clock()
    hub.programme.replace_device(world.probation.member, "third laptop")
    await hub.catch_up()
    await world.prison.look()
    await world.prison.seal_and_send()
    assert set((await world.prison.states(queued.id)).values()) == {MessageState.ACCEPTED}
    assert all(one.attempts == 2 for one in (await world.prison.view(queued.id)).recipients)


async def test_a_refusal_because_the_directory_moved_on_is_mended_by_a_fresh_sealing(
    world: World, hub: RunningHub
) -> None:
    queued = await world.prison.compose(world.probation.desk)
    await world.prison.parts.sealer.step()
    hub.programme.now = hub.clock()
    hub.programme.replace_device(world.probation.member, "fourth laptop")
    await hub.catch_up()
    # The prison has not looked: the hub refuses the old device's row.
    await world.prison.parts.outbox.step(world.prison.link)
    assert (await only_recipient(world.prison, queued.id)).error == "recipient-unavailable"
    await world.prison.look()
    await world.prison.seal_and_send()
    assert (await only_recipient(world.prison, queued.id)).state is MessageState.ACCEPTED


# What cannot be opened


async def test_con_4_a_desk_that_cannot_open_says_so_and_gets_it_sealed_anew_at_once_and_then_with_pauses(
    world: World,
) -> None:
    sent = await world.prison.send(world.probation.desk)
    kept = world.probation.installation.keystore
    kept.destroy("prekey-1")
    for round_ in range(1, FREE_SEALS + 2):
        await world.probation.turn()
        assert await world.probation.quarantined() == ["cannot-open"] * round_
        await world.prison.turn()
    recipient = await only_recipient(world.prison, sent)
    assert (recipient.state, recipient.error) == (MessageState.QUEUED, "cannot-open")
    assert recipient.attempts == FREE_SEALS + 1
    world.hub.clock.advance(5 * MINUTE)
    await world.prison.seal_and_send()
    recipient = await only_recipient(world.prison, sent)
    assert (recipient.state, recipient.attempts) == (MessageState.ACCEPTED, FREE_SEALS + 2)


async def test_con_4_a_fresh_prekey_mends_what_could_not_be_opened(world: World) -> None:
    sent = await world.prison.send(world.probation.desk)
    world.probation.installation.keystore.destroy("prekey-1")
    world.hub.clock.advance(8 * DAY)
    await world.probation.look()
    await world.probation.turn()
    assert await world.probation.quarantined() == ["cannot-open"]
    await world.prison.look()
    await world.prison.turn()
    await world.probation.turn()
    await world.prison.collect()
    assert (await only_recipient(world.prison, sent)).state is MessageState.OPENED
    assert (await world.probation.view(sent)).state is MessageState.RECEIVED


async def test_con_4_a_late_report_about_an_earlier_sealing_changes_nothing(world: World) -> None:
    sent = await world.prison.send(world.probation.desk)
    first = await digest_of(world.prison, sent)
    async with world.prison.parts.store.write() as tx:
        row = await recipients.find(tx, sent, world.probation.desk)
        await recipients.requeue(tx, row, now=0, error=None)
    await world.prison.seal_and_send()
    await say(world.probation, CANNOT_OPEN, world.prison.desk, first, None)
    await world.prison.turn()
    recipient = await only_recipient(world.prison, sent)
    assert (recipient.state, recipient.attempts) == (MessageState.ACCEPTED, 2)
    assert await world.prison.quarantined() == []


async def test_the_first_sealing_is_one_envelope_and_the_next_one_for_each_desk(world: World) -> None:
    await world.prison.compose(world.probation.desk, world.social_work.desk)
    assert await world.prison.seal_and_send() == 1
    async with AsyncExitStack(), world.prison.parts.store.write() as tx:
        for desk in (world.probation.desk, world.social_work.desk):
            queued = (await world.prison.parts.handovers.list(HandoverFilter())).items[0]
            await recipients.requeue(tx, await recipients.find(tx, queued.id, desk), now=0, error=None)
    assert await world.prison.seal_and_send() == 2
