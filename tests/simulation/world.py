# SPDX-License-Identifier: Apache-2.0
"""One hub and three agencies, made anew for each seed from a world that was founded once in a quiet hour."""

import random
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import stamina

from connectors.installation import AGENCY_ED25519, AGENCY_MLDSA65
from keys.sealedfile import PassphraseKey
from tests.connectors.stations import _template, install
from tests.passphrases import quick_passphrases
from tests.programme import Member, Programme, make_programme
from tests.simulation.agencymachine import AgencyMachine
from tests.simulation.faults import Faults
from tests.simulation.hubmachine import HubMachine
from tests.simulation.machines import START, Disk, Nature
from tests.simulation.network import URL, Network
from tests.simulation.virtualtime import VirtualLoop, run

FOLDERS = Path("/dev/shm")
"""In memory where there is such a place: what a disk may lose is the business of other tests."""


@dataclass
class Founding:
    """What every seed begins with: disks on which everybody knows the directory."""

    programme: Programme
    hub: Path
    agencies: dict[str, Path]
    keys: dict[str, PassphraseKey]


class World:
    """All machines of one seed."""

    def __init__(self, loop: VirtualLoop, seed: int, folder: Path, founding: Founding, faults: Faults) -> None:
        self.loop = loop
        self.faults = faults
        self.chance = random.Random(f"world {seed}")
        self.nature = Nature(loop, faults)
        self.history = self.nature.history
        self.network = Network(faults, self.history)
        self.folder = folder
        self.programme = founding.programme
        settings: dict[str, object] = {
            "message_days": self.chance.choice([30, 100]),
            "envelope_days": self.chance.choice([5, 30]),
            "websocket": self.chance.random() < 0.6,
        }
        self.hub = HubMachine(self.nature, self.network, Disk(folder / "hub", founding.hub), founding.programme)
        self.agencies = [
            AgencyMachine(
                self.nature,
                self.network,
                founding.programme.members[name],
                Disk(folder / name, template),
                founding.keys[name],
                settings,
                seed,
            )
            for name, template in founding.agencies.items()
        ]

    async def start(self) -> None:
        """Switch everything on."""
        await self.hub.start()
        for agency in self.agencies:
            await agency.start()

    async def stop(self) -> None:
        """Switch everything off in good order."""
        for agency in self.agencies:
            await agency.stop()
        await self.hub.stop()
        await self.hub.buried()


@contextmanager
def seeded(seed: str) -> Iterator[None]:
    """Let all that is drawn at random follow from `seed`: ids, salts, keys, nonces, and the jitter of libraries."""
    drawn = random.Random(f"secrets {seed}")
    genuine = secrets.token_bytes
    secrets.token_bytes = lambda nbytes=None: drawn.randbytes(32 if nbytes is None else nbytes)
    state = random.getstate()
    random.seed(f"jitter {seed}")
    stamina.instrumentation.set_on_retry_hooks([])
    try:
        with quick_passphrases():
            yield
    finally:
        secrets.token_bytes = genuine
        random.setstate(state)


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield an empty folder, in memory if there is room for it there."""
    place = FOLDERS if FOLDERS.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="simulation-", dir=place) as folder:
        yield Path(folder)


def found(folder: Path) -> Founding:
    """Found the world: the hub has the directory, and every agency has replayed it."""
    programme = make_programme(now=START)
    blank = folder / "blank"
    blank.mkdir()
    keys = dict[str, PassphraseKey]()
    agencies = dict[str, Path]()
    for name, member in programme.members.items():
        agencies[name] = folder / name
        agencies[name].mkdir()
        keys[name] = _install(agencies[name], member, programme)
    founding = Founding(programme, blank, agencies, keys)

    async def grow(loop: VirtualLoop) -> Founding:
        faults = Faults(0)
        faults.active = faults.lying = False
        world = World(loop, 0, folder / "first", founding, faults)
        await world.start()
        assert world.hub.hub is not None
        for raw in programme.statements:
            await world.hub.hub.directory.append(raw)
        loop.jump(3_600)
        for agency in world.agencies:
            assert agency.life is not None
            await agency.life.parts.directory.sync()
        await world.stop()
        shutil.copytree(world.hub.disk.folder, folder / "hub")
        for agency in world.agencies:
            shutil.rmtree(agencies[agency.name])
            shutil.copytree(agency.disk.folder, agencies[agency.name])
        return Founding(programme, folder / "hub", agencies, keys)

    (folder / "first").mkdir()
    with seeded("founding"):
        return run(grow)


def _install(folder: Path, member: Member, programme: Programme) -> PassphraseKey:
    installation = install(folder, member, programme, URL)
    for name, secret in zip((AGENCY_ED25519, AGENCY_MLDSA65), member.identity.seeds, strict=True):
        installation.keystore.put(name, name, secret)
    return _template(member)[1]
