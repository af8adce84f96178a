# SPDX-License-Identifier: Apache-2.0
"""Lists end where there is nothing more, never at a page that holds only what is not shown (CVE-2026-45076)."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from connectors.store import quarantine
from connectors.store.quarantine import Quarantined
from protocol.http import hub as api
from protocol.http.handovers import Direction, HandoverFilter, Page
from protocol.ids import MessageId
from tests.connectors.conftest import World

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")

SEED = 20_261_126
LIMITS = (1, 2, 3, 7, 50)


async def walk(page: Callable[[str | None], Awaitable[tuple[list[MessageId], str | None]]]) -> AsyncIterator[MessageId]:
    """Yield all items, page by page, until there is no cursor."""
    cursor: str | None = None
    for _ in range(100):
        items, cursor = await page(cursor)
        for item in items:
            yield item
        if cursor is None:
            return
    raise AssertionError("the list has no end")


async def test_a_list_of_handovers_shows_every_one_that_matches_whatever_stands_between(world: World) -> None:
    """Whole pages of what the filter hides stand between two that it shows."""
    chance = random.Random(SEED)
    expected: dict[Direction, list[MessageId]] = {Direction.SENT: [], Direction.RECEIVED: []}
    directions = chance.sample([Direction.SENT] * 4 + [Direction.RECEIVED] * 4, 8)
    for direction in directions:
        world.hub.clock.advance(1_000)
        sent = direction is Direction.SENT
        one, other = (world.probation, world.social_work) if sent else (world.prison, world.probation)
        queued = await one.compose(other.desk)
        await one.seal_and_send()
        await world.probation.collect()
        expected[direction].append(queued.id)
    for wanted in (None, *Direction):
        for limit in LIMITS:

            async def page(
                cursor: str | None, wanted: Direction | None = wanted, limit: int = limit
            ) -> tuple[list[MessageId], str | None]:
                query = HandoverFilter(limit=limit, cursor=cursor, direction=wanted)
                found = await world.probation.parts.handovers.list(query)
                assert len(found.items) <= limit
                return [item.id for item in found.items], found.next_cursor

            found = [item async for item in walk(page)]
            right = [*expected[Direction.SENT], *expected[Direction.RECEIVED]] if wanted is None else expected[wanted]
            assert len(found) == len(set(found)), (SEED, wanted, limit)
            assert set(found) == set(right), (SEED, wanted, limit)


async def test_the_quarantine_is_listed_to_its_end(world: World) -> None:
    parts = world.prison.parts
    async with parts.store.write() as tx:
        for number in range(8):
            item = Quarantined(number, number, "malformed-envelope", None, None, None, reported=False)
            await quarantine.add(tx, item, b"%d" % number)
    for limit in LIMITS:
        indexes, cursor = list[int](), None
        for _ in range(20):
            page = await parts.overview.quarantine(Page(limit=limit, cursor=cursor))
            indexes += [item.leaf_index for item in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert indexes == list(range(7, -1, -1))


async def test_a_mailbox_between_what_is_for_others_is_read_to_its_end(world: World) -> None:
    chance = random.Random(SEED)
    programme, hub = world.hub.programme, world.hub
    prison, probation, social = programme.members.values()
    sender = programme.sender("gora-prison")
    wanted = []
    for number in range(12):
        mine = chance.random() < 0.3 or number == 11
        await hub.device(prison).submit(sender.seal(probation.desk if mine else social.desk).data)
        if mine:
            wanted.append(await hub.leaves() - 1)
    for limit in LIMITS:
        cursor, found = 0, list[int]()
        for _ in range(20):
            cursor, items = await hub.device(probation).read(cursor, limit=limit)
            found += [item.index for item in items]
            if not items:
                break
        assert found == wanted, (SEED, limit)


async def test_the_directory_is_listed_to_its_end_in_pages_of_any_size(world: World) -> None:
    for limit in LIMITS:
        statements, following = list[bytes](), 0
        while True:
            query = {"from_index": following, "limit": limit}
            page = await world.hub.anonymous.call(api.LIST_DIRECTORY_STATEMENTS, api.StatementPage, query=query)
            statements += page.items
            if page.next_index is None:
                break
            following = page.next_index
        assert statements[: len(world.hub.programme.statements)] == world.hub.programme.statements
