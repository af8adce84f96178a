# SPDX-License-Identifier: Apache-2.0
"""The operations by which a referral goes on to another agency: a forward, and what its recipient refers on."""

from typing import Annotated, Final

from pydantic import Field

from protocol.errors import (
    IdempotencyKeyReused,
    IllegalTransition,
    NotCovered,
    NotFound,
    NothingToSend,
    PolicyDenied,
    PossibleDuplicate,
    RecipientUnavailable,
    SectionCorrected,
    StoreFull,
    TooLate,
)
from protocol.http.examples import MESSAGE, REKA, THREAD
from protocol.http.fields import DeskText, MessageIdText, OfficerIdText, RequestModel, ResponseModel, ThreadIdText
from protocol.http.handovers import Code, RecipientPlan
from protocol.http.operation import Auth, Example, Method, Operation, Scope
from protocol.http.threads import Fields, Sections, StepQueued, ThreadPath
from protocol.kinds.referral.request import MAX_SERVICES


class ForwardRequest(RequestModel):
    """The requester's approval: `to` is a desk of the agency that the recipient proposed.

    The new referral asks for what the old one asked for; `fields` change some of its fields. Without `sections` those
    of the old one go along, as far as they may; with them only those. `consent_covers` says that the consent on which
    sections went names the new agency too.
    """

    to: DeskText
    fields: Fields = Field(default_factory=dict)
    sections: Sections | None = None
    consent_covers: bool = False
    sender: DeskText | None = None
    officer: OfficerIdText | None = None


class ForwardQueued(ResponseModel):
    """Both are stored durably and will be sent: the approval, which supersedes the old thread, and the new referral."""

    thread: ThreadIdText
    message: MessageIdText
    state: Code
    version: int
    new_thread: ThreadIdText
    new_message: MessageIdText
    withheld: list[Code]
    """Categories of sections that do not go to the new agency's desk."""
    in_the_past: list[Code] = Field(default_factory=list)
    """Fields of the new referral whose date was over when it was written; it is sent all the same."""
    recipients: list[RecipientPlan] = Field(default_factory=list)
    """What the desk of the new referral will get, and what is withheld from it and why (CON-7)."""


class SubReferralRequest(RequestModel):
    """What the recipient of a referral asks of a third agency: some of the services that it accepted, by their codes.

    Where the person is, which language and the like are taken from the referral; `fields` say the rest (`answer_by`)
    and change some. What came in sections goes nowhere by itself: `sections` are the recipient's own, on its own basis.
    """

    to: DeskText
    services: Annotated[list[Code], Field(min_length=1, max_length=MAX_SERVICES)]
    fields: Fields = Field(default_factory=dict)
    sections: Sections = Field(default_factory=list)
    sender: DeskText | None = None
    officer: OfficerIdText | None = None


_NEW: Final = "thr_" + "b" * 25 + "a"

FORWARD_REFERRAL = Operation(
    id="forwardReferral",
    method=Method.POST,
    path="/v1/threads/{thread}/forward",
    summary="Approve that a referral goes to the agency that its recipient proposed, and send it there.",
    description=(
        "One action: the old thread is superseded and the new referral is stored, or neither. 422 `not-covered` where "
        "a section that would be carried on may not go there on the basis on which it was sent, 409 "
        "`section-corrected` where it was corrected since. The token needs the scope `send` too."
    ),
    auth=Auth.TOKEN,
    scope=Scope.MOVE,
    parameters=ThreadPath,
    request=ForwardRequest,
    response=ForwardQueued,
    status=202,
    created="/v1/threads/{new_thread}",
    idempotency_key=True,
    if_match=True,
    limit=2 << 20,
    errors=(
        NotFound,
        IllegalTransition,
        TooLate,
        NotCovered,
        SectionCorrected,
        NothingToSend,
        RecipientUnavailable,
        PolicyDenied,
        IdempotencyKeyReused,
        StoreFull,
    ),
    example=Example(
        path={"thread": THREAD},
        request={"to": REKA, "fields": {"answer_by": "2026-12-20"}},
        response={
            "thread": THREAD,
            "message": MESSAGE,
            "state": "superseded",
            "version": 4,
            "new_thread": _NEW,
            "new_message": "msg_" + "b" * 25 + "a",
            "withheld": [],
            "in_the_past": [],
        },
    ),
)
SEND_SUB_REFERRAL = Operation(
    id="sendSubReferral",
    method=Method.POST,
    path="/v1/threads/{thread}/sub-referrals",
    summary="Refer on some of the services that were accepted here; the first requester stays responsible.",
    description=(
        "The new referral names the thread as what it is part of (`part_of`). That thread lists it among its "
        "`children`, and the steps that end it name those that are still open."
    ),
    auth=Auth.TOKEN,
    scope=Scope.SEND,
    parameters=ThreadPath,
    request=SubReferralRequest,
    response=StepQueued,
    status=202,
    created="/v1/threads/{thread}",
    idempotency_key=True,
    limit=2 << 20,
    errors=(
        NotFound,
        IllegalTransition,
        PossibleDuplicate,
        NothingToSend,
        RecipientUnavailable,
        PolicyDenied,
        IdempotencyKeyReused,
        StoreFull,
    ),
    example=Example(
        path={"thread": THREAD},
        request={"to": REKA, "services": ["housing-advice"], "fields": {"answer_by": "2026-12-20"}},
        response={
            "thread": _NEW,
            "message": MESSAGE,
            "state": "sent",
            "version": 1,
            "open_sub_referrals": [],
            "in_the_past": [],
        },
    ),
)
