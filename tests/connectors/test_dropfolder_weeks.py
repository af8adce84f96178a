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


async def answers(dropped: Dropped) -> int:
    """Forget what is old, as upkeep does, and return how many answers are left."""
    await dropped.folder.forget_gone()
    async with dropped.station.parts.store.write() as tx:
        await requests.forget_old(tx, dropped.folder._clock())
        (count,) = (await tx.connection.exec_driver_sql("SELECT count(*) FROM request")).one()
        return int(count)


def fail(*_: object) -> None:
    raise PermissionError


async def test_drp_2_a_file_that_somebody_took_away_keeps_no_answers_for_a_year(
    dropped: Dropped, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its effect was had, it could not be put aside, and then it was gone: all answers since were kept with its own."""
    clock = world.hub.clock
    dropped.drop("first.json", referral(world))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fail)
        await dropped.folder.step()
    path = dropped.folders.incoming / "first.json"
    clock.advance(31 * DAY)
    assert await answers(dropped) == 1, "it lies there"
    kept = path.read_bytes()
    path.unlink()
    assert await answers(dropped) == 0
    # Who puts it there again begins anew, and is known again for as long as it lies there.
    path.write_bytes(kept)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fail)
        await dropped.folder.step()
        clock.advance(8 * DAY)
        assert await answers(dropped) == 1


async def test_drp_2_a_folder_that_is_away_for_a_while_loses_no_answer(
    dropped: Dropped, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share may not be mounted: what lies on it comes again, and is known."""
    clock, incoming = world.hub.clock, dropped.folders.incoming
    dropped.drop("first.json", referral(world))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fail)
        await dropped.folder.step()
    (incoming / "first.json").rename(incoming.parent / "aside")
    clock.advance(20 * DAY)
    assert await answers(dropped) == 1
    clock.advance(20 * DAY)
    incoming.rename(incoming.parent / "away")
    with pytest.raises(FileNotFoundError):
        await answers(dropped)


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
