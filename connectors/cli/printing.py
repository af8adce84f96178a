# SPDX-License-Identifier: Apache-2.0
"""`throughcare referral print`, and that of a handover, a message or a case: a page for the file."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import click

from connectors import home
from connectors.api_client import ApiClient
from connectors.cli.local import AGENCY, RECIPIENT, SENDER, connected, named_desk
from connectors.cli.outfile import REPLACE, must_be_writable, write_out
from connectors.cli.voice import Voice, speaks
from connectors.languages import LANGUAGES
from protocol.ids import CaseId, Kind, MessageId, ThreadId, raw

_LANGUAGE = click.option(
    "--language",
    metavar="NAME",
    help=f"In which language and script, the connector's own without it: {', '.join(LANGUAGES)}.",
)
_OUT = click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The HTML file to write, for us alone; open it in a browser and print it.",
)


@click.command("print")
@click.argument("thread")
@AGENCY
@click.option("--message", metavar="MESSAGE", help="Only the step that this message is.")
@_LANGUAGE
@_OUT
@REPLACE
@speaks
def thread(
    thread: str, agency: str, message: str | None, language: str | None, out: Path, replace: bool, voice: Voice
) -> None:
    """Print a whole referral or handover, or one step of it, as an HTML page."""
    thread_id = ThreadId(raw(Kind.THREAD, thread))
    step = None if message is None else MessageId(raw(Kind.MESSAGE, message))
    _print(
        lambda client: client.print_thread(thread_id, language=language, message=step),
        agency,
        out,
        voice,
        replace=replace,
    )


@click.command("print")
@click.argument("case_", metavar="CASE")
@AGENCY
@_LANGUAGE
@_OUT
@REPLACE
@speaks
def case(case_: str, agency: str, language: str | None, out: Path, replace: bool, voice: Voice) -> None:
    """Print a whole case, each thread and each message of it, as an HTML page."""
    case_id = CaseId(raw(Kind.CASE, case_))
    _print(lambda client: client.print_case(case_id, language=language), agency, out, voice, replace=replace)


@click.command("print")
@click.argument("message")
@AGENCY
@SENDER
@RECIPIENT
@_LANGUAGE
@_OUT
@REPLACE
@speaks
def message(
    message: str,
    agency: str,
    sender: str | None,
    recipient: str | None,
    language: str | None,
    out: Path,
    replace: bool,
    voice: Voice,
) -> None:
    """Print a message that is no step of a life cycle, as an HTML page."""
    message_id, desk, ours = MessageId(raw(Kind.MESSAGE, message)), named_desk(sender), named_desk(recipient)
    _print(
        lambda client: client.print_message(message_id, language=language, sender=desk, recipient=ours),
        agency,
        out,
        voice,
        replace=replace,
    )


@click.command("print")
@click.argument("id_", metavar="ID")
@AGENCY
@SENDER
@RECIPIENT
@_LANGUAGE
@_OUT
@REPLACE
@speaks
def handover(
    id_: str,
    agency: str,
    sender: str | None,
    recipient: str | None,
    language: str | None,
    out: Path,
    replace: bool,
    voice: Voice,
) -> None:
    """Print the package of a handover, as an HTML page."""
    message_id, desk, ours = MessageId(raw(Kind.MESSAGE, id_)), named_desk(sender), named_desk(recipient)
    _print(
        lambda client: client.print_handover(message_id, language=language, sender=desk, recipient=ours),
        agency,
        out,
        voice,
        replace=replace,
    )


def _print(
    ask: Callable[[ApiClient], Awaitable[bytes]], agency: str, out: Path, voice: Voice, *, replace: bool
) -> None:
    must_be_writable(out, replace=replace)

    async def asked() -> bytes:
        async with connected(home.find(agency)) as client:
            return await ask(client)

    content = asyncio.run(asked())
    write_out(out, content, replace=replace)
    voice.data({"file": str(out), "bytes": len(content)}, [f"the print is in {out}"])
