# SPDX-License-Identifier: Apache-2.0
"""Whom a command names as an officer of this agency: by title as people know it, or by id."""

from collections.abc import Sequence
from typing import Final

import click

from connectors.api_client import ApiClient
from connectors.cli.failures import advising
from connectors.cli.renamed import RenamedOption
from protocol.errors import NotFound
from protocol.http.standing import OfficerItem
from protocol.ids import Kind, OfficerId, raw

_WHO: Final = "Who acts, by title or id; else the service account."
AS = click.option("--as", "acting", metavar="OFFICER", help=_WHO)
AS_SENDER = click.option("--as", "officer", cls=RenamedOption, older=("--officer",), metavar="OFFICER", help=_WHO)
"""The same for a command that begins something, where `--officer` was another name of it."""
BY_SERVICE: Final = "the connector's service account signs this, and no person: --as OFFICER for a person"
"""What is said where an officer is named for something and nobody acts."""


async def officer_named(client: ApiClient, named: str | None, *, agency: str) -> OfficerId | None:
    """Return the id of the officer `named` by title or id, None for nobody; `NotFound` names the titles there are."""
    if named is None:
        return None
    officers = [] if _is_id(named) else (await client.status()).officers
    with advising({NotFound: f"throughcare officer list --agency {agency}"}):
        return officer_of(officers, named)


def officer_of(officers: Sequence[OfficerItem], named: str) -> OfficerId:
    """Return the id of the officer `named` by id or by title; an id need not be among `officers` yet."""
    if _is_id(named):
        return OfficerId(raw(Kind.OFFICER, named))
    for one in officers:
        if one.title.casefold() == named.casefold():
            return one.id
    titles = ", ".join(one.title for one in officers)
    raise NotFound(f"Nobody acts here under that title. Known: {titles}.")


def _is_id(named: str) -> bool:
    return named.startswith(f"{Kind.OFFICER.value}_")
