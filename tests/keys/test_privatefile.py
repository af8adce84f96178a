# SPDX-License-Identifier: Apache-2.0
"""Files with secrets: whole or not at all, and for their owner only."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from keys.privatefile import new_private_file, read_private, remove_private, write_new_private, write_private
from protocol.errors import Conflict, KeystoreError

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no mode bits")


@posix
def test_key_3_a_file_is_written_with_mode_0600(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_private(tmp_path / "key", b"secret")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert read_private(tmp_path / "key", 100) == b"secret"


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o777])
def test_key_3_a_file_that_others_can_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    write_private(path, b"secret")
    path.chmod(mode)
    with pytest.raises(KeystoreError, match="600"):
        read_private(path, 100)


def test_key_3_a_write_that_fails_leaves_the_old_file_and_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key"
    write_private(path, b"old")

    def disk_full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(KeystoreError, match="free space"):
        write_private(path, b"new")
    assert read_private(path, 100) == b"old"
    assert list(tmp_path.iterdir()) == [path]


@posix
def test_key_3_a_new_file_takes_the_place_of_nothing_and_leaves_no_rest_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new"
    before = os.umask(0)
    try:
        write_new_private(path, b"first")
    finally:
        os.umask(before)
    assert (stat.S_IMODE(path.stat().st_mode), path.read_bytes()) == (0o600, b"first")
    with pytest.raises(Conflict):
        write_new_private(path, b"second")
    assert path.read_bytes() == b"first"
    path.unlink()

    def disk_full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(KeystoreError, match="free space"):
        write_new_private(path, b"third")
    assert list(tmp_path.iterdir()) == []


def test_key_3_a_large_new_file_takes_the_place_of_nothing_also_of_what_comes_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "new"
    with pytest.raises(Conflict), new_private_file(path):
        path.write_bytes(b"theirs")
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"theirs", [path])
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Conflict), new_private_file(path):
        pytest.fail("a link lies there")
    path.unlink()
    with pytest.raises(ZeroDivisionError), new_private_file(path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with new_private_file(path) as file:
        file.write(b"ours")
    assert (read_private(path, 100), list(tmp_path.iterdir())) == (b"ours", [path])


def test_a_missing_file_an_oversized_one_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(KeystoreError, match=r"no key file .*nothing"):
        read_private(tmp_path / "nothing", 100)
    write_private(tmp_path / "large", bytes(101))
    with pytest.raises(KeystoreError):
        read_private(tmp_path / "large", 100)
    with pytest.raises(KeystoreError):
        read_private(tmp_path, 100)


def test_a_file_is_removed_and_removing_it_again_is_no_error(tmp_path: Path) -> None:
    write_private(tmp_path / "key", b"secret")
    remove_private(tmp_path / "key")
    remove_private(tmp_path / "key")
    assert not (tmp_path / "key").exists()


def test_a_file_that_cannot_be_deleted_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(KeystoreError, match="deleted"):
        remove_private(tmp_path / "folder")


KILLED = """
import os, signal, sys
from pathlib import Path
from keys.privatefile import new_private_file
with new_private_file(Path(sys.argv[1])) as file:
    file.write(b"content in clear")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Other systems know no files without a name")
def test_bak_9_a_large_new_file_whose_process_is_killed_leaves_nothing(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "new"], check=False)
    assert (ended.returncode, list(tmp_path.iterdir())) == (-signal.SIGKILL, [])


@posix
@pytest.mark.parametrize("named", [False, True])
def test_bak_9_a_large_new_file_is_made_in_a_folder_that_is_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    """As `/backups` on a share often is. All was written, and at the very end there was no backup."""
    if named:
        monkeypatch.setattr("keys.privatefile.open_unnamed", lambda _: None)
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    with new_private_file(link / "new") as file:
        file.write(b"ours")
    assert (real / "new").read_bytes() == b"ours"
    assert stat.S_IMODE((real / "new").stat().st_mode) == 0o600
    with pytest.raises(Conflict), new_private_file(link / "new"):
        pytest.fail("it is there already")
    assert [one.name for one in real.iterdir()] == ["new"]


@pytest.mark.skipif(sys.platform != "linux", reason="Other systems know no files without a name")
def test_key_3_a_link_that_is_turned_meanwhile_puts_a_large_new_file_nowhere_else(tmp_path: Path) -> None:
    """It belongs to whoever owns the folder that it was begun in, and to nobody else's folder."""
    real, other, link = tmp_path / "real", tmp_path / "other", tmp_path / "link"
    real.mkdir()
    other.mkdir()
    link.symlink_to(real)
    with new_private_file(link / "new") as file:
        file.write(b"ours")
        link.unlink()
        link.symlink_to(other)
    assert ([*other.iterdir()], (real / "new").read_bytes()) == ([], b"ours")


def test_key_3_a_large_new_file_takes_the_place_of_nothing_where_every_file_has_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a share (NFS, CIFS)."""
    monkeypatch.setattr("keys.privatefile.open_unnamed", lambda _: None)
    test_key_3_a_large_new_file_takes_the_place_of_nothing_also_of_what_comes_meanwhile(tmp_path)
