# SPDX-License-Identifier: Apache-2.0
"""A real hub in the test's own process: SQLite file, aiohttp on a port of the loopback interface, a clock to set."""

import asyncio
import io
import sqlite3
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
from sqlalchemy import exists, select

from hub.app import Hub
from hub.config import CLOCK_NAME, HubSettings
from hub.logs import make_log
from hub.service.clocktrust import note_time
from hub.service.signingkeys import SigningKeys
from hub.store import trees
from hub.store.sqlite import SqliteStore
from hub.store.tables import delivery
from hub.web.tls import tls_context
from keys.signing import DeviceSigner, Ed25519Signer
from protocol.frames import Accepted, Item, Refused, encode_batch, parse_page, parse_results
from protocol.http import hub as api
from protocol.http.calling import Client, new_session, signed
from protocol.http.running import Runner, listen
from protocol.ids import KeyId
from protocol.settings import load
from tests.keys.world import seed
from tests.programme import NOW, Member, Programme

KEYS = SigningKeys(Ed25519Signer.from_seed(seed("audit log")), Ed25519Signer.from_seed(seed("directory log")))


class TestClock:
    """A clock that stands still until a test moves it."""

    __test__ = False

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def advance(self, milliseconds: int) -> None:
        """Let time pass."""
        self.now += milliseconds


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds, at most twenty seconds: for what other tasks do in their own time."""
    for _ in range(2_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("what was waited for did not happen")


def on_postgres(url: str) -> tuple[str, ...]:
    """Return the lines of a configuration that name a PostgreSQL database."""
    return ("[store]", f'url = "{url}"')


def settings_text(folder: Path, programme: Programme, *more: str) -> str:
    """Return a demo configuration with free ports."""
    lines = [
        "[hub]",
        f'domain = "{programme.domain}"',
        f'data_dir = "{folder}"',
        'profile = "demo"',
        f'root_fingerprint = "{programme.fingerprint.hex()}"',
        "port = 0",
        "admin_port = 0",
        f'passphrase_file = "{folder / "passphrase"}"',
        *more,
    ]
    return "\n".join(lines) + "\n"


def make_settings(folder: Path, programme: Programme, *more: str) -> HubSettings:
    """Return the settings of that configuration."""
    return load(HubSettings, settings_text(folder, programme, *more), {}).settings


class DeviceClient:
    """What a device asks of the hub, over HTTP."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, device: DeviceSigner, clock: Callable[[], int]
    ) -> None:
        self.device = device
        self.client = Client(session, url, signed(device.key_id, device.transport.sign_raw, clock))

    async def submit(self, data: bytes) -> bytes:
        """Submit an envelope and return its receipt."""
        return await self.client.call_bytes(api.SUBMIT_ENVELOPE, body=data)

    async def submit_batch(self, envelopes: Sequence[bytes]) -> tuple[Accepted | Refused, ...]:
        """Submit several."""
        return parse_results(await self.client.call_bytes(api.SUBMIT_BATCH, body=encode_batch(envelopes)))

    async def read(self, cursor: int = 0, *, limit: int = 50, wait: int = 0) -> tuple[int, tuple[Item, ...]]:
        """Read the mailbox: next cursor and items."""
        query = {"cursor": cursor, "limit": limit, "wait": wait}
        return parse_page(await self.client.call_bytes(api.READ_MAILBOX, query=query))

    async def items(self) -> tuple[Item, ...]:
        """Return all that waits, page by page."""
        cursor, found = 0, list[Item]()
        while True:
            cursor, page = await self.read(cursor, limit=200)
            if not page:
                return tuple(found)
            found += page

    async def acknowledge(self, up_to: int) -> None:
        """Acknowledge up to a leaf index."""
        await self.client.call_bytes(api.ACKNOWLEDGE, body=api.Acknowledgement(up_to=up_to))


class RunningHub:
    """A hub that serves while the `async with` block runs; the folder survives it."""

    def __init__(
        self,
        folder: Path,
        programme: Programme,
        clock: TestClock | None = None,
        *,
        reach: Callable[[str], None] = lambda step: None,
        more: Sequence[str] = (),
        elapsed: Callable[[], int] | None = None,
        certificate: tuple[Path, Path] | None = None,
        confirmed: bool = True,
    ) -> None:
        """`elapsed` is the counter that the hub compares its clock with; by default they move together.

        The operator has `confirmed` the time before the start (AUD-11): most tests let weeks pass between two lives.
        With `certificate` (and its key), for the name localhost, the hub speaks TLS.
        """
        self._certificate = certificate
        if certificate is not None:
            chain, key = certificate
            more = (*more, "[tls]", f'certificate_file = "{chain}"', f'key_file = "{key}"')
        self.folder = folder
        self.programme = programme
        self.clock = clock or TestClock(programme.now)
        self.settings = make_settings(folder, programme, *more)
        self.logged = io.StringIO()
        self._reach = reach
        self._elapsed = elapsed or self.clock
        self._confirmed = confirmed
        self.serving = False
        self._watching: sqlite3.Connection | None = None

    async def __aenter__(self) -> Self:
        log = make_log("debug", "json", stream=self.logged, strict=True)
        if self._confirmed:
            note_time(self.folder / CLOCK_NAME, self.clock())
        self.hub = await Hub.open(
            self.settings, KEYS, log=log, clock=self.clock, elapsed=self._elapsed, reach=self._reach, rounds=False
        )
        self._runner = Runner(self.hub.public(), clock=self.clock, shutdown_s=1.0)
        port = await listen(self._runner, "127.0.0.1", 0, tls_context(self.settings))
        self.url = f"http://localhost:{port}" if self._certificate is None else f"https://localhost:{port}"
        self.session = new_session(tls=self.trusting)
        self.anonymous = Client(self.session, self.url)
        await self.catch_up()
        self.serving = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.serving = False
        await self.session.close()
        self.hub.release()
        await self._runner.cleanup()
        if self._watching is not None:
            self._watching.close()
            self._watching = None
        await self.hub.close()

    @property
    def trusting(self) -> ssl.SSLContext | bool:
        """What a client must trust."""
        return True if self._certificate is None else ssl.create_default_context(cafile=self._certificate[0])

    @property
    def audit_key(self) -> bytes:
        """The audit log's public key."""
        return KEYS.audit.public

    async def leaves(self) -> int:
        """Return how many leaves the audit log has."""
        heads = await self.hub.store.read(trees.stored_heads)
        return heads[trees.Log.AUDIT][0]

    async def has_mail(self, device_id: KeyId) -> bool:
        """Tell whether something waits for a device, or it must ask itself, since the hub is down."""
        if not self.serving:
            return True
        if isinstance(self.hub.store, SqliteStore):
            if self._watching is None:
                self._watching = sqlite3.connect(self.hub.store.path)
            asked = self._watching.execute("SELECT EXISTS (SELECT 1 FROM delivery WHERE device_id = ?)", (device_id,))
            return bool(asked.fetchone()[0])
        waits = select(exists().where(delivery.c.device_id == device_id))
        return bool(await self.hub.store.read(lambda connection: connection.scalar(waits)))

    async def catch_up(self) -> None:
        """Hand the programme's new statements to the hub's directory."""
        for raw in self.programme.statements[self.hub.directory.directory.size :]:
            await self.hub.directory.append(raw)

    def device(self, member: Member, device: DeviceSigner | None = None) -> DeviceClient:
        """Return a client for a member's device, or for another of its devices."""
        return DeviceClient(self.session, self.url, device or member.device, self.clock)
