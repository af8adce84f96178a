# SPDX-License-Identifier: Apache-2.0
"""The operations on handovers of a connector's local interface: sending them, listing them, looking at one."""

from protocol.errors import (
    Conflict,
    IdempotencyKeyReused,
    NotFound,
    NothingToSend,
    PolicyDenied,
    RecipientUnavailable,
    StoreFull,
)
from protocol.http.examples import GORA, MESSAGE, NOW, REKA, THREAD
from protocol.http.handovers import (
    HandoverChoice,
    HandoverFilter,
    HandoverPage,
    HandoverPath,
    HandoverQueued,
    HandoverRequest,
    HandoverView,
)
from protocol.http.operation import Auth, Example, Method, Operation, Scope

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
    "desk": GORA,
    "device": "0" * 64,
    "officer": "release desk",
    "officer_kind": "service",
    "leaf_index": 41,
    "marks": [],
}

SEND_HANDOVER = Operation(
    id="sendHandover",
    created="/v1/handovers/{id}",
    method=Method.POST,
    path="/v1/handovers",
    summary="Send a handover package to one or more desks.",
    description="A 202 answer means stored durably; sealing and sending follow. What is withheld is listed.",
    auth=Auth.TOKEN,
    scope=Scope.SEND,
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
            "to": [REKA],
            "package": _PACKAGE,
            "not_understood": [{"path": "case/extra", "reason": "not mapped"}],
        },
        response={
            "id": MESSAGE,
            "thread": THREAD,
            "state": "queued",
            "recipients": [
                {
                    "desk": REKA,
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
    following=("next_cursor", "cursor"),
    method=Method.GET,
    path="/v1/handovers",
    summary="List handovers sent and received, newest first.",
    auth=Auth.TOKEN,
    scope=Scope.READ,
    query=HandoverFilter,
    response=HandoverPage,
    example=Example(
        query={"direction": "received"},
        response={
            "items": [
                {
                    "id": MESSAGE,
                    "thread": THREAD,
                    "direction": "received",
                    "state": "received",
                    "sender": GORA,
                    "recipients": [REKA],
                    "at": NOW,
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
    scope=Scope.READ,
    parameters=HandoverPath,
    query=HandoverChoice,
    response=HandoverView,
    errors=(NotFound, Conflict),
    answer_limit=8 << 20,
    example=Example(
        path={"id": MESSAGE},
        response={
            "id": MESSAGE,
            "thread": THREAD,
            "direction": "received",
            "state": "received",
            "at": NOW,
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
