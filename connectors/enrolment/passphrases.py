# SPDX-License-Identifier: Apache-2.0
"""Passphrase files: one line, private to their owner."""

import secrets
from pathlib import Path
from typing import Final

from keys.privatefile import read_private, write_private

MAX_PASSPHRASE: Final = 4_096
_RANDOM_BYTES = 16


def passphrase_path(folder: Path, name: str) -> Path:
    """Return where the passphrase of the key `name` is kept in a folder of passphrases."""
    return folder / f"{name}.passphrase"


def passphrase_in(folder: Path, name: str) -> bytes:
    """Return the passphrase of the key `name`, made now (128 random bits) if there is none.

    Raises `KeystoreError` if others can read the file (KEY-3).
    """
    path = passphrase_path(folder, name)
    if not path.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, secrets.token_urlsafe(_RANDOM_BYTES).encode() + b"\n")
    return without_line_end(read_private(path, MAX_PASSPHRASE))


def without_line_end(raw: bytes) -> bytes:
    """Return a passphrase as it was read from a file or a pipe, without the line end of the last line."""
    return raw.removesuffix(b"\n").removesuffix(b"\r")
