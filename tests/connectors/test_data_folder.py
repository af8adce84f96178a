# SPDX-License-Identifier: Apache-2.0
"""The doctor of a connector names what hinders it in its data folder, also when root asks, whom nothing hinders."""

import os
from pathlib import Path

import pytest

from connectors.store.engine import DATABASE_FILE
from protocol.diagnosis import Condition, Finding
from tests.connectors.conftest import World
from tests.connectors.test_doctor import faults, looked_at, private_stores

__all__ = ["private_stores"]


@pytest.mark.skipif(os.name != "posix", reason="Windows says it by the folder's rights")
async def test_a_data_folder_that_can_only_be_read_is_named_and_the_store_left_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The doctor ended with what the system said, and the advice to ask the doctor."""
    real = os.statvfs

    def only_read(path: Path) -> os.statvfs_result:
        kept = list(real(path))
        kept[8] |= os.ST_RDONLY
        return os.statvfs_result(kept)

    async def must_not(*_: object) -> list[Finding]:
        pytest.fail("the store was opened for writing")

    monkeypatch.setattr(os, "statvfs", only_read)
    monkeypatch.setattr("connectors.doctor.examine_standing", must_not)
    found = await looked_at(world.prison, world.hub.clock)
    assert faults(found) == {"data folder"}
    assert found["directory"].condition is Condition.SKIPPED


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root gives files away")
async def test_a_store_that_root_copied_there_is_named_with_its_chown(world: World) -> None:
    folder = world.prison.folder
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 61_234, 61_234)
    assert "data folder" not in await looked_at(world.prison, world.hub.clock)
    os.chown(folder / DATABASE_FILE, 0, 0)
    found = (await looked_at(world.prison, world.hub.clock))["data folder"]
    assert found.fix == f"chown --reference={folder} {folder / DATABASE_FILE}"
