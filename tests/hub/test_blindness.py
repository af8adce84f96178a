# SPDX-License-Identifier: Apache-2.0
"""Promise 9: the hub holds nothing that can be read: not on its disk, not in its memory, not in what it says."""

import asyncio
import os
import re
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from hub.config import DATABASE_NAME
from protocol.frames import Item
from protocol.limits import HOUR
from tests.hub.process import HubProcess, prepare
from tests.hub.running import RunningHub
from tests.programme import Programme, make_programme, open_as

MESSAGES = 200


def files_with(folder: Path, needle: bytes) -> list[str]:
    """Return the names of all files under `folder`, the write-ahead log included, that hold `needle`."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and needle in path.read_bytes())


def memory_of(pid: int) -> Iterator[bytes]:
    """Yield what a process has in its memory, piece by piece, as far as it can be read."""
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in maps:
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
            if not found or "[v" in line:
                continue
            start, end = (int(part, 16) for part in found.groups())
            try:
                memory.seek(start)
                yield memory.read(end - start)
            except (OSError, OverflowError, ValueError):
                continue


def in_memory(pid: int, needles: list[bytes]) -> set[bytes]:
    """Return those of `needles` that a process holds somewhere in its memory."""
    return {needle for piece in memory_of(pid) for needle in needles if needle in piece}


def seal_with(programme: Programme, canary: bytes, number: int, now: int) -> bytes:
    """Seal a message that holds the canary wherever content can be."""
    probation, csw = programme.members["reka-probation"], programme.members["polje-csw"]
    both = [probation.desk, csw.desk]
    return (
        programme.sender("gora-prison")
        .seal(
            *both,
            payload=b'{"case": "' + canary.hex().encode() + b'"}',
            sections=[(canary + b"%d" % number, both), (canary * 3, both[:1])],
            now=now,
        )
        .data
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads a process's memory as Linux shows it")
async def test_promise_9_no_content_in_the_memory_or_on_the_disk_of_a_hub(tmp_path: Path) -> None:
    """Attacks 61 and 62, quick: 200 messages, collected and acknowledged, then the living process is searched."""
    config, programme = prepare(tmp_path)
    prison, probation, csw = programme.members.values()
    canary, data = secrets.token_bytes(32), tmp_path / "data"
    async with HubProcess(config, programme) as hub:
        await hub.start()
        await hub.publish()
        for start in range(0, MESSAGES, 20):
            batch = [seal_with(programme, canary, number, programme.now) for number in range(start, start + 20)]
            await hub.device(prison).submit_batch(batch)
        opened = 0
        for member in (probation, csw):
            items: tuple[Item, ...] = await hub.device(member).items()
            for item in items[:: MESSAGES // 4]:
                message = open_as(member, item.data, programme=programme, audit_key=_audit_key(data))
                assert message.sections[1].body.startswith(canary)
                opened += 1
            assert len(items) == MESSAGES
        await hub.device(csw).acknowledge(MESSAGES // 2)
        assert opened == 8
        secret = [canary, canary.hex().encode(), prison.device.seeds[0], prison.identity.seeds[0]]
        # That the search finds what is there is shown by what a hub does know: who wrote to whom.
        known = prison.desk.encode()
        try:
            found = in_memory(hub.pid, [*secret, known])
        except PermissionError:
            pytest.skip("this system does not let a process look into its child's memory")
        assert found == {known}
        for needle in secret:
            assert files_with(tmp_path, needle) == []
        assert DATABASE_NAME + "-wal" in files_with(data, known)
        async with aiohttp.ClientSession() as session, session.get(f"{hub.url}/v1/hub") as response:
            assert canary.hex() not in await response.text()
        assert await hub.stop() == 0
    for needle in secret:
        assert files_with(tmp_path, needle) == []
    assert DATABASE_NAME in files_with(data, known)


def _audit_key(data: Path) -> bytes:
    import json

    document = json.loads((data / "hub-public.json").read_text())
    return bytes.fromhex(document["audit"]["key"])


async def test_promise_9_neither_metrics_nor_the_log_name_anybody(tmp_path: Path) -> None:
    programme = make_programme()
    prison, probation, _ = programme.members.values()
    async with RunningHub(tmp_path, programme) as hub:
        sealed = programme.sender("gora-prison").seal(probation.desk, life=HOUR)
        await hub.device(prison).submit(sealed.data)
        await hub.device(probation).items()
        with pytest.raises(Exception, match="strict encoding"):
            await hub.device(prison).submit(b"CANARY")
        hub.clock.advance(2 * HOUR)
        await hub.hub.housekeeping.expire()
        await hub.hub.housekeeping.forget()
        told = hub.hub.watch.metrics.text().decode() + hub.logged.getvalue()
    assert 'throughcare_envelopes_total{direction="in",outcome="accepted"} 1.0' in told
    assert 'outcome="malformed-envelope"' in told
    assert 'operation="submitEnvelope"' in told
    for member in programme.members.values():
        for name in (member.address, member.desk, member.device_id.hex(), member.address.split("@")[0]):
            assert name not in told
    for name in ("CANARY", sealed.envelope_id.hex(), "hub.example"):
        assert name not in told


async def test_the_hub_starts_and_serves_without_the_modules_that_open(tmp_path: Path) -> None:
    """The hub's process cannot open anything: what opens is not even loaded, and need not exist."""
    program = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('keys.opening', 'keys.blobopening', 'keys.keystore', 'keys.backupopening'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "sys.argv = ['throughcare-hub', 'run', '--config', sys.argv[1], '--ready-json']\n"
        "from hub.cli import main\n"
        "main()\n"
    )
    config, _ = prepare(tmp_path)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        str(config),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env=os.environ,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            ready = await process.stdout.readline()
            assert b"admin_url" in ready
    finally:
        process.terminate()
        _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
