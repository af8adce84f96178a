# SPDX-License-Identifier: Apache-2.0
"""Attachments at the hub: taken in chunks, checked without a key, given to whom a row names, gone in time."""

from pathlib import Path

import pytest

from hub.config import BLOBS_NAME
from hub.service.blobs import Advance
from hub.store.blobfiles import BlobFiles
from hub.store.blobs import BlobKey
from keys.blobopening import BlobOpener
from protocol import ids
from protocol.blobs import MAX_CIPHERTEXT
from protocol.errors import (
    AttachmentMissing,
    Conflict,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    QuotaReached,
    StoreFailed,
)
from protocol.http import blobs as api
from protocol.ids import BlobId, EnvelopeId, Kind
from protocol.limits import BLOB_CHUNK, BLOB_UNCLAIMED, DAY, HOUR
from tests.hub.blobs import announce, collect, make_blob, read_chunk, seal_with, send_chunk, upload
from tests.hub.running import RunningHub
from tests.programme import make_programme, open_as

TWO_CHUNKS = b"a page of a scan " * 80_000
"""A little more than 1 MiB."""


async def kept(hub: RunningHub) -> set[BlobKey]:
    """Return the attachments of which there are bytes."""
    return await hub.hub.blobs._files.keys()


async def test_att_5_each_recipient_reads_opens_and_collects_what_its_row_names(hub: RunningHub) -> None:
    prison, probation, csw = hub.programme.members.values()
    blob = make_blob(TWO_CHUNKS)
    await upload(hub.device(prison), blob)
    sealed = seal_with(hub.programme, "gora-prison", blob, [probation.desk, csw.desk])
    await hub.device(prison).submit(sealed.data)
    assert len(await kept(hub)) == 1
    for member in (probation, csw):
        device = hub.device(member)
        (item,) = await device.items()
        message = open_as(member, item.data, programme=hub.programme, audit_key=hub.audit_key)
        opener = BlobOpener(message.sections[1].attachments[0], 0)
        chunks = [await read_chunk(device, sealed.envelope_id, blob.id, at) for at in (0, BLOB_CHUNK)]
        assert b"".join(map(opener.update, chunks)) + opener.finish() == TWO_CHUNKS
        # The mailbox is acknowledged first: a long download holds up nothing and still goes on.
        await device.acknowledge(item.index)
        assert await read_chunk(device, sealed.envelope_id, blob.id) == chunks[0]
        await collect(device, sealed.envelope_id, blob.id)
        await collect(device, sealed.envelope_id, blob.id)
        with pytest.raises(NotFound):
            await read_chunk(device, sealed.envelope_id, blob.id)
    assert await kept(hub) == set()


async def test_att_3_an_upload_goes_on_where_it_broke_off_also_after_a_restart(tmp_path: Path) -> None:
    programme = make_programme()
    prison, probation, _ = programme.members.values()
    blob = make_blob(TWO_CHUNKS)
    async with RunningHub(tmp_path, programme) as hub:
        device = hub.device(prison)
        assert (await announce(device, blob)).received == 0
        assert (await send_chunk(device, blob.id, 0, blob.chunk(0))).received == BLOB_CHUNK
    async with RunningHub(tmp_path, programme) as hub:
        device = hub.device(prison)
        assert await announce(device, blob) == api.BlobProgress(received=BLOB_CHUNK, complete=False)
        whole = api.BlobProgress(received=len(blob.data), complete=True)
        assert await send_chunk(device, blob.id, BLOB_CHUNK, blob.chunk(1)) == whole
        # Whatever is sent again changes nothing.
        assert await send_chunk(device, blob.id, 0, bytes(BLOB_CHUNK)) == whole
        assert await announce(device, blob) == whole
        sealed = seal_with(programme, "gora-prison", blob, [probation.desk])
        await device.submit(sealed.data)
        assert await read_chunk(hub.device(probation), sealed.envelope_id, blob.id) == blob.chunk(0)


