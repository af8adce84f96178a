# SPDX-License-Identifier: Apache-2.0
"""How `throughcare-hub` comes by a passphrase: from a file, typed at a terminal, or from standard input."""

import sys
from pathlib import Path

import click

from protocol.errors import ConfigurationError


def passphrase(path: Path | None, asked: str, option: str, *, twice: bool = False) -> bytes:
    """Return the passphrase in `path`; without a path what is typed, or the next line where there is no terminal."""
    from keys.passphrasefile import MAX_PASSPHRASE, one_line, read_passphrase_file

    if path is not None:
        return read_passphrase_file(path)
    if sys.stdin.isatty():
        return str(click.prompt(asked, hide_input=True, err=True, confirmation_prompt=twice)).encode()
    # A hidden question at no terminal gets a warning of Python's own, and what is typed might be shown.
    click.echo(f"{asked}: ", err=True)
    line = sys.stdin.buffer.readline(MAX_PASSPHRASE)
    if not line:
        raise ConfigurationError(
            f"The {asked[0].lower()}{asked[1:]} is needed, and there is neither a terminal to ask at nor a line to "
            f"read. Give {option} FILE."
        )
    return one_line(line, "Standard input")
