# SPDX-License-Identifier: Apache-2.0
"""Screening, assessment and plan: which instrument was used and what followed from it, never its items or scores.

A screening ends in one of three words and in none about the person. Who did not want to take part is recorded as that
and nothing else: a refusal has no consequence here and stands in no list of risks.
"""

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from protocol.bodies.needs import Pathway
from protocol.clearance import Category
from protocol.content import MAX_ITEMS, Content, Held, Line, Passage

_RISK = Held(Category.RISK_SUMMARY)
_GOALS = Held(Category.PLAN_GOALS)
_LIST = Field(max_length=MAX_ITEMS)


class Instrument(StrEnum):
    """Which instrument was used, by its name only."""

    REGIONAL_MENTAL_HEALTH_2025 = "regional-mental-health-2025"
    """The regional mental-health screening tool of 2025."""
    NATIONAL = "national"
    """A tool of the jurisdiction; `name` says which."""
    VERA_2R = "VERA-2R"
    ERG22 = "ERG22+"
    IR46 = "IR46"
    RRAP = "RRAP"
    TRAP_18 = "TRAP-18"
    RADAR = "RADAR"
    OTHER = "other"


class ScreeningOutcome(StrEnum):
    """What a screening ends with."""

    REFER = "refer"
    DO_NOT_REFER = "do-not-refer"
    INSUFFICIENT_INFORMATION = "insufficient-information"


class Screening(Content):
    """A screening on admission or before release."""

    kind: Literal["screening"] = "screening"
    instrument: Annotated[Instrument, _RISK]
    name: Annotated[Line | None, _RISK] = None
    version: Annotated[Line | None, _RISK] = None
    screened_on: Annotated[date | None, _RISK] = None
    trained_screener: Annotated[bool, _RISK]
    declined_to_take_part: Annotated[bool, _RISK] = False
    """Recorded without prejudice; there is no outcome then."""
    outcome: Annotated[ScreeningOutcome | None, _RISK] = None
    immediate_needs: Annotated[tuple[Pathway, ...], _LIST, _RISK] = ()


class Source(StrEnum):
    """What a statement rests on (facts and opinions are kept apart)."""

    FACT = "fact"
    OPINION = "opinion"


class Statement(Content):
    """One statement, and whether it is a fact or somebody's assessment."""

    text: Annotated[Passage, _RISK]
    source: Annotated[Source, _RISK]


class Assessment(Content):
    """The summary of an assessment: both kinds of factors, a scenario, its confidence and its limits."""

    kind: Literal["assessment"] = "assessment"
    instrument: Annotated[Instrument, _RISK]
    name: Annotated[Line | None, _RISK] = None
    version: Annotated[Line | None, _RISK] = None
    certified_assessor: Annotated[bool, _RISK]
    assessed_on: Annotated[date, _RISK]
    valid_until: Annotated[date, _RISK]
    formulation: Annotated[Passage, _RISK]
    risk_factors: Annotated[tuple[Statement, ...], _LIST, _RISK] = ()
    protective_factors: Annotated[tuple[Statement, ...], _LIST, _RISK] = ()
    scenario: Annotated[Passage | None, _RISK] = None
    confidence: Annotated[Passage, _RISK]
    limits: Annotated[Passage, _RISK]


class Goal(Content):
    """One goal of a plan, with what is done for it and by whom."""

    goal: Annotated[Passage, _GOALS]
    interventions: Annotated[tuple[Line, ...], _LIST, _GOALS] = ()
    responsible: Annotated[Line | None, _GOALS] = None
    review_on: Annotated[date | None, _GOALS] = None


class Plan(Content):
    """An individual treatment plan, with what the person says of it."""

    kind: Literal["plan"] = "plan"
    plan_version: Annotated[int, Field(ge=1, le=10_000), _GOALS]
    goals: Annotated[tuple[Goal, ...], _LIST, _GOALS] = ()
    review_on: Annotated[date | None, _GOALS] = None
    person_agrees: Annotated[bool | None, _GOALS] = None
    person_says: Annotated[Passage | None, _GOALS] = None
