# SPDX-License-Identifier: Apache-2.0
"""`throughcare quarantine`: what came and was not let in."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from connectors import home
from connectors.cli.failures import advising
from connectors.cli.local import AGENCY, CURSOR, LIMIT, connected
from connectors.cli.moments import local_time
from connectors.cli.outfile import REPLACE, must_be_writable, write_out
from connectors.cli.voice import Voice, speaks
from protocol.errors import NotFound
from protocol.http.standing import QuarantinePage

_BY: Final = {"sender": "its sender", "hub": "the hub", "nobody": "nobody"}


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


@click.command()
@click.argument("number", type=click.IntRange(min=1))
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@AGENCY
@REPLACE
@speaks
def save(number: int, target: Path, agency: str, replace: bool, voice: Voice) -> None:
    """Save the bytes of something that was refused, as evidence.

    NUMBER is the one that `quarantine list` shows. They are sealed as they came: nobody can read them, and who signed
    them can be verified.
    """
    must_be_writable(target, replace=replace)

    async def ask() -> bytes:
        async with connected(home.find(agency)) as client:
            return await client.quarantined(number)

    with advising({NotFound: f"throughcare quarantine list --agency {agency}"}):
        raw = asyncio.run(ask())
    write_out(target, raw, replace=replace)
    voice.data({"file": str(target), "number": number, "bytes": len(raw)}, [f"{target}: {len(raw)} bytes"])


def _lines(found: QuarantinePage) -> Iterator[str]:
    if not found.items:
        yield "Nothing is in quarantine."
    for item in found.items:
        whose = _BY.get(item.signed_by, item.signed_by)
        yield f"{item.number}  {local_time(item.at)}  leaf {item.leaf_index}  {item.code}, signed by {whose}"
        yield f"    claims to be from {item.sender or 'nobody'}: {item.detail}"
