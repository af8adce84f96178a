# SPDX-License-Identifier: Apache-2.0
"""`throughcare authority renew`: a newer statement for the same keys, before the one that counts ends."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

import click

from connectors.authority import renewing
from connectors.authority.office import Office
from connectors.authority.telling import told_agency, told_authority, told_root, told_signatures
from connectors.authority.turns import Quorum, Shown, begun_in, sign_in_turn
from connectors.cli.agreeing import YES, agree
from connectors.cli.failures import advising, then
from connectors.cli.office import (
    FOLDER,
    KEY_FILE,
    PASSPHRASE_FILE,
    directory_of,
    open_approver,
    open_root_person,
    opened,
    publish_statement,
    tell_of_turn,
)
from connectors.cli.voice import Voice, speaks
from connectors.cli.way_out import goes_out
from connectors.enrolment.visit import now_ms
from connectors.way_out import WayOut
from keys.directory import Directory
from protocol.errors import Conflict, EnrolmentRefused, InvalidInput, NotFound, Revoked
from protocol.http.fields import format_time
from protocol.statements import Agency, Authority, Root, UnverifiedStatement, parse_statement

Renewed: TypeAlias = Agency | Authority | Root

_ONE_OF: Final = "an AGENCY and --approver NUMBER, or --authority or --root with --person NUMBER"


@click.command()
@FOLDER
@click.argument("agency", required=False)
@click.option("--authority", "itself", is_flag=True, help="This authority's own statement; persons of the root sign.")
@click.option("--root", is_flag=True, help="The root, as its next version; its persons sign.")
@click.option("--approver", type=int, help="Which approver signs an agency: 1, 2, …")
@click.option("--person", type=int, help="Which person of the root signs: 1, 2, …")
@YES
@KEY_FILE
@PASSPHRASE_FILE
@goes_out
@speaks
def renew(
    folder: Path,
    agency: str | None,
    itself: bool,
    root: bool,
    approver: int | None,
    person: int | None,
    yes: bool,
    key_file: Path | None,
    passphrase_file: Path | None,
    way_out: WayOut,
    voice: Voice,
) -> None:
    """Sign an agency, the authority or the root anew, for the same keys.

    Its devices, cases and backups live on, and its connector goes on untouched. Sign before the old statement ends; one
    that has ended can be renewed too.
    """
    number = approver if agency is not None else person
    if [agency is not None, itself, root].count(True) != 1 or number is None or None not in (approver, person):
        raise then(InvalidInput("Say what is renewed, and who signs."), f"the same command with {_ONE_OF}")
    office, directory = directory_of(opened(folder), way_out)
    subject, quorum = _renewed(office, directory, agency, root=root)
    path = office.renewal_file(subject)
    steps: dict[type[Exception], str] = {
        EnrolmentRefused: "find out who wrote that file; it never gets a second signature",
        Conflict: "the same command by another: --approver NUMBER, or --person NUMBER",
    }
    with advising(steps):
        begun = begun_in(quorum, path, now_ms())
    published = begun is not None and directory.index_of(begun.raw) is not None
    if begun is not None and published and isinstance(begun.body.subject, Renewed):
        # The answer was lost on the way.
        renewing.conclude(office, begun.body.subject, begun.raw)
        _tell(voice, begun.body.subject, 0, begun.body.not_after)
        return
    going_on = begun if begun is not None and begun.body.subject == subject else None
    lines = [*_told(directory, subject, going_on), *told_signatures(office, quorum, going_on)]
    what = subject.address if isinstance(subject, Agency) else type(subject).__name__.lower()
    agree(lines, what, voice, yes=yes)
    open_signer = open_approver if agency is not None else open_root_person
    signer = open_signer(office, number, key_file, passphrase_file)
    with advising(steps):
        turn = sign_in_turn(quorum, path, subject, signer, now_ms(), Shown(going_on))
    if not turn.lacking:
        publish_statement(office, way_out, turn.raw)
        renewing.conclude(office, subject, turn.raw)
    _tell(voice, subject, turn.lacking, parse_statement(turn.raw).body.not_after)
    tell_of_turn(turn, "approver" if agency is not None else "person of the root", voice)


def _renewed(office: Office, directory: Directory, agency: str | None, *, root: bool) -> tuple[Renewed, Quorum]:
    domain = office.facts.domain
    if root:
        return renewing.renewed_root(directory), renewing.root_quorum(directory)
    if agency is None:
        return renewing.renewed_authority(directory, domain), renewing.root_quorum(directory)
    steps: dict[type[Exception], str] = {
        NotFound: f"throughcare authority list {office.folder}   (shows the agencies)",
        Revoked: f"throughcare authority invite {office.folder} --agency NAME …",
    }
    with advising(steps):
        return renewing.renewed_agency(directory, office.address_of(agency)), renewing.quorum_of(directory, domain)


def _told(directory: Directory, subject: Renewed, begun: UnverifiedStatement | None) -> Iterator[str]:
    """Yield what is signed, so that nobody signs by another's word."""
    now, begun_at = now_ms(), None if begun is None else begun.body.issued
    match subject:
        case Agency():
            yield from told_agency(directory, subject, now, begun_at=begun_at)
        case Authority():
            yield from told_authority(directory, subject, now, begun_at)
        case _:
            yield from told_root(directory, subject, now, begun_at)


def _tell(voice: Voice, subject: Renewed, lacking: int, ends: int) -> None:
    what = subject.address if isinstance(subject, Agency) else type(subject).__name__.lower()
    until = format_time(ends)
    line = f"{what}: signed; {lacking} more must sign." if lacking else f"{what}: counts until {until[:10]}."
    voice.data({"renewed": what, "until": until, "signatures_lacking": lacking}, [line])
