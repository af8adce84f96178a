# SPDX-License-Identifier: Apache-2.0
"""The handover's moves, kind 9, beside the offer itself (`protocol.handover`), which carries the package."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from protocol.clocks import Ack, Span
from protocol.content import Content
from protocol.fieldcodes import broken
from protocol.handover import HandoverOffer, NoSupervisor, Trigger
from protocol.kinds.base import (
    HELD,
    AgencyRef,
    Capacity,
    Code,
    Day,
    Instant,
    MessageKind,
    OfficerRef,
    Payload,
    ThreadRef,
    declared,
)
from protocol.kinds.reasons import ErrorReason, HandoverDeclineReason, HandoverEndReason
from protocol.lifecycle.handover import HANDOVER, Event
from protocol.lifecycle.owed import Awaited
from protocol.lifecycle.timers import Level

MAX_OPEN_ITEMS = 30


class ItemFate(StrEnum):
    """What becomes of a running referral when responsibility moves."""

    MOVES = "moves"
    STAYS = "stays"
    ENDS = "ends"


class OpenItem(Content):
    """One running referral, named by its thread, and what becomes of it."""

    thread: ThreadRef
    fate: Annotated[ItemFate, HELD]


class Supervision(Content):
    """Who supervises in law from the instant on; or why nobody does."""

    agency: AgencyRef | None = None
    nobody: Annotated[NoSupervisor | None, HELD] = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.agency is None) == (self.nobody is None):
            raise broken("supervisor-or-reason")
        return self


_Items = Annotated[tuple[OpenItem, ...], Field(max_length=MAX_OPEN_ITEMS), HELD]


class Acknowledge(Payload):
    """`handover.acknowledge`, A2: a named officer has taken it up."""

    kind: Literal["handover.acknowledge"] = "handover.acknowledge"
    officer: OfficerRef
    answer_by: Day


class _Accepting(Payload):
    officer: OfficerRef
    supervisor: Annotated[Supervision, HELD]
    items: _Items
    risks_read: Annotated[bool, HELD]
    """Whether the officer has acknowledged the risks that were handed over, item by item."""
    first_appointment: Instant | None = None


class Accept(_Accepting):
    """`handover.accept`, A3: the lead moves at the agreed instant."""

    kind: Literal["handover.accept"] = "handover.accept"


class AcceptPart(_Accepting):
    """`handover.accept-part`, A3: the lead moves; named conditions stay open between the two."""

    kind: Literal["handover.accept-part"] = "handover.accept-part"
    outstanding: Annotated[tuple[Code, ...], Field(min_length=1, max_length=MAX_OPEN_ITEMS), HELD]


class Decline(Payload):
    """`handover.decline`, A3: the lead stays where it is."""

    kind: Literal["handover.decline"] = "handover.decline"
    reason: Annotated[HandoverDeclineReason, HELD]


class Bind(Payload):
    """`handover.bind`: a statute puts the receiver in charge, who may review and not decline."""

    kind: Literal["handover.bind"] = "handover.bind"
    statute: Code


class Review(Payload):
    """`handover.review`: the receiver's remarks on what it has; the words are in a section."""

    kind: Literal["handover.review"] = "handover.review"


class RunTogether(Payload):
    """`handover.run-together`: both work with the person from now on; the sender still leads."""

    kind: Literal["handover.run-together"] = "handover.run-together"


class ChangeDate(Payload):
    """`handover.change-date`: the release moved, and the instant with it; nobody has to accept again."""

    kind: Literal["handover.change-date"] = "handover.change-date"
    trigger: Annotated[Trigger, HELD]
    reason: Annotated[HandoverEndReason, HELD]


class TakeEffect(Payload):
    """`handover.effective`: the instant. From here on the receiver leads."""

    kind: Literal["handover.effective"] = "handover.effective"
    effective_at: Instant
    supervisor: Annotated[Supervision | None, HELD] = None
    """As the receiver named it in its answer, for those who got a copy of the offer and not of the answer."""


