# SPDX-License-Identifier: Apache-2.0
"""How commands reach a running connector of this machine: by its profile, over its local API."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import click

from connectors import home
from connectors.access import read_token
from connectors.api_client import ApiClient, ConnectorUnreachable
from connectors.cli.failures import NEXT_STEPS, advising, at, then
from connectors.cli.moments import keep_zone
from connectors.cli.renamed import RenamedOption
from connectors.enrolment.configuration import CONFIG_FILE
from connectors.home import Profile
from protocol.address import DeskAddress, parse_desk
from protocol.diagnosis import starts_connector
from protocol.errors import (
    ConfigurationError,
    Conflict,
    IllegalTransition,
    NotAuthenticated,
    NotFound,
    PossibleDuplicate,
    RecipientUnavailable,
    TooLate,
    Unavailable,
)


def _named(context: click.Context, _: click.Parameter, name: str | None) -> str | None:
    return name if name is not None or context.resilient_parsing else only_agency()


def only_agency() -> str:
    """Return the agency of this machine's connector, which is meant where none is named and there is no other."""
    known = [profile.name for profile in home.profiles()]
    if not known:
        raise home.none_here()
    if len(known) != 1:
        raise click.MissingParameter(
            f"Known here: {', '.join(known)}.",
            click.get_current_context(),
            param_hint="'--agency'",
            param_type="option",
        )
    return known[0]


AGENCY = click.option(
    "--agency",
    callback=_named,
    metavar="NAME",
    help="Which agency's connector, by its name; where this machine has only one, that one.",
)
LIMIT = click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="How many at most.")
_KEY_FORM: Final = re.compile(r"[!-~]{16,255}")


def _key(_: click.Context, __: click.Parameter, said: str | None) -> str | None:
    if said is not None and not _KEY_FORM.fullmatch(said):
        raise click.BadParameter("write 16 to 255 letters, digits and signs without a space, never used before.")
    return said


KEY = click.option(
    "--once-key",
    "key",
    cls=RenamedOption,
    older=["--key"],
    callback=_key,
    help="A name of your own for this command, of 16 to 255 letters and digits: typed again with it, nothing is done "
    "twice. It is no secret.",
)
SENDER = click.option("--sender", metavar="DESK", help="Whose is meant, where several have sent under this id.")
RECIPIENT = click.option(
    "--recipient",
    metavar="DESK",
    help="For which desk of ours it came, where its sender sent another to each desk under this id.",
)
CURSOR = click.option("--cursor", help="Where the page before ended.")


_LISTED: Final = {
    "case": "case",
    "draft": "draft",
    "fhir": "referral",
    "handover": "handover",
    "message": "message",
    "quarantine": "quarantine",
    "referral": "referral",
    "token": "token",
    "webhook": "webhook",
}
"""Which list shows what a command of a group can name."""


def named_desk(text: str | None) -> DeskAddress | None:
    """Return the desk that an option names, or None; `InvalidInput` if it is no address of one."""
    return None if text is None else parse_desk(text)


@asynccontextmanager
async def connected(profile: Profile) -> AsyncIterator[ApiClient]:
    """Yield a client of the connector that `profile` names; `Unavailable` if it does not run.

    When all is asked, the moments of the answers are shown by that agency's clock (`moments.local_time`).
    """
    context = click.get_current_context(silent=True)
    group = "" if context is None or context.parent is None else context.parent.info_name or ""
    config = profile.config_file or Path(profile.data_dir) / CONFIG_FILE
    with at(agency=profile.name, config=config):
        try:
            _check_token(profile)
            async with ApiClient.of(profile.api_url, Path(profile.token_file)) as client:
                with advising(_where_to_look(group, {} if context is None else context.params, profile)):
                    yield client
                await keep_zone(client)
        except (ConnectorUnreachable, FileNotFoundError):
            error = Unavailable(f"The connector of {profile.name} does not answer at {profile.api_url}.")
            raise then(error, f"start it: {starts_connector()}") from None


def _check_token(profile: Profile) -> None:
    """Raise `ConfigurationError` for a token file that cannot be used, with what mends it."""
    token = Path(profile.token_file)
    there = f"mend {token}, then the same command again"
    step = there if token.exists() else f"start the connector of {profile.name}; its token is {token}"
    with advising({ConfigurationError: step}):
        read_token(token)


def _where_to_look(group: str, given: Mapping[str, Any], profile: Profile) -> dict[type[Exception], str]:
    """Return what a command of `group` should be followed by where what it names is not there, or not so any more.

    A connector reads its token at its start only, so one that was changed since is told from one that is not known.
    """
    agency = profile.name
    steps: dict[type[Exception], str] = {
        RecipientUnavailable: f"throughcare directory list --agency {agency}",
        NotAuthenticated: (
            f"stop the connector of {agency} and start it again: it takes its token from {profile.token_file} at its "
            "start"
        ),
    }
    if group in _LISTED:
        steps[NotFound] = f"throughcare {_LISTED[group]} list --agency {agency}"
        steps[Conflict] = f"{steps[NotFound]}   (look at it as it is now, then decide)"
        steps[PossibleDuplicate] = NEXT_STEPS[PossibleDuplicate]
    if group in ("referral", "handover") and isinstance(thread := given.get("thread"), str):
        shown = f"throughcare referral show {thread} --agency {agency}"
        steps[IllegalTransition] = f"{shown}   (says what could be next)"
        steps[TooLate] = NEXT_STEPS[TooLate]
        steps[Conflict] = f"{shown}   (look at it as it is now, then decide)"
    return steps
