# SPDX-License-Identifier: Apache-2.0
"""The operations on threads of a connector's local interface: refer, list, look, make a step."""

from protocol.errors import (
    IdempotencyKeyReused,
    IllegalTransition,
    InvalidInput,
    NotFound,
    NothingToSend,
    PolicyDenied,
    PossibleDuplicate,
    RecipientUnavailable,
    StoreFull,
    TooLarge,
    TooLate,
)
from protocol.http.examples import GORA, MESSAGE, NOW, REKA, THREAD
from protocol.http.operation import Auth, Example, Method, Operation, Scope
from protocol.http.threads import (
    ReferralRequest,
    StepQueued,
    StepRequest,
    ThreadFilter,
    ThreadPage,
    ThreadPath,
    ThreadView,
)

_OFFICER = "off_" + "a" * 26
_ITEM = {
    "thread": THREAD,
    "machine": "referral",
    "side": "recipient",
    "state": "delivered",
    "live": True,
    "own_desk": REKA,
    "peer_desk": GORA,
    "priority": "normal",
    "begun_at": NOW,
    "changed_at": NOW,
    "due_at": "2026-12-07T16:00:00.000Z",
    "officer": None,
    "alert": None,
    "similar": [],
    "similar_more": False,
    "version": 2,
}
_QUEUED = {
    "thread": THREAD,
    "message": MESSAGE,
    "state": "sent",
    "version": 1,
    "open_sub_referrals": [],
    "in_the_past": [],
    "recipients": [{"desk": REKA, "sections": [], "withheld": []}],
}

SEND_REFERRAL = Operation(
    id="sendReferral",
    method=Method.POST,
    path="/v1/referrals",
    summary="Refer a person to another agency's desk; responsibility stays here.",
    description=(
        "A 202 answer means stored durably; sealing and sending follow. `fields` are described by the schema of the "
        "kind `referral.request`. One that says `duplicates: none-found` while another about the same person to the "
        "same agency asks for the same service is refused with 409 `possible-duplicate` (REF-8)."
    ),
    auth=Auth.TOKEN,
    scope=Scope.SEND,
    request=ReferralRequest,
    response=StepQueued,
    status=202,
    created="/v1/threads/{thread}",
    idempotency_key=True,
    limit=2 << 20,
    errors=(NothingToSend, RecipientUnavailable, PolicyDenied, PossibleDuplicate, IdempotencyKeyReused, StoreFull),
    example=Example(
        request={
            "to": REKA,
            "fields": {
                "services": [{"code": "housing-advice", "pathway": "accommodation", "outcome": "place-found"}],
                "whereabouts": "custody",
                "release_on": "2027-01-20",
                "language": "sr-Latn",
                "person_knows": "agreed",
                "contact": "through-requester",
                "duplicates": "none-found",
                "answer_by": "2026-12-10",
            },
        },
        response=_QUEUED,
    ),
)
LIST_THREADS = Operation(
    id="listThreads",
    method=Method.GET,
    path="/v1/threads",
    summary="List referrals or handovers as they stand: new, mine, unassigned, sent, answer due, alerts, closed.",
    description="The one that changed last comes first, so a thread that changes while pages are read can be on none "
    "of them. This is for people who look; a program that must miss nothing follows `GET /v1/events`.",
    auth=Auth.TOKEN,
    scope=Scope.READ,
    query=ThreadFilter,
    response=ThreadPage,
    following=("next_cursor", "cursor"),
    errors=(InvalidInput,),
    example=Example(query={"list": "new"}, response={"items": [_ITEM], "next_cursor": None}),
)
GET_THREAD = Operation(
    id="getThread",
    method=Method.GET,
    path="/v1/threads/{thread}",
    summary="Get one thread: its steps, what was acknowledged, what could be done next. The ETag goes with a step.",
    auth=Auth.TOKEN,
    scope=Scope.READ,
    parameters=ThreadPath,
    response=ThreadView,
    errors=(NotFound,),
    answer_limit=16 << 20,
    example=Example(
        path={"thread": THREAD},
        response={
            "item": _ITEM,
            "case": "cas_" + "a" * 26,
            "subject": "sub_" + "a" * 26,
            "lead": None,
            "lead_since": None,
            "supervisor": None,
            "no_supervisor": None,
            "residual": None,
            "goes_on_from": None,
            "children": [],
            "ladder": [{"ack": "opened", "at": NOW, "signer": "connector service", "message": MESSAGE}],
            "alerts": [],
            "steps": [
                {
                    "message": MESSAGE,
                    "event": "send",
                    "actor": "requester",
                    "signer": "release desk",
                    "at": NOW,
                    "leaf_index": 41,
                    "refused": None,
                    "state": "sent",
                    "payload": {"kind": "referral.request", "version": 1},
                    "sections": [],
                }
            ],
            "possible": ["acknowledge", "ask"],
        },
    ),
)
MAKE_STEP = Operation(
    id="makeStep",
    method=Method.POST,
    path="/v1/threads/{thread}/steps",
    summary="Make one step of a thread's life cycle.",
    description=(
        "If-Match carries the ETag that was seen. 409 `illegal-transition` where the table does not permit the step in "
        "the present state; 412 where the thread has changed since; nothing has happened then."
    ),
    auth=Auth.TOKEN,
    scope=Scope.MOVE,
    parameters=ThreadPath,
    request=StepRequest,
    response=StepQueued,
    status=202,
    created="/v1/threads/{thread}",
    idempotency_key=True,
    if_match=True,
    limit=2 << 20,
    errors=(
        NotFound,
        IllegalTransition,
        TooLate,
        NothingToSend,
        RecipientUnavailable,
        PolicyDenied,
        IdempotencyKeyReused,
        TooLarge,
        StoreFull,
    ),
    example=Example(
        path={"thread": THREAD},
        request={"event": "acknowledge", "fields": {"officer": _OFFICER, "answer_by": "2026-12-05"}},
        response={**_QUEUED, "state": "acknowledged", "version": 3},
    ),
)
