# SPDX-License-Identifier: Apache-2.0
"""What is held for strangers is bounded over all their addresses, and nobody is refused the directory (HTTP-21)."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from hub.web import handouts as handouts_module
from hub.web import strangers as strangers_module
from hub.web.handouts import Handouts
from protocol.errors import NotAuthenticated
from protocol.http import hub as api
from protocol.http.calling import Client, signed
from tests.hub.running import RunningHub, eventually
from tests.keys.world import device_of


def test_http_21_however_much_strangers_hold_the_next_one_gets_a_page() -> None:
    handouts, held = Handouts(), 0
    give = list[Callable[[], None]]()
    assert handouts.page(4 << 20) == 4 << 20
    for _ in range(1_000):
        size = handouts.page(4 << 20)
        assert size >= handouts_module.LEAST_PAGE
        if size > handouts_module.LEAST_PAGE:
            give.append(handouts.hold(size))
            held += size
    assert held <= handouts_module.AT_ONCE
    assert handouts.page(1_000) == 1_000
    for one in give:
        one()
    assert handouts.page(4 << 20) == 4 << 20


async def test_http_21_a_directory_is_read_to_its_end_in_small_pages_while_others_take_nothing(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handouts_module, "LEAST_PAGE", 10_000)
    monkeypatch.setattr(strangers_module, "ANSWER_PIECE", 1_000)
    handouts = hub.hub._handlers.handouts
    held, hold = list[int](), handouts.hold

    def holding(size: int) -> Callable[[], None]:
        held.append(size)
        return hold(size)

    monkeypatch.setattr(handouts, "hold", holding)
    give = hold(handouts_module.AT_ONCE)
    found = list[bytes]()
    following: int | None = 0
    while following is not None:
        page = await hub.anonymous.call(
            api.LIST_DIRECTORY_STATEMENTS, api.StatementPage, query={"from_index": following}
        )
        following = page.next_index
        found += page.items
    assert found == hub.programme.statements
    assert len(held) > 3
    assert max(held) < 2 * 10_000
    give()
    page = await hub.anonymous.call(api.LIST_DIRECTORY_STATEMENTS, api.StatementPage, query={"from_index": 0})
    assert len(page.items) == len(found)
    await eventually(lambda: handouts._held == 0)


async def test_http_21_what_strangers_have_looked_up_is_looked_up_once_for_all_of_them(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where processes share a database, each wrong signature might be that of a device enrolled elsewhere just now."""
    unknown = device_of("nobody's")
    nobody = Client(hub.session, hub.url, signed(unknown.key_id, unknown.transport.sign_raw, hub.clock))
    go_on, read, looks = asyncio.Event(), hub.hub.store.read, 0

    async def slowly(work: Callable[[Any], Any]) -> Any:
        nonlocal looks
        looks += 1
        await go_on.wait()
        return await read(work)

    monkeypatch.setattr(hub.hub.store, "read", slowly)
    asked = [asyncio.create_task(nobody.call_bytes(api.READ_MAILBOX)) for _ in range(20)]
    if hub.hub.store.shared:
        await eventually(lambda: hub.hub.directory._asked == 20)
    go_on.set()
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(one) for one in outcomes] == [NotAuthenticated] * 20
    assert looks <= 2
