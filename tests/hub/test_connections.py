# SPDX-License-Identifier: Apache-2.0
"""The websocket: authenticated once, then the same effects as the HTTP operations, each within its bounds."""

from typing import NoReturn

import aiohttp
import pytest

from hub.web import connection as connection_module
from hub.web import connections as connections_module
from protocol.errors import EnvelopeIdReused, Revoked
from protocol.frames import (
    Accepted,
    Acknowledge,
    Deliver,
    Frame,
    Hello,
    Item,
    Refused,
    Submit,
    Welcome,
    encode_frame,
)
from protocol.limits import DAY, HOUR, MAX_FRAME, MAX_SOCKET_ENVELOPE
from tests.hub.running import RunningHub, eventually
from tests.hub.sockets import connected, hello, stranger
from tests.keys.world import device_of
from tests.programme import open_as


async def test_http_9_submissions_over_the_websocket_get_the_same_receipts_as_over_http(hub: RunningHub) -> None:
    prison, probation, _ = hub.programme.members.values()
    sender = hub.programme.sender("gora-prison")
    first, second = sender.seal(probation.desk), sender.seal(probation.desk)
    async with connected(hub, prison.device) as socket:
        await socket.send(Submit(7, first.data))
        accepted = await socket.until(Accepted)
        assert isinstance(accepted, Accepted)
        assert accepted.ref == 7
        assert await hub.device(prison).submit(first.data) == accepted.receipt
        over_http = await hub.device(prison).submit(second.data)
        await socket.send(Submit(8, second.data))
        assert await socket.until(Accepted) == Accepted(8, over_http)
        other = sender.seal(probation.desk, envelope_id=first.envelope_id)
        await socket.send(Submit(9, other.data))
        refused = await socket.until(Refused)
        assert isinstance(refused, Refused)
        assert (refused.ref, refused.code, refused.retry_after) == (9, EnvelopeIdReused.code, None)
    assert await hub.leaves() == 2


async def test_http_9_what_waits_and_what_comes_is_pushed_and_acknowledged(hub: RunningHub) -> None:
    prison, probation, _ = hub.programme.members.values()
    sender = hub.programme.sender("gora-prison")
    waiting = sender.seal(probation.desk)
    await hub.device(prison).submit(waiting.data)
    async with connected(hub, probation.device) as socket:
        pushed = await socket.until(Deliver)
        assert isinstance(pushed, Deliver)
        assert pushed.items == await hub.device(probation).items()
        message = open_as(probation, pushed.items[0].data, programme=hub.programme, audit_key=hub.audit_key)
        assert message.message_id == waiting.message_id
        await hub.device(prison).submit(sender.seal(probation.desk).data)
        again = await socket.until(Deliver)
        assert isinstance(again, Deliver)
        assert [item.index for item in again.items] == [1]
        await socket.send(Acknowledge(1))
        await eventually(
            lambda: not hub.hub.connections._open or not next(iter(hub.hub.connections._open))._unacknowledged
        )
    assert await hub.device(probation).items() == ()


async def test_http_7_what_is_pushed_from_memory_is_what_is_read_back(hub: RunningHub) -> None:
    """A watched mailbox is not read from the database again for what is committed meanwhile; nobody must notice."""
    prison, probation, csw = hub.programme.members.values()
    sender = hub.programme.sender("gora-prison")
    sections = [(b"shared", [probation.desk, csw.desk]), (b"social work only", [csw.desk])]
    async with connected(hub, probation.device) as socket, connected(hub, prison.device) as own:
        pushed = list[Item]()
        for _ in range(6):
            await hub.device(prison).submit(sender.seal(probation.desk, csw.desk, sections=sections).data)
            frame = await socket.until(Deliver)
            assert isinstance(frame, Deliver)
            pushed += frame.items
        assert tuple(pushed) == await hub.device(probation).items()
        await hub.device(csw).acknowledge(2)
        # Expired envelopes go, and what is told of them comes the same way.
        await hub.device(prison).submit(sender.seal(probation.desk, life=HOUR).data)
        hub.clock.advance(2 * HOUR)
        assert await hub.hub.expiry.expire() == 1
        told = await own.until(Deliver)
        assert isinstance(told, Deliver)
        assert told.items == await hub.device(prison).items()


