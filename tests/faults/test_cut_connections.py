# SPDX-License-Identifier: Apache-2.0
"""Fault 10: the way between a hub and PostgreSQL is cut, slow or dead, at every point of their conversation.

Whoever asked is told to try again with 503, or gets the receipt; never anything else, and never a receipt for what
is not committed. The same bytes again find out whether it was committed (HTTP-5).
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.service import writer
from hub.store import postgres
from protocol.errors import Unavailable
from tests.faults.history import History, guarded_heads, stored_in_postgres, violations
from tests.faults.proxy import COMMIT, COMMITTED, ROLLBACK, CutAt, OnceAfter, Proxy, Way, nothing
from tests.hub.running import RunningHub, eventually, on_postgres
from tests.programme import Programme, Sealed

ORIGIN = "hub.example/audit"


class Behind:
    """A hub behind a proxy, and a client that keeps its history."""

    def __init__(self, hub: RunningHub, proxy: Proxy, history: History, url: str) -> None:
        self.hub = hub
        self.proxy = proxy
        self.history = history
        self._url = url
        self._client = hub.device(hub.programme.members["gora-prison"])
        self._sender = hub.programme.sender("gora-prison")
        self._desk = hub.programme.members["reka-probation"].desk
        self._kept: dict[bytes, Sealed] = {}

    def seal(self) -> Sealed:
        """Seal one more envelope."""
        sealed = self._sender.seal(self._desk)
        self._kept[sealed.envelope_id] = sealed
        return sealed

    async def submit(self, sealed: Sealed) -> bool:
        """Submit it; return whether it has its receipt now, and raise what is neither that nor 503."""
        self.history.send(sealed.envelope_id, sealed.data)
        try:
            receipt = await self._client.submit(sealed.data)
        except Unavailable as error:
            if error.retry_after is None:
                raise
            return False
        self.history.acknowledge(sealed.envelope_id, receipt)
        return True

    async def deliver(self, sealed: Sealed) -> None:
        """Submit it until it has its receipt."""
        for _ in range(5):
            if await self.submit(sealed):
                return
        raise AssertionError("the hub does not find the database again")

    async def stored(self) -> int:
        """Return how many envelopes are committed, asked past the proxy."""
        return len((await stored_in_postgres(self._url)).envelopes)

    async def lose_connections(self) -> None:
        """Leave the hub with no connection to the database, and knowing it."""
        self.proxy.refusing = True
        self.proxy.cut()
        with pytest.raises(Unavailable):
            await self.hub.leaves()
        assert not await self.submit(self.seal())
        self.proxy.refusing = False

    async def settle(self) -> None:
        """Deliver what is not answered yet, and check that nothing is lost, twice or out of order."""
        self.proxy.rule = nothing
        for id_ in self.history.unanswered:
            await self.deliver(self._kept[id_])
        assert self.hub.hub.writer.healthy
        found = violations(
            self.history,
            await stored_in_postgres(self._url),
            guarded_heads(self.hub.folder / "hub.guard", ORIGIN),
            origin=ORIGIN,
            audit_key=self.hub.audit_key,
        )
        assert found == []


@pytest.fixture
async def behind(tmp_path: Path, postgres_url: str, programme: Programme) -> AsyncIterator[Behind]:
    async with Proxy(postgres_url) as proxy:
        folder = tmp_path / "hub"
        folder.mkdir()
        async with RunningHub(folder, programme, more=on_postgres(proxy.url)) as hub:
            with History(tmp_path / "history") as history:
                yield Behind(hub, proxy, history, postgres_url)


async def test_http_5_a_commit_whose_answer_is_lost_is_found_again_by_the_same_bytes(behind: Behind) -> None:
    sealed = behind.seal()
    assert await behind.submit(behind.seal())
    behind.proxy.rule = OnceAfter(sealed.envelope_id, COMMITTED)
    assert not await behind.submit(sealed)
    assert await behind.stored() == 2
    behind.proxy.rule = nothing
    await behind.deliver(sealed)
    assert await behind.stored() == 2
    await behind.settle()


async def test_http_5_a_commit_that_never_arrived_is_made_by_the_same_bytes(behind: Behind) -> None:
    sealed = behind.seal()
    assert await behind.submit(behind.seal())
    behind.proxy.rule = OnceAfter(sealed.envelope_id, COMMIT)
    assert not await behind.submit(sealed)
    assert await behind.stored() == 1
    behind.proxy.rule = nothing
    await behind.deliver(sealed)
    await behind.settle()


async def test_http_5_a_lost_answer_is_found_again_while_others_go_on(behind: Behind) -> None:
    """Twenty at once in one group, whose commit is not answered; the guard notes what it finds with the next one."""
    group = [behind.seal() for _ in range(20)]
    behind.proxy.rule = OnceAfter(group[0].envelope_id, COMMITTED)
    await asyncio.gather(*(behind.submit(sealed) for sealed in group))
    behind.proxy.rule = nothing
    assert behind.history.unanswered
    await asyncio.gather(*(behind.deliver(sealed) for sealed in [*group, *(behind.seal() for _ in range(5))]))
    await behind.settle()


async def test_aud_3_nobody_is_answered_before_the_server_has_committed(behind: Behind) -> None:
    """The server's word is held back: until it is through, the sender hears nothing."""
    await behind.deliver(behind.seal())
    sealed, held = behind.seal(), asyncio.Event()
    committed = OnceAfter(sealed.envelope_id, COMMITTED)

    def hold(way: Way, message: bytes) -> bool:
        if committed(way, message):
            behind.proxy.flowing.clear()
            held.set()
        return False

    behind.proxy.rule = hold
    sending = asyncio.create_task(behind.submit(sealed))
    async with asyncio.timeout(60):
        await held.wait()
    assert await behind.stored() == 2
    await asyncio.sleep(0.1)
    assert not sending.done()
    behind.proxy.flowing.set()
    assert await sending
    await behind.settle()


