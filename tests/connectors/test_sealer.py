# SPDX-License-Identifier: Apache-2.0
"""One message that cannot be sealed is its own trouble only."""

from dataclasses import replace

import pytest
from sqlalchemy import select, update

from connectors.cli.handover import _recipient
from connectors.store import outgoing
from connectors.store.tables import outgoing as outgoing_table
from connectors.store.tables import recipient
from protocol.errors import StoreFailed
from protocol.http.handovers import MessageState
from protocol.ids import MessageId
from protocol.limits import DAY, HOUR
from tests.connectors.conftest import World
from tests.connectors.hand import only_recipient
from tests.connectors.stations import Station

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")


async def damage(station: Station, message_id: MessageId, kind: str) -> None:
    """Store what a later release refuses to read, or what a failing disk left."""
    async with station.parts.store.write() as tx:
        message = await outgoing.load(tx, message_id)
        other = replace(message, source=message.source.replace(b'"priority":"normal"', b'"priority":"other"'))
        sealed = bytes(100) if kind == "disk" else tx.vault.seal("outgoing", message_id, other.content())
        await tx.connection.execute(
            update(outgoing_table).where(outgoing_table.c.message_id == message_id).values(sealed=sealed)
        )


@pytest.mark.parametrize(("kind", "code"), [("upgrade", "internal-error"), ("disk", "keystore-error")])
async def test_con_8_a_message_that_cannot_be_composed_fails_and_the_others_go_on(
    world: World, kind: str, code: str
) -> None:
    bad = await world.prison.compose(world.probation.desk)
    good = await world.prison.compose(world.probation.desk)
    await damage(world.prison, bad.id, kind)
    await world.prison.seal_and_send()
    assert (await only_recipient(world.prison, good.id)).state is MessageState.ACCEPTED
    async with world.prison.parts.store.read() as tx:
        row = (await tx.connection.execute(select(recipient).where(recipient.c.message_id == bad.id))).one()
    assert (row.state, row.error, row.seals) == ("failed", code, 0)
    assert '"part-failed"' in world.prison.logged.getvalue()


async def test_con_8_a_fault_of_the_machine_leaves_what_is_queued(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued = await world.prison.compose(world.probation.desk)

    async def full(*_: object) -> None:
        raise StoreFailed

    monkeypatch.setattr("connectors.store.attempts.add", full)
    with pytest.raises(StoreFailed):
        await world.prison.parts.sealer.step()
    monkeypatch.undo()
    await world.prison.seal_and_send()
    assert (await only_recipient(world.prison, queued.id)).state is MessageState.ACCEPTED


async def test_dir_11_and_dir_8_a_sealing_by_an_old_directory_or_prekey_is_marked_at_the_sender(world: World) -> None:
    fresh = await world.prison.send(world.probation.desk)
    assert (await only_recipient(world.prison, fresh)).marks == []
    # As if this connector had not reached the hub for a day, and the recipient had made no prekey for two weeks.
    world.hub.clock.advance(15 * DAY)
    await world.prison.look()
    sent = await world.prison.send(world.probation.desk)
    assert (await only_recipient(world.prison, sent)).marks == ["old-prekey"]
    world.hub.clock.advance(25 * HOUR)
    sent = await world.prison.send(world.probation.desk)
    recipient = await only_recipient(world.prison, sent)
    assert recipient.marks == ["old-prekey", "old-directory"]
    assert "    mark: old-directory" in list(_recipient(recipient, sender=True))


async def test_dir_11_con_2_a_clock_that_is_put_ahead_amid_a_sealing_makes_nothing_fail(world: World) -> None:
    """A machine wakes up after four days, say, in the very step that seals."""
    station, clock = world.prison, world.hub.clock
    queued = await station.compose(world.probation.desk)
    looked = 0

    def waking() -> int:
        nonlocal looked
        looked, now = looked + 1, clock()
        if looked == 3:
            clock.advance(4 * DAY)
        return now

    station.parts.sealer._clock = waking
    await station.parts.sealer.step()
    assert looked >= 3
    found = await only_recipient(station, queued.id)
    assert (found.state is not MessageState.FAILED, found.error, found.attempts) == (True, None, 1)
