# SPDX-License-Identifier: Apache-2.0
"""`throughcare authority new-key`: whoever comes in another's place makes a key, alone, at their own machine."""

from pathlib import Path

import click

from connectors.authority.exchanging import APPROVER, ROOT, place_of
from connectors.authority.newkey import make_key, public_half, words_of
from connectors.authority.office import PERSONS
from connectors.cli.failures import advising, then
from connectors.cli.outfile import must_be_writable, write_out
from connectors.cli.passphrase import read_passphrase
from connectors.cli.voice import Voice, speaks
from protocol.errors import InvalidInput, KeystoreError

_DIGEST = 32


@click.command("new-key")
@click.option("--approver", type=int, help="Whose place it is for: that of approver 1, 2, …")
@click.option("--root-person", type=int, help="Or that of person 1, 2, … of the root.")
@click.option(
    "--root-fingerprint", required=True, help="The programme's, as `throughcare authority show` prints it there."
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write the key: approver-2-new.key; beside it comes approver-2-new.pub, for the others.",
)
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with your own new passphrase (- is standard input); else it is asked for, twice.",
)
@speaks
def new_key(
    approver: int | None,
    root_person: int | None,
    root_fingerprint: str,
    out: Path,
    passphrase_file: Path | None,
    voice: Voice,
) -> None:
    """Make your own key, to take another's place as an approver or a person of the root.

    Do it alone, at a machine that you trust. Nobody else ever sees the key or its passphrase. Typed again for the same
    file it shows the words again.
    """
    place = place_named(approver, root_person)
    fingerprint = _digest(root_fingerprint)
    public = out.with_suffix(".pub")
    if public == out:
        raise then(InvalidInput("The key and its public file need two names."), f"--out {place}-new.key")
    there = out.exists()
    if not there:
        must_be_writable(out)
        must_be_writable(public)
    steps: dict[type[Exception], str] = {
        KeystoreError: "the same command with the name of a new file, or with the passphrase and the place of this key"
    }
    with advising(steps):
        passphrase = read_passphrase(passphrase_file, f"{place}'s new key", new=not there)
        new = public_half(make_key(out, place, fingerprint, passphrase), place, fingerprint)
    # Where it lies already it is this key's, or a stranger's: neither is a loss.
    write_out(public, new.encode(), replace=there)
    words = words_of(new)
    told = {"place": place, "key_file": str(out), "public_file": str(public), "words": list(words)}
    voice.data(
        {**told, "identity": new.identity.key_id.hex()},
        [f"{out} is the key of {place} to come, and {public} is for the others. Its words:", f"    {' '.join(words)}"],
    )
    voice.say(
        "Keep the key and its passphrase apart, and a copy of each. Send or bring the public file to the authority.\n"
        "Each person of the root calls you, or asks you face to face: read them these words, from here and to nobody\n"
        "who has only sent them to you.\n"
        f"next:  throughcare authority exchange DIR --{_option(place)} --with {public.name} --words …   "
        "(typed by each person of the root)"
    )


def place_named(approver: int | None, root_person: int | None) -> str:
    """Return the one place that a command names; `InvalidInput` for none, two, or one that there can never be."""
    if (approver is None) == (root_person is None):
        error = InvalidInput("Say whose place it is.")
        raise then(error, "the same command with --approver NUMBER or --root-person NUMBER")
    place = place_of(APPROVER, approver) if approver is not None else place_of(ROOT, root_person or 0)
    if place not in PERSONS:
        raise then(InvalidInput("There is no such place."), "the same command with a number from 1 to 10")
    return place


def _option(place: str) -> str:
    role, _, number = place.rpartition("-")
    return f"{'approver' if role == APPROVER else 'root-person'} {number}"


def _digest(given: str) -> bytes:
    try:
        digest = bytes.fromhex("".join(given.split()))
    except ValueError:
        digest = b""
    if len(digest) != _DIGEST:
        error = InvalidInput("A root fingerprint has 64 digits from 0 to 9 and a to f.")
        raise then(error, "ask the authority for it: throughcare authority show DIR")
    return digest