async def test_att_3_chunks_come_in_order_and_whole(hub: RunningHub) -> None:
    device = hub.device(hub.programme.members["gora-prison"])
    blob = make_blob(TWO_CHUNKS)
    with pytest.raises(NotFound):
        await send_chunk(device, blob.id, 0, blob.chunk(0))
    await announce(device, blob)
    with pytest.raises(Conflict):
        await send_chunk(device, blob.id, BLOB_CHUNK, blob.chunk(1))
    for offset, data in ((0, blob.data[:1_000]), (0, b""), (5, blob.chunk(0)), (2 * BLOB_CHUNK, b"x")):
        with pytest.raises((InvalidInput, Conflict, NotAuthenticated)):
            await send_chunk(device, blob.id, offset, data)
    assert (await announce(device, blob)).received == 0


async def test_att_3_a_whole_with_another_hash_is_not_taken_and_may_be_sent_anew(hub: RunningHub) -> None:
    prison, probation, _ = hub.programme.members.values()
    device = hub.device(prison)
    blob = make_blob(TWO_CHUNKS)
    await announce(device, blob)
    await send_chunk(device, blob.id, 0, bytes(BLOB_CHUNK))
    with pytest.raises(InvalidInput, match="hash"):
        await send_chunk(device, blob.id, BLOB_CHUNK, blob.chunk(1))
    sealed = seal_with(hub.programme, "gora-prison", blob, [probation.desk])
    with pytest.raises(AttachmentMissing):
        await device.submit(sealed.data)
    await upload(device, blob)
    await device.submit(sealed.data)
    assert await read_chunk(hub.device(probation), sealed.envelope_id, blob.id) == blob.chunk(0)


async def test_att_3_another_size_or_hash_under_the_same_id_is_a_conflict(hub: RunningHub) -> None:
    device = hub.device(hub.programme.members["gora-prison"])
    blob, other = make_blob(b"one"), make_blob(b"other")
    await announce(device, blob)
    body = api.BlobAnnouncement(blob_id=blob.id, size=len(blob.data), sha256=other.entry.ciphertext_hash)
    with pytest.raises(Conflict):
        await device.client.call(api.ANNOUNCE_BLOB, api.BlobProgress, body=body)


async def test_att_4_an_envelope_waits_until_its_attachments_are_there_whole_and_from_its_sender(
    hub: RunningHub,
) -> None:
    prison, probation, csw = hub.programme.members.values()
    device = hub.device(prison)
    blob = make_blob(TWO_CHUNKS)
    sealed = seal_with(hub.programme, "gora-prison", blob, [probation.desk])
    await upload(hub.device(csw), blob)
    for _ in range(2):
        with pytest.raises(AttachmentMissing):
            await device.submit(sealed.data)
        await announce(device, blob)
        await send_chunk(device, blob.id, 0, blob.chunk(0))
    assert await hub.leaves() == 0
    await upload(device, blob)
    receipt = await device.submit(sealed.data)
    assert await device.submit(sealed.data) == receipt
    assert await hub.leaves() == 1


async def test_att_4_the_size_in_the_row_must_be_that_of_the_upload(hub: RunningHub) -> None:
    prison, probation, _ = hub.programme.members.values()
    blob, larger = make_blob(b"small"), make_blob(bytes(20_000))
    await upload(hub.device(prison), blob)
    lie = type(blob)(
        type(blob.entry)(
            blob.entry.blob_id, blob.entry.key, larger.entry.ciphertext_size, bytes(32), 20_000, "text/plain", "x"
        ),
        blob.data,
    )
    with pytest.raises(AttachmentMissing):
        await hub.device(prison).submit(seal_with(hub.programme, "gora-prison", lie, [probation.desk]).data)


