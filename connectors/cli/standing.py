# SPDX-License-Identifier: Apache-2.0
"""`throughcare referral list` and `handover list`: threads as they stand, in the lists that caseworkers use.

`handover list` shows without `--list` what was sent and received, package by package. `handover standing` is what
`handover list --list` was called before.
"""

import asyncio

import click

from connectors import home
from connectors.cli.acting import officer_named
from connectors.cli.handover import tell_page
from connectors.cli.local import AGENCY, CURSOR, LIMIT, connected
from connectors.cli.moments import local_time
from connectors.cli.voice import Voice, speaks, table
from protocol.errors import InvalidInput
from protocol.http.handovers import Direction, HandoverPage
from protocol.http.threads import ListName, Machine, ThreadFilter, ThreadPage
from protocol.ids import Kind, text

_LISTS = [one.value for one in ListName]
_OFFICER = click.option("--officer", help="Whose, by title or id, for the list `mine`.")


def _as_they_stand(machine: Machine, name: str) -> click.Command:
    @click.command(name, help=f"List {machine.value}s as they stand: {', '.join(ListName).replace('-', ' ')}.")
    @AGENCY
    @click.option("--list", "which", type=click.Choice(_LISTS), default="all", show_default=True, help="Which list.")
    @_OFFICER
    @LIMIT
    @CURSOR
    @speaks
    def run(agency: str, which: str, officer: str | None, limit: int, cursor: str | None, voice: Voice) -> None:
        _tell(_threads(machine, ListName(which), agency, officer, limit=limit, cursor=cursor), voice)

    return run


referrals = _as_they_stand(Machine.REFERRAL, "list")
"""`throughcare referral list`."""
handovers_standing = _as_they_stand(Machine.HANDOVER, "standing")
"""`throughcare handover standing`."""


@click.command("list")
@AGENCY
@click.option("--list", "which", type=click.Choice(_LISTS), help="As they stand: which list.")
@_OFFICER
@click.option("--direction", type=click.Choice(["sent", "received"]), help="Only those sent, or only those received.")
@LIMIT
@CURSOR
@speaks
def handovers(
    agency: str,
    which: str | None,
    officer: str | None,
    direction: str | None,
    limit: int,
    cursor: str | None,
    voice: Voice,
) -> None:
    """List handovers sent and received, or with --list as they stand.

    HOW FAR says how far the message has come: waiting to be sent; at the hub, which has it while the other side's
    system has not opened it; opened by the recipient's system, while no person need have read it; not delivered; not
    collected in time. It says nothing of whether a handover was accepted.

    As they stand means by threads, as `referral list` shows them, with what is due and the alerts: there it is shown.
    """
    if which is not None:
        if direction is not None:
            raise click.UsageError("Say --list or --direction, not both: --list sent shows the threads begun here.")
        _tell(_threads(Machine.HANDOVER, ListName(which), agency, officer, limit=limit, cursor=cursor), voice)
        return
    if officer is not None:
        raise click.UsageError("--officer goes with --list mine.")
    wanted = Direction(direction) if direction else None

    async def ask() -> HandoverPage:
        async with connected(home.find(agency)) as client:
            return await client.handovers(direction=wanted, limit=limit, cursor=cursor)

    tell_page(asyncio.run(ask()), voice)


def _threads(
    machine: Machine, which: ListName, agency: str, officer: str | None, *, limit: int, cursor: str | None
) -> ThreadPage:
    if which is ListName.MINE and officer is None:
        raise InvalidInput("Say whose: --officer with the title, as `throughcare officer list` shows it.")

    async def ask() -> ThreadPage:
        async with connected(home.find(agency)) as client:
            whose = await officer_named(client, officer, agency=agency)
            return await client.threads(
                ThreadFilter(machine=machine, list=which, officer=whose, limit=limit, cursor=cursor)
            )

    return asyncio.run(ask())


def _tell(found: ThreadPage, voice: Voice) -> None:
    rows = [
        [
            text(Kind.THREAD, item.thread),
            item.side,
            "damaged" if item.damaged else item.state,
            item.peer_desk,
            local_time(item.due_at) if item.due_at else "",
            item.alert or "",
        ]
        for item in found.items
    ]
    voice.data(found.model_dump(mode="json"), table(["THREAD", "WE ARE", "STATE", "WITH", "NEXT DUE", "ALERT"], rows))
    if not found.items:
        voice.say("There are none.")
    if found.next_cursor:
        voice.say(f"more:  the same command with --cursor {found.next_cursor}")
