# SPDX-License-Identifier: Apache-2.0
"""Hubs as processes of their own, for tests that kill them or look into them."""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hub.service.signingkeys import create_keys
from protocol.http import hub as api
from protocol.http.calling import Client, new_session
from tests.hub.running import DeviceClient, make_settings, settings_text
from tests.programme import Member, Programme, make_programme

ROOT = Path(__file__).resolve().parents[2]


def now() -> int:
    """Return the real time in ms UTC: a process of its own has the real clock."""
    return time.time_ns() // 1_000_000


def prepare(folder: Path, *more: str) -> tuple[Path, Programme]:
    """Write passphrase, keys and configuration of a demo hub; return its configuration and a programme of today."""
    programme = make_programme(now=now())
    data = folder / "data"
    data.mkdir(mode=0o700)
    passphrase = data / "passphrase"
    passphrase.touch(mode=0o600)
    passphrase.write_text("invented")
    create_keys(make_settings(data, programme))
    config = folder / "hub.toml"
    config.write_text(settings_text(data, programme, *more))
    return config, programme


def environment() -> dict[str, str]:
    """Return the environment in which the project's packages and tests are found."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


class OwnHub:
    """A hub in a process of its own that is started again and again: what one may ask of it, however it is started."""

    def __init__(self, config: Path, programme: Programme) -> None:
        self.config = config
        self.programme = programme
        self.url = ""
        self.pid = 0

    async def __aenter__(self) -> Self:
        # A file takes whatever hundreds of hubs say; a pipe that nobody reads would stop them.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end
        self.session = new_session()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()
        await self._end()
        self._errors.close()

    async def _end(self) -> None:
        """End every process that was started here, at once."""
        raise NotImplementedError

    async def start(self) -> float:
        """Start it; return the seconds until it serves."""
        raise NotImplementedError

    async def ended(self) -> int:
        """Wait until it is gone; return its exit code, or minus the number of the signal that ended it."""
        raise NotImplementedError

    @property
    def said(self) -> str:
        """What it has written to stderr, and those before it."""
        self._errors.seek(0)
        return self._errors.read().decode()

    async def stop(self) -> int:
        """Ask it to stop; return how it ended."""
        os.kill(self.pid, signal.SIGTERM)
        return await self.ended()

    async def publish(self) -> None:
        """Hand the whole directory to the hub."""
        client = Client(self.session, self.url)
        for raw in self.programme.statements:
            body = api.StatementSubmission(statement=raw)
            await client.call(api.SUBMIT_STATEMENT, api.StatementAccepted, body=body)

    def device(self, member: Member) -> DeviceClient:
        """Return a client for a member's device."""
        return DeviceClient(self.session, self.url, member.device, now)


class HubProcess(OwnHub):
    """Hubs that a program forks, one after the other: without importing anew, and killed at any step of the writer."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.hub.crashing",
            str(self.config),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._errors,
            cwd=ROOT,
            env=environment(),
            start_new_session=True,
        )
        return self

    async def _end(self) -> None:
        # The program and the hub it may still have started, both ours and in a group of their own.
        os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.communicate()

    async def _told(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        async with asyncio.timeout(30):
            line = await self._process.stdout.readline()
        if not line:
            raise AssertionError(self.said[-4_000:])
        told: dict[str, Any] = json.loads(line)
        return told

    async def start(self, step: str = "none", passes: int = 0) -> float:
        """Start a hub that kills itself at `step` after passing it `passes` times; return the seconds it took."""
        begin = time.monotonic()
        assert self._process.stdin is not None
        self._process.stdin.write(f"{step} {passes}\n".encode())
        await self._process.stdin.drain()
        told = await self._told()
        assert "url" in told, told
        self.url, self.pid = told["url"], told["pid"]
        return time.monotonic() - begin

    async def ended(self) -> int:
        """Wait until the hub is gone and return how it ended: 0, or minus the signal's number."""
        code: int = (await self._told())["ended"]
        self.pid, self.url = 0, ""
        return code
