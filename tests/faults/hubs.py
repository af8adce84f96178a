# SPDX-License-Identifier: Apache-2.0
"""Hubs to be killed: the real program, a port behind which any living one answers, and the judgement at the end."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from hub.config import load_settings
from hub.service.logcheck import check_everything
from hub.service.signingkeys import open_keys
from tests.faults.history import History, Stored, guarded_heads, stored_in_postgres, stored_in_sqlite, violations
from tests.faults.hubprogram import HubProgram
from tests.hub.process import HubProcess, OwnHub, prepare
from tests.hub.running import on_postgres
from tests.programme import Programme

LAST_WORDS = 4_000
ORIGIN = "hub.example/audit"

UNLIMITED = ("[limits]", "submissions_per_minute = 1000000", "megabytes_per_minute = 1000000")
"""One agency makes all the load here."""


class Balancer:
    """A port of the loopback interface behind which any living hub answers: the one address that clients know."""

    def __init__(self, hubs: Sequence[OwnHub]) -> None:
        self._hubs = hubs
        self._turn = 0
        self._served = set[asyncio.Task[None]]()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://localhost:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in list(self._served):
            task.cancel()
        await asyncio.gather(*self._served, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._served.add(task)
        try:
            found = await self._living()
            if found is not None:
                await _join(reader, writer, *found)
        except asyncio.CancelledError:
            # Cancelled at the end of the block only; a task of a server must not end so.
            return
        finally:
            self._served.discard(task)
            writer.transport.abort()

    async def _living(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        self._turn += 1
        for place in range(len(self._hubs)):
            hub = self._hubs[(self._turn + place) % len(self._hubs)]
            if not hub.url:
                # Its last port may be another hub's by now, whose programme has the same keys.
                continue
            with suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", int(hub.url.rpartition(":")[2]))
        return None


async def _join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    inner_reader: asyncio.StreamReader,
    inner_writer: asyncio.StreamWriter,
) -> None:
    ways = [asyncio.create_task(_pump(reader, inner_writer)), asyncio.create_task(_pump(inner_reader, writer))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        # What the hub said last is passed on before its end is.
        with suppress(OSError):
            await writer.drain()
            writer.close()
            await writer.wait_closed()
    finally:
        for way in ways:
            way.cancel()
        inner_writer.transport.abort()
        await asyncio.gather(*ways, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()


@dataclass
class Site:
    """Hubs on one database behind one address, and what a client knows of them."""

    programme: Programme
    hubs: list[OwnHub]
    configs: list[Path]
    url: str
    history: History
    database: str | None
    """The URL of the PostgreSQL database, or None for the SQLite file of the only hub."""
    restarts: list[float] = field(default_factory=list)
    """Seconds that each start after the first took, until the hub served."""

    async def kill(self, hub: OwnHub) -> None:
        """End a hub as a power cut would."""
        os.kill(hub.pid, signal.SIGKILL)
        assert await hub.ended() == -signal.SIGKILL

    async def restart(self, hub: OwnHub) -> None:
        """Start a hub that is gone."""
        self.restarts.append(await hub.start())

    async def stop(self, hub: OwnHub) -> float:
        """Ask a hub to stop; return the seconds that it took."""
        begin = time.monotonic()
        os.kill(hub.pid, signal.SIGTERM)
        assert await hub.ended() == 0
        return time.monotonic() - begin

    async def stored(self) -> Stored:
        """Read the database past the hubs."""
        if self.database is not None:
            return await stored_in_postgres(self.database)
        return stored_in_sqlite(self.configs[0].parent / "data" / "hub.db")

    async def settle(self) -> None:
        """Stop every hub, and check that nothing is lost, nothing there twice, and all of one history."""
        for hub in self.hubs:
            if hub.pid:
                await self.stop(hub)
        assert not self.history.unanswered
        settings = [load_settings(config, {}).settings for config in self.configs]
        heads = [head for one in settings for head in guarded_heads(one.hub.data_dir / "hub.guard", ORIGIN)]
        found = violations(
            self.history,
            await self.stored(),
            heads,
            origin=ORIGIN,
            audit_key=open_keys(settings[0]).audit.public,
        )
        assert not found, "; ".join(found)
        for one in settings:
            assert (await check_everything(one))[ORIGIN] == len(self.history.sent)


@asynccontextmanager
async def site(folder: Path, database: str | None, *, count: int = 1, real: bool = False) -> AsyncIterator[Site]:
    """Give `count` hubs with the programme's directory; `real` ones are started as programs, others by forking.

    A further hub begins with a copy of the first one's data, as an operator does it.
    """
    config, programme = prepare(folder, *(on_postgres(database) if database else ()), *UNLIMITED)
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(HubProcess(config, programme))
        await first.start()
        await first.publish()
        configs, hubs = [config], list[OwnHub]([first])
        for number in range(1, count):
            shutil.copytree(folder / "data", folder / f"data{number}")
            configs.append(folder / f"hub{number}.toml")
            configs[-1].write_text(config.read_text().replace(str(folder / "data"), str(folder / f"data{number}")))
        if real:
            assert await first.stop() == 0
            hubs = [await stack.enter_async_context(HubProgram(one, programme)) for one in configs]
        else:
            hubs += [await stack.enter_async_context(HubProcess(one, programme)) for one in configs[1:]]
        for hub in hubs:
            if not hub.pid:
                await hub.start()
        history = stack.enter_context(History(folder / "history"))
        balancer = await stack.enter_async_context(Balancer(hubs))
        try:
            yield Site(programme, hubs, configs, balancer.url, history, database)
        except BaseException as error:
            for hub in hubs:
                error.add_note(f"The last words of {hub.config.name}'s hub:\n{hub.said[-LAST_WORDS:]}")
            raise
