# SPDX-License-Identifier: Apache-2.0
"""The words of both sides as tables: what a state, a priority or a category of ours is called in FHIR, and back.

FHIR binds few of these codes, so each table says whose they are: FHIR's own, those of HL7's guides *BSeR* (a referral
between health care and the community) and *SDOH Clinical Care* (social needs), and ours under `BASE`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from protocol.bodies.needs import Pathway
from protocol.handover import Priority
from protocol.lifecycle.referral import State

BASE: Final = "https://throughcare.example/fhir"
STATE: Final = f"{BASE}/referral-state"
EVENT: Final = f"{BASE}/referral-event"
REASON: Final = f"{BASE}/reason"
SERVICE: Final = f"{BASE}/service"
OUTCOME: Final = f"{BASE}/outcome"
PATHWAY: Final = f"{BASE}/pathway"
RESULT: Final = f"{BASE}/service-outcome"
DESK: Final = f"{BASE}/desk"
SUBJECT: Final = f"{BASE}/subject"
THREAD: Final = f"{BASE}/thread"
MESSAGE: Final = f"{BASE}/message"
REFERRAL: Final = f"{BASE}/StructureDefinition/referral"
CORRECTED: Final = f"{BASE}/StructureDefinition/corrected"
"""The extension of a ServiceRequest that holds what a referral says and FHIR has no element for."""

BSER: Final = "http://hl7.org/fhir/us/bser/CodeSystem/TaskBusinessStatusCS"
SDOH: Final = "http://hl7.org/fhir/us/sdoh-clinicalcare/CodeSystem/SDOHCC-CodeSystemTemporaryCodes"
SDOH_OLD: Final = "http://hl7.org/fhir/us/sdoh-cc/CodeSystem/sdohcc-temporary-codes"
NUMBERS: Final = "http://terminology.hl7.org/CodeSystem/v2-0203"
TASK_CODE: Final = "http://hl7.org/fhir/CodeSystem/task-code"
SNOMED: Final = "http://snomed.info/sct"
LANGUAGE: Final = "urn:ietf:bcp:47"
INTERPRETER: Final = "http://hl7.org/fhir/StructureDefinition/patient-interpreterRequired"
SOCIAL_SERVICE: Final = "410606002"
"""SNOMED's *social service procedure*, which SDOH Clinical Care puts beside every category: it tells nothing more."""

TASK_STATUSES: Final = frozenset(
    {
        "draft",
        "requested",
        "received",
        "accepted",
        "rejected",
        "ready",
        "cancelled",
        "in-progress",
        "on-hold",
        "failed",
        "completed",
        "entered-in-error",
    }
)
"""What R4 lets a Task's status be; the library checks the form of codes, not their lists."""
REQUEST_STATUSES: Final = frozenset(
    {"draft", "active", "on-hold", "revoked", "completed", "entered-in-error", "unknown"}
)
UNDECIDED: Final = frozenset({"draft", "requested", "received"})
"""Nobody has answered yet: what a draft can be made of without losing an answer."""
UNBEGUN: Final = UNDECIDED | {"rejected", "ready"}
"""No work was done, so there is no output. SDOH Clinical Care's own examples have one beside `accepted`."""
OVER: Final = frozenset({"completed", "failed"})
"""The work came to an end and has an outcome."""


@dataclass(frozen=True, slots=True)
class Told:
    """How a state is told: the Task's status, its ServiceRequest's, and BSeR's business status where one says it."""

    task: str
    request: str
    bser: str | None = None


# fmt: off
STATES: Final[Mapping[State, Told]] = {
    State.DRAFT:            Told("draft", "draft"),
    State.SENT:             Told("requested", "active", "2.0"),
    State.DELIVERED:        Told("received", "active", "2.0"),
    State.ACKNOWLEDGED:     Told("received", "active", "2.0"),
    State.INFO_REQUESTED:   Told("received", "active", "2.0"),
    State.ACCEPTED:         Told("accepted", "active", "3.0"),
    State.ACCEPTED_PARTIAL: Told("accepted", "active", "3.0"),
    State.ON_HOLD:          Told("on-hold", "on-hold"),
    State.SCHEDULED:        Told("in-progress", "active", "5.1.1"),
    State.ACTIVE:           Told("in-progress", "active"),
    State.CANCEL_REQUESTED: Told("in-progress", "active", "5.2"),
    State.AWAITING_OUTCOME: Told("in-progress", "active", "5.1.4"),
    State.DECLINED:         Told("rejected", "revoked", "4.0"),
    State.COMPLETED:        Told("completed", "completed", "7.0"),
    State.CLOSED:           Told("completed", "completed", "7.0"),
    State.ENDED_EARLY:      Told("failed", "revoked"),
    State.CANCELLED:        Told("cancelled", "revoked", "6.0"),
    State.EXPIRED:          Told("cancelled", "revoked"),
    State.BLOCKED_CONSENT:  Told("on-hold", "on-hold"),
    State.ENTERED_IN_ERROR: Told("entered-in-error", "entered-in-error"),
    State.SUPERSEDED:       Told("cancelled", "revoked"),
}
"""How each state of the referral's table is told in FHIR."""

