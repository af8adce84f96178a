# SPDX-License-Identifier: Apache-2.0
"""The token of the local interface: 256 bits in a file that only the installation's owner can read (CON-6)."""

import secrets
from pathlib import Path
from typing import Final

from keys.privatefile import read_private, write_private
from protocol.errors import ConfigurationError

TOKEN_FILE: Final = "api-token"  # noqa: S105 # the name of the file, not what is in it

_MAX_TOKEN: Final = 200
_LEAST_TOKEN: Final = 32


def read_token(path: Path) -> str:
    """Return the token in the file `path`; `ConfigurationError` if it is missing or others can read it."""
    if not path.exists():
        raise ConfigurationError(f"There is no token file {path}. It is made when the connector first starts.")
    token = read_private(path, _MAX_TOKEN, "token file", ConfigurationError).decode("ascii", "replace").strip()
    if len(token) < _LEAST_TOKEN or not token.isascii():
        raise ConfigurationError("The token file is damaged. Delete it and start the connector again.")
    return token


def ensure_token(data_dir: Path) -> str:
    """Return the installation's token; on first use it is made, mode 0600."""
    path = data_dir / TOKEN_FILE
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32).encode() + b"\n")
    return read_token(path)
