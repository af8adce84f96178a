# SPDX-License-Identifier: Apache-2.0
"""Where commands get passphrases: a private file, standard input, the terminal; never their own arguments."""

import sys
from pathlib import Path

import click

from connectors.cli.failures import advising, then
from connectors.cli.voice import Voice
from keys.passphrasefile import MAX_PASSPHRASE, one_line, read_passphrase_file
from protocol.errors import ConfigurationError, KeystoreError


def configured(path: Path | None, data_dir: Path) -> Path:
    """Return which file a connector is to read its passphrase from, when `read_passphrase` was given `path`."""
    return data_dir / "passphrase" if path is None or str(path) == "-" else path


def tell_if_missing(path: Path, config: Path, voice: Voice) -> None:
    """Say what is to be done before the first start, where the passphrase was typed and lies in no file yet."""
    if not path.exists():
        voice.say(
            f"The passphrase lies in no file yet. Write it into {path} (chmod 600), or name another file as\n"
            f"connector.passphrase_file in {config}, before the first start."
        )


def read_passphrase(path: Path | None, of_what: str, *, new: bool = False, option: str = "--passphrase-file") -> bytes:
    """Return the passphrase in `path` (`-` is standard input), or ask for it if there is no path.

    A `new` one, of a key that is made or sealed anew with it, is asked for twice, until both are the same (KEY-6).
    `option` is what the command calls `path`. Raises `ConfigurationError` if the file cannot be used, and
    `KeystoreError` if there is nobody to ask.
    """
    asked = f"{'New passphrase' if new else 'Passphrase'} of {of_what}"
    if path is None:
        if not sys.stdin.isatty():
            error = KeystoreError(f"The {asked[0].lower()}{asked[1:]} is needed and there is no terminal to ask at.")
            raise then(error, f"the same command with {option} FILE")
        # What is mistyped here opens nothing ever after.
        return str(click.prompt(asked, hide_input=True, err=True, confirmation_prompt=new)).encode()
    if str(path) == "-":
        return one_line(sys.stdin.buffer.readline(MAX_PASSPHRASE), "Standard input")
    with advising({ConfigurationError: "the same command with the right passphrase file, readable by its owner only"}):
        return read_passphrase_file(path)
