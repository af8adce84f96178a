# SPDX-License-Identifier: Apache-2.0
"""To which key backups are sealed, as far as it is known, as a doctor says it (BAK-10)."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from keys.backuprecord import backup_refused
from keys.backuptrust import backup_words
from protocol.diagnosis import Finding, fault, fine
from protocol.errors import KeystoreError

CHECK = "backup key"


def examine_backup_key(folder: Path, known: Callable[[], Iterable[bytes]], accept: str) -> Iterator[Finding]:
    """Say to which key backups are sealed, once there was one, and whether the newest was refused.

    `folder` is the data folder, `known` gives the ids of the keys that are right, or raises `KeystoreError`, and
    `accept` is the command by which another is accepted.
    """
    try:
        words = sorted(" ".join(backup_words(one)) for one in known())
    except KeystoreError:
        fix = f"{accept}, with the words read where the key was made."
        yield fault(CHECK, "Which key backups are sealed to cannot be read any more.", fix)
        return
    if backup_refused(folder):
        fix = (
            f"Bring the right backup.pub. If a new key was made on purpose: {accept}, with the words read where it was "
            "made."
        )
        yield fault(CHECK, "A backup was refused: its backup.pub is not the key that is known here.", fix)
    elif words:
        yield fine(CHECK, f"Backups are sealed to the key of the words {', or '.join(words)}.")
