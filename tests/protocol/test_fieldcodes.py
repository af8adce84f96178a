# SPDX-License-Identifier: Apache-2.0
"""Whoever breaks a rule of the protocol's own on what is said is told which one, and nothing of what he said."""

import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from protocol.fieldcodes import FIELD_CODES, RULES
from protocol.handover import PackageSection, Parties, Trigger
from protocol.http.problems import invalid_fields
from protocol.ids import Kind, new_id, text
from protocol.kinds.handover import Escalate, Supervision
from protocol.kinds.referral.deciding import AcceptPart, ServiceAnswer
from protocol.kinds.referral.request import Request
from protocol.kinds.referral.serving import Period
from protocol.kinds.release import ReleaseDateChanged

CANARY = "planted-phrase-2b9e"
WHOLE: dict[str, Any] = {"subject": text(Kind.SUBJECT, new_id()), "occurred_at": 1, "register_numbers": {}}
SECTION: dict[str, Any] = {
    "category": "needs",
    "purpose": "housing",
    "basis": "statute",
    "functions": ["social-work"],
    "body": {"kind": "narrative", "entries": [{"text": CANARY}]},
}
ASKED = {"code": CANARY, "pathway": "accommodation", "outcome": "place-found"}
REQUEST: dict[str, Any] = {
    **WHOLE,
    "kind": "referral.request",
    "services": [ASKED],
    "whereabouts": "custody",
    "language": "sr-Latn",
    "person_knows": "agreed",
    "contact": "letter",
    "duplicates": "none-found",
    "answer_by": "2027-01-21",
    "release_on": "2027-02-01",
}
AGENCY = "gora-prison@hub.example"
PARTIES = {"subject": WHOLE["subject"], **dict.fromkeys(("current_responsible", "next_responsible"), AGENCY)}
OFFICER = text(Kind.OFFICER, new_id())
TAKEN = {"code": CANARY, "accepted": True}


def codes(model: type[BaseModel], value: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(ValidationError) as found:
        model.model_validate_json(json.dumps(value))
    told = invalid_fields(found.value, model, value)
    assert CANARY not in str(told.fields) + told.detail
    return {one.pointer: one.code for one in told.fields}


BROKEN: list[tuple[type[BaseModel], dict[str, Any], str, str]] = [
    (Supervision, {}, "", "supervisor-or-reason"),
    (Parties, {**PARTIES, "coordination_lead": AGENCY}, "", "supervisor-or-reason"),
    (Request, {**REQUEST, "release_unknown": "not-told"}, "", "date-or-reason"),
    (ReleaseDateChanged, {**WHOLE, "reason": "other", "certainty": "expected"}, "", "date-or-reason"),
    (Escalate, {**WHOLE, "level": "supervisor", "was_due_at": 1}, "", "late-or-else"),
    (Trigger, {}, "", "event-or-date"),
    (ServiceAnswer, {**TAKEN, "reason": "person-refused"}, "", "reason-for-no"),
    (
        AcceptPart,
        {**WHOLE, "officer": OFFICER, "start_by": "2027-01-21", "services": [TAKEN, {**TAKEN, "code": "other"}]},
        "",
        "some-of-each",
    ),
    (Period, {"first": "2027-01-02", "last": "2027-01-01"}, "", "ends-before-it-begins"),
    (Request, {**REQUEST, "services": [ASKED, ASKED]}, "", "service-twice"),
    (PackageSection, {**SECTION, "category": "identity"}, "", "body-of-another-category"),
    (PackageSection, {**SECTION, "category": "medical"}, "", "label-missing"),
    (PackageSection, {**SECTION, "citation": f" {CANARY}"}, "/citation", "spaces-around"),
    (PackageSection, {**SECTION, "citation": f"{CANARY}\n{CANARY}"}, "/citation", "not-one-line"),
    (PackageSection, {**SECTION, "citation": f"{CANARY}\u202e"}, "/citation", "not-clean"),
    (Supervision, {"agency": CANARY}, "/agency", "wrong-form"),
]


@pytest.mark.parametrize(
    ("model", "value", "pointer", "code"), BROKEN, ids=[f"{one[3]}-{one[0].__name__}" for one in BROKEN]
)
def test_http_3_a_broken_rule_is_named_and_nothing_is_repeated(
    model: type[BaseModel], value: dict[str, Any], pointer: str, code: str
) -> None:
    assert codes(model, value).get(pointer) == code


def test_http_3_every_rule_can_be_broken_and_says_what_it_wants() -> None:
    assert set(RULES) == {one[3] for one in BROKEN} - {"wrong-form"}
    assert all(FIELD_CODES[one] == RULES[one] and "{" not in RULES[one] for one in RULES)
