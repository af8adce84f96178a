# SPDX-License-Identifier: Apache-2.0
"""A connector taken step by step: real installation, real SQLite file, real HTTP to the hub, a clock to set."""

import io
import secrets
import shutil
import sqlite3
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import aiohttp

from connectors.api import Api
from connectors.config import ConnectorSection
from connectors.hub_client import HubLink, PollingLink
from connectors.installation import (
    DEVICE_ED25519,
    DEVICE_MLDSA65,
    DEVICE_TRANSPORT,
    KEYSTORE_FOLDER,
    PREKEY_PURPOSE,
    STORAGE,
    ActorName,
    ActorRecord,
    Enrolment,
    Installation,
    LogIdentity,
    prekey_name,
    write_enrolment,
)
from connectors.logs import Log
from connectors.parts import Parts, make_parts
from connectors.store.engine import DATABASE_FILE, Store, migrate
from connectors.upkeep import upkeep
from connectors.vault import Vault
from keys.keystore import Keystore
from keys.sealedfile import SMALL, PassphraseKey
from protocol.address import DeskAddress
from protocol.bodies.person import Person
from protocol.bodies.risk import Risk
from protocol.clearance import Basis, Category, DeskFunction, Label, Purpose
from protocol.frames import Item
from protocol.handover import HandoverPackage, Moved, PackageSection, Priority, Terms, Trigger, TriggerEvent
from protocol.http.calling import new_session
from protocol.http.handovers import HandoverQueued, HandoverRequest, HandoverView, MessageState
from protocol.ids import KeyId, MessageId
from protocol.settings import Profile
from tests.hub.running import KEYS, RunningHub
from tests.keys.world import seed
from tests.passphrases import are_quick
from tests.programme import Member, Programme

PASSPHRASE = b"an invented passphrase"
PLANTED = "planted-phrase-7f3a"
"""Stands in content only; it must be found nowhere but in an agency's own answers."""


def person_section(marker: str = PLANTED) -> PackageSection:
    """Return a section that probation and social work may have."""
    return PackageSection(
        category=Category.IDENTITY,
        purpose=Purpose.CONTINUITY_OF_CARE,
        basis=Basis.STATUTE,
        citation="Invented Act, art. 1",
        functions=(DeskFunction.PROBATION_INTAKE, DeskFunction.SOCIAL_WORK),
        body=Person(family_name=marker, given_names="Invented"),
    )


def risk_section() -> PackageSection:
    """Return a section that is meant for probation only."""
    return PackageSection(
        category=Category.RISK_SUMMARY,
        purpose=Purpose.SUPERVISION,
        basis=Basis.STATUTE,
        citation="Invented Act, art. 2",
        label=Label.RESTRICTED,
        functions=(DeskFunction.PROBATION_INTAKE,),
        body=Risk(),
    )


def package(*sections: PackageSection) -> HandoverPackage:
    """Return a package of `sections`; by default one for both recipients and one for probation only."""
    return HandoverPackage(
        terms=Terms(
            trigger=Trigger(event=TriggerEvent.RELEASE_NOTICE, expected_on=date(2027, 2, 1)),
            what_moves=(Moved.SUPERVISION,),
            priority=Priority.NORMAL,
            acknowledge_by=date(2027, 1, 20),
            answer_by=date(2027, 1, 25),
        ),
        sections=sections or (person_section(), risk_section()),
    )


def enrolment_of(member: Member, programme: Programme, hub_url: str) -> Enrolment:
    """Return what enrolment would have written down."""
    service = ActorRecord(
        officer_id=member.officer, kind=ActorName.SERVICE, name="connector service", delegation=member.delegation
    )
    return Enrolment(
        hub_url=hub_url,
        domain=programme.domain,
        root_fingerprint=programme.fingerprint,
        directory=LogIdentity(origin=f"{programme.domain}/directory", key=KEYS.directory.public, minimum_size=1),
        audit=LogIdentity(origin=f"{programme.domain}/audit", key=KEYS.audit.public),
        agency=member.address,
        desks=tuple(DeskAddress(f"{name}.{member.address}") for name in member.functions),
        device_key_id=member.device_id,
        actors=(service,),
    )


_TEMPLATES: dict[tuple[bytes, int, bool], tuple[tempfile.TemporaryDirectory[str], PassphraseKey]] = {}
"""Keystores and empty databases made before, by device, number of prekeys and way of passphrases: a disk is slow."""


