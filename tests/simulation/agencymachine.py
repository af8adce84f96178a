# SPDX-License-Identifier: Apache-2.0
"""An agency's machine: the real connector with all its loops, killed between any two steps that its disk survives."""

import asyncio
import hashlib
import io
import random
import secrets
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from sqlalchemy.exc import OperationalError

from connectors.backup import make_backup, open_backup
from connectors.config import ConnectorSection
from connectors.hub_client import HubClient
from connectors.installation import (
    DEVICE_ED25519,
    DEVICE_MLDSA65,
    DEVICE_TRANSPORT,
    KEYSTORE_FOLDER,
    STORAGE,
    Installation,
    read_enrolment,
)
from connectors.logs import Log
from connectors.loops import Loops
from connectors.parts import Parts, make_parts
from connectors.restoring import finish, restore, restoring_into
from connectors.store.attachments import HERE
from connectors.store.engine import DATABASE_FILE, Store, Transaction
from connectors.vault import Vault
from keys.keystore import Keystore
from keys.sealedfile import SMALL, PassphraseKey
from keys.signing import DeviceSigner, sign_statement
from keys.xwing import XWingSecret
from protocol.address import DeskAddress
from protocol.clearance import DeskFunction
from protocol.errors import ThroughcareError
from protocol.frames import Item
from protocol.http.calling import new_session
from protocol.ids import KeyId
from protocol.limits import CLOCK_SKEW, DAY, DEVICE_LIFE, MINUTE
from protocol.settings import Profile
from protocol.statements import Body, Revocation
from tests.connectors.stations import PASSPHRASE
from tests.programme import Member
from tests.simulation.machines import Disk, Killed, Nature
from tests.simulation.network import URL, Dialer, Network

OFFLINE = XWingSecret(bytes(range(32)))
"""The agency's offline key, to which backups are sealed."""


def fingerprint(data: bytes) -> bytes:
    """Return what an item is remembered by."""
    return hashlib.sha256(data).digest()


class _Store(Store):
    """The real store on a machine that may fail before and after each commit."""

    machine: "AgencyMachine"
    life: object

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Transaction]:
        """Do as the real one, if the machine lets it."""
        async with super().write() as tx:
            yield tx
            self.machine.pass_by("before-commit", self.life)
        self.machine.pass_by("after-commit", self.life)


@dataclass
class _Life:
    """One running connector, from its start to its end."""

    installation: Installation
    session: aiohttp.ClientSession
    store: _Store
    parts: Parts
    running: asyncio.Task[None]
    stop: asyncio.Event

    async def bury(self) -> None:
        """End what is left of it."""
        self.running.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await self.running
        await self.session.close()
        await self.store.close()


