# SPDX-License-Identifier: Apache-2.0
"""What one agency may have of attachments at the hub, and of the writer for them, beside another that feels nothing."""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from hub.service import accepting
from hub.service import blobs as blobs_module
from hub.service.accepting import READER_WEIGHT, AcceptEnvelope
from hub.service.blobs import DropExpired
from hub.service.holdings import ASK_EVERY, Holding
from hub.store import blobs
from protocol import ids
from protocol.blobs import MIN_CIPHERTEXT
from protocol.envelope import parse_envelope
from protocol.errors import Conflict, InvalidInput, QuotaReached, Unavailable
from protocol.http import blobs as api
from protocol.ids import BlobId
from protocol.limits import BLOB_UNCLAIMED, HOUR, SECOND
from protocol.sections import Attachment
from tests.hub.blobs import Blob, announce, announce_size, collect, make_blob, read_chunk, upload
from tests.hub.running import RunningHub, eventually
from tests.programme import Programme, Sealed

SMALL = ("[limits]", "waiting_attachments = 16", "waiting_attachment_readers = 16")


def fresh() -> BlobId:
    return BlobId(ids.new_id())


def some(count: int) -> list[Blob]:
    return [make_blob(b"a page", number) for number in range(count)]


def invented(count: int) -> tuple[Attachment, ...]:
    """Return what a manifest says of attachments that nobody uploads."""
    return tuple(Attachment(fresh(), bytes(32), MIN_CIPHERTEXT, bytes(32), 5, "text/plain", "x") for _ in range(count))


def seal_all(programme: Programme, sender: str, entries: tuple[Attachment, ...], *recipients: str) -> Sealed:
    desks = [programme.members[name].desk for name in recipients]
    return programme.sender(sender).seal(*desks, sections=[(b"scans", desks)], attachments=entries, life=HOUR)


async def test_att_6_the_number_of_an_agencys_attachments_is_bounded_and_others_feel_nothing(
    tmp_path: Path, programme: Programme, store_settings: tuple[str, ...]
) -> None:
    """However small they are: each is a row, a file, and something to look through."""
    prison, probation, _ = programme.members.values()
    first, more = make_blob(b"first"), (*store_settings, *SMALL)
    async with RunningHub(tmp_path, programme, more=more) as hub:
        hostile = hub.device(prison)
        await announce(hostile, first)
        for _ in range(15):
            await announce_size(hostile, fresh(), MIN_CIPHERTEXT, bytes(32))
        with pytest.raises(QuotaReached) as full:
            await announce_size(hostile, fresh(), MIN_CIPHERTEXT, bytes(32))
        assert full.value.retry_after == ASK_EVERY // SECOND
        # What is here already goes on, and so does everybody else.
        await upload(hostile, first)
        await upload(hub.device(probation), make_blob(b"honest"))
    async with RunningHub(tmp_path, programme, hub.clock, more=more) as hub:
        hostile = hub.device(prison)
        with pytest.raises(QuotaReached):
            await announce_size(hostile, fresh(), MIN_CIPHERTEXT, bytes(32))
        hub.clock.advance(BLOB_UNCLAIMED + SECOND)
        assert await hub.hub.blobs.expire() == 17
        await announce_size(hostile, fresh(), MIN_CIPHERTEXT, bytes(32))


