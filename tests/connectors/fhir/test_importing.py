# SPDX-License-Identifier: Apache-2.0
"""A bundle of another's system becomes a draft that holds what was understood, and a list of all that was not."""

from pathlib import Path
from typing import Any

import pytest

from connectors.fhir import importing
from connectors.fhir.importing import Imported, import_bundle
from connectors.fhir.services import read_services
from connectors.fhir.vocabulary import (
    BSER,
    DESK,
    INTERPRETER,
    PATHWAY,
    REFERRAL,
    SDOH,
    SDOH_OLD,
    SERVICE,
    SNOMED,
    STATE,
)
from protocol.errors import FhirUnreadable, MappingInvalid
from protocol.http.threads import ReferralRequest
from protocol.kinds.referral.request import MAX_SERVICES
from tests.connectors.fhir.invented import (
    CANARY,
    CARE_REQUEST,
    CSW,
    FOOD,
    PERSON,
    SERVICES,
    SOCIAL_REQUEST,
    SOCIAL_TASK,
    bundle,
    care,
    encoded,
    part,
    social,
    whole,
)

AUTHORED = 1_795_163_400_500


def imported(document: dict[str, Any], services: Any = SERVICES) -> Imported:
    return import_bundle(encoded(document), services)


def places(found: Imported) -> dict[str, str]:
    return {one.path: one.reason for one in found.not_understood}


def test_a_social_referral_becomes_a_draft_and_says_what_it_lacks() -> None:
    found = imported(social())
    assert found.draft == {
        "fields": {
            "services": [{"code": "food-help", "pathway": "other", "outcome": "help-received"}],
            "priority": "urgent",
            "language": "sr-Latn",
            "interpreter": True,
            "occurred_at": AUTHORED,
        },
        "sections": [],
    }
    assert found.missing == ("to", "whereabouts", "person_knows", "contact", "duplicates", "answer_by", "release_on")
    assert set(places(found)) == {
        "entry/0/resource/requester/reference",
        "entry/0/resource/owner/reference",
        "entry/2/resource/name",
        "entry/2/resource/communication/0/language/coding/0/system",
        "entry/2/resource/communication/0/language/coding/0/code",
        "entry/3/resource",
    }
    assert CANARY not in repr(found)


def test_a_care_referral_keeps_the_numbers_of_both_sides_and_nothing_of_the_document_inside() -> None:
    found = imported(care())
    assert found.draft is not None
    assert found.draft["fields"]["register_numbers"] == {"sender": "GP-17/2026", "recipient": "CSW-4"}
    assert found.draft["fields"]["services"] == [
        {"code": "needs-assessment", "pathway": "health", "outcome": "assessed"}
    ]
    told = places(found)
    assert told["entry/0/resource"] == told["entry/5/resource"] == "resources of this kind are not read"
    assert "names a day" in told["entry/1/resource/authoredOn"]
    assert "occurred_at" not in found.draft["fields"]
    # The number of the Task is its own and not that of the correspondence.
    assert "entry/1/resource/identifier/0/value" in told


def test_a_bundle_that_says_all_is_a_request_as_it_stands() -> None:
    found = imported(whole())
    assert (found.missing, found.draft and found.draft["to"]) == ((), CSW)
    request = ReferralRequest.model_validate(found.draft)
    assert request.fields["release_on"] == "2027-01-20"
    assert request.fields["answer_by"] == "2026-12-10"


def test_a_code_that_is_in_no_table_is_told_and_not_guessed_at() -> None:
    found = imported(social(), {})
    assert found.draft is not None
    assert found.draft["fields"]["services"] == [{"pathway": "other"}]
    assert found.missing[1:3] == ("services/0/code", "services/0/outcome")
    assert "entry/1/resource/code/coding/0/code" in places(found)


def test_two_codings_that_mean_different_services_leave_none() -> None:
    document = social()
    part(document, "ServiceRequest")["code"]["coding"].append({"system": SNOMED, "code": "710824005"})
    found = imported(document)
    assert found.draft is not None
    assert found.draft["fields"]["services"] == [{"pathway": "other"}]
    assert "another service" in places(found)["entry/1/resource/code/coding/1/code"]


def test_a_category_that_says_something_else_than_the_table_leaves_the_pathway_open() -> None:
    document = social()
    part(document, "ServiceRequest")["category"].append({"coding": [{"system": PATHWAY, "code": "health"}]})
    found = imported(document)
    assert found.draft is not None
    assert found.draft["fields"]["services"] == [{"code": "food-help", "outcome": "help-received"}]
    assert "services/0/pathway" in found.missing


