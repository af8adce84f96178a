# SPDX-License-Identifier: Apache-2.0
"""Models of the local interface for threads: referrals and handovers as they stand, and the steps that move them."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, JsonValue

from protocol.handover import PackageSection
from protocol.http.fields import (
    AgencyText,
    CaseIdText,
    DeskText,
    MessageIdText,
    OfficerIdText,
    QueryModel,
    RequestModel,
    ResponseModel,
    ThreadIdText,
    Time,
)
from protocol.http.handovers import Code, CorrectionView, Name, Page, RecipientPlan, RecipientView, SectionView
from protocol.limits import MAX_SECTIONS

MAX_FIELDS = 40
"""Fields of one step."""
MAX_EVENT = 64
MAX_KNOWN = 200
"""Codes of services that one answer names."""

Fields = Annotated[dict[Annotated[str, Field(max_length=MAX_EVENT)], JsonValue], Field(max_length=MAX_FIELDS)]
Sections = Annotated[list[PackageSection], Field(max_length=MAX_SECTIONS - 1)]


class ReferralRequest(RequestModel):
    """A referral to one desk. `fields` are those of the kind `referral.request`, version 1; words go into `sections`.

    `officer` is who acts, the installation's service where it is null; `sender` which of its own desks.
    """

    to: DeskText
    fields: Fields
    sections: Sections = Field(default_factory=list)
    sender: DeskText | None = None
    officer: OfficerIdText | None = None


class StepRequest(RequestModel):
    """One step of a thread. `event` is one of the life cycle's; `fields` are those of the kind that it is."""

    event: Annotated[str, Field(min_length=1, max_length=MAX_EVENT, pattern="^[a-z-]+$")]
    fields: Fields = Field(default_factory=dict)
    sections: Sections = Field(default_factory=list)
    officer: OfficerIdText | None = None


class StepQueued(ResponseModel):
    """The step is stored durably and will be sent; `state` is how the thread stands with it (LIF-4)."""

    thread: ThreadIdText
    message: MessageIdText
    state: Code
    version: int
    open_sub_referrals: list[ThreadIdText]
    """Sub-referrals of a referral that ends with this step, which are not over (REF-11): see to them."""
    unnoted_alerts: list[MessageIdText] = Field(default_factory=list)
    """Alerts, sent or received, that nobody has noted in a thread which this step enters in error (KIND-8): call."""
    in_the_past: list[Code] = Field(default_factory=list)
    """Fields whose date or time was over when this was written, such as `release_on`: it was sent all the same."""
    unknown_services: list[Code] = Field(default_factory=list)
    """Codes of services that the connector's table of services does not have: it was sent all the same (REF-13)."""
    known_services: Annotated[list[Code], Field(max_length=MAX_KNOWN)] = Field(default_factory=list)
    """The codes that it has, where one was not known; the first of very many."""
    recipients: list[RecipientPlan] = Field(default_factory=list)
    """What each desk will get, and what is withheld from it (CON-7)."""


class ThreadPath(QueryModel):
    """Which thread."""

    thread: ThreadIdText


class Machine(StrEnum):
    """Which life cycle."""

    REFERRAL = "referral"
    HANDOVER = "handover"


class ListName(StrEnum):
    """The lists that caseworkers use."""

    ALL = "all"
    NEW = "new"
    """Came, and nobody here has taken it up."""
    MINE = "mine"
    """Those of one officer that are not over; `officer` says whose."""
    UNASSIGNED = "unassigned"
    """Came, not over, and no officer has it."""
    SENT = "sent"
    """Begun here."""
    ANSWER_DUE = "answer-due"
    """An answer of ours, or whatever else we have to do next, is due within two days, or late."""
    ALERTS = "alerts"
    """Somebody did not come, or nobody said whether (REF-5); what is waited for is late (LIF-7); a message was lost."""
    CLOSED = "closed"
    """Over."""


class ThreadFilter(Page):
    """Which threads to list."""

    machine: Machine = Machine.REFERRAL
    list: ListName = ListName.ALL
    officer: OfficerIdText | None = None


class ThreadItem(ResponseModel):
    """One thread in a list."""

    thread: ThreadIdText
    machine: Code
    side: Code
    """Ours: requester or recipient, sender or receiver; observer for who was sent a copy."""
    state: Code
    live: bool
    own_desk: DeskText
    peer_desk: DeskText
    priority: Code
    begun_at: Time
    changed_at: Time
    due_at: Time | None
    """Until when whatever is waited for is due, an answer or what comes after it (LIF-7)."""
    officer: OfficerIdText | None
    alert: Code | None
    """What this side must hear of: `first-missed`, `missed-again`, `unreported` (REF-5), `overdue` (LIF-7),
    `forward-proposed` (REF-4), `messages-forgotten` (SEQ-12), `message-lost` (SEQ-11), `lead-returned` (HAN-11),
    or `handed-over-twice` (HAN-12)."""
    similar: list[ThreadIdText]
    """Referrals of the half year before about the same person that it does not go on from, the newest 20 (REF-8)."""
    similar_more: bool
    """There are others, older than these; the case shows them."""
    version: int
    damaged: bool = False
    """Its row cannot be read any more: `priority` says so too, the other fields are what stands in clear (CON-8)."""


