# SPDX-License-Identifier: Apache-2.0
"""What the hub's machine and an agency's machine have in common: a disk that survives, and being switched off.

A machine that is killed leaves its disk as it was at that very moment, in a new folder; what the dying program still
does goes to the old one, and nobody sees it.
"""

import shutil
from pathlib import Path

from protocol.limits import SECOND
from tests.simulation.faults import Faults
from tests.simulation.history import History
from tests.simulation.virtualtime import VirtualLoop

MARK = "planted-phrase-7f3a"
"""Begins every phrase of content; it must be found nowhere at the hub."""
START = 1_800_000_000_000


class Killed(Exception):
    """The machine has been switched off here; nothing that follows has happened."""


class Nature:
    """What all machines share: time, faults, and the history that is being written."""

    def __init__(self, loop: VirtualLoop, faults: Faults) -> None:
        self.loop = loop
        self.faults = faults
        self.history = History(self.now, START)

    def now(self) -> int:
        """Return the true time, ms UTC."""
        return START + int(self.loop.time() * SECOND)


class Disk:
    """The folder of one machine through all its lives."""

    def __init__(self, folder: Path, template: Path) -> None:
        self._root = folder
        self._life = 0
        folder.mkdir()
        self.folder = folder / "0"
        shutil.copytree(template, self.folder)

    def survive(self) -> None:
        """Go on with a copy of the disk as it is now."""
        self._life += 1
        after = self._root / str(self._life)
        # The shared-memory file of SQLite is rebuilt from the write-ahead log, as after a power cut.
        shutil.copytree(self.folder, after, ignore=shutil.ignore_patterns("*-shm"))
        self.folder = after

    def replace(self, name: str) -> Path:
        """Go on with a folder that somebody else will make; return it."""
        self.folder = self._root / name
        return self.folder
