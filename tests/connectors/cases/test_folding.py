# SPDX-License-Identifier: Apache-2.0
"""However a name is written, it is found: both scripts, marks or none, with the letters that a keyboard has."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.folding import LONGEST, MOST_FINDABLE, asked, findable, fold, whole, words


@pytest.mark.parametrize(
    "spellings",
    [
        ["Đorđe", "Djordje", "Dorde", "Ђорђе", "ĐORĐE", "ЂОРЂЕ", "djorđe"],
        ["Ђурђевић", "Đurđević", "Djurdjevic", "Djurđević", "DURDEVIC"],
        ["Џевад", "Dževad", "Dzevad"],
        ["Љубица Њагуш", "Ljubica Njaguš", "Ljubica Njagus", "ǈubica ǋaguš"],
        ["Жељко Шћепановић", "Željko Šćepanović", "Zeljko Scepanovic"],
        ["Ѓорѓи Ќосев", "Gjorgji Kjosev", "Ǵorǵi Ḱosev", "Gorgi Kosev"],
        ["Ѕвездан", "Dzvezdan"],
        ["Përparim Çela", "Perparim Cela", "PËRPARIM ÇELA"],
        ["Ћирић", "Ćirić", "Ciric", "Čirič"],
        ["İbrahim Şahin", "Ibrahim Sahin", "ibrahim şahın"],
        ["Crnogorac Ś́", "Crnogorac S"],
    ],
)
def test_all_spellings_of_a_name_are_one(spellings: list[str]) -> None:
    assert {" ".join(words(one)) for one in spellings} == {" ".join(words(spellings[0]))}
    assert fold(spellings[0]).isascii()


@pytest.mark.parametrize(
    ("one", "other"), [("Marko", "Mirko"), ("Hoxha", "Hoti"), ("Ana", "Ane"), ("Ivić", "Ilić"), ("Љ", "Л")]
)
def test_different_names_stay_different(one: str, other: str) -> None:
    assert fold(one) != fold(other)


def test_every_letter_of_the_alphabets_in_use_folds_to_letters_of_a_to_z() -> None:
    serbian = "абвгдђежзијклљмнњопрстћуфхцчџш"
    macedonian = "абвгдѓежзѕијклљмнњопрстќуфхцчџш"
    latin = "abcčćdđefghijklmnoprsštuvzžśźëç"
    for letter in serbian + macedonian + latin:
        for written in (letter, letter.upper(), unicodedata.normalize("NFD", letter)):
            assert fold(written).isascii(), letter
            assert fold(written).isalpha(), letter


def test_a_number_is_found_however_its_parts_are_set_apart() -> None:
    stored = findable(["035-1/2027"])
    for question in ("035-1/2027", "0351/2027", "035 1 2027", "0351"):
        parts, number = asked(question)
        assert set(parts) <= stored or number in stored
    assert not set(asked("036-1/2027")[0]) <= stored


@pytest.mark.parametrize("question", ["14.2.1991", "14.02.1991.", " 14. 2. 1991. ", "1991-02-14", "1991-02"])
def test_a_day_of_birth_is_found_as_it_is_written_on_paper(question: str) -> None:
    stored = findable(["1991-02-14"])
    parts, number = asked(question)
    assert set(parts) <= stored or number in stored
    assert asked("14.2.1991")[0] == ["14", "2", "1991"], "it may also be a number of a register"
    other = asked("2.14.1991")
    assert not set(other[0]) <= stored
    assert other[1] not in stored


def test_cas_5_no_message_fills_the_index_and_what_it_names_first_is_found() -> None:
    flood = (f"{number:04d}{'x' * 30} {number:05d}{'y' * 30}" for number in range(2_000))
    stored = findable(["Đorđe", "035-1/2027", *flood])
    assert {"dorde", "dor", "035", "03512027", "0000x"} <= stored
    assert len(stored) <= MOST_FINDABLE * LONGEST
    assert findable(["Ana"] * 2_000 + ["Zora"]) == findable(["Ana", "Zora"])


@given(st.text(max_size=60))
def test_whatever_is_written_finds_itself_and_each_of_its_beginnings(text: str) -> None:
    stored = findable([text])
    for word in words(text):
        assert len(word) <= LONGEST
        assert word in stored
        assert all(word[:length] in stored for length in range(2, len(word)))
    assert whole(text) in stored or not whole(text)
