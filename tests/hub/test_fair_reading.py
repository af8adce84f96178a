# SPDX-License-Identifier: Apache-2.0
"""What has to be read or hashed for one agency keeps neither readers nor memory from others (HTTP-15, HTTP-21)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hub.service import outgoing as outgoing_module
from hub.service.blobs import HASHED
from hub.service.outgoing import READERS
from protocol.errors import ThroughcareError
from protocol.limits import BLOB_CHUNK, DAY
from tests.hub.blobs import announce, make_blob, send_chunk, upload
from tests.hub.running import RunningHub, eventually

FLOOD = 12


class Slow:
    """Stands before something asynchronous, which waits until the event is set."""

    def __init__(self, work: Callable[..., Awaitable[Any]], most: int = 1_000) -> None:
        """Only the first `most` calls wait."""
        self.begun = 0
        self.go_on = asyncio.Event()
        self._most = most
        self._work = work

    async def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.begun += 1
        if self.begun <= self._most:
            await self.go_on.wait()
        return await self._work(*arguments, **named)


async def test_http_21_an_answer_is_held_to_its_agencys_room_while_its_nonce_is_stored(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else 128 pages of 4 MiB could wait for a database that is slow to write."""
    probation = hub.programme.members["reka-probation"]
    desks = [probation.desk]
    sealed = hub.programme.sender("gora-prison").seal(*desks, sections=[(bytes(200_000), desks)])
    await hub.device(hub.programme.members["gora-prison"]).submit(sealed.data)
    outgoing = hub.hub.submissions._parts.allowances.outgoing(probation.address)
    slow = Slow(hub.hub.nonces._keep)
    monkeypatch.setattr(hub.hub.nonces, "_keep", slow)
    reading = asyncio.create_task(hub.device(probation).read())
    await eventually(lambda: outgoing._held > 200_000)
    slow.go_on.set()
    assert len((await reading)[1]) == 1
    await eventually(lambda: outgoing._held == 0)


async def test_http_21_what_is_looked_up_for_refused_submissions_waits_for_its_agencys_turn(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    prison, probation, csw = hub.programme.members.values()
    old = [hub.programme.sender("gora-prison").seal(csw.desk).data for _ in range(FLOOD)]
    other = hub.programme.sender("reka-probation").seal(csw.desk).data
    hub.clock.advance(60 * DAY)
    slow = Slow(hub.hub.store.read, READERS)
    monkeypatch.setattr(hub.hub.store, "read", slow)
    submit = hub.hub.submissions.submit
    flood = [submit(prison.device_id, data) for data in old]
    await eventually(lambda: slow.begun == READERS)
    with pytest.raises(ThroughcareError):
        await submit(probation.device_id, other)
    assert slow.begun == READERS + 1
    slow.go_on.set()
    outcomes = await asyncio.gather(*flood, return_exceptions=True)
    assert all(isinstance(one, ThroughcareError) for one in outcomes)


async def test_http_21_few_attachments_of_one_agency_are_hashed_at_the_same_time(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    prison, probation, _ = hub.programme.members.values()
    blobs = [make_blob(bytes(100)) for _ in range(FLOOD)]
    for blob in blobs:
        await announce(hub.device(prison), blob)
    slow = Slow(hub.hub.blobs._files.digest, HASHED)
    monkeypatch.setattr(hub.hub.blobs._files, "digest", slow)
    flood = [asyncio.create_task(send_chunk(hub.device(prison), blob.id, 0, blob.chunk(0))) for blob in blobs]
    await eventually(lambda: slow.begun == HASHED)
    # Its mail is not held up by it, and nobody else's attachment.
    await hub.device(prison).read()
    await upload(hub.device(probation), make_blob(bytes(100)))
    assert slow.begun == HASHED + 1
    slow.go_on.set()
    assert all(progress.complete for progress in await asyncio.gather(*flood))


async def test_http_18_asking_what_waits_of_one_agency_holds_up_no_other(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    prison, probation, csw = hub.programme.members.values()
    waiting = hub.hub.submissions._parts.waiting
    monkeypatch.setattr(waiting._unasked, "messages", 0)
    slow = Slow(hub.hub.store.read, 1)
    monkeypatch.setattr(hub.hub.store, "read", slow)
    submit = hub.hub.submissions.submit
    prisons = submit(prison.device_id, hub.programme.sender("gora-prison").seal(probation.desk).data)
    await eventually(lambda: slow.begun == 1)
    await submit(probation.device_id, hub.programme.sender("reka-probation").seal(csw.desk).data)
    assert not prisons.done()
    # Of one device the database is asked once, whoever wants to know.
    socials = submit(csw.device_id, hub.programme.sender("polje-csw").seal(probation.desk).data)
    await asyncio.sleep(0.05)
    assert (slow.begun, socials.done()) == (2, False)
    slow.go_on.set()
    await asyncio.gather(prisons, socials)
    assert slow.begun == 2
    assert {agency: total.messages for agency, total in waiting._totals.items()} == dict.fromkeys(
        (prison.address, probation.address, csw.address), 1
    )


async def test_http_21_a_poll_gets_a_smaller_page_where_little_room_is_left(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Desks on slow lines that poll stop no mail of others either."""
    monkeypatch.setattr(outgoing_module, "AT_ONCE", 4 << 20)
    prison, probation, _ = hub.programme.members.values()
    for _ in range(4):
        sealed = hub.programme.sender("gora-prison").seal(probation.desk, sections=[(bytes(30_000), [probation.desk])])
        await hub.device(prison).submit(sealed.data)
    outgoing = hub.hub.submissions._parts.allowances.outgoing(probation.address)
    assert len((await hub.device(probation).read())[1]) == 2
    assert outgoing.try_take(2 << 20)
    assert len((await hub.device(probation).read())[1]) == 1
    assert len(await hub.device(probation).items()) == 4


def test_http_21_answers_leave_room_for_what_is_pushed() -> None:
    outgoing = outgoing_module.Outgoing(lambda: 0.0)
    while outgoing.try_take(BLOB_CHUNK):
        assert outgoing._held <= 48 << 20
    assert outgoing.page(0) == (16 << 20) // outgoing_module.PARTS
