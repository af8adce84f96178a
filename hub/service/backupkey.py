# SPDX-License-Identifier: Apache-2.0
"""To which key a hub's backups are sealed: always the same, until its operator says that another is right (BAK-10).

It stands in a file of the data folder and is under no key: a backup needs none of the hub, which systemd may have given
to the hub alone. Whoever can write there can read the database, and needs no backup (docs/adr/0013).
"""

import hashlib
from pathlib import Path
from typing import Final

from keys.backuptrust import check_key, check_words
from keys.privatefile import read_private, write_private
from protocol.errors import KeystoreError

KEY_NAME: Final = "backup-key"

_FORMAT: Final = "tc-backup-key-1"
_LONGEST: Final = 200
_ID_SIZE: Final = 32
_CHECKSUM: Final = 16
_ACCEPT: Final = "next: throughcare-hub accept-backup-key --config FILE --public-key backup.pub --words …"


def known_backup_keys(folder: Path) -> frozenset[bytes]:
    """Return the id of the key that backups may be sealed to, none before the first.

    Raises `KeystoreError` if it cannot be read any more: then no key is right before a person has said which.
    """
    path = folder / KEY_NAME
    if not path.exists():
        return frozenset()
    try:
        raw = read_private(path, _LONGEST, "note of the backup key")
    except KeystoreError as error:
        error.add_note(_ACCEPT)
        raise
    try:
        identity = bytes.fromhex(raw.decode("ascii").split()[1])
    except (ValueError, IndexError):
        identity = b""
    if len(identity) != _ID_SIZE or raw != _line(identity):
        damaged = KeystoreError("Which key backups are sealed to cannot be read any more. No backup was made.")
        damaged.add_note(_ACCEPT)
        raise damaged
    return frozenset({identity})


def check_backup_key(folder: Path, public: bytes) -> bool:
    """Return whether `public` is the first key that is used here; raises `UntrustedKey` if it is another (BAK-10)."""
    return check_key(known_backup_keys(folder), public)


def keep_backup_key(folder: Path, identity: bytes) -> None:
    """Let backups be sealed to the key with this id, and to no other."""
    write_private(folder / KEY_NAME, _line(identity))


def keep_opened_key(folder: Path, identity: bytes) -> None:
    """Let backups be sealed to the key that opened the one of a restore, unless the folder knows a key (BAK-10).

    That one stays: its operator has accepted it, perhaps since the other is in strange hands.
    """
    try:
        known = bool(known_backup_keys(folder))
    except KeystoreError:
        known = False
    if not known:
        keep_backup_key(folder, identity)


def accept_backup_key(folder: Path, public: bytes, spoken: str) -> None:
    """Let backups be sealed to `public` and to no other, once a person has read its words where the key was made.

    It also mends what the disk has damaged of this. Raises `UntrustedKey` if these are other words.
    """
    keep_backup_key(folder, check_words(public, spoken))


def _line(identity: bytes) -> bytes:
    said = f"{_FORMAT} {identity.hex()}"
    return f"{said} {hashlib.sha256(said.encode()).hexdigest()[:_CHECKSUM]}\n".encode()
