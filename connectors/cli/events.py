# SPDX-License-Identifier: Apache-2.0
"""`throughcare event`: what happened at a connector, as the agency's own systems read it."""

import asyncio

import click

from connectors import home
from connectors.cli.local import AGENCY, connected
from connectors.cli.moments import local_time
from connectors.cli.voice import Voice, speaks, table
from protocol.http.events import MAX_EVENTS, EventPage
from protocol.ids import EventId, Kind, raw, text


@click.command("list")
@AGENCY
@click.option("--after", metavar="EVENT", help="The id of the last event seen; from the beginning without it.")
@click.option("--limit", type=click.IntRange(1, MAX_EVENTS), default=100, show_default=True, help="How many at most.")
@speaks
def list_(agency: str, after: str | None, limit: int, voice: Voice) -> None:
    """List what happened, oldest first."""
    place = None if after is None else EventId(raw(Kind.EVENT, after))

    async def ask() -> EventPage:
        async with connected(home.find(agency)) as client:
            return await client.events(after=place, limit=limit)

    found = asyncio.run(ask())
    rows = [
        [text(Kind.EVENT, item.id), local_time(item.time), item.type, text(Kind.THREAD, item.subject)]
        for item in found.items
    ]
    voice.data(found.model_dump(mode="json"), table(["EVENT", "AT", "TYPE", "THREAD"], rows))
    if not found.items:
        voice.say("Nothing has happened since.")
    if found.next_after is not None:
        voice.say(f"more:  throughcare event list --agency {agency} --after {text(Kind.EVENT, found.next_after)}")
