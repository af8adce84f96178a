# SPDX-License-Identifier: Apache-2.0
"""What clerks write where there is no number is none, in whichever language and script (CAS-7)."""

import pytest

from connectors.folding import fold
from connectors.numbering import PLACEHOLDERS, telling


@pytest.mark.parametrize(
    "number",
    [
        *("unknown", "N/A", "n/a", "-", "", "0000", "0", "00-00/0", "7", "77", "99999", "G-000", "no digit at all"),
        *("nepoznato", "nije određeno", "nije odredjeno", "nema broja", "непознато", "Непознат", "без број"),
        *("БЕЗ БРОЈА", "није познато", "pa numër", "i panjohur", "numarasız", "٠٠٠"),
        *("unknown 2027", "непознато/2027", "pa numër 1"),
        *("0/2027", "000/27", "G-0/2027", "/2027", "--- / 2027", "xx/2027", "K/27", "2027/0", "2027 / 000"),
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