def _template(member: Member) -> tuple[Path, PassphraseKey]:
    wanted = member.device_id, len(member.prekeys), are_quick()
    known = _TEMPLATES.get(wanted)
    if known is None:
        known = tempfile.TemporaryDirectory(), PassphraseKey.create(PASSPHRASE, SMALL)
        _TEMPLATES[wanted] = known
        folder = Path(known[0].name)
        # What `Keystore.create` does, with a key that is kept: Argon2id takes its time on purpose.
        keystore = Keystore(folder / KEYSTORE_FOLDER, known[1])
        (folder / KEYSTORE_FOLDER).mkdir(mode=0o700)
        keystore._save({})
        ed25519, mldsa65, transport = member.device.seeds
        for name, secret in (
            (DEVICE_ED25519, ed25519),
            (DEVICE_MLDSA65, mldsa65),
            (DEVICE_TRANSPORT, transport),
            (STORAGE, seed(f"storage {member.address}")),
        ):
            keystore.put(name, name, secret)
        for (device_id, epoch), prekey in member.prekeys.items():
            if device_id == member.device_id:
                keystore.put(prekey_name(epoch), PREKEY_PURPOSE, prekey.seed)
        migrate(folder / DATABASE_FILE)
    return Path(known[0].name), known[1]


def install(folder: Path, member: Member, programme: Programme, hub_url: str) -> Installation:
    """Make an installation in `folder` as enrolment would, with the device and prekeys of `member`."""
    template, key = _template(member)
    shutil.copytree(template, folder, dirs_exist_ok=True)
    keystore = Keystore(folder / KEYSTORE_FOLDER, key)
    enrolment = enrolment_of(member, programme, hub_url)
    write_enrolment(folder, enrolment)
    return Installation(enrolment, member.device, keystore, keystore.get(STORAGE, STORAGE))


@dataclass
class Station:
    """One connector of the test, not running by itself."""

    folder: Path
    member: Member
    installation: Installation
    settings: ConnectorSection
    parts: Parts
    session: aiohttp.ClientSession
    logged: io.StringIO
    link: HubLink
    clock: Callable[[], int]
    watching: sqlite3.Connection
    """Sees whether anybody else has written to the database."""
    has_mail: Callable[[KeyId], Awaitable[bool]] | None = None
    """Tells whether the hub has something for a device, which costs far less than to ask it with a signed request."""
    _nothing_due: tuple[int, int, bool] | None = None

    @property
    def desk(self) -> DeskAddress:
        """The first desk."""
        return self.installation.enrolment.desks[0]

    async def look(self) -> None:
        """Bring directory, certificate and prekeys up to date, as the connector's own loop does."""
        parts = self.parts
        await parts.directory.sync()
        failures = await upkeep(
            parts.renewal, parts.prekeys, parts.client, drained_at=None, follow=parts.directory.sync
        )
        if failures:
            raise failures[0]
        await parts.resealing.follow_directory()

    async def compose(self, *to: DeskAddress, content: HandoverPackage | None = None) -> HandoverQueued:
        """Queue a handover."""
        request = HandoverRequest(to=list(to), package=content or package())
        key = secrets.token_urlsafe(24)
        return (await self.parts.handovers.send(request, key=key, body=key.encode())).answer

    async def seal_and_send(self) -> int:
        """Seal and send until nothing is due; returns how many envelopes were answered.

        A step that found nothing finds nothing again while the clock stands and nobody writes to the database.
        """
        answered = 0
        while (before := self._state()) != self._nothing_due:
            made = await self.parts.sealer.step()
            sent = await self.parts.outbox.step(self.link)
            answered += sent
            if not made and not sent:
                self._nothing_due = before
                break
        return answered

    def _state(self) -> tuple[int, int, bool]:
        """Return what is another whenever sealing or sending may find something to do."""
        version: tuple[int] = self.watching.execute("PRAGMA data_version").fetchone()
        return version[0], self.clock(), self.parts.directory.clock_is_sound

    async def send(self, *to: DeskAddress, content: HandoverPackage | None = None) -> MessageId:
        """Queue, seal and send a handover."""
        queued = await self.compose(*to, content=content)
        await self.seal_and_send()
        return queued.id

    async def collect(self) -> int:
        """Take and acknowledge all mail; returns how many items came."""
        taken = 0
        while came := await self._take_page():
            taken += came
        return taken

    async def _take_page(self) -> int:
        items = await self.link.receive(await self.parts.inbox.cursor())
        if items:
            await self.take(items)
        return len(items)

    async def take(self, items: tuple[Item, ...]) -> None:
        """Take items and acknowledge them."""
        await self.parts.inbox.take(items)
        up_to = await self.parts.inbox.unacknowledged()
        if up_to is not None:
            await self.link.acknowledge(up_to)
            self.parts.inbox.acknowledged(up_to)

    async def turn(self) -> int:
        """Collect, then send what that gave rise to; returns how many items came and went.

        A story asks after mail a dozen times for each item that comes. Unless it has a link of its own, the hub's
        database is asked instead, and the hub itself only when something is there; `collect` always asks the hub.
        """
        asked = self.has_mail if type(self.link) is PollingLink else None
        taken = 0
        while (asked is None or await asked(self.parts.inbox._own.device_id)) and (came := await self._take_page()):
            taken += came
        return taken + await self.seal_and_send()

    async def view(self, message_id: MessageId) -> HandoverView:
        """Return a handover as the local interface shows it."""
        return await self.parts.handovers.show(message_id)

    async def states(self, message_id: MessageId) -> dict[DeskAddress, MessageState]:
        """Return how a handover of ours stands at each desk."""
        return {one.desk: one.state for one in (await self.view(message_id)).recipients}

    async def quarantined(self) -> list[str]:
        """Return the reasons of all that is in quarantine, oldest first."""
        from protocol.http.handovers import Page

        found = await self.parts.overview.quarantine(Page(limit=200))
        return [item.code for item in reversed(found.items)]


