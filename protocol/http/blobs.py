# SPDX-License-Identifier: Apache-2.0
"""The hub's operations for attachments: announced, uploaded, read and collected in chunks (ATT-3 to ATT-5)."""

from typing import Annotated

from pydantic import Field

from protocol.blobs import MAX_CIPHERTEXT, MIN_CIPHERTEXT
from protocol.errors import Conflict, InvalidInput, NotFound, QuotaReached, Revoked, StoreFull
from protocol.http.fields import BlobIdText, Bytes32, EnvelopeIdText, QueryModel, RequestModel, ResponseModel
from protocol.http.operation import Auth, Example, Media, Method, Operation
from protocol.limits import BLOB_CHUNK


class BlobAnnouncement(RequestModel):
    """The ciphertext of an attachment that is about to be uploaded."""

    blob_id: BlobIdText
    size: Annotated[int, Field(ge=MIN_CIPHERTEXT, le=MAX_CIPHERTEXT)]
    sha256: Bytes32


class BlobProgress(ResponseModel):
    """How many bytes the hub has, from the beginning on; `complete` once length and hash were found right."""

    received: int
    complete: bool


class BlobPath(QueryModel):
    """Path parameters of an upload."""

    blob_id: BlobIdText


class EnvelopeBlobPath(QueryModel):
    """Path parameters of an attachment at its recipient."""

    envelope_id: EnvelopeIdText
    blob_id: BlobIdText


class BlobOffset(QueryModel):
    """The first byte of a chunk."""

    offset: Annotated[int, Field(ge=0, le=MAX_CIPHERTEXT)] = 0


_B32 = "A" * 43
_BLOB = "blb_" + "a" * 26
_ENVELOPE = "env_" + "a" * 26

ANNOUNCE_BLOB = Operation(
    id="announceBlob",
    method=Method.POST,
    path="/v1/blobs",
    summary="Announce the ciphertext of an attachment; the answer says how much of it the hub has.",
    description="Safe to repeat: after a break it tells where the upload goes on (ATT-3).",
    auth=Auth.DEVICE,
    request=BlobAnnouncement,
    response=BlobProgress,
    errors=(Revoked, Conflict, QuotaReached, StoreFull),
    example=Example(
        request={"blob_id": _BLOB, "size": 2_097_824, "sha256": _B32},
        response={"received": 1_048_576, "complete": False},
    ),
)
UPLOAD_CHUNK = Operation(
    id="uploadChunk",
    method=Method.POST,
    path="/v1/blobs/{blob_id}/chunks",
    summary="Upload the next chunk of an announced attachment: 1 MiB, the last one shorter.",
    description="A 2xx answer is durable. What the hub has already is not written again (ATT-3).",
    auth=Auth.DEVICE,
    parameters=BlobPath,
    query=BlobOffset,
    request=Media.BYTES,
    response=BlobProgress,
    limit=BLOB_CHUNK,
    timeout_s=120,
    errors=(Revoked, NotFound, Conflict, InvalidInput, StoreFull),
    example=Example(
        path={"blob_id": _BLOB},
        query={"offset": "1048576"},
        request="the ciphertext's bytes from this offset on",
        response={"received": 2_097_152, "complete": False},
    ),
)
READ_CHUNK = Operation(
    id="readChunk",
    method=Method.GET,
    path="/v1/envelopes/{envelope_id}/blobs/{blob_id}",
    summary="Read up to 1 MiB of an attachment that a row addressed to the calling device names.",
    description="What is not the caller's, collected or expired is not found, all alike (ATT-5).",
    auth=Auth.DEVICE,
    parameters=EnvelopeBlobPath,
    query=BlobOffset,
    response=Media.BYTES,
    answer_limit=BLOB_CHUNK,
    timeout_s=120,
    errors=(Revoked, NotFound),
    example=Example(
        path={"envelope_id": _ENVELOPE, "blob_id": _BLOB},
        query={"offset": "0"},
        response="the ciphertext's bytes from this offset on",
    ),
)
COLLECT_BLOB = Operation(
    id="collectBlob",
    method=Method.POST,
    path="/v1/envelopes/{envelope_id}/blobs/{blob_id}/collection",
    summary="Say that an attachment is stored at the connector; with its last recipient the hub deletes it.",
    auth=Auth.DEVICE,
    parameters=EnvelopeBlobPath,
    status=204,
    errors=(Revoked,),
    example=Example(path={"envelope_id": _ENVELOPE, "blob_id": _BLOB}),
)
BLOB_OPERATIONS = (ANNOUNCE_BLOB, UPLOAD_CHUNK, READ_CHUNK, COLLECT_BLOB)
