# SPDX-License-Identifier: Apache-2.0
"""Cases on a connector's local interface: one person in the agency's own register, who is involved, what is due."""

from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import Field

from protocol.errors import InvalidInput, NotFound
from protocol.http.examples import GORA, MESSAGE, NOW, REKA, THREAD
from protocol.http.fields import (
    AgencyText,
    CaseIdText,
    CursorText,
    DeskText,
    MessageIdText,
    QueryModel,
    RequestModel,
    ResponseModel,
    ThreadIdText,
    Time,
)
from protocol.http.handovers import MAX_PAGE, Code, Corrected, Direction, Name, Page
from protocol.http.operation import Auth, Example, Method, Operation, Scope
from protocol.http.threads import ChildView, LostView
from protocol.limits import MAX_NAME

MAX_HISTORY: Final = 1_000
"""Entries of a case's history in one view: the newest."""


class CaseList(StrEnum):
    """Which cases to list."""

    ALL = "all"
    OPEN = "open"
    """Something of it is not over."""
    DUE = "due"
    """An answer, or whatever else comes next, is due within two days, or late; ours or another's."""
    CLOSED = "closed"
    """All of it is over."""


class CaseFilter(Page):
    """Which cases to list."""

    list: CaseList = CaseList.ALL


class CaseSearch(RequestModel):
    """What to look for: names, numbers, a date of birth (1990-12-31), or their beginnings, in either script."""

    text: Annotated[str, Field(min_length=1, max_length=MAX_NAME, repr=False)]
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 50
    cursor: CursorText | None = None


class CasePath(QueryModel):
    """Which case; any id that it ever had."""

    case: CaseIdText


class CasePerson(ResponseModel):
    """Who it is about, as the newest message says that names somebody."""

    family_name: Name
    given_names: Name | None
    date_of_birth: date | None


class CaseItem(ResponseModel):
    """One case in a list. `register_numbers` are those of this agency's own register; `live` threads are not over."""

    id: CaseIdText
    person: CasePerson | None
    register_numbers: list[Name]
    threads: int
    live: int
    begun_at: Time
    changed_at: Time
    due_at: Time | None
    """When the next is due of what its threads wait for (LIF-7), and of what is to be noted or answered (KIND-7)."""


class CasePage(ResponseModel):
    """A page of cases, the one that changed last first."""

    items: list[CaseItem]
    next_cursor: str | None


class Participant(ResponseModel):
    """An agency that has part in the case. `sides` are its parts in referrals and handovers."""

    agency: AgencyText
    desks: list[DeskText]
    sides: list[Code]
    signers: list[Name]
    """Who acted for it, as its devices attest."""
    leads: bool
    """Whether it has the coordination lead of a handover that is under way or done."""
    last_at: Time


class DueItem(ResponseModel):
    """Something that somebody is to do: at a time, on a day, or with no date set. `late` once that is past."""

    what: Code
    by: AgencyText
    thread: ThreadIdText
    at: Time | None
    on: date | None
    late: bool


class CaseThreadItem(ResponseModel):
    """One thread of the case: a referral, a handover, or messages that move nothing (`machine` is null)."""

    thread: ThreadIdText
    machine: Code | None
    side: Code | None
    state: Code | None
    live: bool
    peer: list[DeskText]
    register_number: Name | None
    """Ours."""
    other_register_number: Name | None
    alert: Code | None
    """What this side must hear of (REF-5, LIF-7)."""
    children: list[ChildView]
    """Referrals of ours that go on from it (REF-11)."""
    changed_at: Time
    damaged: bool = False
    """What is stored of it cannot be read any more; the case is shown without what it says (CON-8)."""
    withheld: Code | None = None
    """Why the case is shown without what came in it: it was entered in error (CON-26)."""


class Gap(ResponseModel):
    """Messages that came and wait for one before them (SEQ-1); they have no effect yet."""

    thread: ThreadIdText
    sender: DeskText
    missing: int
    """The number of the message that has not come."""
    waiting: int
    since: Time


class Undelivered(ResponseModel):
    """A message of ours that a desk has not opened."""

    message: MessageIdText
    thread: ThreadIdText
    desk: DeskText
    state: Code
    since: Time


class CaseEntry(ResponseModel):
    """One thing that happened: a step (`event`) or a message that is none; `refused` says why it had no effect."""

    at: Time
    thread: ThreadIdText
    message: MessageIdText
    what: Code
    """The event of the life cycle, or the kind of the message."""
    direction: Direction
    agency: AgencyText
    signer: Name
    state: Code | None
    refused: Code | None
    corrected: Corrected | None = None
    """Its sender has said since that something in it is wrong (KIND-9)."""


