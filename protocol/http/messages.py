# SPDX-License-Identifier: Apache-2.0
"""Messages of any kind that is no step of a life cycle: models and operations of the local interface."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, JsonValue

from protocol.errors import (
    Conflict,
    IdempotencyKeyReused,
    IllegalTransition,
    InvalidInput,
    NotFound,
    NothingToSend,
    PolicyDenied,
    RecipientUnavailable,
    StoreFull,
    ThreadNeeded,
)
from protocol.handover import PackageSection
from protocol.http.examples import GORA, MESSAGE, NOW, REKA, THREAD
from protocol.http.fields import (
    DeskText,
    MessageIdText,
    OfficerIdText,
    QueryModel,
    RequestModel,
    ResponseModel,
    ThreadIdText,
    Time,
)
from protocol.http.handovers import (
    Code,
    CorrectionView,
    Direction,
    HandoverChoice,
    MessageState,
    Name,
    Page,
    RecipientPlan,
    RecipientView,
    SectionView,
)
from protocol.http.operation import Auth, Example, Method, Operation, Scope
from protocol.http.threads import MAX_EVENT, MAX_FIELDS
from protocol.limits import MAX_SECTIONS

MAX_DESKS = 64

_KindName = Annotated[str, Field(min_length=1, max_length=MAX_EVENT, pattern=r"^[a-z.-]+$")]


class MessageRequest(RequestModel):
    """A message of one kind to one or more desks. `thread` is the conversation that it belongs to, if there is one.

    It is that of a referral or handover of ours, or one that a message of ours began; some kinds need it (KIND-10).
    A `message.answer` goes to the sender of the message that it names, in that message's conversation (KIND-5).
    """

    kind: _KindName
    to: Annotated[list[DeskText], Field(min_length=1, max_length=MAX_DESKS)]
    fields: Annotated[dict[Annotated[str, Field(max_length=MAX_EVENT)], JsonValue], Field(max_length=MAX_FIELDS)]
    sections: Annotated[list[PackageSection], Field(max_length=MAX_SECTIONS - 1)] = Field(default_factory=list)
    thread: ThreadIdText | None = None
    sender: DeskText | None = None
    officer: OfficerIdText | None = None


class HandoverEffect(StrEnum):
    """What the word of a release, of its day or of its cancellation, does to the handover in whose thread it stands.

    See HAN-6 and HAN-13.
    """

    MOVED = "moved"
    """The lead moved with it, or came back."""
    ONCE_ACCEPTED = "once-accepted"
    """Nothing moved: nobody has accepted yet. The handover takes effect as soon as somebody has (HAN-8)."""
    STILL_WAITS = "still-waits"
    """Nothing moved: the handover had not taken effect, and waits for a release again."""
    IF_OFFERED_AGAIN = "if-offered-again"
    """Nothing moved: the handover was declined, expired or failed. Offered again, it takes effect once accepted."""
    ON_ITS_DAY = "on-its-day"
    """Nothing moved: a day was agreed, not the release."""
    STILL_ITS_DAY = "still-its-day"
    """Nothing moved: another day of release was told, and the handover keeps the one it has until `change-date`."""
    NOTHING = "nothing"
    """Nothing moved, and nothing will: the handover has taken effect already, or is over."""


class MessageQueued(ResponseModel):
    """The message is stored durably and will be sent."""

    id: MessageIdText
    thread: ThreadIdText
    in_the_past: list[Code] = Field(default_factory=list)
    """Fields whose date was over when it was written; it is sent all the same."""
    handover: HandoverEffect | None = None
    """What it does to a handover of ours, where it tells in that thread of a release or of its cancellation."""
    blocked_referrals: list[ThreadIdText] = Field(default_factory=list)
    """Of a transfer to another prison: referrals of the case that are blocked, whose recipients hear of it once they go
    on (REF-9)."""
    recipients: list[RecipientPlan] = Field(default_factory=list)
    """What each desk will get, and what is withheld from it (CON-7)."""
    missed: list[DeskText] = Field(default_factory=list)
    """Of a correction: desks that have what it corrects, or will, and do not get the correction (KIND-9)."""


class MessagePath(QueryModel):
    """Which message."""

    id: MessageIdText


class MessageFilter(Page):
    """Which messages to list: of one kind, or of all; sent, received, or both."""

    kind: _KindName | None = None
    direction: Direction | None = None


class MessageOverdue(ResponseModel):
    """What a desk has not said in time: that it has noted the message (`acknowledged`), or an answer (`answered`)."""

    desk: DeskText
    ack: Code
    since: Time
    """Until when it was due."""


class MessageItem(ResponseModel):
    """One message in a list."""

    id: MessageIdText
    thread: ThreadIdText
    kind: Code
    direction: Direction
    state: MessageState
    sender: DeskText
    recipients: list[DeskText]
    at: Time
    alert: Code | None
    """Why somebody at the recipient must hear of it: `no-show`, `risk` or `safeguarding` (KIND-6)."""
    overdue: list[MessageOverdue] = Field(default_factory=list)
    """What is late now, the longest first, on both sides alike; empty once it is said (KIND-7)."""


class MessagePage(ResponseModel):
    """A page of messages, newest first."""

    items: list[MessageItem]
    next_cursor: str | None


class MessageAnswered(ResponseModel):
    """One answer to a message: `noted` is `acknowledged`, all others are `answered` (KIND-5)."""

    message: MessageIdText
    ack: Code
    answer: Code
    desk: DeskText
    officer: OfficerIdText
    signer: Name
    at: Time


class MessageView(ResponseModel):
    """One message with what this agency holds of it. Who acted is attested by the agency's device (`signer`)."""

    item: MessageItem
    signer: Name
    answers: list[MessageAnswered]
    payload: dict[str, Any]
    sections: list[SectionView]
    recipients: list[RecipientView] = Field(default_factory=list)
    """Of a message of ours: how it stands at each desk, what goes there and what is withheld (CON-7)."""
    corrections: list[CorrectionView] = Field(default_factory=list)
    """What its sender has said since is wrong in it, the oldest first (KIND-9)."""
    withheld: Code | None = None
    """Why nobody is shown what came in its sections: its thread was entered in error (CON-26)."""
    in_error: bool = False
    """It is an alert that is shown although its thread was entered in error, so it may be about somebody else or meant
    for others, until somebody here has noted it (KIND-8)."""


