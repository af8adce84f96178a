# SPDX-License-Identifier: Apache-2.0
"""The operations of a connector's local interface, and the models of its lists.

This is what an agency's own system, or the command `throughcare`, talks to. It listens on the loopback
interface, takes a bearer token and shows the agency's plaintext: none of it is served elsewhere (CON-6).
"""

from typing import Annotated

from pydantic import Field

from protocol.errors import (
    CannotOpen,
    Conflict,
    IdempotencyKeyReused,
    InvalidInput,
    NotFound,
    NothingToSend,
    PolicyDenied,
    RecipientUnavailable,
    StoreFull,
)
from protocol.http.documents import GET_DOCS, GET_OPENAPI
from protocol.http.fields import (
    AgencyText,
    DeskText,
    EnvelopeIdText,
    KeyIdText,
    OfficerIdText,
    ResponseModel,
    Time,
)
from protocol.http.handovers import (
    AttachmentChoice,
    AttachmentPath,
    AttachmentStored,
    AttachmentToStore,
    Code,
    HandoverChoice,
    HandoverFilter,
    HandoverPage,
    HandoverPath,
    HandoverQueued,
    HandoverRequest,
    HandoverView,
    Name,
    Page,
)
from protocol.http.operation import Auth, Example, Media, Method, Operation, registry
from protocol.limits import MAX_BLOB


class DeskItem(ResponseModel):
    """One desk of the directory."""

    address: DeskText
    function: Code
    agency: AgencyText
    agency_name: Name
    reachable: bool
    """Whether it could be sent to now."""
    marked: bool
    """Whether its newest prekey is older than it should be (DIR-8)."""


class DeskPage(ResponseModel):
    """All desks in force."""

    items: list[DeskItem]


class QuarantineItem(ResponseModel):
    """Something that came and could not be taken in (HTTP-10). The ids are as claimed, not proven."""

    leaf_index: int
    at: Time
    code: Code
    detail: Annotated[str, Field(max_length=500)]
    envelope_id: EnvelopeIdText | None
    sender: DeskText | None


class QuarantinePage(ResponseModel):
    """A page of the quarantine, newest first."""

    items: list[QuarantineItem]
    next_cursor: str | None


class HubStatus(ResponseModel):
    """The connector's link to its hub."""

    connected: bool
    last_contact: Time | None
    clock_difference_ms: int | None
    error: Code | None
    reason: Code | None
    """Why it was not reached: `refused`, `certificate`, `proxy`, `name`, `timeout` or `other`."""


class DirectoryStatus(ResponseModel):
    """The connector's own copy of the directory (DIR-11)."""

    size: int
    confirmed_at: Time | None
    state: Code
    """`normal`, `marked`, `stale` or `inconsistent`."""
    error: Code | None


class Counts(ResponseModel):
    """How many messages stand where."""

    queued: int
    accepted: int
    failed: int
    received: int
    held: int
    quarantined: int


class OfficerItem(ResponseModel):
    """Who may act here, as enrolment delegated to them; `id` is what a request names."""

    id: OfficerIdText
    kind: Code
    title: Name


class Status(ResponseModel):
    """How the connector is."""

    agency: AgencyText
    desks: list[DeskText]
    officers: list[OfficerItem]
    device: KeyIdText
    certificate_ends: Time | None
    """When the device's certificate ends; null until the directory names the device."""
    now: Time
    hub: HubStatus
    directory: DirectoryStatus
    counts: Counts


_MESSAGE = "msg_" + "a" * 26
_THREAD = "thr_" + "a" * 26
_GORA = "release.gora-prison@hub.example"
_REKA = "intake.reka-probation@hub.example"
_NOW = "2026-11-23T08:09:10.123Z"

_PACKAGE = {
    "terms": {
        "trigger": {"event": "release.notice", "expected_on": "2026-12-01"},
        "what_moves": ["supervision"],
        "priority": "normal",
        "acknowledge_by": "2026-11-24",
        "answer_by": "2026-11-27",
    },
    "sections": [
        {
            "category": "identity",
            "purpose": "continuity-of-care",
            "basis": "statute",
            "citation": "Probation Act, article 12",
            "functions": ["probation-intake"],
            "body": {"kind": "person", "family_name": "Example", "given_names": "Ana"},
        }
    ],
}
_ORIGIN = {
    "agency": "gora-prison@hub.example",
    "desk": _GORA,
    "device": "0" * 64,
    "officer": "release desk",
    "officer_kind": "service",
    "leaf_index": 41,
    "marks": [],
}

