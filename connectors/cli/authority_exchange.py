# SPDX-License-Identifier: Apache-2.0
"""`throughcare authority exchange`: persons of the root put a newcomer in the place of one who leaves (ENR-13)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from connectors.authority.exchanging import APPROVER, exchange_quorum, exchanged_authority, place_of, stands_there
from connectors.authority.newkey import read_new_key
from connectors.authority.office import Office
from connectors.authority.telling import told_authority, told_signatures
from connectors.authority.turns import begun_in, sign_in_turn
from connectors.cli.agreeing import YES, agree
from connectors.cli.failures import advising
from connectors.cli.office import (
    FOLDER,
    KEY_FILE,
    PASSPHRASE_FILE,
    directory_of,
    open_root_person,
    opened,
    publish_statement,
    tell_of_turn,
)
from connectors.cli.voice import Voice, speaks
from connectors.cli.way_out import goes_out
from connectors.enrolment.visit import now_ms
from connectors.way_out import WayOut
from keys.privatefile import remove_private
from protocol.errors import ConfigurationError, Conflict, EnrolmentRefused, NotFound

_BY_ROOT: Final = ("renewals/authority", "renewals/root")
_MADE: Final = "throughcare authority new-key   (at the newcomer's machine; it shows the words)"


@click.command()
@FOLDER
@click.option("--approver", type=int, required=True, help="Who leaves: approver 1, 2, …")
@click.option(
    "--with",
    "public_file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The newcomer's public file, as `new-key` wrote it.",
)
@click.option("--words", required=True, help="The 8 words that the newcomer read to you.")
@click.option("--person", type=int, required=True, help="Which person of the root signs: 1, 2, …")
@YES
@KEY_FILE
@PASSPHRASE_FILE
@goes_out
@speaks
def exchange(
    folder: Path,
    approver: int,
    public_file: Path,
    words: str,
    person: int,
    yes: bool,
    key_file: Path | None,
    passphrase_file: Path | None,
    way_out: WayOut,
    voice: Voice,
) -> None:
    """Put a newcomer in the place of an approver who leaves.

    Persons of the root sign it, as many as must, one after another, with the folder going from hand to hand. Each has
    the newcomer read the words. The last signature publishes it: whoever leaves signs nothing from then on.
    """
    office, place = opened(folder), place_of(APPROVER, approver)
    with advising({EnrolmentRefused: _MADE, ConfigurationError: _MADE}):
        new = read_new_key(public_file, place, office.facts.root_fingerprint, words)
    office, directory = directory_of(office, way_out)
    path, domain = office.exchange_file(place), office.facts.domain
    if stands_there(directory, domain, new):
        # The answer was lost on the way, or another has published it meanwhile. The folder was told by the directory.
        remove_private(path)
        _tell(voice, place, 0)
        return
    known = f"throughcare authority list {folder}   (shows who they are)"
    with advising({NotFound: known, Conflict: _MADE}):
        subject = exchanged_authority(directory, domain, new)
    quorum, now = exchange_quorum(directory, domain), now_ms()
    steps: dict[type[Exception], str] = {
        EnrolmentRefused: "find out who wrote that file; it never gets a second signature",
        Conflict: "the same command by another person of the root: --person NUMBER",
    }
    with advising(steps):
        begun = begun_in(quorum, path, now)
    going_on = begun if begun is not None and begun.body.subject == subject else None
    told = told_authority(directory, subject, now, None if going_on is None else going_on.body.issued)
    agree([*told, *_after(office, place), *told_signatures(office, quorum, going_on)], place, voice, yes=yes)
    signer = open_root_person(office, person, key_file, passphrase_file)
    with advising(steps):
        turn = sign_in_turn(quorum, path, subject, signer, now_ms())
    if not turn.lacking:
        publish_statement(office, way_out, turn.raw)
        remove_private(path)
    _tell(voice, place, turn.lacking)
    tell_of_turn(turn, "person of the root", voice)


def _after(office: Office, place: str) -> Iterator[str]:
    yield f"Whoever is {place} so far signs nothing any more once this is published. Agencies stay vouched for."
    waiting = [one for one in office.begun() if not one.startswith("exchanges/") and one not in _BY_ROOT]
    if waiting:
        yield f"Whatever of this bears that one's signature is begun anew: {', '.join(waiting)}."


def _tell(voice: Voice, place: str, lacking: int) -> None:
    line = f"{place}: signed; {lacking} more must sign." if lacking else f"{place}: the newcomer is in that place."
    voice.data({"exchanged": place, "signatures_lacking": lacking}, [line])
    if not lacking:
        voice.say(
            "Have the key file of whoever left deleted, with its copies: it signs nothing any more.\n"
            "next:  have the hub's operator make a backup (throughcare-hub backup), which then knows of the exchange"
        )
