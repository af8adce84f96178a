# SPDX-License-Identifier: Apache-2.0
"""Whose the files of a drop folder are: the connector's user alone, or also a group that the agency's system is in."""

import os
import stat
from pathlib import Path

import pytest

from connectors.doctor import dropped as doctor
from connectors.doctor.dropped import examine_drop
from connectors.dropfolder import files
from connectors.dropfolder.files import Folders
from connectors.dropfolder.settings import DropSection
from connectors.logs import Log
from protocol.diagnosis import Condition, Finding
from protocol.errors import ConfigurationError
from tests.connectors.conftest import World
from tests.connectors.test_dropfolder import Dropped, referral


@pytest.mark.skipif(os.name != "posix", reason="Windows has no mode bits")
@pytest.mark.parametrize("mode", [0o2770, 0o770, 0o750])
async def test_what_lies_in_a_folder_that_a_group_shares_is_for_the_group_and_else_for_nobody(
    world: World, tmp_path: Path, mode: int
) -> None:
    """Under systemd the connector has a user of its own, and the case system has another."""
    folder = tmp_path / "drop"
    folder.mkdir()
    # Root gives files to any group, others to their own.
    group = 61_235 if os.geteuid() == 0 else os.getgroups()[0]
    os.chown(folder, -1, group)
    folder.chmod(mode)
    before = os.umask(0o077)
    try:
        shared = Dropped(world.prison, folder, Log(world.prison.logged, json=True))
        await shared.folder.prepare()
        shared.drop("first.json", referral(world))
        shared.drop("second.json", {"operation": "nothing"})
        await shared.folder.step()
    finally:
        os.umask(before)
    made = [path for path in folder.rglob("*") if "first.json" != path.name != "second.json"]
    assert {path.parent.name for path in made if path.is_file()} == {"out", "done", "refused"}
    rights = {(stat.S_IMODE(path.stat().st_mode), path.is_dir()) for path in made}
    assert rights == ({(mode, True), (0o660, False)} if mode & 0o020 else {(0o700, True), (0o600, False)})
    if mode & 0o020:
        assert {path.stat().st_gid for path in made} == {group}


posix_only = pytest.mark.skipif(os.name != "posix", reason="Windows has no mode bits")
THEIRS = 61_236
"""Another user of the machine."""


class Looked:
    """A drop folder, and the data folder of a connector whose user looks at it, or root for that user."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        self.data_dir.mkdir()
        self.folders = Folders(folder / "drop")
        self.folders.make()
        if os.geteuid() == 0:
            for path in (self.data_dir, self.folders.root, *self.folders.root.iterdir()):
                os.chown(path, 61_234, 61_234)

    def found(self, *, out: bool = True) -> Finding:
        return examine_drop(DropSection(folder=self.folders.root, out=out), self.data_dir)


@pytest.fixture
def looked(tmp_path: Path) -> Looked:
    return Looked(tmp_path)


@posix_only
@pytest.mark.parametrize("name", ["in", "done", "refused", "out"])
def test_drp_2_the_doctor_names_the_folder_in_which_the_connector_may_not_write(looked: Looked, name: str) -> None:
    assert looked.found().condition is Condition.OK
    folder = looked.folders.root / name
    folder.chmod(0o500)
    found = looked.found()
    assert (found.condition, found.found) == (Condition.FAULT, f"The connector may not write in `{name}`.")
    assert f"chmod 2770 {folder}" in (found.fix or "")
    # What is not given out needs no folder.
    assert (looked.found(out=False).condition is Condition.OK) is (name == "out")
    folder.chmod(0o700)
    assert looked.found().condition is Condition.OK


@posix_only
@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root gives a folder to another user")
def test_drp_2_what_root_made_there_by_hand_is_found_though_root_may_write_everywhere(looked: Looked) -> None:
    """Typed as root beside a connector under systemd: root may, and the connector may not."""
    for mode, condition in ((0o755, Condition.FAULT), (0o2770, Condition.OK)):
        os.chown(looked.folders.out, THEIRS, THEIRS)
        looked.folders.out.chmod(mode)
        assert looked.found().condition is condition
    file = looked.folders.incoming / "a.json"
    file.touch()
    os.chown(file, THEIRS, THEIRS)
    for mode, condition in ((0o600, Condition.FAULT), (0o640, Condition.OK)):
        file.chmod(mode)
        found = looked.found()
        assert found.condition is condition
        assert condition is Condition.OK or "umask 027" in (found.fix or "")


def test_drp_2_a_folder_that_is_gone_and_one_that_is_none_are_named(looked: Looked) -> None:
    looked.folders.out.rmdir()
    assert looked.found().found == "`out` is not there."
    looked.folders.out.touch()
    assert looked.found().found == "`out` is no folder."
    looked.folders.out.unlink()
    looked.folders.make()
    assert looked.found().condition is Condition.OK
    looked.folders.root.rename(looked.folders.root.with_name("elsewhere"))
    assert looked.found().found == "The folder is not there."


def test_drp_2_a_full_disk_of_the_folder_is_named(looked: Looked, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is often another disk than that of the data folder."""
    monkeypatch.setattr(doctor, "LEAST_FREE", 1 << 62)
    assert "disk is full" in looked.found().found


async def test_drp_2_a_folder_that_cannot_be_made_names_what_a_unit_has_to_say(world: World, tmp_path: Path) -> None:
    """Without its two lines a unit may neither look into the folder nor write there, and root's doctor may."""
    (tmp_path / "file").touch()
    dropped = Dropped(world.prison, tmp_path / "file", Log(world.prison.logged, json=True))
    with pytest.raises(ConfigurationError, match="ReadWritePaths= and SupplementaryGroups= of the unit"):
        await dropped.folder.prepare()


async def test_drp_2_a_file_that_stays_is_told_once_and_again_when_it_fails_anew(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is looked into every two seconds: one file that the connector may not read filled the journal."""
    dropped = Dropped(world.prison, tmp_path / "drop", Log(world.prison.logged, json=True))
    await dropped.folder.prepare()

    def may_not(_: Path) -> files.Dropped:
        raise PermissionError

    def told() -> int:
        return world.prison.logged.getvalue().count('"part-failed"')

    with monkeypatch.context() as patch:
        patch.setattr(files, "read", may_not)
        dropped.drop("first.json", {"operation": "nothing"})
        for _ in range(3):
            await dropped.folder.step()
        assert told() == 1
        dropped.drop("second.json", {"operation": "nothing"})
        await dropped.folder.step()
        assert told() == 2, "another file is told"
    await dropped.folder.step()
    assert dropped.names(dropped.folders.refused) == [
        f"{name}{end}" for name in ("first", "second") for end in (".json", ".reason.json")
    ]
    with monkeypatch.context() as patch:
        patch.setattr(files, "read", may_not)
        dropped.drop("first.json", {"operation": "nothing"})
        await dropped.folder.step()
    assert told() == 3
