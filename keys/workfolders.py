# SPDX-License-Identifier: Apache-2.0
"""Folders in which something is opened for a moment: gone when that is done, and after a kill gone with the next one.

What is opened there is as good as the database that it was made of: who wrote to whom, or a whole case store. So none
may lie about because a process was killed. A folder in use is locked, by the system, which lets the lock go with the
process; one that nobody holds was left behind.
"""

import os
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from keys.folderowner import make_folder, open_made

_LOCK: Final = ".in-use"
_BEING_MADE_S: Final = 2.0
"""Seconds in which a new folder may have no lock yet."""

if sys.platform == "win32":  # pragma: no cover - run on Windows only
    import msvcrt

    _READING = os.O_RDWR

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    _READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def work_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Yield a new folder in `parent`, mode 0700, that is deleted after the block; `prefix` begins its name.

    First those are deleted that killed processes have left there under the same prefix.
    """
    remove_left(parent, prefix)
    folder = parent / f"{prefix}{secrets.token_hex(8)}"
    make_folder(folder)
    try:
        descriptor = open_made(folder / _LOCK, os.O_RDWR | os.O_EXCL)
        try:
            with suppress(OSError):  # a disk that knows no locks: there none is ever taken for left behind
                _lock(descriptor)
            yield folder
        finally:
            os.close(descriptor)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def left_behind(parent: Path, prefix: str) -> list[Path]:
    """Return the folders in `parent` under `prefix` that nobody works in any more; `[]` if it cannot be looked into."""
    try:
        found = [path for path in parent.iterdir() if path.name.startswith(prefix)]
    except OSError:
        return []
    return sorted(path for path in found if _is_left(path))


def own_left(parent: Path, prefix: str) -> list[Path]:
    """Return those of `left_behind` that are this user's; where all may write, a stranger may make such names too."""
    return [path for path in left_behind(parent, prefix) if _is_own(path)]


def remove_left(parent: Path, prefix: str) -> None:
    """Delete what `left_behind` returns; what this user may not delete stays."""
    for folder in left_behind(parent, prefix):
        shutil.rmtree(folder, ignore_errors=True)


def _is_own(folder: Path) -> bool:
    try:
        return sys.platform == "win32" or folder.lstat().st_uid == os.geteuid()
    except OSError:
        return False


def _is_left(folder: Path) -> bool:
    """Tell whether a folder is one of ours whose process is gone; never of a link, or of what cannot be told."""
    try:
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or time.time() - status.st_mtime < _BEING_MADE_S:
            return False
        descriptor = os.open(folder / _LOCK, _READING)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        _lock(descriptor)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
