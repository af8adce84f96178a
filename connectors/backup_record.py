# SPDX-License-Identifier: Apache-2.0
"""When the newest backup was made: a small file in the data directory, for metrics.

It stands outside the store, because a backup is made by another process than the connector, and because a restored
store must not say that it has a backup.
"""

import os
from pathlib import Path
from typing import Final

RECORD_FILE: Final = "newest-backup"
_MAX_SIZE: Final = 32


def note_backup(data_dir: Path, made_at: int) -> None:
    """Note that a backup was made at `made_at` (ms UTC)."""
    path = data_dir / RECORD_FILE
    draft = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
        file.write(f"{made_at}\n")
    draft.replace(path)


def newest_backup(data_dir: Path) -> int | None:
    """Return when the newest backup was made, in ms UTC, or None if that is not known."""
    try:
        with (data_dir / RECORD_FILE).open(encoding="ascii") as file:
            return int(file.read(_MAX_SIZE))
    except (OSError, ValueError):
        return None
