# SPDX-License-Identifier: Apache-2.0
"""The table of categories and functions is total, and `never` is never overridden."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.clearance import (
    CITABLE,
    KIND_OF,
    RESTRICTED,
    TABLE,
    AgencyKind,
    Basis,
    Category,
    Clearance,
    DeskFunction,
    clearance,
    functions_of,
    permitted,
)

CATEGORIES = st.sampled_from(Category)
FUNCTIONS = st.sampled_from(DeskFunction)
BASES = st.sampled_from(Basis)
CITATIONS = st.none() | st.text(max_size=20)


def test_every_pair_of_category_and_function_has_a_cell() -> None:
    assert set(TABLE) == set(Category)
    for row in TABLE.values():
        assert list(row) == list(DeskFunction)


def test_every_function_belongs_to_exactly_one_kind_of_agency() -> None:
    assert set(KIND_OF) == set(DeskFunction)
    assert sorted(f for kind in AgencyKind for f in functions_of(kind)) == sorted(DeskFunction)


@given(CATEGORIES, FUNCTIONS, BASES, CITATIONS)
def test_cnt_5_permitted_answers_for_everything_and_never_means_never(
    category: Category, function: DeskFunction, basis: Basis, citation: str | None
) -> None:
    answer = permitted(category, function, basis, citation)
    assert answer in (True, False)
    match clearance(category, function):
        case Clearance.NEVER:
            assert answer is False
        case Clearance.YES:
            assert answer is True
        case Clearance.BASIS | Clearance.CONSENT:
            assert answer == (basis in CITABLE and bool((citation or "").strip()))


@given(CATEGORIES, FUNCTIONS, BASES)
def test_cnt_5_without_a_citation_only_a_yes_cell_opens(
    category: Category, function: DeskFunction, basis: Basis
) -> None:
    assert permitted(category, function, basis) is (clearance(category, function) is Clearance.YES)


@pytest.mark.parametrize("function", [f for f in DeskFunction if f is not DeskFunction.PRISON_TREATMENT])
def test_instrument_items_go_to_nobody_but_another_prisons_assessor(function: DeskFunction) -> None:
    assert clearance(Category.INSTRUMENT_ITEMS, function) is Clearance.NEVER


@pytest.mark.parametrize(
    "function",
    [
        DeskFunction.SOCIAL_WORK,
        DeskFunction.MUNICIPALITY,
        DeskFunction.HEALTH,
        DeskFunction.NGO,
        DeskFunction.MENTOR_COORDINATION,
        DeskFunction.PRISON_RECEPTION,
    ],
)
def test_intelligence_never_leaves_security_probation_and_police(function: DeskFunction) -> None:
    assert clearance(Category.INTELLIGENCE, function) is Clearance.NEVER


def test_inside_a_prison_only_the_medical_unit_sees_medical_data() -> None:
    cleared = {f for f in functions_of(AgencyKind.PRISON) if clearance(Category.MEDICAL, f) is not Clearance.NEVER}
    assert cleared == {DeskFunction.PRISON_MEDICAL}


@pytest.mark.parametrize(
    "category",
    [Category.OFFENCE, Category.RISK_SUMMARY, Category.MEDICAL, Category.VICTIM, Category.IDEOLOGY, Category.LOCATION],
)
def test_mentors_get_nothing_of_what_would_frighten_or_expose(category: Category) -> None:
    assert clearance(category, DeskFunction.MENTOR_COORDINATION) is Clearance.NEVER


def test_what_must_be_labelled_restricted_is_never_open_to_everybody() -> None:
    for category in RESTRICTED:
        assert Clearance.NEVER in TABLE[category].values()
