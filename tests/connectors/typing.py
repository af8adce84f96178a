# SPDX-License-Identifier: Apache-2.0
"""Types commands at a connector that a test serves, as its agency would."""

import asyncio
from pathlib import Path

from connectors import home
from connectors.access import TOKEN_FILE
from connectors.cli import main
from tests.connectors.stations import Station


async def type_at(station: Station, url: str, *arguments: str | Path) -> int:
    """Type `throughcare ARGUMENTS --agency …` beside the served connector and return the exit code."""
    name = station.member.address.partition("@")[0]
    token = str(station.folder / TOKEN_FILE)
    profile = home.Profile(name, station.desk, url, token, str(station.folder))
    home.register(profile)
    try:
        return await asyncio.to_thread(main, [*map(str, arguments), "--agency", name])
    finally:
        home.forget(profile)  # commands of other tests ask every agency that is registered
