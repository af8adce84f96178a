# SPDX-License-Identifier: Apache-2.0
"""The shipped mapping, on an invented export always and on real input where it is at hand."""

import copy
import json
import re
import shutil
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.adapters import Export, Mapped, Mapping, find_mapping, load_mapping, read_export, transform
from protocol.clearance import Category, DeskFunction
from protocol.content import encode_payload
from protocol.errors import ExportUnreadable, PackageIncomplete, ThroughcareError
from protocol.handover import check_size, sections_for
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

NOW = 1_795_680_000_000
SAMPLES = Path(__file__).resolve().parents[4] / "shared" / "samples" / "resettlement"
PEOPLE = ["A8731DY", "G4161UF"]

real_input = pytest.mark.skipif(
    not SAMPLES.is_dir(), reason="real input is not tested: ../shared/samples/resettlement is not beside the project"
)


@cache
def shipped() -> Mapping:
    return load_mapping(find_mapping("resettlement"))


def run(content: dict[str, Any]) -> Mapped:
    return transform(shipped(), Export(document=content, stems=frozenset(content)), now_ms=NOW)


def outcome(content: dict[str, Any]) -> Mapped | str:
    """Return what comes of an export: the package, or the text of a named error."""
    try:
        return run(content)
    except ThroughcareError as error:
        return str(error)


def sample(person: str) -> dict[str, Any]:
    return read_export(SAMPLES / person).document


def seen_by(mapped: Mapped, function: DeskFunction) -> str:
    included, _ = sections_for(mapped.package, function)
    return "\n".join(encode_payload(mapped.package.sections[i].body).decode() for i in included)


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
    with pytest.raises(PackageIncomplete, match=rf"{PRISONER}\.json is not there"):
        run(content)


def test_an_officer_who_is_not_allocated_is_not_named() -> None:
    content = document()
    content[COM]["unallocated"] = True
    assert "Ema" not in seen_by(run(content), DeskFunction.PROBATION_INTAKE)


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for child in value.values():
            yield from _words(child)
    elif isinstance(value, list):
        for child in value:
            yield from _words(child)
    elif value is not None:
        for word in re.split(r"[\s,]+", unicodedata.normalize("NFC", str(value))):
            yield word
            # A date goes out in ISO form, whichever way it came, and without its time.
            if found := re.fullmatch(r"(\d\d)/(\d\d)/(\d{4})", word):
                yield f"{found[3]}-{found[2]}-{found[1]}"
            yield word.partition("T")[0]
            yield re.sub(r"\.$", "", word)
            yield re.sub("[\x00\ud800]", "\ufffd", word)


def assert_nothing_invented(content: dict[str, Any], mapped: Mapped) -> None:
    known = {word.casefold() for word in _words(content)}
    known |= set(re.findall(r"[\w-]+", find_mapping("resettlement").read_text(encoding="utf-8").casefold()))
    for section in mapped.package.sections:
        for word in _words(json.loads(encode_payload(section.body))):
            assert word.casefold() in known, section.category


def test_nothing_is_invented() -> None:
    content = document()
    assert_nothing_invented(content, run(content))


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        pairs: list[tuple[Any, Any]] = list(value.items())
    elif isinstance(value, list):
        pairs = list(enumerate(value))
    else:
        return [path]
    return [path, *(place for key, child in pairs for place in _places(child, (*path, key)))]


REPLACEMENTS: list[Any] = [
    None,
    "",
    "planted",
    "planted\x00\ud800",
    "planted" * 4_000,
    0,
    -1.5,
    10**30,
    True,
    [],
    {},
    ["planted", None, ["planted"]],
    {"planted": "planted"},
    [{"planted": ["planted"]}],
    "2026-02-30",
]


def mutated(content: dict[str, Any], edits: list[tuple[int, int]]) -> dict[str, Any]:
    """Return `content` with edits: a place (modulo their number) and what happens there."""
    content = copy.deepcopy(content)
    for where, how in edits:
        places = _places(content)[1:]
        if not places:
            break
        *parents, last = places[where % len(places)]
        target: Any = content
        for key in parents:
            target = target[key]
        match how % (len(REPLACEMENTS) + 3):
            case 0:
                del target[last]
            case 1 if isinstance(target, list):
                target.append(copy.deepcopy(target[last]))
            case 2 if isinstance(target, list):
                target.extend([copy.deepcopy(target[last])] * 30)
            case choice:
                target[last] = copy.deepcopy(REPLACEMENTS[choice % len(REPLACEMENTS)])
    return content


