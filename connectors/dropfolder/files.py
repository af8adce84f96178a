# SPDX-License-Identifier: Apache-2.0
"""The files of a drop folder: each is there whole or not at all, and none is ever deleted or overwritten (DRP-2).

All of it blocks; callers run it in a thread.
"""

import os
import stat
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from keys.folderowner import make_folder, share_folder
from keys.privatefile import sync_folder, write_private

MAX_FILE: Final = 2 << 20
"""Bytes of a file that is taken: what the local interface takes."""
AT_ONCE: Final = 100
"""Files in one look, before the loop looks at other work."""
SUFFIX: Final = ".json"
MAX_STEM: Final = 200
"""Bytes of a file's name that it keeps when it is put aside."""


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
        """Make those that are not there: for their owner, and for the group of the folder above if that may write."""
        for folder in (self.incoming, self.done, self.refused, self.out):
            if not folder.is_dir():
                make_folder(folder, parents=True)
                share_folder(folder)


def waiting(folder: Path, *, last: Collection[str] = ()) -> list[Path]:
    """Return the files to take, the oldest first: plain files that end in .json and are not hidden.

    Those whose names are in `last` come after all others. Whoever cannot rename writes under another name, or a hidden
    one, and renames at the end.
    """
    found = [
        (path.name in last, status.st_mtime_ns, path)
        for path, status in _entries(folder)
        if stat.S_ISREG(status.st_mode)
    ]
    return [path for *_, path in sorted(found)[:AT_ONCE]]


def names(folder: Path) -> set[str]:
    """Return the names of all files that are to be taken, or could be."""
    return {path.name for path, _ in _entries(folder)}


def _entries(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(SUFFIX) and not entry.name.startswith("."):
                with suppress(FileNotFoundError):  # taken away meanwhile
                    yield Path(entry.path), entry.stat(follow_symlinks=False)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A file as it was read: what it holds, None if that is too much or it is no plain file; and which file it was."""

    path: Path
    content: bytes | None = field(repr=False)
    which: tuple[int, ...]


def read(path: Path) -> Dropped:
    """Read a file."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        content = file.read(MAX_FILE + 1) if stat.S_ISREG(status.st_mode) else b""
    fits = stat.S_ISREG(status.st_mode) and len(content) <= MAX_FILE
    return Dropped(path, content if fits else None, _which(status))


def _which(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def put_aside(dropped: Dropped, folder: Path, word: str, note: bytes) -> None:
    """Move a file into `folder` with a note beside it, `NAME.word.json`, which is there first.

    A file of that name that lies there already stays, and this one gets a number. Where another file has meanwhile
    come in its place, that one is still to be taken: it stays, and what was read of this one is written anew.
    """
    path = dropped.path
    target = _free(folder / f"{_short(path.stem)}{SUFFIX}", word)
    if _is_there(dropped):
        write_private(_note(target, word), note, shared=True)
        path.rename(target)
        sync_folder(path.parent)
    elif dropped.content is not None:
        write_private(_note(target, word), note, shared=True)
        write_private(target, dropped.content, shared=True)
    sync_folder(folder)


def _is_there(dropped: Dropped) -> bool:
    try:
        return _which(dropped.path.lstat()) == dropped.which
    except FileNotFoundError:
        return False


def _short(stem: str) -> str:
    """Return what a file is called aside: there must be room for a number, the note's word and its draft's ending."""
    name = os.fsencode(stem)
    return stem if len(name) <= MAX_STEM else name[:MAX_STEM].decode("utf-8", "ignore")


def _note(target: Path, word: str) -> Path:
    return target.with_name(f"{target.stem}.{word}{SUFFIX}")


def _free(wanted: Path, word: str) -> Path:
    target, number = wanted, 1
    while _taken(target) or _is_file_aside(_note(target, word), word):
        number += 1
        target = wanted.with_name(f"{wanted.stem}.{number}{SUFFIX}")
    return target


def _is_file_aside(path: Path, word: str) -> bool:
    """Tell whether a file that was dropped lies there, and no note that a crash left behind: that has none itself."""
    return _taken(path) and _taken(_note(path, word))


def _taken(path: Path) -> bool:
    return os.path.lexists(path)


def give(folder: Path, name: str, content: bytes) -> None:
    """Put a file there, whole at once; one of that name is the same, and is written again."""
    write_private(folder / name, content, shared=True)
