# SPDX-License-Identifier: Apache-2.0
"""Passphrase files: one line, private to their owner."""

import secrets
from pathlib import Path

from keys.passphrasefile import read_passphrase_file
from keys.privatefile import write_private

_RANDOM_BYTES = 16


def passphrase_path(folder: Path, name: str) -> Path:
    """Return where the passphrase of the key `name` is kept in a folder of passphrases."""
    return folder / f"{name}.passphrase"


def passphrase_in(folder: Path, name: str) -> bytes:
    """Return the passphrase of the key `name`, made now (128 random bits) if there is none.

    Raises `ConfigurationError` if others can read the file (KEY-3).
    """
    path = passphrase_path(folder, name)
    if not path.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, secrets.token_urlsafe(_RANDOM_BYTES).encode() + b"\n")
    return read_passphrase_file(path)
