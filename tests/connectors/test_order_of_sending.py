# SPDX-License-Identifier: Apache-2.0
"""What was said in a thread later goes out later, whatever holds up the earlier (SEQ-8)."""

from contextlib import suppress
from dataclasses import replace

import pytest

from connectors.store import outgoing, recipients
from connectors.store.recipients import Plan
from protocol.errors import AttachmentMissing, HubUnreachable, ThroughcareError, Unavailable, UntrustedKey
from protocol.http.handovers import MessageState
from protocol.ids import MessageId, new_id
from protocol.limits import HOUR
from tests.connectors.cases.test_handover import do as step
from tests.connectors.cases.test_referral import agreed, do, history, refer, row, settle
from tests.connectors.conftest import World
from tests.connectors.test_outbox import Raised, ScriptedLink

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")


@pytest.mark.parametrize(
    "trouble",
    [Raised(HubUnreachable()), Unavailable(), AttachmentMissing(), UntrustedKey()],
    ids=["cut", "put off", "waiting for its attachments", "to be sealed anew"],
)
async def test_seq_8_a_withdrawal_never_overtakes_the_referral_that_it_withdraws(
    world: World, trouble: Raised | ThroughcareError
) -> None:
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw)).thread
    await prison.parts.sealer.step()
    with suppress(HubUnreachable):
        await prison.parts.outbox.step(ScriptedLink(trouble))
    await do(prison, thread, "withdraw")
    await prison.seal_and_send()
    world.hub.clock.advance(HOUR)
    await prison.parts.uploads.step()
    await settle(prison, csw)
    assert await agreed(thread, prison, csw) == "cancelled"
    assert (await history(csw, thread)).conflicts == ()


async def test_seq_8_what_is_said_to_another_desk_in_the_thread_is_not_kept_back(world: World) -> None:
    prison = world.prison
    queued = await prison.compose(world.probation.desk)
    await prison.parts.sealer.step()
    await prison.parts.outbox.step(ScriptedLink(Unavailable()))
    async with prison.parts.store.write() as tx:
        first = await outgoing.load(tx, queued.id)
        for desk in (world.probation.desk, world.social_work.desk):
            await outgoing.add(tx, replace(first, message_id=MessageId(new_id())), {desk: Plan()})
    assert await prison.seal_and_send() == 1
    assert await prison.states(queued.id) == {world.probation.desk: MessageState.QUEUED}
    assert await world.social_work.collect() == 1
    assert (await prison.parts.outbox.next_due() or 0) > world.hub.clock(), "what is kept back makes nothing due"


async def test_seq_8_a_copy_that_still_lacks_the_offer_keeps_nothing_from_the_agency_that_takes_the_lead(
    world: World,
) -> None:
    prison, probation, csw = world.prison, world.probation, world.social_work
    queued = await prison.compose(probation.desk, csw.desk)
    assert await prison.seal_and_send() == 1, "what begins a thread goes to all in one envelope"
    async with prison.parts.store.write() as tx:
        at_copy = await recipients.find(tx, queued.id, csw.desk)
        # Sealed for too often already, it pauses (SEQ-6).
        await recipients.requeue(tx, at_copy, now=world.hub.clock() + HOUR, error="cannot-open")
    await step(prison, queued.thread, "bind", statute="probation-act-12")
    await step(prison, queued.thread, "take-effect", effective_at=world.hub.clock())
    await settle(prison, probation)
    assert await agreed(queued.thread, prison, probation) == "effective"
    world.hub.clock.advance(HOUR)
    await settle(prison, csw)
    assert (await row(csw, queued.thread)).state == "effective"
