# SPDX-License-Identifier: Apache-2.0
"""`throughcare officer`: who may act for this agency, as signed by the agency's identity.

Titles only, never names: they stand in the directory, where every connector reads them.
"""

import asyncio
from pathlib import Path

import click

from connectors import home
from connectors.cli.athub import AtHub, at_hub
from connectors.cli.configfile import finds_config
from connectors.cli.failures import advising, then
from connectors.cli.local import AGENCY, connected
from connectors.cli.moments import local_time
from connectors.cli.voice import Voice, speaks, table
from connectors.officers import delegation, endings, officer_entries
from connectors.vouching import vouched
from keys.directory import AgencyEntry
from protocol.errors import Conflict, InvalidInput, NotFound
from protocol.http.fields import format_time
from protocol.http.standing import Status
from protocol.ids import Kind, OfficerId, raw, text
from protocol.statements import Delegation, parse_statement

_SENT_ALL_THE_SAME = (
    "What they left unsent goes out all the same, by the connector's service. If something must not: take this\n"
    "machine off the network, let the connector run, and withdraw what its lists show as queued\n"
    "(docs/operations.md, section 3)."
)
_KNOWN_SOON = "A running connector knows it after its next look at the directory (connector.directory_every_s)."


@click.command("list")
@AGENCY
@speaks
def list_(agency: str, voice: Voice) -> None:
    """List who may act for this agency, and until when."""

    async def ask() -> Status:
        async with connected(home.find(agency)) as client:
            return await client.status()

    found = asyncio.run(ask())
    rows = [
        [text(Kind.OFFICER, one.id), one.kind, one.title, local_time(one.ends) if one.ends else "not yet known"]
        for one in found.officers
    ]
    shown = {"items": found.model_dump(mode="json")["officers"]}
    voice.data(shown, table(["ID", "KIND", "TITLE", "UNTIL"], rows))


@click.command()
@click.argument("title")
@finds_config
@speaks
def add(title: str, config_file: Path, voice: Voice) -> None:
    """Let somebody act for this agency, under a title.

    For a year; a title is never a name, since it stands in the directory.
    """

    async def publish() -> bytes:
        async with at_hub(config_file) as place:
            own, now = _own(place), place.clock()
            titles = {one.title.casefold() for one in place.directory.delegations(own.address, now)}
            if title.casefold() in titles:
                error = Conflict("Somebody acts under that title already. Titles tell officers apart.")
                raise then(error, "the same command with another title, or throughcare officer renew ID")
            statement = delegation(own, place.agency, title, now)
            await place.hub.submit_statement(statement)
            return statement

    _show(asyncio.run(publish()), voice)


@click.command()
@click.argument("officer", metavar="ID")
@finds_config
@speaks
def renew(officer: str, config_file: Path, voice: Voice) -> None:
    """Let an officer act for another year."""
    wanted = _wanted(officer)

    async def publish() -> bytes:
        async with at_hub(config_file) as place:
            own, now = _own(place), place.clock()
            with advising({NotFound: _listed(own)}):
                newest = officer_entries(place.directory, own, wanted, now)[-1]
            statement = delegation(own, place.agency, newest.title, now, officer=wanted)
            await place.hub.submit_statement(statement)
            return statement

    _show(asyncio.run(publish()), voice)


@click.command()
@click.argument("officer", metavar="ID")
@finds_config
@speaks
def end(officer: str, config_file: Path, voice: Voice) -> None:
    """End an officer's authority to act.

    At once. What was sent before stays as it is; what waits is sent by the connector's service account.
    """
    wanted = _wanted(officer)

    async def publish() -> str:
        async with at_hub(config_file) as place:
            own, now = _own(place), place.clock()
            with advising({NotFound: _listed(own)}):
                found = officer_entries(place.directory, own, wanted, now)
            for statement in endings(found, place.agency, now):
                await place.hub.submit_statement(statement)
            return found[-1].title

    title = asyncio.run(publish())
    voice.data({"id": officer, "title": title, "ended": True}, [f"{title} ({officer}) may not act any more."])
    voice.say(f"{_KNOWN_SOON}\n{_SENT_ALL_THE_SAME}")


def _wanted(officer: str) -> OfficerId:
    """Return an officer's id from its text."""
    with advising({InvalidInput: "throughcare officer list   (shows the ids)"}):
        return OfficerId(raw(Kind.OFFICER, officer))


def _listed(own: AgencyEntry) -> str:
    return f"throughcare officer list --agency {own.address.partition('@')[0]}   (shows the ids)"


def _own(place: AtHub) -> AgencyEntry:
    """Return the agency's certificate; raises what helps if the authority does not vouch for these keys now."""
    return vouched(place.directory, place.installation.enrolment.agency, place.agency.key_id, place.clock())


def _show(statement: bytes, voice: Voice) -> None:
    body = parse_statement(statement).body
    if not isinstance(body.subject, Delegation):
        raise TypeError("a delegation was published")
    officer, title, until = text(Kind.OFFICER, body.subject.officer), body.subject.title, format_time(body.not_after)
    voice.data({"id": officer, "title": title, "ends": until}, [f"{title} ({officer}) may act until {until}."])
    voice.say(_KNOWN_SOON)