async def test_http_11_what_has_expired_is_pushed_no_more(hub: RunningHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "WINDOW", 1)
    prison, probation, _ = hub.programme.members.values()
    sender = hub.programme.sender("gora-prison")
    async with connected(hub, probation.device) as socket:
        for life in (DAY, HOUR, DAY):
            await hub.device(prison).submit(sender.seal(probation.desk, life=life).data)
        first = await socket.until(Deliver)
        hub.clock.advance(2 * HOUR)
        assert await hub.hub.expiry.expire() == 1
        await socket.send(Acknowledge(0))
        second = await socket.until(Deliver)
        assert isinstance(first, Deliver)
        assert isinstance(second, Deliver)
        assert [item.index for item in (*first.items, *second.items)] == [0, 2]


async def test_http_7_what_was_pushed_and_not_acknowledged_is_pushed_again(hub: RunningHub) -> None:
    prison, probation, _ = hub.programme.members.values()
    await hub.device(prison).submit(hub.programme.sender("gora-prison").seal(probation.desk).data)
    seen = []
    for _ in range(3):
        async with connected(hub, probation.device) as socket:
            seen.append(await socket.until(Deliver))
    assert seen[0] == seen[1] == seen[2]


async def test_http_8_a_connection_acknowledges_only_its_own_mailbox(hub: RunningHub) -> None:
    prison, probation, csw = hub.programme.members.values()
    await hub.device(prison).submit(hub.programme.sender("gora-prison").seal(probation.desk).data)
    async with connected(hub, csw.device) as socket:
        await socket.send(Acknowledge(0))
        await hub.device(prison).submit(hub.programme.sender("gora-prison").seal(csw.desk).data)
        delivered = await socket.until(Deliver)
        assert isinstance(delivered, Deliver)
        assert [item.index for item in delivered.items] == [1]
    assert len(await hub.device(probation).items()) == 1


@pytest.mark.parametrize("case", ["domain", "challenge", "key", "unknown", "claim", "frame", "text", "garbage"])
async def test_http_9_a_wrong_answer_to_the_challenge_is_turned_away(hub: RunningHub, case: str) -> None:
    prison, probation, _ = hub.programme.members.values()
    async with stranger(hub) as socket:
        good = hello(prison.device, socket.challenge)
        answers: dict[str, Frame] = {
            "domain": hello(prison.device, socket.challenge, domain="other.example"),
            "challenge": hello(prison.device, bytes(32)),
            "key": Hello(prison.device_id, prison.device.sign_digest(socket.challenge)),
            "unknown": hello(device_of("a stranger"), socket.challenge),
            "claim": hello(prison.device, socket.challenge, key_id=probation.device_id),
            "frame": Acknowledge(0),
        }
        if case == "text":
            await socket.ws.send_str("hello")
        elif case == "garbage":
            await socket.ws.send_bytes(encode_frame(good) + b"\0")
        else:
            await socket.send(answers[case])
        assert await socket.receive() is None
        assert socket.closed is not None
        assert socket.closed[0] == aiohttp.WSCloseCode.POLICY_VIOLATION
    assert len(hub.hub.connections) == 0


async def test_http_9_an_old_answer_does_not_open_a_new_connection(hub: RunningHub) -> None:
    prison = hub.programme.members["gora-prison"]
    async with connected(hub, prison.device) as first:
        recorded = hello(prison.device, first.challenge)
        async with stranger(hub) as second:
            await second.send(recorded)
            assert await second.receive() is None


async def test_http_9_silence_after_the_challenge_is_ended(hub: RunningHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections_module, "HELLO_S", 0.05)
    async with stranger(hub) as socket:
        assert await socket.receive() is None


