# SPDX-License-Identifier: Apache-2.0
"""AUD-3 seen from outside, at the moment between commit and guard: what is not guarded is in no receipt."""

import asyncio
import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hub.service import guard as guard_module
from hub.service.guard import Guard, GuardedHead
from protocol.errors import StoreFull
from protocol.receipts import parse_receipt
from tests.hub.running import RunningHub
from tests.programme import Programme


class Gate:
    """A hook of the writer that stops at a step until it is let go on."""

    def __init__(self, step: str) -> None:
        self.step = step
        self.closed = False
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, step: str) -> None:
        if self.closed and step == self.step:
            self.reached.set()
            assert self.go_on.wait(30)


async def test_aud_3_nothing_unguarded_is_delivered_or_receipted(tmp_path: Path, programme: Programme) -> None:
    gate = Gate("after-commit")
    async with RunningHub(tmp_path, programme, reach=gate) as hub:
        prison, probation, _ = programme.members.values()
        # Read through the service: an HTTP request would itself wait for the writer, with its nonce.
        mailbox, submissions = hub.hub.mailboxes, hub.hub.submissions
        sealed = programme.sender("gora-prison").seal(probation.desk)
        gate.closed = True
        first = asyncio.ensure_future(submissions.submit(prison.device_id, sealed.data))
        await asyncio.to_thread(gate.reached.wait, 30)
        assert await hub.leaves() == 1
        assert await mailbox.read(probation.device_id, 0, 10) == []
        waiting = asyncio.create_task(mailbox.wait(probation.device_id, 0, 10, 30, in_force=lambda _: None))
        again = submissions.submit(prison.device_id, sealed.data)
        await asyncio.sleep(0.2)
        assert not again.done()
        assert not waiting.done()
        gate.closed = False
        gate.go_on.set()
        assert await first == await again
        assert len(await waiting) == 1


class FullDisk:
    """A guard's disk on which a line finds room or not, half of it first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        write = os.write

        def limited(file: int, data: bytes) -> int:
            if self.full:
                write(file, data[: len(data) // 2])
                raise OSError(errno.ENOSPC, "no space left on device")
            return write(file, data)

        monkeypatch.setattr(os, "write", limited)


async def test_http_17_without_room_for_the_guard_nothing_is_answered_and_all_goes_on_afterwards(
    tmp_path: Path, programme: Programme, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk(monkeypatch)
    async with RunningHub(tmp_path, programme) as hub:
        prison, probation, _ = programme.members.values()
        mailbox, submissions = hub.hub.mailboxes, hub.hub.submissions
        sender = programme.sender("gora-prison")
        before = await submissions.submit(prison.device_id, sender.seal(probation.desk).data)
        sealed = sender.seal(probation.desk)
        disk.full = True
        for attempt in (sealed, sealed, sender.seal(probation.desk)):
            with pytest.raises(StoreFull):
                await submissions.submit(prison.device_id, attempt.data)
        # One group was committed before its guard found no room; from then on nothing more is.
        assert await hub.leaves() == 2
        assert [item.index for item in await mailbox.read(probation.device_id, 0, 10)] == [0]
        waiting = asyncio.create_task(mailbox.wait(probation.device_id, 1, 10, 30, in_force=lambda _: None))
        await asyncio.sleep(0)
        disk.full = False
        receipt = await submissions.submit(prison.device_id, sealed.data)
        assert [item.index for item in await waiting] == [1]
        assert [parse_receipt(raw).body.index for raw in (before, receipt)] == [0, 1]
        folder = hub.folder
    guard = Guard(folder / "hub.guard")
    guard.read()
    assert not guard.torn
    async with RunningHub(tmp_path, programme) as hub:
        assert await hub.leaves() == 2


async def test_dir_10_a_statement_that_found_no_room_in_the_guard_is_vouched_for_later(
    tmp_path: Path, programme: Programme, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk(monkeypatch)
    async with RunningHub(tmp_path, programme) as hub:
        prison, probation, _ = programme.members.values()
        programme.enrol("new-agency", "ngo", {"intake": "ngo"})
        head = await hub.hub.directory.head()
        disk.full = True
        with pytest.raises(StoreFull):
            await hub.catch_up()
        assert await hub.hub.directory.head() == head
        disk.full = False
        await hub.catch_up()
        assert await hub.hub.directory.head() != head
        assert hub.hub.directory.directory.size == len(programme.statements)
        await hub.hub.submissions.submit(prison.device_id, programme.sender("gora-prison").seal(probation.desk).data)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE])
def test_aud_3_a_guard_that_cannot_be_made_smaller_now_is_made_smaller_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(guard_module, "COMPACT_ABOVE", 1_000)
    path = tmp_path / "hub.guard"
    guard = Guard(path)
    guard.start([])
    opening: Callable[..., int] = os.open
    short = True

    def failing(name: Path, flags: int, mode: int = 0o777) -> int:
        if short and str(name).endswith(".new"):
            raise OSError(number, "none left")
        return opening(name, flags, mode)

    monkeypatch.setattr(os, "open", failing)
    for size in range(1, 21):
        guard.append([GuardedHead("hub.example/audit", size, bytes(32), size)])
    assert path.stat().st_size > 2_000
    short = False
    for size in range(21, 26):
        guard.append([GuardedHead("hub.example/audit", size, bytes(32), size)])
    guard.close()
    assert path.stat().st_size < 1_400
    again = Guard(path)
    again.read()
    assert again.size_of("hub.example/audit") == 25
    assert [one.name for one in tmp_path.iterdir()] == ["hub.guard"]
