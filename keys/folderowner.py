# SPDX-License-Identifier: Apache-2.0
"""What root makes in another user's folder belongs to that user, like everything else there.

A hub or a connector runs as a user of its own, and commands beside it are typed by root: a backup from a timer, a
restore, a renewed certificate. What they left as root's own, mode 0600, the service could not read the next day.
"""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_DESCRIPTORS: Final = "/proc/self/fd"


def open_made(path: Path, flags: int, mode: int = 0o600) -> int:
    """Open `path` as `os.open` does with O_CREAT; whoever owns the folder owns what is made. Return the descriptor."""
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        if flags & os.O_EXCL:
            raise
        # Only what was made just now is given away: what lies there may be a link that the folder's owner has put. Root
        # does not follow it either, to a file that this owner may not write.
        return os.open(path, flags | os.O_CREAT | _no_link(path.parent), mode)
    _hand_over(descriptor, path.parent)
    return descriptor


def open_unnamed(folder: Path) -> tuple[int, int] | None:
    """Open a new file in `folder` that has no name yet, mode 0600, and is gone with the process that was killed.

    Whoever owns the folder owns it; `give_name` makes it stay. Return its descriptor and its folder's, which is found
    once: it may be named by a link, for it is what somebody typed. None where the system or the disk knows no such
    files.
    """
    if sys.platform != "linux" or not Path(_DESCRIPTORS).is_dir():
        return None
    try:
        above = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        descriptor = os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o600, dir_fd=above)
    except OSError:
        os.close(above)
        return None
    _hand_over(descriptor, above)
    return descriptor, above


def give_name(descriptor: int, folder: int, name: str) -> None:
    """Give the file of `open_unnamed` its name; raises FileExistsError if anything has that name, a link too."""
    os.link(f"{_DESCRIPTORS}/{descriptor}", name, dst_dir_fd=folder)


def make_folder(path: Path, *, parents: bool = False, exist_ok: bool = False) -> None:
    """Make a folder as `Path.mkdir` does, mode 0700; whoever owns the one above owns it."""
    if exist_ok and path.is_dir():
        return
    missing = [path, *(one for one in path.parents if not one.exists())]
    path.mkdir(mode=0o700, parents=parents, exist_ok=exist_ok)
    if os.name == "posix":
        for folder in reversed(missing):
            with _opened(folder) as descriptor:
                _hand_over(descriptor, folder.parent)


def share_folder(path: Path) -> None:
    """Do for a folder that was made just now what `share` does for a file."""
    if os.name == "posix":
        with _opened(path) as descriptor:
            share(descriptor, path.parent)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """Yield a folder's descriptor: what is done by it is done to that folder, and to nothing that took its place."""
    descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def share(descriptor: int, folder: Path) -> None:
    """Let the group of `folder` have what was made there, if that group may write there; else nobody but the owner.

    Nothing changes where the process is not in that group: it cannot give away what it has made.
    """
    if sys.platform == "win32":
        return
    above, own = folder.stat(), os.fstat(descriptor)
    if not above.st_mode & stat.S_IWGRP:
        return
    mode = 0o700 | above.st_mode & 0o2070 if stat.S_ISDIR(own.st_mode) else 0o600 | above.st_mode & 0o060
    with suppress(PermissionError):
        if own.st_gid != above.st_gid:
            os.fchown(descriptor, -1, above.st_gid)
        if stat.S_IMODE(own.st_mode) != mode:
            os.fchmod(descriptor, mode)


def _no_link(folder: Path) -> int:
    if sys.platform == "win32" or os.geteuid() != 0 or folder.stat().st_uid == 0:
        return 0
    return os.O_NOFOLLOW


def _unmapped() -> int:
    """Return the number under which a container's root sees users that are not its own."""
    try:
        return int(Path("/proc/sys/kernel/overflowuid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 65534


def _hand_over(descriptor: int, folder: Path | int) -> None:
    """Give what was made in `folder` to its owner, where root has made it and the owner is another."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return
    owner = os.fstat(folder) if isinstance(folder, int) else folder.stat()
    if owner.st_uid not in (0, _unmapped()):
        # The root of a container may lack the right, or the user; then it stays root's.
        with suppress(OSError):
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
