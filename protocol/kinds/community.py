# SPDX-License-Identifier: Apache-2.0
"""After release: appointments, supervision, concerns, revocation, family and mentors; kinds 15 to 25."""

from enum import StrEnum
from typing import Annotated, Literal

from protocol.clocks import Ack, Span
from protocol.kinds.base import HELD, Code, Day, Instant, MessageKind, OfficerRef, Payload, declared
from protocol.kinds.referral.serving import Mode, Period
from protocol.limits import DAY


class Appointment(Payload):
    """`appointment.scheduled`: somebody is expected; where and with whom is in a section."""

    kind: Literal["appointment.scheduled"] = "appointment.scheduled"
    appointment: Instant
    purpose: Code
    mode: Annotated[Mode, HELD]


class AppointmentChanged(Payload):
    """`appointment.changed`: another time for the same."""

    kind: Literal["appointment.changed"] = "appointment.changed"
    was: Instant
    appointment: Instant


class AppointmentCancelled(Payload):
    """`appointment.cancelled`: nobody is expected then."""

    kind: Literal["appointment.cancelled"] = "appointment.cancelled"
    appointment: Instant


class Attendance(StrEnum):
    """Whether somebody came."""

    ATTENDED = "attended"
    NO_SHOW = "no-show"
    EXCUSED = "excused"


class AppointmentAttendance(Payload):
    """`appointment.attendance`; a first appointment that was missed raises `alert` at the lead."""

    kind: Literal["appointment.attendance"] = "appointment.attendance"
    appointment: Instant
    attendance: Annotated[Attendance, HELD]
    next_appointment: Instant | None = None


class SupervisionReport(Payload):
    """`supervision.report`: one period; monthly at first, then quarterly."""

    kind: Literal["supervision.report"] = "supervision.report"
    period: Annotated[Period, HELD]


class WarningLevel(StrEnum):
    """How serious a warning is."""

    REMINDER = "reminder"
    FIRST = "first"
    FINAL = "final"


class NoncomplianceWarning(Payload):
    """`noncompliance.warning`: the condition, the event and what the person says are in a section."""

    kind: Literal["noncompliance.warning"] = "noncompliance.warning"
    level: Annotated[WarningLevel, HELD]


class Imminence(StrEnum):
    """How soon something may happen."""

    NOW = "now"
    DAYS = "days"
    WEEKS = "weeks"
    UNKNOWN = "unknown"


class AlertRisk(Payload):
    """`alert.risk`: a concern for the lead; a mentor's or a family member's goes to their own coordinator first."""

    kind: Literal["alert.risk"] = "alert.risk"
    imminence: Annotated[Imminence, HELD]
    answer_by: Instant


class HarmType(StrEnum):
    """What somebody may suffer."""

    SELF_HARM = "self-harm"
    VIOLENCE = "violence"
    NEGLECT = "neglect"
    EXPLOITATION = "exploitation"
    OTHER = "other"


class AlertSafeguarding(Payload):
    """`alert.safeguarding`: somebody, perhaps a child, is in danger."""

    kind: Literal["alert.safeguarding"] = "alert.safeguarding"
    harm: Annotated[HarmType, HELD]
    child: Annotated[bool, HELD]
    ground: Code


class RevocationStage(StrEnum):
    """How far the revocation of a conditional release has come; each step has signatures of its own."""

    CONSIDERED = "considered"
    PROPOSED = "proposed"
    CONFIRMED = "confirmed"
    DECIDED = "decided"
    NOTIFIED = "notified"


class RevocationTrigger(StrEnum):
    """What it is about."""

    RISK_INCREASED = "risk-increased"
    CONTACT_STOPPED = "contact-stopped"
    BOTH = "both"


class Alternative(StrEnum):
    """What was tried before."""

    WARNING = "warning"
    MORE_CONTACT = "more-contact"
    EXTRA_CONDITIONS = "extra-conditions"
    PARTNER_REFERRAL = "partner-referral"


class Revocation(Payload):
    """`revocation.step`: one of five steps, from considering it to telling everybody the decision."""

    kind: Literal["revocation.step"] = "revocation.step"
    stage: Annotated[RevocationStage, HELD]
    trigger: Annotated[RevocationTrigger, HELD]
    alternatives: Annotated[tuple[Alternative, ...], HELD] = ()
    revoked: Annotated[bool | None, HELD] = None
    """The decision, once there is one."""
    signed_by: Annotated[tuple[OfficerRef, ...], HELD] = ()


class FamilyContact(Payload):
    """`family.contact`: what the prisoner wishes or refuses; the family may not be told against it."""

    kind: Literal["family.contact"] = "family.contact"
    wished: Annotated[bool, HELD]
    channel: Code | None = None


class FamilyNotice(Payload):
    """`family.notice`: day and place of a release, only where consent covers it."""

    kind: Literal["family.notice"] = "family.notice"
    release_on: Day


class MentorStage(StrEnum):
    """How far a mentor and a person have come together."""

    PROPOSED = "proposed"
    MATCHED = "matched"
    STARTED = "started"
    PAUSED = "paused"
    ENDED = "ended"


class Mentoring(Payload):
    """`mentor.step`: proposed, matched, started, paused or ended; the safety brief is in a section."""

    kind: Literal["mentor.step"] = "mentor.step"
    stage: Annotated[MentorStage, HELD]
    language: Code
    vetting_until: Day | None = None


class MentorNote(Payload):
    """`mentor.contact-note`: one contact, to the mentor's coordinator and to nobody else."""

    kind: Literal["mentor.contact-note"] = "mentor.contact-note"
    concern: Annotated[bool, HELD]


_A1, _A12, _A123 = frozenset({Ack.A1}), frozenset({Ack.A1, Ack.A2}), frozenset(Ack)
_A13 = frozenset({Ack.A1, Ack.A3})


COMMUNITY_KINDS: tuple[MessageKind, ...] = (
    declared(15, Appointment, due=Span(working_days=1)),
    declared(15, AppointmentChanged, due=Span(working_days=1)),
    declared(15, AppointmentCancelled, due=Span(working_days=1)),
    declared(16, AppointmentAttendance, due=Span(working_days=1)),
    declared(17, SupervisionReport, _A12),
    declared(18, NoncomplianceWarning, due=Span(working_days=3)),
    declared(19, AlertRisk, _A123, Span(DAY)),
    declared(20, AlertSafeguarding, _A12, Span(DAY)),
    declared(21, Revocation, _A13, Span(DAY)),
    declared(22, FamilyContact),
    declared(23, FamilyNotice, due=Span(working_days=5)),
    declared(24, Mentoring, _A13, Span(working_days=10)),
    declared(25, MentorNote, due=Span(working_days=3)),
)
"""Kinds of the time after release."""
