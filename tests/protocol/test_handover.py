# SPDX-License-Identifier: Apache-2.0
"""The handover package: strict forms, one spelling, and who gets which section."""

import json
from collections.abc import Iterator
from datetime import date
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from protocol.address import AgencyAddress
from protocol.bodies import CATEGORIES, FORMS
from protocol.bodies.needs import Entry, Narrative, Need, Needs, Pathway
from protocol.bodies.person import Person
from protocol.bodies.risk import Risk
from protocol.bodies.sentence import Condition, Conditions
from protocol.clearance import RESTRICTED, Basis, Category, DeskFunction, Label, Purpose, permitted
from protocol.content import MAX_PASSAGE, Content, Line, Passage, category_of, encode_payload
from protocol.errors import InvalidInput, MalformedEnvelope, TooLarge
from protocol.handover import (
    MAX_OFFER,
    HandoverOffer,
    HandoverPackage,
    Moved,
    NoSupervisor,
    PackageSection,
    Parties,
    Priority,
    RegisterNumber,
    Terms,
    Trigger,
    TriggerEvent,
    WithheldReason,
    check_size,
    decode_offer,
    decode_section_body,
    parties_for,
    sections_for,
)
from protocol.holding import SAME_AS_SECTION, STATE
from protocol.ids import Kind, text

SUBJECT = text(Kind.SUBJECT, bytes(16))
PRISON = AgencyAddress("gora-prison@hub.example")
PROBATION = AgencyAddress("reka-probation@hub.example")
CSW = AgencyAddress("polje-csw@hub.example")
TERMS = Terms(
    trigger=Trigger(event=TriggerEvent.RELEASE_NOTICE, expected_on=date(2026, 12, 1)),
    what_moves=(Moved.SUPERVISION, Moved.PLAN_OWNERSHIP),
    priority=Priority.NORMAL,
    acknowledge_by=date(2026, 11, 25),
    answer_by=date(2026, 11, 30),
)
PERSON = Person(family_name="Invented", given_names="Person", date_of_birth=date(1990, 2, 1))


def parties() -> Parties:
    return parties_for(SUBJECT, PRISON, [(CSW, DeskFunction.SOCIAL_WORK), (PROBATION, DeskFunction.PROBATION_INTAKE)])


def section(
    category: Category,
    *functions: DeskFunction,
    basis: Basis = Basis.STATUTE,
    citation: str | None = "Invented Act, art. 1",
) -> PackageSection:
    form = next(model for model, categories in CATEGORIES.items() if category in categories)
    body = PERSON if form is Person else form()
    return PackageSection(
        category=category,
        purpose=Purpose.CONTINUITY_OF_CARE,
        basis=basis,
        citation=citation,
        label=Label.RESTRICTED if category in RESTRICTED else Label.STANDARD,
        functions=functions,
        body=body,  # type: ignore[arg-type]  # CATEGORIES has only forms of body
    )


PLACEABLE = sorted({category for categories in CATEGORIES.values() for category in categories})
SECTIONS = st.builds(
    lambda category, functions, basis, citation: section(category, *functions, basis=basis, citation=citation),
    st.sampled_from(PLACEABLE),
    st.lists(st.sampled_from(DeskFunction), min_size=1, max_size=4),
    st.sampled_from(Basis),
    st.none() | st.just("Invented Act, art. 2"),
)


@given(st.lists(SECTIONS, min_size=1, max_size=8), st.sampled_from(DeskFunction))
def test_con_7_a_desk_gets_exactly_what_is_meant_for_it_and_permitted(
    sections: list[PackageSection], function: DeskFunction
) -> None:
    included, withheld = sections_for(HandoverPackage(terms=TERMS, sections=tuple(sections)), function)
    assert sorted([*included, *(w.position for w in withheld)]) == list(range(len(sections)))
    for index, s in enumerate(sections):
        allowed = function in s.functions and permitted(s.category, function, s.basis, s.citation)
        assert (index in included) is allowed


def test_con_7_what_is_withheld_says_why() -> None:
    package = HandoverPackage(
        terms=TERMS,
        sections=(
            section(Category.IDENTITY, DeskFunction.SOCIAL_WORK),
            section(Category.OFFENCE, DeskFunction.PROBATION_INTAKE),
            section(Category.MEDICAL, DeskFunction.SOCIAL_WORK, basis=Basis.CONSENT, citation=None),
            section(Category.PSYCHOLOGY, DeskFunction.SOCIAL_WORK),
        ),
    )
    included, withheld = sections_for(package, DeskFunction.SOCIAL_WORK)
    assert included == (0,)
    assert [(w.position, w.category, w.reason) for w in withheld] == [
        (1, Category.OFFENCE, WithheldReason.NOT_MEANT),
        (2, Category.MEDICAL, WithheldReason.NO_BASIS),
        (3, Category.PSYCHOLOGY, WithheldReason.NEVER),
    ]


