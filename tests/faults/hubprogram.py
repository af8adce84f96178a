# SPDX-License-Identifier: Apache-2.0
"""The real program `throughcare-hub run`, as an operator starts it, for faults that come from the system around it."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hub.config import HubSettings, load_settings
from hub.service.logcheck import check_everything
from hub.service.signingkeys import open_keys
from keys.verifying import verify_receipt
from protocol.errors import HubUnreachable, StoreFull, Unavailable
from protocol.frames import ItemKind
from protocol.http import hub as api
from protocol.http.calling import Client, new_session
from protocol.slices import parse_slice
from tests.hub.process import ROOT, environment, now, prepare
from tests.hub.running import DeviceClient
from tests.programme import Member, Programme, Sealed

REFUSALS = (HubUnreachable, StoreFull, Unavailable)
"""What a sender may be told under faults of the machine; after each the same bytes are sent again."""


class HubProgram:
    """Starts the hub of one folder, again and again, and asks what a client can ask."""

    def __init__(self, folder: Path, *more: str) -> None:
        """Prepare a new hub in `folder`; `more` are further lines of its configuration."""
        self.config, self.programme = prepare(folder, *more)
        self.settings: HubSettings = load_settings(self.config, {}).settings
        self.data = self.settings.hub.data_dir
        self.pid = 0
        self.url = ""
        self.said = ""

    async def __aenter__(self) -> Self:
        self.session = new_session()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            await self.ended()

    async def start(
        self, extra: Mapping[str, str] | None = None, prepare_process: Callable[[], None] | None = None
    ) -> None:
        """Start it with `extra` in its environment; raises AssertionError with what it said if it does not serve."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "hub", "run", "--config", str(self.config), "--ready-json"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=ROOT,
            env={**environment(), **(extra or {})},
            preexec_fn=prepare_process,
        )
        self.pid = self._process.pid
        assert self._process.stdout is not None
        async with asyncio.timeout(60):
            line = await self._process.stdout.readline()
        if not line:
            raise AssertionError(f"{await self.ended()}: {self.said}")
        self.url = json.loads(line)["url"]
        self.admin_url = json.loads(line)["admin_url"]

    async def ended(self) -> int:
        """Wait until it is gone; return its exit code, and keep what it wrote to stderr in `said`."""
        async with asyncio.timeout(60):
            _, told = await self._process.communicate()
        self.pid, self.said = 0, told.decode()
        assert self._process.returncode is not None
        return self._process.returncode

    async def is_gone(self) -> bool:
        """Tell whether it has ended by itself, waiting a moment for that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await self._process.wait()
        return self._process.returncode is not None

    async def stop(self) -> int:
        """Ask it to stop."""
        os.kill(self.pid, signal.SIGTERM)
        return await self.ended()

    async def publish(self) -> None:
        """Hand the whole directory to the hub."""
        client = Client(self.session, self.url)
        for raw in self.programme.statements:
            await client.call(api.SUBMIT_STATEMENT, api.StatementAccepted, body=api.StatementSubmission(statement=raw))

    def device(self, member: Member) -> DeviceClient:
        """Return a client for a member's device."""
        return DeviceClient(self.session, self.url, member.device, now)

    async def ready(self) -> dict[str, Any]:
        """Return what the hub says of its state."""
        async with self.session.get(f"{self.admin_url}/readyz") as response:
            found: dict[str, Any] = await response.json()
            return found


class Ledger:
    """The sender's own record: what it sent, and which receipts it has. Nothing that has one may ever be lost."""

    def __init__(self, hub: HubProgram) -> None:
        self.hub = hub
        self.programme: Programme = hub.programme
        self.sender = self.programme.sender("gora-prison")
        self.sent: dict[bytes, Sealed] = {}
        self.receipts: dict[bytes, bytes] = {}
        self.refused: list[Exception] = []

    def seal(self, size: int = 0) -> Sealed:
        """Seal a message to the probation office, with a section of `size` bytes."""
        desk = self.programme.members["reka-probation"].desk
        sections = [(os.urandom(size), [desk])] if size else []
        return self.sender.seal(desk, sections=sections, now=now())

    async def send(self, sealed: Sealed) -> bool:
        """Submit; tell whether there is a receipt. The same bytes must get the same receipt."""
        self.sent[sealed.envelope_id] = sealed
        device = self.hub.device(self.programme.members["gora-prison"])
        try:
            receipt = await device.submit(sealed.data)
        except REFUSALS as error:
            self.refused.append(error)
            return False
        assert self.receipts.setdefault(sealed.envelope_id, receipt) == receipt
        return True

    async def stored(self) -> set[bytes]:
        """Return the ids that wait at the hub, each once."""
        items = await self.hub.device(self.programme.members["reka-probation"]).items()
        ids = [parse_slice(item.data).common.envelope_id for item in items if item.kind is ItemKind.SLICE]
        assert len(ids) == len(set(ids))
        return set[bytes](ids)

    async def settle(self) -> None:
        """Against a sound hub: all that was answered is there; the rest gets its receipt now; then all is one tree."""
        acknowledged = dict(self.receipts)
        stored = await self.stored()
        assert acknowledged.keys() <= stored <= self.sent.keys()
        for sealed in self.sent.values():
            assert await self.send(sealed)
        assert await self.stored() == self.sent.keys()
        assert await self.hub.stop() == 0, self.hub.said
        sizes = await check_everything(self.hub.settings)
        assert sizes["hub.example/audit"] == len(self.sent)
        key = open_keys(self.hub.settings).audit.public
        bodies = [verify_receipt(raw, "hub.example/audit", key) for raw in self.receipts.values()]
        assert sorted(body.index for body in bodies) == list(range(len(self.sent)))
