# SPDX-License-Identifier: Apache-2.0
"""Drafts of referrals on a connector's local interface: kept until they are sent, and nobody's business before."""

from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import Field, JsonValue

from protocol.errors import (
    IdempotencyKeyReused,
    InvalidInput,
    NotFound,
    NothingToSend,
    PolicyDenied,
    PossibleDuplicate,
    RecipientUnavailable,
    StoreFull,
)
from protocol.handover import PackageSection
from protocol.http.examples import MESSAGE, NOW, REKA, THREAD
from protocol.http.fields import (
    DeskText,
    DraftIdText,
    OfficerIdText,
    QueryModel,
    RequestModel,
    ResponseModel,
    ThreadIdText,
    Time,
)
from protocol.http.handovers import Code, Page
from protocol.http.operation import Auth, Example, Method, Operation, Scope
from protocol.http.threads import MAX_EVENT, MAX_FIELDS, StepQueued
from protocol.limits import MAX_SECTIONS

MAX_LACKING: Final = 100
"""Places that a draft is said to lack, at most."""


class DraftContent(RequestModel):
    """As much of a referral as there is. `fields` are those of the kind `referral.request`; any may be missing."""

    to: DeskText | None = None
    fields: Annotated[
        dict[Annotated[str, Field(max_length=MAX_EVENT)], JsonValue],
        Field(max_length=MAX_FIELDS),
    ] = Field(default_factory=dict)
    sections: Annotated[list[PackageSection], Field(max_length=MAX_SECTIONS - 1)] = Field(default_factory=list)
    sender: DeskText | None = None
    officer: OfficerIdText | None = None


class DraftSource(StrEnum):
    """Where a draft comes from, for one that somebody makes; a residual's the connector makes itself."""

    HAND = "hand"
    FHIR = "fhir"
    """From a bundle, by `POST /v1/fhir/drafts`."""


class DraftRequest(DraftContent):
    """A draft to be kept."""

    source: DraftSource = DraftSource.HAND


class DraftPath(QueryModel):
    """Which draft."""

    draft: DraftIdText


class DraftItem(ResponseModel):
    """One draft in a list, without what it says."""

    id: DraftIdText
    source: Code
    """`hand`, `fhir`, or `residual`: what was not taken of the referral `thread` (REF-6).

    `damaged` for one that cannot be read any more (CON-8).
    """
    thread: ThreadIdText | None
    to: DeskText | None
    made_at: Time
    changed_at: Time
    ends_at: Time
    """When it is forgotten, unless somebody changes it before (DFT-3)."""
    version: int


class DraftPage(ResponseModel):
    """A page of drafts, the one that changed last first."""

    items: list[DraftItem]
    next_cursor: str | None


class DraftView(ResponseModel):
    """One draft whole. `missing` are the places that keep it from being sent, such as `to` or `answer_by`.

    What stands there and has not its form is among them too, and `fields` where one has a name that no referral has.
    """

    item: DraftItem
    fields: dict[str, Any]
    sections: list[dict[str, Any]]
    sender: DeskText | None
    officer: OfficerIdText | None
    missing: Annotated[list[str], Field(max_length=MAX_LACKING)]


class DraftFilter(Page):
    """Which page of drafts."""


DRAFT: Final = "dft_" + "a" * 26
_FIELDS: Final = {"whereabouts": "custody", "language": "sr-Latn"}
_ITEM: Final = {
    "id": DRAFT,
    "source": "hand",
    "thread": None,
    "to": REKA,
    "made_at": NOW,
    "changed_at": NOW,
    "ends_at": "2027-02-21T08:09:10.123Z",
    "version": 1,
}
_VIEW: Final = {
    "item": _ITEM,
    "fields": _FIELDS,
    "sections": [],
    "sender": None,
    "officer": None,
    "missing": ["services", "person_knows", "contact", "duplicates", "answer_by"],
}