def test_cnt_4_instrument_items_and_audit_logs_have_no_form_to_be_sent_in() -> None:
    assert Category.INSTRUMENT_ITEMS not in PLACEABLE
    assert Category.AUDIT_LOG not in PLACEABLE


def test_cnt_3_a_body_stands_only_under_its_own_categories() -> None:
    with pytest.raises(ValidationError):
        PackageSection(
            category=Category.CONTACT,
            purpose=Purpose.FIRST_CONTACT,
            basis=Basis.STATUTE,
            functions=(DeskFunction.SOCIAL_WORK,),
            body=Risk(),
        )


@pytest.mark.parametrize("category", sorted(RESTRICTED & set(PLACEABLE)))
def test_a_sensitive_category_must_be_labelled_restricted(category: Category) -> None:
    plain = section(category, DeskFunction.PROBATION_INTAKE)
    fields = {name: getattr(plain, name) for name in type(plain).model_fields}
    with pytest.raises(ValidationError):
        PackageSection(**{**fields, "label": Label.STANDARD})


def test_cnt_2_env_12_an_offer_names_no_person_and_no_category_and_is_small() -> None:
    package = HandoverPackage(terms=TERMS, sections=(section(Category.IDENTITY, DeskFunction.SOCIAL_WORK),))
    encoded = encode_payload(package.offer(parties()))
    assert b"Invented" not in encoded
    assert len(encoded) < 700
    assert decode_offer(encoded) == package.offer(parties())
    words = set(encoded.decode().replace('"', " ").replace(":", " ").replace(",", " ").split())
    assert not words & {str(category) for category in Category}


def test_cnt_2_an_offer_that_grows_too_large_is_refused() -> None:
    crowded = parties().model_copy(
        update={
            "recipient_register_numbers": tuple(
                RegisterNumber(agency=f"{'a' * 40}@{'b' * 95}.test", number="Č" * 60) for _ in range(16)
            )
        }
    )
    with pytest.raises(TooLarge):
        encode_payload(HandoverOffer(parties=crowded, terms=TERMS))
    assert MAX_OFFER < 4_000


def test_the_first_probation_desk_takes_over_and_supervises() -> None:
    assert parties().next_responsible == PROBATION
    assert parties().legal_supervisor == PROBATION
    assert parties().coordination_lead == PRISON


def test_without_probation_social_work_leads_and_nobody_supervises() -> None:
    alone = parties_for(SUBJECT, PRISON, [(CSW, DeskFunction.SOCIAL_WORK)])
    assert alone.next_responsible == CSW
    assert alone.legal_supervisor is None
    assert alone.no_supervisor is NoSupervisor.NOT_DETERMINED


def test_a_handover_to_nobody_or_under_a_name_is_refused() -> None:
    with pytest.raises(InvalidInput):
        parties_for(SUBJECT, PRISON, [])
    with pytest.raises(InvalidInput) as refusal:
        parties_for("Invented Person", PRISON, [(CSW, DeskFunction.SOCIAL_WORK)])
    assert "Invented" not in str(refusal.value)


def test_a_trigger_of_nothing_and_a_doubtful_supervisor_are_refused() -> None:
    with pytest.raises(ValidationError):
        Trigger()
    with pytest.raises(ValidationError):
        Parties(**{**parties().model_dump(), "no_supervisor": NoSupervisor.FULL_TERM})


TEXTS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), min_size=1, max_size=30)


def _spelled(words: str) -> str | None:
    try:
        return TypeAdapter(Line).validate_python(words)
    except ValidationError:
        return None


@given(TEXTS, st.none() | st.dates(), st.none() | st.booleans())
def test_cnt_1_a_body_has_one_spelling_and_comes_back_equal(name: str, born: date | None, needed: bool | None) -> None:
    if (clean := _spelled(name)) is None:
        return
    body = Person(family_name=clean, date_of_birth=born, interpreter_needed=needed)
    encoded = encode_payload(body)
    assert decode_section_body(encoded) == body
    assert encode_payload(decode_section_body(encoded)) == encoded


