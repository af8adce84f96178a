# SPDX-License-Identifier: Apache-2.0
"""Passphrases: from a private file, from standard input, or typed; never from the command line itself."""

import secrets
import sys
from pathlib import Path

import click

from connectors.cli.failures import then
from keys.privatefile import read_private, write_private
from protocol.errors import KeystoreError

_MAX_PASSPHRASE = 4_096


def read_passphrase(path: Path | None, of_what: str) -> bytes:
    """Return the passphrase in `path` (`-` is standard input), or ask for it if there is no path.

    One line end at its end is not part of it. Raises `KeystoreError` if the file can be read by others, or
    if there is nobody to ask.
    """
    if path is None:
        if not sys.stdin.isatty():
            error = KeystoreError(f"The passphrase of {of_what} is needed and there is no terminal to ask at.")
            raise then(error, "the same command with --passphrase-file FILE")
        return str(click.prompt(f"Passphrase of {of_what}", hide_input=True, err=True)).encode()
    raw = sys.stdin.buffer.readline(_MAX_PASSPHRASE) if str(path) == "-" else read_private(path, _MAX_PASSPHRASE)
    return raw.removesuffix(b"\n").removesuffix(b"\r")


def passphrase_in(folder: Path, name: str) -> bytes:
    """Return the passphrase in `folder/NAME.passphrase`, made now (128 random bits) if there is none."""
    path = folder / f"{name}.passphrase"
    if not path.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, secrets.token_urlsafe(16).encode() + b"\n")
    return read_passphrase(path, name)
