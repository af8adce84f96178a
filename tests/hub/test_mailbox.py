# SPDX-License-Identifier: Apache-2.0
"""Mailboxes: read by cursor, one's own only, deleted on acknowledgement and not before."""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select

from hub.service import mailbox as mailbox_module
from hub.store import mailboxes as mailbox_rows
from hub.store.mailboxes import Removal
from hub.store.tables import metadata
from protocol.address import DeskAddress
from protocol.errors import InvalidInput, NotAuthenticated, Revoked, Unavailable
from protocol.frames import Item, ItemKind
from protocol.ids import KeyId
from protocol.limits import DAY, HOUR
from protocol.receipts import ReceiptKind, parse_receipt
from protocol.slices import parse_slice
from tests.hub.running import RunningHub, eventually
from tests.programme import Member, make_programme, open_as

TABLES = metadata.tables


async def stored(hub: RunningHub, table: str) -> int:
    """Return how many rows a table has, past the hub's services."""
    found = await hub.hub.store.read(
        lambda connection: connection.scalar(select(func.count()).select_from(TABLES[table]))
    )
    return int(found or 0)


async def send(hub: RunningHub, *desks: DeskAddress, count: int = 1, **more: object) -> list[bytes]:
    """Have the prison send `count` messages; return what was submitted."""
    sender, prison = hub.programme.sender("gora-prison"), hub.programme.members["gora-prison"]
    sealed = [sender.seal(*desks, **more).data for _ in range(count)]  # type: ignore[arg-type]
    for start in range(0, count, 64):
        await hub.device(prison).submit_batch(sealed[start : start + 64])
    return sealed


async def test_http_7_a_mailbox_is_read_by_cursor_in_the_order_of_the_log(hub: RunningHub) -> None:
    probation, csw = hub.programme.members["reka-probation"], hub.programme.members["polje-csw"]
    await send(hub, probation.desk, count=3)
    await send(hub, csw.desk, count=2)
    await send(hub, probation.desk, csw.desk)
    device = hub.device(probation)
    cursor, items = await device.read(limit=2)
    assert ([item.index for item in items], cursor) == ([0, 1], 2)
    cursor, items = await device.read(cursor, limit=200)
    assert ([item.index for item in items], cursor) == ([2, 5], 6)
    assert await device.read(cursor) == (6, ())
    # Reading deletes nothing.
    assert [item.index for item in await device.items()] == [0, 1, 2, 5]


async def test_http_7_an_acknowledgement_deletes_row_wrap_and_unshared_sections_only(hub: RunningHub) -> None:
    probation, csw = hub.programme.members["reka-probation"], hub.programme.members["polje-csw"]
    both = [probation.desk, csw.desk]
    sections = [(b"shared", both), (b"probation only", both[:1]), (b"social work only", both[1:])]
    await send(hub, *both, sections=sections)
    assert (await stored(hub, "delivery"), await stored(hub, "section")) == (2, 4)
    await hub.device(probation).acknowledge(0)
    assert (await stored(hub, "delivery"), await stored(hub, "section")) == (1, 3)
    assert await hub.device(probation).items() == ()
    (item,) = await hub.device(csw).items()
    opened = open_as(csw, item.data, programme=hub.programme, audit_key=hub.audit_key)
    assert [section.body for section in opened.sections.values()] == [b"shared", b"social work only"]
    await hub.device(csw).acknowledge(0)
    assert (await stored(hub, "delivery"), await stored(hub, "section")) == (0, 0)
    # Digest, receipt and replay row stay.
    assert (await stored(hub, "envelope"), await stored(hub, "detail"), await stored(hub, "leaf")) == (1, 1, 15)


async def test_http_7_what_is_not_acknowledged_is_delivered_again_also_after_a_restart(tmp_path: Path) -> None:
    programme = make_programme()
    probation = programme.members["reka-probation"]
    async with RunningHub(tmp_path, programme) as hub:
        await send(hub, probation.desk, count=3)
        before = await hub.device(probation).items()
        await hub.device(probation).acknowledge(0)
    async with RunningHub(tmp_path, programme) as hub:
        assert await hub.device(probation).items() == before[1:]


async def test_http_7_acknowledging_again_or_less_changes_nothing(hub: RunningHub) -> None:
    probation = hub.programme.members["reka-probation"]
    await send(hub, probation.desk, count=3)
    device = hub.device(probation)
    for up_to in (1, 0, 1):
        await device.acknowledge(up_to)
    assert [item.index for item in await device.items()] == [2]


