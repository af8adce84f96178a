# SPDX-License-Identifier: Apache-2.0
"""How a handover is told to people."""

from pathlib import Path

from connectors.adapters import Mapped, NotUnderstood, load_mapping, read_export, transform
from connectors.cli.handover import outline
from connectors.cli.handover_send import places, understanding
from connectors.demo.export_copy import mapping_file, plant
from protocol.clearance import DeskFunction
from protocol.handover import sections_for
from protocol.http.handovers import MAX_NOT_UNDERSTOOD

NOW = 1_795_000_000_000


def mapped(folder: Path) -> Mapped:
    return transform(load_mapping(mapping_file()), read_export(plant(folder / "export").folder), now_ms=NOW)


def test_json_is_outlined_without_brackets() -> None:
    body = {
        "kind": "x",
        "empty": None,
        "list": [{"a": 1, "b": "two\nlines"}, {"a": 2}],
        "words": ["p", "q"],
        "in": {"c": True},
    }
    assert list(outline(body)) == [
        "kind: x",
        "list:",
        "  - a: 1",
        "    b: two",
        "      lines",
        "  - a: 2",
        "words:",
        "  - p",
        "  - q",
        "in:",
        "  c: True",
    ]


def test_what_was_not_understood_is_told_by_place_and_shortened_on_a_terminal(tmp_path: Path) -> None:
    found = mapped(tmp_path)
    lines = list(understanding(found))
    assert lines[0].startswith("mapped: 12 sections")
    assert "not understood, and not sent: 2 places" in lines
    many = tuple(NotUnderstood(f"file{n % 2}/{n}", "nothing reads it") for n in range(20))
    shortened = list(understanding(Mapped(found.package, found.subject_number, many, ())))
    assert shortened[-2:] == ["    … 4 more in file0", "    … 4 more in file1"]


def test_more_places_than_the_connector_keeps_are_counted(tmp_path: Path) -> None:
    found = mapped(tmp_path)
    many = tuple(NotUnderstood("p" * 600, "r" * 300) for _ in range(MAX_NOT_UNDERSTOOD + 5))
    kept = places(Mapped(found.package, found.subject_number, many, ()))
    assert len(kept) == MAX_NOT_UNDERSTOOD
    assert kept[-1].reason == "6 more places were not understood"


def test_the_demos_mapping_shares_its_sections_as_the_story_tells(tmp_path: Path) -> None:
    package = mapped(tmp_path).package
    assert len(sections_for(package, DeskFunction.PROBATION_INTAKE).included) == 12
    assert len(sections_for(package, DeskFunction.SOCIAL_WORK).included) == 7


def test_each_copy_of_the_demos_export_has_phrases_of_its_own(tmp_path: Path) -> None:
    one, two = plant(tmp_path / "one"), plant(tmp_path / "two")
    assert one.phrases.keys() == two.phrases.keys() == {"offence", "risk", "medical", "needs"}
    assert set(one.phrases.values()).isdisjoint(two.phrases.values())
    assert all("DEMO" in (one.folder / file).read_text() for file in ("person.json", "sentence.json", "health.json"))
