# SPDX-License-Identifier: Apache-2.0
"""A hub that was restored on a machine whose clock was ahead, and then starts with the right one (BAK-6, AUD-11)."""

from pathlib import Path

import pytest

from hub.config import GUARD_NAME
from hub.service.restorerequest import read_request
from hub.store import restorations
from protocol.errors import Unavailable
from protocol.limits import DAY, SECOND
from tests.hub.backups import back_up, restore_at, resume_at, seal_keys, signed_by_authority
from tests.hub.loss import LATER, Loss
from tests.hub.running import DeviceClient, RunningHub, TestClock
from tests.programme import Programme

pytestmark = pytest.mark.usefixtures("quick_keys")

AHEAD = 40 * DAY
"""What the clock of the new machine was ahead by, when the commands were typed."""


async def serves(hub: RunningHub) -> None:
    """See that nothing of before counts, nor anything that somebody recorded, and that all goes on in a minute."""
    prison, probation, _ = hub.programme.members.values()
    assert await hub.hub.store.read(restorations.newest) >= LATER + AHEAD, "dated by that clock"
    recorded = DeviceClient(hub.session, hub.url, probation.device, lambda: LATER + 59 * SECOND)
    with pytest.raises(Unavailable) as refused:
        await recorded.acknowledge(0)
    assert refused.value.retry_after is not None
    assert refused.value.retry_after <= 60
    hub.clock.advance(59 * SECOND)
    with pytest.raises(Unavailable, match="restored"):
        await recorded.acknowledge(0)
    hub.clock.advance(SECOND)
    for member in (prison, probation):
        await hub.device(member).read()
    sealed = hub.programme.sender("gora-prison").seal(probation.desk, now=hub.clock())
    await hub.device(prison).submit(sealed.data)


async def test_bak_6_a_restore_by_a_clock_that_was_ahead_costs_a_minute_and_no_forty_days(
    tmp_path: Path, programme: Programme
) -> None:
    prison, probation, _ = programme.members.values()
    old, new, file = tmp_path / "old", tmp_path / "new", tmp_path / "hub.backup"
    old.mkdir()
    seal_keys(old)
    async with RunningHub(old, programme) as hub:
        await hub.device(prison).submit(programme.sender("gora-prison").seal(probation.desk).data)
        await back_up(hub, file)
    assert (await restore_at(new, programme, file, old / GUARD_NAME, now=LATER + AHEAD)).certain
    async with RunningHub(new, programme, TestClock(LATER), confirmed=False) as hub:
        await serves(hub)


async def test_bak_6_nor_does_a_new_generation_that_such_a_clock_began(tmp_path: Path, programme: Programme) -> None:
    loss = Loss(tmp_path, programme)
    await loss.happen()
    await restore_at(loss.new, programme, loss.file, now=LATER + AHEAD)
    raw, kept = signed_by_authority(loss.new, programme), read_request(loss.new).directory.size
    await resume_at(loss.new, programme, now=LATER + AHEAD, statement=raw)
    programme.lose(kept, raw)
    async with RunningHub(loss.new, programme, TestClock(LATER), confirmed=False) as hub:
        await serves(hub)
