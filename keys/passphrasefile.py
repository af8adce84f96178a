# SPDX-License-Identifier: Apache-2.0
"""Passphrases as they stand in files: one line, read in one way by every program.

An editor adds a line end, or a blank line; both must mean the same passphrase wherever the file is named.
"""

from pathlib import Path
from typing import Final

from keys.privatefile import read_private
from protocol.errors import ConfigurationError

MAX_PASSPHRASE: Final = 4_096
"""Bytes of a passphrase file at most."""
_LINE_ENDS: Final = b"\r\n"


def read_passphrase_file(path: Path) -> bytes:
    """Return the passphrase in `path`: its only line, without any line ends after it.

    Raises `ConfigurationError` if the file is missing, may be read by others (KEY-3), is empty or has more lines.
    """
    return one_line(read_private(path, MAX_PASSPHRASE, "passphrase file", ConfigurationError), f"The file {path}")


def one_line(raw: bytes, source: str) -> bytes:
    """Return the only line of `raw`; `ConfigurationError` tells of `source` if that is empty or more than one."""
    passphrase = raw.rstrip(_LINE_ENDS)
    if not passphrase:
        raise ConfigurationError(f"{source} holds no passphrase; it must be its first line.")
    if any(end in passphrase for end in _LINE_ENDS):
        raise ConfigurationError(f"{source} has more than one line; a passphrase is one line.")
    return passphrase
