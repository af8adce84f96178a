# SPDX-License-Identifier: Apache-2.0
"""Risk to others and risk to self, in bands and words: scores and items of instruments have no field."""

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from protocol.clearance import Category
from protocol.content import MAX_ITEMS, Content, Held, Line, Passage

_RISK = Held(Category.RISK_SUMMARY)
_MEDICAL = Held(Category.MEDICAL)
_LIST = Field(max_length=MAX_ITEMS)


class Answer(StrEnum):
    """A question's answer; `unknown` was recorded as such, an absent answer was not recorded."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class RiskLevel(StrEnum):
    """A band, never a score."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    VERY_HIGH = "very-high"


class SelfRiskArea(StrEnum):
    """Where somebody may be a risk to themselves, or at risk."""

    SUICIDE = "suicide"
    SELF_HARM = "self-harm"
    CUSTODY = "coping-in-custody"
    HOSTEL = "coping-in-hostel"
    VULNERABILITY = "vulnerability"


class RiskFlag(Content):
    """A marker of the sender's own system, with its code; the sender's code list says what it means."""

    code: Annotated[Line, _RISK]
    group: Annotated[Line | None, _RISK] = None


class Risk(Content):
    """The assessor's summary: who is at risk, of what, when, and what helps; bands and words, no scores."""

    kind: Literal["risk-summary"] = "risk-summary"
    assessed_on: Annotated[date | None, _RISK] = None
    overall_level: Annotated[RiskLevel | None, _RISK] = None
    who_is_at_risk: Annotated[Passage | None, _RISK] = None
    nature: Annotated[Passage | None, _RISK] = None
    imminence: Annotated[Passage | None, _RISK] = None
    increased_by: Annotated[Passage | None, _RISK] = None
    reduced_by: Annotated[Passage | None, _RISK] = None
    community_very_high: Annotated[tuple[Line, ...], _LIST, _RISK] = ()
    community_high: Annotated[tuple[Line, ...], _LIST, _RISK] = ()
    community_medium: Annotated[tuple[Line, ...], _LIST, _RISK] = ()
    community_low: Annotated[tuple[Line, ...], _LIST, _RISK] = ()
    custody_very_high: Annotated[tuple[Line, ...], _LIST, _RISK] = ()
    custody_high: Annotated[tuple[Line, ...], _LIST, _RISK] = ()
    custody_medium: Annotated[tuple[Line, ...], _LIST, _RISK] = ()
    custody_low: Annotated[tuple[Line, ...], _LIST, _RISK] = ()
    escape_or_abscond: Annotated[Answer | None, _RISK] = None
    control_issues: Annotated[Answer | None, _RISK] = None
    breach_of_trust: Annotated[Answer | None, _RISK] = None
    risk_to_prisoners: Annotated[Answer | None, _RISK] = None
    arrangement: Annotated[Line | None, _RISK] = None
    """The multi-agency arrangement under which the risk is managed."""
    arrangement_category: Annotated[Line | None, _RISK] = None
    arrangement_since: Annotated[date | None, _RISK] = None
    arrangement_review: Annotated[date | None, _RISK] = None
    arrangement_notes: Annotated[Passage | None, _RISK] = None
    flags: Annotated[tuple[RiskFlag, ...], _LIST, _RISK] = ()


class SelfRisk(Content):
    """One area of risk to self: was there, is there, and in which words."""

    area: Annotated[SelfRiskArea, _MEDICAL]
    risk: Annotated[Answer | None, _MEDICAL] = None
    current: Annotated[Answer | None, _MEDICAL] = None
    current_concerns: Annotated[Passage | None, _MEDICAL] = None
    previous: Annotated[Answer | None, _MEDICAL] = None
    previous_concerns: Annotated[Passage | None, _MEDICAL] = None


class Health(Content):
    """What bears on supervision and on keeping the person safe; never a medical record."""

    kind: Literal["health"] = "health"
    assessed_on: Annotated[date | None, _MEDICAL] = None
    restricted_patient: Annotated[bool | None, _MEDICAL] = None
    risk_to_self: Annotated[tuple[SelfRisk, ...], _LIST, _MEDICAL] = ()
    work_limited_by: Annotated[tuple[Line, ...], _LIST, _MEDICAL] = ()
    needed_to_work: Annotated[tuple[Line, ...], _LIST, _MEDICAL] = ()
    support_declined_because: Annotated[tuple[Line, ...], _LIST, _MEDICAL] = ()
    """Reasons that have to do with work stand here and not with the needs, since most of them tell of health."""
    manages_mental_health: Annotated[bool | None, _MEDICAL] = None
    manages_dependencies: Annotated[bool | None, _MEDICAL] = None
    medication_notes: Annotated[Passage | None, _MEDICAL] = None
