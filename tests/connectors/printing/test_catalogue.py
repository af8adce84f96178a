# SPDX-License-Identifier: Apache-2.0
"""Every text in every language: none missing, none too many, each in its script, none from a guess."""

import ast
import unicodedata
from pathlib import Path
from string import ascii_letters

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from connectors import printing
from connectors.config import ConnectorSettings
from connectors.languages import LANGUAGES, Language, language
from connectors.printing.catalogue import Label, Table, texts_of
from connectors.printing.script import latin
from protocol.errors import ConfigurationError, UnknownLanguage
from protocol.settings import load
from tests.connectors.printing.vocabulary import NEEDED

CYRILLIC = {"cnr-Cyrl", "mk", "sr-Cyrl"}
ALL = pytest.mark.parametrize("spoken", LANGUAGES.values(), ids=list(LANGUAGES))
SERBIAN = "абвгдђежзијклљмнњопрстћуфхцчџш"


def scripts(text: str) -> set[str]:
    """Return the scripts of the letters of a text, by their names in Unicode."""
    return {unicodedata.name(letter).split()[0] for letter in text if letter.isalpha()}


@ALL
@pytest.mark.parametrize("table", Table)
def test_prt_3_a_catalogue_has_a_text_for_each_word_of_the_protocol_and_no_other(
    spoken: Language, table: Table
) -> None:
    assert set(texts_of(spoken)[table]) == NEEDED[table]


@ALL
def test_prt_3_every_text_is_in_its_languages_script(spoken: Language) -> None:
    wanted = "CYRILLIC" if spoken.tag in CYRILLIC else "LATIN"
    for table, texts in texts_of(spoken).items():
        for key, text in texts.items():
            assert scripts(text) == {wanted}, (table, key, text)
            assert text == text.strip(), (table, key)
            assert unicodedata.is_normalized("NFC", text), (table, key)


@pytest.mark.parametrize("tag", ["sr", "cnr"])
def test_prt_3_the_latin_form_is_made_from_the_cyrillic_one(tag: str) -> None:
    cyrillic, generated = language(f"{tag}-Cyrl"), language(f"{tag}-Latn")
    assert cyrillic.texts == generated.texts
    for table, texts in texts_of(cyrillic).items():
        assert texts_of(generated)[table] == {key: latin(text) for key, text in texts.items()}
    assert not {path.stem for path in folder().glob("*.toml")} & {"sr-Latn", "cnr-Latn"}


def folder() -> Path:
    return Path(printing.__path__[0]) / "texts"


def test_there_is_no_catalogue_that_no_language_uses() -> None:
    assert {path.stem for path in folder().glob("*.toml")} == {one.texts for one in LANGUAGES.values()}


def test_every_label_is_used() -> None:
    used = set()
    for file in folder().parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Label":
                used.add(node.attr)
    assert used == {one.name for one in Label}


@pytest.mark.parametrize("spoken", [one for one in LANGUAGES.values() if one.tag != "en"], ids=lambda one: one.tag)
def test_no_language_was_left_in_english(spoken: Language) -> None:
    english = texts_of(LANGUAGES["en"])
    same = {
        text
        for table in (Table.LABELS, Table.KINDS, Table.STATES, Table.NOTES, Table.CATEGORIES)
        for key, text in texts_of(spoken)[table].items()
        if text == english[table][key]
    }
    # Words that the languages share.
    assert same <= {"draft"}


@pytest.mark.parametrize(
    ("cyrillic", "expected"),
    [
        ("Љиљана и њен џемпер", "Ljiljana i njen džemper"),
        ("ЉУБАВ", "LJUBAV"),
        ("Њ. Џ.", "Nj. Dž."),
        ("ЖЉ", "ŽLJ"),
        ("Ђорђе Ћирић, Чачак; Шабац", "Đorđe Ćirić, Čačak; Šabac"),
        ("инјекција", "injekcija"),
        ("А1 – (2025)", "A1 – (2025)"),
    ],
)
def test_letters_as_serbian_orthography_has_them(cyrillic: str, expected: str) -> None:
    assert latin(cyrillic) == expected


@given(st.text(alphabet=SERBIAN + SERBIAN.upper() + " .,-0123456789"))
def test_no_cyrillic_letter_is_left_over(text: str) -> None:
    assert "CYRILLIC" not in scripts(latin(text))
    assert latin(latin(text)) == latin(text)


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("sr", "sr-Cyrl"),
        ("SR-latn", "sr-Latn"),
        ("sr_Latn_RS", "sr-Latn"),
        ("sh", "sr-Latn"),
        ("cnr", "cnr-Latn"),
        ("cnr-Cyrl", "cnr-Cyrl"),
        ("hr-HR", "hr"),
        ("sq-XK", "sq"),
        ("mk", "mk"),
        ("EN", "en"),
    ],
)
def test_prt_3_a_language_has_the_names_that_people_give_it(name: str, tag: str) -> None:
    assert language(name).tag == tag


@given(st.text(alphabet=ascii_letters + "-_", min_size=9, max_size=20))
def test_prt_3_an_unknown_language_is_told_with_those_that_there_are_and_never_echoed(name: str) -> None:
    assume(name.replace("_", "-").lower() not in {"sr-cyrl-rs", "sr-latn-rs", "sr-cyrl-ba", "sr-latn-ba"})
    assume(name.replace("_", "-").lower() not in {"sr-cyrl-me", "sr-latn-me"})
    with pytest.raises(UnknownLanguage) as caught:
        language(name)
    assert caught.value.detail == f"Prints know these languages: {', '.join(LANGUAGES)}."


def test_prt_3_montenegrin_dates_are_in_the_script_that_was_asked_for() -> None:
    # What Babel makes of `cnr-Cyrl` by itself is Latin.
    assert [LANGUAGES[tag].locale for tag in ("cnr-Cyrl", "cnr-Latn")] == ["sr_Cyrl_ME", "sr_Latn_ME"]


def test_the_configured_language_is_checked_when_the_configuration_is_read() -> None:
    text = '[connector]\ndata_dir = "x"\npassphrase_file = "y"\nprint_language = "{}"\n'
    assert load(ConnectorSettings, text.format("sr_latn"), {}).settings.connector.print_language == "sr-Latn"
    with pytest.raises(ConfigurationError, match=r"cnr-Cyrl, cnr-Latn"):
        load(ConnectorSettings, text.format("xx"), {})