EDITS = st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 100)), min_size=1, max_size=6)


def assert_package_or_named_error(content: dict[str, Any]) -> None:
    mapped = outcome(content)
    if isinstance(mapped, str):
        assert "planted" not in mapped
        return
    check_size(mapped.package)
    assert "planted" not in "".join(n.reason for n in mapped.not_understood)
    for function in DeskFunction:
        included, withheld = sections_for(mapped.package, function)
        assert len(included) + len(withheld) == len(mapped.package.sections)
    assert "SCOREBAND" not in seen_by(mapped, DeskFunction.PROBATION_INTAKE)
    assert_nothing_invented(content, mapped)


@given(EDITS)
def test_a_damaged_export_gives_a_valid_package_or_a_named_error(edits: list[tuple[int, int]]) -> None:
    assert_package_or_named_error(mutated(document(), edits))


@given(st.data())
def test_err_2_no_error_and_no_report_repeats_a_value_whatever_is_planted(data: st.DataObject) -> None:
    content = document()
    for place in _places(content):
        target: Any = content
        for key in place[:-1]:
            target = target[key]
        if place and isinstance(target[place[-1]], str) and data.draw(st.integers(0, 3)) == 0:
            target[place[-1]] = "planted"
    mapped = outcome(content)
    assert "planted" not in (mapped if isinstance(mapped, str) else f"{mapped!r} {mapped.package!r}")


def test_scores_never_leave_whatever_the_assessors_file_looks_like() -> None:
    content = document()
    content[PREDICTORS] = {"anything": [{"score": "SCOREBAND", "deep": {"x": [1, 2, "SCOREBAND"]}}]}
    mapped = run(content)
    assert "SCOREBAND" not in "".join(encode_payload(s.body).decode() for s in mapped.package.sections)
    assert ("scores and items of assessment instruments are never sent", 4) in {
        (i.reason, i.count) for i in mapped.ignored
    }


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
    # Social work's two own sections are parts of what probation has in full.
    own = social_work - probation
    assert {mapped.package.sections[i].body.kind for i in own} == {"conditions", "staff-contacts"}
    assert probation | social_work == set(range(len(kinds)))


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
@pytest.mark.parametrize("person", PEOPLE)
@settings(max_examples=30)
@given(edits=EDITS)
def test_damaged_real_input_gives_a_valid_package_or_a_named_error(person: str, edits: list[tuple[int, int]]) -> None:
    assert_package_or_named_error(mutated(sample(person), edits))


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


@real_input
@pytest.mark.parametrize("damage", ["truncated", "utf-16", "latin-1", "list"])
def test_a_broken_file_among_real_ones_is_named_and_nothing_is_sent(damage: str, tmp_path: Path) -> None:
    folder = shutil.copytree(SAMPLES / "G4161UF", tmp_path / "export")
    file = folder / f"{PRISONER}.json"
    file.chmod(0o600)
    text = file.read_text(encoding="utf-8")
    match damage:
        case "truncated":
            file.write_text(text[: len(text) // 2], encoding="utf-8")
        case "list":
            file.write_text("[]", encoding="utf-8")
        case encoding:
            file.write_bytes(text.replace("TEST", "TÉST").encode(encoding))
    with pytest.raises((ExportUnreadable, PackageIncomplete)) as refusal:
        transform(shipped(), read_export(folder), now_ms=NOW)
    assert "Nothing was sent" in str(refusal.value)
    assert "USER18" not in str(refusal.value)
    assert damage == "list" or f"{PRISONER}.json" in str(refusal.value)


def test_a_written_and_read_folder_gives_the_same_as_the_object(tmp_path: Path) -> None:
    export = read_export(invented.write(tmp_path / "export", document()))
    assert transform(shipped(), export, now_ms=NOW).package == run(document()).package
