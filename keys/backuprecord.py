# SPDX-License-Identifier: Apache-2.0
"""When the newest backup was made, and whether one was refused since: small files in the data directory, for metrics.

It stands outside the database: a backup may be made by another process than the one that serves, and a restored
database must not say that it has a backup.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from keys.privatefile import remove_private, write_private

RECORD_NAME: Final = "newest-backup.json"
"""`{"made_at": ms UTC, "bytes": …}`."""
REFUSED_NAME: Final = "refused-backup.json"
"""`{"refused_at": ms UTC}`: stands while the newest try was refused for its key (BAK-10)."""


def note_refused_backup(folder: Path, *, refused_at: int) -> None:
    """Note that a backup was refused at `refused_at` (ms UTC), since its public key is another than before (BAK-10)."""
    write_private(folder / REFUSED_NAME, json.dumps({"refused_at": refused_at}).encode() + b"\n")


def forget_refused_backup(folder: Path) -> None:
    """Forget it: a backup was made since, or a person has said that the other key is right."""
    remove_private(folder / REFUSED_NAME)


def backup_refused(folder: Path) -> bool:
    """Tell whether the newest try was refused."""
    return (folder / REFUSED_NAME).exists()


def note_backup(folder: Path, *, made_at: int, size: int) -> None:
    """Note a backup of `size` bytes that was made at `made_at` (ms UTC)."""
    forget_refused_backup(folder)
    write_private(folder / RECORD_NAME, json.dumps({"made_at": made_at, "bytes": size}).encode() + b"\n")


def forget_backups(folder: Path) -> None:
    """Note that no backup that was made can be used any more: a new generation has begun (GEN-2)."""
    remove_private(folder / RECORD_NAME)


def newest_backup(folder: Path, *, since: Sequence[str]) -> int | None:
    """Return when the newest backup was made; before the first one, when the first file there is of `since` was.

    In ms UTC; None if there is none of them.
    """
    try:
        return int(json.loads((folder / RECORD_NAME).read_bytes())["made_at"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    for name in since:
        try:
            return (folder / name).stat().st_mtime_ns // 1_000_000
        except OSError:
            continue
    return None
