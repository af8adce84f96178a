# SPDX-License-Identifier: Apache-2.0
"""Backups open with the offline key, for their purpose, whole or not at all."""

import io
from pathlib import Path

import pytest

from keys.backupfile import BackupWriter, read_backup_public
from keys.backupopening import make_backup_key, open_backup_key, read_backup
from keys.sealedfile import SMALL
from keys.xwing import XWingSecret
from protocol.errors import KeystoreError

SECRET = XWingSecret(bytes(range(32)))
PLAIN = bytes(range(256)) * 300


def sealed(purpose: str = "connector") -> bytes:
    target = io.BytesIO()
    writer = BackupWriter(target, SECRET.public, purpose)
    for start in range(0, len(PLAIN), 10_000):
        writer.write(PLAIN[start : start + 10_000])
    writer.close()
    return target.getvalue()


def opened(data: bytes, secret: XWingSecret = SECRET, purpose: str = "connector") -> bytes:
    return b"".join(read_backup(io.BytesIO(data), secret, purpose))


def test_bak_1_a_backup_opens_with_the_offline_key_only_and_for_its_purpose_only() -> None:
    data = sealed()
    assert opened(data) == PLAIN
    assert PLAIN[:64] not in data
    for secret, purpose in ((XWingSecret.generate(), "connector"), (SECRET, "hub")):
        with pytest.raises(KeystoreError, match="cannot be opened"):
            opened(data, secret, purpose)


@pytest.mark.parametrize("place", [0, 20, 44, 600, 1_211, 1_230, 30_000, -1])
def test_bak_2_a_flipped_bit_anywhere_is_one_error(place: int) -> None:
    data = bytearray(sealed())
    data[place] ^= 1
    with pytest.raises(KeystoreError, match="cannot be opened"):
        opened(bytes(data))


@pytest.mark.parametrize("kept", [0, 10, 44, 700, 1_212, 1_300, 40_000, -1])
def test_bak_2_a_backup_that_is_cut_short_or_goes_on_is_the_same_error(kept: int) -> None:
    for data in (sealed()[:kept], sealed() + b"x"):
        with pytest.raises(KeystoreError, match="cannot be opened"):
            opened(data)


def test_bak_2_an_unfinished_backup_opens_for_nobody() -> None:
    target = io.BytesIO()
    BackupWriter(target, SECRET.public, "connector").write(PLAIN)
    with pytest.raises(KeystoreError, match="cannot be opened"):
        opened(target.getvalue())


def test_the_key_pair_is_made_once_and_opens_with_its_passphrase(tmp_path: Path) -> None:
    kept, public = make_backup_key(tmp_path / "offline", b"invented", SMALL)
    secret = open_backup_key(kept, b"invented")
    assert secret.public == read_backup_public(public)
    assert kept.stat().st_mode & 0o777 == 0o600
    with pytest.raises(KeystoreError):
        open_backup_key(kept, b"another")
    with pytest.raises(KeystoreError, match="already"):
        make_backup_key(tmp_path / "offline", b"invented", SMALL)


def test_id_4_what_is_no_public_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "backup.pub"
    with pytest.raises(KeystoreError, match="There is no public backup key"):
        read_backup_public(path)
    for text in ("no hex", "00" * 10, "ff" * 1216):
        path.write_text(text)
        with pytest.raises(KeystoreError, match="no public backup key"):
            read_backup_public(path)
