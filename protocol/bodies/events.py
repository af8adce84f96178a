# SPDX-License-Identifier: Apache-2.0
"""What happens to a person on the way out: a decision, a release, a report, a concern, a meeting."""

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from protocol.bodies.assessment import Source
from protocol.bodies.sentence import Condition
from protocol.clearance import Category
from protocol.content import MAX_ITEMS, ClockTime, Content, Held, Line, Passage
from protocol.holding import SAME_AS_SECTION

_SENTENCE = Held(Category.SENTENCE)
_ATTENDANCE = Held(Category.ATTENDANCE)
_NEEDS = Held(Category.NEEDS)
_SAME = Held(SAME_AS_SECTION)
_LIST = Field(max_length=MAX_ITEMS)


class AppealState(StrEnum):
    """Whether a decision can still change."""

    NONE = "none"
    POSSIBLE = "possible"
    PENDING = "pending"
    DECIDED = "decided"


class ReleaseDecision(Content):
    """A decision on conditional release with its conditions."""

    kind: Literal["release-decision"] = "release-decision"
    reference: Annotated[Line, _SENTENCE]
    decided_on: Annotated[date, _SENTENCE]
    granted: Annotated[bool, _SENTENCE]
    final: Annotated[bool, _SENTENCE]
    starts_on: Annotated[date | None, _SENTENCE] = None
    ends_on: Annotated[date | None, _SENTENCE] = None
    conditions: Annotated[tuple[Condition, ...], _LIST, _SENTENCE] = ()
    appeal: Annotated[AppealState, _SENTENCE] = AppealState.NONE


class Variation(Content):
    """A condition that is to change, or has."""

    kind: Literal["variation"] = "variation"
    condition: Annotated[Condition, _SENTENCE]
    becomes: Annotated[Condition | None, _SENTENCE] = None
    """None where it is lifted."""
    reason: Annotated[Passage, _SENTENCE]
    effective_on: Annotated[date | None, _SENTENCE] = None


class Departure(Content):
    """How somebody leaves: from where, with what, and what was handed out."""

    kind: Literal["departure"] = "departure"
    place: Annotated[Line, _SAME]
    at: Annotated[ClockTime | None, _SAME] = None
    transport: Annotated[Line | None, _SAME] = None
    met_by: Annotated[Line | None, _SAME] = None
    documents: Annotated[tuple[Line, ...], _LIST, _SAME] = ()
    handed_out: Annotated[tuple[Line, ...], _LIST, _SAME] = ()


class Compliance(StrEnum):
    """Whether a condition is kept."""

    KEPT = "kept"
    PARTLY = "partly"
    NOT_KEPT = "not-kept"
    NOT_YET_DUE = "not-yet-due"


class ConditionReport(Content):
    """One condition in a report."""

    condition: Annotated[Line, _ATTENDANCE]
    compliance: Annotated[Compliance, _ATTENDANCE]
    note: Annotated[Passage | None, _ATTENDANCE] = None


class SupervisionReport(Content):
    """A period of supervision."""

    kind: Literal["supervision-report"] = "supervision-report"
    conditions: Annotated[tuple[ConditionReport, ...], _LIST, _ATTENDANCE] = ()
    contacts_held: Annotated[int, Field(ge=0, le=10_000), _ATTENDANCE]
    contacts_missed: Annotated[int, Field(ge=0, le=10_000), _ATTENDANCE]
    person_says: Annotated[Passage | None, _ATTENDANCE] = None
    recommendation: Annotated[Passage | None, _ATTENDANCE] = None


class Reliability(StrEnum):
    """How far a source can be relied upon."""

    CONFIRMED = "confirmed"
    PROBABLE = "probable"
    UNCERTAIN = "uncertain"


class Concern(Content):
    """A concern, with what it rests on and what was done already; its section says what it is about."""

    kind: Literal["concern"] = "concern"
    text: Annotated[Passage, _SAME]
    source: Annotated[Source, _SAME]
    reliability: Annotated[Reliability, _SAME]
    who_is_at_risk: Annotated[Line | None, _SAME] = None
    action_taken: Annotated[Passage | None, _SAME] = None


class Task(Content):
    """Something that a meeting asked somebody to do."""

    what: Annotated[Line, _SAME]
    owner: Annotated[Line, _SAME]
    due_on: Annotated[date | None, _SAME] = None


class Minutes(Content):
    """What a case meeting decided; to be used inside one's own agency as needed, and passed on through its chair."""

    kind: Literal["minutes"] = "minutes"
    held_on: Annotated[date, _SAME]
    attendees: Annotated[tuple[Line, ...], _LIST, _SAME] = ()
    agenda: Annotated[tuple[Line, ...], _LIST, _SAME] = ()
    decisions: Annotated[tuple[Passage, ...], _LIST, _SAME] = ()
    actions: Annotated[tuple[Task, ...], _LIST, _SAME] = ()
    dissent: Annotated[Passage | None, _SAME] = None


class ContactNote(Content):
    """A mentor's note of one contact."""

    kind: Literal["contact-note"] = "contact-note"
    on: Annotated[date, _NEEDS]
    mode: Annotated[Line, _NEEDS]
    needs_raised: Annotated[Passage | None, _NEEDS] = None
