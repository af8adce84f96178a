# SPDX-License-Identifier: Apache-2.0
"""Which processes hold a file of a data folder, for a doctor: asked of the system, so that no lock is touched.

To try a lock would take it for a moment, and a service that starts just then would not.
"""

import os
import re
import sys
from pathlib import Path

_LOCKS = Path("/proc/locks")
_LOCK = re.compile(r"^\d+: (?:POSIX|FLOCK|OFDLCK) +\w+ +\w+ (-?\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) ", re.MULTILINE)
_UNKNOWN = 0
"""How the system calls a process that this one may not see, such as one outside its container."""


def holders_of(path: Path) -> frozenset[int]:
    """Return the ids of the processes that hold a lock on `path`.

    It is empty if there are none, on systems that do not tell (it takes Linux), and for processes out of sight.
    """
    if sys.platform == "win32":
        return frozenset()
    try:
        asked, locks = path.stat(), _LOCKS.read_text(encoding="ascii")
    except (OSError, ValueError):
        return frozenset()
    of_file = os.major(asked.st_dev), os.minor(asked.st_dev), asked.st_ino
    return frozenset(
        int(found[1])
        for found in _LOCK.finditer(locks)
        if (int(found[2], 16), int(found[3], 16), int(found[4])) == of_file and int(found[1]) > _UNKNOWN
    )


def command_of(process: int) -> list[str]:
    """Return the command line of a process; empty if it has ended, or cannot be looked at."""
    try:
        return (Path("/proc") / str(process) / "cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
    except OSError:
        return []
