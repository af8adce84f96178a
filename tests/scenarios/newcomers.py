# SPDX-License-Identifier: Apache-2.0
"""The commands by which somebody comes in another's place at an authority, as the people of it type them."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from connectors.authority.office import open_office
from connectors.cli.office import at_hub_of
from connectors.enrolment.passphrases import passphrase_in
from connectors.enrolment.visit import DIRECT
from connectors.hub_client import HubClient
from keys.signing import HybridSigner
from tests.scenarios.running import Spoken, Typist
from tests.scenarios.town import Town


@dataclass(frozen=True)
class Newcomer:
    """Somebody with a key of their own."""

    place: str
    key: Path
    public: Path
    secret: Path
    words: str


def newcomer(town: Town, type_: Typist, folder: Path, place: str = "approver-2") -> Newcomer:
    """Make a key, alone in `folder`."""
    folder.mkdir()
    key, secret = folder / f"{place}-new.key", folder / "secret"
    secret.write_text("a newcomer's passphrase\n")
    secret.chmod(0o600)
    fingerprint = open_office(town.authority).facts.root_fingerprint.hex()
    spoken = type_(
        "authority", "new-key", *named(place), "--root-fingerprint", fingerprint, "--out", key, "--passphrase-file",
        secret, "--json",
    )  # fmt: skip
    assert spoken.code == 0, spoken.err
    return Newcomer(place, key, key.with_suffix(".pub"), secret, " ".join(spoken.json["words"]))


def named(place: str) -> tuple[str, str]:
    role, _, number = place.partition("-")
    return "--approver" if role == "approver" else "--root-person", number


def exchanges(town: Town, type_: Typist, person: int, comes: Newcomer) -> Spoken:
    """Have a person of the root type the exchange, or the newcomer to the root (0)."""
    own: tuple[str | Path, ...] = ("--person", str(person), "--passphrase-file", town.passphrase(f"root-{person}"))
    if person == 0:
        own = ("--newcomer", "--key-file", comes.key, "--passphrase-file", comes.secret)
    return type_(
        "authority", "exchange", town.authority, *named(comes.place), "--with", comes.public, "--words", comes.words,
        *own, "--json",
    )  # fmt: skip


def half_exchanged(town: Town, type_: Typist, folder: Path) -> Newcomer:
    """Make a key in `folder` for an approver's place, and have one of the two persons of the root sign."""
    comes = newcomer(town, type_, folder)
    first = exchanges(town, type_, 1, comes)
    assert first.code == 0, first.err
    return comes


def signer_of(town: Town, who: str) -> HybridSigner:
    office, (role, _, number) = open_office(town.authority), who.partition("-")
    open_as = office.approver if role == "approver" else office.root_person
    return open_as(int(number), passphrase_in(town.authority / "passphrases", who))


def exchanged(town: Town, type_: Typist, comes: Newcomer) -> HybridSigner:
    """Have a newcomer take an approver's place; return the key of the one who left."""
    leaver = signer_of(town, comes.place)
    for person in (1, 2):
        spoken = exchanges(town, type_, person, comes)
        assert spoken.code == 0, spoken.err
    moves_in(town, comes)
    return leaver


def moves_in(town: Town, comes: Newcomer) -> None:
    """Put the newcomer's key where the other's lay, as in a trial."""
    shutil.copy(comes.key, open_office(town.authority).key_file(comes.place))
    shutil.copy(comes.secret, town.passphrase(comes.place))


def submits(town: Town, call: Callable[[HubClient], Awaitable[object]]) -> None:
    """Go to the hub past all commands."""

    async def go() -> None:
        async with at_hub_of(open_office(town.authority), DIRECT) as hub:
            await call(hub)

    asyncio.run(go())


def states_past(town: Town, raw: bytes) -> None:
    """Bring a statement to the hub past all commands."""
    submits(town, lambda hub: hub.submit_statement(raw))
