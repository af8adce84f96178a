# SPDX-License-Identifier: Apache-2.0
"""Faults 2 and 18: the real hub program on a full disk, without file descriptors, without memory (HTTP-17).

A limit is set from outside while the hub runs, and lifted again: what was refused goes through then, on its own.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from protocol.errors import HubUnreachable, StoreFull, Unavailable
from tests.faults.hubprogram import HubProgram, Ledger, processor_seconds
from tests.faults.scarcity import Tmpfs, set_limit
from tests.hub.blobs import announce, make_blob, upload

if sys.platform == "win32":
    pytest.skip("limits of processes are set here", allow_module_level=True)

import resource

pytestmark = pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="prlimit is Linux's")


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[HubProgram]:
    async with HubProgram.new(tmp_path) as program:
        yield program


async def until_full(ledger: Ledger, most: int = 400) -> None:
    """Submit until the hub says that it is full; raises AssertionError if it never does."""
    for _ in range(most):
        if not await ledger.send(ledger.seal(30_000)):
            assert isinstance(ledger.refused[-1], StoreFull), ledger.refused[-1]
            return
    raise AssertionError("the hub never got full")


async def check_full(hub: HubProgram, ledger: Ledger, lift: Callable[[], object], blob_size: int) -> None:
    """Against a hub that gets full: refusals with their reason, reading goes on, and all is well once there is room."""
    await hub.publish()
    blob = make_blob(os.urandom(blob_size))
    prison = hub.device(hub.programme.members["gora-prison"])
    await announce(prison, blob)
    await until_full(ledger)
    waiting = await ledger.stored()
    assert ledger.receipts.keys() <= waiting
    with pytest.raises(StoreFull):
        await upload(prison, blob)
    assert (await hub.ready())["writer"]
    assert not await ledger.send(ledger.seal())
    lift()
    assert await ledger.send(ledger.seal())
    await upload(prison, blob)
    await ledger.settle()


async def test_http_17_a_file_that_may_not_grow_is_a_full_disk(hub: HubProgram) -> None:
    """Fault 2 without privileges: the largest size that a file of the process may have."""
    ledger = Ledger(hub)
    await hub.start()
    wal = hub.data / "hub.db-wal"
    await hub.publish()
    await ledger.send(ledger.seal())
    with set_limit(hub.pid, resource.RLIMIT_FSIZE, wal.stat().st_size + 200_000) as lift:
        await check_full(hub, ledger, lift, 6 << 20)


@pytest.mark.full
async def test_http_17_a_disk_of_three_megabytes_fills_up_and_is_freed(tmp_path: Path) -> None:
    """Fault 2 on a real small disk, where one may be mounted."""
    with Tmpfs(tmp_path / "disk", 3 << 20) as disk:
        async with HubProgram.new(disk) as hub:
            ballast = disk / "ballast"
            ballast.write_bytes(bytes(1 << 20))
            await hub.start()
            await check_full(hub, Ledger(hub), ballast.unlink, 300_000)


async def test_http_17_without_descriptors_the_hub_waits_and_goes_on(hub: HubProgram) -> None:
    """Fault 18: 64 descriptors, and strangers who take all of them."""
    ledger = Ledger(hub)
    await hub.start(prepare_process=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
    await hub.publish()
    assert await ledger.send(ledger.seal())
    host, port = hub.url.removeprefix("http://").split(":")
    strangers = []
    for _ in range(70):
        strangers.append(await asyncio.open_connection(host, int(port)))
    before = processor_seconds(hub.pid)
    await asyncio.sleep(1.2)
    assert processor_seconds(hub.pid) - before < 0.4, "the hub is busy with connections that it cannot take"
    # The line that is open already goes on, and so does the writer; new lines are not taken.
    for _ in range(5):
        await ledger.send(ledger.seal())
    for _, writer in strangers:
        writer.close()
        await writer.wait_closed()
    for _ in range(60):
        if await ledger.send(ledger.seal()):
            break
        await asyncio.sleep(0.1)
    await ledger.settle()
    assert "Traceback" not in hub.said
    assert "resources-short" in hub.said


@pytest.mark.full
async def test_http_17_without_memory_the_hub_refuses_and_goes_on(hub: HubProgram) -> None:
    """Fault 18: no more address space than the hub has at rest."""
    ledger = Ledger(hub)
    await hub.start()
    await hub.publish()
    assert await ledger.send(ledger.seal())
    room = virtual_bytes(hub.pid) + (1 << 20)
    with set_limit(hub.pid, resource.RLIMIT_AS, room) as lift:
        large = [ledger.seal(500_000) for _ in range(24)]
        answers = await asyncio.gather(*(ledger.send(one) for one in large))
        lift()
    assert all(isinstance(error, Unavailable | StoreFull | HubUnreachable) for error in ledger.refused)
    sys.stdout.write(f"{answers.count(False)} of {len(answers)} refused\n")
    await ledger.settle()
    assert "Traceback" not in hub.said


def virtual_bytes(pid: int) -> int:
    """Return the size of a process's address space."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