async def test_att_5_what_is_not_the_callers_is_as_if_it_were_not_there(hub: RunningHub) -> None:
    """HTTP-4: strangers, the sender, an old device, another envelope, another blob, an offset past the end."""
    programme = hub.programme
    prison, probation, csw = programme.members.values()
    blob = make_blob(TWO_CHUNKS)
    await upload(hub.device(prison), blob)
    sealed = seal_with(programme, "gora-prison", blob, [probation.desk])
    await hub.device(prison).submit(sealed.data)
    reader = hub.device(probation)
    told = set[str]()
    for device, envelope_id, blob_id, offset in (
        (hub.device(csw), sealed.envelope_id, blob.id, 0),
        (hub.device(prison), sealed.envelope_id, blob.id, 0),
        (reader, EnvelopeId(ids.new_id()), blob.id, 0),
        (reader, sealed.envelope_id, BlobId(ids.new_id()), 0),
        (reader, sealed.envelope_id, blob.id, len(blob.data)),
    ):
        with pytest.raises(NotFound) as caught:
            await read_chunk(device, envelope_id, blob_id, offset)
        told.add(caught.value.detail)
    assert len(told) == 1
    # Nor can a stranger collect it away, or learn that it is there.
    await collect(hub.device(csw), sealed.envelope_id, blob.id)
    await collect(hub.device(csw), EnvelopeId(ids.new_id()), blob.id)
    programme.replace_device(probation, "another machine")
    await hub.catch_up()
    with pytest.raises(NotFound):
        await read_chunk(hub.device(probation), sealed.envelope_id, blob.id)
    path = {"envelope_id": ids.text(Kind.ENVELOPE, sealed.envelope_id), "blob_id": ids.text(Kind.BLOB, blob.id)}
    with pytest.raises(NotAuthenticated):
        await hub.anonymous.call_bytes(api.READ_CHUNK, path=path)


async def test_att_5_nobody_can_take_an_id_away_from_its_sender(hub: RunningHub) -> None:
    """A co-recipient that knows the id uploads other bytes under it: each envelope reads its own sender's."""
    prison, probation, csw = hub.programme.members.values()
    blob = make_blob(b"the prison's")
    squat = make_blob(b"the squatter's")
    object.__setattr__(squat.entry, "blob_id", blob.entry.blob_id)
    await upload(hub.device(csw), squat)
    await upload(hub.device(prison), blob)
    honest = seal_with(hub.programme, "gora-prison", blob, [probation.desk])
    other = seal_with(hub.programme, "polje-csw", squat, [probation.desk])
    await hub.device(csw).submit(other.data)
    await hub.device(prison).submit(honest.data)
    reader = hub.device(probation)
    assert await read_chunk(reader, honest.envelope_id, blob.id) == blob.data
    assert await read_chunk(reader, other.envelope_id, blob.id) == squat.data
    await collect(reader, other.envelope_id, blob.id)
    assert await read_chunk(reader, honest.envelope_id, blob.id) == blob.data


async def test_att_5_a_blob_goes_with_the_last_envelope_that_names_it(hub: RunningHub) -> None:
    prison, probation, csw = hub.programme.members.values()
    device = hub.device(prison)
    blob = make_blob(TWO_CHUNKS)
    await upload(device, blob)
    short = seal_with(hub.programme, "gora-prison", blob, [probation.desk], life=HOUR)
    long = seal_with(hub.programme, "gora-prison", blob, [csw.desk], life=5 * DAY)
    await device.submit(long.data)
    await device.submit(short.data)
    hub.clock.advance(HOUR)
    assert await hub.hub.blobs.expire() == 0
    with pytest.raises(NotFound):
        await read_chunk(hub.device(probation), short.envelope_id, blob.id)
    assert await read_chunk(hub.device(csw), long.envelope_id, blob.id) == blob.chunk(0)
    hub.clock.advance(5 * DAY)
    await hub.hub.housekeeping.drop_blobs()
    assert await kept(hub) == set()
    with pytest.raises(NotFound):
        await read_chunk(hub.device(csw), long.envelope_id, blob.id)


async def test_att_6_what_no_envelope_names_is_deleted_after_two_days(hub: RunningHub) -> None:
    device = hub.device(hub.programme.members["gora-prison"])
    begun, whole = make_blob(TWO_CHUNKS), make_blob(b"whole")
    await announce(device, begun)
    await send_chunk(device, begun.id, 0, begun.chunk(0))
    await upload(device, whole)
    hub.clock.advance(BLOB_UNCLAIMED - 1)
    assert await hub.hub.blobs.expire() == 0
    # No two changes of a blob have the same time, though the clock stands still.
    hub.clock.advance(10)
    assert await hub.hub.blobs.expire() == 2
    assert await kept(hub) == set()
    assert (await announce(device, begun)).received == 0


