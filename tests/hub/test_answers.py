# SPDX-License-Identifier: Apache-2.0
"""Answers cost by their size whoever asks for them, and nobody else waits for it (HTTP-14, HTTP-21)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from connectors.hub_client import HubClient
from hub.service import outgoing as outgoing_module
from hub.service.allowances import Allowances
from hub.service.outgoing import Outgoing
from hub.web import strangers as strangers_module
from hub.web.connection import Connection
from protocol.errors import NotFound, TooManyRequests, Unavailable
from protocol.frames import Deliver, Item, ItemKind
from protocol.http import calling, strictjson
from protocol.http import hub as api
from protocol.ids import BlobId, EnvelopeId
from protocol.limits import BLOB_CHUNK, MAX_DELIVERY, MAX_DESKS, MAX_SLICE, MINUTE
from tests.hub.blobs import announce, collect, make_blob, read_chunk, seal_with, send_chunk, upload
from tests.hub.running import RunningHub, eventually
from tests.hub.sockets import connected, hello, stranger
from tests.programme import Member, Programme

LITTLE = ("[limits]", "megabytes_read_per_minute = 64")
FEW = ("[limits]", "stranger_requests_per_minute = 60")


async def page(hub: RunningHub, address: str, start: int = 0) -> tuple[int, str | None]:
    """Ask for a page of the directory from an address behind the proxy; return the status and the seconds to wait."""
    url, headers = f"{hub.url}/v1/directory/statements", {"X-Forwarded-For": address}
    async with hub.session.get(url, params={"from_index": start}, headers=headers) as response:
        await response.read()
        return response.status, response.headers.get("Retry-After")


async def read_for_ever(client: HubClient) -> None:
    while True:
        await client.directory_statements(0)


async def test_http_14_a_stranger_pays_for_the_directory_by_its_bytes_and_others_read_on(
    tmp_path: Path, programme: Programme, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strangers_module, "ANSWER_UNIT", 4 << 10)
    async with RunningHub(tmp_path, programme, more=("behind_proxy = true", *FEW)) as hub:
        whole = sum(map(len, programme.statements)) * 4 // 3 // (4 << 10)
        assert whole > 15
        answered = 0
        while (told := await page(hub, "192.0.2.1"))[0] == 200:
            answered += 1
        assert answered == -(-60 // (whole + 1))
        # What it used too much of, it waits for too.
        assert told[0] == 429
        assert told[1] is not None
        assert int(told[1]) <= whole + 1
        assert (await page(hub, "192.0.2.2"))[0] == 200
        # A small answer costs what it always did.
        assert [(await page(hub, "192.0.2.3", 10_000))[0] for _ in range(61)] == [200] * 60 + [429]
        hub.clock.advance(int(told[1]) * 1_000)
        assert (await page(hub, "192.0.2.1"))[0] == 200


async def test_http_14_a_connector_that_reads_a_long_directory_waits_as_it_is_told_and_goes_on(
    tmp_path: Path, programme: Programme, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beginning anew with each refusal it would never come to the end of one that costs more than a minute's share."""
    monkeypatch.setattr(strangers_module, "ANSWER_UNIT", 1 << 10)
    monkeypatch.setattr(api, "STATEMENT_PAGE", 20_000)
    waits = list[float]()
    async with RunningHub(tmp_path, programme, more=FEW) as hub:

        async def wait(seconds: float) -> None:
            waits.append(seconds)
            hub.clock.advance(int(seconds * 1_000))

        client, found = HubClient(hub.session, hub.url, hub.clock, pause=wait), list[bytes]()
        while more := await client.directory_statements(len(found)):
            found += more
        assert found == programme.statements
        assert waits

        async def wait_for_nothing(_: float) -> None:
            waits.append(0)

        impatient = HubClient(hub.session, hub.url, hub.clock, pause=wait_for_nothing)
        waits.clear()
        with pytest.raises(TooManyRequests):
            await read_for_ever(impatient)
        assert waits == [0] * 20


async def test_the_link_to_the_next_page_is_written_as_the_answer_writes_it(hub: RunningHub) -> None:
    async with hub.session.get(f"{hub.url}/v1/directory/statements", params={"limit": 2}) as response:
        body = strictjson.parse(await response.read())
        assert isinstance(body, dict)
        assert body["next_index"] == 2
        assert response.headers["Link"] == '</v1/directory/statements?limit=2&from_index=2>; rel="next"'


