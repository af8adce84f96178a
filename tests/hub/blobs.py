# SPDX-License-Identifier: Apache-2.0
"""What a device does with attachments at the hub: seal, upload, name them in an envelope, read, collect."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field

from keys.blobsealing import BlobSealer
from protocol import ids
from protocol.address import DeskAddress
from protocol.http import blobs as api
from protocol.ids import BlobId, EnvelopeId, Kind
from protocol.limits import BLOB_CHUNK, DAY
from protocol.sections import Attachment
from tests.hub.running import DeviceClient
from tests.programme import Programme, Sealed


@dataclass(frozen=True)
class Blob:
    """A sealed attachment."""

    entry: Attachment
    data: bytes = field(repr=False)

    @property
    def id(self) -> BlobId:
        return BlobId(self.entry.blob_id)

    def chunk(self, number: int) -> bytes:
        return self.data[number * BLOB_CHUNK : (number + 1) * BLOB_CHUNK]


def make_blob(plaintext: bytes, index: int = 0) -> Blob:
    sealer = BlobSealer(BlobId(ids.new_id()), index)
    data = sealer.update(plaintext) + b"".join(sealer.finish())
    return Blob(sealer.entry("application/pdf", "scan.pdf"), data)


async def announce(device: DeviceClient, blob: Blob) -> api.BlobProgress:
    return await announce_size(device, blob.id, len(blob.data), hashlib.sha256(blob.data).digest())


async def announce_size(device: DeviceClient, blob_id: BlobId, size: int, sha256: bytes) -> api.BlobProgress:
    body = api.BlobAnnouncement(blob_id=blob_id, size=size, sha256=sha256)
    return await device.client.call(api.ANNOUNCE_BLOB, api.BlobProgress, body=body)


async def send_chunk(device: DeviceClient, blob_id: BlobId, offset: int, data: bytes) -> api.BlobProgress:
    path = {"blob_id": ids.text(Kind.BLOB, blob_id)}
    return await device.client.call(api.UPLOAD_CHUNK, api.BlobProgress, path=path, query={"offset": offset}, body=data)


async def upload(device: DeviceClient, blob: Blob) -> None:
    received = (await announce(device, blob)).received
    while received < len(blob.data):
        received = (await send_chunk(device, blob.id, received, blob.data[received : received + BLOB_CHUNK])).received


def _path(envelope_id: EnvelopeId, blob_id: BlobId) -> dict[str, str]:
    return {"envelope_id": ids.text(Kind.ENVELOPE, envelope_id), "blob_id": ids.text(Kind.BLOB, blob_id)}


async def read_chunk(device: DeviceClient, envelope_id: EnvelopeId, blob_id: BlobId, offset: int = 0) -> bytes:
    return await device.client.call_bytes(api.READ_CHUNK, path=_path(envelope_id, blob_id), query={"offset": offset})


async def collect(device: DeviceClient, envelope_id: EnvelopeId, blob_id: BlobId) -> None:
    await device.client.call_bytes(api.COLLECT_BLOB, path=_path(envelope_id, blob_id))


def seal_with(
    programme: Programme, sender: str, blob: Blob, desks: Collection[DeskAddress], *, life: int = 30 * DAY
) -> Sealed:
    """Seal one section with `blob` for `desks`."""
    return programme.sender(sender).seal(
        *desks, sections=[(b"see the scan", desks)], attachments=(blob.entry,), now=programme.now, life=life
    )
