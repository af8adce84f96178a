# SPDX-License-Identifier: Apache-2.0
"""Nobody can make a sender seal without end: not the hub, not an agency that moves to and fro."""

from sqlalchemy import func, select

from connectors.store import attempts, recipients
from connectors.store.tables import attempt
from connectors.timing import FREE_SEALS, MOST_SEALS, refused_pause, reseal_pause
from keys.signing import sign_receipt
from protocol.frames import Item, ItemKind
from protocol.http.handovers import MessageState
from protocol.ids import MessageId
from protocol.limits import DAY, HOUR, MINUTE, SECOND
from protocol.receipts import Detail, Leaf, ReceiptBody, ReceiptKind, commitment
from tests.connectors.conftest import World
from tests.connectors.hand import count, only_recipient
from tests.connectors.stations import Station
from tests.hub.running import KEYS


async def notice(station: Station, message_id: MessageId, *, at: int | None, index: int) -> Item:
    """Return the hub's word that the newest sealing of a message expired, `at` a time or when it does."""
    async with station.parts.store.read() as tx:
        (row,) = await recipients.of(tx, message_id)
        assert row.envelope_id is not None
        sealing = await attempts.by_id(tx, row.envelope_id)
    assert sealing is not None
    directory = station.parts.directory.directory
    detail = Detail(
        ReceiptKind.EXPIRED, sealing.envelope_id, sealing.digest, station.desk, directory.size, directory.root
    ).encode()
    salt = bytes(32)
    leaf = Leaf(sealing.expires if at is None else at, commitment(salt, detail), bytes(16)).encode()
    body = ReceiptBody(ReceiptKind.EXPIRED, "hub.example/audit", index, index + 1, bytes(32), leaf, salt, detail)
    return Item(index, ItemKind.NOTICE, sign_receipt(body.encode(), KEYS.audit))


async def test_seq_6_a_notice_of_expiry_before_its_time_changes_nothing_and_is_kept(world: World) -> None:
    sent = await world.prison.send(world.probation.desk)
    item = await notice(world.prison, sent, at=world.hub.clock(), index=900)
    await world.prison.parts.inbox.take((item,))
    assert await world.prison.seal_and_send() == 0
    recipient = await only_recipient(world.prison, sent)
    assert (recipient.state, recipient.attempts) == (MessageState.ACCEPTED, 1)
    assert await world.prison.quarantined() == ["policy-denied"]


async def test_seq_6_pauses_grow_and_the_number_of_sealings_is_bounded(world: World) -> None:
    sent = await world.prison.send(world.probation.desk)
    for index in range(1_000, 1_010):
        await world.prison.parts.inbox.take((await notice(world.prison, sent, at=None, index=index),))
        await world.prison.seal_and_send()
    assert (await only_recipient(world.prison, sent)).attempts == FREE_SEALS + 1
    async with world.prison.parts.store.write() as tx:
        for _ in range(MOST_SEALS):
            (row,) = await recipients.of(tx, sent)
            await recipients.sealed(tx, row, row.envelope_id, row.plan)  # type: ignore[arg-type]
        (row,) = await recipients.of(tx, sent)
        await recipients.requeue(tx, row, now=0, error="expired")
    recipient = await only_recipient(world.prison, sent)
    assert (recipient.state, recipient.error) == (MessageState.FAILED, "expired")


def test_seq_6_pauses_before_a_fresh_sealing() -> None:
    assert [reseal_pause(seals, lambda: 1.0) for seals in (1, 4, 5, 6, 30)] == [0, 0, 5 * MINUTE, 10 * MINUTE, DAY]
    assert [refused_pause(seals, lambda: 1.0) for seals in (1, 2, 30)] == [5 * MINUTE, 10 * MINUTE, DAY]
    assert refused_pause(1, lambda: 0.0) == 150 * SECOND


async def test_con_2_what_the_hub_refuses_for_a_newer_directory_waits_for_that_directory(world: World) -> None:
    queued = await world.prison.compose(world.probation.desk)
    world.hub.programme.now = world.hub.clock()
    world.hub.programme.replace_device(world.probation.member, "a replacement")
    await world.hub.catch_up()
    prison = world.prison
    prison.parts.directory.wanted.clear()
    for _ in range(60):
        await prison.seal_and_send()
        world.hub.clock.advance(SECOND)
    assert prison.parts.directory.wanted.is_set()
    assert await count(prison, "attempt") == 1
    await prison.look()
    await prison.seal_and_send()
    assert (await only_recipient(prison, queued.id)).state is MessageState.ACCEPTED
    assert await count(prison, "attempt") == 2


async def test_con_2_a_handover_that_the_hub_drops_is_shown_when_its_date_passes(world: World) -> None:
    sent = await world.prison.send(world.probation.desk)
    receipts = await world.social_work.send(world.probation.desk)
    await world.probation.turn()
    await world.social_work.collect()
    world.hub.clock.advance(200 * DAY)
    for station in (world.prison, world.social_work, world.probation):
        await station.parts.sealer.step()
    assert (await only_recipient(world.social_work, receipts)).state is MessageState.OPENED
    recipient = await only_recipient(world.prison, sent)
    # The hub lost what came back; the receiver's own receipts are not counted as failures for want of an answer.
    assert (recipient.state, recipient.error) == (MessageState.EXPIRED, "expired")
    assert (await world.probation.parts.overview.status()).counts.failed == 0


async def test_seq_6_an_agency_that_moves_to_and_fro_gains_nothing(world: World) -> None:
    sent = await world.prison.send(world.probation.desk)
    programme, member = world.hub.programme, world.probation.member
    for number in range(10):
        programme.now = world.hub.clock()
        programme.replace_device(member, f"device {number}")
        await world.hub.catch_up()
        await world.prison.look()
        await world.prison.seal_and_send()
        world.hub.clock.advance(SECOND)
    assert (await only_recipient(world.prison, sent)).attempts == FREE_SEALS + 1
    world.hub.clock.advance(HOUR)
    await world.prison.look()
    await world.prison.seal_and_send()
    async with world.prison.parts.store.read() as tx:
        assert (await tx.connection.execute(select(func.count()).select_from(attempt))).scalar_one() == FREE_SEALS + 2
