# SPDX-License-Identifier: Apache-2.0
"""A dropped file that lies there for weeks after its effect: it is known for as long as it lies there (DRP-2)."""

from pathlib import Path

import pytest

from connectors.store import requests
from protocol.limits import DAY
from tests.connectors.conftest import World
from tests.connectors.stations import api_of
from tests.connectors.test_dropfolder import Dropped, dropped, referral

__all__ = ["dropped"]


async def test_drp_2_a_file_that_could_not_be_put_aside_is_not_done_again_weeks_later(
    dropped: Dropped, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    prison, clock = world.prison, world.hub.clock
    dropped.drop("first.json", referral(world))

    async def upkeep() -> int:
        """Forget what is old, and return how many answers are left."""
        async with prison.parts.store.write() as tx:
            await requests.forget_old(tx, clock())
            (count,) = (await tx.connection.exec_driver_sql("SELECT count(*) FROM request")).one()
            return int(count)

    def fail(*_: object) -> None:
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fail)
        assert await dropped.folder.step() == 1, "the event of the referral, and no file"
        clock.advance(60 * DAY)
        assert await upkeep() == 1
    again = dropped.opened(api_of(dropped.station).by_operation(), out=False)
    assert await again.step() == 1
    async with prison.parts.store.read() as tx:
        (count,) = (await tx.connection.exec_driver_sql("SELECT count(*) FROM thread")).one()
    assert count == 1
    assert dropped.names(dropped.folders.done) == ["first.answer.json", "first.json"]
    assert await upkeep() == 0, "and the answer goes once the file is put aside"
