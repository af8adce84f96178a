# SPDX-License-Identifier: Apache-2.0
"""Hubs to measure: prepared like any demo hub, started as their own program, or filled while they are down."""

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from hub.app import Hub
from hub.config import load_settings
from hub.logs import make_log
from hub.service import backlog, writer
from hub.service.accepting import AcceptEnvelope
from hub.service.signingkeys import open_keys
from hub.store import sqlite
from protocol.http import hub as api
from protocol.http.calling import Client, new_session
from tests.bench.machine import ROOT, Process, python
from tests.bench.stock import Stock
from tests.hub.process import prepare
from tests.programme import Programme

AT_ONCE = 256
UNBOUNDED = (
    "[limits]",
    *(
        f"{name}_per_minute = {most}"
        for name, most in (
            ("submissions", 10_000_000),
            ("megabytes", 1_000_000),
            ("reads", 10_000_000),
            ("megabytes_read", 1_000_000),
            ("uploads", 10_000_000),
            ("stranger_requests", 10_000_000),
        )
    ),
    "waiting_messages = 100_000_000",
    "waiting_messages_per_recipient = 100_000_000",
    "waiting_megabytes_per_recipient = 10_000_000",
    "connections_per_address = 100_000",
)
"""One load generator plays all agencies, at one address: what is there for floods is checked and never reached."""
_LARGE_GROUP = 64 << 20


@contextmanager
def exchanged(owner: Any, name: str, value: object) -> Iterator[None]:
    """Have `owner.name` be `value` for a while."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


class HubFolder:
    """A hub's folder with its configuration, and the programme whose directory it serves."""

    def __init__(self, folder: Path, agencies: int = 0) -> None:
        """Prepare a new hub in `folder` for three agencies and `agencies` more."""
        folder.mkdir(parents=True)
        self.folder = folder
        self.config, self.programme = prepare(folder, *UNBOUNDED)
        for number in range(agencies):
            self.programme.enrol(f"agency-{number}", "ngo", {"intake": "ngo"})

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Hub]:
        """Open the hub in this process, without listeners, its directory complete."""
        settings = load_settings(self.config, {}).settings
        log = make_log("warning", "json", stream=io.StringIO())
        hub = await Hub.open(settings, open_keys(settings), log=log, rounds=False)
        try:
            for raw in self.programme.statements[hub.directory.directory.size :]:
                await hub.directory.append(raw)
            yield hub
        finally:
            await hub.close()

    async def fill(self, stock: Stock, count: int) -> None:
        """Let `count` messages wait, written by the hub's own writer; only the checks of signatures are left out."""
        # Nobody measures this, so the disk is hardly waited for.
        pragmas = (*sqlite._EVERY_CONNECTION, "PRAGMA synchronous=OFF")
        with (
            exchanged(sqlite, "_EVERY_CONNECTION", pragmas),
            exchanged(backlog, "GROUP_BYTES", _LARGE_GROUP),
            exchanged(writer, "CHECKPOINT_EVERY", _LARGE_GROUP),
        ):
            await self._fill(stock, count)

    async def _fill(self, stock: Stock, count: int) -> None:
        async with self.opened() as hub:
            size, until = hub.directory.directory.size, stock.original.common.expires
            for start in range(0, count, AT_ONCE):
                changes = [
                    AcceptEnvelope(
                        stock.stored(), directory_size=size, valid_until=until, receipts=hub.submissions._parts.receipts
                    )
                    for _ in range(min(AT_ONCE, count - start))
                ]
                await asyncio.gather(*(hub.writer.write(change) for change in changes))

    def process(self, root: Path = ROOT, *program: str) -> Process:
        """Return the hub of the clone at `root` as a program of its own; `said` has its URL once it serves.

        `program` is the module that runs it, if it is not the hub's own, and its first words.
        """
        command = python(*(program or ("hub",)), "run", "--config", self.config, "--ready-json")
        return Process("hub", command, self.folder, root)

    async def publish(self, url: str) -> None:
        """Hand the whole directory to the running hub."""
        await publish(self.programme, url)


async def publish(programme: Programme, url: str) -> None:
    """Hand the directory of `programme` to the hub at `url`."""
    async with new_session() as session:
        client = Client(session, url)
        for raw in programme.statements:
            body = api.StatementSubmission(statement=raw)
            await client.call(api.SUBMIT_STATEMENT, api.StatementAccepted, body=body)


@asynccontextmanager
async def serving(folder: HubFolder, root: Path = ROOT, *program: str) -> AsyncIterator[Process]:
    """Run the hub of `folder`, its directory complete, with the code of the clone at `root`, by another `program`."""
    async with folder.process(root, *program) as process:
        await folder.publish(process.said["url"])
        yield process


def floor_process(folder: Path) -> Process:
    """Return the floor as a program of its own; `said` has its URL once it serves."""
    folder.mkdir(parents=True)
    return Process("floor", python("tests.bench.floor", folder), folder)
