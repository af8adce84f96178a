# SPDX-License-Identifier: Apache-2.0
r"""Backups sealed to a key that is kept offline: the machine that makes them cannot read them (BAK-1).

    backup = "tc/1 backup\0" || key id(32) || wrap(1,168) || stream
    key id = SHA-256("tc/1 backup key\0" || public X-Wing key(1,216))
    wrap   = HPKE Base of a fresh 32-byte key, info = "tc/1 backup\0" || key id || purpose
    stream = Cobblestone-256 under that key, context = info

Only sealing is here, for connectors and the hub alike; what opens a backup is `keys.backupopening`.
"""

import hashlib
import secrets
from pathlib import Path
from typing import BinaryIO

from cryptography.cobblestone import Cobblestone256Encryptor

from keys.xwing import HPKE_SUITE, PUBLIC_SIZE, public_key
from protocol import labels
from protocol.errors import KeystoreError, UntrustedKey

CHUNK = 1 << 20
"""Bytes that are in memory at a time."""

KEY_SIZE = 32
WRAP_SIZE = 1_120 + KEY_SIZE + 16


def read_backup_public(path: Path) -> bytes:
    """Return the public key in `backup.pub`; `KeystoreError` if it is none worth sealing to (ID-4)."""
    try:
        raw = bytes.fromhex(path.read_text(encoding="ascii").strip())
        public_key(raw)
    except FileNotFoundError as error:
        raise KeystoreError(f"There is no public backup key {path}. `throughcare backup-key` makes one.") from error
    except (OSError, ValueError, UntrustedKey) as error:
        raise KeystoreError("This is no public backup key; name the backup.pub that was made with it.") from error
    return raw


class BackupWriter:
    """Seals a stream of bytes into `target`; without `close` what was written opens for nobody."""

    def __init__(self, target: BinaryIO, public: bytes, purpose: str) -> None:
        """Seal to `public`, for `purpose` only; raises `UntrustedKey`."""
        identity = backup_identity(public)
        info = backup_info(identity, purpose)
        key = secrets.token_bytes(KEY_SIZE)
        self._target = target
        self._encryptor = Cobblestone256Encryptor(key, info)
        target.write(labels.BACKUP + identity + HPKE_SUITE.encrypt(key, public_key(public), info))

    def write(self, data: bytes) -> None:
        """Add `data`."""
        self._target.write(self._encryptor.update(data))

    def close(self) -> None:
        """Finish the stream; `target` stays open."""
        self._target.write(self._encryptor.finalize())


def backup_identity(public: bytes) -> bytes:
    """Return the 32-byte id of a public backup key; `UntrustedKey` for one of another size."""
    if len(public) != PUBLIC_SIZE:
        raise UntrustedKey
    return hashlib.sha256(labels.BACKUP_KEY + public).digest()


def backup_info(identity: bytes, purpose: str) -> bytes:
    """Return what wrap and stream are bound to."""
    return labels.BACKUP + identity + purpose.encode()
