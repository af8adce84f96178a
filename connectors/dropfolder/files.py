# SPDX-License-Identifier: Apache-2.0
"""The files of a drop folder: each is there whole or not at all, and none is ever deleted or overwritten (DRP-2).

All of it blocks; callers run it in a thread.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from keys.privatefile import sync_folder, write_private

MAX_FILE: Final = 2 << 20
"""Bytes of a file that is taken: what the local interface takes."""
AT_ONCE: Final = 100
"""Files in one look, before the loop looks at other work."""
SUFFIX: Final = ".json"


@dataclass(frozen=True, slots=True)
class Folders:
    """The four folders."""

    root: Path

    @property
    def incoming(self) -> Path:
        """What the agency's system puts there."""
        return self.root / "in"

    @property
    def done(self) -> Path:
        """What was taken, each with its answer."""
        return self.root / "done"

    @property
    def refused(self) -> Path:
        """What was not, each with the reason."""
        return self.root / "refused"

    @property
    def out(self) -> Path:
        """What happened here, for the agency's system to take away."""
        return self.root / "out"

    def make(self) -> None:
        """Make those that are not there, for their owner and group only to enter as the folder above allows."""
        for folder in (self.incoming, self.done, self.refused, self.out):
            folder.mkdir(mode=0o770, parents=True, exist_ok=True)


def waiting(folder: Path) -> list[Path]:
    """Return the files to take, the oldest first: plain files that end in .json and are not hidden.

    Whoever cannot rename writes under another name, or a hidden one, and renames at the end.
    """
    found = [(status.st_mtime_ns, path) for path, status in _entries(folder) if stat.S_ISREG(status.st_mode)]
    return [path for _, path in sorted(found)[:AT_ONCE]]


def _entries(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(SUFFIX) and not entry.name.startswith("."):
                yield Path(entry.path), entry.stat(follow_symlinks=False)


def read(path: Path) -> bytes | None:
    """Return what a file holds; None if it is too large, or no plain file after all."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        content = file.read(MAX_FILE + 1)
    return None if len(content) > MAX_FILE else content


def put_aside(path: Path, folder: Path, word: str, note: bytes) -> Path:
    """Move a file into `folder` with a note beside it, `NAME.word.json`, which is there first; return where it is.

    A file of that name that lies there already stays, and this one gets a number.
    """
    target = _free(folder / path.name, word)
    write_private(target.with_name(f"{target.stem}.{word}{SUFFIX}"), note)
    path.rename(target)
    sync_folder(folder)
    sync_folder(path.parent)
    return target


def _free(wanted: Path, word: str) -> Path:
    target, number = wanted, 1
    while target.exists() or target.is_symlink():
        number += 1
        target = wanted.with_name(f"{wanted.stem}.{number}{SUFFIX}")
    return target


def give(folder: Path, name: str, content: bytes) -> None:
    """Put a file there, whole at once; one of that name is the same, and is written again."""
    write_private(folder / name, content)
