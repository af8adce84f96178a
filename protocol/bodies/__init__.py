# SPDX-License-Identifier: Apache-2.0
"""The bodies of a handover's sections: one typed form for each kind of thing that is handed over.

A body's `kind` says which form it is, and `CATEGORIES` under which data categories that form may stand.
Nearly every field is optional: agencies record different things, and what is absent says nothing. What is
present has one form. Scores and items of instruments have no field on purpose: they cannot be sent.
"""

from typing import Annotated

from pydantic import Field

from protocol.bodies.assessment import Assessment, Plan, Screening
from protocol.bodies.events import (
    Concern,
    ContactNote,
    Departure,
    Minutes,
    ReleaseDecision,
    SupervisionReport,
    Variation,
)
from protocol.bodies.needs import Checklist, Narrative, Needs, Referrals, WorkAndLearning
from protocol.bodies.person import Address, ContactDetails, FamilyContacts, Identifiers, Person, StaffContacts
from protocol.bodies.risk import Health, Risk
from protocol.bodies.sentence import Conditions, FirstAppointment, Offence, Sentence
from protocol.clearance import Category
from protocol.content import Content

Body = Annotated[
    Person
    | Identifiers
    | ContactDetails
    | Address
    | Sentence
    | Conditions
    | Offence
    | Risk
    | Health
    | Needs
    | WorkAndLearning
    | Referrals
    | FirstAppointment
    | StaffContacts
    | FamilyContacts
    | Checklist
    | Narrative
    | Screening
    | Assessment
    | Plan
    | ReleaseDecision
    | Variation
    | Departure
    | SupervisionReport
    | Concern
    | Minutes
    | ContactNote,
    Field(discriminator="kind"),
]

CATEGORIES: dict[type[Content], frozenset[Category]] = {
    Person: frozenset({Category.IDENTITY}),
    Identifiers: frozenset({Category.IDENTITY}),
    ContactDetails: frozenset({Category.CONTACT}),
    Address: frozenset({Category.LOCATION}),
    Sentence: frozenset({Category.SENTENCE}),
    Conditions: frozenset({Category.SENTENCE}),
    Offence: frozenset({Category.OFFENCE}),
    Risk: frozenset({Category.RISK_SUMMARY}),
    Health: frozenset({Category.MEDICAL}),
    Needs: frozenset({Category.NEEDS, Category.MEDICAL, Category.THIRD_PARTY}),
    WorkAndLearning: frozenset({Category.NEEDS}),
    Referrals: frozenset({Category.REFERRALS, Category.MEDICAL}),
    FirstAppointment: frozenset({Category.APPOINTMENTS}),
    StaffContacts: frozenset({Category.STAFF_CONTACT}),
    FamilyContacts: frozenset({Category.THIRD_PARTY}),
    Checklist: frozenset({Category.NEEDS}),
    # Free text may be about anything; these have no form of their own. Instrument items and the audit log
    # are not here: there is no way to put them into a handover.
    Narrative: frozenset(
        {
            Category.PLAN_GOALS,
            Category.ATTENDANCE,
            Category.NEEDS,
            Category.MEDICAL,
            Category.RISK_SUMMARY,
            Category.THIRD_PARTY,
            Category.VICTIM,
            Category.IDEOLOGY,
            Category.RELIGION,
            Category.PSYCHOLOGY,
            Category.INTELLIGENCE,
        }
    ),
    Screening: frozenset({Category.RISK_SUMMARY}),
    Assessment: frozenset({Category.RISK_SUMMARY}),
    Plan: frozenset({Category.PLAN_GOALS}),
    ReleaseDecision: frozenset({Category.SENTENCE}),
    Variation: frozenset({Category.SENTENCE}),
    Departure: frozenset({Category.APPOINTMENTS, Category.LOCATION}),
    SupervisionReport: frozenset({Category.ATTENDANCE}),
    Concern: frozenset(
        {Category.NEEDS, Category.RISK_SUMMARY, Category.THIRD_PARTY, Category.VICTIM, Category.INTELLIGENCE}
    ),
    Minutes: frozenset({Category.NEEDS, Category.PLAN_GOALS, Category.RISK_SUMMARY}),
    ContactNote: frozenset({Category.NEEDS}),
}
"""Under which categories each form of body may stand (CNT-3); none of them holds an instrument's items (CNT-4)."""

FORMS: dict[str, type[Content]] = {model.model_fields["kind"].default: model for model in CATEGORIES}
"""The form of body of each `kind`."""
