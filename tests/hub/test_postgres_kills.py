# SPDX-License-Identifier: Apache-2.0
"""Several hub processes on one PostgreSQL, raced, killed and left without it: nothing acknowledged is lost."""

import asyncio
import os
import random
import shutil
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest

from hub.config import load_settings
from hub.service.logcheck import check_everything
from hub.service.signingkeys import open_keys
from keys.verifying import verify_receipt
from protocol.errors import HubUnreachable, Unavailable
from protocol.http.calling import new_session
from protocol.receipts import ReceiptBody
from protocol.slices import parse_slice
from protocol.tree import leaf_hash, root_of
from tests.hub.process import HubProcess, now, prepare
from tests.hub.running import DeviceClient, eventually, on_postgres
from tests.postgres import Server, database, execute, new_folder, programs
from tests.programme import Programme, Sealed

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="hubs are forked here")

LINES = 4


class Balancer:
    """A port of the loopback interface behind which any living hub answers."""

    def __init__(self, hubs: list[HubProcess]) -> None:
        self._hubs = hubs
        self._turn = 0

    async def __aenter__(self) -> "Balancer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://localhost:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._turn += 1
        for place in range(len(self._hubs)):
            hub = self._hubs[(self._turn + place) % len(self._hubs)]
            with suppress(OSError):
                inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", int(hub.url.rpartition(":")[2]))
                break
        else:
            writer.close()
            return
        tasks = [asyncio.create_task(_pump(reader, inner_writer)), asyncio.create_task(_pump(inner_reader, writer))]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for one in (writer, inner_writer):
            one.close()
        await asyncio.gather(*tasks)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()


class Senders:
    """Clients that know one URL, send without a pause, and send again what was not answered."""

    def __init__(self, programme: Programme, url: str) -> None:
        self.programme = programme
        self.url = url
        self.sent: dict[bytes, Sealed] = {}
        self.receipts: dict[bytes, bytes] = {}
        self.refused = 0
        self.ending = False

    async def run(self) -> None:
        """Send over several lines until `ending`, and then until everything sent has its receipt."""
        async with new_session() as session:
            prison = self.programme.members["gora-prison"]
            client = DeviceClient(session, self.url, prison.device, now)
            await asyncio.gather(*(self._line(client) for _ in range(LINES)))

    async def _line(self, client: DeviceClient) -> None:
        sender, desk = self.programme.sender("gora-prison"), self.programme.members["reka-probation"].desk
        while not self.ending:
            sealed = sender.seal(desk)
            self.sent[sealed.envelope_id] = sealed
            await self._deliver(client, sealed)

    async def _deliver(self, client: DeviceClient, sealed: Sealed) -> None:
        for _ in range(1_000):
            try:
                self.receipts[sealed.envelope_id] = await client.submit(sealed.data)
            except (HubUnreachable, Unavailable):
                self.refused += 1
                await asyncio.sleep(0.05)
            else:
                return
        raise AssertionError("the hubs did not come back")

    async def until_more(self, count: int) -> None:
        """Wait until `count` more have their receipt."""
        wanted = len(self.receipts) + count
        await eventually(lambda: len(self.receipts) >= wanted)


@asynccontextmanager
async def two_hubs(folder: Path, url: str) -> AsyncIterator[tuple[list[HubProcess], Senders]]:
    """Give two hub processes, the second begun from a copy of the first one's data, and senders at a balancer."""
    config, programme = prepare(folder, *on_postgres(url))
    hubs = [HubProcess(config, programme)]
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(hubs[0])
        await hubs[0].start()
        await hubs[0].publish()
        shutil.copytree(folder / "data", folder / "more")
        (folder / "more.toml").write_text(config.read_text().replace(str(folder / "data"), str(folder / "more")))
        hubs.append(await stack.enter_async_context(HubProcess(folder / "more.toml", programme)))
        await hubs[1].start()
        balancer = await stack.enter_async_context(Balancer(hubs))
        yield hubs, Senders(programme, balancer.url)


