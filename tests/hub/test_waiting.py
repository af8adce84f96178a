# SPDX-License-Identifier: Apache-2.0
"""What of one agency waits at the hub is bounded, and others find room all the same (HTTP-18)."""

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import QuotaReached, Unavailable
from protocol.frames import Accepted, Refused, Submit
from protocol.limits import SECOND
from tests.hub.running import RunningHub, eventually
from tests.hub.sockets import connected
from tests.programme import Programme


async def test_http_18_a_mailbox_that_one_agency_has_filled_takes_what_others_send(
    tmp_path: Path, programme: Programme, store_settings: tuple[str, ...]
) -> None:
    prison, probation, social = programme.members.values()
    sender, other = programme.sender("gora-prison"), programme.sender("polje-csw")
    more = (*store_settings, "[limits]", "waiting_messages_per_recipient = 16")
    sealed = [sender.seal(probation.desk).data for _ in range(17)]
    async with RunningHub(tmp_path, programme, more=more) as hub:
        receipts = [await hub.hub.submissions.submit(prison.device_id, data) for data in sealed[:16]]
        with pytest.raises(QuotaReached) as caught:
            await hub.device(prison).submit(sealed[16])
        assert caught.value.retry_after == 30
        # Nobody else feels it, and what was accepted is answered as before.
        await hub.device(social).submit(other.seal(probation.desk).data)
        await hub.device(prison).submit(sender.seal(social.desk).data)
        assert await hub.device(prison).submit(sealed[0]) == receipts[0]
    async with RunningHub(tmp_path, programme, hub.clock, more=more) as hub:
        # After a start a part of the bound passes before the hub looks, and no more.
        again = [sender.seal(probation.desk).data for _ in range(4)]
        results = await hub.device(prison).submit_batch(again)
        assert sorted(type(result).__name__ for result in results) == ["Accepted"] * 2 + ["Refused"] * 2
        items = await hub.device(probation).items()
        assert len(items) == 16 + 1 + 2
        await hub.device(probation).acknowledge(items[-1].index)
        with pytest.raises(QuotaReached):
            await hub.device(prison).submit(again[-1])
        hub.clock.advance(30 * SECOND)
        await hub.device(prison).submit(again[-1])


async def test_http_18_what_waits_of_one_agency_is_bounded_over_all_recipients(
    tmp_path: Path, programme: Programme
) -> None:
    prison, probation, social = programme.members.values()
    sender = programme.sender("gora-prison")
    async with RunningHub(tmp_path, programme, more=("[limits]", "waiting_messages = 16")) as hub:
        device = hub.device(prison)
        both = [sender.seal(probation.desk, social.desk).data for _ in range(9)]
        results = await device.submit_batch(both)
        assert sum(isinstance(result, Accepted) for result in results) == 8
        items = await hub.device(social).items()
        await hub.device(social).acknowledge(items[-1].index)
        hub.clock.advance(30 * SECOND)
        for _ in range(8):
            await device.submit(sender.seal(probation.desk).data)
        with pytest.raises(QuotaReached):
            await device.submit(sender.seal(social.desk).data)
        await hub.device(probation).submit(programme.sender("reka-probation").seal(social.desk).data)


async def test_http_15_http_18_who_cuts_its_line_takes_nothing_of_what_the_writer_has_off_its_account(
    tmp_path: Path, programme: Programme, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hostile agency breaks its websocket off while its submissions wait, to have them stored and not counted."""
    prison, probation, _ = programme.members.values()
    sender = programme.sender("gora-prison")
    sealed = [sender.seal(probation.desk).data for _ in range(17)]
    more = ("[limits]", "waiting_messages_per_recipient = 16")
    async with RunningHub(tmp_path, programme, more=more) as hub:
        go_on, write = asyncio.Event(), hub.hub.store.write

        async def stuck(*arguments: Any) -> Any:
            await go_on.wait()
            return await write(*arguments)

        monkeypatch.setattr(hub.hub.store, "write", stuck)
        allowances, waiting = hub.hub.submissions._parts.allowances, hub.hub.submissions._parts.waiting
        async with connected(hub, prison.device) as socket:
            for number, data in enumerate(sealed[:16]):
                await socket.send(Submit(number, data))
            await eventually(lambda: allowances._changes[prison.address] == 16)
            # Until the database has been asked what waits: what is stored meanwhile counts twice for 30 s.
            await eventually(lambda: waiting._totals[prison.address].messages == 16)
            await socket.ws.close()
        await eventually(lambda: len(hub.hub.connections) == 0)
        assert allowances._changes[prison.address] == 16, "its places in the queue are taken until the writer is done"
        go_on.set()
        await eventually(lambda: not allowances._changes)
        async with connected(hub, prison.device) as socket:
            await socket.send(Submit(17, sealed[16]))
            refused = await socket.until(Refused)
            assert isinstance(refused, Refused)
            assert refused.code == QuotaReached.code
        assert len(await hub.device(probation).items()) == 16


async def test_http_15_what_fails_after_its_sender_has_gone_is_no_error_that_nobody_foresaw(
    tmp_path: Path, programme: Programme, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the log of a hub whose disk is full for a while would have a traceback for each that did not wait."""
    prison, probation, _ = programme.members.values()
    data = programme.sender("gora-prison").seal(probation.desk).data
    said = list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    async with RunningHub(tmp_path, programme) as hub:
        written: list[asyncio.Future[bytes]] = [asyncio.get_running_loop().create_future()]
        monkeypatch.setattr(hub.hub.writer, "queue", lambda _change: written[0])
        sending = hub.hub.submissions.submit(prison.device_id, data)
        assert hub.hub.submissions._parts.waiting._totals[prison.address].messages == 1
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert hub.hub.submissions._parts.waiting._totals[prison.address].messages == 1
        written.pop().set_exception(Unavailable())
        await asyncio.sleep(0)
        gc.collect()
        assert hub.hub.submissions._parts.waiting._totals[prison.address].messages == 0
    assert said == []


async def test_what_was_not_accepted_takes_no_room(
    tmp_path: Path, programme: Programme, monkeypatch: pytest.MonkeyPatch
) -> None:
    prison, probation, _ = programme.members.values()
    sender = programme.sender("gora-prison")
    async with RunningHub(tmp_path, programme, more=("[limits]", "waiting_messages_per_recipient = 16")) as hub:

        def busy(_change: object) -> "asyncio.Future[bytes]":
            raise Unavailable

        data = sender.seal(probation.desk).data
        with monkeypatch.context() as patch:
            patch.setattr(hub.hub.writer, "queue", busy)
            for _ in range(20):
                with pytest.raises(Unavailable):
                    await hub.hub.submissions.submit(prison.device_id, data)
        assert hub.hub.submissions._parts.waiting._totals[prison.address].messages == 0
        await hub.device(prison).submit(data)
