# SPDX-License-Identifier: Apache-2.0
"""`throughcare quarantine`: what came and was not let in."""

import asyncio
from collections.abc import Iterator

import click

from connectors import home
from connectors.cli.local import AGENCY, CURSOR, LIMIT, connected
from connectors.cli.voice import Voice, speaks
from protocol.http.fields import format_time
from protocol.http.standing import QuarantinePage


@click.command("list")
@AGENCY
@LIMIT
@CURSOR
@speaks
def list_(agency: str, limit: int, cursor: str | None, voice: Voice) -> None:
    """List what arrived and was refused, with the reason."""

    async def ask() -> QuarantinePage:
        async with connected(home.find(agency)) as client:
            return await client.quarantine(limit=limit, cursor=cursor)

    found = asyncio.run(ask())
    voice.data(found.model_dump(mode="json"), _lines(found))
    if found.next_cursor:
        voice.say(f"more:  the same command with --cursor {found.next_cursor}")


def _lines(found: QuarantinePage) -> Iterator[str]:
    if not found.items:
        yield "Nothing is in quarantine."
    for item in found.items:
        yield f"{format_time(item.at)}  leaf {item.leaf_index}  {item.code}"
        yield f"    claims to be from {item.sender or 'nobody'}: {item.detail}"