@pytest.mark.parametrize(
    ("system", "code", "pathway"),
    [
        (SDOH, "homelessness", "accommodation"),
        (SDOH_OLD, "homelessness-domain", None),
        (SDOH_OLD, "food-insecurity-domain", "other"),
        (SDOH_OLD, "housing-instability-and-homelessness-domain", "accommodation"),
        (SDOH, "food-insecurity-domain", None),
        (SDOH, "intimate-partner-violence", None),
        ("urn:x", "homelessness", None),
    ],
)
def test_a_category_is_a_pathway_by_its_guides_list_or_is_told(system: str, code: str, pathway: str | None) -> None:
    document = social()
    part(document, "ServiceRequest")["category"] = [{"coding": [{"system": system, "code": code}]}]
    found = imported(document, {})
    assert found.draft is not None
    assert found.draft["fields"].get("services") == ([{"pathway": pathway}] if pathway else None)
    assert ("entry/1/resource/category/0/coding/0/code" in places(found)) is (pathway is None)


@pytest.mark.parametrize(
    ("said", "taken", "doubted"),
    [
        ("routine", "normal", False),
        ("urgent", "urgent", False),
        ("asap", "urgent", True),
        ("stat", "emergency", False),
        ("soonish", None, True),
        (None, None, False),
    ],
)
def test_a_priority_is_taken_as_it_stands_or_told(said: str | None, taken: str | None, doubted: bool) -> None:
    document = social()
    part(document, "ServiceRequest")["priority"] = said
    if said is None:
        del part(document, "ServiceRequest")["priority"]
    found = imported(document)
    assert found.draft is not None
    assert found.draft["fields"].get("priority") == taken
    assert ("entry/1/resource/priority" in places(found)) is doubted


def test_what_only_the_task_says_counts_too() -> None:
    document = social()
    del part(document, "ServiceRequest")["priority"]
    part(document, "Task")["priority"] = "stat"
    found = imported(document)
    assert found.draft is not None
    assert found.draft["fields"]["priority"] == "emergency"


def test_several_requests_of_one_requisition_are_services_of_one_referral() -> None:
    order = {"requisition": {"system": "urn:x", "value": "order-1"}}
    second = {
        **SOCIAL_REQUEST,
        **order,
        "id": "request-2",
        "code": {"coding": [{"system": SERVICE, "code": "bus-pass"}]},
    }
    found = imported(bundle(SOCIAL_TASK, {**SOCIAL_REQUEST, **order}, second, PERSON))
    assert found.draft is not None
    assert [one.get("code") for one in found.draft["fields"]["services"]] == ["food-help", "bus-pass"]


def test_two_requests_that_differ_in_a_field_leave_it_open() -> None:
    order = {"requisition": {"system": "urn:x", "value": "order-1"}}

    def released(day: str) -> dict[str, Any]:
        return {"extension": [{"url": REFERRAL, "extension": [{"url": "release_on", "valueDate": day}]}], **order}

    second = {**SOCIAL_REQUEST, **released("2027-02-01"), "id": "r2", "code": {"text": "x"}}
    found = imported(bundle(SOCIAL_TASK, {**SOCIAL_REQUEST, **released("2027-01-01")}, second, PERSON))
    assert found.draft is not None
    assert "release_on" not in found.draft["fields"]
    assert "release_on" in found.missing
    assert {
        "entry/1/resource/extension/0/extension/0/valueDate",
        "entry/2/resource/extension/0/extension/0/valueDate",
    } <= (places(found).keys())


def test_a_value_that_a_field_cannot_have_is_left_out_and_told() -> None:
    document = whole()
    parts = part(document, "ServiceRequest")["extension"][0]["extension"]
    parts[0]["valueCode"] = "on-the-moon"
    parts.append({"url": "release_unknown", "valueCode": "not-decided"})
    part(document, "Task")["owner"]["identifier"]["value"] = "no desk"
    part(document, "ServiceRequest")["identifier"] = CARE_REQUEST["identifier"]
    part(document, "ServiceRequest")["identifier"][0]["value"] = "n" * 61
    found = imported(document)
    assert found.draft is not None
    assert found.missing == ("to", "whereabouts", "release_on")
    assert "register_numbers" in found.draft["fields"]
    assert found.draft["fields"]["register_numbers"] == {"recipient": "CSW-4"}
    told = places(found)
    assert (
        told["entry/1/resource/extension/0/extension/0/valueCode"] == "the value is not of the form that the field has"
    )
    assert "why there is none" in told["entry/1/resource/extension/0/extension/1/valueDate"]
    assert "entry/0/resource/owner/identifier/value" in told


def test_an_answer_that_was_given_already_is_told_and_not_taken_over() -> None:
    document = social()
    part(document, "Task").update(status="in-progress", output=[{"type": {"text": "x"}, "valueString": CANARY}])
    found = imported(document)
    assert found.draft is not None
    told = places(found)
    assert told["entry/0/resource/status"] == told["entry/0/resource/output"] == importing._ANSWERED
    assert CANARY not in repr(found)


def test_a_business_status_that_is_not_known_is_told_though_nobody_has_answered() -> None:
    document = care()
    part(document, "Task")["businessStatus"]["coding"] += [
        {"system": BSER, "code": "9.9"},
        {"system": STATE, "code": "x"},
    ]
    told = places(imported(document))
    assert "entry/1/resource/businessStatus/coding/0/code" not in told
    assert {f"entry/1/resource/businessStatus/coding/{n}/code" for n in (1, 2)} <= told.keys()


