# SPDX-License-Identifier: Apache-2.0
"""A Task that contradicts itself is quarantined with the reason, and one that does not is left alone."""

from collections.abc import Callable
from typing import Any

import pytest

from connectors.fhir.bundle import span_of
from connectors.fhir.contradictions import SENTENCES, Reason
from connectors.fhir.importing import Imported, import_bundle
from connectors.fhir.vocabulary import BSER, BSER_STATUSES, REASON, STATE, STATES, TASK_STATUSES
from tests.connectors.fhir.invented import (
    CANARY,
    PERSON,
    SERVICES,
    SOCIAL_REQUEST,
    SOCIAL_TASK,
    bundle,
    care,
    encoded,
    part,
    social,
)

Spoil = Callable[[dict[str, Any], dict[str, Any]], object]
OTHER = "urn:uuid:11111111-0000-4000-8000-000000000000"
OUTPUT: dict[str, Any] = {"output": [{"type": {"text": "x"}, "valueString": CANARY}]}


def imported(document: dict[str, Any]) -> Imported:
    return import_bundle(encoded(document), SERVICES)


def reasons(document: dict[str, Any]) -> set[Reason]:
    found = imported(document)
    assert (found.draft is None) is bool(found.quarantined)
    assert CANARY not in repr(found)
    return {one.reason for one in found.quarantined}


def business(system: str | None, code: str, status: str) -> dict[str, Any]:
    coding = {"code": code} if system is None else {"system": system, "code": code}
    return {"businessStatus": {"coding": [coding]}, "status": status}


TASK: list[tuple[str, dict[str, Any], Reason]] = [
    ("a status that R4 has not", {"status": "silly"}, Reason.STATUS_UNKNOWN),
    ("completed and declined", business(BSER, "4.0", "completed"), Reason.STATUS_AGAINST_BUSINESS_STATUS),
    ("requested and completed", business(BSER, "7.0", "requested"), Reason.STATUS_AGAINST_BUSINESS_STATUS),
    ("completed and refused", business("urn:x", "Refused", "completed"), Reason.STATUS_AGAINST_BUSINESS_STATUS),
    ("completed and rejected", business(None, "rejected", "completed"), Reason.STATUS_AGAINST_BUSINESS_STATUS),
    ("a state of ours", business(STATE, "declined", "accepted"), Reason.STATUS_AGAINST_BUSINESS_STATUS),
    (
        "completed, in words refused",
        {"status": "completed", "businessStatus": {"text": " Refused "}},
        Reason.STATUS_AGAINST_BUSINESS_STATUS,
    ),
    (
        "completed for the reason that it was refused",
        {"status": "completed", "statusReason": {"coding": [{"code": "refused"}]}},
        Reason.STATUS_AGAINST_REASON,
    ),
    (
        "requested, and the reason in words is that it was declined",
        {"status": "requested", "statusReason": {"text": "declined"}},
        Reason.STATUS_AGAINST_REASON,
    ),
    ("an output before anybody answered", {"status": "requested", **OUTPUT}, Reason.OUTPUT_BEFORE_WORK),
    ("an output of a rejected Task", {"status": "rejected", **OUTPUT}, Reason.OUTPUT_BEFORE_WORK),
    ("an output of what is only ready", {"status": "ready", **OUTPUT}, Reason.OUTPUT_BEFORE_WORK),
    ("modified before authored", {"lastModified": "2026-11-20T08:29:59Z"}, Reason.MODIFIED_BEFORE_AUTHORED),
    ("modified in an earlier year", {"lastModified": "2025"}, Reason.MODIFIED_BEFORE_AUTHORED),
    (
        "a period that ends before it begins",
        {"executionPeriod": {"start": "2026-12-03", "end": "2026-11-01"}},
        Reason.PERIOD_REVERSED,
    ),
    (
        "a restriction that ends before it begins",
        {"restriction": {"period": {"start": "2026-12-03", "end": "2026-11-01"}}},
        Reason.PERIOD_REVERSED,
    ),
    ("for nothing", {"focus": None}, Reason.NO_REQUEST),
    ("for another request", {"focus": {"reference": "ServiceRequest/other"}}, Reason.OTHER_REQUEST),
    ("for a request elsewhere", {"focus": {"reference": OTHER}}, Reason.OTHER_REQUEST),
    (
        "for one at a server",
        {"focus": {"reference": "https://x.example/ServiceRequest/request-1"}},
        Reason.OTHER_REQUEST,
    ),
    (
        "for one inside itself",
        {"focus": {"reference": "#in"}, "contained": [{**SOCIAL_REQUEST, "id": "in"}]},
        Reason.OTHER_REQUEST,
    ),
    ("for another person", {"for": {"reference": "Patient/other"}}, Reason.OTHER_PERSON),
    ("of another priority", {"priority": "routine"}, Reason.OTHER_PRIORITY),
    ("with an unknown modifier", {"modifierExtension": [{"url": "urn:x", "valueBoolean": True}]}, Reason.MODIFIED),
    (
        "with an unknown modifier inside",
        {"restriction": {"modifierExtension": [{"url": "urn:x", "valueBoolean": True}]}},
        Reason.MODIFIED,
    ),
    ("under rules of its own", {"implicitRules": "https://x.example/rules"}, Reason.MODIFIED),
]
REQUEST: list[tuple[str, dict[str, Any], Reason]] = [
    ("not to be done", {"doNotPerform": True}, Reason.NOT_TO_BE_DONE),
    ("not to be done, spelled wrongly", {"doNotPerform": "true"}, Reason.NOT_TO_BE_DONE),
    ("revoked while requested", {"status": "revoked"}, Reason.STATUS_AGAINST_REQUEST),
    ("completed while requested", {"status": "completed"}, Reason.STATUS_AGAINST_REQUEST),
    ("in error while requested", {"status": "entered-in-error"}, Reason.STATUS_AGAINST_REQUEST),
    ("a status that R4 has not", {"status": "silly"}, Reason.STATUS_UNKNOWN),
    ("for others than the owner", {"performer": [{"reference": "Organization/x"}]}, Reason.OWNER_NOT_PERFORMER),
    (
        "in a period that ends before it begins",
        {"occurrencePeriod": {"start": "2026-12-03", "end": "2026-11-01"}},
        Reason.PERIOD_REVERSED,
    ),
    ("with an unknown modifier", {"modifierExtension": [{"url": "urn:x", "valueCode": "not"}]}, Reason.MODIFIED),
]


