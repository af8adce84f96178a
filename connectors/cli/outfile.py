# SPDX-License-Identifier: Apache-2.0
"""Files that somebody asks a command to write: for that user only, and whether they can be written is known before.

What lies there already is somebody's, so it stays unless `--replace` is said; a link that lies there is never followed.
"""

import os
from pathlib import Path

import click

from connectors.cli.failures import then
from keys.privatefile import write_new_private, write_private
from protocol.errors import Conflict, InvalidInput, KeystoreError

REPLACE = click.option("--replace", is_flag=True, help="Write it in place of the file that lies there already.")


def must_be_writable(path: Path, *, replace: bool = False) -> None:
    """Raise `InvalidInput` if no file could be made at `path`, before anything is asked or made for it.

    Raises `Conflict` if something lies there that may not be replaced.
    """
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise _unwritable(path)
    if not replace and os.path.lexists(path):
        raise _there(path)


def write_out(path: Path, data: bytes, *, replace: bool = False) -> None:
    """Make `path` hold exactly `data`, for this user only; `InvalidInput` if it cannot be written.

    Raises `Conflict` if something lies there meanwhile that may not be replaced.
    """
    write = write_private if replace else write_new_private
    try:
        write(path, data)
    except KeystoreError:
        raise _unwritable(path) from None
    except Conflict:
        raise _there(path) from None


def _there(path: Path) -> Conflict:
    return then(
        Conflict(f"There is a file at {path} already. It was left as it is."),
        "the same command with the name of a new file, or with --replace if that one is not needed any more",
    )


def _unwritable(path: Path) -> InvalidInput:
    return InvalidInput(
        f"{path} cannot be written. Name a file in a folder that exists, that you may write to and that has space left."
    )