async def test_http_7_what_was_never_delivered_cannot_be_acknowledged(hub: RunningHub) -> None:
    probation = hub.programme.members["reka-probation"]
    await send(hub, probation.desk)
    for up_to in (1, 2**53):
        with pytest.raises(InvalidInput):
            await hub.device(probation).acknowledge(up_to)
    assert len(await hub.device(probation).items()) == 1


async def test_http_8_a_device_reads_and_deletes_only_what_is_its_own(hub: RunningHub) -> None:
    """Promise 8: another device's items are not there, whatever cursor or index it names."""
    prison, probation, csw = hub.programme.members.values()
    await send(hub, probation.desk, count=3)
    for stranger in (prison, csw):
        assert await hub.device(stranger).read(0, limit=200) == (0, ())
        await hub.device(stranger).acknowledge(2)
    assert len(await hub.device(probation).items()) == 3
    assert await stored(hub, "section") == 3


async def test_http_8_a_replaced_device_gets_nothing_that_was_for_the_old_one(hub: RunningHub) -> None:
    """Section 5, attack 6: a new device asks for old mail."""
    probation = hub.programme.members["reka-probation"]
    await send(hub, probation.desk)
    old = hub.programme.replace_device(probation, "second device")
    await hub.catch_up()
    assert await hub.device(probation).items() == ()
    await hub.device(probation).acknowledge(0)
    # The old one is still in force and still gets its own.
    assert len(await hub.device(probation, old).items()) == 1
    await send(hub, probation.desk)
    assert [item.index for item in await hub.device(probation).items()] == [1]
    assert [item.index for item in await hub.device(probation, old).items()] == [0]


async def test_http_7_a_long_poll_is_answered_as_soon_as_something_comes(hub: RunningHub) -> None:
    probation, csw = hub.programme.members["reka-probation"], hub.programme.members["polje-csw"]
    polls = [asyncio.create_task(hub.device(member).read(wait=50)) for member in (probation, probation, csw)]
    await eventually(lambda: len(hub.hub.mailboxes._watchers) == 2)
    await send(hub, probation.desk)
    async with asyncio.timeout(20):
        first, second = await asyncio.gather(*polls[:2])
    assert first == second
    assert [item.index for item in first[1]] == [0]
    assert not polls[2].done()
    polls[2].cancel()


async def test_http_7_a_long_poll_ends_empty_when_its_time_is_over_or_the_hub_stops(hub: RunningHub) -> None:
    probation = hub.programme.members["reka-probation"]
    assert await hub.device(probation).read(wait=1) == (0, ())
    assert not hub.hub.mailboxes._watchers
    poll = asyncio.create_task(hub.device(probation).read(7, wait=50))
    await eventually(lambda: bool(hub.hub.mailboxes._watchers))
    hub.hub.mailboxes.close()
    async with asyncio.timeout(20):
        assert await poll == (7, ())
    with pytest.raises(Unavailable):
        await hub.device(probation).read(wait=1)


@pytest.mark.parametrize("ends", ["revoked", "certificate over"])
async def test_http_12_a_long_poll_of_a_device_that_ceases_to_be_in_force_is_refused_at_once(
    hub: RunningHub, ends: str
) -> None:
    probation, csw = hub.programme.members["reka-probation"], hub.programme.members["polje-csw"]
    poll, other = (asyncio.create_task(hub.device(one).read(wait=50)) for one in (probation, csw))
    await eventually(lambda: len(hub.hub.mailboxes._watchers) == 2)
    if ends == "revoked":
        await hub.hub.directory.append(hub.programme.revoke_device(probation))
    else:
        renewed = hub.programme.state_device(csw, csw.device, age=0)
        await hub.hub.directory.append(renewed)
        hub.clock.advance(75 * DAY)
        hub.hub.connections.recheck()
    async with asyncio.timeout(20):
        with pytest.raises(Revoked if ends == "revoked" else NotAuthenticated):
            await poll
    assert not other.done(), "nobody else's poll is ended"
    other.cancel()


async def test_http_12_mail_that_comes_with_the_revocation_is_not_handed_to_who_waited(hub: RunningHub) -> None:
    """The poll wakes because something came, and the device was revoked by then: it must get none of it."""
    prison, probation, _ = hub.programme.members.values()
    data = hub.programme.sender("gora-prison").seal(probation.desk).data
    poll = asyncio.create_task(hub.device(probation).read(wait=50))
    await eventually(lambda: bool(hub.hub.mailboxes._watchers))
    read = hub.hub.mailboxes.read
    revocation = hub.programme.revoke_device(probation)

    async def revoked_meanwhile(device_id: KeyId, cursor: int, most: int, most_bytes: int | None = None) -> list[Item]:
        items = await read(device_id, cursor, most, most_bytes)
        if items:
            await hub.hub.directory.append(revocation)
        return items

    hub.hub.mailboxes.read = revoked_meanwhile  # type: ignore[method-assign]
    await hub.device(prison).submit(data)
    async with asyncio.timeout(20):
        with pytest.raises(Revoked):
            await poll


