# SPDX-License-Identifier: Apache-2.0
"""The sentence, the decision on release with its conditions, the offence, the first appointment."""

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from protocol.clearance import Category
from protocol.content import MAX_ITEMS, ClockTime, Content, Held, Line, Passage

_SENTENCE = Held(Category.SENTENCE)
_OFFENCE = Held(Category.OFFENCE)
_APPOINTMENT = Held(Category.APPOINTMENTS)
_LIST = Field(max_length=MAX_ITEMS)


class ConditionKind(StrEnum):
    """How a condition came into the decision."""

    STANDARD = "standard"
    ADDITIONAL = "additional"
    BESPOKE = "bespoke"


class ConditionPhase(StrEnum):
    """When a condition binds."""

    CONDITIONAL_RELEASE = "conditional-release"
    POST_SENTENCE = "post-sentence-supervision"


class Condition(Content):
    """One condition of release, in the words that bind."""

    text: Annotated[Passage, _SENTENCE]
    heading: Annotated[Line | None, _SENTENCE] = None
    kind: Annotated[ConditionKind | None, _SENTENCE] = None
    phase: Annotated[ConditionPhase | None, _SENTENCE] = None
    reference: Annotated[Line | None, _SENTENCE] = None


class Sentence(Content):
    """The sentence, its dates, and the decision on release with its conditions."""

    kind: Literal["sentence"] = "sentence"
    establishment: Annotated[Line | None, _SENTENCE] = None
    legal_status: Annotated[Line | None, _SENTENCE] = None
    sentence_type: Annotated[Line | None, _SENTENCE] = None
    recalled: Annotated[bool | None, _SENTENCE] = None
    indeterminate: Annotated[bool | None, _SENTENCE] = None
    sentence_start: Annotated[date | None, _SENTENCE] = None
    sentence_end: Annotated[date | None, _SENTENCE] = None
    release_confirmed_for: Annotated[date | None, _SENTENCE] = None
    conditional_release: Annotated[date | None, _SENTENCE] = None
    parole_eligibility: Annotated[date | None, _SENTENCE] = None
    decision_type: Annotated[Line | None, _SENTENCE] = None
    decision_state: Annotated[Line | None, _SENTENCE] = None
    decision_version: Annotated[Line | None, _SENTENCE] = None
    supervision_start: Annotated[date | None, _SENTENCE] = None
    supervision_end: Annotated[date | None, _SENTENCE] = None
    post_sentence_start: Annotated[date | None, _SENTENCE] = None
    post_sentence_end: Annotated[date | None, _SENTENCE] = None
    conditions: Annotated[tuple[Condition, ...], _LIST, _SENTENCE] = ()
    enclosures: Annotated[tuple[Line, ...], _LIST, _SENTENCE] = ()
    """Names of documents that belong to a condition and are sent apart."""


class Conditions(Content):
    """Only the conditions that the recipient has to help with."""

    kind: Literal["conditions"] = "conditions"
    conditions: Annotated[tuple[Condition, ...], _LIST, _SENTENCE] = ()


class Offence(Content):
    """What the sentence is for."""

    kind: Literal["offence"] = "offence"
    main_offence: Annotated[Line | None, _OFFENCE] = None
    summary: Annotated[Passage | None, _OFFENCE] = None


class FirstAppointment(Content):
    """Where the person is expected first."""

    kind: Literal["first-appointment"] = "first-appointment"
    on: Annotated[date | None, _APPOINTMENT] = None
    at: Annotated[ClockTime | None, _APPOINTMENT] = None
    place: Annotated[Line | None, _APPOINTMENT] = None
    with_whom: Annotated[Line | None, _APPOINTMENT] = None
    telephone: Annotated[Line | None, _APPOINTMENT] = None
    purpose: Annotated[Line | None, _APPOINTMENT] = None