BSER_STATUSES: Final[Mapping[str, frozenset[str]]] = {
    "2.0":   frozenset({"draft", "requested", "received"}),
    "3.0":   frozenset({"accepted", "ready"}),
    "4.0":   frozenset({"rejected"}),
    "5.1.1": frozenset({"accepted", "in-progress", "on-hold"}),
    "5.1.2": frozenset({"accepted", "in-progress", "on-hold"}),
    "5.1.3": frozenset({"accepted", "in-progress", "on-hold"}),
    "5.1.4": frozenset({"in-progress", "on-hold", "completed"}),
    "5.2":   frozenset({"requested", "received", "accepted", "in-progress", "on-hold"}),
    "6.0":   frozenset({"cancelled"}),
    "7.0":   frozenset({"completed"}),
}
"""With which statuses each of BSeR's business statuses can stand."""

WORDS: Final[Mapping[str, frozenset[str]]] = {
    "declined":         frozenset({"rejected"}),
    "refused":          frozenset({"rejected", "failed", "cancelled"}),
    "rejected":         frozenset({"rejected"}),
    "cancelled":        frozenset({"cancelled"}),
    "completed":        frozenset({"completed"}),
    "entered-in-error": frozenset({"entered-in-error"}),
}
"""Words of any list (as a code, or as the whole of a text) that are plain enough to contradict a status."""

REQUEST_FOR_TASK: Final[Mapping[str, frozenset[str]]] = {
    "draft":            frozenset({"draft"}),
    "revoked":          frozenset({"rejected", "cancelled", "failed", "entered-in-error"}),
    "entered-in-error": frozenset({"entered-in-error", "cancelled"}),
    "completed":        frozenset({"completed", "failed", "entered-in-error"}),
}
"""With which statuses of a Task these statuses of its ServiceRequest can stand; the others stand with any."""

PRIORITIES: Final[Mapping[Priority, str]] = {
    Priority.EMERGENCY: "stat",
    Priority.HARD_STOP: "asap",
    Priority.URGENT:    "urgent",
    Priority.NORMAL:    "routine",
}
"""What a priority is called in FHIR. Others say `asap` of what is no release in two working days: see `PRIORITY_OF`."""

PRIORITY_OF: Final[Mapping[str, Priority]] = {
    "stat":    Priority.EMERGENCY,
    "urgent":  Priority.URGENT,
    "routine": Priority.NORMAL,
}
"""What is understood as it stands."""

_SOCIAL: Final[Mapping[str, Pathway]] = {
    "housing-instability":                  Pathway.ACCOMMODATION,
    "housing-instability-and-homelessness": Pathway.ACCOMMODATION,
    "homelessness":                         Pathway.ACCOMMODATION,
    "inadequate-housing":                   Pathway.ACCOMMODATION,
    "financial-insecurity":                 Pathway.FINANCE_AND_ID,
    "financial-strain":                     Pathway.FINANCE_AND_ID,
    "material-hardship":                    Pathway.FINANCE_AND_ID,
    "employment":                           Pathway.EDUCATION_AND_WORK,
    "employment-status":                    Pathway.EDUCATION_AND_WORK,
    "education":                            Pathway.EDUCATION_AND_WORK,
    "educational-attainment":               Pathway.EDUCATION_AND_WORK,
    "stress":                               Pathway.HEALTH,
    "food-insecurity":                      Pathway.OTHER,
    "transportation-insecurity":            Pathway.OTHER,
}
# fmt: on
_FIRST: Final = (
    "food-insecurity",
    "housing-instability-and-homelessness",
    "inadequate-housing",
    "transportation-insecurity",
    "financial-strain",
    "stress",
    "education",
    "employment",
)
"""What the guide's first version had, each with `-domain` after it."""
PATHWAYS: Final[Mapping[tuple[str, str], Pathway]] = {
    **{(PATHWAY, one.value): one for one in Pathway},
    **{(SDOH, code): pathway for code, pathway in _SOCIAL.items()},
    **{(SDOH_OLD, f"{code}-domain"): _SOCIAL[code] for code in _FIRST},
}
"""Categories that name a pathway. Those that are not here (such as violence between partners) are not guessed at."""
