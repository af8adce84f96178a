# SPDX-License-Identifier: Apache-2.0
"""A message that waits for an earlier one: nobody reads, prints or answers it as if it stood in its order (SEQ-1)."""

import secrets
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from connectors.store import tables
from protocol import ids
from protocol.errors import Conflict
from protocol.http.handovers import MessageState
from protocol.http.messages import MessageRequest
from protocol.ids import Kind, MessageId, ThreadId
from tests.connectors.cases.test_referral import OFFICER, row, settle
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.tampering import TAMPERINGS
from tests.connectors.test_giving_up import drain, exhaust

__all__ = ["csw", "prison"]

NOTICE: dict[str, Any] = {"area": "a-planted-area", "week": "2027-W03"}
RISK: dict[str, Any] = {"imminence": "days", "answer_by": 1_800_000_000_000}


async def say(prison: Served, csw: Served, thread: ThreadId, kind: str, fields: dict[str, Any]) -> MessageId:
    request = MessageRequest(kind=kind, to=[csw.station.desk], thread=thread, fields=fields)
    return (await prison.client.send_message(request, idempotency_key=secrets.token_hex(12))).id


async def answer(csw: Served, prison: Served, message_id: MessageId) -> MessageId:
    fields: dict[str, Any] = {"answers": ids.text(Kind.MESSAGE, message_id), "officer": OFFICER, "answer": "noted"}
    request = MessageRequest(kind="message.answer", to=[prison.station.desk], fields=fields)
    return (await csw.client.send_message(request, idempotency_key=secrets.token_hex(12))).id


async def behind_a_gap(prison: Served, csw: Served, kind: str, fields: dict[str, Any]) -> MessageId:
    """Return a message that came, of which the one before it was damaged on the way."""
    thread = (await prison.refer(csw.station)).thread
    await settle(prison.station, csw.station)
    await say(prison, csw, thread, "contact.area-notice", NOTICE)
    held = await say(prison, csw, thread, kind, fields)
    await prison.station.seal_and_send()
    first, *rest = await csw.station.link.receive(await csw.station.parts.inbox.cursor())
    await csw.station.take((replace(first, data=TAMPERINGS["machine state flipped"](first.data)), *rest))
    return held


async def printed(served: Served, message_id: MessageId) -> str:
    return (await served.client.print_message(message_id, language="en")).decode()


async def test_seq_1_a_held_message_is_neither_shown_nor_printed_nor_answered_before_its_turn(
    prison: Served, csw: Served
) -> None:
    held = await behind_a_gap(prison, csw, "contact.area-notice", NOTICE)
    view = await csw.client.message(held)
    assert (view.item.state, view.payload, view.sections) == (MessageState.HELD, {}, [])
    assert "a-planted-area" not in await printed(csw, held)
    assert "Automatic receipt" not in await printed(csw, held), "it is no receipt (PRT-1)"
    with pytest.raises(Conflict, match="waits for an earlier one"):
        await answer(csw, prison, held)
    await settle(prison.station, csw.station)
    view = await csw.client.message(held)
    assert (view.item.state, view.payload["area"]) == (MessageState.RECEIVED, "a-planted-area")
    assert "a-planted-area" in await printed(csw, held)
    await answer(csw, prison, held)


async def test_seq_1_an_alert_is_read_and_noted_at_once_and_shown_as_held(prison: Served, csw: Served) -> None:
    held = await behind_a_gap(prison, csw, "alert.risk", RISK)
    view = await csw.client.message(held)
    assert (view.item.state, view.payload["imminence"]) == (MessageState.HELD, "days")
    noted = await answer(csw, prison, held)
    assert [one.message for one in (await csw.client.message(held)).answers] == [noted]


async def test_kind_6_systems_are_told_of_an_alert_that_waits_when_it_comes_and_of_its_effect_when_it_has_it(
    prison: Served, csw: Served
) -> None:
    async def told() -> list[str]:
        asked = select(tables.event.c.type).where(tables.event.c.message_id == held).order_by(tables.event.c.position)
        async with csw.station.parts.store.read() as tx:
            return list(await tx.connection.scalars(asked))

    held = await behind_a_gap(prison, csw, "alert.risk", RISK)
    assert await told() == ["message.alert"]
    assert (await csw.client.message(held)).item.state is MessageState.HELD
    await settle(csw.station, prison.station)
    assert (await csw.client.message(held)).item.state is MessageState.RECEIVED
    assert await told() == ["message.alert", "message.received"]


async def test_kind_6_an_alert_that_was_held_in_silence_is_told_as_one_when_its_turn_comes(
    prison: Served, csw: Served
) -> None:
    """As an earlier version of this program held them."""
    held = await behind_a_gap(prison, csw, "alert.risk", RISK)
    async with csw.station.parts.store.write() as tx:
        await tx.connection.execute(delete(tables.event).where(tables.event.c.message_id == held))
    await settle(csw.station, prison.station)
    async with csw.station.parts.store.read() as tx:
        asked = select(tables.event.c.type).where(tables.event.c.message_id == held)
        assert list(await tx.connection.scalars(asked)) == ["message.alert"]


@pytest.mark.parametrize("comes", ["late", "by its receipt"])
async def test_seq_11_the_alert_of_a_lost_message_ends_when_it_is_not_lost(
    prison: Served, csw: Served, comes: str
) -> None:
    """Also of one that moves nothing."""
    sender, reader = prison.station, csw.station
    thread = (await prison.refer(reader)).thread
    await settle(sender, reader)
    said = await say(prison, csw, thread, "contact.area-notice", NOTICE)
    await sender.seal_and_send()
    if comes == "late":
        await drain(reader)
    else:
        await reader.collect()
        async with reader.parts.store.write() as tx:
            newest = select(tables.outgoing.c.message_id).order_by(tables.outgoing.c.position.desc()).limit(1)
            kept = tables.recipient.c.message_id == newest.scalar_subquery()
            await tx.connection.execute(update(tables.recipient).where(kept).values(state="accepted"))
    await exhaust(sender, said, reader)
    await sender.parts.owing.step()
    assert (await row(sender, thread)).alert == "message-lost"
    await settle(sender, reader)
    if comes == "late":
        assert (await row(reader, thread)).alert == "message-lost"
        here = (tables.recipient.c.message_id == said) & (tables.recipient.c.desk == reader.desk)
        again = {"state": "queued", "seals": 0, "next_try_at": 0, "told_at": None}
        async with sender.parts.store.write() as tx:
            await tx.connection.execute(update(tables.recipient).where(here).values(again))
        await settle(sender, reader)
    assert [(await row(station, thread)).alert for station in (sender, reader)] == [None, None]
