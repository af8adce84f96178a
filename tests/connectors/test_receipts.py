# SPDX-License-Identifier: Apache-2.0
"""What receipts may do, and what they may not: they count for one's own messages only (CON-4)."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from connectors.receipts import CANNOT_OPEN, OPENED, Report, read_report, report
from connectors.store import attempts, outgoing, recipients, restored
from connectors.store.recipients import Plan
from protocol.content import encode_payload
from protocol.errors import MalformedEnvelope, PolicyDenied
from protocol.http.handovers import MessageState
from protocol.ids import KeyId, Kind, MessageId, text
from protocol.limits import DAY
from tests.connectors.cases.test_referral import history, refer, row
from tests.connectors.conftest import World
from tests.connectors.hand import claimed, digest_of, only_recipient, say
from tests.connectors.stations import Station
from tests.hub.running import RunningHub

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")


@pytest.mark.parametrize("payload_type", [OPENED, CANNOT_OPEN])
async def test_con_4_an_agency_that_was_no_recipient_cannot_speak_for_one_that_was(
    world: World, payload_type: str
) -> None:
    sent = await world.prison.send(world.probation.desk)
    await say(world.social_work, payload_type, world.prison.desk, await digest_of(world.prison, sent), sent)
    await world.prison.collect()
    assert await world.prison.quarantined() == ["policy-denied"]
    assert (await only_recipient(world.prison, sent)).state is MessageState.ACCEPTED


async def test_con_4_a_device_that_was_sent_nothing_cannot_speak_for_the_desk(world: World) -> None:
    sent = await world.prison.send(world.probation.desk)
    said = Report(digest=(await digest_of(world.prison, sent)).hex(), message_id=text(Kind.MESSAGE, sent))
    other = KeyId(bytes(32))
    async with world.prison.parts.store.write() as tx:
        with pytest.raises(PolicyDenied):
            await world.prison.parts.resealing.report(tx, claimed(OPENED, world.probation.desk, other), said)
    assert (await only_recipient(world.prison, sent)).state is MessageState.ACCEPTED


async def test_con_4_a_restored_sender_believes_a_receipt_of_a_sealing_that_it_lost(world: World) -> None:
    """A machine before this one sealed the message after the backup was made; that it was opened binds both."""
    sent = await world.prison.send(world.probation.desk)
    said = Report(digest=bytes(32).hex(), message_id=text(Kind.MESSAGE, sent))
    resealing, own = world.prison.parts.resealing, world.prison.desk
    by = claimed(OPENED, world.probation.desk, KeyId(bytes(32)), own)
    async with world.prison.parts.store.write() as tx:
        with pytest.raises(PolicyDenied):
            await resealing.report(tx, by, said)
        await restored.note(tx)
        with pytest.raises(PolicyDenied):
            await resealing.report(tx, claimed(OPENED, world.social_work.desk, KeyId(bytes(32)), own), said)
        await resealing.report(tx, by, said)
    assert (await only_recipient(world.prison, sent)).state is MessageState.OPENED


async def test_con_4_a_receipt_for_somebody_else_s_message_is_quarantined(world: World) -> None:
    at_prison = await world.prison.send(world.probation.desk)
    digest = await digest_of(world.prison, at_prison)
    await say(world.probation, OPENED, world.social_work.desk, digest, at_prison)
    await world.social_work.collect()
    assert await world.social_work.quarantined() == ["policy-denied"]


async def test_con_4_a_receipt_that_names_another_message_than_its_envelope_is_quarantined(world: World) -> None:
    first = await world.prison.send(world.probation.desk)
    second = await world.prison.send(world.probation.desk)
    await say(world.probation, OPENED, world.prison.desk, await digest_of(world.prison, first), second)
    await world.prison.collect()
    assert await world.prison.quarantined() == ["policy-denied"]
    assert (await only_recipient(world.prison, second)).state is MessageState.ACCEPTED


async def test_con_4_what_was_opened_stays_opened_whatever_is_said_later(world: World) -> None:
    sent = await world.prison.send(world.probation.desk)
    await world.probation.turn()
    await world.prison.collect()
    await say(world.probation, CANNOT_OPEN, world.prison.desk, await digest_of(world.prison, sent), sent)
    await world.prison.turn()
    recipient = await only_recipient(world.prison, sent)
    assert (recipient.state, recipient.attempts) == (MessageState.OPENED, 1)
    async with world.prison.parts.store.write() as tx:
        await recipients.fail(tx, sent, [world.probation.desk], "cannot-open")
        await recipients.expire(tx, sent, [world.probation.desk])
    assert (await only_recipient(world.prison, sent)).state is MessageState.OPENED


async def test_con_4_a_late_receipt_reconciles_a_message_that_was_given_up(world: World) -> None:
    sent = await world.prison.send(world.probation.desk)
    await world.probation.turn()
    async with world.prison.parts.store.write() as tx:
        await recipients.expire(tx, sent, [world.probation.desk])
    await world.prison.collect()
    assert (await only_recipient(world.prison, sent)).state is MessageState.OPENED


async def test_con_4_a_receipt_that_overtakes_the_hub_s_answer_is_kept(world: World, hub: RunningHub) -> None:
    queued = await world.prison.compose(world.probation.desk)
    await world.prison.parts.sealer.step()

    class Slow:
        """Hands the envelope over and lets the recipient open it before the hub's answer is back."""

        async def reach(self) -> None:
            return None

        async def submit(self, envelopes: Sequence[bytes]) -> list[object]:
            outcomes = await world.prison.link.submit(envelopes)
            await world.probation.turn()
            await world.prison.collect()
            return list(outcomes)

    await world.prison.parts.outbox.step(Slow())  # type: ignore[arg-type]
    recipient = await only_recipient(world.prison, queued.id)
    assert recipient.state is MessageState.OPENED
    assert recipient.accepted_at is not None
    assert recipient.receipt is not None


