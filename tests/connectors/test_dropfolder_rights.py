# SPDX-License-Identifier: Apache-2.0
"""Whose the files of a drop folder are: the connector's user alone, or also a group that the agency's system is in."""

import os
import stat
from pathlib import Path

import pytest

from connectors.logs import Log
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
