# SPDX-License-Identifier: Apache-2.0
"""The operations of a hub, and the models of their JSON bodies (HTTP-1 to HTTP-9).

Directory and enrolment need no device: what is submitted there carries its own signatures or its own MAC, an
authority has no device, and a connector must replay the directory before it has one.
"""

from typing import Annotated

from pydantic import Field

from protocol.errors import (
    AttachmentMissing,
    BadSignature,
    DirectoryInconsistent,
    EnrolmentRefused,
    EnvelopeIdReused,
    Expired,
    InvalidInput,
    MalformedEnvelope,
    NotFound,
    PolicyDenied,
    QuotaReached,
    RecipientUnavailable,
    Revoked,
    SenderMismatch,
    StoreFull,
    UnsupportedSuite,
    UntrustedKey,
)
from protocol.frames import MAX_BATCH_BODY, MAX_INCOMING
from protocol.generations import MAX_GENERATION
from protocol.http.blobs import BLOB_OPERATIONS
from protocol.http.documents import GET_DOCS, GET_OPENAPI
from protocol.http.fields import (
    Bytes32,
    CodeIdText,
    QueryModel,
    RequestModel,
    ResponseModel,
    Time,
    base64url,
)
from protocol.http.operation import Auth, Example, Media, Method, Operation, registry
from protocol.limits import MAX_BATCH, MAX_ENVELOPE, MAX_KEY_REQUEST, MAX_SOCKET_ENVELOPE, MAX_STATEMENT

MAX_STATEMENTS = 500
"""Statements in one page of the directory."""
STATEMENT_PAGE = 4 << 20
"""Bytes of statements after which a page ends early; `next_index` tells where to go on."""
MAX_MAILBOX_PAGE = 200
MAX_WAIT_S = 50
"""Seconds of a long poll: below the 60 s after which many proxies cut a silent connection."""

_STATEMENT = Annotated[bytes, base64url(minimum=1, maximum=MAX_STATEMENT)]


class LogIdentity(ResponseModel):
    """What a reader of one log pins: its origin (DIR-13) and its Ed25519 public key."""

    origin: Annotated[str, Field(max_length=200)]
    key: Bytes32


class HubLimits(ResponseModel):
    """Sizes that a connector has to keep to."""

    envelope_bytes: int
    socket_envelope_bytes: int = MAX_SOCKET_ENVELOPE
    """Of one that goes over the websocket (HTTP-9)."""
    batch_envelopes: int
    batch_bytes: int
    mailbox_wait_s: int


class HubInfo(ResponseModel):
    """What a hub says about itself; a connector compares it with what it pinned and believes none of it."""

    domain: Annotated[str, Field(max_length=100)]
    protocol: int
    server_time: Time
    root_fingerprint: Bytes32
    directory: LogIdentity
    audit: LogIdentity
    limits: HubLimits
    kept_statements: Annotated[
        list[Annotated[int, Field(ge=0, le=2**53)]], Field(max_length=MAX_GENERATION, default_factory=list)
    ]
    """How many statements each restore of the hub has kept, to find where its logs part from those before (GEN-4)."""


class DirectoryHead(ResponseModel):
    """The newest signed head of the directory log (DIR-10)."""

    head: Annotated[bytes, base64url(minimum=1, maximum=4_096)]


class StatementRange(QueryModel):
    """Which part of the directory to list."""

    from_index: Annotated[int, Field(ge=0, le=2**53)] = 0
    limit: Annotated[int, Field(ge=1, le=MAX_STATEMENTS)] = MAX_STATEMENTS


class StatementPage(ResponseModel):
    """Statements in the order of the log; `next_index` is null when there are no more now."""

    items: Annotated[list[_STATEMENT], Field(max_length=MAX_STATEMENTS)]
    next_index: int | None


class StatementSubmission(RequestModel):
    """One signed statement for the directory."""

    statement: _STATEMENT


class StatementAccepted(ResponseModel):
    """Where the statement stands in the log; the same bytes again get the same index."""

    index: int


class CodeRegistrationBody(RequestModel):
    """An authority's signed registration of an enrolment code (ENR-2)."""

    registration: Annotated[bytes, base64url(minimum=1, maximum=MAX_STATEMENT)]


class CodeRegistered(ResponseModel):
    """The code id that can be redeemed now."""

    code_id: CodeIdText


class CodeRedemption(RequestModel):
    """A key request under an enrolment code (ENR-3), with the proof that its sender holds the code (ENR-6)."""

    code_id: CodeIdText
    request: Annotated[bytes, base64url(minimum=1, maximum=MAX_KEY_REQUEST)]
    mac: Bytes32
    proof: Bytes32


