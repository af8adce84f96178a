# SPDX-License-Identifier: Apache-2.0
"""A whole connector in a task of the test: by itself, by the machine's clock, and asked over its interface."""

import asyncio
import io
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from connectors import app
from connectors.access import TOKEN_FILE
from connectors.api_client import ApiClient
from connectors.config import ConnectorSettings
from connectors.logs import Log
from connectors.timing import system_clock
from protocol.http.handovers import HandoverRequest, MessageState
from protocol.ids import MessageId
from protocol.settings import load
from tests.connectors.stations import PASSPHRASE, install, package
from tests.hub.running import TestClock
from tests.programme import Member, Programme

PATIENCE_S = 20.0


@dataclass
class RunningConnector:
    """A connector in a task of its own, and a client of its local interface."""

    member: Member
    folder: Path
    client: ApiClient
    logged: io.StringIO
    stop: asyncio.Event
    task: asyncio.Task[None]

    async def send(self, *to: Member) -> MessageId:
        request = HandoverRequest(to=[one.desk for one in to], package=package())
        return (await self.client.send(request, idempotency_key=secrets.token_urlsafe(24))).id

    async def states(self, message_id: MessageId) -> set[MessageState]:
        return {one.state for one in (await self.client.handover(message_id)).recipients}


def settings_of(folder: Path, sections: str = "", **changes: str) -> ConnectorSettings:
    values = {
        "data_dir": f'"{folder}"',
        "passphrase_file": f'"{folder / "passphrase"}"',
        "profile": '"demo"',
        "port": "0",
        "directory_every_s": "1",
        **changes,
    }
    text = "[connector]\n" + "".join(f"{name} = {value}\n" for name, value in values.items()) + sections
    return load(ConnectorSettings, text, {}).settings


@asynccontextmanager
async def running(
    folder: Path, member: Member, /, sections: str = "", **changes: str
) -> AsyncIterator[RunningConnector]:
    """Run the connector installed in `folder`; it is stopped, and must have stopped well, at the end.

    `sections` is what its configuration says beside `[connector]`.
    """
    logged, stop = io.StringIO(), asyncio.Event()
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    answered = asyncio.Event()
    url.add_done_callback(lambda _: answered.set())
    task = asyncio.create_task(
        app.run(settings_of(folder, sections, **changes), ready=url.set_result, stop=stop, log=Log(logged, json=True))
    )
    task.add_done_callback(lambda _: answered.set())
    await answered.wait()
    if task.done():
        await task
    async with ApiClient.of(await url, folder / TOKEN_FILE) as client:
        yield RunningConnector(member, folder, client, logged, stop, task)
        stop.set()
        await asyncio.wait_for(task, PATIENCE_S)


async def until(condition: Callable[[], Awaitable[bool]], patience_s: float = PATIENCE_S) -> None:
    """Wait until something has become true, by looking again and again; fails after `patience_s` seconds."""
    async with asyncio.timeout(patience_s):
        while not await condition():  # noqa: ASYNC110 # what is waited for happens in another program's eyes
            await asyncio.sleep(0.02)


def installed(tmp_path: Path, programme: Programme, name: str, hub_url: str) -> tuple[Path, Member]:
    folder, member = tmp_path / name, programme.members[name]
    folder.mkdir(exist_ok=True)
    install(folder, member, programme, hub_url)
    (folder / "passphrase").write_bytes(PASSPHRASE + b"\n")
    (folder / "passphrase").chmod(0o600)
    return folder, member


class WallClock(TestClock):
    """The machine's clock, for a hub that runs beside running connectors."""

    def __call__(self) -> int:
        return system_clock()


async def everything_opened(sender: RunningConnector, *sent: MessageId) -> bool:
    return all([await sender.states(message_id) == {MessageState.OPENED} for message_id in sent])
