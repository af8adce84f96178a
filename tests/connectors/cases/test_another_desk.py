# SPDX-License-Identifier: Apache-2.0
"""Who sends a step of a thread to another desk of ours gets no proof that it was read: nobody would ever see it."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from connectors.cases.composing import Said
from connectors.store import outgoing, recipients, tables
from connectors.store.recipients import Plan, RecipientState
from protocol.http.messages import MessageFilter, MessageRequest
from protocol.ids import Kind, MessageId, ThreadId, new_id, text
from protocol.kinds.catalogue import KINDS
from protocol.limits import DAY
from tests.connectors.cases.test_referral import FIELDS, REQUEST, settle
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.conftest import World
from tests.connectors.hand import sealed_as
from tests.connectors.stations import Station
from tests.connectors.test_attachment_desks import two_desks
from tests.connectors.test_one_id_two_people import payload_of
from tests.connectors.test_shared_ids import served

__all__ = ["csw", "prison"]

BEGINS = {"payload_type": "referral.request", "payload": payload_of("referral.request", REQUEST)}
WITHDRAWS = {"payload_type": "referral.withdraw", "payload": payload_of("referral.withdraw", FIELDS["withdraw"])}
DENIED = ["policy-denied"]


async def send(world: World, to: Station, desk: int, thread: ThreadId, message_id: MessageId, **more: Any) -> None:
    """Have the prison, or who is named as `by`, send what it likes to a desk of another agency, by its number."""
    where, by = to.installation.enrolment.desks[desk], more.pop("by", world.prison.member)
    await world.hub.device(by).submit(sealed_as(world, by, where, message_id, thread=thread, **more))
    await to.turn()


async def answered(station: Station) -> dict[str, int]:
    """Return how many receipts of each kind a connector made."""
    asked = select(tables.outgoing.c.payload_type, func.count().label("number")).group_by(
        tables.outgoing.c.payload_type
    )
    async with station.parts.store.read() as tx:
        return {row.payload_type: row.number for row in await tx.connection.execute(asked)}


@pytest.mark.parametrize("again", [BEGINS, WITHDRAWS], ids=["begins", "withdraws"])
async def test_lif_6_a_step_to_another_desk_of_ours_is_not_answered_as_opened(
    world: World, tmp_path: Path, again: dict[str, Any]
) -> None:
    """A referral was withdrawn, and a second one sent, with the proof that this was read; they stood in no list."""
    thread = ThreadId(new_id())
    async with two_desks(tmp_path / "two", world) as both, served(both) as client:
        await send(world, both, 0, thread, MessageId(new_id()), **BEGINS)
        before = await client.thread(thread)
        await send(world, both, 1, thread, MessageId(new_id()), **again)
        assert (await both.quarantined(), await client.thread(thread)) == (DENIED, before)
        assert await answered(both) == {"receipt.opened": 1, "receipt.cannot-open": 1}


async def test_lif_6_nor_is_one_that_waited_there_until_the_thread_was_begun_elsewhere(
    world: World, tmp_path: Path
) -> None:
    thread, first, second = ThreadId(new_id()), MessageId(new_id()), MessageId(new_id())
    alert = payload_of("alert.risk", {"imminence": "days", "answer_by": world.hub.clock() + DAY})
    async with two_desks(tmp_path / "two", world) as both, served(both) as client:
        await send(world, both, 1, thread, second, seq=2, previous=first, **BEGINS)
        assert await both.quarantined() == []
        await send(world, both, 0, thread, MessageId(new_id()), **BEGINS)
        before = await client.thread(thread)
        await send(world, both, 1, thread, first, payload_type="alert.risk", payload=alert)
        assert (await both.quarantined(), (await client.thread(thread)).steps) == (DENIED, before.steps)
        assert await answered(both) == {"receipt.opened": 2, "receipt.cannot-open": 1}
        # What belongs there has its effect, and the line goes on.
        more = {"payload_type": "alert.risk", "payload": alert, "seq": 2, "previous": first}
        await send(world, both, 1, thread, MessageId(new_id()), **more)
        assert len((await client.messages(MessageFilter())).items) == 2


async def test_lif_6_who_was_asked_begins_no_life_cycle_in_a_conversation_of_ours(prison: Served, csw: Served) -> None:
    """The referral had its A1, and stood nowhere at all."""
    fields: dict[str, Any] = {"imminence": "days", "answer_by": prison.station.clock() + DAY}
    asked = MessageRequest(kind="alert.risk", to=[csw.station.desk], fields=fields)
    thread = (await prison.client.send_message(asked, idempotency_key="a" * 24)).thread
    await settle(prison.station, csw.station)
    said, composing = Said(fields=REQUEST), csw.station.parts.moving._composing
    subject = text(Kind.SUBJECT, new_id())
    message = composing.message(KINDS["referral.request"], thread, csw.station.desk, subject, said)
    async with csw.station.parts.store.write() as tx:
        await outgoing.add(tx, message, {prison.station.desk: Plan()})
    await settle(csw.station, prison.station)
    assert set(await prison.station.quarantined()) == set(DENIED)
    async with csw.station.parts.store.read() as tx:
        assert (await recipients.find(tx, message.message_id, prison.station.desk)).state is not RecipientState.OPENED
