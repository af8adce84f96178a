# SPDX-License-Identifier: Apache-2.0
"""What one connection may keep in work and in the air, and what happens to who does not read (HTTP-13)."""

import asyncio

import aiohttp
import pytest

from hub.service import mailbox as mailbox_module
from hub.web import connection as connection_module
from hub.web.connection import Budget
from protocol.frames import Acknowledge, Deliver, Refused, Submit
from protocol.ids import KeyId
from tests.hub.running import RunningHub, eventually
from tests.hub.sockets import connected


async def test_a_connector_that_does_not_acknowledge_gets_no_more_than_the_window(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise 7: what is in the air is bounded, however much waits."""
    monkeypatch.setattr(connection_module, "WINDOW", 40_000)
    monkeypatch.setattr(connection_module, "PAGE", 1)
    prison, probation, _ = hub.programme.members.values()
    sender = hub.programme.sender("gora-prison")
    await hub.device(prison).submit_batch([sender.seal(probation.desk).data for _ in range(20)])
    async with connected(hub, probation.device) as socket:
        (connection,) = hub.hub.connections._open
        await eventually(lambda: sum(size for _, size in connection._unacknowledged) >= 40_000)
        sent = len(connection._unacknowledged)
        assert 2 <= sent < 20
        for index in range(sent):
            delivered = await socket.until(Deliver)
            assert isinstance(delivered, Deliver)
            assert [item.index for item in delivered.items] == [index]
        assert len(connection._unacknowledged) == sent
        await socket.send(Acknowledge(sent - 1))
        more = await socket.until(Deliver)
        assert isinstance(more, Deliver)
        assert more.items[0].index == sent


async def test_acknowledging_what_was_never_delivered_ends_the_connection(hub: RunningHub) -> None:
    probation = hub.programme.members["reka-probation"]
    async with connected(hub, probation.device) as socket:
        await socket.send(Acknowledge(5))
        assert await socket.receive() is None
        assert socket.closed == (aiohttp.WSCloseCode.POLICY_VIOLATION, "invalid-input")


async def test_connections_of_one_device_are_bounded(hub: RunningHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox_module, "MAX_WATCHERS", 1)
    probation = hub.programme.members["reka-probation"]
    async with connected(hub, probation.device), connected(hub, probation.device) as second:
        assert await second.receive() is None
        assert second.closed is not None
        assert second.closed[0] == aiohttp.WSCloseCode.TRY_AGAIN_LATER


async def test_what_is_worked_on_at_once_is_bounded_in_bytes() -> None:
    budget = Budget(3, 10)
    await budget.take(6)
    second = asyncio.create_task(budget.take(6))
    await asyncio.sleep(0)
    assert not second.done()
    budget.give(6)
    await second
    budget.give(6)
    # A single larger piece may pass alone.
    await budget.take(100)


async def test_what_is_worked_on_at_once_is_bounded_in_number() -> None:
    budget = Budget(2, 1_000)
    await budget.take(1)
    await budget.take(1)
    third = asyncio.create_task(budget.take(1))
    await asyncio.sleep(0)
    assert not third.done()
    budget.give(1)
    await third


async def test_http_13_who_reads_no_answers_cannot_go_on_submitting(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device floods its connection with tiny submissions, whose refusals are larger than they are."""
    monkeypatch.setattr(connection_module, "AT_WORK", 8)
    stuck = asyncio.Event()

    async def nothing_goes_out(_: connection_module.Connection) -> None:
        await stuck.wait()

    most = 0
    submit = hub.hub.submissions.submit

    def counted(device_id: KeyId, data: bytes) -> "asyncio.Future[bytes]":
        nonlocal most
        most += 1
        return submit(device_id, data)

    monkeypatch.setattr(connection_module.Connection, "_send", nothing_goes_out)
    monkeypatch.setattr(hub.hub.submissions, "submit", counted)
    prison = hub.programme.members["gora-prison"]
    async with connected(hub, prison.device) as socket:
        for ref in range(200):
            await socket.send(Submit(ref, b""))
        await eventually(lambda: most >= 8)
        # The frames that come behind are parsed no more; a round trip over HTTP gives them the time they would need.
        for _ in range(20):
            await hub.device(prison).read()
        assert most == 8
        stuck.set()


async def test_http_13_what_a_connection_has_in_work_is_bounded_in_bytes(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer than the number allows, for they are large: three of them, answered or not."""
    monkeypatch.setattr(connection_module, "IN_FLIGHT", 3 * 50_000)
    stuck = asyncio.Event()
    begun = 0
    submit = hub.hub.submissions.submit

    async def nothing_goes_out(_: connection_module.Connection) -> None:
        await stuck.wait()

    def counted(device_id: KeyId, data: bytes) -> "asyncio.Future[bytes]":
        nonlocal begun
        begun += 1
        return submit(device_id, data)

    monkeypatch.setattr(connection_module.Connection, "_send", nothing_goes_out)
    monkeypatch.setattr(hub.hub.submissions, "submit", counted)
    prison = hub.programme.members["gora-prison"]
    async with connected(hub, prison.device) as socket:
        for ref in range(40):
            await socket.send(Submit(ref, bytes(50_000)))
        await eventually(lambda: begun >= 3)
        for _ in range(20):
            await hub.device(prison).read()
        assert begun == 3
        stuck.set()


@pytest.mark.parametrize("large", [1, 200])  # each frame for itself, and some that are large together
async def test_http_13_who_reads_all_the_time_on_a_slow_line_is_not_cut_off(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch, large: int
) -> None:
    """Eight frames of which each takes a quarter of the time that one has, so that all together take twice as long."""
    monkeypatch.setattr(connection_module, "SEND_S", 1.2)
    monkeypatch.setattr(connection_module, "LARGE", large)
    send = aiohttp.web.WebSocketResponse.send_bytes
    sent = 0

    async def slowly(self: aiohttp.web.WebSocketResponse, data: bytes, compress: int | None = None) -> None:
        nonlocal sent
        sent += 1
        await asyncio.sleep(0.3)
        await send(self, data, compress)

    prison = hub.programme.members["gora-prison"]
    async with connected(hub, prison.device) as socket:
        monkeypatch.setattr(aiohttp.web.WebSocketResponse, "send_bytes", slowly)
        for ref in range(8):
            await socket.send(Submit(ref, b"poison"))
        answers = [await socket.receive() for _ in range(8)]
        assert all(isinstance(answer, Refused) for answer in answers), socket.closed
        assert sent == 8


async def test_http_13_the_smallest_submission_counts_for_what_it_costs() -> None:
    assert connection_module._charge(Submit(1, b"")) == connection_module.LEAST_CHARGE
    assert connection_module._charge(Submit(1, bytes(5_000))) == 5_000
