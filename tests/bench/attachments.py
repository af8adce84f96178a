# SPDX-License-Identifier: Apache-2.0
"""Attachments: uploaded in chunks to the hub and to the floor, delivered whole, and the hub's memory meanwhile."""

import hashlib
import secrets
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from protocol.http.calling import new_session
from protocol.ids import BlobId, new_id
from protocol.limits import BLOB_CHUNK
from tests.bench.further import Promise
from tests.bench.hubserver import HubFolder, floor_process, serving
from tests.bench.machine import MIB, forget_peak, resident_mib
from tests.bench.rounds import Extent, interleave, median_ratio
from tests.bench.stock import ONLINE, SENDER
from tests.bench.targets import Figure
from tests.hub.blobs import announce_size, collect, make_blob, read_chunk, seal_with, send_chunk, upload
from tests.hub.process import now
from tests.hub.running import DeviceClient

DELIVERED_MIB = 10
_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class _Uploads:
    """Uploads of `mebibytes` to a hub and to the floor; every chunk is durable before the next one goes."""

    device: DeviceClient
    session: aiohttp.ClientSession
    floor_url: str
    mebibytes: int

    async def to_hub(self) -> float:
        """Return MiB/s."""
        piece, whole = secrets.token_bytes(BLOB_CHUNK), hashlib.sha256()
        for _ in range(self.mebibytes):
            whole.update(piece)
        blob_id = BlobId(new_id())
        begin = time.perf_counter()
        await announce_size(self.device, blob_id, self.mebibytes * BLOB_CHUNK, whole.digest())
        for place in range(self.mebibytes):
            await send_chunk(self.device, blob_id, place * BLOB_CHUNK, piece)
        return self.mebibytes * BLOB_CHUNK / MIB / (time.perf_counter() - begin)

    async def to_floor(self) -> float:
        """Return MiB/s."""
        piece, name = secrets.token_bytes(BLOB_CHUNK), secrets.token_hex(8)
        begin = time.perf_counter()
        for _ in range(self.mebibytes):
            async with self.session.post(f"{self.floor_url}/chunks/{name}", data=piece) as response:
                if response.status != 204:
                    raise RuntimeError(f"the floor answered {response.status}")
        return self.mebibytes * BLOB_CHUNK / MIB / (time.perf_counter() - begin)


async def attachments(folder: Path, extent: Extent) -> list[Promise]:
    """Return throughput against the floor, the time of one delivery, and the hub's growth of memory meanwhile."""
    hub_folder = HubFolder(folder / "attachments")
    programme = hub_folder.programme
    async with (
        serving(hub_folder) as hub,
        floor_process(folder / "chunks") as floor,
        new_session() as session,
        aiohttp.ClientSession() as bare,
    ):
        sender, recipient = (
            DeviceClient(session, hub.said["url"], programme.members[name].device, now) for name in (SENDER, ONLINE)
        )
        uploads = _Uploads(sender, bare, floor.said["url"], extent.attachment_mib)
        await _Uploads(sender, bare, floor.said["url"], 2).to_hub()
        before = resident_mib(hub.pid)
        forget_peak(hub.pid)
        found = await interleave(extent.rounds, {"hub": uploads.to_hub, "floor": uploads.to_floor})
        delivery = _delivery(hub_folder, sender, recipient, extent.delivered_mib)
        seconds = [await delivery() for _ in range(extent.rounds)]
        grown = resident_mib(hub.pid, "VmHWM") - before
    size = extent.attachment_mib
    return [
        Promise(
            Figure(f"upload of {size} MiB ÷ floor's own", median_ratio(found["hub"], found["floor"]), ""),
            _SHARE,
            at_least=True,
        ),
        Promise(Figure("the hub's memory meanwhile, at most above before", max(0.0, grown), "MiB"), 64),
        Promise(Figure(f"{extent.delivered_mib} MiB delivered", statistics.median(seconds), "s"), 0.3),
    ]


def _delivery(
    hub_folder: HubFolder, sender: DeviceClient, recipient: DeviceClient, mebibytes: int
) -> Callable[[], Awaitable[float]]:
    """Return what uploads a sealed attachment, sends the message that names it, and has it read and collected."""
    programme = hub_folder.programme
    desk = programme.members[ONLINE].desk

    async def deliver() -> float:
        blob = make_blob(bytes(mebibytes * MIB))
        sealed = seal_with(programme, SENDER, blob, [desk])
        begin = time.perf_counter()
        await upload(sender, blob)
        await sender.submit(sealed.data)
        _, items = await recipient.read(wait=5)
        for offset in range(0, len(blob.data), BLOB_CHUNK):
            await read_chunk(recipient, sealed.envelope_id, blob.id, offset)
        await recipient.acknowledge(items[-1].index)
        await collect(recipient, sealed.envelope_id, blob.id)
        return time.perf_counter() - begin

    return deliver
