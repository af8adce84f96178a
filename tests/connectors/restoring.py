# SPDX-License-Identifier: Apache-2.0
"""A station whose machine is lost: copies of its store, and the new machine made from one, or from nothing."""

import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from connectors.restoring import _start_anew
from connectors.store.engine import DATABASE_FILE
from tests.connectors.conftest import World
from tests.connectors.stations import Station, install, open_station


def back_up(station: Station, target: Path) -> Path:
    """Copy the store of `station` as it is now into the new file `target`."""
    with (
        closing(sqlite3.connect(station.folder / DATABASE_FILE)) as source,
        closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
    return target


@asynccontextmanager
async def new_machine(
    world: World, station: Station, folder: Path, backup: Path | None = None
) -> AsyncIterator[Station]:
    """Open a new machine of the agency of `station`, whose old one is lost, in the new `folder`."""
    hub = world.hub
    hub.programme.now = hub.clock()
    known = len(hub.programme.statements)
    hub.programme.replace_device(station.member, f"{station.member.address} in {folder.name}")
    for raw in hub.programme.statements[known:]:
        # The connectors' own statements stand in the hub's log as well, which the programme does not know.
        await hub.hub.directory.append(raw)
    installation = install(folder, station.member, hub.programme, hub.url)
    if backup is not None:
        shutil.copyfile(backup, folder / DATABASE_FILE)
        await _start_anew(folder, installation.storage_key, hub.clock())
    async with open_station(folder, station.member, installation, hub.clock) as opened:
        await opened.look()
        yield opened
