# SPDX-License-Identifier: Apache-2.0
"""A disk that has damaged what is stored of one entry: no wrong receipt is signed, and nobody else is held up."""

import asyncio
import secrets

import pytest
from sqlalchemy import Connection, Table, inspect, select, update

from hub.migrations import migrate, move
from hub.service.transaction import Finish, Transaction
from hub.store.tables import detail, envelope, tree
from hub.store.trees import Log
from protocol.errors import Conflict, InternalError, Unavailable
from protocol.frames import Deliver, ItemKind
from protocol.limits import HOUR
from protocol.receipts import Detail
from tests.hub.running import RunningHub
from tests.hub.sockets import connected
from tests.hub.test_writer import Append, Bench, bench

__all__ = ["bench"]

pytestmark = pytest.mark.usefixtures("quick_keys")

TOLD = '"entry-damaged"'


async def damage(hub: RunningHub, table: Table, index: int, **values: object) -> None:
    """Change a stored row as a disk might, and forget what was kept in memory."""
    await hub.hub.store.write(lambda at: at.execute(update(table).where(table.c.idx == index).values(**values)))
    hub.hub.submissions._parts.receipts._made.clear()


async def sent(hub: RunningHub, count: int, *, life: int = HOUR) -> list[bytes]:
    """Send so many messages from the prison to probation, one after the other."""
    prison, probation, _ = hub.programme.members.values()
    sealed = [hub.programme.sender("gora-prison").seal(probation.desk, life=life + n).data for n in range(count)]
    for data in sealed:
        await hub.device(prison).submit(data)
    return sealed


async def other_detail(hub: RunningHub) -> bytes:
    """Return a detail of the right form which is not that of any entry."""
    directory = hub.programme.directory
    known = await hub.hub.store.read(lambda at: at.execute(detail.select().where(detail.c.idx == 0)).one())
    desk = Detail.parse(known.detail).sender_desk
    kind = Detail.parse(known.detail).kind
    random = secrets.token_bytes(48)
    return Detail(
        kind, Detail.parse(known.detail).envelope_id, random[:32], desk, directory.size, directory.root
    ).encode()


@pytest.mark.parametrize("whole", [False, True], ids=["unreadable", "another"])
async def test_aud_5_a_damaged_entry_that_is_asked_for_again_gets_no_receipt_and_stops_nobody(
    hub: RunningHub, whole: bool
) -> None:
    """Its sender tries again for ever: a hub that ends each time would be down until somebody restores it."""
    prison, probation, _ = hub.programme.members.values()
    first, second = await sent(hub, 2)
    await damage(hub, detail, 0, detail=await other_detail(hub) if whole else b"x")
    new = hub.programme.sender("gora-prison").seal(probation.desk).data
    for _ in range(2):
        again, neighbour = await asyncio.gather(
            hub.device(prison).submit(first), hub.device(prison).submit(new), return_exceptions=True
        )
        assert isinstance(again, InternalError)
        assert isinstance(neighbour, bytes)
    assert isinstance(await hub.device(prison).submit(second), bytes)
    assert hub.hub.writer.healthy
    assert hub.logged.getvalue().count(TOLD) == 1
    # Refused for its time it is looked for in another way, and answered the same.
    hub.clock.advance(2 * HOUR)
    with pytest.raises(InternalError):
        await hub.device(prison).submit(first)


async def test_aud_5_no_receipt_is_signed_of_whose_tree_the_disk_has_changed_a_bit(hub: RunningHub) -> None:
    """Its leaf commits to neither size nor root: the hub put its name to whatever stood there."""
    prison, probation, _ = hub.programme.members.values()
    sealed = await sent(hub, 6)
    stored = await hub.hub.store.read(lambda at: at.execute(detail.select().order_by(detail.c.idx)).all())
    root = stored[2].tree_root
    await damage(hub, detail, 0, tree_size=stored[0].tree_size ^ 1 << 2)
    await damage(hub, detail, 1, tree_size=stored[1].tree_size ^ 1 << 40)
    await damage(hub, detail, 2, tree_root=bytes([root[0] ^ 1]) + root[1:])
    await damage(hub, detail, 3, tree_size=stored[4].tree_size, tree_root=stored[4].tree_root)
    await damage(hub, detail, 4, tree_check=stored[3].tree_check)
    for data in sealed[:5]:
        with pytest.raises(InternalError):
            await hub.device(prison).submit(data)
    assert [item.index for item in await hub.device(probation).items()] == [5]
    assert hub.logged.getvalue().count(TOLD) == 5