@asynccontextmanager
async def open_station(
    folder: Path,
    member: Member,
    installation: Installation,
    clock: Callable[[], int],
    hub_url: str | None = None,
    link: HubLink | None = None,
    tls: ssl.SSLContext | bool = True,
    elapsed: Callable[[], int] | None = None,
    **changes: object,
) -> AsyncIterator[Station]:
    """Open the connector of `installation` in `folder`, loaded but idle; it can be opened again later.

    `elapsed` is the counter that it compares its clock with; by default they move together.
    """
    url = hub_url or installation.enrolment.hub_url
    values = {
        "data_dir": folder,
        "passphrase_file": folder / "passphrase",
        "profile": Profile.DEMO,
        "hub_url": url,
        "poll_wait_s": 0,
        **changes,
    }
    settings = ConnectorSection.model_validate(values)
    logged = io.StringIO()
    log = Log(logged, json=True)
    store = await Store.open(folder / DATABASE_FILE, Vault(installation.storage_key))
    session = new_session(tls=tls)
    watching = sqlite3.connect(folder / DATABASE_FILE)
    try:
        parts = make_parts(settings, installation, store, session, clock, log, elapsed=elapsed or clock)
        await parts.directory.load()
        yield Station(
            folder=folder,
            member=member,
            installation=installation,
            settings=settings,
            parts=parts,
            session=session,
            logged=logged,
            link=link or PollingLink(parts.client, 0),
            clock=clock,
            watching=watching,
        )
    finally:
        watching.close()
        await session.close()
        await store.close()


_LOOKED: dict[tuple[object, ...], tuple[tempfile.TemporaryDirectory[str], Path]] = {}
"""Databases of connectors that had looked once at a hub and done nothing else, by device, directory and time."""


@asynccontextmanager
async def station(folder: Path, hub: RunningHub, member: Member) -> AsyncIterator[Station]:
    """Install and open the connector of `member` at a running hub, with the directory replayed.

    What its first look stores is the same each time, so it is looked once and copied after that.
    """
    installation = install(folder, member, hub.programme, hub.url)
    looked = member.device_id, len(member.prekeys), are_quick(), tuple(hub.programme.statements), hub.clock()
    known = _LOOKED.get(looked)
    if known is not None:
        shutil.copy2(known[1], folder / DATABASE_FILE)
    async with open_station(folder, member, installation, hub.clock) as opened:
        if known is None:
            await opened.look()
            kept = tempfile.TemporaryDirectory()
            _LOOKED[looked] = kept, Path(kept.name) / DATABASE_FILE
            with closing(sqlite3.connect(folder / DATABASE_FILE)) as database:
                database.execute("VACUUM INTO ?", [str(_LOOKED[looked][1])])
        else:
            # The clock is known to be right only once this very process has met the hub (CON-23).
            await opened.parts.directory.sync()
        opened.has_mail = hub.has_mail
        yield opened


def api_of(station: Station) -> Api:
    """Return the local interface over the parts of a station, to be served."""
    parts = station.parts
    return Api(
        parts.handovers, parts.attachments, parts.thread_api, parts.overview, parts.metrics, parts.tokens, parts.prints
    )
