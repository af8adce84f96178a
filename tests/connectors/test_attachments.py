# SPDX-License-Identifier: Apache-2.0
"""Attachments from one agency's disk to another's: sealed as they come, carried in chunks, given out once checked."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from connectors.access import TOKEN_FILE, ensure_token
from connectors.api import application
from connectors.api_client import ApiClient
from connectors.attachment_files import FOLDER
from connectors.attachments import UNNAMED_FOR
from connectors.bound import Desks
from connectors.hub_client import BlobLink
from connectors.logs import Log
from hub.config import BLOBS_NAME
from protocol.clocks import Ack
from protocol.errors import Conflict, HubUnreachable, IdempotencyKeyReused, InvalidInput, KeystoreError, NotFound
from protocol.http import blobs
from protocol.http.handovers import HandoverRequest, MessageState, NamedAttachment
from protocol.http.running import Runner, listen
from protocol.ids import BlobId, EnvelopeId, MessageId
from protocol.lifecycle.ladder import ladder
from protocol.limits import BLOB_CHUNK, BLOB_UNCLAIMED, DAY
from tests.connectors.cases.test_referral import agreed, history
from tests.connectors.conftest import World
from tests.connectors.stations import Station, api_of, package

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")

SCAN = b"planted-in-a-scan " * 80_000
"""A little more than one chunk."""


async def pieces(data: bytes, size: int = 300_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def store(station: Station, data: bytes, place: int = 0) -> BlobId:
    added = await station.parts.attachments.add(
        pieces(data), name="scan.pdf", media_type="application/pdf", place=place
    )
    return added.answer.id


async def send(world: World, *named: tuple[BlobId, int]) -> MessageId:
    """Queue a handover for probation and social work; section 1 is for both, section 2 for probation."""
    request = HandoverRequest(
        to=[world.probation.desk, world.social_work.desk],
        package=package(),
        attachments=[NamedAttachment(id=one, section=section) for one, section in named],
    )
    key = secrets.token_urlsafe(24)
    queued = await world.prison.parts.handovers.send(request, key=key, body=key.encode())
    return queued.answer.id


async def carry(station: Station) -> None:
    """Seal, upload and send all that is due."""
    while await station.seal_and_send() or await station.parts.uploads.step():
        pass


async def fetch(station: Station) -> None:
    """Collect mail, then fetch what it names."""
    await station.collect()
    while await station.parts.downloads.step():
        pass


async def read(station: Station, message_id: MessageId, section: int = 1, place: int = 0) -> bytes:
    opened = await station.parts.attachments.open(message_id, section, place)
    data = b"".join([piece async for piece in opened.pieces])
    assert len(data) == opened.size
    return data


def files(station: Station) -> list[Path]:
    folder = station.folder / FOLDER
    return sorted(folder.iterdir()) if folder.is_dir() else []


def fetched(station: Station) -> list[Path]:
    return [path for path in files(station) if path.name.startswith("in-")]


async def shown(station: Station, message_id: MessageId) -> list[tuple[int, int, str, str]]:
    view = await station.view(message_id)
    return [
        (section.number, one.place, one.name, one.state) for section in view.sections for one in section.attachments
    ]


async def test_att_7_an_attachment_reaches_whoever_gets_its_section_and_nobody_else(world: World) -> None:
    both, second, risk = [await store(world.prison, data, place) for data, place in ((SCAN, 0), (b"2", 1), (b"r", 0))]
    sent = await send(world, (both, 1), (second, 1), (risk, 2))
    await carry(world.prison)
    for station in (world.probation, world.social_work):
        await fetch(station)
        assert await read(station, sent) == SCAN
        assert await read(station, sent, 1, 1) == b"2"
        await station.seal_and_send()
    assert await read(world.probation, sent, 2) == b"r"
    with pytest.raises(NotFound):
        await read(world.social_work, sent, 2)
    assert await shown(world.social_work, sent) == [(1, 0, "scan.pdf", "stored"), (1, 1, "scan.pdf", "stored")]
    assert [one[3] for one in await shown(world.prison, sent)] == ["sent"] * 3
    await world.prison.collect()
    assert set((await world.prison.states(sent)).values()) == {MessageState.OPENED}
    # Collected by all, the hub has nothing left; opened by all, neither has the sender.
    assert list((world.hub.folder / BLOBS_NAME).iterdir()) == []
    await world.prison.parts.attachments.sweep()
    assert files(world.prison) == []
    await world.probation.parts.attachments.sweep()
    assert await read(world.probation, sent) == SCAN


async def test_con_5_an_attachment_lies_on_no_disk_in_clear_while_it_travels(world: World) -> None:
    sent = await send(world, (await store(world.prison, SCAN), 1))
    await carry(world.prison)
    await fetch(world.probation)
    folders = [world.prison.folder, world.probation.folder, world.hub.folder]
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        assert b"planted-in-a-scan" not in path.read_bytes(), path.name
    for path in [*files(world.prison), *files(world.probation)]:
        assert path.stat().st_mode & 0o777 == 0o600
    assert await read(world.probation, sent) == SCAN


async def test_att_7_the_message_is_there_at_once_and_counts_as_opened_only_when_all_is(world: World) -> None:
    sent = await send(world, (await store(world.prison, SCAN), 1))
    await carry(world.prison)
    await world.probation.turn()
    assert await shown(world.probation, sent) == [(1, 0, "scan.pdf", "waiting")]
    with pytest.raises(NotFound):
        await read(world.probation, sent)
    await world.prison.collect()
    assert (await world.prison.states(sent))[world.probation.desk] is MessageState.ACCEPTED
    await fetch(world.probation)
    await world.probation.seal_and_send()
    await world.prison.collect()
    assert (await world.prison.states(sent))[world.probation.desk] is MessageState.OPENED


async def test_lif_5_the_receiver_of_attachments_has_the_step_that_its_own_receipt_is(world: World) -> None:
    sent = await send(world, (await store(world.prison, SCAN), 1))
    await carry(world.prison)
    await fetch(world.probation)
    await world.probation.seal_and_send()
    await world.prison.collect()
    thread = (await world.prison.view(sent)).thread
    assert await agreed(thread, world.prison, world.probation) == "offered"
    assert list(ladder(await history(world.probation, thread))) == [Ack.A1]


class Breaking:
    """Lets a number of chunks through, then breaks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, after: int) -> None:
        self.left = after
        real = getattr(BlobLink, name)

        async def breaking(link: BlobLink, *arguments: object) -> object:
            self.left -= 1
            if self.left < 0:
                raise HubUnreachable
            return await real(link, *arguments)

        monkeypatch.setattr(BlobLink, name, breaking)