@pytest.mark.parametrize(
    ("kind", "changes", "reason"),
    [
        *(pytest.param("Task", changes, reason, id=f"a Task {what}") for what, changes, reason in TASK),
        *(pytest.param("ServiceRequest", changes, reason, id=f"a request {what}") for what, changes, reason in REQUEST),
    ],
)
def test_what_contradicts_itself_is_quarantined_for_that_reason_alone(
    kind: str, changes: dict[str, Any], reason: Reason
) -> None:
    document = social()
    spoiled = part(document, kind)
    spoiled.update(changes)
    for key in [key for key, value in changes.items() if value is None]:
        del spoiled[key]
    assert reasons(document) == {reason}


def test_the_guides_own_example_is_quarantined() -> None:
    document = care()
    part(document, "Task").update({**business(BSER, "7.0", "requested"), **OUTPUT})
    assert reasons(document) == {Reason.STATUS_AGAINST_BUSINESS_STATUS, Reason.OUTPUT_BEFORE_WORK}


def test_two_tasks_for_one_request_are_quarantined() -> None:
    assert reasons(bundle(SOCIAL_TASK, {**SOCIAL_TASK, "id": "t2"}, SOCIAL_REQUEST, PERSON)) == {Reason.TWO_TASKS}


def test_requests_of_one_requisition_for_two_persons_or_in_two_priorities_are_quarantined() -> None:
    order = {"requisition": {"system": "urn:x", "value": "order-1"}}
    first = {**SOCIAL_REQUEST, **order}
    spoiled: list[tuple[dict[str, Any], Reason]] = [
        ({"subject": {"reference": "Patient/other"}}, Reason.OTHER_PERSON),
        ({"priority": "stat"}, Reason.OTHER_PRIORITY),
    ]
    for changes, reason in spoiled:
        second = {**first, "id": "r2", "code": {"text": "x"}, **changes}
        assert reasons(bundle(SOCIAL_TASK, first, second, PERSON)) == {reason}


