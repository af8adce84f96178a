# SPDX-License-Identifier: Apache-2.0
"""Loading a mapping: what is wrong with it is said when it is loaded, with the place and the fix."""

from pathlib import Path

import pytest

from connectors.adapters import find_mapping, load_mapping
from connectors.adapters.mapping import build_mapping
from connectors.adapters.mappingfile import parse_mapping
from protocol.errors import MappingInvalid

GOOD = """
[mapping]
name = "small"
version = 1
kind = "handover.offer"
kind_version = 1

[subject]
number = "number"

[offer]
what_moves = ["supervision"]

[[section]]
name = "person"
body = "person"
category = "identity"
purpose = "first-contact"
basis = "statute"
citation = "Invented Act, art. 1"
functions = ["probation-intake"]

[section.fields]
family_name = { from = "name", required = true }
date_of_birth = { from = "born", format = "dd.mm.yyyy" }

[[section]]
name = "needs"
body = "needs"
category = "needs"
purpose = "continuity-of-care"
basis = "statute"
functions = ["probation-intake"]

[[section.list]]
into = "needs"
each = "needs"
[section.list.fields]
pathway = { from = "area", map = { W = "accommodation" } }

[[agree]]
what = "the number"
values = ["number", "other"]

[[ignore]]
from = "rest"
reason = "not needed"
"""


def load(text: str) -> None:
    build_mapping(parse_mapping(text.encode()))


def test_a_good_mapping_loads() -> None:
    load(GOOD)


def test_the_shipped_mapping_is_found_by_name_and_by_path_and_loads() -> None:
    path = find_mapping("resettlement")
    assert find_mapping(str(path)) == path
    assert load_mapping(path).name == "resettlement"


def test_an_unknown_mapping_names_those_that_are_shipped() -> None:
    with pytest.raises(MappingInvalid, match="resettlement"):
        find_mapping("resetlement")