_ITEM = {
    "id": MESSAGE,
    "thread": THREAD,
    "kind": "contact.area-notice",
    "direction": "received",
    "state": "received",
    "sender": GORA,
    "recipients": [REKA],
    "at": NOW,
    "alert": None,
}

SEND_MESSAGE = Operation(
    id="sendMessage",
    method=Method.POST,
    path="/v1/messages",
    summary="Send a message of any kind that is no step of a life cycle.",
    description=(
        "Which kinds there are, and what each carries: `GET /v1/schemas`. A 202 answer means stored durably. 409 "
        "`illegal-transition` names a thread that the message would move along (HAN-6, REF-9) and that forbids it. 422 "
        "`thread-needed`: a kind that does what it says only in the `thread` of a referral or handover (KIND-10)."
    ),
    auth=Auth.TOKEN,
    scope=Scope.SEND,
    request=MessageRequest,
    response=MessageQueued,
    status=202,
    created="/v1/messages/{id}",
    idempotency_key=True,
    limit=2 << 20,
    errors=(
        NotFound,
        Conflict,
        IllegalTransition,
        NothingToSend,
        ThreadNeeded,
        RecipientUnavailable,
        PolicyDenied,
        IdempotencyKeyReused,
        StoreFull,
    ),
    example=Example(
        request={
            "kind": "contact.area-notice",
            "to": [REKA],
            "fields": {"area": "invented-municipality", "week": "2027-W03"},
        },
        response={
            "id": MESSAGE,
            "thread": THREAD,
            "in_the_past": [],
            "recipients": [{"desk": REKA, "sections": [], "withheld": []}],
        },
    ),
)
LIST_MESSAGES = Operation(
    id="listMessages",
    method=Method.GET,
    path="/v1/messages",
    summary="List messages of any kind, sent and received, newest first.",
    auth=Auth.TOKEN,
    scope=Scope.READ,
    query=MessageFilter,
    response=MessagePage,
    following=("next_cursor", "cursor"),
    errors=(InvalidInput,),
    example=Example(query={"kind": "contact.area-notice"}, response={"items": [_ITEM], "next_cursor": None}),
)
GET_MESSAGE = Operation(
    id="getMessage",
    method=Method.GET,
    path="/v1/messages/{id}",
    summary="Get one message with the sections that this agency holds.",
    auth=Auth.TOKEN,
    scope=Scope.READ,
    parameters=MessagePath,
    query=HandoverChoice,
    response=MessageView,
    errors=(NotFound, Conflict, InvalidInput),
    answer_limit=8 << 20,
    example=Example(
        path={"id": MESSAGE},
        response={
            "item": _ITEM,
            "signer": "release desk",
            "answers": [
                {
                    "message": MESSAGE,
                    "ack": "acknowledged",
                    "answer": "noted",
                    "desk": REKA,
                    "officer": "off_" + "a" * 26,
                    "signer": "intake desk",
                    "at": NOW,
                }
            ],
            "payload": {"kind": "contact.area-notice", "version": 1},
            "sections": [],
        },
    ),
)
