# SPDX-License-Identifier: Apache-2.0
"""What hinders a service in its data folder is named, also when root asks, whom nothing hinders."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from keys.folderfinding import examine_folder

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows has no owners of this kind")


def test_a_folder_in_which_all_is_well_is_not_mentioned(tmp_path: Path) -> None:
    (tmp_path / "store").touch()
    assert examine_folder(tmp_path, [tmp_path / "store", tmp_path / "absent"], "x.data_dir") is None


def test_a_disk_that_can_only_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the system leaves one that fails."""
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY))
    found = examine_folder(tmp_path, [], "x.data_dir")
    assert found is not None
    assert found.found == "The disk of x.data_dir can only be read."


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root gives files away")
def test_a_file_that_root_has_copied_there_is_named_with_what_gives_it_back(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.touch()
    os.chown(tmp_path, 61_234, 61_234)
    found = examine_folder(tmp_path, [store], "x.data_dir")
    assert found is not None
    assert found.found == "The program cannot use store in x.data_dir: another user owns it."
    assert found.fix == f"chown --reference={tmp_path} {store}"
    os.chown(store, 61_234, 61_234)
    assert examine_folder(tmp_path, [store], "x.data_dir") is None


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_in_which_this_user_may_not_write_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    found = examine_folder(tmp_path, [], "x.data_dir")
    tmp_path.chmod(0o700)
    assert found is not None
    assert "may not write" in found.found