async def test_att_3_a_broken_upload_goes_on_where_it_was(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = await send(world, (await store(world.prison, SCAN * 2), 1))
    breaking = Breaking(monkeypatch, "upload", 1)
    await carry(world.prison)
    assert (await world.prison.states(sent))[world.probation.desk] is MessageState.QUEUED
    (file,) = (world.hub.folder / BLOBS_NAME).iterdir()
    assert file.stat().st_size == BLOB_CHUNK
    breaking.left = 2
    world.hub.clock.advance(5_000)
    await carry(world.prison)
    assert breaking.left == 0
    await fetch(world.probation)
    assert await read(world.probation, sent) == SCAN * 2


async def test_att_7_a_broken_download_goes_on_where_it_was(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = await send(world, (await store(world.prison, SCAN * 2), 1))
    await carry(world.prison)
    breaking = Breaking(monkeypatch, "read", 1)
    await world.probation.collect()
    await world.probation.parts.downloads.step()
    (part,) = fetched(world.probation)
    assert (part.suffix, part.stat().st_size) == (".part", BLOB_CHUNK)
    breaking.left = 2
    world.hub.clock.advance(5_000)
    await fetch(world.probation)
    assert breaking.left == 0
    assert await read(world.probation, sent) == SCAN * 2


async def test_att_2_bytes_that_are_not_those_signed_for_leave_no_file_and_are_sent_anew(world: World) -> None:
    """Attack 60: the hub exchanges an attachment for another one; the sender hears of it and sends it again."""
    sent = await send(world, (await store(world.prison, SCAN), 1))
    await carry(world.prison)
    (file,) = (world.hub.folder / BLOBS_NAME).iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:BLOB_CHUNK] + secrets.token_bytes(len(whole) - BLOB_CHUNK))
    await fetch(world.probation)
    assert fetched(world.probation) == []
    assert await shown(world.probation, sent) == [(1, 0, "scan.pdf", "failed")]
    with pytest.raises(NotFound):
        await read(world.probation, sent)
    await fetch(world.social_work)
    await world.probation.seal_and_send()
    await world.prison.collect()
    await carry(world.prison)
    await fetch(world.probation)
    assert await read(world.probation, sent) == SCAN
    await world.probation.seal_and_send()
    await world.prison.collect()
    assert (await world.prison.states(sent))[world.probation.desk] is MessageState.OPENED


