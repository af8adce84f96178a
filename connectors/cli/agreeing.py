# SPDX-License-Identifier: Apache-2.0
"""A person sees what a signature does, and agrees to it, before the key is asked for (ENR-11)."""

import sys
from collections.abc import Iterable
from typing import Final

import click

from connectors.cli.failures import then
from connectors.cli.voice import Voice
from protocol.errors import Forbidden

YES: Final = click.option("--yes", is_flag=True, help="Do not ask, at a terminal, whether this is to be signed.")


def agree(lines: Iterable[str], typed: str, voice: Voice, *, yes: bool, asks_always: bool = False) -> None:
    """Show `lines`, and at a terminal have `typed` typed, unless `yes`.

    Where there is no terminal whoever runs the command has agreed by the options that name what is signed; with
    `asks_always` that is refused. Raises `Forbidden` if something else is typed; nothing is signed then.
    """
    voice.show("\n".join(lines))
    if yes:
        return
    if not sys.stdin.isatty():
        if asks_always:
            error = Forbidden("Nobody is there to be asked. Nothing was signed.")
            raise then(error, "the same command with --yes, once you are sure")
        return
    answer = click.prompt(f"Type {typed} to sign", default="", show_default=False, err=True)
    if answer.strip() != typed:
        raise then(Forbidden(f"That is not {typed}. Nothing was signed."), "the same command again")
