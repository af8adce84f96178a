# SPDX-License-Identifier: Apache-2.0
"""Applying a mapping: nothing invented, nothing swallowed, nothing half sent."""

import json
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.adapters import Export, Mapped, transform
from connectors.adapters.mapping import Mapping, build_mapping
from connectors.adapters.mappingfile import parse_mapping
from connectors.adapters.report import MAX_PATH, MAX_REASON, MAX_REPORTED
from connectors.adapters.transform import add_weekdays
from protocol.content import encode_payload
from protocol.errors import ExportUnreadable, PackageIncomplete, TooLarge
from protocol.handover import Priority, TriggerEvent

MONDAY = 1_764_547_200_000
"""1 December 2025, 00:00 UTC."""
ZONE = ZoneInfo("Europe/Belgrade")

HEAD = """
[mapping]
name = "small"
version = 1
kind = "handover.offer"
kind_version = 1
absent = ["n/a"]

[files]
who = "person"

[subject]
number = "who.number"

[offer]
what_moves = ["supervision"]
[offer.fields]
expected_on = "who.release"
register_number = "who.register"

[[section]]
name = "person"
body = "person"
category = "identity"
purpose = "first-contact"
basis = "statute"
citation = "Invented Act, art. 1"
functions = ["probation-intake"]
required = true
[section.fields]
family_name = { from = "who.name", required = true }
language = { value = "sq" }
sex = { from = "who.sex", map = { m = "male" }, default = "not recorded" }
"""
NEEDS = """
[[section]]
name = "needs"
body = "needs"
category = "needs"
purpose = "continuity-of-care"
basis = "statute"
functions = ["probation-intake"]
[[section.list]]
into = "needs"
each = "plan.needs"
[section.list.fields]
pathway = { from = "area", map = { w = "accommodation" } }
status = { value = "in-progress" }
note = "text"
"""


def mapping(*parts: str) -> Mapping:
    return build_mapping(parse_mapping("\n".join((HEAD, *parts)).encode()))


def run(document: dict[str, Any], *parts: str) -> Mapped:
    export = Export(document=document, stems=frozenset(document))
    return transform(mapping(*parts), export, now_ms=MONDAY, zone=ZONE)


def person(**more: Any) -> dict[str, Any]:
    return {"number": "7", "name": "Bregović", **more}


def body(mapped: Mapped, index: int) -> Any:
    return json.loads(encode_payload(mapped.package.sections[index].body))


def report(mapped: Mapped) -> dict[str, str]:
    return {n.path: n.reason for n in mapped.not_understood}


def test_terms_come_from_the_mapping_the_export_and_the_given_time() -> None:
    terms = run({"person": person(release="2026-02-03", register="01-7/2025")}).package.terms
    assert terms.trigger.event is TriggerEvent.RELEASE_NOTICE
    assert terms.trigger.expected_on == date(2026, 2, 3)
    assert terms.priority is Priority.NORMAL
    assert (terms.acknowledge_by, terms.answer_by) == (date(2025, 12, 3), date(2025, 12, 8))
    assert terms.sender_register_number == "01-7/2025"


def test_cnt_7_a_day_of_release_that_is_written_in_utc_is_the_agencys_day() -> None:
    mapped = run({"person": person(release="2027-03-14T23:00:00Z")})
    assert mapped.package.terms.trigger.expected_on == date(2027, 3, 15)
    assert not mapped.not_understood


def test_cnt_7_between_midnight_and_two_the_deadlines_count_from_the_agencys_day() -> None:
    night = int(datetime(2027, 3, 15, 0, 30, tzinfo=ZONE).timestamp() * 1000)
    export = Export(document={"person": person(release="2027-04-01")}, stems=frozenset({"person"}))
    terms = transform(mapping(), export, now_ms=night, zone=ZONE).package.terms
    assert (terms.acknowledge_by, terms.answer_by) == (date(2027, 3, 17), date(2027, 3, 22))


def test_weekdays_pass_over_saturday_and_sunday() -> None:
    assert add_weekdays(date(2025, 12, 5), 1) == date(2025, 12, 8)
    assert add_weekdays(date(2025, 12, 6), 1) == date(2025, 12, 8)
    assert add_weekdays(date(2025, 12, 1), 5) == date(2025, 12, 8)
    assert add_weekdays(date(2025, 12, 6), 0) == date(2025, 12, 6)


def test_a_default_and_a_constant_fill_what_the_export_lacks() -> None:
    assert body(run({"person": person()}), 0) == {
        "kind": "person",
        "family_name": "Bregović",
        "language": "sq",
        "sex": "not recorded",
    }


