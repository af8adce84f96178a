# SPDX-License-Identifier: Apache-2.0
"""Who may see what: the table of data categories and desk functions, as data.

Clearance belongs to a desk's function, not to its agency: the medical unit of a prison sees what its
reception never may. The table answers only whether a category may go to a function at all and how;
whether a section is *meant* for a desk is the sender's choice, and both must say yes (CON-7).
A cell that nobody thought about is `never`.
"""

from enum import StrEnum
from typing import assert_never


class Category(StrEnum):
    """What kind of data a section holds; each section has exactly one."""

    IDENTITY = "identity"
    CONTACT = "contact"
    LOCATION = "location"
    SENTENCE = "sentence"
    OFFENCE = "offence"
    RISK_SUMMARY = "risk-summary"
    INSTRUMENT_ITEMS = "instrument-items"
    INTELLIGENCE = "intelligence"
    MEDICAL = "medical"
    VICTIM = "victim"
    THIRD_PARTY = "third-party"
    IDEOLOGY = "ideology"
    RELIGION = "religion"
    PSYCHOLOGY = "psychology"
    PLAN_GOALS = "plan-goals"
    # What somebody needs by pathway (housing, work, money, documents) and what is still to be done about it.
    # Kept apart from plan goals, which belong to a treatment plan: social work must know of the need for a
    # flat without seeing the plan.
    NEEDS = "needs"
    # Running referrals: who already works on a need. Kept apart from needs, since naming a service can say
    # more than the need does; referrals to health or dependency services are `medical`.
    REFERRALS = "referrals"
    # When and where somebody is expected. Kept apart from attendance, which records whether the person came
    # and so is conduct; an appointment must reach everybody who helps the person to keep it.
    APPOINTMENTS = "appointments"
    ATTENDANCE = "attendance"
    AUDIT_LOG = "audit-log"
    STAFF_CONTACT = "staff-contact"


class AgencyKind(StrEnum):
    """What an agency is."""

    PRISON = "prison"
    PRISON_HQ = "prison_hq"
    PROBATION = "probation"
    COURT_PANEL = "court_panel"
    CSW = "csw"
    MUNICIPALITY = "municipality"
    POLICE_PCVE = "police_pcve"
    HEALTH = "health"
    NGO = "ngo"
    EMPLOYMENT = "employment"
    EDUCATION = "education"
    RELIGIOUS = "religious"
    OVERSIGHT = "oversight"


class DeskFunction(StrEnum):
    """What a desk does; the order is the order of the table's columns."""

    PRISON_RECEPTION = "prison-reception"
    PRISON_TREATMENT = "prison-treatment"
    PRISON_SECURITY = "prison-security"
    PRISON_MEDICAL = "prison-medical"
    PRISON_RELEASE = "prison-release"
    PRISON_HEADQUARTERS = "prison-headquarters"
    PROBATION_INTAKE = "probation-intake"
    PROBATION_SUPERVISION = "probation-supervision"
    COURT_PANEL = "court-panel"
    SOCIAL_WORK = "social-work"
    FAMILY_WORK = "family-work"
    MUNICIPALITY = "municipality"
    POLICE_PCVE = "police-pcve"
    HEALTH = "health"
    NGO = "ngo"
    EMPLOYMENT = "employment"
    EDUCATION = "education"
    RELIGIOUS = "religious"
    MENTOR_COORDINATION = "mentor-coordination"
    OVERSIGHT = "oversight"


class Purpose(StrEnum):
    """What a section may be used for."""

    FIRST_CONTACT = "first-contact"
    CONTINUITY_OF_CARE = "continuity-of-care"
    SUPERVISION = "supervision"
    PUBLIC_PROTECTION = "public-protection"
    HEALTH_CARE = "health-care"
    HOUSING = "housing"
    WORK_AND_LEARNING = "work-and-learning"
    INCOME_AND_DOCUMENTS = "income-and-documents"
    FAMILY_SUPPORT = "family-support"
    COORDINATION = "coordination"


