# SPDX-License-Identifier: Apache-2.0
"""`throughcare directory`: the desks, as the agency's own connector has verified them."""

import asyncio

import click

from connectors import home
from connectors.cli.local import AGENCY, connected
from connectors.cli.voice import Voice, speaks, table
from protocol.http.standing import DeskPage


@click.command("list")
@AGENCY
@speaks
def list_(agency: str, voice: Voice) -> None:
    """List the desks that can be written to."""

    async def ask() -> DeskPage:
        async with connected(home.find(agency)) as client:
            return await client.desks()

    found = asyncio.run(ask())
    rows = [
        [item.address, item.function, item.agency_name, _state(reachable=item.reachable, marked=item.marked)]
        for item in found.items
    ]
    voice.data(found.model_dump(mode="json"), table(["DESK", "FUNCTION", "AGENCY", "STATE"], rows))


def _state(*, reachable: bool, marked: bool) -> str:
    if not reachable:
        return "not reachable"
    return "reachable, old prekey" if marked else "reachable"