async def test_att_6_many_at_once_do_not_pass_the_bound(hub: RunningHub, monkeypatch: pytest.MonkeyPatch) -> None:
    prison, probation, _ = hub.programme.members.values()
    monkeypatch.setattr(hub.hub.blobs._holdings, "_most", Holding(5, 1 << 30, 5))

    async def one() -> object:
        return await hub.hub.blobs.announce(prison.device_id, fresh(), MIN_CIPHERTEXT, bytes(32))

    outcomes = await asyncio.gather(*(one() for _ in range(20)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes].count(QuotaReached) == 15
    await upload(hub.device(probation), make_blob(b"honest"))


async def test_att_6_for_how_many_recipients_attachments_wait_is_bounded(
    tmp_path: Path, programme: Programme, store_settings: tuple[str, ...]
) -> None:
    """Whoever acknowledges and never collects would otherwise have rows written for nothing, for a year."""
    prison, probation, csw = programme.members.values()
    pages, others = some(8), some(2)
    async with RunningHub(tmp_path, programme, more=(*store_settings, *SMALL)) as hub:
        hostile, honest = hub.device(prison), hub.device(probation)
        for blob in pages:
            await upload(hostile, blob)
        entries = tuple(blob.entry for blob in pages)
        sealed = seal_all(programme, "gora-prison", entries, "reka-probation", "polje-csw")
        receipt = await hostile.submit(sealed.data)
        # The same attachments serve every further envelope, and count anew with each.
        again = seal_all(programme, "gora-prison", entries, "polje-csw")
        with pytest.raises(QuotaReached) as full:
            await hostile.submit(again.data)
        assert full.value.retry_after == ASK_EVERY // SECOND
        assert await hostile.submit(sealed.data) == receipt
        await hostile.submit(seal_all(programme, "gora-prison", (), "polje-csw").data)
        for blob in others:
            await upload(honest, blob)
        await honest.submit(seal_all(programme, "reka-probation", tuple(one.entry for one in others), "polje-csw").data)
        for blob in pages:
            await collect(hub.device(csw), sealed.envelope_id, blob.id)
        hub.clock.advance(ASK_EVERY)
        await hostile.submit(again.data)
        assert await read_chunk(hub.device(csw), again.envelope_id, pages[0].id) == pages[0].data


async def test_att_6_what_is_past_its_time_goes_in_portions(hub: RunningHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs_module, "CLAIMS_AT_ONCE", 5)
    monkeypatch.setattr(blobs_module, "BYTES_AT_ONCE", 2 * MIN_CIPHERTEXT)
    prison = hub.programme.members["gora-prison"]
    pages = some(6)
    for blob in pages:
        await upload(hub.device(prison), blob)
    entries = tuple(blob.entry for blob in pages)
    sealed = seal_all(hub.programme, "gora-prison", entries, "reka-probation", "polje-csw")
    await hub.device(prison).submit(sealed.data)
    hub.clock.advance(BLOB_UNCLAIMED + SECOND)
    portions = list[tuple[int, int]]()
    while True:
        dropped = await hub.hub.writer.write(DropExpired())
        if not (dropped.claims or dropped.blobs):
            break
        portions.append((dropped.claims, len(dropped.blobs)))
    assert portions == [(5, 0), (5, 0), (2, 2), (0, 2), (0, 2)]


async def test_att_3_no_attachment_is_smaller_than_an_empty_one_padded(hub: RunningHub) -> None:
    device = hub.device(hub.programme.members["gora-prison"])
    blob = make_blob(b"")
    assert len(blob.data) == MIN_CIPHERTEXT
    await upload(device, blob)
    body = api.BlobAnnouncement.model_construct(blob_id=fresh(), size=MIN_CIPHERTEXT - 1, sha256=bytes(32))
    with pytest.raises(InvalidInput):
        await device.client.call(api.ANNOUNCE_BLOB, api.BlobProgress, body=body)


async def test_att_3_two_who_announce_the_same_at_once_agree_or_conflict(hub: RunningHub) -> None:
    prison = hub.programme.members["gora-prison"]
    one, size = fresh(), MIN_CIPHERTEXT

    async def announced(sha256: bytes) -> object:
        return await hub.hub.blobs.announce(prison.device_id, one, size, sha256)

    outcomes = await asyncio.gather(announced(bytes(32)), announced(b"o" * 32), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes].count(Conflict) == 1


@pytest.mark.parametrize("step", ["announce", "advance", "collect"])
async def test_http_15_announcements_and_collections_leave_room_for_other_agencies_messages(
    tmp_path: Path, programme: Programme, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    prison, probation, csw = programme.members.values()
    async with RunningHub(tmp_path, programme, more=["[store]", "queue_length = 64"]) as hub:
        service = hub.hub.blobs
        whole = [make_blob(b"x") for _ in range(60)] if step == "advance" else []
        for blob in whole:
            sha256 = hashlib.sha256(blob.data).digest()
            await service.announce(prison.device_id, blob.id, len(blob.data), sha256)
        floods: dict[str, Callable[[int], Coroutine[Any, Any, object]]] = {
            "announce": lambda n: service.announce(prison.device_id, fresh(), MIN_CIPHERTEXT, bytes(32)),
            "advance": lambda n: service.upload(prison.device_id, whole[n].id, 0, whole[n].data),
            "collect": lambda n: service.collect(prison.device_id, seal_id(n), fresh()),
        }
        go_on, write = asyncio.Event(), hub.hub.store.write

        async def stuck(*arguments: Any) -> Any:
            await go_on.wait()
            return await write(*arguments)

        monkeypatch.setattr(hub.hub.store, "write", stuck)
        tasks = [asyncio.create_task(floods[step](number)) for number in range(60)]
        await eventually(lambda: sum(task.done() for task in tasks) >= 28)
        before = hub.hub.writer.waiting
        data = programme.sender("reka-probation").seal(csw.desk).data
        message = asyncio.ensure_future(hub.hub.submissions.submit(probation.device_id, data))
        await eventually(lambda: message.done() or hub.hub.writer.waiting > before)
        go_on.set()
        assert await message
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(one) for one in outcomes].count(Unavailable) == 28


def seal_id(number: int) -> ids.EnvelopeId:
    return ids.EnvelopeId(number.to_bytes(16, "big"))


async def test_http_15_a_message_counts_in_the_queue_by_what_it_makes_the_writer_write(
    tmp_path: Path, programme: Programme, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty-four attachments for some hundred desks are a small envelope and thousands of rows."""
    monkeypatch.setattr(accepting, "READER_WEIGHT", 1 << 20)
    prison, probation, csw = programme.members.values()
    async with RunningHub(tmp_path, programme, more=["[store]", "queue_megabytes = 4"]) as hub:
        go_on, write = asyncio.Event(), hub.hub.store.write

        async def stuck(*arguments: Any) -> Any:
            await go_on.wait()
            return await write(*arguments)

        monkeypatch.setattr(hub.hub.store, "write", stuck)
        submit: Callable[..., Any] = hub.hub.submissions.submit
        flood = [
            asyncio.ensure_future(
                submit(prison.device_id, seal_all(programme, "gora-prison", invented(1), "polje-csw").data)
            )
            for _ in range(10)
        ]
        await eventually(lambda: sum(task.done() for task in flood) >= 8)
        data = programme.sender("reka-probation").seal(csw.desk).data
        message = asyncio.ensure_future(submit(probation.device_id, data))
        await eventually(lambda: message.done() or hub.hub.writer.waiting == 2)
        go_on.set()
        assert await message
        outcomes = await asyncio.gather(*flood, return_exceptions=True)
        assert [type(one) for one in outcomes].count(Unavailable) == 8


@pytest.mark.parametrize("store_settings", [()])  # SQLite can say which statements were run; they are the same
async def test_att_8_an_envelope_with_attachments_makes_few_statements(hub: RunningHub) -> None:
    sealed = seal_all(hub.programme, "gora-prison", invented(64), "reka-probation", "polje-csw")
    envelope = parse_envelope(sealed.data)
    change = AcceptEnvelope(envelope, directory_size=0, valid_until=0, receipts=hub.hub.submissions._parts.receipts)
    assert change.weight == len(sealed.data) + 128 * READER_WEIGHT
    ran = list[str]()

    def work(connection: Any) -> None:
        connection.connection.dbapi_connection.set_trace_callback(ran.append)
        try:
            blobs.claim(connection, envelope, 0)
        finally:
            connection.connection.dbapi_connection.set_trace_callback(None)
        raise Unavailable

    with pytest.raises(Unavailable):
        await hub.hub.store.write(work)
    assert len(ran) == 128 // 32 + 1