@pytest.mark.parametrize(
    "payload",
    [b"", b"{}", b'{"digest":"00"}', b'{"digest": "' + b"0" * 64 + b'"}', b'{"digest":"' + b"0" * 64 + b'","x":1}'],
)
def test_con_4_a_receipt_has_one_spelling(payload: bytes) -> None:
    with pytest.raises(MalformedEnvelope):
        read_report(payload)


def test_con_4_a_receipt_names_a_message_or_none() -> None:
    assert read_report(b'{"digest":"' + b"0" * 64 + b'"}').message is None
    with pytest.raises(MalformedEnvelope):
        _ = read_report(b'{"digest":"' + b"0" * 64 + b'","message_id":"msg_x"}').message


@pytest.mark.parametrize(("further", "quarantined"), [(0, []), (1, ["places-differ"])])
async def test_con_20_two_places_of_one_message_are_shown_and_ours_counts(
    world: World, further: int, quarantined: list[str]
) -> None:
    prison, csw = world.prison, world.social_work
    referred = await refer(prison, csw)
    await prison.seal_and_send()
    (item,) = await csw.link.receive(await csw.parts.inbox.cursor())
    now = world.hub.clock()
    said = report(
        OPENED,
        digest=await digest_at(prison, referred.message_id, csw),
        message_id=referred.message_id,
        thread=referred.thread,
        sender=csw.desk,
        actor=csw.member.actor,
        now=now,
        deadline=now + DAY,
    )
    named = Report.model_validate_json(said.payload).model_copy(update={"index": item.index + further, "at": now})
    async with csw.parts.store.write() as tx:
        await outgoing.add(tx, replace(said, payload=encode_payload(named)), {prison.desk: Plan()})
    await csw.seal_and_send()
    await prison.collect()
    assert await prison.quarantined() == quarantined
    (begun, *_) = (await history(prison, referred.thread)).steps
    assert begun.move.index == item.index
    assert (await row(prison, referred.thread)).state == "delivered"


async def digest_at(station: Station, message_id: MessageId, to: Station) -> bytes:
    """Return the digest of the newest sealing of a message for a desk."""
    async with station.parts.store.read() as tx:
        found = await recipients.find(tx, message_id, to.desk)
        assert found.envelope_id is not None
        sealing = await attempts.by_id(tx, found.envelope_id)
    assert sealing is not None
    return sealing.digest
