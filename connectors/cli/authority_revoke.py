# SPDX-License-Identifier: Apache-2.0
"""`throughcare authority revoke`: approvers end an agency, or one device of it, after reading what ends with it."""

from collections.abc import Iterator
from pathlib import Path

import click

from connectors.authority.office import Office
from connectors.authority.renewing import quorum_of
from connectors.authority.revoking import Ending, Reason, ending_of_agency, ending_of_device
from connectors.authority.telling import fingerprint, told_device, told_signatures
from connectors.authority.turns import Shown, begun_in, sign_in_turn
from connectors.cli.agreeing import agree
from connectors.cli.failures import advising, then
from connectors.cli.office import (
    APPROVER,
    FOLDER,
    KEY_FILE,
    PASSPHRASE_FILE,
    directory_of,
    open_approver,
    opened,
    publish_statement,
    tell_of_turn,
)
from connectors.cli.voice import Voice, speaks
from connectors.cli.way_out import goes_out
from connectors.enrolment.visit import now_ms
from connectors.way_out import WayOut
from keys.directory import DeviceEntry, Directory
from protocol.address import AgencyAddress
from protocol.errors import Conflict, EnrolmentRefused, InvalidInput, NotFound, Revoked
from protocol.http.fields import format_time
from protocol.statements import Revocation, UnverifiedStatement


@click.command()
@FOLDER
@click.argument("agency")
@click.option("--device", help="Only the device whose key id begins with these digits; `list` shows them.")
@click.option("--former", is_flag=True, help="Only the keys that the agency had before it enrolled anew.")
@click.option(
    "--reason",
    type=click.Choice([one.value for one in Reason]),
    help="Why; everybody can read it. Who signs after another may leave it out.",
)
@click.option("--yes", is_flag=True, help="Do not ask for the agency's address.")
@APPROVER
@KEY_FILE
@PASSPHRASE_FILE
@goes_out
@speaks
def revoke(
    folder: Path,
    agency: str,
    device: str | None,
    former: bool,
    reason: str | None,
    yes: bool,
    approver: int,
    key_file: Path | None,
    passphrase_file: Path | None,
    way_out: WayOut,
    voice: Voice,
) -> None:
    """End an agency, or one device of it, for good.

    As many approvers as for a new agency must sign, one after another, with the folder going from hand to hand. The
    last signature publishes the revocation at once.
    """
    if device is not None and former:
        raise then(InvalidInput("Either one device or former keys are revoked."), "the same command with one of both")
    office = opened(folder)
    address = office.address_of(agency)
    office, directory = directory_of(office, way_out)
    try:
        ending = _ending(office, directory, address, device, former=former)
    except Revoked:
        # Also when this very revocation was published and its answer was lost on the way.
        voice.data(
            {"agency": address, "revoked": True, "signatures_lacking": 0}, [f"{address}: it is revoked already."]
        )
        return
    quorum, path = quorum_of(directory, office.facts.domain), office.revocation_file(ending.target)
    steps: dict[type[Exception], str] = {
        EnrolmentRefused: "find out who wrote that file; it never gets a second signature",
        Conflict: "the same command by another approver: --approver NUMBER",
    }
    with advising(steps):
        begun = begun_in(quorum, path, now_ms())
        why = _reason(reason, begun, ending)
    said = Revocation(ending.target, why.value)
    # With another reason it is begun anew: nobody has signed that.
    begun = begun if begun is not None and begun.body.subject == said else None
    lines = [*_told(ending), f"The reason, for everybody to read: {why.value}."]
    agree([*lines, *told_signatures(office, quorum, begun)], address, voice, yes=yes, asks_always=True)
    signer = open_approver(office, approver, key_file, passphrase_file)
    with advising(steps):
        turn = sign_in_turn(quorum, path, said, signer, now_ms(), Shown(begun))
    if not turn.lacking:
        publish_statement(office, way_out, turn.raw)
    what = address if ending.whole else f"{_named(ending.devices[0])} of {address}"
    line = f"{what}: signed; {turn.lacking} more approver must sign." if turn.lacking else f"{what} is revoked."
    voice.data(
        {
            "agency": address,
            "key_id": ending.target.hex(),
            "reason": why.value,
            "revoked": not turn.lacking,
            "signatures_lacking": turn.lacking,
        },
        [line],
    )
    tell_of_turn(turn, "approver", voice)
    if not turn.lacking and ending.whole and not ending.enrolled_anew:
        voice.say(
            f"next:  throughcare authority invite {folder} --agency NAME …   (only if the agency shall come back)"
        )


def _ending(
    office: Office, directory: Directory, address: AgencyAddress, device: str | None, *, former: bool
) -> Ending:
    known = f"throughcare authority list {office.folder}   (shows the agencies and their devices)"
    with advising({NotFound: known, Conflict: known, InvalidInput: known}):
        if device is not None:
            return ending_of_device(directory, address, device, now_ms())
        return ending_of_agency(directory, address, now_ms(), former=former)


def _reason(given: str | None, begun: UnverifiedStatement | None, ending: Ending) -> Reason:
    """Return the reason that was given, else the one that the approver before gave."""
    said = None if begun is None else begun.body.subject
    if said is not None and not (isinstance(said, Revocation) and said.target == ending.target):
        # Its file is named after what it revokes, so nobody who signed this put it there.
        raise EnrolmentRefused("The file holds the beginning of something else. Nothing was signed.")
    if given is not None:
        return Reason(given)
    if said is None:
        raise then(InvalidInput("Nobody has begun this, so a reason is needed."), "the same command with --reason")
    if said.reason not in set(Reason):
        raise EnrolmentRefused("What was begun gives a reason that is not known here. Nothing was signed.")
    return Reason(said.reason)


def _told(ending: Ending) -> Iterator[str]:
    """Yield in plain words what ends."""
    entry = ending.agency
    yield f"{entry.address}, {entry.name}: vouched for until {_day(entry.not_after)}."
    if not ending.whole:
        (device,) = ending.devices
        yield "This ends ONE DEVICE of it, for good:"
        yield f"    device {told_device(device)}"
        yield (
            "The hub refuses it, closes its connection and hands out nothing more to it. Nobody seals anything for\n"
            "its desks until another device serves them: throughcare restore, from the agency's newest backup.\n"
            "Senders then seal anew what was under way. That is enough only if the machine was off and its disk\n"
            "encrypted: the file connector.passphrase_file lay on it. If not, or if its passphrase may be in strange\n"
            "hands too, revoke the agency instead: whoever has both can make devices in its name."
        )
        return
    yield "This ends the keys it had FORMERLY, for good:" if ending.enrolled_anew else "This ends the AGENCY, for good:"
    yield f"    identity  {fingerprint(entry.identity.key_id)}"
    for one in ending.devices:
        yield f"    device {told_device(one)}"
    for delegation in ending.delegations:
        yield f"    that {delegation.title} acts for it"
    yield (
        "The hub refuses these devices, closes their connections and hands out nothing more to them. What was sent\n"
        "and opened before stays as it is."
    )
    if ending.enrolled_anew:
        yield "The agency goes on with the keys that it has now."
        return
    yield (
        "Nobody seals anything for its desks any more. These keys never come back, and its backups cannot be\n"
        "restored: to return, the agency needs a new code and makes new keys."
    )


def _named(device: DeviceEntry) -> str:
    return f"device {device.key_id.hex()[:16]}"


def _day(at: int) -> str:
    return format_time(at)[:10]