async def settle(folder: Path, url: str, hubs: list[HubProcess], senders: Senders) -> None:
    """Check that what has a receipt is there once, and that all receipts are of one log without gaps."""
    probation = senders.programme.members["reka-probation"]
    assert senders.receipts.keys() == senders.sent.keys()
    for hub in hubs:
        stored = [parse_slice(item.data).common.envelope_id for item in await hub.device(probation).items()]
        assert len(stored) == len(set(stored))
        assert set(stored) == senders.sent.keys()
        assert await hub.stop() == 0
    (rows,) = await execute(url, "SELECT idx, hash FROM leaf WHERE log = 2 ORDER BY idx")
    assert [index for index, _ in rows] == list(range(len(senders.sent)))
    hashes = [bytes(hashed) for _, hashed in rows if isinstance(hashed, bytes)]
    settings = [load_settings(folder / name, {}).settings for name in ("hub.toml", "more.toml")]
    audit_key = open_keys(settings[0]).audit.public
    bodies = [verify_receipt(raw, "hub.example/audit", audit_key) for raw in senders.receipts.values()]
    assert sorted(body.index for body in bodies) == list(range(len(hashes)))
    _check_roots(bodies, hashes)
    for one in settings:
        assert (await check_everything(one))["hub.example/audit"] == len(hashes)


def _check_roots(bodies: list[ReceiptBody], hashes: list[bytes]) -> None:
    roots: dict[int, bytes] = {}
    for body in bodies:
        assert leaf_hash(body.leaf_bytes) == hashes[body.index]
        assert roots.setdefault(body.size, body.root) == body.root
    for size in [*list(roots)[:: max(1, len(roots) // 50)], max(roots)]:
        assert root_of(hashes[:size]) == roots[size]


async def race(folder: Path, url: str, seconds: float) -> None:
    """Let senders at both processes race for `seconds`, then check the outcome."""
    async with two_hubs(folder, url) as (hubs, senders):
        others = Senders(senders.programme, senders.url)
        end = time.monotonic() + seconds
        racing = [asyncio.create_task(one.run()) for one in (senders, others)]
        await senders.until_more(20)
        while time.monotonic() < end:
            await senders.until_more(1)
        senders.ending = others.ending = True
        await asyncio.gather(*racing)
        senders.sent |= others.sent
        senders.receipts |= others.receipts
        await settle(folder, url, hubs, senders)


async def test_aud_8_two_racing_processes_write_one_log_without_gaps(tmp_path: Path, postgres_url: str) -> None:
    await race(tmp_path, postgres_url, 5)


@pytest.mark.full
async def test_aud_8_two_processes_race_for_a_minute(tmp_path: Path, postgres_url: str) -> None:
    await race(tmp_path, postgres_url, 60)


async def kill_hubs(folder: Path, url: str, kills: int, seed: int) -> None:
    """Kill one of the two processes after the other under load, while the clients move over by themselves."""
    chance = random.Random(seed)
    async with two_hubs(folder, url) as (hubs, senders):
        sending = asyncio.create_task(senders.run())
        for _ in range(kills):
            await senders.until_more(chance.randint(3, 12))
            victim = chance.choice(hubs)
            os.kill(victim.pid, signal.SIGKILL)
            assert await victim.ended() == -signal.SIGKILL
            # Everybody is served by the other one.
            await senders.until_more(5)
            await victim.start()
        senders.ending = True
        await sending
        await settle(folder, url, hubs, senders)


async def test_promise_1_one_of_two_processes_is_killed_and_nobody_notices(tmp_path: Path, postgres_url: str) -> None:
    await kill_hubs(tmp_path, postgres_url, kills=2, seed=5)


@pytest.mark.full
async def test_promise_1_fifty_kills_of_one_of_two_processes(tmp_path: Path, postgres_url: str) -> None:
    await kill_hubs(tmp_path, postgres_url, kills=50, seed=6)


async def kill_servers(folder: Path, kills: int, seed: int) -> None:
    """Kill the PostgreSQL server itself under load, start it again, and let the hubs find it again."""
    if programs() is None:
        pytest.skip("there are no programs of PostgreSQL here")
    chance = random.Random(seed)
    place = new_folder()
    server = Server(place / "server")
    server.create()
    server.start()
    try:
        async with database(server.url) as url, two_hubs(folder, url) as (hubs, senders):
            sending = asyncio.create_task(senders.run())
            for _ in range(kills):
                await senders.until_more(chance.randint(3, 12))
                server.kill()
                refused = senders.refused
                await eventually(lambda refused=refused: senders.refused > refused)  # type: ignore[misc] # bound now
                await asyncio.to_thread(server.start)
            await senders.until_more(5)
            senders.ending = True
            await sending
            await settle(folder, url, hubs, senders)
    finally:
        server.stop()
        shutil.rmtree(place)


async def test_http_5_the_server_is_killed_and_what_was_not_answered_is_accepted_once(tmp_path: Path) -> None:
    """The outcome of a commit that was cut off is unknown; the same bytes again find out."""
    await kill_servers(tmp_path, kills=1, seed=7)


@pytest.mark.full
async def test_http_5_fifty_kills_of_the_server(tmp_path: Path) -> None:
    await kill_servers(tmp_path, kills=50, seed=8)
