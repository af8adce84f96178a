# SPDX-License-Identifier: Apache-2.0
"""From the first screening to the day of release: kinds 1 to 6, 10 to 14 (`protocol.bodies` holds what is said)."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from protocol.clocks import Ack, Span
from protocol.fieldcodes import broken
from protocol.kinds.base import (
    HELD,
    AgencyRef,
    Code,
    Day,
    Instant,
    MessageKind,
    MessageRef,
    OfficerRef,
    Payload,
    declared,
)
from protocol.kinds.referral.request import ReleaseUnknown
from protocol.limits import HOUR


class Screening(Payload):
    """`intake.screening`: what a screening on admission ended with is in a section."""

    kind: Literal["intake.screening"] = "intake.screening"
    admitted_on: Day


class AssessmentSummary(Payload):
    """`assessment.summary`: a summary for who decides or supervises; items and scores have no form."""

    kind: Literal["assessment.summary"] = "assessment.summary"
    valid_until: Day


class Plan(Payload):
    """`plan.itp`: an individual treatment plan or a newer version of it."""

    kind: Literal["plan.itp"] = "plan.itp"
    review_on: Day | None = None


class Certainty(StrEnum):
    """How firm a date is."""

    EARLIEST = "earliest"
    EXPECTED = "expected"
    DECIDED = "decided"


class PrereleaseStart(Payload):
    """`prerelease.start`: the preparation begins, six months before release or when it is first known."""

    kind: Literal["prerelease.start"] = "prerelease.start"
    release_on: Day
    certainty: Annotated[Certainty, HELD]
    community: Code
    """The municipality that is proposed, as a code of the jurisdiction's list."""
    lead: OfficerRef
    answer_by: Day


class DateReason(StrEnum):
    """Why a release moved."""

    DECISION = "decision"
    APPEAL = "appeal"
    CALCULATION = "calculation"
    REMISSION = "remission"
    OTHER_SENTENCE = "other-sentence"
    OTHER = "other"


class ReleaseDateChanged(Payload):
    """`release.date-changed`: to everybody who has something open."""

    kind: Literal["release.date-changed"] = "release.date-changed"
    was: Day | None = None
    becomes: Day | None = None
    unknown: Annotated[ReleaseUnknown | None, HELD] = None
    reason: Annotated[DateReason, HELD]
    certainty: Annotated[Certainty, HELD]

    @model_validator(mode="after")
    def _date_or_reason(self) -> Self:
        if (self.becomes is None) == (self.unknown is None):
            raise broken("date-or-reason")
        return self


class AreaNotice(Payload):
    """`contact.area-notice`: to which municipality somebody comes, in which week, with which needs."""

    kind: Literal["contact.area-notice"] = "contact.area-notice"
    area: Code
    week: Annotated[str, Field(pattern=r"^\d{4}-W(0[1-9]|[1-4]\d|5[0-3])$"), HELD]


class ReleaseDecided(Payload):
    """`decision.conditional-release`: the decision with its conditions is in a section."""

    kind: Literal["decision.conditional-release"] = "decision.conditional-release"
    final: Annotated[bool, HELD]


class VariationStage(StrEnum):
    """How far a change of conditions has come."""

    REQUESTED = "requested"
    APPROVED = "approved"
    REFUSED = "refused"


class ConditionsVariation(Payload):
    """`conditions.variation`: a change of conditions is asked for, or decided."""

    kind: Literal["conditions.variation"] = "conditions.variation"
    stage: Annotated[VariationStage, HELD]


class ReleaseReason(StrEnum):
    """On which ground somebody was released."""

    SENTENCE_ENDED = "sentence-ended"
    CONDITIONAL = "conditional"
    PARDON = "pardon"
    COURT = "court"
    OTHER = "other"


class ReleaseNotice(Payload):
    """`release.notice`: somebody has left, in the same hour; provisional until `release.confirmed`."""

    kind: Literal["release.notice"] = "release.notice"
    released_at: Instant
    reason: Annotated[ReleaseReason, HELD]
    first_appointment: Instant | None = None
    provisional: Annotated[bool, HELD] = True


class ReleaseConfirmed(Payload):
    """`release.confirmed`: the window in which most mistakes are undone is over, and the release stands."""

    kind: Literal["release.confirmed"] = "release.confirmed"
    notice: MessageRef


class ReleaseCancelled(Payload):
    """`release.cancelled`: it did not happen."""

    kind: Literal["release.cancelled"] = "release.cancelled"
    notice: MessageRef


class CustodyReturned(Payload):
    """`custody.returned`: the person is in custody again."""

    kind: Literal["custody.returned"] = "custody.returned"
    notice: MessageRef | None = None
    returned_at: Instant


class CustodyTransferred(Payload):
    """`custody.transferred`: to another prison; whoever has something open is told who leads now."""

    kind: Literal["custody.transferred"] = "custody.transferred"
    from_agency: AgencyRef
    to_agency: AgencyRef
    moved_on: Day
    officer: OfficerRef | None = None


_A1, _A12, _A123 = frozenset({Ack.A1}), frozenset({Ack.A1, Ack.A2}), frozenset(Ack)


RELEASE_KINDS: tuple[MessageKind, ...] = (
    declared(1, Screening, _A12, Span(working_days=5)),
    declared(2, AssessmentSummary, _A12, Span(working_days=5)),
    declared(3, Plan, _A1),
    declared(4, PrereleaseStart, _A123, Span(working_days=10)),
    declared(5, ReleaseDateChanged, _A12, Span(working_days=1)),
    declared(6, AreaNotice, _A12, Span(working_days=20)),
    declared(10, ReleaseDecided, _A12, Span(working_days=1)),
    declared(11, ConditionsVariation, frozenset({Ack.A1, Ack.A3})),
    declared(12, ReleaseNotice, _A12, Span(HOUR)),
    declared(12, ReleaseConfirmed, _A1),
    declared(13, ReleaseCancelled, _A12, Span(HOUR)),
    declared(13, CustodyReturned, _A12, Span(HOUR)),
    declared(14, CustodyTransferred, _A1, Span(working_days=1)),
)
"""Kinds that tell of the way to release; what they say of a person stands in sections."""