class ThreadPage(ResponseModel):
    """A page of threads, the one that changed last first."""

    items: list[ThreadItem]
    next_cursor: str | None


class RungView(ResponseModel):
    """One rung of the acknowledgement ladder (LIF-5)."""

    ack: Code
    at: Time
    signer: Name
    message: MessageIdText


class ServiceLeft(ResponseModel):
    """One service that was not taken, and why."""

    code: Code
    reason: Code


class ResidualView(ResponseModel):
    """What is left of a referral that was accepted in part (REF-6)."""

    services: list[ServiceLeft]
    draft: dict[str, Any] | None
    """At the requester: the `fields` of a new referral that asks another desk for just these services."""


class AlertView(ResponseModel):
    """One alert that stands: since when, which message proves it, and what it is about.

    That is an appointment (REF-5), or `what` is late or waited for, and by which side: `by` (LIF-7, HAN-11, HAN-16);
    whom a statute bound has `bound`, and to whom somebody comes sooner `brought-forward`, and a review of its own is
    waited for (HAN-14, HAN-17).
    """

    kind: Code
    since: Time
    appointment: Time | None = None
    what: Code | None = None
    by: Code | None = None
    message: MessageIdText
    threads: list[ThreadIdText] = Field(default_factory=list)
    """Of one that two agencies have accepted: our other handovers that count, at most 20 (HAN-12)."""


class LostView(ResponseModel):
    """A message that never arrived and that its sender gave up: the thread went on without it (SEQ-11)."""

    message: MessageIdText
    thread: ThreadIdText
    sender: DeskText
    recipient: DeskText
    since: Time
    """When that was known here."""


class ForgottenView(ResponseModel):
    """Messages that their recipient has and their sender does not know: its machine was lost (SEQ-12)."""

    sender: DeskText
    recipient: DeskText
    count: int
    since: Time
    """When that was known here."""


class Relation(StrEnum):
    """How a referral goes on from another."""

    SUB_REFERRAL = "sub-referral"
    """It serves the other, whose requester stays responsible (`part_of`)."""
    FORWARD = "forward"
    RESIDUAL = "residual"
    REOPENED = "reopened"


class GoesOnView(ResponseModel):
    """Which referral this one goes on from; its thread need not be known here."""

    thread: ThreadIdText
    relation: Relation


class ChildView(ResponseModel):
    """A referral of ours that goes on from a thread, as it stands now."""

    thread: ThreadIdText
    relation: Relation
    to: DeskText
    state: Code
    live: bool


class StepView(ResponseModel):
    """One step as it stands in the hub's order; `refused` says why it had no effect (LIF-4)."""

    message: MessageIdText
    event: Code
    actor: Code
    signer: Name
    at: Time
    leaf_index: int | None
    refused: Code | None
    state: Code
    """The state after it."""
    payload: dict[str, Any]
    sections: list[SectionView]
    recipients: list[RecipientView] = Field(default_factory=list)
    """Of a step of ours: how it stands at each desk, what goes there and what is withheld (CON-7)."""
    damaged: bool = False
    """Whether the stored message of it can no longer be read: the step stands without its sections (CON-8)."""
    corrections: list[CorrectionView] = Field(default_factory=list)
    """What its sender has said since is wrong in it, the oldest first (KIND-9)."""
    withheld: Code | None = None
    """Why nobody is shown what came in its sections: its thread was entered in error (CON-26)."""


class ThreadView(ResponseModel):
    """One thread with all its steps, what the other side has acknowledged, and what could be done here next."""

    item: ThreadItem
    case: CaseIdText | None
    """The case that it belongs to."""
    subject: Name
    """The person's pseudonym in this thread."""
    lead: AgencyText | None
    """Which agency has the coordination lead; null where the life cycle does not move it."""
    lead_since: Time | None
    """The instant at which the lead moved; null as long as it did not (HAN-2)."""
    supervisor: AgencyText | None
    """Which agency supervises in law now; it changes at the same instant as the lead (HAN-4)."""
    no_supervisor: Code | None
    """Why nobody supervises in law, if nobody does."""
    residual: ResidualView | None
    """What the recipient of a referral did not take (REF-6)."""
    goes_on_from: GoesOnView | None
    children: list[ChildView]
    """Referrals of ours that go on from this one: sub-referrals, a forward, a residual; the first begun first."""
    ladder: list[RungView]
    alerts: list[AlertView]
    lost: list[LostView] = Field(default_factory=list)
    """Messages that were lost in it, theirs and ours."""
    forgotten: list[ForgottenView] = Field(default_factory=list)
    """What a side does not know of its own messages in it, so that its officers and ours talk."""
    steps: list[StepView]
    possible: list[Code]