async def test_att_2_a_download_that_was_resumed_with_other_bytes_leaves_no_file(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack 60: the first chunk of this blob, the rest of another."""
    first, other = await store(world.prison, SCAN), await store(world.prison, SCAN, place=1)
    sent = await send(world, (first, 1), (other, 1))
    await carry(world.prison)
    real = BlobLink.read

    async def splicing(link: BlobLink, envelope_id: EnvelopeId, blob_id: bytes, offset: int) -> bytes:
        return await real(link, envelope_id, other if offset else blob_id, offset)

    monkeypatch.setattr(BlobLink, "read", splicing)
    await fetch(world.probation)
    assert [one[3] for one in await shown(world.probation, sent)] == ["failed", "stored"]
    assert len(fetched(world.probation)) == 1


async def test_att_4_what_the_hub_has_dropped_meanwhile_is_uploaded_again(world: World) -> None:
    sent = await send(world, (await store(world.prison, SCAN), 1))
    await world.prison.parts.sealer.step()
    assert await world.prison.parts.uploads.step() == 1
    world.hub.clock.advance(BLOB_UNCLAIMED)
    assert await world.hub.hub.blobs.expire() == 1
    assert await world.prison.parts.outbox.step(world.prison.link) == 1
    world.hub.clock.advance(5_000)
    await world.prison.parts.directory.sync()
    await carry(world.prison)
    await world.probation.look()
    await fetch(world.probation)
    assert await read(world.probation, sent) == SCAN


async def test_att_7_what_expired_at_the_hub_is_asked_for_and_comes_anew(world: World) -> None:
    sent = await send(world, (await store(world.prison, SCAN), 1))
    await carry(world.prison)
    await world.probation.collect()
    world.hub.clock.advance(31 * DAY)
    await world.hub.hub.expiry.expire()
    await world.hub.hub.blobs.expire()
    for station in (world.probation, world.prison):
        await station.look()
    await fetch(world.probation)
    assert await shown(world.probation, sent) == [(1, 0, "scan.pdf", "failed")]
    await world.probation.seal_and_send()
    await world.prison.collect()
    await carry(world.prison)
    await fetch(world.probation)
    assert await read(world.probation, sent) == SCAN


async def test_att_7_a_file_that_was_changed_on_the_disk_is_not_given_out(world: World) -> None:
    sent = await send(world, (await store(world.prison, SCAN), 1))
    await carry(world.prison)
    await fetch(world.probation)
    (file,) = fetched(world.probation)
    data = bytearray(file.read_bytes())
    data[700_000] ^= 1
    file.write_bytes(data)
    with pytest.raises(KeystoreError, match="not as it came"):
        await world.probation.parts.attachments.open(sent, 1, 0)
    file.unlink()
    with pytest.raises(KeystoreError, match="not as it came"):
        await world.probation.parts.attachments.open(sent, 1, 0)


async def test_a_handover_names_attachments_that_are_there_once_in_order_for_sections_that_are(world: World) -> None:
    one, two = await store(world.prison, b"1"), await store(world.prison, b"2", place=1)
    for named, error in (
        ([(BlobId(bytes(16)), 1)], NotFound),
        ([(one, 9)], InvalidInput),
        ([(two, 1), (one, 1)], InvalidInput),
        ([(one, 1), (one, 1)], Conflict),
    ):
        with pytest.raises(error):
            await send(world, *named)
    await send(world, (one, 1), (two, 1))
    with pytest.raises(Conflict):
        await send(world, (one, 1))


async def test_the_same_under_one_key_is_the_attachment_that_it_was_before(world: World) -> None:
    async def add(data: bytes, name: str, key: str, desks: Desks = None) -> BlobId:
        added = await world.prison.parts.attachments.add(
            pieces(data), name=name, media_type="application/pdf", place=0, key=key, desks=desks
        )
        replays.append(added.replayed)
        return added.answer.id

    replays = list[bool]()
    first = await add(SCAN, "scan.pdf", "k" * 16)
    assert await add(SCAN, "scan.pdf", "k" * 16) == first
    assert replays == [False, True]
    for data, name in ((SCAN + b"!", "scan.pdf"), (SCAN, "other.pdf")):
        with pytest.raises(IdempotencyKeyReused):
            await add(data, name, "k" * 16)
    assert len(files(world.prison)) == 1, "nothing is left of what was not stored"
    bound = await add(SCAN, "scan.pdf", "k" * 16, frozenset({world.prison.desk}))
    assert len({first, bound, await add(SCAN, "scan.pdf", "l" * 16), await add(SCAN, "scan.pdf", "")}) == 4


async def test_what_is_never_named_is_deleted_and_what_is_being_stored_is_not(world: World) -> None:
    await store(world.prison, b"never named")
    broken = pieces(b"x" * 10)

    async def fails() -> AsyncIterator[bytes]:
        yield await anext(broken)
        await world.prison.parts.attachments.sweep()
        assert len(files(world.prison)) == 2
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await world.prison.parts.attachments.add(fails(), name="x", media_type="text/plain", place=0)
    await world.prison.parts.attachments.sweep()
    assert len(files(world.prison)) == 1
    world.hub.clock.advance(UNNAMED_FOR + 1)
    await world.prison.parts.attachments.sweep()
    assert files(world.prison) == []


async def test_att_1_keys_and_names_of_attachments_are_sealed_in_the_store(world: World) -> None:
    await send(world, (await store(world.prison, SCAN), 1))
    await carry(world.prison)
    await fetch(world.probation)
    for station, table in ((world.prison, "attachment_out"), (world.probation, "attachment_in")):
        async with station.parts.store.read() as tx:
            (row,) = await tx.connection.execute(text(f"SELECT * FROM {table}"))  # noqa: S608
        assert b"scan.pdf" not in row.sealed
        assert "scan.pdf" not in str(row)


async def test_con_6_attachments_stream_through_the_local_interface(world: World) -> None:
    async def serve(station: Station) -> tuple[Runner, str]:
        api = api_of(station)
        token = ensure_token(station.folder)
        runner = Runner(application(api, token, world.hub.clock, Log(station.logged, json=True)), clock=world.hub.clock)
        return runner, f"http://localhost:{await listen(runner, '127.0.0.1', 0)}"

    prison, probation = await serve(world.prison), await serve(world.probation)
    async with (
        ApiClient.of(prison[1], world.prison.folder / TOKEN_FILE) as sender,
        ApiClient.of(probation[1], world.probation.folder / TOKEN_FILE) as receiver,
    ):
        stored = await sender.store_attachment(pieces(SCAN), name="čitanje.pdf", media_type="text/plain", place=0)
        assert stored.size == len(SCAN)
        sent = await send(world, (stored.id, 1))
        await carry(world.prison)
        await fetch(world.probation)
        assert b"".join([piece async for piece in receiver.attachment(sent, 1, 0)]) == SCAN
        assert (await shown(world.probation, sent))[0][2] == "čitanje.pdf"
        with pytest.raises(NotFound):
            await anext(receiver.attachment(sent, 1, 1))
        # What fails on the way is cut off, and never looks like a whole.
        (file,) = fetched(world.probation)
        real = world.probation.parts.attachments._files.check

        def then_damage(*arguments: object, **more: object) -> None:
            real(*arguments, **more)  # type: ignore[arg-type]
            data = bytearray(file.read_bytes())
            data[-1] ^= 1
            file.write_bytes(data)

        world.probation.parts.attachments._files.check = then_damage  # type: ignore[method-assign]
        with pytest.raises(HubUnreachable):
            [piece async for piece in receiver.attachment(sent, 1, 0)]
    await prison[0].cleanup()
    await probation[0].cleanup()


def test_att_3_a_chunk_is_what_one_request_carries() -> None:
    assert blobs.UPLOAD_CHUNK.limit == blobs.READ_CHUNK.answer_limit == BLOB_CHUNK
