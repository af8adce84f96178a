# SPDX-License-Identifier: Apache-2.0
"""To which key backups are sealed, as far as it is known here (BAK-10)."""

from collections.abc import Iterator
from pathlib import Path

from connectors.backupkey import backup_words, known_backup_keys
from connectors.installation import Installation
from keys.backuprecord import backup_refused
from protocol.diagnosis import Finding, fault, fine
from protocol.errors import KeystoreError


def examine_backup_key(folder: Path, installation: Installation) -> Iterator[Finding]:
    """Say to which key backups are sealed, once there was one, and whether the newest was refused (BAK-10)."""
    try:
        known = sorted(" ".join(backup_words(one)) for one in known_backup_keys(installation.keystore))
    except KeystoreError:
        fix = "throughcare key accept-backup-key, with the words read where the key was made."
        yield fault("backup key", "Which key backups are sealed to cannot be read any more.", fix)
        return
    if backup_refused(folder):
        fix = (
            "Bring the right backup.pub. If a new key was made on purpose: throughcare key accept-backup-key, with the "
            "words read where it was made."
        )
        yield fault("backup key", "A backup was refused: its backup.pub is not the key that is known here.", fix)
    elif known:
        yield fine("backup key", f"Backups are sealed to the key of the words {', or '.join(known)}.")
