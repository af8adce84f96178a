# SPDX-License-Identifier: Apache-2.0
"""When the newest backup was made: a small file in the data directory, for metrics.

It stands outside the database, because a restored one must not say that it has a backup.
"""

import json
from pathlib import Path
from typing import Final

from hub.service.signingkeys import SEALED_NAME
from keys.privatefile import write_private

RECORD_NAME: Final = "last-backup.json"
"""`{"made_at": ms UTC, "bytes": …, "audit_size": …}`."""


def note_backup(folder: Path, *, made_at: int, size: int, audit_size: int) -> None:
    """Note a backup of `size` bytes that was made at `made_at` (ms UTC)."""
    said = {"made_at": made_at, "bytes": size, "audit_size": audit_size}
    write_private(folder / RECORD_NAME, json.dumps(said).encode() + b"\n")


def newest_backup(folder: Path) -> int | None:
    """Return when the newest backup was made; before the first one when the signing keys were; ms UTC, or None."""
    try:
        return int(json.loads((folder / RECORD_NAME).read_bytes())["made_at"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    try:
        return (folder / SEALED_NAME).stat().st_mtime_ns // 1_000_000
    except OSError:
        return None