class AgencyMachine:
    """One agency through all the lives of its machines."""

    def __init__(
        self,
        nature: Nature,
        network: Network,
        member: Member,
        disk: Disk,
        passphrase_key: PassphraseKey,
        settings: dict[str, object],
        seed: int,
    ) -> None:
        self._nature = nature
        self._network = network
        self._member = member
        self._chance = random.Random(f"pauses {member.address} {seed}").random
        self.disk = disk
        self._passphrase_key = passphrase_key
        self._settings = settings
        self.name = str(member.address).partition("@")[0]
        self.desk: DeskAddress = member.desk
        self.function = DeskFunction(next(iter(member.functions.values())))
        self.logged = io.StringIO()
        self.life: _Life | None = None
        self._living = object()
        self._revocation: bytes | None = None
        """What revokes its device, while nobody knows whether the log has it."""
        self.away_until = 0
        """Until when it stays switched off, ms UTC."""
        self.skew = 0
        self._full = False
        self.backup: Path | None = None
        self.backed_up_at = 0
        self.in_backup: set[tuple[bytes, str]] = set()
        self._new_folder: Path | None = None
        """Where the backup is to be restored to, until that is done."""
        self.lost: set[tuple[bytes, str]] = set()
        """(message_id, sender) of what came, or was whole, only after the last backup of a machine that was lost."""
        self.lost_own_after: list[tuple[int, int]] = []
        """Spans of time, ms UTC, whose own messages were lost with a machine."""
        self._ends: list[asyncio.Task[None]] = []
        self.taken: set[bytes] = set()
        """SHA-256 of all items that the inbox took and that must therefore be somewhere on this machine."""

    def note(self, what: str) -> None:
        """Note something in the history."""
        self._nature.history.note(self.name, what)

    def clock(self) -> int:
        """Return what this machine thinks the time is."""
        return self._nature.now() + self.skew

    @property
    def database(self) -> Path:
        """The file of the store."""
        return self.disk.folder / DATABASE_FILE

    # Living and dying

    async def start(self) -> None:
        """Start on the disk as it is."""
        folder = self.disk.folder
        self._living = living = object()
        keystore = Keystore(folder / KEYSTORE_FOLDER, self._passphrase_key)
        device = DeviceSigner.from_seeds(
            *(keystore.get(name, name) for name in (DEVICE_ED25519, DEVICE_MLDSA65, DEVICE_TRANSPORT))
        )
        installation = Installation(read_enrolment(folder), device, keystore, keystore.get(STORAGE, STORAGE))
        section = ConnectorSection.model_validate(
            {
                "data_dir": folder,
                "passphrase_file": folder / "passphrase",
                "profile": Profile.DEMO,
                "hub_url": URL,
                **self._settings,
            }
        )
        store = await _Store.open(folder / DATABASE_FILE, Vault(installation.storage_key))
        assert isinstance(store, _Store)
        store.machine, store.life = self, living
        session = self._session(living)
        log = Log(self.logged, json=True)
        counter = self._nature.now
        parts = make_parts(section, installation, store, session, self.clock, log, chance=self._chance, elapsed=counter)
        await parts.directory.load()
        self._watch_inbox(parts)
        loops, stop = Loops(parts, section, self.clock, log), asyncio.Event()
        running = asyncio.create_task(loops.run(stop))
        self.life = _Life(installation, session, store, parts, running, stop)
        self.note("starts")

    def _session(self, living: object) -> aiohttp.ClientSession:
        return new_session(connector=Dialer(self._network, self.name, lambda: living is self._living))

    def _watch_inbox(self, parts: Parts) -> None:
        take = parts.inbox.take

        async def watched(items: Sequence[Item]) -> None:
            await take(items)
            self.taken.update(fingerprint(item.data) for item in items)

        parts.inbox.take = watched  # type: ignore[method-assign] # it looks on, and changes nothing

    def pass_by(self, step: str, life: object) -> None:
        """Suffer what happens to the machine at a step of its store."""
        if life is not self._living:
            raise Killed
        if self._nature.faults.happens(f"connector-killed-{step}"):
            self.kill(step)
            raise Killed
        if step == "before-commit" and self._full:
            full = sqlite3.OperationalError("database or disk is full")
            full.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise OperationalError("COMMIT", {}, full)

    def kill(self, why: str) -> None:
        """Switch the machine off, whatever it is doing."""
        self.note(f"is killed {why}")
        self.disk.survive()
        self._end()

    def _end(self) -> None:
        self._living = object()
        self._network.hang_up(self.name)
        if self.life is not None:
            self._ends.append(asyncio.create_task(self.life.bury()))
        self.life = None

    async def stop(self) -> None:
        """Stop as a person would."""
        if (life := self.life) is not None:
            life.stop.set()
            await asyncio.wait([life.running])
            if not life.running.cancelled():  # it may be killed while it stops
                with suppress(Killed, ThroughcareError):
                    life.running.result()
        if self.life is not None:
            self._end()
        await self.buried()
        self.note("was stopped")

    async def buried(self) -> None:
        """Wait until all former lives have ended."""
        ends, self._ends = self._ends, []
        await asyncio.gather(*ends)

    # What people do

    async def look(self) -> None:
        """Let somebody see whether the machine runs, and do for it what is due."""
        if self._nature.now() < self.away_until:
            return
        await self.buried()
        if self._new_folder is not None:
            await self._restore(self._new_folder)
        elif self.life is None:
            await self.start()
        await self._revoke()

    def back_up(self) -> None:
        """Make a backup, as every night."""
        if self.life is None:
            return
        target = self.disk.folder.parent / f"{self._nature.now()}.backup"
        if not target.exists():
            make_backup(self.disk.folder, self.life.installation, target, OFFLINE.public, self._nature.now())
            self.backup, self.backed_up_at = target, self._nature.now()
            self.in_backup = _taken_in(self.database)

    async def move(self, *, fresh: bool) -> None:
        """Lose the machine, or give it up in good order after a last backup; a new one is made from the backup."""
        if self.life is None:
            return
        if fresh:
            await self.stop()
            await self.start()
            self.back_up()
        if self.backup is None:
            return
        self.note("moves to a new machine" if fresh else f"loses its machine; backup of {self.backed_up_at}")
        if self.life is not None:
            self._end()
        await self.buried()
        self._mourn()
        self._revocation = None
        self._new_folder = self.disk.replace(secrets.token_hex(8))

    def _mourn(self) -> None:
        """Note what the machine had taken in since its backup: it was acknowledged, and is gone with the machine."""
        self.lost |= _taken_in(self.database) - self.in_backup
        self.lost_own_after.append((self.backed_up_at, self._nature.now()))
        self.taken.clear()

    async def _restore(self, target: Path) -> None:
        assert self.backup is not None
        if self._network.serve is None:
            return
        living = object()
        self._living = living
        hub_session = self._session(living)
        try:
            with restoring_into(target, self.backup) as place:
                source = place.begun or open_backup(self.backup, OFFLINE, place.draft)
                hub = HubClient(hub_session, URL, self.clock)
                finish(place, await restore(place, source, hub, PASSPHRASE, self.clock(), revoke=True, params=SMALL))
        except ThroughcareError as error:
            self.note(f"cannot be restored yet: {error.code}")
            return
        finally:
            await hub_session.close()
        self._passphrase_key = Keystore.open(target / KEYSTORE_FOLDER, PASSPHRASE)._passphrase_key
        self._new_folder = None
        self.note("is restored on a new machine")
        await self.start()

    async def revoke(self) -> None:
        """Have the agency's people revoke the device: it was stolen, and a new one follows."""
        if self.life is None:
            return
        self.back_up()
        begin = self._nature.now() - CLOCK_SKEW
        revocation = Revocation(KeyId(self.life.installation.device.key_id), "stolen")
        body = Body(self._nature.now(), begin, begin + DEVICE_LIFE, revocation)
        self._revocation = sign_statement(body, [self._member.identity])
        await self._revoke()

    async def _revoke(self) -> None:
        """Hand the revocation in, again until it is known to be in the log: an answer may have been lost."""
        if self.life is None or self._revocation is None:
            return
        try:
            await self.life.parts.client.submit_statement(self._revocation)
        except ThroughcareError as error:
            self.note(f"cannot have its device revoked yet: {error.code}")
            return
        self.note("has its device revoked")
        await self.move(fresh=False)

    async def suffer(self) -> None:
        """Let something happen to the machine, perhaps."""
        faults = self._nature.faults
        if self.life is None:
            return
        self._full = faults.happens("connector-disk-full")
        if self._full:
            self.note("has a full disk")
        self.skew = 0
        if faults.happens("connector-clock-wrong"):
            self.skew = int(faults.seconds(-1_500, 1_500) * 1_000)
            self.note(f"has a clock that is wrong by {self.skew // MINUTE} minutes")
        if self._network.parted(self.name):
            self._network.join(self.name)
        elif faults.happens("partition"):
            self.note("is cut off from the hub")
            self._network.part(self.name)
        if faults.happens("connector-killed"):
            self.kill("by a power cut")
        elif faults.happens("connector-offline"):
            self.away_until = self._nature.now() + (1 + faults.number(70 if faults.number(3) == 0 else 7)) * DAY
            self.note(f"stays switched off for {(self.away_until - self._nature.now()) // DAY} days")
            await self.stop()
        elif faults.happens("device-replaced"):
            await self.move(fresh=True)
        elif faults.happens("device-lost"):
            await self.move(fresh=False)
        elif faults.happens("device-revoked"):
            await self.revoke()

    async def recover(self) -> None:
        """Put everything right: the disk has room, the clock is set, the line is up. Who is away comes back in time."""
        self._full, self.skew = False, 0
        if self._network.parted(self.name):
            self._network.join(self.name)
        await self.look()


def _taken_in(database: Path) -> set[tuple[bytes, str]]:
    """Return what came with all its attachments."""
    with closing(sqlite3.connect(database)) as connection:
        came = set(connection.execute("SELECT message_id, sender_desk FROM incoming"))
        states = connection.execute("SELECT message_id, sender_desk, state FROM attachment_in")
        return came - {(message, sender) for message, sender, state in states if state not in HERE}
