# SPDX-License-Identifier: Apache-2.0
"""A hub that lies about the directory while others work: nothing is sealed or opened by what no head vouches for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from keys.signing import sign_head
from protocol.errors import ClockSkewed, DirectoryInconsistent, HubUnreachable
from protocol.http.handovers import MessageState
from protocol.limits import DAY
from protocol.receipts import Head, parse_head
from tests.connectors.lyinghub import HEAD, LyingHub, bend_head
from tests.connectors.stations import Station, install, open_station
from tests.hub.running import KEYS, RunningHub


@dataclass
class Pair:
    """A prison and a probation office whose hub may lie."""

    lying: LyingHub
    hub: RunningHub
    prison: Station
    probation: Station

    async def grow(self) -> None:
        """Have the genuine directory grow by one agency."""
        self.hub.programme.now = self.hub.clock()
        self.hub.programme.enrol("late-agency", "ngo", {"intake": "ngo"})
        await self.hub.catch_up()


@pytest.fixture
async def pair(tmp_path: Path, hub: RunningHub) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        lying = await stack.enter_async_context(LyingHub())
        lying.target = hub.url
        stations = []
        for name in ("gora-prison", "reka-probation"):
            folder = tmp_path / name
            folder.mkdir()
            member = hub.programme.members[name]
            installation = install(folder, member, hub.programme, lying.url)
            station = await stack.enter_async_context(open_station(folder, member, installation, hub.clock))
            await station.look()
            stations.append(station)
        yield Pair(lying, hub, *stations)


async def test_dir_10_nothing_is_sealed_by_statements_that_no_head_vouches_for(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub feeds a validly signed statement that its log never held, and lets the next page hang."""
    directory = pair.prison.parts.directory
    before = directory.directory.size
    pair.hub.programme.now = pair.hub.clock()
    pair.hub.programme.enrol("ghost-agency", "ngo", {"intake": "ngo"})
    ghosts = pair.hub.programme.statements[before:]
    fed, release = asyncio.Event(), asyncio.Event()

    async def pages(from_index: int) -> list[bytes]:
        if fed.is_set():
            await release.wait()
            return []
        fed.set()
        return list(ghosts)

    async def head() -> bytes:
        size = before + len(ghosts) + 1
        return sign_head(
            Head(f"{pair.hub.programme.domain}/directory", size, bytes(32), pair.hub.clock()), KEYS.directory
        )

    monkeypatch.setattr(pair.prison.parts.client, "directory_statements", pages)
    monkeypatch.setattr(pair.prison.parts.client, "directory_head", head)
    syncing = asyncio.create_task(directory.sync())
    await fed.wait()
    await pair.prison.compose(pair.probation.desk)
    sealing = asyncio.create_task(pair.prison.parts.sealer.step())
    done, _ = await asyncio.wait({sealing}, timeout=0.2)
    assert not done
    release.set()
    with pytest.raises(DirectoryInconsistent):
        await syncing
    with pytest.raises(DirectoryInconsistent):
        await sealing
    assert directory.directory.size == before


async def test_dir_11_a_head_dated_ahead_is_refused_and_leaves_nothing_behind(pair: Pair) -> None:
    def ahead(raw: bytes) -> bytes:
        head = parse_head(raw).head
        return sign_head(Head(head.origin, head.size, head.root, head.at + 3_650 * DAY), KEYS.directory)

    pair.lying.bends[HEAD] = bend_head(ahead)
    with pytest.raises(ClockSkewed):
        await pair.prison.parts.directory.sync()
    pair.lying.bends.clear()
    await pair.prison.parts.directory.sync()
    assert pair.prison.parts.directory.check_sealing() is False


@pytest.mark.parametrize("status", [403, 302, 407, 200, 404])
async def test_con_3_an_odd_answer_about_the_directory_never_costs_a_message(pair: Pair, status: int) -> None:
    """A proxy's page where the directory should be: the item waits at the hub until the directory can be read."""
    await pair.grow()
    await pair.prison.look()
    message_id = await pair.prison.send(pair.probation.desk)
    pair.lying.refuse[HEAD] = status
    with pytest.raises(HubUnreachable):
        await pair.probation.collect()
    assert await pair.probation.quarantined() == []
    pair.lying.refuse.clear()
    await pair.probation.collect()
    await pair.probation.seal_and_send()
    await pair.prison.collect()
    assert (await pair.prison.states(message_id))[pair.probation.desk] is MessageState.OPENED
