# SPDX-License-Identifier: Apache-2.0
"""What root makes in another user's folder belongs to that user, like everything else there.

A hub or a connector runs as a user of its own, and commands beside it are typed by root: a backup from a timer, a
restore, a renewed certificate. What they left as root's own, mode 0600, the service could not read the next day.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path


def open_made(path: Path, flags: int, mode: int = 0o600) -> int:
    """Open `path` as `os.open` does with O_CREAT; whoever owns the folder owns what is made. Return the descriptor."""
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        if flags & os.O_EXCL:
            raise
        # Only what was made just now is given away: what lies there may be a link that the folder's owner has put.
        return os.open(path, flags | os.O_CREAT, mode)
    _hand_over(descriptor, path.parent)
    return descriptor


def make_folder(path: Path, *, parents: bool = False, exist_ok: bool = False) -> None:
    """Make a folder as `Path.mkdir` does, mode 0700; whoever owns the one above owns it."""
    if exist_ok and path.is_dir():
        return
    missing = [path, *(one for one in path.parents if not one.exists())]
    path.mkdir(mode=0o700, parents=parents, exist_ok=exist_ok)
    if sys.platform != "win32" and os.geteuid() == 0:
        for folder in reversed(missing):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                _hand_over(descriptor, folder.parent)
            finally:
                os.close(descriptor)


def _hand_over(descriptor: int, folder: Path) -> None:
    """Give what was made in `folder` to its owner, where root has made it and the owner is another."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return
    owner = folder.stat()
    if owner.st_uid != 0:
        # The root of a container may lack the right; then it stays root's.
        with suppress(PermissionError):
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
