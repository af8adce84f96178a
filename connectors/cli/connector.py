# SPDX-License-Identifier: Apache-2.0
"""`throughcare connector`: run one, and ask a running one how it is."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from connectors import home
from connectors.cli.failures import WHY_NOT_REACHED, advising
from connectors.cli.local import AGENCY, connected
from connectors.cli.moments import local_time
from connectors.cli.signals import run_until_signalled
from connectors.cli.voice import Voice, speaks
from connectors.config import ConnectorSettings, load
from connectors.installation import read_enrolment
from protocol.errors import ConfigurationError, Conflict
from protocol.http.standing import Status
from protocol.ids import Kind, text
from protocol.limits import DAY
from protocol.ownership import check_ownership
from protocol.starting import starting

_SOON_DAYS: Final = 14
"""Days before the end of the certificate in which `status` warns."""

_AS_IT_IS: Final = {
    "normal": "confirmed within a day",
    "marked": "old and still good: last confirmed over a day ago",
    "stale": "stale: last confirmed over three days ago, and nothing is sealed by it",
}
"""For people, how the directory stands (DIR-11); what is inconsistent is called so in all texts."""


@click.command()
@click.option(
    "--config",
    "config_file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The connector's configuration file.",
)
@click.option("--ready-json", is_flag=True, help="Print one line of JSON when the connector is up.")
@click.option("--stand-by", is_flag=True, help="Load everything, then wait for a line on standard input to begin.")
def run(config_file: Path, ready_json: bool, stand_by: bool) -> None:
    """Run this agency's connector until it is stopped."""
    with starting() as started:
        from connectors import app
        from protocol.http.supervised import Supervisor

        check_ownership()
        if stand_by and not sys.stdin.readline():
            return  # whoever started us has gone
        with advising({ConfigurationError: f"throughcare config check {config_file}"}):
            settings = load(config_file, os.environ).settings

        def ready(api_url: str) -> None:
            started()
            announce(settings, api_url, config_file)
            if ready_json:
                click.echo(json.dumps({"api_url": api_url}))
            click.echo(f"The connector is up; its API is at {api_url}. Ctrl-C stops it.", err=True)

        steps: dict[type[Exception], str] = {
            ConfigurationError: (
                f"mend what is named, then the same command again; throughcare config check {config_file}"
            ),
            Conflict: "use the connector that runs already, or stop it; throughcare connector status --agency NAME",
        }
        with advising(steps):
            run_until_signalled(app.run(settings, ready=ready, supervisor=Supervisor.of(os.environ)))


def announce(settings: ConnectorSettings, api_url: str, config_file: Path) -> None:
    """Let `--agency NAME` find this connector; where that cannot be written down, the connector runs all the same."""
    enrolment = read_enrolment(settings.connector.data_dir)
    data_dir = settings.connector.data_dir.absolute()
    profile = home.Profile(
        name=enrolment.agency.partition("@")[0],
        desk=enrolment.desks[0],
        api_url=api_url,
        token_file=str(data_dir / "api-token"),
        data_dir=str(data_dir),
        config_file=str(config_file.absolute()),
    )
    try:
        taken_from = home.register(profile)
        if taken_from is not None:
            where = f"{taken_from.data_dir} ({taken_from.api_url})"
            click.echo(f"warning: --agency {profile.name} meant {where}; now it means this connector", err=True)
    except OSError:
        click.echo(f"warning: {home.home()} cannot be written; --agency will not find this connector", err=True)


@click.command()
@AGENCY
@speaks
def status(agency: str, voice: Voice) -> None:
    """Show what a running connector is doing."""

    async def ask() -> Status:
        async with connected(home.find(agency)) as client:
            return await client.status()

    found = asyncio.run(ask())
    voice.data(found.model_dump(mode="json"), lines(found))


def not_read(found: Status) -> str:
    """Say why the directory is empty still: nothing can be said of desks before it was read."""
    hub, refused = found.hub, found.directory.error
    if hub.reason:
        why = WHY_NOT_REACHED.get(hub.reason, hub.reason)
    else:
        why = hub.error or refused or "the hub has not answered yet"
    return f"was not read yet, because: {why}"


def lines(found: Status) -> Iterator[str]:
    """Yield a connector's status for people."""
    hub, directory, counts = found.hub, found.directory, found.counts
    seen = local_time(hub.last_contact) if hub.last_contact else "never"
    yield f"agency      {found.agency}"
    for desk in found.desks:
        yield f"desk        {desk}"
    for officer in found.officers:
        yield f"officer     {text(Kind.OFFICER, officer.id)}  {officer.title} ({officer.kind})"
    yield f"device      {found.device.hex()[:16]}…"
    if found.certificate_ends is not None:
        rest = (found.certificate_ends - found.now) // DAY
        word = "" if rest >= _SOON_DAYS else f"  WARNING: {max(rest, 0)} days left; throughcare key renew --config FILE"
        yield f"            its certificate ends {local_time(found.certificate_ends)}{word}"
    yield f"hub         {'connected' if hub.connected else 'not connected'}, last heard from {seen}"
    if hub.error:
        why = f": {WHY_NOT_REACHED.get(hub.reason, hub.reason)}" if hub.reason else ""
        yield f"            last error {hub.error}{why}"
    if directory.size:
        yield f"directory   {directory.size} statements, {_AS_IT_IS.get(directory.state, directory.state)}"
    else:
        yield f"directory   {not_read(found)}"
    yield f"outgoing    {counts.queued} waiting to be sent, {counts.accepted} sent, {counts.failed} not delivered"
    yield f"incoming    {counts.received} received, {counts.held} held, {counts.quarantined} in quarantine"
