# SPDX-License-Identifier: Apache-2.0
"""Whose attachments come first, and how much of a disk one agency may take: nobody waits for another's (ATT-11)."""

import secrets
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import transfers
from connectors.attachment_files import AttachmentFiles
from connectors.faults import desk_of_row
from connectors.store import attachments
from connectors.store.engine import Transaction
from protocol import disk
from protocol.address import AgencyAddress, DeskAddress
from protocol.disk import spares_share
from protocol.http.handovers import HandoverRequest, NamedAttachment
from protocol.ids import BlobId, MessageId
from protocol.limits import BLOB_CHUNK
from tests.connectors.conftest import World
from tests.connectors.stations import Station, package, person_section
from tests.connectors.test_attachment_room import RESERVE, Disk, Usage, again, tries
from tests.connectors.test_attachments import SCAN, carry, fetch, files, read, store
from tests.connectors.test_doctor import looked_at
from tests.connectors.test_transfer_patience import Hesitant, number

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")

TURN = 2 * BLOB_CHUNK
LARGE = bytes(5 * BLOB_CHUNK)


@pytest.fixture(autouse=True)
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a turn be two chunks."""
    monkeypatch.setattr(transfers, "TURN_BYTES", TURN)


async def hand_over(sender: Station, world: World, *named: BlobId) -> MessageId:
    """Send attachments to probation."""
    request = HandoverRequest(
        to=[world.probation.desk],
        package=package(person_section()),
        attachments=[NamedAttachment(id=one, section=1) for one in named],
    )
    queued = await sender.parts.handovers.send(request, key=secrets.token_urlsafe(24), body=b"")
    await carry(sender)
    return queued.answer.id


async def state(station: Station, sent: MessageId) -> list[str]:
    async with station.parts.store.read() as tx:
        return [one.state.value for one in await attachments.of_message(tx, sent)]


async def test_att_11_an_agencys_large_attachments_hold_up_nobody_elses(world: World) -> None:
    large = await hand_over(world.prison, world, *[await store(world.prison, LARGE, place) for place in range(2)])
    await world.probation.collect()
    await world.probation.parts.downloads.step()
    (part,) = files(world.probation)
    assert (part.suffix, part.stat().st_size) == (".part", TURN)
    # It comes when the other's are under way already.
    small = await hand_over(world.social_work, world, await store(world.social_work, SCAN))
    await world.probation.collect()
    await world.probation.parts.downloads.step()
    assert await state(world.probation, small) == ["kept"]
    assert await state(world.probation, large) == ["waiting", "waiting"]
    assert await read(world.probation, small) == SCAN
    await fetch(world.probation)
    assert await state(world.probation, large) == ["kept", "kept"]
    assert await read(world.probation, large, 1, 1) == LARGE


async def test_att_11_many_small_ones_hold_up_nobody_elses_either(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, "TURN_MOST", 2)
    many = await hand_over(world.prison, world, *[await store(world.prison, b"1", place) for place in range(5)])
    await world.probation.collect()
    small = await hand_over(world.social_work, world, await store(world.social_work, b"2"))
    await world.probation.collect()
    assert await world.probation.parts.downloads.step() == 3
    assert await state(world.probation, small) == ["kept"]
    assert sorted(await state(world.probation, many)) == ["kept"] * 2 + ["waiting"] * 3


async def test_att_11_con_2_who_got_on_for_a_turn_has_not_failed_over_and_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = await hand_over(world.prison, world, await store(world.prison, LARGE))
    await world.probation.collect()
    hesitant = Hesitant(monkeypatch, "read")
    hesitant.shut = True
    for failed in (1, 2, 3):
        await again(world.probation, world)
        assert await tries(world.probation) == [failed]
    monkeypatch.undo()
    monkeypatch.setattr(transfers, "TURN_BYTES", TURN)
    await again(world.probation, world)
    assert await state(world.probation, sent) == ["waiting"]
    assert await number(world.probation, "tries", "attachment_in") == 0
    await fetch(world.probation)
    assert await read(world.probation, sent) == LARGE


async def test_att_11_an_agency_that_sends_without_end_leaves_the_others_their_room(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hostile prison: what it sends would take all, and be followed by more as soon as it is collected."""
    Disk(monkeypatch, world.probation.folder, room=12 << 20)
    for _ in range(4):
        await hand_over(world.prison, world, await store(world.prison, LARGE))
    await fetch(world.probation)
    for _ in range(3):
        await again(world.probation, world)
    assert "store-full" in world.probation.logged.getvalue()
    assert len(files(world.probation)) == 1, "with a second one it would have more than three quarters"
    waiting = [await hand_over(world.prison, world, await store(world.prison, LARGE)) for _ in range(2)]
    small = await hand_over(world.social_work, world, await store(world.social_work, SCAN))
    await fetch(world.probation)
    assert await read(world.probation, small) == SCAN
    assert [await state(world.probation, one) for one in waiting] == [["waiting"], ["waiting"]]
    found = (await looked_at(world.probation, world.hub.clock))["attachments"]
    assert found.found == "5 attachments find no room; the largest has 5 MiB."
    # What was deleted meanwhile makes room again, though its bytes were counted.
    next(path for path in files(world.probation) if path.stat().st_size > len(SCAN) * 2).unlink()
    await again(world.probation, world)
    await fetch(world.probation)
    assert sum(one == ["kept"] for one in [await state(world.probation, one) for one in waiting]) <= 1
    assert len([path for path in files(world.probation) if path.stat().st_size > len(SCAN) * 2]) == 1


