# SPDX-License-Identifier: Apache-2.0
"""Files that somebody asks a command to write: for that user only, and whether they can be written is known before."""

import os
from pathlib import Path

from keys.privatefile import write_private
from protocol.errors import InvalidInput, KeystoreError


def must_be_writable(path: Path) -> None:
    """Raise `InvalidInput` if no file could be made at `path`, before anything is asked or made for it."""
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise _unwritable(path)


def write_out(path: Path, data: bytes) -> None:
    """Make `path` hold exactly `data`, for this user only; `InvalidInput` if it cannot be written."""
    try:
        write_private(path, data)
    except KeystoreError:
        raise _unwritable(path) from None


def _unwritable(path: Path) -> InvalidInput:
    return InvalidInput(
        f"{path} cannot be written. Name a file in a folder that exists, that you may write to and that has space left."
    )
