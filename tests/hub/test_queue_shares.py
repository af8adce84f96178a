# SPDX-License-Identifier: Apache-2.0
"""Of what may wait for the writer one agency gets no more than is left for all others (HTTP-15)."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from hub.config import LimitsSection
from hub.service.allowances import Allowances
from hub.service.backlog import Queue
from hub.store.blobs import BlobKey
from protocol.errors import NotFound, Unavailable
from protocol.ids import BlobId
from protocol.limits import BLOB_CHUNK, HOUR, SECOND
from tests.hub.running import RunningHub, TestClock, eventually
from tests.programme import Programme


def allowances(queue: Queue) -> Allowances:
    return Allowances(LimitsSection(), queue, TestClock(0))


@pytest.mark.parametrize("flooders", [1, 2, 5, 20])
def test_http_15_however_many_flood_the_next_agency_finds_room(flooders: int) -> None:
    shares = allowances(Queue(changes=2_000, bytes=64 << 20))
    with ExitStack() as stack:
        for number in range(20_000):
            try:
                stack.enter_context(shares.place(f"flooder {number % flooders}", 100))
            except Unavailable:
                continue
        for number in range(2_000 // (flooders + 1) // 2):
            stack.enter_context(shares.place("quiet", 100))
            assert number < 2_000
    assert (shares._in_all, shares._weight_in_all, shares._changes, shares._weights) == (0, 0, {}, {})


def test_http_15_one_agency_fills_half_of_the_queue_in_bytes_too() -> None:
    shares = allowances(Queue(changes=2_000, bytes=64 << 20))
    taken = 0
    with ExitStack() as stack:
        with suppress(Unavailable):
            while True:
                stack.enter_context(shares.place("flooder", 1 << 20))
                taken += 1
        assert taken == 32
        stack.enter_context(shares.place("quiet", 1 << 20))


async def test_http_15_a_flood_from_one_agency_does_not_hold_up_another_on_a_slow_store(
    tmp_path: Path, programme: Programme, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hostile and a quiet agency share a hub whose disk is slow; the hostile one fills whatever it is let fill."""
    prison, probation, social = programme.members.values()
    hostile, quiet = programme.sender("gora-prison"), programme.sender("reka-probation")
    flood = [hostile.seal(social.desk).data for _ in range(90)]
    async with RunningHub(tmp_path, programme, more=["[store]", "queue_length = 64"]) as hub:
        _slow_down(hub, monkeypatch, 0.02)
        waits = list[int | None]()

        async def flooding(data: bytes) -> None:
            while True:
                try:
                    await hub.hub.submissions.submit(prison.device_id, data)
                except Unavailable as error:
                    waits.append(error.retry_after)
                    await asyncio.sleep(0.01)
                else:
                    return

        floods = asyncio.gather(*(flooding(data) for data in flood))
        await eventually(lambda: bool(waits))
        # Each at the first attempt, while the other is sent away again and again.
        for _ in range(3):
            await hub.device(probation).submit(quiet.seal(social.desk).data)
        await floods
        assert all(waits)
        assert len(await hub.device(social).items()) == 3 + len(flood)


async def test_http_15_attachments_in_the_database_leave_room_for_other_agencies_messages(
    tmp_path: Path, programme: Programme, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where attachments are rows, their chunks of 1 MiB wait for the writer like everything else."""
    prison, probation, social = programme.members.values()
    async with RunningHub(tmp_path, programme, more=["[store]", "queue_megabytes = 4"]) as hub:
        rows = hub.hub._rows(hub.hub.submissions._parts.allowances)
        go_on, write = asyncio.Event(), hub.hub.store.write

        async def stuck(*arguments: Any) -> Any:
            await go_on.wait()
            return await write(*arguments)

        monkeypatch.setattr(hub.hub.store, "write", stuck)
        keys = [BlobKey(prison.device_id, BlobId(bytes([number] * 16))) for number in range(10)]
        flood = [asyncio.create_task(rows.write(key, 0, bytes(BLOB_CHUNK))) for key in keys]
        await eventually(lambda: sum(task.done() for task in flood) >= 5)
        data = programme.sender("reka-probation").seal(social.desk).data
        message = asyncio.ensure_future(hub.hub.submissions.submit(probation.device_id, data))
        await eventually(lambda: message.done() or hub.hub.writer.waiting == 2)
        go_on.set()
        assert await message
        outcomes = await asyncio.gather(*flood, return_exceptions=True)
        # None of them was announced; what matters is how many came as far as the writer.
        assert [type(one) for one in outcomes].count(NotFound) == 2


def _slow_down(hub: RunningHub, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    write: Callable[..., Any] = hub.hub.store.write

    async def slowly(*arguments: Any) -> Any:
        await asyncio.sleep(seconds)
        return await write(*arguments)

    monkeypatch.setattr(hub.hub.store, "write", slowly)


async def test_a_full_queue_sends_everybody_away_for_some_seconds_and_loses_nothing(
    tmp_path: Path, programme: Programme, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise 5 and backpressure: what is answered is stored, what is not is told when to come again."""
    prison, probation, _ = programme.members.values()
    sender = programme.sender("gora-prison")
    sealed = [sender.seal(probation.desk).data for _ in range(80)]
    async with RunningHub(tmp_path, programme, more=["[store]", "queue_length = 64"]) as hub:
        _slow_down(hub, monkeypatch, 0.05)
        accepted, waits = 0, set[int | None]()
        while sealed:
            results = await asyncio.gather(
                *(hub.hub.submissions.submit(prison.device_id, data) for data in sealed), return_exceptions=True
            )
            accepted += sum(isinstance(result, bytes) for result in results)
            waits |= {result.retry_after for result in results if isinstance(result, Unavailable)}
            sealed = [data for data, result in zip(sealed, results, strict=True) if not isinstance(result, bytes)]
            hub.clock.advance(SECOND)
        assert waits
        assert all(wait in (1, 2, 3) for wait in waits)
        assert accepted == len(await hub.device(probation).items()) == 80
        assert hub.clock.now < programme.now + HOUR