MAKE_DRAFT = Operation(
    id="makeDraft",
    method=Method.POST,
    path="/v1/drafts",
    summary="Keep the draft of a referral.",
    description="Nobody is told of it. Anything may be missing; what is there must have its form only when it is sent.",
    auth=Auth.TOKEN,
    scope=Scope.SEND,
    request=DraftRequest,
    response=DraftView,
    status=201,
    created="/v1/drafts/{item[id]}",
    idempotency_key=True,
    limit=2 << 20,
    errors=(IdempotencyKeyReused, StoreFull),
    answer_limit=8 << 20,
    example=Example(request={"to": REKA, "fields": _FIELDS}, response=_VIEW),
)
LIST_DRAFTS = Operation(
    id="listDrafts",
    method=Method.GET,
    path="/v1/drafts",
    summary="List the drafts of referrals, the one that changed last first.",
    auth=Auth.TOKEN,
    scope=Scope.READ,
    query=DraftFilter,
    response=DraftPage,
    following=("next_cursor", "cursor"),
    errors=(InvalidInput,),
    example=Example(response={"items": [_ITEM], "next_cursor": None}),
)
GET_DRAFT = Operation(
    id="getDraft",
    method=Method.GET,
    path="/v1/drafts/{draft}",
    summary="Get one draft whole, and what it still lacks. The ETag goes with a change, a sending or a deletion.",
    auth=Auth.TOKEN,
    scope=Scope.READ,
    parameters=DraftPath,
    response=DraftView,
    errors=(NotFound,),
    answer_limit=8 << 20,
    example=Example(path={"draft": DRAFT}, response=_VIEW),
)
CHANGE_DRAFT = Operation(
    id="changeDraft",
    method=Method.POST,
    path="/v1/drafts/{draft}/changes",
    summary="Put something else in the place of all that a draft says.",
    description="If-Match carries the ETag that was seen; 412 where somebody has changed the draft since.",
    auth=Auth.TOKEN,
    scope=Scope.SEND,
    parameters=DraftPath,
    request=DraftContent,
    response=DraftView,
    if_match=True,
    limit=2 << 20,
    errors=(NotFound, StoreFull),
    answer_limit=8 << 20,
    example=Example(path={"draft": DRAFT}, request={"to": REKA, "fields": _FIELDS}, response=_VIEW),
)
SEND_DRAFT = Operation(
    id="sendDraft",
    method=Method.POST,
    path="/v1/drafts/{draft}/sending",
    summary="Send a draft as a referral; it is a draft no longer.",
    description=(
        "Both happen or neither. The same checks as for `POST /v1/referrals`; what the draft lacks is named as fields. "
        "A 202 answer means stored durably."
    ),
    auth=Auth.TOKEN,
    scope=Scope.SEND,
    parameters=DraftPath,
    response=StepQueued,
    status=202,
    created="/v1/threads/{thread}",
    idempotency_key=True,
    if_match=True,
    errors=(
        NotFound,
        InvalidInput,
        NothingToSend,
        RecipientUnavailable,
        PolicyDenied,
        PossibleDuplicate,
        IdempotencyKeyReused,
        StoreFull,
    ),
    example=Example(
        path={"draft": DRAFT},
        response={
            "thread": THREAD,
            "message": MESSAGE,
            "state": "sent",
            "version": 1,
            "open_sub_referrals": [],
            "in_the_past": [],
        },
    ),
)
DELETE_DRAFT = Operation(
    id="deleteDraft",
    method=Method.POST,
    path="/v1/drafts/{draft}/deletion",
    summary="Delete a draft for good.",
    description="If-Match carries the ETag that was seen; 412 where somebody has changed the draft since.",
    auth=Auth.TOKEN,
    scope=Scope.SEND,
    parameters=DraftPath,
    status=204,
    if_match=True,
    errors=(NotFound,),
    example=Example(path={"draft": DRAFT}),
)
