# SPDX-License-Identifier: Apache-2.0
"""Single bits of what is stored, as a disk turns them: a sign, a kind, a time, or in SQLite's file what a value is."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text, update

from hub.store import mailboxes
from hub.store.tables import delivery, detail, envelope, leaf, section, tree
from hub.store.trees import Log
from protocol.errors import EnvelopeIdReused, InternalError, Unavailable
from protocol.frames import ItemKind
from protocol.limits import DAY, HOUR, MAX_SLICE
from protocol.receipts import ReceiptKind, parse_receipt
from tests.hub.begun import Beginnings
from tests.hub.running import RunningHub
from tests.hub.test_damaged_entries import damage, sent
from tests.programme import Programme

pytestmark = pytest.mark.usefixtures("quick_keys")


@pytest.fixture
async def on_sqlite(tmp_path: Path, programme: Programme, beginnings: Beginnings) -> AsyncIterator[RunningHub]:
    """Serve a hub on the database in whose file the type of a value is a bit beside it."""
    await beginnings.put(programme, tmp_path)
    async with RunningHub(tmp_path, programme) as running:
        yield running


async def execute(hub: RunningHub, statement: Any) -> None:
    await hub.hub.store.write(lambda connection: connection.execute(statement))
    hub.hub.submissions._parts.receipts._made.clear()


TURNED = [
    "UPDATE detail SET salt = CAST(salt AS TEXT) WHERE idx = 0",
    "UPDATE leaf SET bytes = CAST(bytes AS TEXT) WHERE log = 2 AND idx = 1",
    "UPDATE detail SET tree_size = CAST(x'ff' AS TEXT) WHERE idx = 2",
    "UPDATE detail SET tree_root = CAST(tree_root AS TEXT) WHERE idx = 3",
    "UPDATE envelope SET row_hashes = CAST(row_hashes AS TEXT), digest = CAST(digest AS TEXT) WHERE idx = 4",
    "UPDATE envelope SET common = 7, sender_device = 7 WHERE idx = 5",
    "UPDATE delivery SET wrap = CAST(wrap AS TEXT), sections = 'x' WHERE idx = 6",
    "UPDATE delivery SET position = 'x', size = 'x' WHERE idx = 7",
    "UPDATE section SET bytes = CAST(bytes AS TEXT) WHERE idx = 8",
]


async def test_http_7_a_bit_that_turns_bytes_into_a_text_keeps_nobody_from_the_rest(on_sqlite: RunningHub) -> None:
    """The driver refused every row that was read with it, and whoever sent it again ended the hub."""
    hub = on_sqlite
    prison, probation, _ = hub.programme.members.values()
    sealed = await sent(hub, len(TURNED) + 1)
    for statement in TURNED:
        await execute(hub, text(statement))
    for index, data in enumerate(sealed):
        if index < 4:
            with pytest.raises(InternalError):
                await hub.device(prison).submit(data)
        elif index == 4:
            with pytest.raises(EnvelopeIdReused):
                await hub.device(prison).submit(data)
        else:
            await hub.device(prison).submit(data)
    assert [item.index for item in await hub.device(probation).items()] == [len(TURNED)]
    await hub.device(probation).acknowledge(7)
    hub.clock.advance(2 * HOUR)
    assert await hub.hub.expiry.expire() == 2
    await hub.device(probation).acknowledge(9)
    assert await hub.device(probation).items() == ()
    assert [item.index for item in await hub.device(prison).items()] == [10, 11]
    assert hub.hub.writer.healthy


async def test_aud_5_a_receipt_with_another_time_than_its_leaf_is_never_signed(hub: RunningHub) -> None:
    """The leaf opens to its detail all the same: only its hash shows that its time is not the one of acceptance."""
    prison, probation, _ = hub.programme.members.values()
    (data,) = await sent(hub, 1)
    stored = await hub.hub.store.read(lambda at: at.scalar(select(leaf.c.bytes).where(leaf.c.log == Log.AUDIT)))
    time = hub.clock.now.to_bytes(8)
    assert stored is not None
    assert stored.count(time) == 1
    other = stored.replace(time, (hub.clock.now ^ 1 << 30).to_bytes(8))
    await execute(hub, update(leaf).where(leaf.c.log == Log.AUDIT).values(bytes=other))
    with pytest.raises(InternalError):
        await hub.device(prison).submit(data)
    assert await hub.device(probation).items() == ()


async def test_http_7_a_notice_is_one_by_its_entry_whatever_its_row_says(hub: RunningHub) -> None:
    """One bit of that kept its owner from all that stood behind it."""
    prison = hub.programme.members["gora-prison"]
    await sent(hub, 1)
    hub.clock.advance(2 * HOUR)
    assert await hub.hub.expiry.expire() == 1
    await damage(hub, delivery, 1, kind=3)
    (notice,) = await hub.device(prison).items()
    assert notice.kind is ItemKind.NOTICE
    assert parse_receipt(notice.data).body.kind is ReceiptKind.EXPIRED


async def test_http_7_what_is_left_without_its_envelope_is_left_out(hub: RunningHub) -> None:
    probation = hub.programme.members["reka-probation"]
    await sent(hub, 2)
    await damage(hub, delivery, 0, wrap=None)
    assert [item.index for item in await hub.device(probation).items()] == [1]


async def test_http_7_a_damaged_set_of_sections_is_collected_with_all_that_nobody_else_waits_for(
    hub: RunningHub,
) -> None:
    probation = hub.programme.members["reka-probation"]
    await sent(hub, 2)
    await damage(hub, delivery, 0, sections=-(2**40))
    await hub.device(probation).acknowledge(1)
    assert await hub.hub.store.read(lambda at: at.scalar(select(func.count()).select_from(section))) == 0


@pytest.mark.parametrize("size", [2**50, -(2**50)])
async def test_http_18_a_damaged_size_uses_up_nobodys_share_and_makes_no_page_large(hub: RunningHub, size: int) -> None:
    probation = hub.programme.members["reka-probation"]
    await sent(hub, 3)
    await damage(hub, delivery, 0, size=size)
    ((_, messages, size_in_all),) = await hub.hub.store.read(lambda at: mailboxes.waiting(at, probation.device_id))
    assert messages == 3
    assert MAX_SLICE < size_in_all < 2 * MAX_SLICE
    page = await hub.hub.store.read(lambda at: mailboxes.page(at, probation.device_id, 0, 10, 100_000))
    assert len(page) == 1
    assert [item.index for item in await hub.device(probation).items()] == [0, 1, 2]


async def test_http_11_a_time_that_the_disk_has_put_forward_expires_nothing(hub: RunningHub) -> None:
    """Its sender would refuse a notice before the time that it gave, and its recipient would have lost the message."""
    prison, probation, _ = hub.programme.members.values()
    await sent(hub, 2)
    await damage(hub, envelope, 0, purge_at=hub.clock.now - 1)
    await damage(hub, envelope, 1, sender_device=bytes(32), envelope_id=bytes(16))
    await hub.hub.expiry.expire()
    assert len(await hub.device(probation).items()) == 2
    hub.clock.advance(2 * HOUR)
    assert await hub.hub.expiry.expire() == 2
    # By what its digest covers, and not by the columns that only help to find it.
    assert [item.index for item in await hub.device(prison).items()] == [2, 3]
    assert await hub.device(probation).items() == ()


async def test_http_11_an_envelope_of_which_a_hash_is_damaged_expires_without_a_notice(hub: RunningHub) -> None:
    """A notice would say in the hub's name what nobody has sent."""
    prison = hub.programme.members["gora-prison"]
    await sent(hub, 2)
    await damage(hub, envelope, 0, digest=bytes(32))
    hub.clock.advance(2 * HOUR)
    assert await hub.hub.expiry.expire() == 2
    assert [item.index for item in await hub.device(prison).items()] == [2]


