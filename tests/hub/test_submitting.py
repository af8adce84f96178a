# SPDX-License-Identifier: Apache-2.0
"""How long an envelope counts and is held, and what is asked for it, from its coming to its answer."""

import asyncio
import gc
import weakref
from typing import Any

import aiohttp
import pytest

from hub.service import checking, submission
from hub.web import connection as connection_module
from keys import verifying
from protocol.errors import BadSignature, Unavailable
from protocol.frames import Accepted, Acknowledge, Deliver, Submit
from tests.hub.blobs import make_blob, seal_with, upload
from tests.hub.running import RunningHub, eventually
from tests.hub.sockets import connected


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Count the checks of senders' signatures."""
    seen, verify = list[object](), verifying.verify_sender

    def counted(*arguments: Any) -> None:
        seen.append(arguments)
        verify(*arguments)

    monkeypatch.setattr(checking, "verify_sender", counted)
    return seen


async def test_http_15_an_envelope_is_gone_as_soon_as_it_is_answered(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is answered counts no more, so it must not wait for somebody to look for garbage."""
    prison, probation, _ = hub.programme.members.values()
    sender, held = hub.programme.sender("gora-prison"), list[weakref.ref[submission._Submission]]()
    begin = submission._Submission.begin

    def noted(self: submission._Submission) -> None:
        held.append(weakref.ref(self))
        begin(self)

    monkeypatch.setattr(submission._Submission, "begin", noted)
    spoiled = bytearray(sender.seal(probation.desk).data)
    spoiled[-1] ^= 1
    gc.collect()
    gc.disable()
    try:
        await hub.hub.submissions.submit(prison.device_id, sender.seal(probation.desk).data)
        with pytest.raises(BadSignature):
            await hub.hub.submissions.submit(prison.device_id, bytes(spoiled))
        await asyncio.sleep(0)
        assert [one() for one in held] == [None, None]
    finally:
        gc.enable()


async def test_env_17_a_signature_is_checked_once_whatever_must_be_asked(
    hub: RunningHub, verified: list[object]
) -> None:
    """Attachments and refusals take the long way, and the loop's time is everybody's."""
    prison, probation, _ = hub.programme.members.values()
    blob = make_blob(b"a page")
    await upload(hub.device(prison), blob)
    sealed = seal_with(hub.programme, "gora-prison", blob, [probation.desk])
    await hub.hub.submissions.submit(prison.device_id, sealed.data)
    assert len(verified) == 1
    spoiled = bytearray(hub.programme.sender("gora-prison").seal(probation.desk).data)
    spoiled[-1] ^= 1
    with pytest.raises(BadSignature):
        await hub.hub.submissions.submit(prison.device_id, bytes(spoiled))
    assert len(verified) == 2


async def test_http_15_whatever_fails_behind_the_writer_is_answered_and_counts_no_more(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    prison, probation, _ = hub.programme.members.values()
    parts, data = hub.hub.submissions._parts, hub.programme.sender("gora-prison").seal(probation.desk).data

    def short(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(parts.tally, "add", short)
        with pytest.raises(MemoryError):
            await hub.hub.submissions.submit(prison.device_id, data)
    assert (parts.allowances._in_all, parts.allowances._weight_in_all) == (0, 0)
    assert await hub.hub.submissions.submit(prison.device_id, data)


async def test_http_5_who_could_not_be_answered_is_cut_off_and_comes_again(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    prison, probation, _ = hub.programme.members.values()
    data = hub.programme.sender("gora-prison").seal(probation.desk).data

    def short(_: object) -> bytes:
        raise MemoryError

    async with connected(hub, prison.device) as socket:
        with monkeypatch.context() as patch:
            patch.setattr(connection_module, "encode_frame", short)
            await socket.send(Submit(1, data))
            assert await socket.receive() is None
        assert socket.closed == (aiohttp.WSCloseCode.TRY_AGAIN_LATER, Unavailable.code)
    async with connected(hub, prison.device) as socket:
        await socket.send(Submit(1, data))
        assert isinstance(await socket.until(Accepted), Accepted)


async def test_http_9_what_is_acknowledged_last_before_leaving_does_not_come_again(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the acknowledgement before it still waits to share a commit."""
    monkeypatch.setattr(connection_module, "PATIENCE_S", 60)
    probation, sender = hub.programme.members["reka-probation"], hub.programme.sender("gora-prison")
    async with connected(hub, probation.device) as socket:
        places = list[int]()
        for _ in range(2):
            await hub.device(hub.programme.members["gora-prison"]).submit(sender.seal(probation.desk).data)
            frame = await socket.until(Deliver)
            assert isinstance(frame, Deliver)
            places.append(frame.items[-1].index)
        for place in places:
            await socket.send(Acknowledge(place))
            await eventually(lambda: hub.hub.writer.waiting == 1)
    await eventually(lambda: not len(hub.hub.connections))
    await hub.hub.writer.settle()
    assert not await hub.device(probation).items()
