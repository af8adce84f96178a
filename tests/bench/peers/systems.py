# SPDX-License-Identifier: Apache-2.0
"""Peers as running systems: Synapse and NATS JetStream, started in the bench's folder and put under its load."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.bench.load import IN_FLIGHT, Loader, Run
from tests.bench.machine import START_S, Process, cpu_seconds
from tests.bench.peers import environments
from tests.bench.peers.environments import NotInstalled
from tests.bench.peers.synapse import Room, SynapseLink, ToDevice, write_configuration

TO_DEVICE = ToDevice.name
ROOM = Room.name
NATS = "NATS JetStream, sync always"

Candidate = Callable[[], Awaitable[Run]]


class PortProcess(Process):
    """A server that says nothing and is ready once its port answers."""

    def __init__(self, name: str, command: Sequence[str | Path], folder: Path, port: int) -> None:
        super().__init__(name, command, folder)
        self._port = port

    async def ready(self) -> None:
        """Wait until the port answers."""
        async with asyncio.timeout(START_S * 2):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self._port)
                except OSError:
                    if self._process.returncode is not None:
                        await self.answer()  # raises, with what it complained of
                    await asyncio.sleep(0.1)
                else:
                    writer.close()
                    await writer.wait_closed()
                    return


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Peers:
    """Servers of peers; `skipped` says for each why it is not there."""

    def __init__(self) -> None:
        self.skipped: dict[str, str] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def candidates(self, folder: Path, size: int, seconds: float) -> dict[str, Candidate]:
        """Start what can be had; each candidate is one run of `seconds` with messages of `size` bytes."""
        found: dict[str, Candidate] = {}
        try:
            found |= await self._synapse(folder / "synapse", size, seconds)
        except NotInstalled as reason:
            self.skipped |= dict.fromkeys((TO_DEVICE, ROOM), f"not installed: {reason}")
        try:
            found[NATS] = await self._nats(folder / "nats", size, seconds)
        except NotInstalled as reason:
            self.skipped[NATS] = f"not installed: {reason}"
        return found

    async def _synapse(self, folder: Path, size: int, seconds: float) -> dict[str, Candidate]:
        python = await environments.install(environments.SYNAPSE) / "python"
        await asyncio.to_thread(folder.mkdir)
        port = free_port()
        configuration = write_configuration(folder, port)
        command: list[str | Path] = [python, "-m", "synapse.app.homeserver", "-c", configuration]
        keys = await asyncio.create_subprocess_exec(
            *map(str, command), "--generate-keys", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        await keys.wait()
        server = await self._stack.enter_async_context(PortProcess("synapse", command, folder, port))
        links: list[SynapseLink] = [kind(f"http://127.0.0.1:{port}", size) for kind in (ToDevice, Room)]
        return {link.name: await self._link(link, server.pid, seconds) for link in links}

    async def _link(self, link: SynapseLink, pid: int, seconds: float) -> Candidate:
        loader = Loader(await self._stack.enter_async_context(link), pid)
        await loader.for_seconds(seconds / 2, 4)
        return lambda: loader.for_seconds(seconds)

    async def _nats(self, folder: Path, size: int, seconds: float) -> Candidate:
        programs = await environments.install(environments.NATS)
        await asyncio.to_thread(folder.mkdir)
        port = free_port()
        store = f'jetstream {{\n  store_dir: "{folder}/store"\n  sync_interval: always\n}}\n'
        (folder / "nats.conf").write_text(f'listen: "127.0.0.1:{port}"\n{store}')
        command: list[str | Path] = [programs / "nats-server", "-c", folder / "nats.conf"]
        server = await self._stack.enter_async_context(PortProcess("nats-server", command, folder, port))
        load: list[str | Path] = [
            programs / "python",
            "-m",
            "tests.bench.peers.nats_client",
            f"nats://127.0.0.1:{port}",
            str(size),
        ]
        client = await self._stack.enter_async_context(Process("nats-client", load, folder))

        async def run() -> Run:
            before = cpu_seconds(server.pid)
            done = await client.ask(seconds=seconds, in_flight=IN_FLIGHT)
            await asyncio.sleep(0.15)
            return Run(done["delivered"], done["seconds"], cpu_seconds(server.pid) - before, done["latencies"])

        await run()
        return run
