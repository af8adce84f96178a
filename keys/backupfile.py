# SPDX-License-Identifier: Apache-2.0
r"""Backups sealed to a key that is kept offline: the machine that makes them cannot read them (BAK-1).

    backup = "tc/1 backup\0" || key id(32) || wrap(1,168) || stream
    key id = SHA-256("tc/1 backup key\0" || public X-Wing key(1,216))
    wrap   = HPKE Base of a fresh 32-byte key, info = "tc/1 backup\0" || key id || purpose
    stream = Cobblestone-256 under that key, context = info

The offline key is an X-Wing key like every prekey, its seed in a file under a passphrase. What is given away while
reading is authentic chunk by chunk; that it is complete is known at the end only, so nothing is used before.
"""

import hashlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag

from keys.privatefile import write_private
from keys.sealedfile import CONNECTOR, KdfParams, open_file, seal_file
from keys.xwing import HPKE_SUITE, PUBLIC_SIZE, XWingSecret, public_key
from protocol import labels
from protocol.errors import KeystoreError, UntrustedKey

CHUNK = 1 << 20
"""Bytes that are in memory at a time."""

_KEY_SIZE = 32
_WRAP_SIZE = 1_120 + _KEY_SIZE + 16
_SEALED_FOR = "throughcare backup key"
_CANNOT = "The backup cannot be opened: it was made for another key or of another program, or is damaged."


def make_backup_key(folder: Path, passphrase: bytes, params: KdfParams = CONNECTOR) -> tuple[Path, Path]:
    """Make `backup.key` (under the passphrase, to be kept offline) and `backup.pub` in `folder`; return both paths.

    Raises `KeystoreError` if there are some already: a new key would not open old backups.
    """
    kept, public = folder / "backup.key", folder / "backup.pub"
    if kept.exists() or public.exists():
        raise KeystoreError("There is a backup key in this folder already. Choose another folder.")
    secret = XWingSecret.generate()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    seal_file(kept, _SEALED_FOR, secret.seed, passphrase, params)
    write_private(public, secret.public.hex().encode() + b"\n")
    return kept, public


def open_backup_key(path: Path, passphrase: bytes) -> XWingSecret:
    """Return the offline key; `KeystoreError` for a wrong passphrase or a damaged file."""
    return XWingSecret(open_file(path, _SEALED_FOR, passphrase))


def read_backup_public(path: Path) -> bytes:
    """Return the public key in `backup.pub`; `KeystoreError` if it is none worth sealing to (ID-4)."""
    try:
        raw = bytes.fromhex(path.read_text(encoding="ascii").strip())
        public_key(raw)
    except (OSError, ValueError, UntrustedKey) as error:
        raise KeystoreError("This is no public backup key; name the backup.pub that was made with it.") from error
    return raw


class BackupWriter:
    """Seals a stream of bytes into `target`; without `close` what was written opens for nobody."""

    def __init__(self, target: BinaryIO, public: bytes, purpose: str) -> None:
        """Seal to `public`, for `purpose` only; raises `UntrustedKey`."""
        identity = _identity(public)
        info = _info(identity, purpose)
        key = secrets.token_bytes(_KEY_SIZE)
        self._target = target
        self._encryptor = Cobblestone256Encryptor(key, info)
        target.write(labels.BACKUP + identity + HPKE_SUITE.encrypt(key, public_key(public), info))

    def write(self, data: bytes) -> None:
        """Add `data`."""
        self._target.write(self._encryptor.update(data))

    def close(self) -> None:
        """Finish the stream; `target` stays open."""
        self._target.write(self._encryptor.finalize())


def read_backup(source: BinaryIO, secret: XWingSecret, purpose: str) -> Iterator[bytes]:
    """Yield what was sealed. Use none of it before the last piece has come without an error (BAK-2).

    Raises `KeystoreError` with one text for another key or purpose, damage and truncation.
    """
    identity = _identity(secret.public)
    info = _info(identity, purpose)
    head = labels.BACKUP + identity
    if source.read(len(head)) != head:
        raise KeystoreError(_CANNOT)
    try:
        key = HPKE_SUITE.decrypt(source.read(_WRAP_SIZE), secret.private(), info)
        decryptor = Cobblestone256Decryptor(key, info)
        while piece := source.read(CHUNK):
            yield decryptor.update(piece)
        yield decryptor.finalize()
    except (InvalidTag, ValueError) as error:
        raise KeystoreError(_CANNOT) from error


def _identity(public: bytes) -> bytes:
    if len(public) != PUBLIC_SIZE:
        raise UntrustedKey
    return hashlib.sha256(labels.BACKUP_KEY + public).digest()


def _info(identity: bytes, purpose: str) -> bytes:
    return labels.BACKUP + identity + purpose.encode()
