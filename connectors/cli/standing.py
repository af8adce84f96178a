# SPDX-License-Identifier: Apache-2.0
"""`throughcare referral list` and `handover standing`: threads as they stand, in the lists that caseworkers use."""

import asyncio

import click

from connectors import home
from connectors.cli.acting import officer_named
from connectors.cli.local import AGENCY, CURSOR, LIMIT, connected
from connectors.cli.voice import Voice, speaks, table
from protocol.errors import InvalidInput
from protocol.http.fields import format_time
from protocol.http.threads import ListName, Machine, ThreadFilter, ThreadPage
from protocol.ids import Kind, text


def _list(machine: Machine, name: str) -> click.Command:
    @click.command(name, help=f"List {machine.value}s as they stand: {', '.join(ListName).replace('-', ' ')}.")
    @AGENCY
    @click.option(
        "--list",
        "which",
        type=click.Choice([one.value for one in ListName]),
        default="all",
        show_default=True,
        help="Which of the lists.",
    )
    @click.option("--officer", help="Whose, by title or id, for the list `mine`.")
    @LIMIT
    @CURSOR
    @speaks
    def run(agency: str, which: str, officer: str | None, limit: int, cursor: str | None, voice: Voice) -> None:
        if which == ListName.MINE and officer is None:
            raise InvalidInput("Say whose: --officer with the title, as `throughcare officer list` shows it.")

        async def ask() -> ThreadPage:
            async with connected(home.find(agency)) as client:
                whose = await officer_named(client, officer, agency=agency)
                asked = ThreadFilter(machine=machine, list=ListName(which), officer=whose, limit=limit, cursor=cursor)
                return await client.threads(asked)

        _tell(asyncio.run(ask()), voice)

    return run


def _tell(found: ThreadPage, voice: Voice) -> None:
    rows = [
        [
            text(Kind.THREAD, item.thread),
            item.side,
            "damaged" if item.damaged else item.state,
            item.peer_desk,
            format_time(item.due_at) if item.due_at else "",
            item.alert or "",
        ]
        for item in found.items
    ]
    voice.data(found.model_dump(mode="json"), table(["THREAD", "WE ARE", "STATE", "WITH", "NEXT DUE", "ALERT"], rows))
    if not found.items:
        voice.say("There are none.")
    if found.next_cursor:
        voice.say(f"more:  the same command with --cursor {found.next_cursor}")


referrals = _list(Machine.REFERRAL, "list")
"""`throughcare referral list`."""
handovers = _list(Machine.HANDOVER, "standing")
"""`throughcare handover standing`."""