async def test_aud_5_what_was_accepted_before_there_were_checksums_keeps_its_receipt(hub: RunningHub) -> None:
    prison, probation, _ = hub.programme.members.values()
    sealed = await sent(hub, 2)
    receipts = [await hub.device(prison).submit(data) for data in sealed]

    def as_before(connection: Connection) -> None:
        move(connection, "0007")
        assert "tree_check" not in {one["name"] for one in inspect(connection).get_columns(detail.name)}
        migrate(connection)

    await hub.hub.store.write(as_before)
    hub.hub.submissions._parts.receipts._made.clear()
    assert [await hub.device(prison).submit(data) for data in sealed] == receipts
    assert len(await hub.device(probation).items()) == 2
    checks = await hub.hub.store.read(lambda at: at.execute(select(detail.c.tree_check)).scalars().all())
    assert checks == [None, None]


async def test_http_7_a_damaged_entry_keeps_nobody_from_the_mail_behind_it(hub: RunningHub) -> None:
    _, probation, _ = hub.programme.members.values()
    await sent(hub, 4)
    other = await other_detail(hub)
    for index in (0, 1):
        await damage(hub, detail, index, detail=other)
    assert [item.index for item in await hub.device(probation).items()] == [2, 3]
    # A page that holds nothing else is not the end of the mailbox.
    cursor, items = await hub.device(probation).read(limit=1)
    assert (cursor, [item.index for item in items]) == (3, [2])
    async with connected(hub, probation.device) as socket:
        delivered = await socket.until(Deliver)
        assert isinstance(delivered, Deliver)
        assert [item.index for item in delivered.items] == [2, 3]
    await damage(hub, detail, 3, salt=bytes(32))
    await damage(hub, detail, 2, tree_size=2)
    assert await hub.device(probation).items() == ()
    assert await hub.device(probation).read(wait=1, limit=2) == (0, ())
    assert hub.logged.getvalue().count(TOLD) == 4


async def test_http_11_a_damaged_envelope_expires_with_the_others_and_the_log_grows_by_what_happened(
    hub: RunningHub,
) -> None:
    """Else a notice of the ones before it came again every second, and nothing expired any more."""
    prison, probation, _ = hub.programme.members.values()
    await sent(hub, 4)
    await damage(hub, detail, 1, detail=b"x")
    await damage(hub, envelope, 2, common=b"x")
    hub.clock.advance(2 * HOUR)
    assert await hub.hub.expiry.expire() == 4
    assert await hub.hub.expiry.expire() == 0
    assert await hub.leaves() == 7
    notices = await hub.device(prison).items()
    assert [item.kind for item in notices] == [ItemKind.NOTICE] * 3
    assert await hub.device(probation).items() == ()


@pytest.mark.parametrize("compact", [b"", bytes(7), (2**62).to_bytes(8) + bytes(32), (3).to_bytes(8) + bytes(32)])
async def test_aud_9_a_log_whose_state_cannot_be_read_ends_the_hub_and_no_request_after_the_other(
    hub: RunningHub, compact: bytes
) -> None:
    """Each was answered with an internal error, at a hub that said that it was well."""
    prison, probation, _ = hub.programme.members.values()
    await hub.hub.store.write(
        lambda at: at.execute(update(tree).where(tree.c.log == Log.AUDIT).values(compact=compact))
    )
    with pytest.raises(Unavailable):
        await hub.device(prison).submit(hub.programme.sender("gora-prison").seal(probation.desk).data)
    assert not hub.hub.writer.healthy
    assert "writer-stopped" in hub.logged.getvalue()


class Half(Append):
    """A change that is refused after it has done a part of its work, as none may be."""

    def apply(self, transaction: Transaction) -> Finish[int]:
        transaction.append(Log.AUDIT, self.leaf)
        raise Conflict


async def test_aud_3_half_a_change_is_never_committed_whatever_has_ended_it(bench: Bench) -> None:
    answers = await bench.write(Append(b"a"), Half(b"half"), Append(b"c"))
    assert [answers[0], answers[2]] == [0, 1]
    assert isinstance(answers[1], InternalError)
    assert await bench.leaves() == [b"a", b"c"]
