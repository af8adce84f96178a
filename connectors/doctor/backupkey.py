# SPDX-License-Identifier: Apache-2.0
"""To which key a connector's backups are sealed, as far as it is known here (BAK-10)."""

from collections.abc import Iterator
from pathlib import Path

from connectors.backupkey import known_backup_keys
from connectors.installation import Installation
from keys import backupfinding
from protocol.diagnosis import Finding


def examine_backup_key(folder: Path, installation: Installation) -> Iterator[Finding]:
    """Say to which key backups are sealed, once there was one, and whether the newest was refused (BAK-10)."""
    return backupfinding.examine_backup_key(
        folder, lambda: known_backup_keys(installation.keystore), "throughcare key accept-backup-key"
    )
