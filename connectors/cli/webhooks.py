# SPDX-License-Identifier: Apache-2.0
"""`throughcare webhook`: what other programs have not confirmed, and telling them again."""

import asyncio
from collections.abc import Iterator

import click

from connectors import home
from connectors.cli.local import AGENCY, CURSOR, LIMIT, connected
from connectors.cli.moments import local_time
from connectors.cli.voice import Voice, speaks, table
from protocol.http.webhooks import DeliveryFilter, DeliveryPage, Replayed, Unconfirmed
from protocol.ids import EventId, Kind, raw, text


@click.command("list")
@AGENCY
@click.option("--state", type=click.Choice([one.value for one in Unconfirmed]), help="Only those that wait, or failed.")
@LIMIT
@CURSOR
@speaks
def list_(agency: str, state: str | None, limit: int, cursor: str | None, voice: Voice) -> None:
    """List events that webhooks have not confirmed, and which webhooks are disabled."""
    query = DeliveryFilter(state=None if state is None else Unconfirmed(state), limit=limit, cursor=cursor)

    async def ask() -> DeliveryPage:
        async with connected(home.find(agency)) as client:
            return await client.deliveries(query)

    found = asyncio.run(ask())
    voice.data(found.model_dump(mode="json"), _lines(found))
    if found.next_cursor:
        voice.say(f"more:  the same command with --cursor {found.next_cursor}")


def _lines(found: DeliveryPage) -> Iterator[str]:
    if not found.webhooks:
        yield "No webhook is configured."
    for webhook in found.webhooks:
        since = f"disabled since {local_time(webhook.disabled_at)}" if webhook.disabled_at else "in force"
        yield f"{webhook.url}  {since}"
    rows = [
        [text(Kind.EVENT, item.event), item.state, str(item.tries), item.outcome or "", item.url]
        for item in found.items
    ]
    yield from table(["EVENT", "STATE", "TRIES", "LAST OUTCOME", "WEBHOOK"], rows)


@click.command()
@click.argument("event")
@AGENCY
@speaks
def replay(event: str, agency: str, voice: Voice) -> None:
    """Tell every webhook of one event again."""
    event_id = EventId(raw(Kind.EVENT, event))

    async def ask() -> Replayed:
        async with connected(home.find(agency)) as client:
            return await client.replay(event_id)

    done = asyncio.run(ask())
    voice.data(
        done.model_dump(mode="json"),
        [f"{event} will be told again to {done.webhooks} webhook{'' if done.webhooks == 1 else 's'}"],
    )
