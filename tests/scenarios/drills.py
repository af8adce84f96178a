# SPDX-License-Identifier: Apache-2.0
"""The drill of a lost machine, as people type it: a backup, its offline key, and a restore onto a new machine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from connectors.installation import AGENCY_ED25519, AGENCY_MLDSA65, Installation
from connectors.timing import system_clock
from tests.connectors.stations import PASSPHRASE, install, open_station
from tests.hub.running import RunningHub, TestClock
from tests.programme import Programme, make_programme
from tests.scenarios.running import Typist


class WallClock(TestClock):
    """The machine's clock: the programs go by it."""

    def __call__(self) -> int:
        return system_clock()


class Drill:
    """A hub, a prison that stays, and a probation office whose machine gets lost."""

    def __init__(self, folder: Path, programme: Programme, hub: RunningHub, type_: Typist) -> None:
        self.folder = folder
        self.hub = hub
        self.prison = programme.members["gora-prison"]
        self.social_work = programme.members["polje-csw"]
        self.office = programme.members["reka-probation"]
        self.old, self.new = folder / "office", folder / "office-again"
        self.backup = folder / "office.backup"
        self.passphrase = folder / "passphrase"
        self.type_now = type_
        self.passphrase.touch(mode=0o600)
        self.passphrase.write_bytes(PASSPHRASE)
        self.installation = self._installed(programme)

    def _installed(self, programme: Programme) -> Installation:
        installation = install(self.old, self.office, programme, self.hub.url)
        for name, seed in zip((AGENCY_ED25519, AGENCY_MLDSA65), self.office.identity.seeds, strict=True):
            installation.keystore.put(name, name, seed)
        (self.old / "connector.toml").write_text(
            f'[connector]\ndata_dir = "."\npassphrase_file = "{self.passphrase}"\nprofile = "demo"\n'
        )
        return installation

    async def type(self, *arguments: str | Path, code: int = 0) -> str:
        spoken = await asyncio.to_thread(self.type_now, *arguments)
        assert spoken.code == code, spoken.err
        return spoken.out + spoken.err

    async def make_key_and_backup(self) -> None:
        await self.type("backup-key", self.folder / "offline", "--passphrase-file", self.passphrase, "--demo")
        public = self.folder / "offline" / "backup.pub"
        await self.type("backup", self.backup, "--config", self.old / "connector.toml", "--public-key", public)

    async def restore(self, *more: str, code: int = 0) -> str:
        return await self.type(
            "restore", self.backup, "--key", self.folder / "offline" / "backup.key", "--key-passphrase-file",
            self.passphrase, "--data-dir", self.new, "--passphrase-file", self.passphrase, "--demo", *more, code=code,
        )  # fmt: skip

    async def run_and_back_up(self) -> None:
        """Let the office's connector run for a moment, then make the key and a backup of it."""
        async with open_station(self.old, self.office, self.installation, system_clock) as office:
            await office.look()
            await self.make_key_and_backup()


@asynccontextmanager
async def opened_drill(folder: Path, type_: Typist) -> AsyncIterator[Drill]:
    """Yield a drill beside a hub that runs, by the machine's clock."""
    programme = make_programme(now=system_clock())
    (folder / "hub").mkdir()
    async with RunningHub(folder / "hub", programme, WallClock()) as hub:
        yield Drill(folder, programme, hub, type_)