class Basis(StrEnum):
    """The ground in law on which a section goes; which articles count is each jurisdiction's matter."""

    STATUTE = "statute"
    COURT_ORDER = "court_order"
    PUBLIC_TASK = "public_task"
    CONSENT = "consent"
    EXPLICIT_CONSENT = "explicit_consent"
    VITAL_INTEREST = "vital_interest"
    SERIOUS_THREAT = "serious_threat"
    LEGAL_CLAIM = "legal_claim"
    ARCHIVE = "archive"


class Label(StrEnum):
    """How a section must be handled where it arrives."""

    STANDARD = "standard"
    RESTRICTED = "restricted"


class Clearance(StrEnum):
    """What a cell of the table says."""

    YES = "yes"
    CONSENT = "consent"
    """Only with the person's consent, or where a law that is named says so."""
    BASIS = "basis"
    """Only in the reduced form the function needs (a summary, flags, an area, dates), where a law that is
    named or a public task calls for it."""
    NEVER = "never"
    """Nothing overrides it."""


CITABLE = frozenset({Basis.STATUTE, Basis.COURT_ORDER, Basis.PUBLIC_TASK})
"""Bases that open a `basis` or `consent` cell, if a citation stands beside them."""

RESTRICTED = frozenset(
    {
        Category.OFFENCE,
        Category.RISK_SUMMARY,
        Category.INSTRUMENT_ITEMS,
        Category.INTELLIGENCE,
        Category.MEDICAL,
        Category.VICTIM,
        Category.THIRD_PARTY,
        Category.IDEOLOGY,
        Category.RELIGION,
        Category.PSYCHOLOGY,
    }
)
"""Categories whose sections must carry the label `restricted`."""

_FUNCTIONS: dict[AgencyKind, tuple[DeskFunction, ...]] = {
    AgencyKind.PRISON: (
        DeskFunction.PRISON_RECEPTION,
        DeskFunction.PRISON_TREATMENT,
        DeskFunction.PRISON_SECURITY,
        DeskFunction.PRISON_MEDICAL,
        DeskFunction.PRISON_RELEASE,
    ),
    AgencyKind.PRISON_HQ: (DeskFunction.PRISON_HEADQUARTERS,),
    AgencyKind.PROBATION: (DeskFunction.PROBATION_INTAKE, DeskFunction.PROBATION_SUPERVISION),
    AgencyKind.COURT_PANEL: (DeskFunction.COURT_PANEL,),
    AgencyKind.CSW: (DeskFunction.SOCIAL_WORK, DeskFunction.FAMILY_WORK),
    AgencyKind.MUNICIPALITY: (DeskFunction.MUNICIPALITY,),
    AgencyKind.POLICE_PCVE: (DeskFunction.POLICE_PCVE,),
    AgencyKind.HEALTH: (DeskFunction.HEALTH,),
    AgencyKind.NGO: (DeskFunction.NGO, DeskFunction.MENTOR_COORDINATION),
    AgencyKind.EMPLOYMENT: (DeskFunction.EMPLOYMENT,),
    AgencyKind.EDUCATION: (DeskFunction.EDUCATION,),
    AgencyKind.RELIGIOUS: (DeskFunction.RELIGIOUS,),
    AgencyKind.OVERSIGHT: (DeskFunction.OVERSIGHT,),
}

KIND_OF: dict[DeskFunction, AgencyKind] = {
    function: kind for kind, functions in _FUNCTIONS.items() for function in functions
}
"""The kind of agency that each function belongs to."""

_LETTERS = {"y": Clearance.YES, "c": Clearance.CONSENT, "b": Clearance.BASIS, "-": Clearance.NEVER}