class CodePath(QueryModel):
    """Path parameters of one enrolment code."""

    code_id: CodeIdText


class KeyRequestView(ResponseModel):
    """The key request as received; whoever asks must check MAC and proofs (ENR-3)."""

    request: Annotated[bytes, base64url(minimum=1, maximum=MAX_KEY_REQUEST)]
    mac: Bytes32
    received_at: Time


class MailboxPosition(QueryModel):
    """Where to read on: leaf indexes of `cursor` and above, waiting up to `wait` seconds for the first."""

    cursor: Annotated[int, Field(ge=0, le=2**53)] = 0
    limit: Annotated[int, Field(ge=1, le=MAX_MAILBOX_PAGE)] = 50
    wait: Annotated[int, Field(ge=0, le=MAX_WAIT_S)] = 0


class Acknowledgement(RequestModel):
    """All that came with a leaf index of `up_to` or less is stored durably at the connector (HTTP-7)."""

    up_to: Annotated[int, Field(ge=0, le=2**53)]


_SUBMISSION_ERRORS = (
    MalformedEnvelope,
    AttachmentMissing,
    UnsupportedSuite,
    Expired,
    BadSignature,
    SenderMismatch,
    UntrustedKey,
    Revoked,
    RecipientUnavailable,
    PolicyDenied,
    EnvelopeIdReused,
    QuotaReached,
    StoreFull,
)
_B32 = "A" * 43
_CODE = "cod_" + "a" * 26
_HUB = {
    "domain": "hub.example",
    "protocol": 1,
    "server_time": "2026-11-23T08:09:10.123Z",
    "root_fingerprint": _B32,
    "directory": {"origin": "hub.example/directory", "key": _B32},
    "audit": {"origin": "hub.example/audit", "key": _B32},
    "limits": {
        "envelope_bytes": MAX_ENVELOPE,
        "socket_envelope_bytes": MAX_SOCKET_ENVELOPE,
        "batch_envelopes": MAX_BATCH,
        "batch_bytes": MAX_BATCH_BODY,
        "mailbox_wait_s": MAX_WAIT_S,
    },
    "kept_statements": [],
}