async def test_http_5_a_new_connection_that_breaks_at_once_stops_nothing(behind: Behind) -> None:
    """The hub looks at the server's settings in a transaction of its own; the end of that is cut off."""
    for lost in (ROLLBACK, b"Z\0\0\0\5T"):
        await behind.lose_connections()
        behind.proxy.rule = OnceAfter(b"", lost)
        before = behind.proxy.cuts
        assert not await behind.submit(behind.seal())
        assert behind.proxy.cuts == before + 1
        behind.proxy.rule = nothing
        await behind.deliver(behind.seal())
    await behind.settle()


async def sweep(behind: Behind, step: int, *, connecting: bool) -> int:
    """Cut at every `step`-th message of a submission until one goes through whole; return how many there are."""
    number = 0
    while True:
        if connecting:
            await behind.lose_connections()
        else:
            for _ in range(2):
                await behind.deliver(behind.seal())
        rule = behind.proxy.rule = CutAt(number)
        sealed = behind.seal()
        accepted = await behind.submit(sealed)
        behind.proxy.rule = nothing
        await behind.deliver(sealed)
        if not rule.done:
            assert accepted
            await behind.settle()
            return number
        number += step


@pytest.mark.parametrize("connecting", [False, True])
async def test_promise_1_a_cut_at_any_message_loses_nothing(behind: Behind, connecting: bool) -> None:
    assert await sweep(behind, 23, connecting=connecting) > 50


@pytest.mark.full
@pytest.mark.parametrize("connecting", [False, True])
async def test_promise_1_a_cut_at_every_message_loses_nothing(behind: Behind, connecting: bool) -> None:
    assert await sweep(behind, 1, connecting=connecting) > 50


async def test_a_server_that_cannot_be_reached_is_waited_for(behind: Behind) -> None:
    sealed = behind.seal()
    for _ in range(3):
        await behind.lose_connections()
        await behind.deliver(behind.seal())
        behind.proxy.cut()
        assert not await behind.submit(sealed)
    await behind.settle()


async def test_a_slow_server_is_slow_and_no_more(behind: Behind) -> None:
    await behind.deliver(behind.seal())
    behind.proxy.delay_s = 0.01
    assert await behind.submit(behind.seal())
    await behind.settle()


@pytest.mark.full
async def test_http_19_answers_that_take_five_seconds_each_are_not_waited_for(behind: Behind) -> None:
    """A submission needs several: it is refused while the caller waits, and is there once, now or later."""
    await behind.deliver(behind.seal())
    behind.proxy.delay_s = 5.0
    assert [await behind.submit(behind.seal()) for _ in range(3)] == [False, False, False]
    behind.proxy.delay_s = 0.0
    await asyncio.sleep(writer.ANSWER_S + postgres.STATEMENT_S)
    await behind.settle()


async def say_nothing(behind: Behind, submissions: int) -> None:
    """Let connections stay open while nothing comes through, and submit meanwhile."""
    behind.proxy.flowing.clear()
    assert await asyncio.gather(*(behind.submit(behind.seal()) for _ in range(submissions))) == [False] * submissions
    # Who comes now is told so at once.
    assert not await behind.submit(behind.seal())


async def test_http_19_a_database_that_says_nothing_counts_as_away(
    behind: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    await behind.deliver(behind.seal())
    monkeypatch.setattr(writer, "ANSWER_S", 0.3)
    await say_nothing(behind, 5)
    monkeypatch.undo()
    behind.proxy.flowing.set()
    await eventually(lambda: not behind.hub.hub.writer.stuck)
    assert "writer-slow" in behind.hub.logged.getvalue()
    await behind.settle()


@pytest.mark.full
async def test_http_19_a_network_that_is_half_open_for_good_is_given_up(behind: Behind) -> None:
    """With the time limits of a real hub, whose caller waits for thirty seconds and gets a word before that."""
    for _ in range(3):
        await behind.deliver(behind.seal())
        await say_nothing(behind, 5)
        # The dead connections are never heard of again; the server takes new ones.
        behind.proxy.cut()
        behind.proxy.flowing.set()
        await eventually(lambda: not behind.hub.hub.writer.stuck)
    await behind.settle()
