# SPDX-License-Identifier: Apache-2.0
"""The operations on attachments of a connector's local interface: storing one to send, reading one that came."""

from protocol.errors import Conflict, IdempotencyKeyReused, IllegalTransition, NotFound, StoreFull
from protocol.http.examples import MESSAGE
from protocol.http.handovers import AttachmentChoice, AttachmentPath, AttachmentStored, AttachmentToStore
from protocol.http.operation import Auth, Example, Media, Method, Operation, Scope
from protocol.limits import MAX_BLOB

STORE_ATTACHMENT = Operation(
    id="storeAttachment",
    method=Method.POST,
    path="/v1/attachments",
    summary="Store an attachment of at most 1 GiB for a handover to name within seven days; sealed as it comes.",
    description="With an `Idempotency-Key` the same bytes again are the attachment that they were before.",
    auth=Auth.TOKEN,
    scope=Scope.SEND,
    query=AttachmentToStore,
    request=Media.BYTES,
    response=AttachmentStored,
    status=201,
    key_if_wanted=True,
    streamed=True,
    limit=MAX_BLOB,
    timeout_s=300,
    errors=(IdempotencyKeyReused, StoreFull),
    example=Example(
        query={"name": "scan.pdf", "media_type": "application/pdf", "place": "0"},
        request="the attachment's bytes",
        response={"id": "blb_" + "a" * 26, "size": 81_920},
    ),
)
READ_ATTACHMENT = Operation(
    id="readAttachment",
    method=Method.GET,
    path="/v1/handovers/{id}/sections/{section}/attachments/{place}",
    summary="Read an attachment that came with a handover; bytes short of Content-Length must not be used.",
    description="Where the handover came for several desks of this agency, each desk's sections have numbers of "
    "their own: `recipient` says whose is meant (`desks` of the section); while several could be, it is `conflict`.",
    auth=Auth.TOKEN,
    scope=Scope.READ,
    parameters=AttachmentPath,
    query=AttachmentChoice,
    response=Media.BYTES,
    streamed=True,
    timeout_s=300,
    errors=(NotFound, Conflict, IllegalTransition),
    example=Example(path={"id": MESSAGE, "section": "1", "place": "0"}, response="the attachment's bytes"),
)
