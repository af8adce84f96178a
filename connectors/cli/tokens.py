# SPDX-License-Identifier: Apache-2.0
"""`throughcare token`: a token for each program of the agency, good for what it does and no more."""

import asyncio
import os
import secrets
from pathlib import Path

import click
from pydantic import ValidationError

from connectors import home
from connectors.cli.local import AGENCY, KEY, connected
from connectors.cli.moments import local_time
from connectors.cli.outfile import must_be_writable, write_out
from connectors.cli.renamed import RenamedOption
from connectors.cli.voice import Voice, speaks, table
from protocol.address import parse_desk
from protocol.errors import Conflict, InvalidInput
from protocol.http.operation import Scope
from protocol.http.tokens import MAX_DAYS, USUAL_DAYS, TokenItem, TokenList, TokenMade, TokenRequest
from protocol.ids import Kind, TokenId, raw, text


@click.command()
@AGENCY
@click.option("--name", required=True, help="Which program it is for.")
@click.option(
    "--scope",
    "scopes",
    required=True,
    multiple=True,
    type=click.Choice([one.value for one in Scope]),
    help="What it is good for; may stand several times.",
)
@click.option(
    "--desk",
    "desks",
    multiple=True,
    metavar="DESK",
    help="A desk of ours to which it is bound: what is another's does not exist for it. May stand several times.",
)
@click.option("--days", type=click.IntRange(1, MAX_DAYS), default=USUAL_DAYS, show_default=True, help="For how long.")
@click.option(
    "--out",
    "output",
    cls=RenamedOption,
    older=["--output"],
    required=True,
    type=click.Path(path_type=Path),
    help="The new file for the token (0600).",
)
@KEY
@speaks
def make(
    agency: str,
    name: str,
    scopes: tuple[str, ...],
    desks: tuple[str, ...],
    days: int,
    output: Path,
    key: str | None,
    voice: Voice,
) -> None:
    """Make a token for one program, good for the named scopes only."""
    if os.path.lexists(output):
        raise InvalidInput("The file for the token exists. Name a new one.")
    must_be_writable(output)
    bound = [parse_desk(one) for one in dict.fromkeys(desks)]
    try:
        request = TokenRequest(name=name, scopes=[Scope(one) for one in dict.fromkeys(scopes)], days=days, desks=bound)
    except ValidationError:
        raise InvalidInput(
            "A program's name has 1 to 60 letters a-z and digits, with single spaces, dots or hyphens between."
        ) from None

    async def ask() -> TokenMade:
        async with connected(home.find(agency)) as client:
            return await client.make_token(request, idempotency_key=key or secrets.token_urlsafe(24))

    made = asyncio.run(ask())
    try:
        write_out(output, made.secret.encode() + b"\n")
    except (InvalidInput, Conflict):
        asyncio.run(_revoked(made.id, agency))  # nobody has it, and nobody would know that it counts
        raise
    shown = made.model_dump(mode="json", exclude={"secret"})
    voice.data({**shown, "file": str(output)}, [f"{text(Kind.TOKEN, made.id)} until {local_time(made.ends_at)}"])
    voice.say(f"The token is in {output}; its program sends it as `Authorization: Bearer …`.")


@click.command("list")
@AGENCY
@speaks
def list_(agency: str, voice: Voice) -> None:
    """List the tokens that were made: for whom, good for what, until when."""

    async def ask() -> TokenList:
        async with connected(home.find(agency)) as client:
            return await client.tokens()

    found = asyncio.run(ask())
    rows = [
        [
            text(Kind.TOKEN, item.id),
            item.name,
            " ".join(scope.value for scope in item.scopes),
            " ".join(item.desks) or "all",
            local_time(item.ends_at) if item.revoked_at is None else f"revoked {local_time(item.revoked_at)}",
        ]
        for item in found.items
    ]
    voice.data(found.model_dump(mode="json"), table(["TOKEN", "FOR", "SCOPES", "DESKS", "UNTIL"], rows))
    if not found.items:
        voice.say("None was made. The installation's own token is good for everything.")


@click.command()
@click.argument("token")
@AGENCY
@speaks
def revoke(token: str, agency: str, voice: Voice) -> None:
    """Revoke a token at once and for good."""
    token_id = TokenId(raw(Kind.TOKEN, token))

    done = asyncio.run(_revoked(token_id, agency))
    voice.data(done.model_dump(mode="json"), [f"{token} ({done.name}) is good for nothing any more"])


async def _revoked(token: TokenId, agency: str) -> TokenItem:
    async with connected(home.find(agency)) as client:
        return await client.revoke_token(token)