async def test_long_polls_of_one_device_are_bounded(hub: RunningHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox_module, "MAX_WATCHERS", 2)
    probation = hub.programme.members["reka-probation"]
    device_id = probation.device_id
    with (
        hub.hub.mailboxes.watch(device_id),
        hub.hub.mailboxes.watch(device_id),
        pytest.raises(Unavailable),
        hub.hub.mailboxes.watch(device_id),
    ):
        pass
    assert not hub.hub.mailboxes._watchers


async def test_a_page_is_bounded_in_bytes_but_never_empty(hub: RunningHub, monkeypatch: pytest.MonkeyPatch) -> None:
    probation = hub.programme.members["reka-probation"]
    monkeypatch.setattr(mailbox_module, "MAX_DELIVERY", 30_000)
    await send(hub, probation.desk, count=3)
    await send(hub, probation.desk, sections=[(bytes(100_000), [probation.desk])])
    await send(hub, probation.desk)
    device, sizes, cursor = hub.device(probation), [], 0
    while True:
        cursor, items = await device.read(cursor)
        if not items:
            break
        sizes.append(len(items))
    assert sizes == [2, 1, 1, 1]


async def test_http_15_many_long_acknowledgements_at_once_make_no_large_group(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else's message is committed while a group deletes a hundred thousand of them."""
    monkeypatch.setattr(mailbox_module, "AT_ONCE", 5)
    monkeypatch.setattr(mailbox_module, "IN_ONE_GROUP", 7)
    probation, csw = hub.programme.members["reka-probation"], hub.programme.members["polje-csw"]
    await send(hub, probation.desk, csw.desk, count=12)
    groups, remove = list[int](), mailbox_rows.remove

    def removing(connection: Connection, removals: Sequence[Removal]) -> None:
        groups.append(len(removals))
        remove(connection, removals)

    monkeypatch.setattr(mailbox_rows, "remove", removing)
    await asyncio.gather(*(hub.hub.mailboxes.acknowledge(one.device_id, 11) for one in (probation, csw)))
    assert sum(groups) == 24
    assert max(groups) == 7
    assert [len(await hub.device(one).items()) for one in (probation, csw)] == [0, 0]


async def test_long_acknowledgements_are_worked_off_in_portions(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox_module, "AT_ONCE", 7)
    monkeypatch.setattr(mailbox_rows, "_AT_ONCE", 3)
    probation, csw = hub.programme.members["reka-probation"], hub.programme.members["polje-csw"]
    await send(hub, probation.desk, csw.desk, count=30)
    await hub.device(probation).acknowledge(24)
    assert [item.index for item in await hub.device(probation).items()] == list(range(25, 30))
    assert len(await hub.device(csw).items()) == 30


async def test_any_order_of_acknowledgements_leaves_what_the_others_still_need(hub: RunningHub) -> None:
    """A model beside the hub: random sections, random acknowledgements, and each device sees exactly its own."""
    chance = random.Random(7)
    probation, csw = hub.programme.members["reka-probation"], hub.programme.members["polje-csw"]
    members: list[Member] = [probation, csw]
    waiting: dict[str, list[int]] = {member.address: [] for member in members}
    for index in range(12):
        to = chance.choice([[probation], [csw], members])
        desks = [member.desk for member in to]
        sections = [(b"%d %d" % (index, number), chance.choice([desks, desks[:1]])) for number in range(3)]
        await send(hub, *desks, sections=sections)
        for member in to:
            waiting[member.address].append(index)
        member = chance.choice(members)
        up_to = chance.randint(0, index)
        await hub.device(member).acknowledge(up_to)
        waiting[member.address] = [one for one in waiting[member.address] if one > up_to]
        for each in members:
            items = await hub.device(each).items()
            assert [item.index for item in items] == waiting[each.address]
            for item in items:
                open_as(each, item.data, programme=hub.programme, audit_key=hub.audit_key)


def kinds(items: tuple[Item, ...]) -> list[ItemKind]:
    return [item.kind for item in items]


async def test_http_11_an_expired_envelope_is_purged_and_its_sender_is_told(hub: RunningHub) -> None:
    prison, probation, csw = hub.programme.members.values()
    sealed = hub.programme.sender("gora-prison").seal(probation.desk, csw.desk, life=HOUR)
    receipt = await hub.device(prison).submit(sealed.data)
    await hub.device(csw).acknowledge(0)
    assert await hub.hub.expiry.expire() == 0
    hub.clock.advance(HOUR)
    assert await hub.hub.expiry.expire() == 1
    assert await hub.hub.expiry.expire() == 0
    assert await hub.device(probation).items() == ()
    assert (await stored(hub, "delivery"), await stored(hub, "section")) == (1, 0)
    (notice,) = await hub.device(prison).items()
    assert (notice.kind, notice.index) == (ItemKind.NOTICE, 1)
    body = parse_receipt(notice.data).body
    accepted = parse_receipt(receipt).body
    assert body.kind is ReceiptKind.EXPIRED
    assert (body.detail.envelope_id, body.detail.digest) == (sealed.envelope_id, accepted.detail.digest)
    # Told until it is acknowledged, and the replay row is still there.
    assert (await hub.device(prison).items())[0] == notice
    assert await hub.device(prison).submit(sealed.data) == receipt
    await hub.device(prison).acknowledge(1)
    assert await hub.device(prison).items() == ()
    assert await stored(hub, "delivery") == 0


async def test_http_11_what_was_collected_in_time_never_expires(hub: RunningHub) -> None:
    prison, probation, _ = hub.programme.members.values()
    await send(hub, probation.desk, life=HOUR)
    await hub.device(probation).acknowledge(0)
    hub.clock.advance(DAY)
    assert await hub.hub.expiry.expire() == 0
    assert await hub.device(prison).items() == ()


async def test_http_11_many_envelopes_expire_in_portions(hub: RunningHub) -> None:
    prison, probation, _ = hub.programme.members.values()
    await send(hub, probation.desk, count=130, life=HOUR)
    hub.clock.advance(HOUR)
    assert await hub.hub.expiry.expire() == 130
    items = (await hub.device(prison).read(limit=200))[1]
    assert kinds(items) == [ItemKind.NOTICE] * 130
    assert [item.index for item in items] == list(range(130, 260))


async def test_evidence_is_forgotten_after_its_time_and_the_leaves_stay(tmp_path: Path) -> None:
    programme = make_programme()
    prison, probation, _ = programme.members.values()
    async with RunningHub(tmp_path, programme) as hub:
        await send(hub, probation.desk, count=2, life=HOUR)
        hub.clock.advance(HOUR)
        await hub.hub.expiry.expire()
        assert await hub.hub.expiry.forget(400) == 0
        hub.clock.advance(401 * DAY)
        # The last of a time is known by a later one, so that a quiet hub forgets a little later.
        assert await hub.hub.expiry.forget(400) == 2
        assert await stored(hub, "envelope") == 0
        assert await hub.leaves() == 4
    async with RunningHub(tmp_path, programme) as hub:
        assert await hub.leaves() == 4
    assert prison is not None


async def test_env_15_a_slice_holds_nothing_of_another_recipient_but_hashes(hub: RunningHub) -> None:
    """Section 5, attack 1, on the bytes that the hub hands out."""
    probation, csw = hub.programme.members["reka-probation"], hub.programme.members["polje-csw"]
    await send(hub, probation.desk, csw.desk, sections=[(b"theirs", [probation.desk])])
    (item,) = await hub.device(csw).items()
    (other,) = await hub.device(probation).items()
    for foreign in (probation.desk.encode(), probation.device_id, parse_slice(other.data).wrap):
        assert foreign not in item.data
    assert parse_slice(item.data).sections.keys() == {0}


async def test_http_7_what_was_committed_without_a_word_is_found_with_the_next_commit(hub: RunningHub) -> None:
    """As when memory runs out between a commit and its answers: whoever waits for it looks again."""
    prison, probation, csw = hub.programme.members.values()
    waiting = asyncio.create_task(hub.device(probation).read(0, wait=20))
    await eventually(lambda: bool(hub.hub.mailboxes._watchers))
    listeners, hub.hub.writer._listeners = hub.hub.writer._listeners, []
    await hub.device(prison).submit(hub.programme.sender("gora-prison").seal(probation.desk).data)
    hub.hub.writer._listeners = listeners
    await hub.device(prison).submit(hub.programme.sender("gora-prison").seal(csw.desk).data)
    if hub.hub.store.shared:
        # Beside other processes it is the look at the database that finds it.
        hub.hub.neighbours._hearing = True
        await hub.hub.neighbours.look()
    _, items = await waiting
    assert len(items) == 1
