# SPDX-License-Identifier: Apache-2.0
"""From the acknowledgement to the answer: who took it up, what is still to be known, what is taken."""

from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from protocol.clocks import Ack
from protocol.content import Content
from protocol.fieldcodes import broken
from protocol.kinds.base import (
    HELD,
    AgencyRef,
    Code,
    Day,
    Instant,
    OfficerRef,
    Payload,
    ThreadRef,
)
from protocol.kinds.reasons import (
    CannotAnswerReason,
    DeclineReason,
    ForwardReason,
    LateDeclineReason,
)
from protocol.kinds.referral.request import MAX_SERVICES
from protocol.lifecycle.timers import Level


class Acknowledge(Payload):
    """`referral.acknowledge`, A2: a named officer has taken it up, and says when an answer can be expected."""

    kind: Literal["referral.acknowledge"] = "referral.acknowledge"
    officer: OfficerRef
    answer_by: Day


class Escalate(Payload):
    """`referral.escalate`: a clock has run out; the recipient's hierarchy is told."""

    kind: Literal["referral.escalate"] = "referral.escalate"
    level: Annotated[Level, HELD]
    ack: Annotated[Ack, HELD]
    was_due_at: Instant


class Ask(Payload):
    """`referral.ask`: a question; the answer's clock stands still until it is answered."""

    kind: Literal["referral.ask"] = "referral.ask"
    question: Code
    """Which field of the request it is about; the words are in a section."""
    due: Day


class Answer(Payload):
    """`referral.answer`: the answer is in a section."""

    kind: Literal["referral.answer"] = "referral.answer"


class CannotAnswer(Payload):
    """`referral.cannot-answer`: the question stays open, for a reason."""

    kind: Literal["referral.cannot-answer"] = "referral.cannot-answer"
    reason: Annotated[CannotAnswerReason, HELD]


class Accept(Payload):
    """`referral.accept`, A3: all services are taken."""

    kind: Literal["referral.accept"] = "referral.accept"
    officer: OfficerRef
    start_by: Day


class ServiceAnswer(Content):
    """What becomes of one service that was asked for."""

    code: Code
    accepted: Annotated[bool, HELD]
    reason: Annotated[DeclineReason | None, HELD] = None

    @model_validator(mode="after")
    def _reason_for_no(self) -> Self:
        if self.accepted != (self.reason is None):
            raise broken("reason-for-no")
        return self


class AcceptPart(Payload):
    """`referral.accept-part`, A3: some services are taken; the rest becomes a draft of the requester's again."""

    kind: Literal["referral.accept-part"] = "referral.accept-part"
    officer: OfficerRef
    start_by: Day
    services: Annotated[tuple[ServiceAnswer, ...], Field(min_length=2, max_length=MAX_SERVICES), HELD]

    @model_validator(mode="after")
    def _some_of_each(self) -> Self:
        if {service.accepted for service in self.services} != {True, False}:
            raise broken("some-of-each")
        return self

    def left_of(self, asked: Iterable[str]) -> dict[str, str]:
        """Return which of the services `asked` for, by code, were not taken, each with its reason (REF-6)."""
        return left_of(asked, ((one.code, one.reason) for one in self.services))


def left_of(asked: Iterable[str], answers: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    """Return the services `asked` for, by code, that were not taken, each with its reason (REF-6).

    `answers` are the codes of an answer in part, each with the reason of a no or None for a yes. A service that it
    passes over is not taken, for a reason that was not said; nor is one to which it says both.
    """
    said = list(answers)
    declined = {code: str(reason) for code, reason in said if reason is not None}
    taken = {code for code, reason in said if reason is None} - declined.keys()
    return {code: declined.get(code, DeclineReason.OTHER.value) for code in asked if code not in taken}


class Decline(Payload):
    """`referral.decline`, A3: none of the services is taken; the reason says why."""

    kind: Literal["referral.decline"] = "referral.decline"
    reason: Annotated[DeclineReason, HELD]
    alternative: Annotated[bool, HELD]
    """Whether the text names another service that may help."""


class DeclineLate(Payload):
    """`referral.decline-late`: gives back what was accepted; the text says what was done so far."""

    kind: Literal["referral.decline-late"] = "referral.decline-late"
    reason: Annotated[LateDeclineReason, HELD]
    handback: Annotated[tuple[Code, ...], Field(max_length=MAX_SERVICES), HELD]
    """The services on which something was done already."""


class Reassign(Payload):
    """`referral.reassign`: another officer of the recipient's; responsibility does not move."""

    kind: Literal["referral.reassign"] = "referral.reassign"
    officer: OfficerRef


class ProposeForward(Payload):
    """`referral.propose-forward`: another agency would be the right one; the requester decides."""

    kind: Literal["referral.propose-forward"] = "referral.propose-forward"
    agency: AgencyRef
    reason: Annotated[ForwardReason, HELD]


class ApproveForward(Payload):
    """`referral.approve-forward`: the requester has sent a new referral to that agency, in a thread of its own."""

    kind: Literal["referral.approve-forward"] = "referral.approve-forward"
    new_thread: ThreadRef
