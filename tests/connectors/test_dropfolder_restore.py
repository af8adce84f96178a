# SPDX-License-Identifier: Apache-2.0
"""The drop folder outlives the machine: what the new one gives out takes no name of what the lost one gave."""

from pathlib import Path

from connectors.logs import Log
from tests.connectors.cases.test_referral import refer, settle
from tests.connectors.conftest import World
from tests.connectors.restoring import back_up, new_machine
from tests.connectors.test_dropfolder import Dropped, given


async def test_drp_3_after_a_restore_nothing_that_a_system_has_not_taken_yet_is_overwritten(
    world: World, tmp_path: Path
) -> None:
    """The new machine counts its events on from the backup, so their places are those of other events before."""
    csw, root = world.social_work, tmp_path / "drop"
    old = Dropped(csw, root, Log(csw.logged, json=True))
    await old.folder.prepare()
    backup = back_up(csw, tmp_path / "backup.db")
    await refer(world.prison, csw)
    await settle(world.prison, csw)
    assert await given(old)
    before = {name: (root / "out" / name).read_bytes() for name in old.names(root / "out")}
    async with new_machine(world, csw, tmp_path / "new", backup) as again:
        await world.prison.look()
        await refer(world.prison, again)
        await settle(world.prison, again)
        new = Dropped(again, root, Log(again.logged, json=True))
        await new.folder.prepare()
        told = await given(new)
    after = {name: (root / "out" / name).read_bytes() for name in new.names(root / "out")}
    assert {name: after[name] for name in before} == before
    assert len(after) > len(before)
    assert len({one["event"]["id"] for one in told}) == len(after), "the name of a file is that of one event"
