# SPDX-License-Identifier: Apache-2.0
"""The hub's machine: the real hub, killed at every step of its writer, with full disks, clocks that jump, and lies."""

import asyncio
import io
import sqlite3
from contextlib import suppress
from datetime import UTC, datetime

from sqlalchemy.exc import OperationalError

from hub.app import Hub
from hub.config import HubSettings
from hub.confirming import confirm
from hub.logs import make_log
from hub.store import sqlite
from hub.store.sqlite import SqliteStore
from protocol.errors import ThroughcareError
from protocol.http.running import Runner
from protocol.limits import DAY, HOUR, MINUTE
from tests.hub.running import KEYS, make_settings
from tests.programme import Programme
from tests.simulation.lies import Liar
from tests.simulation.machines import Disk, Killed, Nature
from tests.simulation.network import Network

STEPS = ("before-commit", "after-commit", "after-guard", "after-sign")


class HubMachine:
    """One hub through all its lives."""

    def __init__(self, nature: Nature, network: Network, disk: Disk, programme: Programme) -> None:
        self._nature = nature
        self._network = network
        self.disk = disk
        self._programme = programme
        self.liar = Liar(nature)
        self.logged = io.StringIO()
        self.hub: Hub | None = None
        self._runner: Runner | None = None
        self.skew = 0
        """What its clock is wrong by, in ms."""
        self._full = False
        self._ends: list[asyncio.Task[None]] = []

    def _note(self, what: str) -> None:
        self._nature.history.note("hub", what)

    def _clock(self) -> int:
        return self._nature.now() + self.skew

    def _settings(self) -> HubSettings:
        return make_settings(self.disk.folder, self._programme)

    async def start(self) -> None:
        """Start on the disk as it is."""
        settings = self._settings()
        log = make_log("info", "json", stream=self.logged, strict=True)
        life = object()
        self._life = life
        self.hub = await Hub.open(
            settings,
            KEYS,
            log=log,
            clock=self._clock,
            elapsed=self._nature.now,
            reach=lambda step: self._reach(step, life),
        )
        self.liar.corrupt(self.hub)
        self._runner = Runner(self.hub.public(), clock=self._clock, shutdown_s=1.0)
        await self._runner.setup()
        assert self._runner.server is not None
        self._network.serve = self._runner.server
        self._note("starts")

    def _reach(self, step: str, life: object) -> None:
        if life is not self._life:
            raise Killed
        faults = self._nature.faults
        if faults.happens(f"hub-killed-{step}"):
            self.kill(step)
            raise Killed
        if step == "before-commit" and self._full:
            full = sqlite3.OperationalError("database or disk is full")
            full.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise OperationalError("COMMIT", {}, full)
        if step == "after-commit" and faults.happens("hub-guard-fails"):
            self._note("cannot write its guard file")
            raise OSError("the disk failed")

    def kill(self, why: str) -> None:
        """Switch the machine off."""
        self._note(f"is killed {why}")
        self._life = object()
        self.disk.survive()
        self._network.serve = None
        self._network.hang_up()
        self._end()

    def _end(self) -> None:
        hub, runner = self.hub, self._runner
        self.hub = self._runner = None
        if hub is not None and runner is not None:
            self._ends.append(asyncio.create_task(self._bury(hub, runner)))

    async def _bury(self, hub: Hub, runner: Runner) -> None:
        with suppress(Killed, ThroughcareError):
            hub.release()
            await runner.cleanup()
            await hub.close()
        if isinstance(hub.store, SqliteStore) and hub.store in sqlite._ABANDONED:
            # A hub whose disk failed leaves this to the end of its process, which here is now (AUD-9).
            sqlite._ABANDONED.remove(hub.store)
            hub.store._failed = False
            await hub.store.close()

    async def stop(self) -> None:
        """Stop as the operator would."""
        self._network.serve = None
        self._end()
        await self.buried()
        self._network.hang_up()
        self._note("was stopped")

    async def buried(self) -> None:
        """Wait until all former lives have ended."""
        ends, self._ends = self._ends, []
        await asyncio.gather(*ends)

    async def look(self) -> None:
        """Let the operator see whether all is well: start what is not running, end what has given up."""
        hub, faults = self.hub, self._nature.faults
        if hub is not None and hub.writing is not None and hub.writing.done():
            self.kill("by itself, having given up")
        elif self._is_off() and faults.number(2):
            if hub is not None and self.skew == 0 and not hub._trust.given:
                # Two agencies may be waiting to be restored, and can sign nothing: the operator looks at a calendar.
                self._note("has its time confirmed")
                confirm(self._settings(), datetime.fromtimestamp(self._nature.now() / 1_000, UTC).date(), self._clock())
            else:
                self._note("has its clock set")
                await self.stop()
        if self.hub is None:
            await self.buried()
            self.skew = 0
            if faults.happens("hub-clock-wrong-at-start"):
                # An empty battery, too: what would follow from that cannot be undone (AUD-11).
                self.skew = (-HOUR, 0, HOUR, 40 * DAY)[faults.number(4)]
                self._note(f"has a clock that is wrong by {self.skew // MINUTE} minutes")
            await self.start()

    def _is_off(self) -> bool:
        """Tell whether the clock is wrong, or was moved while the hub ran, which then writes nothing (AUD-7)."""
        return self.hub is not None and (self.skew != 0 or not self.hub.writer.clock_is_sound)

    async def suffer(self) -> None:
        """Let something happen to the machine, perhaps."""
        faults = self._nature.faults
        self._full = faults.happens("hub-disk-full")
        if self._full:
            self._note("has a full disk")
        if self.hub is not None and faults.happens("hub-stopped"):
            await self.stop()
        if faults.happens("hub-clock-jumps"):
            self.skew += (faults.number(3) - 1) * HOUR
            self._note(f"has its clock moved, by now {self.skew // MINUTE} minutes")

    async def recover(self) -> None:
        """Let the operator put everything right."""
        self._full = False
        self.liar.honest()
        if self._is_off():
            await self.stop()
        self.skew = 0
        await self.look()