class Fail(Payload):
    """`handover.failed`: the instant came and the release did not, or was taken back."""

    kind: Literal["handover.failed"] = "handover.failed"
    reason: Annotated[HandoverEndReason, HELD]


class Complete(Payload):
    """`handover.complete`: papers and open items have arrived; the sender keeps what its retention rule says."""

    kind: Literal["handover.complete"] = "handover.complete"
    items: _Items


class Withdraw(Payload):
    """`handover.withdraw`: there will be no handover; the lead stays where it is."""

    kind: Literal["handover.withdraw"] = "handover.withdraw"
    reason: Annotated[HandoverEndReason, HELD]


class Escalate(Payload):
    """`handover.escalate`: a clock has run out; the hierarchy of whoever is late is told, and the other side."""

    kind: Literal["handover.escalate"] = "handover.escalate"
    level: Annotated[Level, HELD]
    ack: Annotated[Ack | None, HELD] = None
    """Which acknowledgement is late: of the offer, of the step by which a statute bound the receiver (HAN-14), or of an
    earlier day (HAN-17)."""
    awaited: Annotated[Awaited | None, HELD] = None
    """What else is late, once the offer was accepted."""
    was_due_at: Instant

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.ack is None) == (self.awaited is None):
            raise broken("late-or-else")
        return self


class Expire(Payload):
    """`handover.expire`: nobody answered; the lead stays with the sender, who is told."""

    kind: Literal["handover.expire"] = "handover.expire"


class OfferAgain(Payload):
    """`handover.offer-again`: the same package for another day.

    It names anew by when it is to be taken up and answered (HAN-9).
    """

    kind: Literal["handover.offer-again"] = "handover.offer-again"
    trigger: Annotated[Trigger, HELD]
    acknowledge_by: Day
    answer_by: Day
    reason: Annotated[HandoverEndReason, HELD]


class EnteredInError(Payload):
    """`handover.entered-in-error`: it should never have been sent."""

    kind: Literal["handover.entered-in-error"] = "handover.entered-in-error"
    reason: Annotated[ErrorReason, HELD]
    capacity: Annotated[Capacity | None, HELD] = None


_A12 = frozenset({Ack.A1, Ack.A2})
_A123 = frozenset(Ack)


HANDOVER_KINDS: tuple[MessageKind, ...] = (
    declared(9, HandoverOffer, _A123, Span(working_days=5), step=(HANDOVER, Event.OFFER)),
    declared(9, Acknowledge, step=(HANDOVER, Event.ACKNOWLEDGE)),
    declared(9, Accept, step=(HANDOVER, Event.ACCEPT)),
    declared(9, AcceptPart, step=(HANDOVER, Event.ACCEPT_PART)),
    declared(9, Decline, step=(HANDOVER, Event.DECLINE)),
    declared(9, Bind, _A12, step=(HANDOVER, Event.BIND)),
    declared(9, Review, step=(HANDOVER, Event.REVIEW)),
    declared(9, RunTogether, step=(HANDOVER, Event.RUN_TOGETHER)),
    declared(9, ChangeDate, _A12, step=(HANDOVER, Event.CHANGE_DATE)),
    declared(9, TakeEffect, _A12, step=(HANDOVER, Event.TAKE_EFFECT)),
    declared(9, Fail, _A12, step=(HANDOVER, Event.FAIL)),
    declared(9, Complete, step=(HANDOVER, Event.COMPLETE)),
    declared(9, Withdraw, step=(HANDOVER, Event.WITHDRAW)),
    declared(9, Escalate, step=(HANDOVER, Event.ESCALATE)),
    declared(9, Expire, step=(HANDOVER, Event.EXPIRE)),
    declared(9, OfferAgain, _A123, step=(HANDOVER, Event.OFFER_AGAIN)),
    declared(9, EnteredInError, step=(HANDOVER, Event.ENTERED_IN_ERROR)),
)
"""One kind for each event of the table, but for the automatic receipt, which is `receipt.opened`."""
