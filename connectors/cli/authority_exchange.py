# SPDX-License-Identifier: Apache-2.0
"""`throughcare authority exchange`: persons of the root put a newcomer in the place of one who leaves (ENR-13)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from connectors.authority.exchanging import ROOT, exchange_quorum, exchanged_authority, exchanged_root, stands_there
from connectors.authority.newkey import open_new_key, read_new_key
from connectors.authority.office import Office
from connectors.authority.telling import told_authority, told_root, told_signatures
from connectors.authority.turns import Quorum, Shown, Turn, begun_in, sign_in_turn
from connectors.cli.agreeing import YES, agree
from connectors.cli.authority_new_key import place_named
from connectors.cli.failures import advising, then
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
from connectors.cli.passphrase import read_passphrase
from connectors.cli.voice import Voice, speaks
from connectors.cli.way_out import goes_out
from connectors.enrolment.visit import now_ms
from connectors.way_out import WayOut
from keys.directory import Directory
from keys.privatefile import remove_private
from keys.signing import HybridSigner
from protocol.errors import (
    ConfigurationError,
    Conflict,
    DirectoryInconsistent,
    EnrolmentRefused,
    InvalidInput,
    KeystoreError,
    NotFound,
)
from protocol.newcomer import NewKey
from protocol.statements import Authority, Root, UnverifiedStatement, parse_statement

_MADE: Final = "throughcare authority new-key   (at the newcomer's machine; it shows the words)"
_STEPS: Final[dict[type[Exception], str]] = {
    EnrolmentRefused: "find out who wrote that file; it never gets a second signature",
    Conflict: "the same command by another: --person NUMBER, or --newcomer",
}
_BY_ROOT: Final = ("renewals/authority", "renewals/root")


@click.command()
@FOLDER
@click.option("--approver", type=int, help="Who leaves: approver 1, 2, …")
@click.option("--root-person", type=int, help="Or who leaves: person 1, 2, … of the root.")
@click.option(
    "--with",
    "public_file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The newcomer's public file, as `new-key` wrote it.",
)
@click.option("--words", required=True, help="The 8 words that the newcomer read to you.")
@click.option("--person", type=int, help="Which person of the root signs: 1, 2, …")
@click.option("--newcomer", is_flag=True, help="Or the newcomer to the root signs, with the new --key-file.")
@YES
@KEY_FILE
@PASSPHRASE_FILE
@goes_out
@speaks
def exchange(
    folder: Path,
    approver: int | None,
    root_person: int | None,
    public_file: Path,
    words: str,
    person: int | None,
    newcomer: bool,
    yes: bool,
    key_file: Path | None,
    passphrase_file: Path | None,
    way_out: WayOut,
    voice: Voice,
) -> None:
    """Put a newcomer in the place of an approver or person of the root who leaves.

    Persons of the root sign it, as many as must, one after another, with the folder going from hand to hand; a newcomer
    to the root signs too. Each person has the newcomer read the words. The last signature publishes it: whoever leaves
    signs nothing from then on.
    """
    place = place_named(approver, root_person)
    _check_who(person, key_file, newcomer=newcomer, to_root=root_person is not None)
    office = opened(folder)
    with advising({EnrolmentRefused: _MADE, ConfigurationError: _MADE}):
        new = read_new_key(public_file, place, office.facts.root_fingerprint, words)
    office, directory = directory_of(office, way_out)
    path, domain = office.exchange_file(place), office.facts.domain
    if stands_there(directory, domain, new):
        # The answer was lost on the way, or another has published it meanwhile. The folder was told by the directory.
        remove_private(path)
        _tell(voice, place, 0)
        return
    with advising({NotFound: f"throughcare authority show {folder}   (says how many there are)", Conflict: _MADE}):
        subject = exchanged_root(directory, new) if approver is None else exchanged_authority(directory, domain, new)
    quorum = exchange_quorum(directory, domain, new)
    with advising(_STEPS):
        begun = begun_in(quorum, path, now_ms())
    going_on = begun if begun is not None and begun.body.subject == subject else None
    agree(_told(office, directory, quorum, subject, going_on, place), place, voice, yes=yes)
    if person is not None:
        signer = open_root_person(office, person, key_file, passphrase_file)
    else:
        signer = _open_newcomer(new, key_file, passphrase_file)
    with advising(_STEPS):
        turn = sign_in_turn(quorum, path, subject, signer, now_ms(), Shown(going_on))
    if not turn.lacking:
        publish_statement(office, way_out, turn.raw)
        _must_stand(office, way_out, new)
        remove_private(path)
    _tell(voice, place, turn.lacking)
    tell_of_turn(turn, _other(quorum, turn), voice)


def _must_stand(office: Office, way_out: WayOut, new: NewKey) -> None:
    """Raise `DirectoryInconsistent` unless the directory names the newcomer: an answer alone proves nothing.

    By this word the leaver's key is deleted. What is signed stays in the folder until the directory has it (ENR-14).
    """
    office, directory = directory_of(office, way_out)
    if not stands_there(directory, office.facts.domain, new):
        error = DirectoryInconsistent(
            "The exchange is signed and was handed to the hub, which does not show it. Whoever leaves still signs."
        )
        raise then(error, "the same command again; if it says so once more, call the hub's operator, and delete no key")


def _check_who(person: int | None, key_file: Path | None, *, newcomer: bool, to_root: bool) -> None:
    """Raise `InvalidInput` unless one signs who can: a person of the root, or the newcomer to it."""
    if newcomer is (person is not None):
        error = InvalidInput("Say who signs.")
        raise then(error, "the same command with --person NUMBER, or by a newcomer to the root with --newcomer")
    if newcomer and not to_root:
        raise then(
            InvalidInput("Only persons of the root sign for approvers."), "the same command with --person NUMBER"
        )
    if newcomer and key_file is None:
        raise then(
            InvalidInput("The newcomer's key is in no folder."), "the same command with --key-file root-2-new.key"
        )


def _open_newcomer(new: NewKey, key_file: Path | None, passphrase_file: Path | None) -> HybridSigner:
    if key_file is None:
        raise TypeError("a newcomer without a key was let through")
    with advising({KeystoreError: "the same command with the newcomer's own passphrase and key (--key-file)"}):
        return open_new_key(key_file, new, read_passphrase(passphrase_file, "the newcomer's key"))


def _told(
    office: Office,
    directory: Directory,
    quorum: Quorum,
    subject: Authority | Root,
    begun: UnverifiedStatement | None,
    place: str,
) -> Iterator[str]:
    """Yield what is signed, so that nobody signs by another's word (ENR-11)."""
    now, begun_at = now_ms(), None if begun is None else begun.body.issued
    if isinstance(subject, Root):
        yield from told_root(directory, subject, now, begun_at)
    else:
        yield from told_authority(directory, subject, now, begun_at)
    yield from _after(office, place)
    yield from told_signatures(office, quorum, begun)


def _other(quorum: Quorum, turn: Turn) -> str:
    """Return who is to sign next."""
    signed = {one.signer for one in parse_statement(turn.raw).signatures}
    if quorum.newcomer is None or quorum.newcomer.key_id in signed:
        return "person of the root"
    if turn.lacking == 1:
        return "one, the newcomer (--newcomer in place of --person)"
    return "person of the root, or to the newcomer (--newcomer in place of --person)"


def _after(office: Office, place: str) -> Iterator[str]:
    yield f"Whoever is {place} so far signs nothing any more once this is published. Agencies stay vouched for."
    of_root = place.startswith(ROOT)
    waiting = [one for one in office.begun() if not one.startswith("exchanges/") and (one in _BY_ROOT) is of_root]
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
