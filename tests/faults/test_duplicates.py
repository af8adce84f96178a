# SPDX-License-Identifier: Apache-2.0
"""Fault 7, promise 2: one envelope submitted over and over is one entry, and its receipt is always the same bytes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from protocol.errors import EnvelopeIdReused
from protocol.frames import Accepted, Refused
from protocol.limits import DAY, SECOND
from tests.faults.history import History, Stored, stored_in_postgres, stored_in_sqlite, violations
from tests.faults.hubs import ORIGIN
from tests.hub.running import KEYS, DeviceClient, RunningHub, TestClock, on_postgres
from tests.programme import Programme


@asynccontextmanager
async def hubs(
    folder: Path, programme: Programme, place: str | None, clock: TestClock
) -> AsyncIterator[list[DeviceClient]]:
    """Give the prison's clients at a hub on SQLite, or at two on one PostgreSQL database."""
    async with AsyncExitStack() as stack:
        clients = list[DeviceClient]()
        for name in ["one", "two"] if place else ["one"]:
            if not (folder / name).exists():
                (folder / name).mkdir()
                if clients:
                    (folder / name / "hub.guard").write_bytes((folder / "one" / "hub.guard").read_bytes())
            more = on_postgres(place) if place else ()
            hub = await stack.enter_async_context(RunningHub(folder / name, programme, clock, more=more))
            clients.append(hub.device(programme.members["gora-prison"]))
        yield clients


async def stored(folder: Path, place: str | None) -> Stored:
    return await stored_in_postgres(place) if place else stored_in_sqlite(folder / "one" / "hub.db")


async def submit_over_and_over(
    folder: Path, programme: Programme, place: str | None, parallel: int, repeats: int
) -> None:
    """Submit one envelope `parallel` times at once, `repeats` times over, then again much later after restarts."""
    clock, sender = TestClock(programme.now), programme.sender("gora-prison")
    desk = programme.members["reka-probation"].desk
    sealed = sender.seal(desk)
    other = sender.seal(desk, payload=b'{"other": 1}', envelope_id=sealed.envelope_id)
    receipts = set[bytes]()
    with History(folder / "history") as history:
        history.send(sealed.envelope_id, sealed.data)

        async def submit(client: DeviceClient) -> None:
            receipt = await client.submit(sealed.data)
            history.acknowledge(sealed.envelope_id, receipt)
            receipts.add(receipt)

        async with hubs(folder, programme, place, clock) as clients:
            for _ in range(repeats):
                await asyncio.gather(*(submit(clients[number % len(clients)]) for number in range(parallel)))
        for later in (SECOND, DAY, 30 * DAY):
            clock.advance(later)
            async with hubs(folder, programme, place, clock) as clients:
                for client in clients:
                    await submit(client)
                    with pytest.raises(EnvelopeIdReused) as refused:
                        await client.submit(other.data)
                    assert refused.value.status == 409
        assert len(receipts) == 1
        found = await stored(folder, place)
        assert len(found.envelopes) == 1
        assert violations(history, found, (), origin=ORIGIN, audit_key=KEYS.audit.public) == []


async def test_http_5_an_envelope_submitted_over_and_over_is_one_entry(
    tmp_path: Path, programme: Programme, place: str | None
) -> None:
    await submit_over_and_over(tmp_path, programme, place, 20, 2)


@pytest.mark.full
async def test_http_5_a_thousand_submissions_of_one_envelope_are_one_entry(
    tmp_path: Path, programme: Programme, place: str | None
) -> None:
    await submit_over_and_over(tmp_path, programme, place, 50, 20)


async def test_http_5_two_envelopes_that_race_for_one_id_are_never_mixed(
    tmp_path: Path, programme: Programme, place: str | None
) -> None:
    """Each of them is submitted many times at once, singly and in one batch; the first keeps the id."""
    clock, sender = TestClock(programme.now), programme.sender("gora-prison")
    desk = programme.members["reka-probation"].desk
    one = sender.seal(desk)
    both = (one.data, sender.seal(desk, payload=b'{"other": 1}', envelope_id=one.envelope_id).data)
    with History(tmp_path / "history") as history:
        history.send(one.envelope_id, one.data)
        winners = set[int]()

        async def submit(client: DeviceClient, place: int) -> None:
            try:
                history.acknowledge(one.envelope_id, await client.submit(both[place]))
            except EnvelopeIdReused:
                return
            winners.add(place)

        async with hubs(tmp_path, programme, place, clock) as clients:
            await asyncio.gather(*(submit(clients[n % len(clients)], n // 2 % 2) for n in range(16)))
            (winner,) = winners
            for client in clients:
                results = await client.submit_batch([both[1 - winner], both[winner], both[winner]])
                assert [type(result) for result in results] == [Refused, Accepted, Accepted]
                for result in results[1:]:
                    assert isinstance(result, Accepted)
                    history.acknowledge(one.envelope_id, result.receipt)
        found = await stored(tmp_path, place)
        assert violations(history, found, (), origin=ORIGIN, audit_key=KEYS.audit.public) == []
