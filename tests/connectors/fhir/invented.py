# SPDX-License-Identifier: Apache-2.0
"""Invented bundles of the two forms that HL7's guides describe, for tests to read and to spoil."""

import copy
import json
from typing import Any

from connectors.fhir.vocabulary import (
    BASE,
    BSER,
    DESK,
    INTERPRETER,
    LANGUAGE,
    NUMBERS,
    OUTCOME,
    REFERRAL,
    SDOH,
    SERVICE,
    SNOMED,
    TASK_CODE,
)
from protocol.bodies.needs import Pathway
from protocol.kinds.referral.request import ServiceWanted

CSW = "intake.polje-csw@hub.example"
FOOD = "467771000124109"
SERVICES = {
    f"{SNOMED}|{FOOD}": ServiceWanted(code="food-help", pathway=Pathway.OTHER, outcome="help-received"),
    f"{SNOMED}|710824005": ServiceWanted(code="needs-assessment", pathway=Pathway.HEALTH, outcome="assessed"),
}
CANARY = "Zvezdana-of-the-canary"
"""A name that must never come out of an import."""


def bundle(*resources: dict[str, Any], type_: str = "collection") -> dict[str, Any]:
    return {
        "resourceType": "Bundle",
        "type": type_,
        "entry": [
            {"fullUrl": f"urn:uuid:00000000-0000-4000-8000-{place:012}", "resource": copy.deepcopy(resource)}
            for place, resource in enumerate(resources)
        ],
    }


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


SOCIAL_TASK: dict[str, Any] = {
    "resourceType": "Task",
    "id": "task-1",
    "status": "requested",
    "intent": "order",
    "code": {"coding": [{"system": TASK_CODE, "code": "fulfill"}]},
    "focus": {"reference": "ServiceRequest/request-1"},
    "for": {"reference": "Patient/person-1"},
    "authoredOn": "2026-11-20T09:30:00.500+01:00",
    "lastModified": "2026-11-20T09:31:00Z",
    "requester": {"reference": "PractitionerRole/role-1"},
    "owner": {"reference": "Organization/pantry-1"},
}
SOCIAL_REQUEST: dict[str, Any] = {
    "resourceType": "ServiceRequest",
    "id": "request-1",
    "status": "active",
    "intent": "order",
    "priority": "urgent",
    "category": [
        {"coding": [{"system": SNOMED, "code": "410606002"}]},
        {"coding": [{"system": SDOH, "code": "food-insecurity"}]},
    ],
    "code": {"coding": [{"system": SNOMED, "code": FOOD}]},
    "subject": {"reference": "Patient/person-1"},
}
PERSON: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "person-1",
    "name": [{"family": CANARY}],
    "extension": [{"url": INTERPRETER, "valueBoolean": True}],
    "communication": [
        {"language": {"coding": [{"system": LANGUAGE, "code": "en"}]}},
        {"language": {"coding": [{"system": LANGUAGE, "code": "sr-Latn"}]}, "preferred": True},
    ],
}
PANTRY: dict[str, Any] = {"resourceType": "Organization", "id": "pantry-1", "name": "An invented pantry"}


def social() -> dict[str, Any]:
    """As SDOH Clinical Care has it: one Task, owned by an organisation, for one ServiceRequest."""
    return bundle(SOCIAL_TASK, SOCIAL_REQUEST, PERSON, PANTRY, type_="transaction")


ROLE: dict[str, Any] = {
    "resourceType": "PractitionerRole",
    "id": "recipient",
    "organization": {"reference": "Organization/clinic"},
}
CARE_TASK: dict[str, Any] = {
    "resourceType": "Task",
    "id": "care-task",
    "identifier": [{"type": {"coding": [{"system": NUMBERS, "code": "PLAC"}]}, "value": "66-1"}],
    "status": "requested",
    "businessStatus": {"coding": [{"system": BSER, "code": "2.0"}]},
    "intent": "order",
    "focus": {"reference": "ServiceRequest/care-request"},
    "for": {"reference": "Patient/person-1"},
    "authoredOn": "2026-11-20",
    "owner": {"reference": "PractitionerRole/recipient"},
}
CARE_REQUEST: dict[str, Any] = {
    "resourceType": "ServiceRequest",
    "id": "care-request",
    "identifier": [
        {"type": {"coding": [{"system": NUMBERS, "code": "PLAC"}]}, "value": "GP-17/2026"},
        {"type": {"coding": [{"system": NUMBERS, "code": "FILL"}]}, "value": "CSW-4"},
    ],
    "status": "active",
    "intent": "order",
    "code": {"coding": [{"system": SNOMED, "code": "710824005"}]},
    "subject": {"reference": "Patient/person-1"},
    "performer": [{"reference": "PractitionerRole/recipient"}],
    "supportingInfo": [{"reference": "Bundle/inner"}],
}


def care() -> dict[str, Any]:
    """As BSeR has it: a message whose Task names placer, filler and a business status, with a document inside."""
    head = {"resourceType": "MessageHeader", "eventUri": "urn:x", "source": {"endpoint": "urn:y"}}
    return bundle(
        head, CARE_TASK, CARE_REQUEST, PERSON, ROLE, {"resourceType": "Bundle", "id": "inner"}, type_="message"
    )


def whole() -> dict[str, Any]:
    """A bundle that says all that a referral needs, in our own codes."""
    request = {
        **SOCIAL_REQUEST,
        "category": [{"coding": [{"system": f"{BASE}/pathway", "code": "accommodation"}]}],
        "code": {"coding": [{"system": SERVICE, "code": "housing-advice"}]},
        "orderDetail": [{"coding": [{"system": OUTCOME, "code": "place-found"}]}],
        "extension": [
            {
                "url": REFERRAL,
                "extension": [
                    {"url": "whereabouts", "valueCode": "custody"},
                    {"url": "release_on", "valueDate": "2027-01-20"},
                    {"url": "person_knows", "valueCode": "agreed"},
                    {"url": "contact", "valueCode": "through-requester"},
                    {"url": "duplicates", "valueCode": "none-found"},
                    {"url": "answer_by", "valueDate": "2026-12-10"},
                ],
            }
        ],
    }
    task = {**SOCIAL_TASK, "owner": {"identifier": {"system": DESK, "value": CSW}}}
    return bundle(task, request, {**PERSON, "name": [{"text": CANARY}]})


def part(document: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return the first resource of a kind, to be spoiled in place."""
    found: dict[str, Any] = next(
        entry["resource"] for entry in document["entry"] if entry["resource"]["resourceType"] == kind
    )
    return found
