# SPDX-License-Identifier: Apache-2.0
"""What a failing file says of its disk: full, which passes, or broken, after which nothing of it is believed.

Which of the two it is decides between "try again" and the end of the process. A sync that failed is never tried
again: the system may have thrown away what it could not write, and says the next time that all is well.
"""

import errno
import os
import shutil
from pathlib import Path
from typing import Final

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_ROOM = 64 << 10

RESERVE: Final = 512 << 20
"""Bytes of free disk that attachments leave to mail and all else, but no more than a twentieth of the disk (ATT-10)."""

SHARE: Final = 3
"""How many times the room that stays free for attachments those of one agency may take at a connector (ATT-11)."""


def is_full(error: OSError) -> bool:
    """Tell whether `error` says that there is no more room: on the disk, in the quota, or in a file's allowed size."""
    return error.errno in _FULL


def is_short(error: OSError) -> bool:
    """Tell whether `error` says that the process has run out of file descriptors or memory for now."""
    return error.errno in _SHORT


def spares_reserve(folder: Path, size: int) -> bool:
    """Tell whether `size` more bytes of attachments in `folder` leave free what they must leave (ATT-10)."""
    usage = shutil.disk_usage(folder)
    return usage.free - size >= min(RESERVE, usage.total // 20)


def spares_share(folder: Path, size: int, taken: int) -> bool:
    """Tell whether `size` more bytes of whose attachments take `taken` here leave the others theirs (ATT-11).

    One agency may take three times what stays free for attachments: alone a disk to three quarters, and more of it
    the less the others have.
    """
    usage = shutil.disk_usage(folder)
    left = usage.free - size - min(RESERVE, usage.total // 20)
    return taken + size <= SHARE * left


def has_room(folder: Path, size: int) -> bool:
    """Tell whether a file in `folder` that has `size` bytes could grow a little, by trying.

    A database that says only that a write has failed leaves open why.
    """
    probe = folder / ".room"
    try:
        file = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        return not is_full(error)
    try:
        os.lseek(file, size, os.SEEK_SET)
        return os.write(file, bytes(_ROOM)) == _ROOM
    except OSError as error:
        return not is_full(error)
    finally:
        os.close(file)
        probe.unlink(missing_ok=True)