async def test_strangers_are_bounded_and_keep_nobody_out(hub: RunningHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has many addresses takes every place there is for strangers; the one that waits longest makes room."""
    monkeypatch.setattr(connections_module, "MAX_STRANGERS", 2)
    prison = hub.programme.members["gora-prison"]
    async with stranger(hub) as first, stranger(hub) as second, connected(hub, prison.device):
        assert await first.receive() is None
        async with stranger(hub) as third:
            assert len(hub.hub.connections._strangers) == 2
            async with connected(hub, prison.device):
                assert await second.receive() is None
                await third.send(hello(prison.device, third.challenge))
                assert await third.receive() == Welcome(hub.clock.now)
    await eventually(lambda: not hub.hub.connections._strangers)


@pytest.mark.parametrize("data", [b"", b"x", encode_frame(Welcome(1)), encode_frame(Submit(1, b"x")) + b"\0"])
async def test_http_9_a_frame_of_the_wrong_form_ends_the_connection(hub: RunningHub, data: bytes) -> None:
    prison = hub.programme.members["gora-prison"]
    async with connected(hub, prison.device) as socket:
        await socket.ws.send_bytes(data)
        assert await socket.receive() is None
        assert socket.closed is not None
        assert socket.closed[0] == aiohttp.WSCloseCode.PROTOCOL_ERROR


async def test_http_9_text_and_frames_over_the_limit_end_the_connection(hub: RunningHub) -> None:
    prison = hub.programme.members["gora-prison"]
    async with connected(hub, prison.device) as socket:
        await socket.ws.send_str("hello")
        assert await socket.receive() is None
    async with connected(hub, prison.device) as socket:
        await socket.send(Submit(1, bytes(MAX_SOCKET_ENVELOPE)))
        assert isinstance(await socket.until(Refused), Refused)
        await socket.ws.send_bytes(bytes(MAX_FRAME))
        assert await socket.receive() is None
        assert socket.closed is not None
        assert socket.closed[0] == aiohttp.WSCloseCode.MESSAGE_TOO_BIG


async def test_http_6_poison_over_the_websocket_is_refused_alone(hub: RunningHub) -> None:
    """Promise 5: the connection stays and its neighbours are accepted."""
    prison, probation, _ = hub.programme.members.values()
    sender = hub.programme.sender("gora-prison")
    async with connected(hub, prison.device) as socket:
        await socket.send(Submit(1, sender.seal(probation.desk).data))
        await socket.send(Submit(2, b"poison"))
        await socket.send(Submit(3, sender.seal(probation.desk).data))
        answers: dict[int, Accepted | Refused] = {}
        for _ in range(3):
            answer = await socket.receive()
            assert isinstance(answer, Accepted | Refused)
            answers[answer.ref] = answer
    assert isinstance(answers[2], Refused)
    assert answers[2].code == "malformed-envelope"
    assert isinstance(answers[1], Accepted)
    assert isinstance(answers[3], Accepted)


async def test_an_unforeseen_fault_refuses_one_envelope_and_keeps_the_connection(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    prison, probation, _ = hub.programme.members.values()

    def broken(_change: object) -> NoReturn:
        raise RuntimeError("CANARY")

    async with connected(hub, prison.device) as socket:
        with monkeypatch.context() as patch:
            patch.setattr(hub.hub.writer, "queue", broken)
            await socket.send(Submit(1, hub.programme.sender("gora-prison").seal(probation.desk).data))
            refused = await socket.until(Refused)
        assert isinstance(refused, Refused)
        assert (refused.code, refused.retry_after) == ("internal-error", 5)
        await socket.send(Submit(2, hub.programme.sender("gora-prison").seal(probation.desk).data))
        await socket.until(Accepted)
    assert "CANARY" not in hub.logged.getvalue()
    assert "request-failed" in hub.logged.getvalue()


async def test_http_12_a_revoked_devices_connection_is_closed_at_once(hub: RunningHub) -> None:
    prison, probation, _ = hub.programme.members.values()
    async with connected(hub, probation.device) as revoked, connected(hub, prison.device) as other:
        hub.programme.revoke_device(probation)
        await hub.catch_up()
        assert await revoked.receive() is None
        assert revoked.closed == (aiohttp.WSCloseCode.POLICY_VIOLATION, Revoked.code)
        async with stranger(hub) as again:
            await again.send(hello(probation.device, again.challenge))
            assert await again.receive() is None
        await other.send(Submit(1, b"x"))
        await other.until(Refused)


async def test_http_12_a_certificate_that_ends_ends_the_connection(hub: RunningHub) -> None:
    probation = hub.programme.members["reka-probation"]
    async with connected(hub, probation.device) as socket:
        hub.clock.advance(79 * DAY)
        await hub.hub.housekeeping.check_connections()
        assert await socket.receive() is None


async def test_a_stopping_hub_ends_its_connections(hub: RunningHub) -> None:
    probation = hub.programme.members["reka-probation"]
    async with connected(hub, probation.device) as socket:
        hub.hub.release()
        assert await socket.receive() is None
        assert socket.closed is not None
        assert socket.closed[0] == aiohttp.WSCloseCode.GOING_AWAY
