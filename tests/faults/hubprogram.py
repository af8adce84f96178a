# SPDX-License-Identifier: Apache-2.0
"""The real program `throughcare-hub run`, as an operator starts it, for faults that come from the system around it."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from hub.config import HubSettings, load_settings
from hub.service.logcheck import check_everything
from hub.service.signingkeys import open_keys
from keys.verifying import verify_receipt
from protocol.errors import HubUnreachable, StoreFull, Unavailable
from protocol.frames import ItemKind
from protocol.slices import parse_slice
from tests.hub.process import ROOT, OwnHub, environment, now, prepare
from tests.programme import Programme, Sealed

REFUSALS = (HubUnreachable, StoreFull, Unavailable)
"""What a sender may be told under faults of the machine; after each the same bytes are sent again."""


@dataclass(frozen=True, slots=True)
class Start:
    """How long a program took until it served: by the clock, of processor time, and waiting for a processor.

    The clock runs from the moment at which it is executed to the one at which it says that it serves.
    """

    took: float
    worked: float
    waited: float

    @property
    def by_itself(self) -> float:
        """Return the seconds that it takes where others leave it a processor."""
        return self.took - self.waited


class HubProgram(OwnHub):
    """The program itself, started from nothing each time as a supervisor does."""

    def __init__(self, config: Path, programme: Programme) -> None:
        super().__init__(config, programme)
        self.settings: HubSettings = load_settings(config, {}).settings
        self.data = self.settings.hub.data_dir
        self.starts: list[Start] = []
        self._output: int | None = None

    @classmethod
    def new(cls, folder: Path, *more: str) -> Self:
        """Prepare a new hub in `folder`; `more` are further lines of its configuration."""
        return cls(*prepare(folder, *more))

    async def _end(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            await self.ended()
        self._let_output_go()

    async def start(
        self, extra: Mapping[str, str] | None = None, prepare_process: Callable[[], None] | None = None
    ) -> float:
        """Start it with `extra` in its environment; return the seconds until it serves.

        Raises AssertionError with what it said if it does not.
        """
        self._let_output_go()
        self._output, output = os.pipe()
        begin = time.monotonic()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "hub", "run", "--config", str(self.config), "--ready-json"),
                stdout=output,
                stderr=self._errors,
                cwd=ROOT,
                env={**environment(), **(extra or {})},
                preexec_fn=prepare_process,
            )
        finally:
            os.close(output)
        self.pid = self._process.pid
        # In a thread, which hears it at once however busy the clients in this loop are.
        async with asyncio.timeout(60):
            line, start = await asyncio.to_thread(_said_first, self._output, self.pid, begin)
        if start is None:
            raise AssertionError(f"{await self.ended()}: {self.said[-4_000:]}")
        self.starts.append(start)
        self.url, self.admin_url = json.loads(line)["url"], json.loads(line)["admin_url"]
        return start.took

    def _let_output_go(self) -> None:
        if self._output is not None:
            os.close(self._output)
            self._output = None

    async def ended(self) -> int:
        """Wait until it is gone; return its exit code, or minus the number of the signal that ended it."""
        async with asyncio.timeout(60):
            code = await self._process.wait()
        self.pid, self.url = 0, ""
        return code

    async def is_gone(self) -> bool:
        """Tell whether it has ended by itself, waiting a moment for that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await self._process.wait()
        return self._process.returncode is not None

    async def ready(self) -> dict[str, Any]:
        """Return what the hub says of its state."""
        async with self.session.get(f"{self.admin_url}/readyz") as response:
            found: dict[str, Any] = await response.json()
            return found


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used, whatever else the machine did meanwhile."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _said_first(output: int, pid: int, begin: float) -> tuple[bytes, Start | None]:
    """Wait for a program's first line; return it and what its start took, or None where the program ends without."""
    line = b""
    while not line.endswith(b"\n"):
        more = os.read(output, 4096)
        if not more:
            return line, None
        line += more
    took = time.monotonic() - begin
    return line, Start(took, processor_seconds(pid), _waiting_seconds(pid))


def _waiting_seconds(pid: int) -> float:
    """Return how long a program's main thread could run and had no processor, or 0 where Linux does not count it."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except FileNotFoundError:
        return 0.0


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
