# SPDX-License-Identifier: Apache-2.0
"""The floor: the least that a durable store-and-forward in Python can be, to see what everything else costs.

Bare aiohttp, one SQLite writer with group commit (WAL, synchronous=FULL), websocket push. No authentication, no
signature check, no audit, no protocol: a body comes in for a mailbox, is committed, answered with its number,
pushed, and deleted when it is acknowledged. Written for the bench alone; `python -m tests.bench.floor FOLDER`.

Over the websocket a client sends `1 || ref(8) || mailbox(8) || body` and gets `1 || ref(8) || number(8)`; it is
pushed `2 || number(8) || body` and answers `2 || number(8)`.
"""

import asyncio
import json
import os
import signal
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from aiohttp import web

SUBMIT = b"\x01"
DELIVER = b"\x02"
GROUP = 256
MAX_BODY = 2 << 20

_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=4000", "cache_size=-65536")
_TABLE = "CREATE TABLE message (id INTEGER PRIMARY KEY, mailbox INTEGER NOT NULL, body BLOB NOT NULL)"
_INDEX = "CREATE INDEX waiting ON message (mailbox, id)"
_INSERT = "INSERT INTO message (id, mailbox, body) VALUES (?, ?, ?)"
_DELETE = "DELETE FROM message WHERE id = ?"


@dataclass(frozen=True, slots=True)
class Insert:
    """A body for a mailbox; `done` gives its number once it is committed."""

    mailbox: int
    body: bytes = field(repr=False)
    done: asyncio.Future[int]


@dataclass(frozen=True, slots=True)
class Delete:
    """A message that was acknowledged; nobody waits for the answer."""

    number: int


class Floor:
    """The store, its writer task and whoever is connected."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._database = sqlite3.connect(folder / "floor.db", isolation_level=None, check_same_thread=False)
        for pragma in _PRAGMAS:
            self._database.execute(f"PRAGMA {pragma}")
        self._database.execute(_TABLE)
        self._database.execute(_INDEX)
        self._thread = ThreadPoolExecutor(1)
        # SQLite would give the number of a deleted message to the next one.
        self._numbers = count(1)
        self._waiting: list[Insert | Delete] = []
        self._arrived = asyncio.Event()
        self._online: dict[int, web.WebSocketResponse] = {}
        self._answering: set[asyncio.Task[None]] = set()

    def application(self) -> web.Application:
        """Return what is served."""
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_post("/messages/{mailbox}", self.post)
        app.router.add_get("/connect/{mailbox}", self.connect)
        app.router.add_post("/chunks/{name}", self.chunk)
        return app

    async def post(self, request: web.Request) -> web.Response:
        """Take one message by HTTP."""
        number = await self._put(int(request.match_info["mailbox"]), await request.read())
        return web.Response(status=202, body=number.to_bytes(8, "big"))

    async def chunk(self, request: web.Request) -> web.Response:
        """Take the next chunk of a file; it is durable when this answers."""
        path = self._folder / request.match_info["name"]
        await asyncio.get_running_loop().run_in_executor(self._thread, _append, path, await request.read())
        return web.Response(status=204)

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        """Take messages and acknowledgements, and push what comes for the mailbox."""
        socket = web.WebSocketResponse(compress=False, max_msg_size=MAX_BODY)
        await socket.prepare(request)
        mailbox = int(request.match_info["mailbox"])
        self._online[mailbox] = socket
        async for message in socket:
            data: bytes = message.data
            if data[:1] == SUBMIT:
                task = asyncio.create_task(self._submit(socket, data))
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)
            else:
                self._queue(Delete(int.from_bytes(data[1:9], "big")))
        if self._online.get(mailbox) is socket:
            del self._online[mailbox]
        return socket

    async def _submit(self, socket: web.WebSocketResponse, data: bytes) -> None:
        number = await self._put(int.from_bytes(data[9:17], "big"), data[17:])
        if not socket.closed:
            await socket.send_bytes(data[:9] + number.to_bytes(8, "big"))

    async def _put(self, mailbox: int, body: bytes) -> int:
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queue(Insert(mailbox, body, done))
        return await done

    def _queue(self, change: Insert | Delete) -> None:
        self._waiting.append(change)
        self._arrived.set()

    async def write(self) -> None:
        """Commit group after group; then answer and push."""
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            group, self._waiting = self._waiting[:GROUP], self._waiting[GROUP:]
            if not self._waiting:
                self._arrived.clear()
            numbers = await loop.run_in_executor(self._thread, self._commit, group)
            for change, number in zip(group, numbers, strict=True):
                if isinstance(change, Insert):
                    if not change.done.done():
                        change.done.set_result(number)
                    socket = self._online.get(change.mailbox)
                    if socket is not None and not socket.closed:
                        await socket.send_bytes(DELIVER + number.to_bytes(8, "big") + change.body)

    def _commit(self, group: list[Insert | Delete]) -> list[int]:
        numbers = []
        self._database.execute("BEGIN IMMEDIATE")
        for change in group:
            if isinstance(change, Insert):
                numbers.append(next(self._numbers))
                self._database.execute(_INSERT, (numbers[-1], change.mailbox, change.body))
            else:
                self._database.execute(_DELETE, (change.number,))
                numbers.append(0)
        self._database.execute("COMMIT")
        return numbers


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fdatasync(file.fileno())


async def serve(folder: Path) -> None:
    """Serve on a free port of the loopback interface until SIGTERM; the port is said on stdout."""
    floor = Floor(folder)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    writing = asyncio.create_task(floor.write())
    runner = web.AppRunner(floor.application(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(json.dumps({"url": f"http://localhost:{runner.addresses[0][1]}"}) + "\n")
    sys.stdout.flush()
    await stop.wait()
    await runner.cleanup()
    writing.cancel()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
