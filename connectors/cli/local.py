# SPDX-License-Identifier: Apache-2.0
"""How commands reach a running connector of this machine: by its profile, over its local API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import click

from connectors import home
from connectors.access import read_token
from connectors.api_client import ApiClient, ConnectorUnreachable
from connectors.cli.failures import advising, then
from connectors.home import Profile
from protocol.errors import ConfigurationError, Unavailable


def _named(context: click.Context, option: click.Parameter, name: str | None) -> str | None:
    """Return the agency's name as it was given, or that of this machine's connector if it has one and no other."""
    if name is not None or context.resilient_parsing:
        return name
    known = [profile.name for profile in home.profiles()]
    if len(known) != 1:
        told = f"Known here: {', '.join(known)}." if known else "No connector has run here."
        raise click.MissingParameter(told, context, option)
    return known[0]


AGENCY = click.option(
    "--agency",
    callback=_named,
    metavar="NAME",
    help="Which agency's connector, by its name; where this machine has only one, that one.",
)
LIMIT = click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="How many at most.")
CURSOR = click.option("--cursor", help="Where the page before ended.")


@asynccontextmanager
async def connected(profile: Profile) -> AsyncIterator[ApiClient]:
    """Yield a client of the connector that `profile` names; `Unavailable` if it does not run."""
    began: dict[type[Exception], str] = {
        ConfigurationError: f"start the connector of {profile.name}; its token is {profile.token_file}"
    }
    try:
        with advising(began):
            read_token(Path(profile.token_file))
        async with ApiClient.of(profile.api_url, Path(profile.token_file)) as client:
            yield client
    except (ConnectorUnreachable, FileNotFoundError):
        error = Unavailable(f"The connector of {profile.name} does not answer at {profile.api_url}.")
        raise then(error, "throughcare connector run --config FILE   (starts it)") from None
