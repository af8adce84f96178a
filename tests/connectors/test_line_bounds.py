# SPDX-License-Identifier: Apache-2.0
"""What one peer says of lost messages is bounded, and a new device is served anew."""

from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from connectors import asking, delivery
from connectors.store import tables
from connectors.store.recipients import RecipientState
from connectors.timing import MOST_SEALS
from protocol.ids import MessageId, ThreadId, new_id
from protocol.limits import HOUR
from protocol.sequence import Position
from tests.connectors.cases.test_referral import refer, settle
from tests.connectors.conftest import World
from tests.connectors.restoring import back_up, new_machine
from tests.connectors.test_asking import ask_until_quiet, follow_up, held, state_of
from tests.connectors.test_giving_up import drain, gives_up

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")


async def test_seq_11_a_peer_cannot_fill_a_store_with_what_it_says_was_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor have it ask for more in one step than may hold up its other work; another agency is not kept out."""
    monkeypatch.setattr(delivery, "MOST_HELD", 3)
    monkeypatch.setattr(asking, "_AT_ONCE", 2)
    liar, csw, other = world.probation, world.social_work, world.prison
    for _ in range(5):
        await gives_up(liar, MessageId(new_id()), Position(2, MessageId(new_id())), ThreadId(new_id()), csw)
    await csw.collect()
    assert await csw.quarantined() == ["too-many-held"] * 2
    await gives_up(other, MessageId(new_id()), Position(2, MessageId(new_id())), ThreadId(new_id()), csw)
    await csw.collect()
    async with csw.parts.store.read() as tx:
        assert await tx.connection.scalar(select(func.count()).select_from(tables.lost)) == 4
    world.hub.clock.advance(HOUR)
    assert [await csw.parts.asking.step() for _ in range(3)] == [2, 2, 0]


async def test_seq_10_a_new_device_gets_what_was_sealed_for_the_old_one_as_often_as_that_is_done(
    world: World, tmp_path: Path
) -> None:
    prison, csw = world.prison, world.social_work
    first = await prison.send(csw.desk)
    await settle(prison, csw)
    backup = back_up(csw, tmp_path / "backup")
    second = await follow_up(prison, first, csw)
    await settle(prison, csw)
    here = (tables.recipient.c.message_id == second) & (tables.recipient.c.desk == csw.desk)
    async with prison.parts.store.write() as tx:
        await tx.connection.execute(update(tables.recipient).where(here).values(seals=MOST_SEALS))
    world.hub.clock.advance(HOUR)
    async with new_machine(world, csw, tmp_path / "again", backup) as again:
        await prison.look()
        await follow_up(prison, first, again)
        await again.collect()
        assert await held(again) == 1
        await ask_until_quiet(world, again, prison)
        assert await held(again) == 0
        assert await state_of(prison, second, csw) is RecipientState.OPENED


async def test_seq_10_what_came_after_word_of_its_loss_hides_no_later_gap(world: World) -> None:
    prison, csw = world.prison, world.social_work
    referred = await refer(prison, csw)
    await prison.seal_and_send()
    await drain(csw)
    second = await follow_up(prison, referred.message_id, csw)
    await gives_up(prison, second, Position(2, referred.message_id), referred.thread, csw)
    second_item, word = await csw.link.receive(await csw.parts.inbox.cursor())
    await csw.take((word, second_item))
    assert await held(csw) == 1
    await ask_until_quiet(world, csw, prison)
    assert await held(csw) == 0
    await follow_up(prison, referred.message_id, csw)
    await drain(csw)
    await follow_up(prison, referred.message_id, csw)
    await csw.collect()
    assert await held(csw) == 1
    assert await ask_until_quiet(world, csw, prison) >= 1
    assert await held(csw) == 0
