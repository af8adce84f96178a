# SPDX-License-Identifier: Apache-2.0
"""What most tests of the connector need: a hub, and the stations of a prison, probation and social work."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.connectors.stations import Station, station
from tests.hub.begun import Beginnings
from tests.hub.running import RunningHub
from tests.programme import Programme, make_programme
from tests.unthreaded import without_threads, without_threads_at_the_hub


@dataclass
class World:
    """A hub and three connectors."""

    hub: RunningHub
    prison: Station
    probation: Station
    social_work: Station


@pytest.fixture
def programme() -> Programme:
    """Return prison, probation and social work."""
    return make_programme()


@pytest.fixture
def hub_folder(tmp_path: Path) -> Path:
    """Return where the hub keeps everything."""
    folder = tmp_path / "hub"
    folder.mkdir()
    return folder


@pytest.fixture
async def hub(hub_folder: Path, programme: Programme, beginnings: Beginnings) -> AsyncIterator[RunningHub]:
    """Serve a real hub with the programme's directory."""
    await beginnings.put(programme, hub_folder)
    async with RunningHub(hub_folder, programme) as running:
        yield running


@pytest.fixture
async def world(tmp_path: Path, hub: RunningHub) -> AsyncIterator[World]:
    """Open the three connectors at the hub."""
    members = hub.programme.members
    async with (
        station(tmp_path / "prison", hub, members["gora-prison"]) as prison,
        station(tmp_path / "probation", hub, members["reka-probation"]) as probation,
        station(tmp_path / "social-work", hub, members["polje-csw"]) as social_work,
    ):
        yield World(hub, prison, probation, social_work)


@pytest.fixture(scope="module")
def databases_in_the_loop() -> Iterator[None]:
    """Use the databases without going to a thread, in modules where nothing happens side by side."""
    with without_threads(), without_threads_at_the_hub():
        yield