GOOD = encode_payload(PERSON)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"null",
        b"[" * 100_000,
        b"\xff\xfe",
        GOOD[:-1],
        GOOD + b" ",
        GOOD.replace(b",", b", "),
        GOOD.replace(b'"person"', b'"person","kind":"person"'),
        GOOD.replace(b"}", b',"known_as":null}'),
        GOOD.replace(b"}", b',"zz":1}'),
        GOOD.replace(b'"Invented"', b"1"),
        GOOD.replace(b"Invented", b"Inv\\u0000ented"),
        GOOD.replace(b"Invented", "Cafe\u0301".encode()),
        GOOD.replace(b"Invented", b"\\ud800"),
        GOOD.replace(b"1990-02-01", b"01/02/1990"),
        GOOD.replace(b'"person"', b'"nobody"'),
        encode_payload(HandoverOffer(parties=parties(), terms=TERMS)),
    ],
    ids=range(18),
)
def test_cnt_1_bytes_of_another_spelling_or_form_are_malformed_and_not_repeated(data: bytes) -> None:
    with pytest.raises(MalformedEnvelope) as refusal:
        decode_section_body(data)
    assert "Invented" not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_a_section_body_is_no_offer() -> None:
    with pytest.raises(MalformedEnvelope):
        decode_offer(GOOD)


def test_a_body_that_is_too_large_is_refused_on_both_sides() -> None:
    entry = Entry(text="x" * MAX_PASSAGE)
    with pytest.raises(TooLarge):
        encode_payload(Narrative(entries=(entry,) * 40))
    with pytest.raises(MalformedEnvelope):
        decode_section_body(b" " * (1 << 20))


def test_a_package_larger_than_an_envelope_is_refused() -> None:
    body = Needs(needs=(Need(pathway=Pathway.OTHER, note="x" * MAX_PASSAGE),) * 13)
    one = section(Category.NEEDS, DeskFunction.PROBATION_INTAKE).model_copy(update={"body": body})
    check_size(HandoverPackage(terms=TERMS, sections=(one,) * 3))
    with pytest.raises(TooLarge):
        check_size(HandoverPackage(terms=TERMS, sections=(one,) * 4))


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from _models(part)


@pytest.mark.parametrize("form", [*FORMS.values(), HandoverOffer], ids=lambda form: form.__name__)
def test_every_field_declares_its_category(form: type[Content]) -> None:
    known = {*(str(category) for category in Category), SAME_AS_SECTION, STATE}
    for model in _models(form):
        for name in model.model_fields:
            if name in ("kind", "version") and model is form:
                continue
            assert category_of(model, name) in known, f"{model.__name__}.{name}"


@pytest.mark.parametrize("form", FORMS.values(), ids=lambda form: form.__name__)
def test_a_form_with_one_category_holds_fields_of_that_category_only(form: type[Content]) -> None:
    declared = {category_of(m, f) for m in _models(form) for f in m.model_fields if (m, f) != (form, "kind")}
    if len(CATEGORIES[form]) == 1:
        assert declared == {str(*CATEGORIES[form])}
    else:
        assert declared == {SAME_AS_SECTION}


def test_the_schema_tells_each_fields_category() -> None:
    assert Person.model_json_schema()["properties"]["family_name"]["x-category"] == "identity"


@pytest.mark.parametrize("words", ["", " a", "a ", "a\nb", "a\x1bb", "a\u202eb", "a" * 201, "e\u0301"])
def test_a_line_is_one_clean_bounded_line(words: str) -> None:
    assert _spelled(words) is None


def test_a_passage_may_have_lines_but_no_control_characters() -> None:
    assert Condition(text="one\ntwo\tthree").text == "one\ntwo\tthree"
    with pytest.raises(ValidationError):
        TypeAdapter(Passage).validate_python("a\rb")


def test_an_error_of_a_form_never_shows_what_it_refused() -> None:
    with pytest.raises(ValidationError) as refusal:
        Conditions.model_validate({"conditions": [{"text": 5, "secret": "planted"}]})
    assert "planted" not in str(refusal.value)


def test_err_2_the_repr_of_content_shows_no_content() -> None:
    package = HandoverPackage(terms=TERMS, sections=(section(Category.IDENTITY, DeskFunction.SOCIAL_WORK),))
    assert "Invented" not in f"{package!r} {package} {PERSON!r} {PERSON}"


def test_json_of_a_package_reads_back_as_the_local_api_does() -> None:
    package = HandoverPackage(terms=TERMS, sections=(section(Category.IDENTITY, DeskFunction.SOCIAL_WORK),))
    plain = json.dumps(package.model_dump(mode="json"))
    assert HandoverPackage.model_validate_json(plain) == package
