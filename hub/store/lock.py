# SPDX-License-Identifier: Apache-2.0
"""One hub process per SQLite file: two writers would sign two histories, and old SQLite versions break on them."""

import sys
from pathlib import Path
from typing import BinaryIO

from keys.folderowner import open_made
from protocol.errors import ConfigurationError

if sys.platform == "win32":  # pragma: no cover - run on Windows only
    import msvcrt

    def _lock(file: BinaryIO) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class ProcessLock:
    """A lock on a file, held until `release`, and by the system until the process ends."""

    def __init__(self, path: Path) -> None:
        """Take the lock; raises ConfigurationError when another process has it."""
        self._file = open(path, "a+b", opener=lambda _, flags: open_made(path, flags))  # noqa: SIM115 - held open
        try:
            _lock(self._file)
        except OSError:
            self._file.close()
            raise ConfigurationError(
                "Another hub process uses this data directory. Stop it first, or give this one its own."
            ) from None

    def release(self) -> None:
        """Let the lock go."""
        self._file.close()