def test_rules_of_the_whole_bundle_are_quarantined() -> None:
    assert reasons({**social(), "implicitRules": "https://x.example/rules"}) == {Reason.MODIFIED}


def test_every_reason_is_tested_and_has_a_sentence() -> None:
    walked = {reason for _, _, reason in (*TASK, *REQUEST)} | {Reason.TWO_TASKS}
    assert walked == set(Reason) == SENTENCES.keys()


SOUND: list[tuple[str, dict[str, Any]]] = [
    ("a business status of a list that is not known", business("urn:x", "4711", "completed")),
    ("a state that is none of ours", business(STATE, "nowhere", "completed")),
    ("refused, and therefore rejected", business("urn:x", "refused", "rejected")),
    (
        "a reason of ours",
        {"status": "rejected", "statusReason": {"coding": [{"system": REASON, "code": "no-capacity"}]}},
    ),
    ("modified on the day it was written", {"lastModified": "2026-11-20"}),
    ("modified on the day before, in another zone", {"authoredOn": "2026-11-20", "lastModified": "2026-11-19"}),
    ("written in a year", {"authoredOn": "2026", "lastModified": "2026-01-01T00:00:00Z"}),
    ("a period of one day", {"executionPeriod": {"start": "2026-12-03", "end": "2026-12-03"}}),
    ("of the same priority", {"priority": "urgent"}),
    ("with an output when it is accepted", {"status": "accepted", **OUTPUT}),
    ("with an output when it is completed", {"status": "completed", **OUTPUT}),
    ("the request by its full URL", {"focus": {"reference": "urn:uuid:00000000-0000-4000-8000-000000000001"}}),
    ("the request in one version", {"focus": {"reference": "ServiceRequest/request-1/_history/3"}}),
]


@pytest.mark.parametrize("changes", [changes for _, changes in SOUND], ids=[what for what, _ in SOUND])
def test_what_can_be_true_is_not_quarantined(changes: dict[str, Any]) -> None:
    document = social()
    part(document, "Task").update(changes)
    assert reasons(document) == set()


@pytest.mark.parametrize(
    "performer",
    [
        {"reference": "PractitionerRole/recipient"},
        {"reference": "Organization/clinic"},
        {"reference": "PractitionerRole/recipient/_history/2"},
        {"reference": "urn:uuid:00000000-0000-4000-8000-000000000004"},
    ],
)
def test_an_owner_is_the_performer_in_whatever_way_the_bundle_means_them(performer: dict[str, Any]) -> None:
    document = care()
    part(document, "ServiceRequest")["performer"] = [{"reference": "Organization/other"}, performer]
    assert reasons(document) == set()


@pytest.mark.parametrize("code", BSER_STATUSES)
def test_each_business_status_stands_with_the_statuses_of_its_row_and_no_others(code: str) -> None:
    for status in TASK_STATUSES:
        document = care()
        part(document, "Task").update(business(BSER, code, status))
        expected = set() if status in BSER_STATUSES[code] else {Reason.STATUS_AGAINST_BUSINESS_STATUS}
        assert reasons(document) == expected, status


@pytest.mark.parametrize("state", STATES)
def test_our_own_word_for_a_state_stands_with_its_status_alone(state: str) -> None:
    for status in TASK_STATUSES:
        document = care()
        part(document, "Task").update(business(STATE, state, status))
        assert (reasons(document) == set()) is (status == next(t.task for s, t in STATES.items() if s == state))


@pytest.mark.parametrize("text", ["", "soon", "2026-13", "2026-02-30", "2026-11-20T09:30:00", "9999", "99999", "٢٠٢٦"])
def test_what_is_no_moment_is_none(text: str) -> None:
    assert span_of(text) is None