class CaseView(ResponseModel):
    """One case whole, from signed messages alone: who is involved, what is due, what happened, what is missing."""

    item: CaseItem
    participants: list[Participant]
    due: list[DueItem]
    threads: list[CaseThreadItem]
    gaps: list[Gap]
    undelivered: list[Undelivered]
    lost: list[LostView] = Field(default_factory=list)
    """Messages that never arrived and were given up, theirs and ours (SEQ-11)."""
    history: Annotated[list[CaseEntry], Field(max_length=MAX_HISTORY)]
    """Newest first."""
    older: int
    """How many entries more there are; each thread has its own whole."""


_CASE: Final = "cas_" + "a" * 26
_ITEM: Final[dict[str, Any]] = {
    "id": _CASE,
    "person": {"family_name": "Invented", "given_names": None, "date_of_birth": None},
    "register_numbers": ["035-1/2027"],
    "threads": 1,
    "live": 1,
    "begun_at": NOW,
    "changed_at": NOW,
    "due_at": "2026-12-07T16:00:00.000Z",
}

LIST_CASES = Operation(
    id="listCases",
    method=Method.GET,
    path="/v1/cases",
    summary="List cases: each one person in this agency's own register.",
    description="The one that changed last comes first, so a case that changes while pages are read can be on none "
    "of them. This is for people who look; a program that must miss nothing follows `GET /v1/events`.",
    auth=Auth.TOKEN,
    scope=Scope.READ,
    query=CaseFilter,
    response=CasePage,
    following=("next_cursor", "cursor"),
    errors=(InvalidInput,),
    example=Example(query={"list": "open"}, response={"items": [_ITEM], "next_cursor": None}),
)
SEARCH_CASES = Operation(
    id="searchCases",
    method=Method.POST,
    path="/v1/case-searches",
    summary="Find cases by names, numbers or a date of birth, in either script and without marks.",
    description=(
        "Every word must be found in the case, whole or by its beginning (two letters at least). A POST that changes "
        "nothing, so that no name stands in an address, a history or a log. The next page: the same with `cursor`."
    ),
    auth=Auth.TOKEN,
    scope=Scope.READ,
    request=CaseSearch,
    response=CasePage,
    errors=(InvalidInput,),
    example=Example(request={"text": "Djordje 035-1"}, response={"items": [_ITEM], "next_cursor": None}),
)
GET_CASE = Operation(
    id="getCase",
    method=Method.GET,
    path="/v1/cases/{case}",
    summary="Get one case: who is involved, what is due, what happened, what is missing.",
    description=(
        "A case follows from signed messages alone (CAS-1). When a later message says more, threads can come together, "
        "and the case has another id; every id that it had leads to it (CAS-3)."
    ),
    auth=Auth.TOKEN,
    scope=Scope.READ,
    parameters=CasePath,
    response=CaseView,
    errors=(NotFound,),
    answer_limit=8 << 20,
    example=Example(
        path={"case": _CASE},
        response={
            "item": _ITEM,
            "participants": [
                {
                    "agency": "gora-prison@hub.example",
                    "desks": [GORA],
                    "sides": ["requester"],
                    "signers": ["release desk"],
                    "leads": False,
                    "last_at": NOW,
                }
            ],
            "due": [
                {
                    "what": "answer",
                    "by": "reka-probation@hub.example",
                    "thread": THREAD,
                    "at": "2026-12-07T16:00:00.000Z",
                    "on": None,
                    "late": False,
                }
            ],
            "threads": [
                {
                    "thread": THREAD,
                    "machine": "referral",
                    "side": "recipient",
                    "state": "delivered",
                    "live": True,
                    "peer": [GORA],
                    "register_number": "035-1/2027",
                    "other_register_number": None,
                    "alert": None,
                    "children": [],
                    "changed_at": NOW,
                }
            ],
            "gaps": [],
            "undelivered": [{"message": MESSAGE, "thread": THREAD, "desk": REKA, "state": "accepted", "since": NOW}],
            "history": [
                {
                    "at": NOW,
                    "thread": THREAD,
                    "message": MESSAGE,
                    "what": "send",
                    "direction": "received",
                    "agency": "gora-prison@hub.example",
                    "signer": "release desk",
                    "state": "sent",
                    "refused": None,
                }
            ],
            "older": 0,
        },
    ),
)