# One letter for each function: y yes, c consent, b basis, - never.
# Columns: prison reception treatment security medical release headquarters | probation intake supervision |
#          court panel | social work, family work | municipality | police | health | NGO | employment |
#          education | religious | mentor coordination | oversight.
# Notes where the row needed a decision:
#  sentence      a municipality gets dates, social work the conditions it has to help with.
#  offence       social work and the medical unit get a summary where a law says so.
#  instrument-items  stay with assessors; another prison's assessor may need them on transfer, nobody else.
#  intelligence  stays with security units; probation gets it marked, on a named law.
#  medical       probation gets what bears on a condition, on a named law; other prison desks nothing.
#  staff-contact a named lead goes to prison and probation, which hand over from officer to officer;
#                everybody else gets a role and a desk's number, the reduced form.
#  oversight     looks into the log and asks the holders; case data do not go there by themselves.
#  employment, education, religious  are not in the field's own table: they get what a provider would get
#                by consent where their service needs it, and nothing else.
_ROWS: dict[Category, str] = {
    Category.IDENTITY: "yyyyyy yy y yy b b y c c c c c b",
    Category.CONTACT: "yyyyyy yy b yy b b y c c c c c -",
    Category.LOCATION: "yyyyyy yy b yy b b c c c c - - -",
    Category.SENTENCE: "yyyyyy yy y bb b y - c - - - c -",
    Category.OFFENCE: "yyybyy yy y bb - y - c - - - - -",
    Category.RISK_SUMMARY: "yyybyy yy y bb - b b b - - - - -",
    Category.INSTRUMENT_ITEMS: "-b---- -- - -- - - - - - - - - -",
    Category.INTELLIGENCE: "--y--- bb - -- - y - - - - - - -",
    Category.MEDICAL: "---y-- bb - cc - - y c - - - - -",
    Category.VICTIM: "yyy-yy yy y bb - y - - - - - - -",
    Category.THIRD_PARTY: "yyybyy yy b yy - b c c - - - - -",
    Category.IDEOLOGY: "-y---- -b - -- - b - c - - - - -",
    Category.RELIGION: "cc---- cc - cc - - c c - - c - -",
    Category.PSYCHOLOGY: "-y-b-- -- - -- - - b - - - - - -",
    Category.PLAN_GOALS: "yyyyyy yy b cc - - c c - - - c -",
    Category.NEEDS: "yyyyyy yy b yy b - c c c c - c -",
    Category.REFERRALS: "yyyyyy yy - yy b - c c c c - c -",
    Category.APPOINTMENTS: "yyyyyy yy - yy b b c c c c - c -",
    Category.ATTENDANCE: "yyyyyy yy b cc - b c c - - - c -",
    Category.AUDIT_LOG: "------ -- - -- - - - - - - - - b",
    Category.STAFF_CONTACT: "yyyyyy yy b bb b b b b b b b b b",
}

TABLE: dict[Category, dict[DeskFunction, Clearance]] = {
    category: dict(zip(DeskFunction, (_LETTERS[letter] for letter in row.replace(" ", "")), strict=True))
    for category, row in _ROWS.items()
}


def functions_of(kind: AgencyKind) -> tuple[DeskFunction, ...]:
    """Return the functions that a desk of an agency of this kind can have."""
    return _FUNCTIONS[kind]


def clearance(category: Category, function: DeskFunction) -> Clearance:
    """Return what the table says about a category and a desk's function; it has a cell for every pair."""
    return TABLE[category][function]


def is_named(basis: Basis, citation: str | None) -> bool:
    """Tell whether a basis is one of law or public task and says which (`CITABLE`, with a citation)."""
    return basis in CITABLE and bool(citation and citation.strip())


def permitted(category: Category, function: DeskFunction, basis: Basis, citation: str | None = None) -> bool:
    """Tell whether a section of this category may go to a desk of this function (CNT-5, CON-7).

    `basis` and `citation` are those the section states. Until grants are in force a `consent` cell opens
    only as a `basis` cell does: on a statute, court order or public task that is cited. `never` stays
    closed whatever is asked.
    """
    cell = clearance(category, function)
    match cell:
        case Clearance.YES:
            return True
        case Clearance.BASIS | Clearance.CONSENT:
            return is_named(basis, citation)
        case Clearance.NEVER:
            return False
        case _:
            assert_never(cell)
