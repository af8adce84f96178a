# SPDX-License-Identifier: Apache-2.0
"""`throughcare authority approve`: an approver compares the words, reads what the statement does, and signs it."""

import asyncio
from pathlib import Path
from typing import Final

import click

from connectors.authority import approval
from connectors.authority.office import Office
from connectors.authority.renewing import quorum_of
from connectors.authority.telling import Newcomer, told_agency, told_signatures
from connectors.authority.turns import Quorum, Shown, begun_in
from connectors.cli.agreeing import YES, agree
from connectors.cli.authority import fetch_checked
from connectors.cli.failures import advising
from connectors.cli.office import (
    APPROVER,
    FOLDER,
    KEY_FILE,
    PASSPHRASE_FILE,
    at_hub_of,
    noted,
    open_approver,
    opened,
    publish_statement,
    tell_of_turn,
)
from connectors.cli.voice import Voice, speaks
from connectors.cli.way_out import goes_out
from connectors.enrolment.visit import now_ms
from connectors.way_out import WayOut
from keys.directory import Directory
from protocol.enrolment import EnrolmentCode
from protocol.errors import Conflict, EnrolmentRefused, NotFound
from protocol.http.fields import format_time
from protocol.statements import UnverifiedStatement

_HEARD: Final = (
    "call the agency on a number you know, let it read its words once more, and type what you hear, never what a "
    "screen shows. If they differ again: sign nothing, {anew}, and find out who stands in between"
)
"""What to do about words that differ: they are worth something only if whoever signs has heard them (ENR-4)."""


@click.command()
@FOLDER
@click.argument("agency")
@click.option("--words", required=True, help="The 8 words that the agency read to you, as you heard them.")
@YES
@APPROVER
@KEY_FILE
@PASSPHRASE_FILE
@goes_out
@speaks
def approve(
    folder: Path,
    agency: str,
    words: str,
    yes: bool,
    approver: int,
    key_file: Path | None,
    passphrase_file: Path | None,
    way_out: WayOut,
    voice: Voice,
) -> None:
    """Sign an agency after comparing the words by voice.

    What the statement does is shown before your passphrase is asked for.
    """
    office = opened(folder)
    with advising({NotFound: f"throughcare authority show {folder}   (lists the codes that are out)"}):
        code = office.code(agency)
    anew = f"throughcare authority invite {folder} --agency {agency} … --replace"
    steps: dict[type[Exception], str] = {
        EnrolmentRefused: f"sign nothing; {anew}   (a new code), and find out who stands in between",
        NotFound: f"throughcare authority pending {folder}   (wait until the agency has used its code)",
        Conflict: "the same command by another approver: --approver NUMBER",
    }
    with advising(steps):
        office, directory, checked = asyncio.run(_asked(office, way_out, code))
        with advising({EnrolmentRefused: _HEARD.format(anew=anew)}):
            approval.check_words(checked, words)
        address, quorum = code.terms.agency, quorum_of(directory, office.facts.domain)
        begun = _begun(office, quorum, checked)
        agree(_told(office, directory, quorum, checked, begun), address, voice, yes=yes)
    signer = open_approver(office, approver, key_file, passphrase_file)
    with advising(steps):
        turn = approval.approve(office, checked, signer, words, now_ms(), quorum, Shown(begun))
        if not turn.lacking:
            publish_statement(office, way_out, turn.raw)
            approval.conclude(office, checked, turn.raw)
    lacking = turn.lacking
    line = f"{address} is vouched for." if not lacking else f"{address}: signed; {lacking} more approver must sign."
    voice.data({"agency": address, "signatures_lacking": lacking}, [line])
    tell_of_turn(turn, "approver", voice)


async def _asked(
    office: Office, way_out: WayOut, code: EnrolmentCode
) -> tuple[Office, Directory, approval.CheckedRequest]:
    async with at_hub_of(office, way_out) as hub:
        return *await noted(hub, office), await fetch_checked(hub, code)


def _begun(office: Office, quorum: Quorum, checked: approval.CheckedRequest) -> UnverifiedStatement | None:
    """Return what others have signed of the very same; what says something else is begun anew, and that is told."""
    agency = approval.agency_of(checked)
    begun = begun_in(quorum, office.approval_file(agency.address), now_ms())
    return begun if begun is not None and begun.body.subject == agency else None


def _told(
    office: Office,
    directory: Directory,
    quorum: Quorum,
    checked: approval.CheckedRequest,
    begun: UnverifiedStatement | None,
) -> list[str]:
    agency, request = approval.agency_of(checked), checked.request
    begun_at = None if begun is None else begun.body.issued
    newcomer = Newcomer(request.device, request.desks)
    return [
        *told_agency(directory, agency, now_ms(), begun_at=begun_at, newcomer=newcomer),
        f"    asked by  the code for it, which counts until {format_time(checked.code.terms.expires)[:10]}",
        *told_signatures(office, quorum, begun),
    ]