def test_a_code_that_is_not_in_the_table_is_reported_and_not_guessed() -> None:
    mapped = run({"person": person(sex="x")})
    assert body(mapped, 0)["sex"] == "not recorded"
    assert report(mapped)["person/sex"].startswith("its code is not in the mapping's table")


def test_cnt_6_what_nothing_reads_is_reported_by_place_and_what_is_empty_is_not() -> None:
    mapped = run({"person": person(extra={"a": [1, None, ""]}, nothing=None, none=[]), "more": {"k": "planted"}})
    assert report(mapped) == {"person/extra/a/0": UNREAD, "more/k": UNREAD}
    assert "planted" not in str(mapped)


UNREAD = "nothing in the mapping reads it"


def test_a_required_field_that_is_missing_names_field_place_and_file() -> None:
    with pytest.raises(PackageIncomplete) as refusal:
        run({"person": {"number": "7"}})
    assert str(refusal.value) == (
        'section "person", fields.family_name: it is required, but the export has nothing at who.name. '
        "Nothing was sent."
    )
    with pytest.raises(PackageIncomplete, match=r"subject, number: .* who.number \(person.json is not there\)"):
        run({"other": {}})


@pytest.mark.parametrize("wrong", [{"planted": 1}, ["planted"], True, "planted" * 100, "planted\n" * 100])
def test_a_required_field_of_the_wrong_form_sends_nothing_and_shows_nothing(wrong: Any) -> None:
    with pytest.raises(PackageIncomplete) as refusal:
        run({"person": person(name=wrong)})
    assert "family_name" in str(refusal.value)
    assert "planted" not in str(refusal.value)
    assert "planted" not in repr(refusal.value.__cause__)


def test_absent_texts_count_as_missing() -> None:
    with pytest.raises(PackageIncomplete):
        run({"person": person(name="N/A")})


def test_a_section_of_constants_only_is_not_sent() -> None:
    mapped = run({"person": person(), "plan": {"needs": [{}, {"other": 1}]}}, NEEDS)
    assert len(mapped.package.sections) == 1
    assert "plan/needs/1/other" in report(mapped)


def test_items_are_made_in_order_and_a_single_object_counts_as_one() -> None:
    plan = {"needs": [{"area": "w", "text": "one"}, {"area": "W", "text": "two"}]}
    assert [n["note"] for n in body(run({"person": person(), "plan": plan}, NEEDS), 1)["needs"]] == ["one", "two"]
    one = {"needs": {"area": "w", "text": "one"}}
    assert [n["note"] for n in body(run({"person": person(), "plan": one}, NEEDS), 1)["needs"]] == ["one"]


def test_an_item_without_its_required_field_is_left_out_and_reported_with_all_it_held() -> None:
    plan = {"needs": [{"area": "w", "text": "kept"}, {"text": "lost"}, {"area": "z", "text": "lost too"}]}
    mapped = run({"person": person(), "plan": plan}, NEEDS)
    assert [n["note"] for n in body(mapped, 1)["needs"]] == ["kept"]
    assert set(report(mapped)) == {
        "plan/needs/1",
        "plan/needs/1/text",
        "plan/needs/2",
        "plan/needs/2/area",
        "plan/needs/2/text",
    }


@pytest.mark.parametrize("needs", ["planted", ["planted"], [1, {"area": "w"}], 5])
def test_a_list_of_something_else_than_objects_is_reported_whole(needs: Any) -> None:
    mapped = run({"person": person(), "plan": {"needs": needs}}, NEEDS)
    assert len(mapped.package.sections) == 1
    assert any(path.startswith("plan/needs") for path in report(mapped))
    assert "planted" not in str(report(mapped))


def test_an_expression_that_does_not_fit_the_data_sends_nothing_of_it_and_is_reported() -> None:
    part = NEEDS.replace('each = "plan.needs"', "each = \"plan.needs[?starts_with(area, 'w')]\"")
    mapped = run({"person": person(), "plan": {"needs": [{"area": 5, "text": "t"}]}}, part)
    assert len(mapped.package.sections) == 1
    assert set(report(mapped)) == {"plan/needs/0/area", "plan/needs/0/text", 'section "needs"'}


def test_a_placeholder_that_was_not_filled_in_is_sent_and_reported() -> None:
    mapped = run({"person": person(), "plan": {"needs": [{"area": "w", "text": "until {{date}}"}]}}, NEEDS)
    assert body(mapped, 1)["needs"][0]["note"] == "until {{date}}"
    assert "placeholder" in report(mapped)["plan/needs/0/text"]