async def test_att_6_an_agency_has_a_bound_and_others_are_not_touched_by_it(tmp_path: Path) -> None:
    programme = make_programme()
    prison, probation, _ = programme.members.values()
    async with RunningHub(tmp_path, programme, more=["[store]", "attachment_gigabytes = 2"]) as hub:
        largest = MAX_CIPHERTEXT
        for member, taken in ((prison, 1), (probation, 1)):
            client = hub.device(member).client
            for number in range(3):
                body = api.BlobAnnouncement(blob_id=BlobId(ids.new_id()), size=largest, sha256=bytes(32))
                if number < taken:
                    await client.call(api.ANNOUNCE_BLOB, api.BlobProgress, body=body)
                else:
                    with pytest.raises(QuotaReached):
                        await client.call(api.ANNOUNCE_BLOB, api.BlobProgress, body=body)
        hub.clock.advance(BLOB_UNCLAIMED)
        assert await hub.hub.blobs.expire() == 2
        body = api.BlobAnnouncement(blob_id=BlobId(ids.new_id()), size=largest, sha256=bytes(32))
        await hub.device(prison).client.call(api.ANNOUNCE_BLOB, api.BlobProgress, body=body)


async def test_att_3_a_crash_leaves_a_file_too_much_and_the_next_start_removes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programme = make_programme()
    prison = programme.members["gora-prison"]
    blob, forgotten = make_blob(TWO_CHUNKS), BlobKey(prison.device_id, BlobId(ids.new_id()))
    async with RunningHub(tmp_path, programme) as hub:
        device = hub.device(prison)
        await announce(device, blob)

        def fail(self: Advance, transaction: object) -> None:
            raise OSError

        with monkeypatch.context() as patch:
            # The chunk is on the disk, the database never hears of it: as if the process had ended in between.
            patch.setattr(Advance, "apply", fail)
            with pytest.raises(Exception, match="Something failed here"):
                await send_chunk(device, blob.id, 0, b"\xff" * BLOB_CHUNK)
        await BlobFiles(tmp_path / BLOBS_NAME).write(forgotten, 0, b"of a blob that was collected")
        assert len(await kept(hub)) == 2
    async with RunningHub(tmp_path, programme) as hub:
        assert len(await kept(hub)) == 1
        assert (await announce(hub.device(prison), blob)).received == 0
        await upload(hub.device(prison), blob)
        assert (await announce(hub.device(prison), blob)).complete


async def test_att_9_what_is_not_the_hubs_in_the_folder_of_attachments_hinders_no_start_and_is_left_alone(
    tmp_path: Path,
) -> None:
    programme, folder = make_programme(), tmp_path / BLOBS_NAME
    prison, blob = programme.members["gora-prison"], make_blob(b"x")
    async with RunningHub(tmp_path, programme) as hub:
        await upload(hub.device(prison), blob)
    like_ours = "0f" * (len(next(folder.iterdir()).name) // 2)
    for name in ("lost+found", like_ours):
        (folder / name).mkdir()
    for name in (".DS_Store", ".nfs0001", f"{like_ours}.bak", "0f"):
        (folder / name).touch()
    there = set(folder.iterdir())
    async with RunningHub(tmp_path, programme) as hub:
        assert (await announce(hub.device(prison), blob)).complete
    assert set(folder.iterdir()) == there


@pytest.mark.parametrize("store_settings", [()])  # it is about files
async def test_att_3_a_file_that_was_shortened_or_lost_is_noticed_before_it_counts(hub: RunningHub) -> None:
    device = hub.device(hub.programme.members["gora-prison"])
    blob = make_blob(TWO_CHUNKS)
    await announce(device, blob)
    await send_chunk(device, blob.id, 0, blob.chunk(0))
    (file,) = (hub.folder / BLOBS_NAME).iterdir()
    file.unlink()
    with pytest.raises(InvalidInput, match="hash"):
        await send_chunk(device, blob.id, BLOB_CHUNK, blob.chunk(1))
    await upload(device, blob)
    assert (await announce(device, blob)).complete


@pytest.mark.parametrize("store_settings", [()])  # it is about files
async def test_att_3_files_are_the_hubs_own_and_a_failing_disk_has_a_name(hub: RunningHub, tmp_path: Path) -> None:
    device = hub.device(hub.programme.members["gora-prison"])
    await upload(device, make_blob(b"x"))
    folder = hub.folder / BLOBS_NAME
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    (tmp_path / "in the way").touch()
    key = BlobKey(hub.programme.members["gora-prison"].device_id, BlobId(bytes(16)))
    with pytest.raises(StoreFailed):
        await BlobFiles(tmp_path / "in the way").write(key, 0, b"x")