GET_HUB = Operation(
    id="getHub",
    method=Method.GET,
    path="/v1/hub",
    summary="Say which hub this is, its time, its logs and its limits.",
    auth=Auth.NONE,
    response=HubInfo,
    example=Example(response=_HUB),
)
GET_DIRECTORY_HEAD = Operation(
    id="getDirectoryHead",
    method=Method.GET,
    path="/v1/directory/head",
    summary="Get the newest signed head of the directory log.",
    auth=Auth.NONE,
    response=DirectoryHead,
    errors=(NotFound,),
    example=Example(response={"head": "goQBgg"}),
)
LIST_DIRECTORY_STATEMENTS = Operation(
    id="listDirectoryStatements",
    following=("next_index", "from_index"),
    method=Method.GET,
    path="/v1/directory/statements",
    summary="List the directory log's statements, to be replayed and verified by the reader.",
    auth=Auth.NONE,
    query=StatementRange,
    response=StatementPage,
    answer_limit=12 << 20,
    example=Example(query={"from_index": "0", "limit": "2"}, response={"items": ["goQB", "goQC"], "next_index": 2}),
)
SUBMIT_STATEMENT = Operation(
    id="submitStatement",
    created="/v1/directory/statements?from_index={index}",
    method=Method.POST,
    path="/v1/directory/statements",
    summary="Append a signed statement to the directory log.",
    description="The statement's own signatures decide. The same bytes again get the same index.",
    auth=Auth.NONE,
    request=StatementSubmission,
    response=StatementAccepted,
    status=201,
    limit=256 * 1024,
    errors=(MalformedEnvelope, BadSignature, UntrustedKey, Revoked, DirectoryInconsistent, PolicyDenied, StoreFull),
    example=Example(request={"statement": "goQB"}, response={"index": 7}),
)
REGISTER_CODE = Operation(
    id="registerCode",
    created="/v1/enrolment/requests/{code_id}",
    method=Method.POST,
    path="/v1/enrolment/codes",
    summary="Register an enrolment code, signed by its authority.",
    auth=Auth.NONE,
    request=CodeRegistrationBody,
    response=CodeRegistered,
    status=201,
    limit=256 * 1024,
    errors=(MalformedEnvelope, BadSignature, UntrustedKey, Revoked, EnrolmentRefused, StoreFull),
    example=Example(request={"registration": "goQB"}, response={"code_id": _CODE}),
)
REDEEM_CODE = Operation(
    id="redeemCode",
    method=Method.POST,
    path="/v1/enrolment/requests",
    summary="Hand in the key request of an enrolment code, once.",
    description="The same request again is answered as before; another under the same code is refused.",
    auth=Auth.NONE,
    request=CodeRedemption,
    status=201,
    errors=(MalformedEnvelope, BadSignature, EnrolmentRefused, StoreFull),
    example=Example(request={"code_id": _CODE, "request": "goQB", "mac": _B32, "proof": _B32}),
)
GET_KEY_REQUEST = Operation(
    id="getKeyRequest",
    method=Method.GET,
    path="/v1/enrolment/requests/{code_id}",
    summary="Get the key request handed in under an enrolment code.",
    auth=Auth.NONE,
    parameters=CodePath,
    response=KeyRequestView,
    errors=(NotFound,),
    example=Example(
        path={"code_id": _CODE},
        response={"request": "goQB", "mac": _B32, "received_at": "2026-11-23T08:09:10.123Z"},
    ),
)
SUBMIT_ENVELOPE = Operation(
    id="submitEnvelope",
    method=Method.POST,
    path="/v1/envelopes",
    summary="Submit one envelope; the answer is its acceptance receipt.",
    description="A 2xx answer is durable. The same bytes again get the same receipt, byte for byte (HTTP-5).",
    auth=Auth.DEVICE,
    request=Media.CBOR,
    response=Media.CBOR,
    status=201,
    limit=MAX_ENVELOPE,
    answer_limit=16 * 1024,
    errors=_SUBMISSION_ERRORS,
    example=Example(request="an envelope (section 3)", response="an acceptance receipt (AUD-5)"),
)
SUBMIT_BATCH = Operation(
    id="submitBatch",
    method=Method.POST,
    path="/v1/envelopes/batch",
    summary=f"Submit up to {MAX_BATCH} envelopes, each of which stands alone.",
    description="The answer lists, in order, a receipt or an error code for each envelope (HTTP-6).",
    auth=Auth.DEVICE,
    request=Media.CBOR,
    response=Media.CBOR,
    limit=MAX_BATCH_BODY,
    answer_limit=1 << 20,
    errors=(MalformedEnvelope, Revoked),
    example=Example(
        request="a list of envelopes",
        response="results: each a receipt, or a refusal with its code",
    ),
)
READ_MAILBOX = Operation(
    id="readMailbox",
    method=Method.GET,
    path="/v1/mailbox",
    summary="Read the mailbox of the calling device, optionally waiting for something to come.",
    description="Reading deletes nothing: what is not acknowledged is delivered again (HTTP-7).",
    auth=Auth.DEVICE,
    query=MailboxPosition,
    response=Media.CBOR,
    answer_limit=MAX_INCOMING,
    timeout_s=MAX_WAIT_S + 30,
    errors=(Revoked,),
    example=Example(
        query={"cursor": "0", "wait": "30"},
        response="the next cursor and the items, each with leaf index, kind and bytes",
    ),
)
ACKNOWLEDGE = Operation(
    id="acknowledge",
    method=Method.POST,
    path="/v1/mailbox/acknowledgements",
    summary="Say up to where the mailbox is stored at the connector; the hub deletes its part of it.",
    auth=Auth.DEVICE,
    request=Acknowledgement,
    status=204,
    errors=(Revoked, InvalidInput),
    example=Example(request={"up_to": 41}),
)
CONNECT = Operation(
    id="connect",
    method=Method.GET,
    path="/v1/connect",
    summary="Open the websocket for submissions, deliveries and acknowledgements.",
    description="Authenticated once, by a challenge in its first frame (HTTP-9).",
    auth=Auth.NONE,
    status=101,
    socket=True,
)
HUB_OPERATIONS = registry(
    [
        GET_HUB,
        GET_DIRECTORY_HEAD,
        LIST_DIRECTORY_STATEMENTS,
        SUBMIT_STATEMENT,
        REGISTER_CODE,
        REDEEM_CODE,
        GET_KEY_REQUEST,
        SUBMIT_ENVELOPE,
        SUBMIT_BATCH,
        READ_MAILBOX,
        ACKNOWLEDGE,
        *BLOB_OPERATIONS,
        CONNECT,
        GET_OPENAPI,
        GET_DOCS,
    ]
)
