# SPDX-License-Identifier: Apache-2.0
"""What most tests of the hub need: a programme, and a hub that knows it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.hub.begun import Beginnings
from tests.hub.running import RunningHub, on_postgres
from tests.postgres import database
from tests.programme import Programme, make_programme


@pytest.fixture
def programme() -> Programme:
    """Return prison, probation and social work."""
    return make_programme()


@pytest.fixture(params=["sqlite", "postgres"])
async def store_settings(
    request: pytest.FixtureRequest, tmp_path: Path, programme: Programme, beginnings: Beginnings
) -> AsyncIterator[tuple[str, ...]]:
    """Give the lines of the configuration that choose a database; a test runs once on each kind."""
    if request.param == "sqlite":
        await beginnings.put(programme, tmp_path)
        yield ()
        return
    server = request.getfixturevalue("postgres_server")
    async with database(server, like=await beginnings.put(programme, tmp_path, server)) as url:
        yield on_postgres(url)


@pytest.fixture
async def hub(tmp_path: Path, programme: Programme, store_settings: tuple[str, ...]) -> AsyncIterator[RunningHub]:
    """Serve a hub with the programme's directory, on either database."""
    async with RunningHub(tmp_path, programme, more=store_settings) as running:
        yield running
