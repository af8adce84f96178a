# SPDX-License-Identifier: Apache-2.0
"""Fault 19: a disk that fails at a sync. The hub ends, answers nobody, and syncs that file no second time.

The system marks pages clean that it could not write, so a second sync says that all is well: PostgreSQL lost data
that way for twenty years. The faults here are real errors of the system's calls, in the real program.
"""

import errno
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.faultyio import COMPILER, MISSING, FaultyDisk, compiled
from tests.faults.hubprogram import HubProgram, Ledger

pytestmark = pytest.mark.skipif(COMPILER is None, reason=MISSING)

DAMAGED = 8
FILES = ("hub.db-wal", "hub.guard")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("faultyio"))


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[HubProgram]:
    async with HubProgram.new(tmp_path) as program:
        yield program


@pytest.mark.parametrize("file", FILES)
async def test_aud_9_a_sync_that_fails_ends_the_hub_and_is_not_tried_again(
    hub: HubProgram, library: Path, tmp_path: Path, file: str
) -> None:
    disk = FaultyDisk(library, tmp_path, "sync", file, 3, errno.EIO)
    ledger = Ledger(hub)
    await hub.start(disk.environment())
    await hub.publish()
    assert await ledger.send(ledger.seal())
    disk.arm()
    while await ledger.send(ledger.seal()):
        assert len(ledger.sent) < 10
    assert await hub.ended() == DAMAGED
    assert "check the disk" in hub.said
    assert "Traceback" not in hub.said
    assert disk.trace() == ["failed"]
    await hub.start()
    await ledger.settle()


@pytest.mark.full
@pytest.mark.parametrize(
    ("call", "file", "error"),
    [
        ("sync", "hub.db-wal", errno.EIO),
        ("sync", "hub.guard", errno.EIO),
        ("sync", "hub.db", errno.EIO),
        ("write", "hub.guard", errno.EIO),
        ("write", "hub.guard", errno.ENOSPC),
        ("write", "hub.db", errno.ENOSPC),
        ("write", "hub.db-wal", errno.ENOSPC),
    ],
)
async def test_aud_9_whichever_call_fails_nothing_acknowledged_is_lost(
    hub: HubProgram, library: Path, tmp_path: Path, call: str, file: str, error: int
) -> None:
    """Fail the N-th call, for N from 1 until a run ends without a fault."""
    ledger, number = Ledger(hub), 0
    await hub.start()
    await hub.publish()
    assert await hub.stop() == 0
    happened = True
    while happened:
        number += 1
        disk = FaultyDisk(library, tmp_path, call, file, number, error)
        disk.disarm()
        disk.arm()
        try:
            await hub.start(disk.environment())
        except AssertionError:
            # It did not even start, and said why.
            assert "Traceback" not in hub.said
        else:
            await ledger.send(ledger.seal())
            if hub.pid and not await hub.is_gone():
                assert await hub.stop() in (0, DAMAGED), hub.said
        trace = disk.trace()
        happened = "failed" in trace
        if happened and call == "sync" and file != "hub.guard":
            assert "sync" not in trace, (number, trace)
        if happened and file == "hub.db":
            # What could not be moved into the file waits in the log: a run without a fault moves it, so that the next
            # one has no more to move than this one had.
            await hub.start()
            assert await hub.stop() == 0
        assert number < 200
    sys.stdout.write(f"{call} of {file}, error {error}: {number - 1} places, {len(ledger.refused)} refused\n")
    await hub.start()
    await ledger.settle()