async def test_aud_1_what_the_disk_has_kept_from_expiring_is_forgotten_with_the_rest(hub: RunningHub) -> None:
    """Nothing was ever forgotten any more."""
    await sent(hub, 2)
    await damage(hub, envelope, 0, purge_at=None)
    hub.clock.advance(400 * DAY)
    await hub.hub.expiry.expire()
    assert await hub.hub.expiry.forget(365) >= 2
    assert await hub.hub.store.read(lambda at: at.scalar(select(func.count()).select_from(envelope))) == 0


@pytest.mark.parametrize("values", [{"log": 3}, {"at": "x"}, {"compact": "x"}], ids=["log", "at", "compact"])
async def test_aud_9_a_log_whose_state_is_something_else_ends_the_hub(
    on_sqlite: RunningHub, values: dict[str, object]
) -> None:
    hub = on_sqlite
    prison, probation, _ = hub.programme.members.values()
    stated = ", ".join(f"{name} = '{value}'" for name, value in values.items())
    await execute(hub, text(f"UPDATE {tree.name} SET {stated} WHERE log = {Log.AUDIT}"))  # noqa: S608 - our own
    with pytest.raises(Unavailable):
        await hub.device(prison).submit(hub.programme.sender("gora-prison").seal(probation.desk).data)
    assert not hub.hub.writer.healthy


@pytest.mark.parametrize("table", [leaf, detail])
async def test_aud_9_what_stands_behind_the_end_of_a_log_ends_the_hub(hub: RunningHub, table: Any) -> None:
    """A number that the disk has changed: nothing could ever be appended, at a hub that said that it was well."""
    prison, probation, _ = hub.programme.members.values()
    values = {"log": Log.AUDIT, "idx": 0, "bytes": b"x", "hash": bytes(32)} if table is leaf else {"idx": 0}
    rest = {} if table is leaf else {"salt": b"x", "detail": b"x", "tree_size": 1, "tree_root": bytes(32)}
    await execute(hub, insert(table).values(**values, **rest))
    with pytest.raises(Unavailable):
        await hub.device(prison).submit(hub.programme.sender("gora-prison").seal(probation.desk).data)
    assert not hub.hub.writer.healthy
