# SPDX-License-Identifier: Apache-2.0
"""What opens backups: the offline key, made once and kept under a passphrase (BAK-1, BAK-2).

The offline key is an X-Wing key like every prekey, its seed in a file under a passphrase. It opens backups and never
an envelope. Connectors restore with it; of the hub only `hub.backups.restoring` may import this module, which runs
when an operator restores a hub and never in one that serves (docs/adr/0013).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cryptography.cobblestone import Cobblestone256Decryptor
from cryptography.exceptions import InvalidTag

from keys.backupfile import CHUNK, WRAP_SIZE, backup_identity, backup_info
from keys.privatefile import write_private
from keys.sealedfile import CONNECTOR, KdfParams, open_file, seal_file
from keys.xwing import HPKE_SUITE, XWingSecret
from protocol import labels
from protocol.errors import KeystoreError

SEALED_FOR = "throughcare backup key"
"""The purpose of the sealed file of the offline key."""
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
    seal_file(kept, SEALED_FOR, secret.seed, passphrase, params)
    write_private(public, secret.public.hex().encode() + b"\n")
    return kept, public


def open_backup_key(path: Path, passphrase: bytes) -> XWingSecret:
    """Return the offline key; `KeystoreError` for a wrong passphrase or a damaged file."""
    return XWingSecret(open_file(path, SEALED_FOR, passphrase))


def read_backup(source: BinaryIO, secret: XWingSecret, purpose: str) -> Iterator[bytes]:
    """Yield what was sealed. Use none of it before the last piece has come without an error (BAK-2).

    Each piece is authentic by itself; that they are complete is known at the end only.

    Raises `KeystoreError` with one text for another key or purpose, damage and truncation.
    """
    identity = backup_identity(secret.public)
    info = backup_info(identity, purpose)
    head = labels.BACKUP + identity
    if source.read(len(head)) != head:
        raise KeystoreError(_CANNOT)
    try:
        key = HPKE_SUITE.decrypt(source.read(WRAP_SIZE), secret.private(), info)
        decryptor = Cobblestone256Decryptor(key, info)
        while piece := source.read(CHUNK):
            yield decryptor.update(piece)
        yield decryptor.finalize()
    except (InvalidTag, ValueError) as error:
        raise KeystoreError(_CANNOT) from error