@pytest.mark.parametrize("name", [".", "..", "a\x1bb", "x" * 5_000])
def test_a_strange_name_of_a_mapping_is_refused_and_shown_safely(name: str) -> None:
    with pytest.raises(MappingInvalid) as refusal:
        find_mapping(name)
    assert "\x1b" not in str(refusal.value)
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('name = "small"', "name = ", r"not TOML: .*line"),
        ('kind = "handover.offer"', 'kind = "referral.request"', "mapping, kind: input should be 'handover.offer'"),
        ("kind_version = 1", "kind_version = 2", "mapping, kind_version: input should be 1"),
        (
            "kind_version = 1",
            "kind_version = 1\nabsnt = []",
            'mapping, absnt: there is no such key; did you mean "absent"',
        ),
        ("version = 1\nkind =", 'version = "1"\nkind =', "mapping, version: "),
        ("[subject]\nnumber", "[subject]\nnumbr", "subject, numbr|subject, number: this key is missing"),
        ('body = "needs"', 'body = "wishes"', 'section "needs", body: there is no such form; forms are person,'),
        ('category = "needs"', 'category = "feelings"', 'section "needs", category: input should be'),
        (
            'category = "needs"',
            'category = "offence"',
            'section "needs", category: the body "needs" stands under medical, needs',
        ),
        ('category = "needs"', 'category = "medical"', 'section "needs", label: .* must say label = "restricted"'),
        (
            'category = "needs"',
            'category = "medical"\nlabel = "restricted"',
            'section "needs", citation: probation-intake may see the category medical only on a law',
        ),
        (
            'functions = ["probation-intake"]\n\n[[section.list]]',
            'functions = ["police-pcve"]\n\n[[section.list]]',
            'section "needs", functions: police-pcve may never see the category needs',
        ),
        (
            'functions = ["probation-intake"]\n\n[[section.list]]',
            "functions = []\n\n[[section.list]]",
            'section "needs", functions',
        ),
        ("family_name = {", "family_nam = {", 'fields: "family_name" must be filled|did you mean "family_name"'),
        (
            "date_of_birth = {",
            "date_of_brith = {",
            'section "person", fields: there is no field "date_of_brith"; did you mean "date_of_birth"',
        ),
        ('from = "name"', 'from = "name."', 'section "person", fields.family_name: not a JMESPath expression'),
        ('from = "name"', 'from = "nothing(name)"', "JMESPath has no function nothing"),
        ('from = "name", required = true', "required = true", 'family_name: say either "from" or "value"'),
        ('from = "name", required = true', 'from = "name", value = "x"', 'say either "from" or "value"'),
        ('from = "name", required = true', 'value = "x", required = true', 'with "value" nothing else can be said'),
        (
            'from = "name", required = true',
            'from = "name", requird = true',
            r'section "person", fields.family_name.requird: .*"required"',
        ),
        ('from = "name", required = true', 'from = "name", required = true, default = "x"', "never missing"),
        ('from = "name", required = true', 'from = "name", format = "iso"', '"format" is for dates'),
        ('from = "name", required = true', 'from = "name", join = " ", after = "x"', '"join" cannot stand with'),
        ('from = "name", required = true', 'from = "name", map = "codes"', r"there is no table \[codes.codes\]"),
        ('from = "name", required = true', f'from = "name", default = "{"x" * 300}"', "longer than a line of text"),
        ('format = "dd.mm.yyyy"', 'format = "dd.mm.yy"', "date_of_birth.format: a date's form is written like"),
        ('format = "dd.mm.yyyy"', 'format = "HH:MM"', "it gives no date"),
        ('format = "dd.mm.yyyy"', 'map = { a = "b" }', '"map" is for codes'),
        ('W = "accommodation"', 'W = "house"', "pathway.map: the constant does not fit, .* codes are accommodation"),
        ('W = "accommodation"', 'W = "accommodation", w = "health"', "two codes differ only in letter case"),
        ('into = "needs"', 'into = "need"', 'did you mean "needs"'),
        ('each = "needs"', 'each = "needs["', 'section "needs", list into "needs", each: '),
        ('pathway = { from = "area", map = { W = "accommodation" } }', 'note = "text"', '"pathway" must be filled'),
        ("date_of_birth =", "conditions =", 'there is no field "conditions"'),
        ('name = "needs"', 'name = "person"', "the name stands twice"),
        ('values = ["number", "other"]', 'values = ["number"]', "agree number 1, values|agree, values"),
        ('values = ["number", "other"]', 'values = ["number", { value = "x" }]', 'say "from"'),
        ('from = "rest"', 'from = "rest["', "ignore number 1, from"),
        ('from = "rest"', "from = []", "ignore"),
        (
            "what_moves = [",
            'what_moved = ["x"]\nwhat_moves = [',
            'offer, what_moved: there is no such key; did you mean "what_moves"',
        ),
        ("[subject]", "[subject]\nseen = 2026-01-01\n", "subject, seen"),
        ("version = 1\nkind =", "version = inf\nkind =", "no place in it|mapping, version"),
    ],
    ids=range(43),
)
def test_a_wrong_mapping_is_refused_with_the_place_and_what_is_wrong(old: str, new: str, says: str) -> None:
    assert old in GOOD
    with pytest.raises(MappingInvalid, match=says):
        load(GOOD.replace(old, new, 1))


def test_a_list_field_cannot_be_filled_like_a_single_one() -> None:
    with pytest.raises(MappingInvalid, match=r"fill it with \[\[section.list\]\]"):
        load(GOOD.replace("[[section.list]]", '[section.fields]\nneeds = "needs"\n\n[[section.list]]', 1))


def test_a_section_without_fields_is_refused() -> None:
    with pytest.raises(MappingInvalid, match="neither fields nor lists"):
        load(GOOD[: GOOD.index("[[section.list]]")] + GOOD[GOOD.index("[[agree]]") :])


def test_a_file_that_is_missing_not_utf_8_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MappingInvalid, match="No such file"):
        load_mapping(tmp_path / "absent.toml")
    with pytest.raises(MappingInvalid, match="not UTF-8"):
        parse_mapping("naïve".encode("latin-1"))
    with pytest.raises(MappingInvalid, match="larger than"):
        parse_mapping(b"#" * (1 << 21))


def test_too_many_sections_are_refused() -> None:
    start, end = GOOD.index('[[section]]\nname = "needs"'), GOOD.index("[[agree]]")
    many = "".join(GOOD[start:end].replace('name = "needs"', f'name = "n{i}"') for i in range(40))
    with pytest.raises(MappingInvalid, match="section"):
        load(GOOD[:start] + many + GOOD[end:])
