# SPDX-License-Identifier: Apache-2.0
"""A hub that comes back from a backup, its connectors, and a hub that only says that it did."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from keys.signing import sign_head
from protocol.limits import MINUTE
from protocol.receipts import Head
from protocol.tree import CompactRange, leaf_hash
from tests.connectors.lyinghub import HEAD, STATEMENTS, LyingHub, bend_head, bend_info, bend_statements
from tests.connectors.stations import Station, install, open_station
from tests.hub.backups import restore_at, resume_at, seal_keys, signed_by_authority
from tests.hub.running import KEYS, RunningHub, TestClock
from tests.programme import NOW, Programme, make_programme

LATER = NOW + 10 * MINUTE
NAMES = ("gora-prison", "reka-probation", "polje-csw")


class Story:
    """A hub and its three connectors, which outlive it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programme: Programme = make_programme()
        self.clock = TestClock()
        self.file = folder / "hub.backup"
        (folder / "old").mkdir()
        seal_keys(folder / "old")
        self.installations = {
            name: install(folder / name, member, self.programme, "http://localhost:1")
            for name, member in self.programme.members.items()
        }

    def hub(self, name: str) -> RunningHub:
        return RunningHub(self.folder / name, self.programme, self.clock)

    async def stations(self, stack: AsyncExitStack, url: str) -> list[Station]:
        opened = []
        for name in NAMES:
            member = self.programme.members[name]
            context = open_station(self.folder / name, member, self.installations[name], self.clock, hub_url=url)
            opened.append(await stack.enter_async_context(context))
        return opened

    async def restore(self, *witnesses: Path) -> int:
        """Restore the hub in the folder `new`; return how many statements it has lost for now."""
        self.clock.now = LATER
        new = self.folder / "new"
        standing = await restore_at(new, self.programme, self.file, now=LATER, witnesses=witnesses)
        raw = signed_by_authority(new, self.programme)
        await resume_at(new, self.programme, now=LATER, statement=raw)
        return len(self.programme.lose(standing.found.directory.size, raw))

    @asynccontextmanager
    async def lied_to(self) -> AsyncIterator[tuple[Station, LyingHub]]:
        """Give a prison that has seen the whole directory, and what stands between it and the hub from then on."""
        async with self.hub("old") as hub, LyingHub() as liar, AsyncExitStack() as stack:
            await hub.catch_up()
            liar.target = hub.url
            prison, *_ = await self.stations(stack, liar.url)
            await prison.look()
            yield prison, liar


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


async def settle(*stations: Station) -> None:
    """Let everybody look and work until nothing moves any more."""
    for _ in range(4):
        for one in stations:
            await one.look()
            await one.turn()


def shown(story: Story, kept: int, statements: list[bytes], said: list[int]) -> Callable[[LyingHub], None]:
    """Make a hub show generation 1: `kept` statements of the real directory, then others, its heads in order."""
    tree = CompactRange()
    for raw in [*story.programme.statements[:kept], *statements]:
        tree.append(leaf_hash(raw))
    head = Head("hub.example/directory/1", tree.size, tree.root, NOW)

    def lie(liar: LyingHub) -> None:
        liar.bends[HEAD] = bend_head(lambda raw: sign_head(head, KEYS.directory))
        liar.bends[STATEMENTS] = bend_statements(lambda page: statements)
        liar.bends["/v1/hub"] = bend_info(lambda info: info.model_copy(update={"kept_statements": said}))

    return lie
