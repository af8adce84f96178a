# SPDX-License-Identifier: Apache-2.0
"""Attachments on a disk that is full or fails: each waits by itself, and none takes the room of the mail (ATT-10)."""

import errno
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from connectors.attachment_files import FOLDER, AttachmentFiles
from connectors.store import attachments
from hub.config import BLOBS_NAME
from protocol import disk
from protocol.diagnosis import Condition
from protocol.errors import StoreFull
from protocol.http.handovers import MessageState
from protocol.limits import BLOB_CHUNK, HOUR
from tests.connectors.conftest import World
from tests.connectors.stations import Station
from tests.connectors.test_attachments import SCAN, carry, fetch, files, read, send, shown, store
from tests.connectors.test_doctor import looked_at

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")

LARGE = bytes(3 * BLOB_CHUNK)
RESERVE = 10 << 20

Usage = namedtuple("Usage", "total used free")


class Disk:
    """Says how much is free beside the files of attachments in one folder: `room`, and the reserve."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, room: int) -> None:
        self.room = room
        real = shutil.disk_usage

        def usage(path: Path) -> object:
            if not Path(path).is_relative_to(folder):
                return real(path)
            taken = sum(one.stat().st_size for one in folder.rglob("*") if one.is_file() and FOLDER in one.parts)
            taken += sum(one.stat().st_size for one in folder.rglob("*") if one.is_file() and BLOBS_NAME in one.parts)
            return Usage(1 << 40, 0, RESERVE + self.room - taken)

        monkeypatch.setattr(disk, "RESERVE", RESERVE)
        monkeypatch.setattr(shutil, "disk_usage", usage)


async def again(station: Station, world: World) -> None:
    """Let an hour pass, which is the longest wait, and look at what is due once."""
    world.hub.clock.advance(HOUR)
    await station.parts.downloads.step()


async def tries(station: Station) -> list[int]:
    async with station.parts.store.read() as tx:
        return [one.tries for one in await attachments.failing(tx)]


async def test_att_10_what_does_not_fit_waits_and_smaller_ones_behind_it_come(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = await send(world, (await store(world.prison, LARGE), 1), (await store(world.prison, SCAN, 1), 1))
    await carry(world.prison)
    there = Disk(monkeypatch, world.probation.folder, room=len(LARGE))
    await fetch(world.probation)
    assert [one[3] for one in await shown(world.probation, sent)] == ["waiting", "stored"]
    assert await read(world.probation, sent, 1, 1) == SCAN
    assert [path.suffix for path in files(world.probation)] == [""], "nothing of what does not fit takes room"
    assert await tries(world.probation) == [1]
    assert "store-full" in world.probation.logged.getvalue()
    found = (await looked_at(world.probation, world.hub.clock))["attachments"]
    assert (found.condition, found.found) == (
        Condition.WARNING,
        "One attachment finds no room; the largest has 3 MiB.",
    )
    there.room = 1 << 30
    await again(world.probation, world)
    assert await read(world.probation, sent) == LARGE
    assert "attachments" not in await looked_at(world.probation, world.hub.clock)


async def test_att_10_what_finds_no_room_half_way_gives_back_what_it_took(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = await send(world, (await store(world.prison, LARGE), 1))
    await carry(world.prison)
    there = Disk(monkeypatch, world.probation.folder, room=1 << 30)
    append = AttachmentFiles.append

    def append_and_fill(own: AttachmentFiles, name: str, data: bytes) -> None:
        append(own, name, data)
        there.room = BLOB_CHUNK

    with monkeypatch.context() as patch:
        patch.setattr(AttachmentFiles, "append", append_and_fill)
        await fetch(world.probation)
    assert files(world.probation) == []
    there.room = 1 << 30
    await again(world.probation, world)
    assert await read(world.probation, sent) == LARGE


async def test_att_10_who_stores_an_attachment_of_ours_leaves_the_reserve_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    Disk(monkeypatch, world.prison.folder, room=BLOB_CHUNK)
    with pytest.raises(StoreFull):
        await store(world.prison, LARGE)
    assert files(world.prison) == []
    await store(world.prison, b"small")


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ENOSPC, errno.EMFILE])
@pytest.mark.parametrize("method", ["append", "check", "finish", "part_size"])
async def test_att_10_con_8_a_file_that_the_disk_refuses_holds_up_only_itself(
    world: World, monkeypatch: pytest.MonkeyPatch, method: str, number: int
) -> None:
    sent = await send(world, (await store(world.prison, SCAN), 1), (await store(world.prison, b"2", 1), 1))
    await carry(world.prison)
    real = getattr(AttachmentFiles, method)

    def refuse(own: AttachmentFiles, name: str, *arguments: object, **named: object) -> object:
        if name.startswith("in-1-"):
            raise OSError(number, "planted phrase")
        return real(own, name, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(AttachmentFiles, method, refuse)
        await fetch(world.probation)
        assert [one[3] for one in await shown(world.probation, sent)] == ["waiting", "stored"]
        for passed in range(2, 13):
            await again(world.probation, world)
            assert await tries(world.probation) == [passed]
        found = (await looked_at(world.probation, world.hub.clock))["attachments"]
    assert (found.condition, found.found) == (
        Condition.WARNING,
        "One attachment could not be fetched for an hour or more.",
    )
    assert "planted" not in world.probation.logged.getvalue()
    await again(world.probation, world)
    assert await read(world.probation, sent) == SCAN


async def test_att_10_a_part_that_cannot_be_read_is_fetched_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad sector under half a file, or a file of another user's: it would be refused for ever."""
    sent = await send(world, (await store(world.prison, SCAN), 1))
    await carry(world.prison)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "")

    with monkeypatch.context() as patch:
        patch.setattr(AttachmentFiles, "check", refuse)
        await fetch(world.probation)
    assert files(world.probation) == []
    await again(world.probation, world)
    assert await read(world.probation, sent) == SCAN


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES])
async def test_att_10_con_8_an_upload_that_cannot_be_read_holds_up_only_its_own_envelope(
    world: World, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    stuck = await store(world.prison, SCAN)
    first, second = await send(world, (stuck, 1)), await send(world, (await store(world.prison, b"2"), 1))
    real = AttachmentFiles.read

    def refuse(own: AttachmentFiles, name: str, offset: int, length: int) -> bytes:
        if stuck.hex() in name:
            raise OSError(number, "")
        return real(own, name, offset, length)

    with monkeypatch.context() as patch:
        patch.setattr(AttachmentFiles, "read", refuse)
        await carry(world.prison)
    assert set((await world.prison.states(first)).values()) == {MessageState.QUEUED}
    assert set((await world.prison.states(second)).values()) == {MessageState.ACCEPTED}
    world.hub.clock.advance(HOUR)
    await carry(world.prison)
    assert set((await world.prison.states(first)).values()) == {MessageState.ACCEPTED}


async def test_att_10_http_17_attachments_leave_the_hub_room_for_mail(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Disk(monkeypatch, world.hub.folder, room=BLOB_CHUNK)
    sent = await send(world, (await store(world.prison, LARGE), 1))
    await carry(world.prison)
    assert set((await world.prison.states(sent)).values()) == {MessageState.QUEUED}
    mail = await world.prison.send(world.probation.desk)
    assert set((await world.prison.states(mail)).values()) == {MessageState.ACCEPTED}
    there.room = 1 << 30
    world.hub.clock.advance(HOUR)
    await carry(world.prison)
    assert set((await world.prison.states(sent)).values()) == {MessageState.ACCEPTED}