SEND_HANDOVER = Operation(
    id="sendHandover",
    method=Method.POST,
    path="/v1/handovers",
    summary="Send a handover package to one or more desks.",
    description="A 202 answer means stored durably; sealing and sending follow. What is withheld is listed.",
    auth=Auth.TOKEN,
    request=HandoverRequest,
    response=HandoverQueued,
    status=202,
    idempotency_key=True,
    limit=2 << 20,
    errors=(
        NothingToSend,
        RecipientUnavailable,
        PolicyDenied,
        IdempotencyKeyReused,
        StoreFull,
    ),
    example=Example(
        request={
            "to": [_REKA],
            "package": _PACKAGE,
            "not_understood": [{"path": "case/extra", "reason": "not mapped"}],
        },
        response={
            "id": _MESSAGE,
            "thread": _THREAD,
            "state": "queued",
            "recipients": [
                {
                    "desk": _REKA,
                    "sections": [{"number": 1, "category": "identity"}],
                    "withheld": [
                        {
                            "number": 2,
                            "category": "medical",
                            "purpose": "continuity-of-care",
                            "reason": "never-for-this-function",
                        }
                    ],
                }
            ],
        },
    ),
)
LIST_HANDOVERS = Operation(
    id="listHandovers",
    method=Method.GET,
    path="/v1/handovers",
    summary="List handovers sent and received, newest first.",
    auth=Auth.TOKEN,
    query=HandoverFilter,
    response=HandoverPage,
    example=Example(
        query={"direction": "received"},
        response={
            "items": [
                {
                    "id": _MESSAGE,
                    "thread": _THREAD,
                    "direction": "received",
                    "state": "received",
                    "sender": _GORA,
                    "recipients": [_REKA],
                    "at": _NOW,
                }
            ],
            "next_cursor": None,
        },
    ),
)
GET_HANDOVER = Operation(
    id="getHandover",
    method=Method.GET,
    path="/v1/handovers/{id}",
    summary="Get one handover with the sections that this agency holds.",
    description=(
        "Senders choose ids, and one can use an id that it has seen. Where handovers of several senders, or one sent "
        "and one received, stand under an id, the answer is 409 until `sender` or `direction` says which is meant; "
        "`GET /v1/handovers?id=` lists them."
    ),
    auth=Auth.TOKEN,
    parameters=HandoverPath,
    query=HandoverChoice,
    response=HandoverView,
    errors=(NotFound, Conflict),
    answer_limit=8 << 20,
    example=Example(
        path={"id": _MESSAGE},
        response={
            "id": _MESSAGE,
            "thread": _THREAD,
            "direction": "received",
            "state": "received",
            "at": _NOW,
            "offer": {"kind": "handover.offer", "version": 1},
            "sections": [
                {
                    "number": 1,
                    "category": "identity",
                    "purpose": "continuity-of-care",
                    "label": "standard",
                    "body": {"kind": "person", "family_name": "Example", "given_names": "Ana"},
                }
            ],
            "recipients": [],
            "origin": _ORIGIN,
            "not_understood": [],
        },
    ),
)
STORE_ATTACHMENT = Operation(
    id="storeAttachment",
    method=Method.POST,
    path="/v1/attachments",
    summary="Store an attachment of at most 1 GiB for a handover to name within seven days; sealed as it comes.",
    auth=Auth.TOKEN,
    query=AttachmentToStore,
    request=Media.BYTES,
    response=AttachmentStored,
    status=201,
    streamed=True,
    limit=MAX_BLOB,
    timeout_s=300,
    errors=(StoreFull,),
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
    auth=Auth.TOKEN,
    parameters=AttachmentPath,
    query=AttachmentChoice,
    response=Media.BYTES,
    streamed=True,
    timeout_s=300,
    errors=(NotFound, Conflict, CannotOpen),
    example=Example(path={"id": _MESSAGE, "section": "1", "place": "0"}, response="the attachment's bytes"),
)
LIST_DESKS = Operation(
    id="listDesks",
    method=Method.GET,
    path="/v1/desks",
    summary="List the desks of the directory, as verified by this connector.",
    auth=Auth.TOKEN,
    response=DeskPage,
    example=Example(
        response={
            "items": [
                {
                    "address": _REKA,
                    "function": "probation-intake",
                    "agency": "reka-probation@hub.example",
                    "agency_name": "Reka Probation Office",
                    "reachable": True,
                    "marked": False,
                }
            ]
        }
    ),
)
LIST_QUARANTINE = Operation(
    id="listQuarantine",
    method=Method.GET,
    path="/v1/quarantine",
    summary="List what came and could not be taken in, with the reason.",
    auth=Auth.TOKEN,
    query=Page,
    response=QuarantinePage,
    errors=(InvalidInput,),
    example=Example(response={"items": [], "next_cursor": None}),
)
GET_STATUS = Operation(
    id="getStatus",
    method=Method.GET,
    path="/v1/status",
    summary="Say how the connector is: its hub, its directory, its queues.",
    auth=Auth.TOKEN,
    response=Status,
    example=Example(
        response={
            "agency": "reka-probation@hub.example",
            "desks": [_REKA],
            "officers": [{"id": "off_" + "a" * 26, "kind": "officer", "title": "duty officer"}],
            "device": "0" * 64,
            "certificate_ends": "2027-02-21T08:09:10.123Z",
            "now": _NOW,
            "hub": {
                "connected": True,
                "last_contact": _NOW,
                "clock_difference_ms": 12,
                "error": None,
                "reason": None,
            },
            "directory": {"size": 30, "confirmed_at": _NOW, "state": "normal", "error": None},
            "counts": {"queued": 0, "accepted": 1, "failed": 0, "received": 3, "held": 0, "quarantined": 0},
        }
    ),
)

CONNECTOR_OPERATIONS = registry(
    [
        SEND_HANDOVER,
        LIST_HANDOVERS,
        GET_HANDOVER,
        STORE_ATTACHMENT,
        READ_ATTACHMENT,
        LIST_DESKS,
        LIST_QUARANTINE,
        GET_STATUS,
        GET_OPENAPI,
        GET_DOCS,
    ]
)