async def test_att_11_however_much_waits_only_a_turn_is_read_and_what_is_here_is_counted_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hostile prison has thousands of small ones named: each would have cost a reading of all."""
    counted, told = 0, 0
    monkeypatch.setattr(transfers, "TURN_MOST", 2)
    real_count = attachments.files_of

    async def counting(tx: Transaction, agency: AgencyAddress) -> set[str]:
        nonlocal counted
        counted += 1
        return await real_count(tx, agency)

    def telling(desk: DeskAddress) -> DeskAddress:
        nonlocal told
        told += 1
        return desk_of_row(desk)

    sent = await hand_over(world.prison, world, *[await store(world.prison, b"1", place) for place in range(7)])
    await world.probation.collect()
    monkeypatch.setattr(attachments, "files_of", counting)
    monkeypatch.setattr(attachments, "desk_of_row", telling)
    for turn in range(4):
        async with world.probation.parts.store.read() as tx:
            (due,) = (await attachments.due(tx, world.hub.clock(), 2))[0].values()
        assert (len(due), told) == (min(2, 7 - 2 * turn), min(2, 7 - 2 * turn))
        await world.probation.parts.downloads.step()
        told = 0
    assert await state(world.probation, sent) == ["kept"] * 7
    assert counted == 1


async def test_att_11_con_8_those_that_are_damaged_fill_no_turn_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, "TURN_MOST", 2)
    await hand_over(world.prison, world, *[await store(world.prison, b"1", place) for place in range(2)])
    sent = await hand_over(world.prison, world, *[await store(world.prison, b"2", place) for place in range(2)])
    await world.probation.collect()
    async with world.probation.parts.store.write() as tx:
        await tx.connection.exec_driver_sql("UPDATE attachment_in SET sealed = x'00' WHERE position <= 2")
    for _ in range(2):
        await world.probation.parts.downloads.step()
    assert await state(world.probation, sent) == ["kept", "kept"]
    assert await world.probation.parts.downloads.step() == 0


async def test_att_11_what_one_agency_has_is_counted_over_all_its_desks_and_begun_files(world: World) -> None:
    first = await hand_over(world.prison, world, await store(world.prison, LARGE))
    await hand_over(world.social_work, world, await store(world.social_work, SCAN))
    await world.probation.collect()
    await world.probation.parts.downloads.step()
    here = AttachmentFiles(world.probation.folder)
    async with world.probation.parts.store.read() as tx:
        (one,) = await attachments.of_message(tx, first)
        names = await attachments.files_of(tx, one.agency)
        nobodys = await attachments.files_of(tx, world.probation.member.address)
    assert (names, nobodys) == ({one.file}, set())
    assert here.taken(names) == TURN
    assert here.taken(nobodys) == 0


@given(
    st.integers(min_value=1, max_value=1 << 44),
    st.lists(st.integers(min_value=8_264, max_value=1 << 30), min_size=1, max_size=60),
    st.integers(min_value=0, max_value=1 << 44),
)
def test_att_11_whatever_one_agency_sends_a_third_of_it_stays_free(total: int, sizes: list[int], others: int) -> None:
    """It is kept for the others: as long as the others take nothing more, what was begun has been within the bound."""
    taken, reserve = 0, min(disk.RESERVE, total // 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: Usage(total, 0, total - others - taken))
        for size in sizes:
            if spares_share(Path(), size, taken):
                taken += size
                assert 3 * (total - others - taken - reserve) >= taken
            else:
                assert 3 * (total - others - taken - size - reserve) < taken + size


def test_att_11_beside_what_an_agency_has_only_what_is_left_of_its_share_is_its_to_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = AttachmentFiles(tmp_path)
    monkeypatch.setattr(disk, "RESERVE", RESERVE)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 0, RESERVE + 100))
    assert here.has_share(75, 0)
    assert not here.has_share(76, 0)
    assert not here.has_share(75, 1)