def test_a_task_for_something_else_is_not_read() -> None:
    form = {**SOCIAL_TASK, "id": "task-2", "focus": {"reference": "Questionnaire/q"}, "status": "completed"}
    found = imported(bundle(SOCIAL_TASK, form, SOCIAL_REQUEST, PERSON))
    assert found.draft is not None
    assert places(found)["entry/1/resource"] == "resources of this kind are not read"


def test_words_and_inner_resources_are_told_once_each() -> None:
    document = social()
    part(document, "ServiceRequest").update(
        note=[{"text": CANARY}, {"text": CANARY}],
        contained=[{"resourceType": "Patient", "id": "p"}],
        text={"status": "generated", "div": "<div xmlns='http://www.w3.org/1999/xhtml'>x</div>"},
    )
    told = places(imported(document))
    assert "words" in told["entry/1/resource/note"]
    assert "inside others" in told["entry/1/resource/contained"]
    assert not any("/text" in path or "note/" in path for path in told)


def test_another_persons_language_is_not_taken() -> None:
    document = social()
    part(document, "Patient")["id"] = "somebody-else"
    found = imported(document)
    assert found.draft is not None
    assert not {"language", "interpreter"} & found.draft["fields"].keys()
    assert any(INTERPRETER not in path and "extension" in path for path in places(found))


def with_(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**document, **changes}


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"resourceType": "Task"},
        {"resourceType": "Bundle"},
        with_(social(), type="history"),
        with_(social(), entry=[]),
        with_(social(), entry={}),
        with_(social(), entry=[{"resource": 5}]),
        with_(social(), entry=[{"fullUrl": "urn:x"}]),
        with_(social(), entry=[{"resource": {"resourceType": ["Task"]}}]),
        with_(social(), entry=[{**social()["entry"][1], "request": {"method": "DELETE", "url": "x"}}]),
        with_(social(), entry=social()["entry"][:1]),
        with_(social(), entry=[*social()["entry"], social()["entry"][1]]),
        with_(social(), entry=[{"resource": SOCIAL_REQUEST}] * 501),
        bundle(SOCIAL_REQUEST, {**SOCIAL_REQUEST, "id": "r2"}, PERSON),
        bundle({**SOCIAL_REQUEST, "status": ["active"]}),
        bundle({**SOCIAL_REQUEST, "frobnicate": 1}),
        bundle({**SOCIAL_REQUEST, "code": {"coding": {"code": "x"}}}),
        bundle({**SOCIAL_REQUEST, "contained": [{"resourceType": "Nothing", "id": "x"}]}),
        bundle(
            *({**SOCIAL_REQUEST, "id": f"r{n}", "requisition": {"system": "u:x", "value": "1"}} for n in range(2)),
        ),
        bundle(
            *(
                {
                    **SOCIAL_REQUEST,
                    "id": f"r{n}",
                    "requisition": {"system": "u:x", "value": "1"},
                    "code": {"coding": [{"system": SERVICE, "code": f"service-{n}"}]},
                }
                for n in range(MAX_SERVICES + 1)
            ),
        ),
    ],
)
def test_what_is_no_bundle_with_one_referral_is_refused(document: Any) -> None:
    with pytest.raises(FhirUnreadable) as caught:
        import_bundle(encoded(document), SERVICES)
    assert CANARY not in caught.value.detail


def test_a_refusal_names_the_place_and_not_what_stands_there() -> None:
    document = social()
    part(document, "ServiceRequest")["code"]["coding"][0]["code"] = [CANARY]
    with pytest.raises(FhirUnreadable, match=r"entry/1/resource/code/coding/0/code\.") as caught:
        imported(document)
    assert CANARY not in str(caught.value)


def test_a_table_of_services_is_read_and_a_wrong_one_refused(tmp_path: Path) -> None:
    table = tmp_path / "services.toml"
    table.write_text(
        f'[services."{SNOMED}|{FOOD}"]\ncode = "food-help"\npathway = "other"\noutcome = "help-received"\n',
        encoding="utf-8",
    )
    assert read_services(table) == {f"{SNOMED}|{FOOD}": SERVICES[f"{SNOMED}|{FOOD}"]}
    for wrong, words in [
        ("[services.x]\ncode = 'a'", "system"),
        ('[services."u|c"]\ncode = "A B"\npathway = "other"\noutcome = "x"', "code"),
        ('[services."u|c"]\ncode = "a"\npathway = "nowhere"\noutcome = "x"', "pathway"),
        ('[services."u|c"]\ncode = "a"', "outcome"),
        ("[other]", "TOML"),
        ("not toml", "TOML"),
    ]:
        table.write_text(wrong, encoding="utf-8")
        with pytest.raises(MappingInvalid, match=words):
            read_services(table)
    with pytest.raises(MappingInvalid, match="path"):
        read_services(tmp_path / "absent.toml")


def test_a_desk_of_ours_is_the_address() -> None:
    document = social()
    part(document, "Task")["owner"] = {"identifier": {"system": DESK, "value": CSW}}
    found = imported(document)
    assert found.draft is not None
    assert found.draft["to"] == CSW