AGREE = """
[[agree]]
what = "the number"
values = ["who.number", "plan.numbers[]"]
otherwise = "refuse"
"""


def test_an_export_of_two_people_is_refused() -> None:
    assert run({"person": person(), "plan": {"numbers": ["7", "7"]}}, AGREE).not_understood == ()
    with pytest.raises(ExportUnreadable) as refusal:
        run({"person": person(), "plan": {"numbers": ["7", "8123"]}}, AGREE)
    assert "the number: plan/numbers/1 differs from person/number" in str(refusal.value)
    assert "8123" not in str(refusal.value)


def test_places_that_disagree_are_reported_and_those_that_agree_are_understood() -> None:
    part = AGREE.replace("refuse", "report")
    assert report(run({"person": person(), "plan": {"numbers": [" 7 ", "8"]}}, part)) == {
        "plan/numbers/1": "it differs from person/number"
    }


def test_what_is_ignored_is_counted_with_its_reason_and_what_was_sent_is_not() -> None:
    ignore = '[[ignore]]\nfrom = ["who", "plan.a"]\nreason = "custody only"\n'
    mapped = run({"person": person(x=1, y={"z": [2, 3]}), "plan": {"a": 1, "b": 2}}, ignore)
    assert [(i.reason, i.count) for i in mapped.ignored] == [("custody only", 4)]
    assert mapped.ignored_count == 4
    assert report(mapped) == {"plan/b": UNREAD}


def test_files_that_are_not_json_are_reported() -> None:
    export = Export(document={"person": person()}, stems=frozenset({"person"}), unread=("photo.jpg",))
    mapped = transform(mapping(), export, now_ms=MONDAY, zone=ZONE)
    assert report(mapped) == {"photo.jpg": "it is not a JSON file, so it was not read"}


def test_too_much_is_refused_whole_never_cut() -> None:
    many = {"person": person(), "plan": {"needs": [{"area": "w", "text": "t"}] * 2_001}}
    with pytest.raises(TooLarge, match="more than 2000 items"):
        run(many, NEEDS)
    long = {"person": person(), "plan": {"needs": [{"area": "w", "text": "t" * 20_000}] * 60}}
    with pytest.raises(TooLarge):
        run(long, NEEDS)


def test_a_long_report_is_told_together_and_stays_bounded() -> None:
    alike = run({"person": person(), "more": [{"k": i} for i in range(5_000)]})
    assert report(alike) == {"more/*/k": f"{UNREAD} (5000 places)"}
    different = run({"person": person(), "more": {f"k{i}" * 100: i for i in range(5_000)}})
    assert len(different.not_understood) == MAX_REPORTED
    assert different.not_understood[-1].reason == "and 3001 more places"
    assert all(len(n.path) <= MAX_PATH and len(n.reason) <= MAX_REASON for n in different.not_understood)


def test_err_2_the_repr_of_the_result_shows_no_content() -> None:
    assert "Breg" not in repr(run({"person": person()}))


def test_nothing_at_all_is_no_package() -> None:
    optional = HEAD.replace("required = true\n[section", "[section").replace('"who.name", required = true', '"who.nam"')
    with pytest.raises(PackageIncomplete):
        transform(
            build_mapping(parse_mapping(optional.encode())),
            Export(document={"person": person()}),
            now_ms=0,
            zone=ZONE,
        )


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(0, 99)
    | st.sampled_from(["w", "7", "2026-01-02", "n/a", "", "x\x00y", "{{"])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["number", "name", "needs", "area", "text", "release", "sex"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["person", "plan", "more"]), VALUES, max_size=3))
def test_cnt_6_any_export_gives_a_package_or_one_of_the_named_errors_and_accounts_for_every_leaf(
    document: dict[str, Any],
) -> None:
    try:
        mapped = run(document, NEEDS, AGREE)
    except (PackageIncomplete, ExportUnreadable):
        return
    sent = "".join(encode_payload(section.body).decode() for section in mapped.package.sections)
    reported = set(report(mapped))
    for path, value in _leaves(document):
        if path not in reported and value not in (None, ""):
            assert any(path.startswith(known) for known in ("person/", "plan/needs", "plan/number")), path
    assert "null" not in sent


def _leaves(value: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = [(str(i), child) for i, child in enumerate(value)]
    else:
        return [(path, value)]
    return [leaf for key, child in pairs for leaf in _leaves(child, f"{path}/{key}" if path else key)]
