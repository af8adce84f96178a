# SPDX-License-Identifier: Apache-2.0
"""One long-running connector for each installation: two would talk over one mailbox.

Other processes (commands, backups) may open the store beside it; what must hold between processes, the
replay cache above all, is held by the store's constraints and not by this lock.
"""

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Final

from keys.folderowner import open_made
from protocol.errors import Conflict

TAKEN: Final = "Another connector runs on this installation. Stop it first."


class InstallationLock:
    """Held while a connector runs. It is SQLite's own file lock, so the system frees it even after kill -9."""

    def __init__(self, path: Path, taken: str = TAKEN) -> None:
        """Name the lock's file, and what is told when another has it; nothing is taken before `acquire`."""
        self._path = path
        self._taken = taken
        self._connection: sqlite3.Connection | None = None

    def acquire(self) -> None:
        """Take the lock, or raise `Conflict` at once if another process has it."""
        with os.fdopen(open_made(self._path, os.O_RDWR), "r+b", buffering=0) as file:
            if sys.platform != "win32":
                # By its descriptor: the name may be a link by now.
                os.fchmod(file.fileno(), 0o600)
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=0)
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            connection.close()
            raise Conflict(self._taken) from error
        self._connection = connection

    def is_held(self) -> bool:
        """Tell whether a process has the lock now; nothing is taken, and no file is made."""
        try:
            with closing(sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True, timeout=0)) as looking:
                looking.execute("SELECT 1 FROM sqlite_master").close()
        except sqlite3.OperationalError:
            return self._path.exists()
        return False

    def release(self) -> None:
        """Give the lock back; that it is not held is no error."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> "InstallationLock":
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
