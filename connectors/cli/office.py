# SPDX-License-Identifier: Apache-2.0
"""What the commands of an authority share: its folder, the one who signs, and its hub, checked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import click

from connectors.authority.exchanging import keep_statements
from connectors.authority.lost import check_signers
from connectors.authority.office import HubFacts, Office, open_office
from connectors.authority.turns import Turn
from connectors.cli.failures import advising
from connectors.cli.passphrase import read_passphrase
from connectors.cli.voice import Voice
from connectors.enrolment.pins import Pins, check_hub, replay
from connectors.enrolment.visit import visiting
from connectors.hub_client import HubClient
from connectors.way_out import WayOut
from keys.directory import Directory
from keys.signing import HybridSigner
from protocol.errors import (
    CallerError,
    ConfigurationError,
    DirectoryInconsistent,
    EnrolmentRefused,
    KeystoreError,
    NotFound,
    OurError,
)

FOLDER = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
APPROVER = click.option("--approver", type=int, required=True, help="Which approver signs: 1, 2, …")
KEY_FILE = click.option(
    "--key-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The approver's key, if it is not in the authority's folder.",
)
PASSPHRASE_FILE = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the approver's passphrase (- is standard input).",
)

_OTHER_HUB: Final = (
    "stop, and call the hub's operator on a number you know: is their hub at this address, with the domain and keys of "
    "the hub-public.json that you have? Only if its root fingerprint alone is wrong, the operator sets "
    "hub.root_fingerprint = {fingerprint} and starts the hub again"
)
"""What to do where another hub answers: it may be an impostor, or have new keys, and the authority's people cannot tell
from here (attack 59)."""


def opened(folder: Path) -> Office:
    """Return the authority in `folder`, or say how to make or find one."""
    with advising({ConfigurationError: "the same command with the folder that throughcare authority init made"}):
        return open_office(folder)


def must_be_approver(office: Office, number: int) -> None:
    """Say which numbers there are if `number` is none of them, before anything is asked for."""
    with advising({NotFound: f"the same command with --approver 1 to {len(office.facts.approvers)}"}):
        office.check_approver(number)


def hub_of(office: Office) -> HubFacts:
    """Return the authority's hub, or say how it comes to know one."""
    with advising({ConfigurationError: f"throughcare authority publish {office.folder} --hub hub-public.json"}):
        return office.hub


def open_approver(office: Office, number: int, key_file: Path | None, passphrase_file: Path | None) -> HybridSigner:
    """Return the approver's signer; the passphrase comes from the file or is asked for."""
    must_be_approver(office, number)
    steps: dict[type[Exception], str] = {
        KeystoreError: f"the same command with approver {number}'s own passphrase and key (--key-file)",
    }
    with advising(steps):
        return office.approver(number, read_passphrase(passphrase_file, f"approver {number}"), key_file)


def open_root_person(office: Office, number: int, key_file: Path | None, passphrase_file: Path | None) -> HybridSigner:
    """Return the signer of one of the root's persons, likewise."""
    steps: dict[type[Exception], str] = {
        NotFound: f"the same command with --person 1 to {len(office.facts.root_persons)}",
        KeystoreError: f"the same command with root person {number}'s own passphrase and key (--key-file)",
    }
    with advising(steps):
        return office.root_person(number, read_passphrase(passphrase_file, f"root person {number}"), key_file)


def pins_of(office: Office) -> Pins:
    """Return what the authority knows of its hub beforehand."""
    hub_of(office)
    return Pins(office.facts.domain, office.facts.root_fingerprint, *office.anchors(0))


@asynccontextmanager
async def at_hub_of(office: Office, way_out: WayOut) -> AsyncIterator[HubClient]:
    """Yield the authority's hub, once it was found to be that one and the clocks agree.

    Raises `EnrolmentRefused` for another hub, and `ClockSkewed` if what is signed now would be dated wrong.
    """
    other = _OTHER_HUB.format(fingerprint=office.facts.root_fingerprint.hex())
    async with visiting(hub_of(office).url, way_out) as hub:
        with advising({EnrolmentRefused: other}):
            await check_hub(hub, pins_of(office))
        yield hub


async def noted(hub: HubClient, office: Office) -> tuple[Office, Directory]:
    """Return the hub's directory as it is now, verified from the root on, and found to go on from what was seen.

    With it comes the office with the people that this directory names (ENR-14). Raises `Conflict` if the hub was
    restored and lacks who signs (ENR-15), `DirectoryInconsistent` if former approvers have signed that (GEN-9).
    """
    directory = await replay(hub, pins_of(office))
    check_signers(office, directory)
    office = office.take_note(directory)
    keep_statements(office, directory)
    return office, directory


async def published(hub: HubClient, office: Office, raw: bytes) -> None:
    """Bring a statement that enough have signed into the hub's directory."""
    await hub.submit_statement(raw)
    try:
        # So that no hub denies it later. What fails by the way is no reason to doubt that it is published.
        await noted(hub, office)
    except DirectoryInconsistent:
        raise DirectoryInconsistent(
            "The statement is signed and was handed to the hub, which then showed an older or another directory than "
            "before. Call its operator."
        ) from None
    except (OurError, CallerError):
        return


def directory_of(office: Office, way_out: WayOut) -> tuple[Office, Directory]:
    """Return the office and the hub's directory, as `noted`."""

    async def read() -> tuple[Office, Directory]:
        async with at_hub_of(office, way_out) as hub:
            return await noted(hub, office)

    return asyncio.run(read())


def publish_statement(office: Office, way_out: WayOut, raw: bytes) -> None:
    """Bring a statement that enough have signed into the hub's directory."""

    async def submit() -> None:
        async with at_hub_of(office, way_out) as hub:
            await published(hub, office, raw)

    asyncio.run(submit())


def tell_of_turn(turn: Turn, who: str, voice: Voice) -> None:
    """Say what became of what others had begun, and who comes next."""
    if turn.by_former:
        voice.warn("What was begun here was signed by somebody who has been exchanged since. It was begun anew.")
    elif turn.anew:
        voice.warn("What was begun here says something else, or is too old by now. It was begun anew.")
    if turn.lacking:
        voice.say(f"next:  bring the folder to another {who}, who types the same command within 5 days")
