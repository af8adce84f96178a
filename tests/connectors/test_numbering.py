# SPDX-License-Identifier: Apache-2.0
"""What clerks write where there is no number is none, in whichever language and script (CAS-7)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.folding import fold
from connectors.numbering import PLACEHOLDERS, spelled, telling


@pytest.mark.parametrize(
    "number",
    [
        *("unknown", "N/A", "n/a", "-", "", "0000", "0", "00-00/0", "7", "77", "99999", "G-000", "no digit at all"),
        *("nepoznato", "nije određeno", "nije odredjeno", "nema broja", "непознато", "Непознат", "без број"),
        *("БЕЗ БРОЈА", "није познато", "pa numër", "i panjohur", "numarasız", "٠٠٠"),
        *("unknown 2027", "непознато/2027", "pa numër 1"),
        *("0/2027", "000/27", "G-0/2027", "/2027", "--- / 2027", "xx/2027", "K/27", "2027/0", "2027 / 000"),
        *("0/\N{ZERO WIDTH SPACE}2027", "0\N{COMBINING GRAPHEME JOINER}/2027", "непо\N{SOFT HYPHEN}знато/2027"),
    ],
)
def test_cas_7_what_stands_for_a_number_is_none(number: str) -> None:
    assert not telling(number)


@pytest.mark.parametrize(
    "number", ["17", "G-17/2027", "Р-3/27", "035-1/27", "1/2027", "１７", "NA-17", "10", "2027/17", "77/2027", "2027"]
)
def test_cas_7_a_number_is_one_however_it_is_written(number: str) -> None:
    assert telling(number)


def test_cas_7_every_word_for_none_stands_as_numbers_are_compared() -> None:
    for word in PLACEHOLDERS:
        assert fold(word) == word
        assert word.isalpha()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("G-17/2027", "g\N{NON-BREAKING HYPHEN}17 / 2027"),
        ("035-1/27", "\N{ZERO WIDTH SPACE}035\N{EN DASH}1/27\N{ZERO WIDTH NO-BREAK SPACE}"),
        ("035-1/27", "035\N{MINUS SIGN}1\N{SOFT HYPHEN}/27"),
        ("17 2027", "17\N{NO-BREAK SPACE}2027"),
        ("Đ-3", "\N{LEFT-TO-RIGHT MARK}đ-3"),
        ("č-17", "c\N{ZERO WIDTH JOINER}\N{COMBINING CARON}-17"),
        ("17/27", "1\N{VARIATION SELECTOR-16}7\N{COMBINING GRAPHEME JOINER}/27"),
        ("17/27", "17\N{BRAILLE PATTERN BLANK}/\N{HANGUL FILLER}27"),
    ],
)
def test_cas_7_a_number_is_compared_by_what_is_to_be_seen_of_it(one: str, other: str) -> None:
    assert spelled(one) == spelled(other)


@pytest.mark.parametrize(
    ("one", "other"), [("17/2027", "172027"), ("17-2027", "17/2027"), ("17", "1\N{SUPERSCRIPT SEVEN}")]
)
def test_cas_7_what_looks_different_stays_two_numbers(one: str, other: str) -> None:
    """One record under another person's name is worse than two for one person."""
    assert spelled(one) != spelled(other)


@given(
    st.text("0123456789GĐР-/c\u0301", min_size=1, max_size=20),
    st.lists(
        st.tuples(st.integers(0, 20), st.sampled_from("\u200b\u00ad\u2060\ufeff\u200f\u034f\u115f\u2800\u3164\ufe0f")),
        max_size=6,
    ),
)
def test_cas_7_what_nobody_sees_makes_no_second_person(number: str, unseen: list[tuple[int, str]]) -> None:
    written = number
    for place, sign in unseen:
        written = written[:place] + sign + written[place:]
    assert (spelled(written), telling(written)) == (spelled(number), telling(number))
