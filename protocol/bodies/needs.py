# SPDX-License-Identifier: Apache-2.0
"""Needs by pathway, work and learning, running referrals, open points, notes."""

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from protocol.clearance import Category
from protocol.content import MAX_ITEMS, Content, Held, Line, Passage
from protocol.holding import SAME_AS_SECTION

_NEEDS = Held(Category.NEEDS)
_SAME = Held(SAME_AS_SECTION)
_LIST = Field(max_length=MAX_ITEMS)


class Pathway(StrEnum):
    """The areas of life in which needs are recorded."""

    ACCOMMODATION = "accommodation"
    ATTITUDES = "attitudes-thinking-behaviour"
    FAMILY = "children-families-communities"
    DRUGS_AND_ALCOHOL = "drugs-alcohol"
    EDUCATION_AND_WORK = "education-skills-work"
    FINANCE_AND_ID = "finance-id"
    HEALTH = "health"
    OTHER = "other"


class NeedStatus(StrEnum):
    """How far the work on a need has come."""

    NOT_STARTED = "not-started"
    IN_PROGRESS = "in-progress"
    SUPPORT_REQUIRED = "support-required"
    SUPPORT_NOT_REQUIRED = "support-not-required"
    SUPPORT_DECLINED = "support-declined"
    DONE = "done"


class ItemStatus(StrEnum):
    """The state of an item on a checklist."""

    OPEN = "open"
    IN_PROGRESS = "in-progress"
    DONE = "done"


class Need(Content):
    """What was recorded about one pathway on one day."""

    pathway: Annotated[Pathway, _SAME]
    status: Annotated[NeedStatus | None, _SAME] = None
    recorded_on: Annotated[date | None, _SAME] = None
    note: Annotated[Passage | None, _SAME] = None


class Needs(Content):
    """Needs by pathway; its section's category follows the pathway (health and dependency are medical)."""

    kind: Literal["needs"] = "needs"
    needs: Annotated[tuple[Need, ...], _LIST, _SAME] = ()


class Course(Content):
    """A course that the person began or finished."""

    title: Annotated[Line, _NEEDS]
    provider: Annotated[Line | None, _NEEDS] = None
    started_on: Annotated[date | None, _NEEDS] = None
    planned_end: Annotated[date | None, _NEEDS] = None
    ended_on: Annotated[date | None, _NEEDS] = None
    accredited: Annotated[bool | None, _NEEDS] = None
    level: Annotated[Line | None, _NEEDS] = None
    state: Annotated[Line | None, _NEEDS] = None
    outcome: Annotated[Line | None, _NEEDS] = None


class WorkAndLearning(Content):
    """Readiness for work, wishes, experience, courses."""

    kind: Literal["work-and-learning"] = "work-and-learning"
    readiness: Annotated[Line | None, _NEEDS] = None
    readiness_since: Annotated[date | None, _NEEDS] = None
    work_wanted: Annotated[tuple[Line, ...], _LIST, _NEEDS] = ()
    job_wanted: Annotated[Line | None, _NEEDS] = None
    experience: Annotated[Passage | None, _NEEDS] = None
    qualifications: Annotated[tuple[Line, ...], _LIST, _NEEDS] = ()
    full_time_carer: Annotated[bool | None, _NEEDS] = None
    courses: Annotated[tuple[Course, ...], _LIST, _NEEDS] = ()


class RunningReferral(Content):
    """A referral that was sent and is not over."""

    services: Annotated[tuple[Line, ...], _LIST, _SAME] = ()
    title: Annotated[Line | None, _SAME] = None
    provider: Annotated[Line | None, _SAME] = None
    area: Annotated[Line | None, _SAME] = None
    state: Annotated[Line | None, _SAME] = None
    sent_on: Annotated[date | None, _SAME] = None
    starts_on: Annotated[date | None, _SAME] = None


class Referrals(Content):
    """Running referrals; those to health and dependency services stand in a section of category medical."""

    kind: Literal["referrals"] = "referrals"
    referrals: Annotated[tuple[RunningReferral, ...], _LIST, _SAME] = ()


class ChecklistItem(Content):
    """Something to have or to do before or after release."""

    name: Annotated[Line, _NEEDS]
    status: Annotated[ItemStatus | None, _NEEDS] = None
    detail: Annotated[Line | None, _NEEDS] = None
    documents: Annotated[tuple[Line, ...], _LIST, _NEEDS] = ()


class Checklist(Content):
    """Documents and open points."""

    kind: Literal["checklist"] = "checklist"
    items: Annotated[tuple[ChecklistItem, ...], _LIST, _NEEDS] = ()


class Entry(Content):
    """A dated note."""

    text: Annotated[Passage, _SAME]
    on: Annotated[date | None, _SAME] = None
    heading: Annotated[Line | None, _SAME] = None


class Narrative(Content):
    """Notes in the sender's words; the sender puts them under the one category they are about."""

    kind: Literal["narrative"] = "narrative"
    entries: Annotated[tuple[Entry, ...], _LIST, _SAME] = ()
