# SPDX-License-Identifier: Apache-2.0
"""The handlers of attachments: parse, one service call, answer."""

from collections.abc import Mapping
from dataclasses import dataclass

from hub.service.blobs import Blobs
from hub.store.blobs import StoredBlob
from hub.web.authentication import Authenticator
from protocol.http import blobs as api
from protocol.http.call import Answer, Call, Handler
from protocol.ids import KeyId

DeviceCall = Call[KeyId]


@dataclass(frozen=True, slots=True)
class BlobHandlers:
    """The handlers with the service that they call."""

    blobs: Blobs
    authenticator: Authenticator

    def by_operation(self) -> Mapping[str, Handler[KeyId]]:
        """Return the handler of each operation, by its id."""
        return {
            "announceBlob": self.announce,
            "uploadChunk": self.upload,
            "readChunk": self.read,
            "collectBlob": self.collect,
        }

    async def announce(self, call: DeviceCall) -> Answer:
        """Say how far an attachment has come (ATT-3)."""
        asked = call.body(api.BlobAnnouncement)
        return _progress(await self.blobs.announce(call.caller, asked.blob_id, asked.size, asked.sha256))

    async def upload(self, call: DeviceCall) -> Answer:
        """Take one chunk (ATT-3)."""
        blob_id, offset = call.path(api.BlobPath).blob_id, call.query(api.BlobOffset).offset
        return _progress(await self.blobs.upload(call.caller, blob_id, offset, call.raw))

    async def read(self, call: DeviceCall) -> Answer:
        """Give one chunk to a recipient (ATT-5)."""
        named, offset = call.path(api.EnvelopeBlobPath), call.query(api.BlobOffset).offset
        data = await self.blobs.read(call.caller, named.envelope_id, named.blob_id, offset)
        # A device that was revoked while the disk was read gets nothing any more (HTTP-12).
        self.authenticator.in_force(call.caller)
        return Answer(data)

    async def collect(self, call: DeviceCall) -> Answer:
        """Note that a recipient has an attachment (ATT-5)."""
        named = call.path(api.EnvelopeBlobPath)
        await self.blobs.collect(call.caller, named.envelope_id, named.blob_id)
        return Answer()


def _progress(blob: StoredBlob) -> Answer:
    return Answer(api.BlobProgress(received=blob.received, complete=blob.complete))
