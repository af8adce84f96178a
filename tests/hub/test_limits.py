# SPDX-License-Identifier: Apache-2.0
"""Care for neighbours: what one agency or one address may use, and that nobody else feels it when it uses all of it."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from hub.service import allowances as allowances_module
from hub.service.buckets import Buckets
from hub.web import connection as connection_module
from hub.web import strangers as strangers_module
from protocol.errors import MalformedEnvelope, NotAuthenticated, Revoked, TooManyRequests, Unavailable
from protocol.frames import Accepted, Refused, Submit
from protocol.http import hub as api
from protocol.http.addresses import network_of
from protocol.http.calling import Client, Outgoing, signed
from protocol.ids import CodeId
from protocol.limits import MINUTE, SECOND
from tests.hub.heads import begun, head_of, status_of
from tests.hub.running import RunningHub, TestClock, eventually
from tests.hub.sockets import connected, hello, stranger
from tests.keys.world import device_of
from tests.programme import Programme

SMALL = (
    "[limits]",
    "submissions_per_minute = 60",
    "reads_per_minute = 60",
    "uploads_per_minute = 60",
    "stranger_requests_per_minute = 60",
)


@pytest.fixture
async def small(tmp_path: Path, programme: Programme) -> AsyncIterator[RunningHub]:
    """Serve a hub with small allowances."""
    async with RunningHub(tmp_path, programme, more=SMALL) as running:
        yield running


def wait_of(refused: TooManyRequests) -> int:
    assert refused.retry_after is not None
    return refused.retry_after


def test_a_bucket_gives_a_minutes_worth_at_once_and_fills_as_time_goes_by() -> None:
    clock = TestClock(7)
    buckets = Buckets("things", 60, clock)
    for _ in range(60):
        buckets.check("a")
        buckets.take("a")
    with pytest.raises(TooManyRequests) as caught:
        buckets.take("a")
    assert (caught.value.policy, caught.value.quota, wait_of(caught.value)) == ("things", 60, 1)
    with pytest.raises(TooManyRequests):
        buckets.check("a")
    with pytest.raises(TooManyRequests) as caught:
        buckets.take("a", 20)
    assert wait_of(caught.value) == 20
    buckets.take("b", 60)
    clock.advance(20 * SECOND)
    buckets.take("a", 20)
    buckets.give("a", 3)
    buckets.take("a", 3)
    with pytest.raises(TooManyRequests):
        buckets.take("a")


def test_whatever_is_asked_when_never_more_than_two_quotas_pass_in_a_minute_and_waiting_as_told_helps() -> None:
    """The bound holds for every minute one looks at, and `retry_after` is neither too short nor far too long."""
    chance = random.Random(11)
    for _ in range(200):
        clock, quota = TestClock(chance.randrange(1 << 40)), chance.randrange(60, 5_000)
        buckets, taken = Buckets("things", quota, clock), list[tuple[int, int]]()
        for _ in range(80):
            clock.advance(chance.choice([0, 1, 500, 20_000]))
            amount = chance.randrange(1, quota)
            try:
                buckets.take("a", amount)
            except TooManyRequests as refused:
                clock.advance(min(wait_of(refused), MINUTE // SECOND) * SECOND)
                buckets.take("a", amount)
            taken.append((clock.now, amount))
        for start, _ in taken:
            assert sum(amount for at, amount in taken if start <= at < start + MINUTE) <= 2 * quota


def test_who_has_not_asked_for_a_minute_is_forgotten_and_a_crowd_shares_one_bucket() -> None:
    clock = TestClock(0)
    buckets = Buckets("things", 60, clock, most=100)
    for number in range(200):
        try:
            buckets.take(f"stranger {number}")
        except TooManyRequests:
            assert number >= 160
    assert len(buckets) == 101
    buckets.take("stranger 5")
    clock.advance(2 * MINUTE)
    buckets.take("newcomer", 60)
    assert len(buckets) == 1


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("192.0.2.7:5678", "192.0.2.7"),
        ("[2001:db8:1:2:ffff::1]:443", "2001:db8:1:2::"),
        ("[2001:db8:1:2:ffff::1]", "2001:db8:1:2::"),
        ("[::1]:5", "::"),
        ("[::ffff:192.0.2.7]:5678", "192.0.2.7"),
        ("unknown", ""),
        ("unknown:5678", ""),
        ("192.0.2.7:", ""),
        ("192.0.2.7:567890", ""),
        ("[192.0.2.7", ""),
        ("[]:1", ""),
        ("2001:db8::1]:443", ""),
        ("", ""),
    ],
)
def test_http_14_an_ipv6_caller_is_counted_by_its_network_of_64_bits(text: str, network: str) -> None:
    assert network_of(text) == network


async def test_http_14_over_its_share_an_agency_is_told_when_to_go_on_and_others_notice_nothing(
    small: RunningHub,
) -> None:
    prison, probation, _ = small.programme.members.values()
    sender = small.programme.sender("gora-prison")
    device = small.device(prison)
    results = await device.submit_batch([sender.seal(probation.desk).data for _ in range(62)])
    assert [type(result) for result in results] == [Accepted] * 60 + [Refused] * 2
    late = sender.seal(probation.desk).data
    async with connected(small, prison.device) as socket:
        await socket.send(Submit(1, late))
        refused = await socket.until(Refused)
        assert isinstance(refused, Refused)
        assert (refused.code, refused.retry_after) == (TooManyRequests.code, 1)
        with pytest.raises(TooManyRequests):
            await device.submit(late)
        # Its mailbox is not held up by its own submissions, and nobody else is held up at all.
        await device.read()
        answer = small.programme.sender("reka-probation").seal(prison.desk).data
        await small.device(probation).submit(answer)
        small.clock.advance(SECOND)
        await socket.send(Submit(2, late))
        assert isinstance(await socket.until(Accepted), Accepted)


async def test_http_14_the_answer_429_names_the_share_and_the_time(small: RunningHub) -> None:
    prison = small.programme.members["gora-prison"]
    device = small.device(prison)
    for _ in range(60):
        await device.read()
    url = f"{small.url}/v1/mailbox"
    headers = device.client._authorize(Outgoing("GET", url, None, b""))
    async with small.session.get(url, headers=headers) as response:
        document = await response.json(content_type="application/problem+json")
        assert response.status == 429
        assert (document["code"], document["retryable"]) == ("too-many-requests", True)
        assert response.headers["Retry-After"] == "1"
        assert response.headers["RateLimit-Policy"] == '"reads";q=60;w=60'
        assert response.headers["RateLimit"] == '"reads";r=0;t=1'


async def test_http_14_a_stranger_is_counted_by_address_and_a_good_signature_costs_the_address_nothing(
    small: RunningHub,
) -> None:
    prison = small.programme.members["gora-prison"]
    for _ in range(59):
        await small.device(prison).read()
    unknown = device_of("nobody's")
    nobody = Client(small.session, small.url, signed(unknown.key_id, unknown.transport.sign_raw, small.clock))
    for _ in range(60):
        with pytest.raises(NotAuthenticated):
            await nobody.call_bytes(api.READ_MAILBOX)
    with pytest.raises(TooManyRequests):
        await nobody.call_bytes(api.READ_MAILBOX)
    with pytest.raises(TooManyRequests):
        await small.anonymous.call(api.GET_HUB, api.HubInfo)
    small.clock.advance(9 * SECOND)
    # What makes the hub check signatures counts for ten.
    body = api.CodeRedemption(code_id=CodeId(bytes(16)), request=b"x", mac=bytes(32), proof=bytes(32))
    with pytest.raises(TooManyRequests):
        await small.anonymous.call_bytes(api.REDEEM_CODE, body=body)
    await small.anonymous.call(api.GET_HUB, api.HubInfo)


async def test_http_14_who_goes_on_over_its_agencys_share_is_charged_by_address_too(small: RunningHub) -> None:
    """Else a hostile agency could have signatures checked for ever."""
    device = small.device(small.programme.members["gora-prison"])
    for _ in range(60):
        await device.read()
    for _ in range(60):
        with pytest.raises(TooManyRequests):
            await device.read()
    with pytest.raises(TooManyRequests):
        await small.anonymous.call(api.GET_HUB, api.HubInfo)


async def test_http_14_over_the_share_a_websocket_is_slowed_down(
    small: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "OVER_SHARE_S", 5.0)
    monkeypatch.setattr(connection_module, "AT_WORK", 4)
    prison = small.programme.members["gora-prison"]
    await small.device(prison).submit_batch([b"poison"] * 60)
    async with connected(small, prison.device) as socket:
        for ref in range(20):
            await socket.send(Submit(ref, b"more"))
        for _ in range(4):
            assert isinstance(await socket.until(Refused), Refused)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await socket.until(Refused)


async def test_http_14_little_of_what_an_agency_sends_may_be_refused_and_others_feel_nothing(
    tmp_path: Path, programme: Programme
) -> None:
    """Reading some hundred rows takes a hundredth of a second, whatever is wrong with them."""
    prison, probation, csw = programme.members.values()
    async with RunningHub(tmp_path, programme, more=("[limits]", "megabytes_per_minute = 64")) as hub:
        hostile, taken = hub.device(prison), programme.sender("gora-prison").seal(csw.desk).data
        for _ in range(8):
            await hostile.submit(taken)
            with pytest.raises(MalformedEnvelope):
                await hostile.submit(bytes(1 << 20))
        with pytest.raises(TooManyRequests):
            await hostile.submit(taken)
        await hub.device(probation).submit(programme.sender("reka-probation").seal(csw.desk).data)
        # Its own mailbox is read and acknowledged all the same.
        await hostile.read()
        async with connected(hub, prison.device) as socket:
            await socket.send(Submit(1, taken))
            answer = await socket.until(Refused)
            assert isinstance(answer, Refused)
            assert answer.code == TooManyRequests.code
            hub.clock.advance(SECOND)
            await socket.send(Submit(2, taken))
            assert isinstance(await socket.until(Accepted), Accepted)


async def test_http_14_over_the_share_no_websocket_is_opened(small: RunningHub) -> None:
    prison = small.programme.members["gora-prison"]
    for _ in range(60):
        await small.device(prison).read()
    async with stranger(small) as socket:
        await socket.send(hello(prison.device, socket.challenge))
        assert await socket.receive() is None
        assert socket.closed == (1008, TooManyRequests.code)


async def test_http_14_nothing_of_a_strangers_body_is_waited_for(hub: RunningHub) -> None:
    """All that is signed stands in the head: else strangers could have the hub hold 256 MiB for each address."""
    async with begun(hub, head_of(hub, device_of("nobody's"), bytes(1 << 20))) as (reader, _):
        assert await status_of(reader) == 401


async def test_http_14_nothing_of_a_body_over_the_share_is_waited_for(small: RunningHub) -> None:
    prison = small.programme.members["gora-prison"]
    await small.device(prison).submit_batch([b"poison"] * 60)
    async with begun(small, head_of(small, prison.device, bytes(1 << 20))) as (reader, _):
        assert await status_of(reader) == 429


async def test_http_2_another_body_than_the_signed_one_is_refused(hub: RunningHub) -> None:
    prison = hub.programme.members["gora-prison"]
    async with begun(hub, head_of(hub, prison.device, b"one")) as (reader, writer):
        writer.write(b"two")
        assert await status_of(reader) == 401


async def test_http_2_a_nonce_is_used_up_before_its_body_comes(hub: RunningHub) -> None:
    """Else a recorded head could wait, its body held back, until the nonce is forgotten."""
    prison = hub.programme.members["gora-prison"]
    head = head_of(hub, prison.device, b"one")
    async with begun(hub, head):
        await eventually(lambda: bool(hub.hub.nonces._used))
        async with begun(hub, head) as (reader, _):
            assert await status_of(reader) == 401


async def test_http_12_a_device_that_is_revoked_while_its_body_comes_is_refused(hub: RunningHub) -> None:
    prison, probation, _ = hub.programme.members.values()
    data = hub.programme.sender("gora-prison").seal(probation.desk).data
    async with begun(hub, head_of(hub, prison.device, data)) as (reader, writer):
        await eventually(lambda: bool(hub.hub.submissions._parts.allowances._requests))
        hub.programme.revoke_device(prison)
        await hub.catch_up()
        writer.write(data)
        assert await status_of(reader) == Revoked.status
    assert await hub.leaves() == 0


async def _status(hub: RunningHub, *forwarded: str) -> int:
    headers = [("X-Forwarded-For", one) for one in forwarded]
    async with hub.session.get(f"{hub.url}/v1/hub", headers=headers) as response:
        return response.status


async def test_http_14_behind_a_proxy_the_last_word_of_its_header_counts_and_no_other(
    tmp_path: Path, programme: Programme
) -> None:
    async with RunningHub(tmp_path, programme, more=("behind_proxy = true", *SMALL)) as hub:
        for number in range(60):
            # Whatever the caller itself writes stands before what the proxy appends.
            assert await _status(hub, f"203.0.113.{number}, 192.0.2.1") == 200
        assert await _status(hub, "203.0.113.99, 192.0.2.1") == 429
        assert await _status(hub, "203.0.113.99", "192.0.2.1") == 429
        assert await _status(hub, "203.0.113.99, 192.0.2.1:5678") == 429
        assert await _status(hub, "192.0.2.2") == 200
        # What cannot be read is counted for the proxy itself, all of it together.
        assert [await _status(hub, f"unknown {number}") for number in range(61)] == [200] * 60 + [429]


async def test_http_14_without_a_proxy_no_header_is_believed(small: RunningHub) -> None:
    statuses = [await _status(small, f"192.0.2.{number}") for number in range(61)]
    assert statuses == [200] * 60 + [429]


async def test_http_14_requests_in_work_are_bounded_for_an_address_and_for_an_agency(
    small: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strangers_module, "AT_ONCE", 2)
    monkeypatch.setattr(allowances_module, "AT_ONCE", 3)
    prison, probation, _ = small.programme.members.values()
    device = small.device(prison)
    async with aiohttp.ClientSession() as session:
        sockets = [await session.ws_connect(f"{small.url}/v1/connect") for _ in range(2)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await session.ws_connect(f"{small.url}/v1/connect")
        assert (caught.value.status, caught.value.headers and caught.value.headers["Retry-After"]) == (503, "1")
        for socket in sockets:
            await socket.close()
    await eventually(lambda: not _held(small))
    data = small.programme.sender("gora-prison").seal(probation.desk).data
    async with AsyncExitStack() as stack:
        for number in range(3):
            await stack.enter_async_context(begun(small, head_of(small, prison.device, bytes(number + 1))))
        await eventually(lambda: _places(small)._requests[prison.address] == 3)
        with pytest.raises(Unavailable):
            await device.submit(data)
        await small.device(probation).submit(small.programme.sender("reka-probation").seal(prison.desk).data)
        # Its mailbox is read all the same.
        assert len(await device.items()) == 1
    await eventually(lambda: not _places(small)._requests)
    await device.submit(data)


def _places(hub: RunningHub) -> allowances_module.Allowances:
    return hub.hub.submissions._parts.allowances


def _held(hub: RunningHub) -> dict[str, int]:
    held: dict[str, int] = hub.hub._serving.admit.__self__._held  # type: ignore[attr-defined]
    return held
