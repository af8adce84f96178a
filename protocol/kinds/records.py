# SPDX-License-Identifier: Apache-2.0
"""Records, consent, oversight and meetings: kinds 26 to 34."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from protocol.clearance import Basis, Category, Purpose
from protocol.clocks import Ack, Span
from protocol.kinds.base import HELD, Code, Day, Instant, MessageKind, MessageRef, OfficerRef, Payload, declared
from protocol.kinds.reasons import DataAction
from protocol.kinds.referral.serving import Period
from protocol.limits import DAY
from protocol.rows import EnvelopeClass

MOST = 30

_Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$"), HELD]


class RecordRequest(Payload):
    """`record.request`: asks the holder for records; the holder decides."""

    kind: Literal["record.request"] = "record.request"
    purpose: Annotated[Purpose, HELD]
    basis: Annotated[Basis, HELD]
    asked: Annotated[tuple[Category, ...], Field(min_length=1, max_length=MOST), HELD]
    period: Annotated[Period | None, HELD] = None
    answer_by: Day


class RecordShare(Payload):
    """`record.share`: records in sections, with what may be done with them."""

    kind: Literal["record.share"] = "record.share"
    answers: MessageRef | None = None
    onward: Annotated[bool, HELD] = False
    """Whether the recipient may pass them on."""


class RecordCorrection(Payload):
    """`record.correction`: something that was sent is wrong; what replaces it is in a section."""

    kind: Literal["record.correction"] = "record.correction"
    corrects: MessageRef
    act_on: Annotated[tuple[Code, ...], Field(max_length=MOST), HELD] = ()


class ConsentState(StrEnum):
    """Where a consent stands; *withdrawn* is the person's own, *invalidated* is the holder's."""

    GIVEN = "given"
    REFUSED = "refused"
    RENEWED = "renewed"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    INVALIDATED = "invalidated"


class ConsentChange(Payload):
    """`consent.changed`: from the holder to everybody in its scope; a refusal is recorded without prejudice."""

    kind: Literal["consent.changed"] = "consent.changed"
    state: Annotated[ConsentState, HELD]
    grant: _Hash
    grant_version: Annotated[int, Field(ge=1), HELD]


class CeaseNotice(Payload):
    """`cease.notice`: what came under a grant that ended is not to be used any more."""

    kind: Literal["cease.notice"] = "cease.notice"
    grant: _Hash
    of: Annotated[tuple[MessageRef, ...], Field(max_length=MOST), HELD] = ()


class CeaseReceipt(Payload):
    """`cease.receipt`: what became of it; a signed word of the recipient, not an erasure."""

    kind: Literal["cease.receipt"] = "cease.receipt"
    notice: MessageRef
    action: Annotated[DataAction, HELD]
    basis: Annotated[Basis | None, HELD] = None
    by: OfficerRef


class OverrideGround(StrEnum):
    """Why something went without consent."""

    VITAL_INTEREST = "vital-interest"
    SERIOUS_THREAT = "serious-threat"
    CHILD_PROTECTION = "child-protection"


class OverrideInvoked(Payload):
    """`override.invoked`: a reviewed document, never a flag; the facts are in a section."""

    kind: Literal["override.invoked"] = "override.invoked"
    ground: Annotated[OverrideGround, HELD]
    until: Instant
    confirmed_by: OfficerRef | None = None


class ReviewOutcome(StrEnum):
    """What the review of an override found."""

    JUSTIFIED = "justified"
    JUSTIFIED_EXCESS_SCOPE = "justified-excess-scope"
    UNJUSTIFIED = "unjustified"


class OverrideReviewed(Payload):
    """`override.reviewed`: by somebody outside the chain."""

    kind: Literal["override.reviewed"] = "override.reviewed"
    invoked: MessageRef
    outcome: Annotated[ReviewOutcome, HELD]


class AccessStage(StrEnum):
    """How far a subject access request has come."""

    REQUESTED = "requested"
    EXTENDED = "extended"
    DISCLOSED = "disclosed"
    PARTLY = "partly"
    RESTRICTED = "restricted"


class AccessRequest(Payload):
    """`sar.step`: a subject access request and its answers; a restriction names its day of review."""

    kind: Literal["sar.step"] = "sar.step"
    stage: Annotated[AccessStage, HELD]
    review_on: Day | None = None
    identity_checked: Annotated[bool, HELD] = False


class MeetingCall(Payload):
    """`case.meeting-call`: the agenda is in a section."""

    kind: Literal["case.meeting-call"] = "case.meeting-call"
    meets_at: Instant


class MeetingMinutes(Payload):
    """`case.meeting-minutes`: passed on through the chair only."""

    kind: Literal["case.meeting-minutes"] = "case.meeting-minutes"
    call: MessageRef


class MeetingAction(Payload):
    """`case.meeting-action`: how an action stands."""

    kind: Literal["case.meeting-action"] = "case.meeting-action"
    minutes: MessageRef
    done: Annotated[bool, HELD]
    due: Day | None = None


class CaseReason(StrEnum):
    """Why a case is closed."""

    GOALS_MET = "goals-met"
    SUPERVISION_ENDED = "supervision-ended"
    PERSON_DECLINED = "person-declined"
    MOVED_AWAY = "moved-away"
    IN_CUSTODY = "in-custody"
    DIED = "died"


class CaseClose(Payload):
    """`case.close`: outcome per goal is in a section; retention begins."""

    kind: Literal["case.close"] = "case.close"
    reason: Annotated[CaseReason, HELD]
    retention_from: Day


_A1, _A12 = frozenset({Ack.A1}), frozenset({Ack.A1, Ack.A2})
_A13 = frozenset({Ack.A1, Ack.A3})


RECORD_KINDS: tuple[MessageKind, ...] = (
    declared(26, RecordRequest, _A13, Span(working_days=10)),
    declared(27, RecordShare, _A12, klass=EnvelopeClass.RECORD),
    declared(28, RecordCorrection, _A12, Span(working_days=3), klass=EnvelopeClass.RECORD),
    declared(29, ConsentChange, _A1, Span(working_days=5)),
    declared(30, CeaseNotice, _A13, Span(working_days=5)),
    declared(30, CeaseReceipt, _A1),
    declared(31, OverrideInvoked, _A12, Span(working_days=2)),
    declared(31, OverrideReviewed, _A12),
    declared(32, AccessRequest, _A13, Span(30 * DAY)),
    declared(33, MeetingCall),
    declared(33, MeetingMinutes, due=Span(working_days=5)),
    declared(33, MeetingAction),
    declared(34, CaseClose, _A12),
)
"""Kinds about records and about what may be done with them."""
