# SPDX-License-Identifier: Apache-2.0
"""A side sends its step under the id of another step of the thread: it is not answered as if anybody had seen it."""

import pytest

from connectors.cases.composing import Said
from connectors.store import outgoing, recipients
from connectors.store.recipients import Plan, RecipientState
from protocol.ids import MessageId, ThreadId, new_id
from protocol.kinds.catalogue import KINDS
from tests.connectors.cases.test_cases import refer, step
from tests.connectors.cases.test_referral import FIELDS, settle
from tests.connectors.cases.test_thread_api import Served, csw, prison

__all__ = ["csw", "prison"]


async def move(liar: Served, to: Served, thread: ThreadId, event: str, message_id: MessageId) -> RecipientState:
    """Have `liar` make a step under an id of its choice, and return how it stands there when all mail is read."""
    composing = liar.station.parts.moving._composing
    subject = (await to.client.thread(thread)).subject
    said = Said(fields=FIELDS[event], message_id=message_id)
    message = composing.message(KINDS[f"referral.{event}"], thread, liar.station.desk, subject, said)
    async with liar.station.parts.store.write() as tx:
        await outgoing.add(tx, message, {to.station.desk: Plan()})
    await settle(liar.station, to.station)
    async with liar.station.parts.store.read() as tx:
        return (await recipients.find(tx, message_id, to.station.desk)).state


@pytest.mark.parametrize("later", [False, True])
async def test_lif_6_a_step_under_the_id_of_one_of_ours_is_refused_and_not_answered_as_opened(
    prison: Served, csw: Served, later: bool
) -> None:
    """A referral was declined with the proof that this was read, and nobody at the requester ever saw it."""
    thread = await refer(prison, csw)
    await step(csw, thread, "acknowledge", prison)
    if later:
        await step(prison, thread, "withdraw", csw)
    before = await prison.client.thread(thread)
    ours = before.steps[-1 if later else 0].message
    event = "confirm-cancel" if later else "decline"
    assert await move(csw, prison, thread, event, ours) is not RecipientState.OPENED
    assert set(await prison.station.quarantined()) == {"policy-denied"}
    assert await prison.client.thread(thread) == before


async def test_lif_6_a_step_under_an_id_of_its_own_has_its_effect(prison: Served, csw: Served) -> None:
    thread = await refer(prison, csw)
    await step(csw, thread, "acknowledge", prison)
    assert await move(csw, prison, thread, "decline", MessageId(new_id())) is RecipientState.OPENED
    assert (await prison.client.thread(thread)).item.state == "declined"
    assert await prison.station.quarantined() == []