def allowances(hub: RunningHub) -> Allowances:
    return hub.hub.submissions._parts.allowances


async def deliver(hub: RunningHub, sender: str, recipient: Member, size: int = 10) -> None:
    """Have a message of some `size` wait for `recipient`."""
    desks = [recipient.desk]
    sealed = hub.programme.sender(sender).seal(*desks, sections=[(bytes(size), desks)])
    await hub.device(hub.programme.members[sender]).submit(sealed.data)


async def test_http_14_who_reads_its_mailbox_over_and_over_waits_and_others_read_on(
    tmp_path: Path, programme: Programme, monkeypatch: pytest.MonkeyPatch, store_settings: tuple[str, ...]
) -> None:
    """Each page is read, put together and encoded anew, though nothing of it is ever acknowledged."""
    monkeypatch.setattr(outgoing_module, "LEAST_ITEM", 9 << 20)
    _, probation, csw = programme.members.values()
    async with RunningHub(tmp_path, programme, more=(*store_settings, *LITTLE)) as hub:
        for recipient in (probation, probation, csw):
            await deliver(hub, "gora-prison", recipient)
        hostile = hub.device(probation)
        # The fourth was made before it was known how large it is; what was too much is waited for.
        assert [len((await hostile.read())[1]) for _ in range(4)] == [2] * 4
        with pytest.raises(TooManyRequests) as refused:
            await hostile.read()
        assert refused.value.retry_after == -(-60 * (4 * 18 - 64) // 64)
        async with stranger(hub) as socket:
            await socket.send(hello(probation.device, socket.challenge))
            assert await socket.receive() is None
            assert socket.closed == (1008, TooManyRequests.code)
        assert len(await hub.device(csw).items()) == 1
        # What makes its mailbox smaller is never refused for this, and helps.
        await hostile.acknowledge((await hub.hub.mailboxes.read(probation.device_id, 0, 10))[-1].index)
        hub.clock.advance(2 * MINUTE)
        assert (await hostile.read())[1] == ()


async def test_http_14_what_is_pushed_counts_too_and_waits_for_its_agencys_share(
    tmp_path: Path, programme: Programme, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing_module, "LEAST_ITEM", 40 << 20)
    _, probation, csw = programme.members.values()
    async with RunningHub(tmp_path, programme, more=LITTLE) as hub:
        async with connected(hub, probation.device) as hostile, connected(hub, csw.device) as honest:
            for _ in range(2):
                await deliver(hub, "gora-prison", probation)
                await hostile.until(Deliver)
            await deliver(hub, "gora-prison", probation)
            await deliver(hub, "gora-prison", csw)
            await honest.until(Deliver)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await hostile.until(Deliver)
        with pytest.raises(TooManyRequests):
            await hub.device(probation).read()
        assert len((await hub.device(csw).read())[1]) == 1


async def test_http_14_pieces_of_attachments_count_by_their_bytes(tmp_path: Path, programme: Programme) -> None:
    prison, probation, csw = programme.members.values()
    blob = make_blob(bytes(2 * BLOB_CHUNK))
    async with RunningHub(tmp_path, programme, more=LITTLE) as hub:
        await upload(hub.device(prison), blob)
        sealed = seal_with(programme, "gora-prison", blob, [probation.desk, csw.desk])
        await hub.device(prison).submit(sealed.data)
        reader = hub.device(probation)
        allowances(hub).was_read(probation.address, (64 << 20) - 1)
        assert await read_chunk(reader, sealed.envelope_id, blob.id) == blob.chunk(0)
        with pytest.raises(TooManyRequests):
            await read_chunk(reader, sealed.envelope_id, blob.id, BLOB_CHUNK)
        assert await read_chunk(hub.device(csw), sealed.envelope_id, blob.id) == blob.chunk(0)
        await collect(reader, sealed.envelope_id, blob.id)


async def test_http_21_what_is_on_its_way_to_one_agency_is_bounded_and_others_are_sent_theirs(hub: RunningHub) -> None:
    _, probation, csw = hub.programme.members.values()
    for recipient in (probation, csw):
        await deliver(hub, "gora-prison", recipient, 200_000)
    # As much as callers that take nothing could have the hub hold.
    outgoing = allowances(hub).outgoing(probation.address)
    assert outgoing.try_take(outgoing_module.AT_ONCE)
    with pytest.raises(Unavailable):
        await hub.device(probation).read()
    assert len(await hub.device(csw).items()) == 1
    async with connected(hub, probation.device) as slow, connected(hub, csw.device) as other:
        await other.until(Deliver)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await slow.until(Deliver)
        outgoing.give(outgoing_module.AT_ONCE)
        await slow.until(Deliver)
        assert len(await hub.device(probation).items()) == 1
    # A small answer is never refused, and nothing is counted for ever.
    await eventually(lambda: outgoing._held == 0)
    assert outgoing.try_take(outgoing_module.AT_ONCE)
    assert (await hub.device(probation).read(10))[1] == ()


async def test_http_21_bodies_that_come_are_held_to_a_bound_of_their_own(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a body of 4 MiB that comes by drops could be held 64 times; and deliveries would hold up what is sent."""
    monkeypatch.setattr(outgoing_module, "BODIES_AT_ONCE", 3 << 20)
    prison, probation, csw = hub.programme.members.values()
    blob = make_blob(bytes(BLOB_CHUNK))
    held = allowances(hub).outgoing(prison.address)
    await announce(hub.device(prison), blob)
    assert held.try_take(outgoing_module.AT_ONCE)
    assert held.try_come(2 << 20)
    assert held.try_come(1 << 20)
    with pytest.raises(Unavailable):
        await send_chunk(hub.device(prison), blob.id, 0, blob.chunk(0))
    # What is small is taken all the same, and so is what others send.
    await deliver(hub, "gora-prison", csw)
    await upload(hub.device(probation), make_blob(bytes(BLOB_CHUNK)))
    held.came(1 << 20)
    await upload(hub.device(prison), blob)
    await eventually(lambda: held._coming == 2 << 20)


async def test_http_21_websockets_that_wait_for_their_turn_take_no_room_from_others(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a restart of the hub all desks of an agency ask for their mail at once."""
    probation = hub.programme.members["reka-probation"]
    await deliver(hub, "gora-prison", probation, 200_000)
    outgoing = allowances(hub).outgoing(probation.address)
    go_on, read = asyncio.Event(), hub.hub.store.read

    async def slowly(work: Callable[[Any], Any]) -> Any:
        await go_on.wait()
        return await read(work)

    monkeypatch.setattr(hub.hub.store, "read", slowly)
    sockets = [outgoing_module.Pages(outgoing) for _ in range(16)]
    reading = [
        asyncio.create_task(pages.read(partial(hub.hub.mailboxes.read, probation.device_id, 0, 10)))
        for pages in sockets
    ]
    await asyncio.sleep(0.05)
    assert 0 < outgoing._held <= outgoing_module.READERS * MAX_DELIVERY
    go_on.set()
    assert [len(items) for items, _ in await asyncio.gather(*reading)] == [1] * 16
    for pages in sockets:
        pages.close()
    assert outgoing._held == 0


async def test_http_21_a_body_that_does_not_say_how_large_it_is_counts_as_the_largest(hub: RunningHub) -> None:
    prison, probation, _ = hub.programme.members.values()
    data = hub.programme.sender("gora-prison").seal(probation.desk).data
    device, url = prison.device, f"{hub.url}/v1/envelopes"
    sign = calling.signed(device.key_id, device.transport.sign_raw, hub.clock)

    async def pieces() -> AsyncIterator[bytes]:
        yield data

    async def status() -> int:
        headers = sign(calling.Outgoing("POST", url, "application/cbor", data))
        async with hub.session.post(url, data=pieces(), headers=headers) as response:
            return response.status

    held = allowances(hub).outgoing(prison.address)
    assert held.try_come(outgoing_module.BODIES_AT_ONCE)
    assert await status() == Unavailable.status
    held.came(outgoing_module.BODIES_AT_ONCE)
    assert await status() == 201
    await eventually(lambda: held._coming == 0)


@pytest.mark.parametrize("what", ["pages", "pieces"])
async def test_http_21_few_reads_of_one_agency_are_under_way_and_another_finds_a_reader_free(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    _, probation, csw = hub.programme.members.values()
    for recipient in (probation, csw):
        await deliver(hub, "gora-prison", recipient)
    go_on, read, begun = asyncio.Event(), hub.hub.store.read, 0

    async def slowly(work: Callable[[Any], Any]) -> Any:
        nonlocal begun
        begun += 1
        if not go_on.is_set() and begun <= outgoing_module.READERS:
            await go_on.wait()
        return await read(work)

    monkeypatch.setattr(hub.hub.store, "read", slowly)
    nothing = EnvelopeId(bytes(16)), BlobId(bytes(16))
    floods: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
        "pages": lambda: hub.hub.mailboxes.read(probation.device_id, 0, 10),
        "pieces": lambda: hub.hub.blobs.read(probation.device_id, *nothing, 0),
    }
    tasks = [asyncio.create_task(floods[what]()) for _ in range(20)]
    await eventually(lambda: begun == outgoing_module.READERS)
    assert len(await hub.hub.mailboxes.read(csw.device_id, 0, 10)) == 1
    assert begun == outgoing_module.READERS + 1
    go_on.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in outcomes] == [list if what == "pages" else NotFound] * 20


def stall(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Have the other side of a websocket take no deliveries before the event is set."""
    go_on, send = asyncio.Event(), connection._socket.send_bytes

    async def slowly(frame: bytes) -> None:
        await go_on.wait()
        await send(frame)

    monkeypatch.setattr(connection._socket, "send_bytes", slowly)
    return go_on


async def test_http_21_a_websocket_holds_a_page_until_it_is_taken(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it read another one meanwhile, if it has its share."""
    monkeypatch.setattr(outgoing_module, "AT_ONCE", MAX_DELIVERY)
    probation = hub.programme.members["reka-probation"]
    outgoing = allowances(hub).outgoing(probation.address)
    async with connected(hub, probation.device) as socket:
        (connection,) = hub.hub.connections._open
        go_on = stall(connection, monkeypatch)
        for _ in range(3):
            await deliver(hub, "gora-prison", probation, 200_000)
            await eventually(lambda: outgoing._held >= 200_000)
            await asyncio.sleep(0.05)
            assert len(connection._unacknowledged) == 1
        go_on.set()
        for _ in range(3):
            await socket.until(Deliver)
    await eventually(lambda: outgoing._held == 0)


async def test_http_21_a_websocket_that_takes_nothing_keeps_no_mail_from_another(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Desks on slow lines would else stop those on fast ones, and all large answers of their agency."""
    monkeypatch.setattr(outgoing_module, "AT_ONCE", 2 * MAX_DELIVERY)
    probation = hub.programme.members["reka-probation"]
    outgoing = allowances(hub).outgoing(probation.address)
    async with connected(hub, probation.device):
        (slow,) = hub.hub.connections._open
        stall(slow, monkeypatch)
        async with connected(hub, probation.device) as fast:
            for _ in range(8):
                await deliver(hub, "gora-prison", probation, 900_000)
                await fast.until(Deliver)
            assert len(slow._unacknowledged) == 1
            assert len(await hub.device(probation).items()) == 8
    await eventually(lambda: outgoing._held == 0)


async def test_http_21_however_many_websockets_take_nothing_there_is_room_for_the_next_and_for_answers() -> None:
    outgoing = Outgoing(lambda: 0.0)

    async def items(percent: int, most: int) -> list[Item]:
        return [Item(0, ItemKind.SLICE, bytes(percent * most // 100))]

    for percent in (100, 95):
        slow = [outgoing_module.Pages(outgoing) for _ in range(MAX_DESKS - 1)]
        for count, pages in enumerate(slow, 1):
            while outgoing.page(pages._held):
                await pages.read(partial(items, percent))
            assert pages._held <= 2 * (outgoing_module.AT_ONCE // outgoing_module.PARTS)
            if count == MAX_DESKS // 2:
                assert outgoing_module.AT_ONCE - outgoing._held > BLOB_CHUNK + MAX_SLICE
        next_one = outgoing_module.Pages(outgoing)
        for _ in range(100):
            _, size = await next_one.read(partial(items, percent))
            assert size > 0
            assert outgoing._held <= outgoing_module.AT_ONCE
            next_one.give(size)
        for pages in slow:
            pages.close()
        assert outgoing._held == 0


async def test_http_21_a_single_larger_piece_passes_alone() -> None:
    outgoing = Outgoing(lambda: 0.0)
    assert outgoing.try_take(2 * outgoing_module.AT_ONCE)
    assert not outgoing.try_take(1)
    waiting = asyncio.create_task(outgoing.room(lambda: 0))
    await asyncio.sleep(0)
    assert not waiting.done()
    outgoing.give(2 * outgoing_module.AT_ONCE)
    await waiting
