# SPDX-License-Identifier: Apache-2.0
"""A disk damages single rows: they are shown as damaged, the doctor names them, and the rest goes on (CON-8)."""

import pytest
from sqlalchemy import Table, update

from connectors.doctor.standing import examine_standing
from connectors.store import recipients, tables, threadtables
from connectors.store.recipients import RecipientState
from protocol.diagnosis import exit_code
from protocol.errors import KeystoreError
from protocol.http.handovers import HandoverFilter, MessageState
from protocol.ids import Kind, MessageId, text
from tests.connectors.cases.test_referral import do, refer, row, settle
from tests.connectors.conftest import World
from tests.connectors.hand import only_recipient
from tests.connectors.stations import Station
from tests.connectors.test_resealing import pass_time
from tests.hub.running import RunningHub


async def spoil(station: Station, table: Table, message_id: MessageId, column: str = "sealed") -> None:
    """Write other bytes over a stored value, as a failing disk does."""
    async with station.parts.store.write() as tx:
        statement = update(table).where(table.c.message_id == message_id).values({column: bytes(60)})
        await tx.connection.execute(statement)


async def listed(station: Station) -> dict[MessageId, MessageState]:
    page = await station.parts.handovers.list(HandoverFilter())
    return {item.id: item.state for item in page.items}


async def told(station: Station, hub: RunningHub) -> tuple[str, int]:
    """Return what the doctor says of stored messages, and its exit code."""
    found = await examine_standing(station.settings, station.installation, hub.clock)
    return next(one.found for one in found if one.check == "messages"), exit_code(found)


async def test_con_8_a_damaged_message_is_listed_as_damaged_and_the_others_as_they_are(
    world: World, hub: RunningHub
) -> None:
    whole, spoilt = [await world.prison.send(world.probation.desk) for _ in range(2)]
    await world.probation.turn()
    await spoil(world.probation, tables.incoming, spoilt)
    await spoil(world.prison, tables.outgoing, spoilt)
    assert await listed(world.probation) == {whole: MessageState.RECEIVED, spoilt: MessageState.DAMAGED}
    assert await listed(world.prison) == {whole: MessageState.ACCEPTED, spoilt: MessageState.DAMAGED}
    (item,) = (await world.prison.parts.handovers.list(HandoverFilter(id=spoilt))).items
    assert (item.sender, item.recipients) == (world.prison.desk, [world.probation.desk])
    with pytest.raises(KeystoreError):
        await world.probation.view(spoilt)
    for station in (world.prison, world.probation):
        message, code = await told(station, hub)
        assert text(Kind.MESSAGE, spoilt) in message
        assert text(Kind.MESSAGE, whole) not in message
        assert code == 1


async def test_con_8_a_damaged_plan_is_marked_and_made_anew_at_the_next_sealing(world: World, hub: RunningHub) -> None:
    sent = await world.prison.send(world.probation.desk)
    await spoil(world.prison, tables.recipient, sent)
    assert await listed(world.prison) == {sent: MessageState.ACCEPTED}
    assert (await only_recipient(world.prison, sent)).marks == ["damaged"]
    assert text(Kind.MESSAGE, sent) in (await told(world.prison, hub))[0]
    await world.probation.turn()
    await world.prison.turn()
    assert await listed(world.prison) == {sent: MessageState.OPENED}


async def test_con_8_a_damaged_sealing_is_made_anew_and_holds_up_no_other(world: World) -> None:
    first, second = [(await world.prison.compose(world.probation.desk)).id for _ in range(2)]
    await world.prison.parts.sealer.step()
    await spoil(world.prison, tables.attempt, first, "sealed_bytes")
    await world.prison.seal_and_send()
    await world.probation.turn()
    await world.prison.turn()
    assert await listed(world.prison) == dict.fromkeys((first, second), MessageState.OPENED)
    assert [(await only_recipient(world.prison, one)).attempts for one in (first, second)] == [2, 1]


async def test_con_8_a_damaged_move_holds_up_no_other_message_that_the_hub_accepted(world: World) -> None:
    spoilt, whole = [(await world.prison.compose(world.probation.desk)).id for _ in range(2)]
    await spoil(world.prison, threadtables.move, spoilt)
    for _ in range(2):
        with pytest.raises(KeystoreError):
            await world.prison.seal_and_send()
    assert await listed(world.prison) == {spoilt: MessageState.QUEUED, whole: MessageState.ACCEPTED}


async def test_con_8_a_message_that_was_damaged_before_it_was_sealed_fails_alone(world: World) -> None:
    spoilt, whole = [(await world.prison.compose(world.probation.desk)).id for _ in range(2)]
    await spoil(world.prison, tables.outgoing, spoilt)
    await world.prison.seal_and_send()
    assert await listed(world.prison) == {spoilt: MessageState.DAMAGED, whole: MessageState.ACCEPTED}


async def test_http_10_a_message_that_comes_again_over_a_damaged_one_does_not_block_the_mailbox(world: World) -> None:
    sent = await world.prison.send(world.probation.desk)
    await world.probation.collect()
    await spoil(world.probation, tables.incoming, sent)
    async with world.prison.parts.store.write() as tx:
        await tx.connection.execute(update(tables.recipient).values(state="queued"))
    await world.prison.seal_and_send()
    after = await world.prison.send(world.probation.desk)
    await world.probation.collect()
    assert await world.probation.quarantined() == ["cannot-open"]
    assert (await listed(world.probation))[after] is MessageState.RECEIVED


async def test_con_8_a_message_in_a_thread_that_the_disk_has_damaged_holds_up_no_other_mail(world: World) -> None:
    prison, csw = world.prison, world.social_work
    referred = await refer(prison, csw)
    await settle(prison, csw)
    await spoil(csw, threadtables.move, referred.message_id)
    withdrawn = await do(prison, referred.thread, "withdraw")
    await prison.seal_and_send()
    other = await world.probation.send(csw.desk)
    await csw.turn()
    assert await csw.quarantined() == ["cannot-open"]
    assert (await listed(csw))[other] is MessageState.RECEIVED
    for _ in range(4):
        await prison.turn()
        await csw.turn()
    async with prison.parts.store.read() as tx:
        (told_of,) = await recipients.of(tx, withdrawn.message_id)
    assert (told_of.state, told_of.error) == (RecipientState.FAILED, "cannot-open"), "and its sender is told"


async def test_con_8_a_notice_of_a_message_that_the_disk_has_damaged_holds_up_no_other_mail(world: World) -> None:
    sent = await world.prison.send(world.probation.desk)
    await pass_time(world, 31, world.prison, world.social_work)
    await spoil(world.prison, tables.outgoing, sent)
    other = await refer(world.social_work, world.prison)
    await world.social_work.seal_and_send()
    await world.prison.collect()
    assert await world.prison.quarantined() == ["cannot-open"]
    assert (await row(world.prison, other.thread)).begun_by == other.message_id


async def test_the_doctor_says_so_where_every_message_can_be_read(world: World, hub: RunningHub) -> None:
    await world.prison.send(world.probation.desk)
    await world.probation.turn()
    for station in (world.prison, world.probation):
        assert (await told(station, hub))[0] == "Every stored message can be read."
