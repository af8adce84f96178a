# SPDX-License-Identifier: Apache-2.0
"""The shipped mapping, on an invented export always and on real input where it is at hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from connectors.adapters import read_export, transform
from protocol.clearance import Category, DeskFunction
from protocol.content import encode_payload
from protocol.errors import ExportUnreadable, PackageIncomplete
from protocol.handover import sections_for
from tests.connectors.adapters import invented
from tests.connectors.adapters.invented import (
    COM,
    HOUSING,
    LICENCE,
    NOTES,
    PREDICTORS,
    PRISONER,
    READINESS,
    REFERRALS,
    RISKS,
    document,
)
from tests.connectors.adapters.resettled import (
    NOW,
    PEOPLE,
    ZONE,
    assert_nothing_invented,
    real_input,
    run,
    sample,
    seen_by,
    shipped,
)

PROBATION_ONLY = [
    "Invented offence",
    "Invented nature",
    "Invented concern",
    "Invented health note",
    "Invented family note",
    "Invented dependency note",
    "Invented contact ban",
    "INVENTED_HEALTH",
    "Dependency and Recovery",
    "RINV",
    "99/000001A",
    "The room is small",
    "No bank",
    "A room is promised",
    "Ema",
    "BAKERY",
]
BOTH = [
    "Bregović",
    "Z0001ZZ",
    "070000000",
    "Mill Street",
    "Most Association",
    "Bridge Street",
    "PASSPORT",
    "Gora Prison",
]
NOBODY = [
    "XSECRET",
    "SCOREBAND",
    "6060",
    "Sensitive secret",
    "A-1-001",
    "None recorded",
    "[PLACE]",
    "Officer, Invented",
]


def test_probation_and_social_work_each_see_theirs() -> None:
    mapped = run(document())
    probation = seen_by(mapped, DeskFunction.PROBATION_INTAKE)
    social_work = seen_by(mapped, DeskFunction.SOCIAL_WORK)
    assert [words for words in BOTH if words not in probation or words not in social_work] == []
    assert [words for words in PROBATION_ONLY if words not in probation or words in social_work] == []
    assert [words for words in NOBODY if words in probation or words in social_work] == []


@pytest.mark.parametrize("function", [f for f in DeskFunction if f not in ("probation-intake", "social-work")])
def test_con_7_no_other_desk_gets_anything(function: DeskFunction) -> None:
    assert seen_by(run(document()), function) == ""


def test_the_package_holds_all_that_a_handover_needs() -> None:
    kinds = {section.body.kind for section in run(document()).package.sections}
    assert kinds >= {
        "person",
        "sentence",
        "risk-summary",
        "health",
        "needs",
        "referrals",
        "staff-contacts",
        "first-appointment",
        "checklist",
        "address",
    }


def test_social_work_gets_neither_risk_nor_health_nor_offence_nor_others_data() -> None:
    mapped = run(document())
    included, _ = sections_for(mapped.package, DeskFunction.SOCIAL_WORK)
    categories = {mapped.package.sections[i].category for i in included}
    assert not categories & {Category.RISK_SUMMARY, Category.MEDICAL, Category.OFFENCE, Category.THIRD_PARTY}
    assert categories >= {Category.IDENTITY, Category.NEEDS, Category.REFERRALS, Category.APPOINTMENTS}


def test_a_draft_is_not_running_and_a_referral_neither_sent_nor_draft_is_reported() -> None:
    mapped = run(document())
    assert "Education in Gora" not in seen_by(mapped, DeskFunction.PROBATION_INTAKE)
    assert "Finance in Gora" not in seen_by(mapped, DeskFunction.PROBATION_INTAKE)
    assert f"{REFERRALS}/3/interventionTitle" in {n.path for n in mapped.not_understood}
    assert f"{REFERRALS}/2/interventionTitle" not in {n.path for n in mapped.not_understood}


def test_a_note_that_does_not_say_whether_it_is_sensitive_stays_and_is_reported() -> None:
    content = document()
    content[NOTES]["content"][0]["sensitive"] = None
    mapped = run(content)
    assert "The room is small" not in seen_by(mapped, DeskFunction.PROBATION_INTAKE)
    assert f"{NOTES}/content/0/text" in {n.path for n in mapped.not_understood}


def test_an_amendment_of_a_note_is_reported_since_it_may_change_the_note() -> None:
    content = document()
    content[NOTES]["content"][0]["amendments"] = [{"additionalNoteText": "planted"}]
    places = {n.path for n in run(content).not_understood}
    assert f"{NOTES}/content/0/amendments/0/additionalNoteText" in places


@pytest.mark.parametrize("stem", [PRISONER, LICENCE, RISKS, NOTES, READINESS, HOUSING])
def test_a_key_that_nobody_knows_yet_is_reported_in_every_file(stem: str) -> None:
    content = document()
    content[stem]["somethingNew"] = {"deep": ["planted"]}
    mapped = run(content)
    assert f"{stem}/somethingNew/deep/0" in {n.path for n in mapped.not_understood}
    assert "planted" not in str(mapped.not_understood)


def test_a_file_of_another_person_in_the_folder_is_refused() -> None:
    content = document()
    content[LICENCE]["nomsId"] = "Z9999ZZ"
    with pytest.raises(ExportUnreadable) as refusal:
        run(content)
    assert f"{LICENCE}/nomsId differs from {PRISONER}/prisonerNumber" in str(refusal.value)
    assert "Z9999ZZ" not in str(refusal.value)


def test_dates_that_differ_between_files_are_reported_and_one_source_is_taken() -> None:
    content = document()
    content[LICENCE]["sentenceEndDate"] = "03/01/2027"
    mapped = run(content)
    assert {n.path: n.reason for n in mapped.not_understood}[f"{LICENCE}/sentenceEndDate"] == (
        f"it differs from {PRISONER}/sentenceExpiryDate"
    )
    assert '"sentence_end":"2027-01-02"' in seen_by(mapped, DeskFunction.PROBATION_INTAKE)


@pytest.mark.parametrize("stem", [stem for stem in document() if stem != PRISONER])
def test_any_other_file_may_be_missing_empty_or_null(stem: str) -> None:
    nothings: list[Any] = [None, {}, []]
    for nothing in nothings:
        assert run({**document(), stem: nothing}).package.sections
    content = document()
    del content[stem]
    assert run(content).package.sections


def test_without_the_persons_own_file_nothing_is_sent() -> None:
    content = document()
    del content[PRISONER]
    with pytest.raises(PackageIncomplete, match=rf"{PRISONER}\.json is required: the file is not there"):
        run(content)


def test_an_officer_who_is_not_allocated_is_not_named() -> None:
    content = document()
    content[COM]["unallocated"] = True
    assert "Ema" not in seen_by(run(content), DeskFunction.PROBATION_INTAKE)


def test_nothing_is_invented() -> None:
    content = document()
    assert_nothing_invented(content, run(content))


def test_scores_never_leave_whatever_the_assessors_file_looks_like() -> None:
    content = document()
    content[PREDICTORS] = {"anything": [{"score": "SCOREBAND", "deep": {"x": [1, 2, "SCOREBAND"]}}]}
    mapped = run(content)
    assert "SCOREBAND" not in "".join(encode_payload(s.body).decode() for s in mapped.package.sections)
    assert ("scores and items of assessment instruments are never sent", 4) in {
        (i.reason, i.count) for i in mapped.ignored
    }


@pytest.mark.parametrize("nothing", [None, {}, [], "", "gateway timeout", [{}, {"a": None}], 0])
def test_cnt_6_a_source_that_did_not_answer_is_named_at_the_sender(nothing: Any) -> None:
    """A missing or empty file must not look like a person of whom there is nothing to say."""
    whole = run(document())
    assert [n for n in whole.not_understood if n.path in (RISKS, LICENCE)] == []
    for stem in (RISKS, LICENCE):
        without, empty = document(), document()
        del without[stem]
        empty[stem] = nothing
        for content, word in ((without, "not there"), (empty, "no record")):
            mapped = run(content)
            assert [n.reason for n in mapped.not_understood if n.path == stem and word in n.reason] != []
            missing = {n.path for n in mapped.not_understood if n.path.startswith("section ")}
            assert len(whole.package.sections) - len(mapped.package.sections) == len(missing)


def test_cnt_6_an_empty_file_of_the_person_sends_nothing() -> None:
    content = document()
    content[PRISONER] = {}
    with pytest.raises(PackageIncomplete, match=rf"{PRISONER}\.json is required: the file holds no record"):
        run(content)


@real_input
@pytest.mark.parametrize("person", PEOPLE)
def test_real_input_becomes_a_package_for_probation_and_social_work(person: str) -> None:
    content = sample(person)
    mapped = run(content)
    assert mapped.subject_number == person
    assert_nothing_invented(content, mapped)
    kinds = [section.body.kind for section in mapped.package.sections]
    assert {"person", "sentence", "risk-summary", "health", "needs", "referrals", "first-appointment"} <= set(kinds)
    probation, social_work = (
        set(sections_for(mapped.package, f).included) for f in (DeskFunction.PROBATION_INTAKE, DeskFunction.SOCIAL_WORK)
    )
    assert social_work < probation
    assert probation == set(range(len(kinds)))


@real_input
@pytest.mark.parametrize("person", PEOPLE)
def test_what_is_not_understood_in_real_input_is_short_and_plain(person: str) -> None:
    mapped = run(sample(person))
    assert 5 <= len(mapped.not_understood) <= 20
    unread = {n.path for n in mapped.not_understood if n.reason == "nothing in the mapping reads it"}
    # A referral that is neither a draft nor sent: nobody can say whether it runs.
    assert unread == (
        {f"{REFERRALS}/4/{key}" for key in ("serviceCategories/0", "interventionTitle")}
        if person == "A8731DY"
        else set()
    )
    assert f"{PRISONER}/licenceExpiryDate" in {n.path for n in mapped.not_understood}


@real_input
def test_a_template_that_was_not_filled_in_is_noticed_in_real_input() -> None:
    reasons = {n.path: n.reason for n in run(sample("A8731DY")).not_understood}
    assert "placeholder" in reasons[f"{LICENCE}/bespokeConditions/2/text"]


@real_input
def test_a_third_persons_folder_of_the_same_form_works_unchanged() -> None:
    content = sample("G4161UF")
    text = json.dumps(content).replace("G4161UF", "Z0009ZZ").replace("U416100", "Q000009")
    content = json.loads(text)
    for stem in ("cvl-api-LicenceMatch", "resettlement-passport-and-delius-api-MappaByCrn", PREDICTORS):
        del content[stem]
    content[NOTES]["content"] = content[NOTES]["content"] * 7
    content[REFERRALS] = []
    content[RISKS]["summary"] = None
    mapped = run(content)
    assert mapped.subject_number == "Z0009ZZ"
    assert "Z0009ZZ" in seen_by(mapped, DeskFunction.SOCIAL_WORK)


def test_a_written_and_read_folder_gives_the_same_as_the_object(tmp_path: Path) -> None:
    export = read_export(invented.write(tmp_path / "export", document()))
    assert transform(shipped(), export, now_ms=NOW, zone=ZONE).package == run(document()).package
