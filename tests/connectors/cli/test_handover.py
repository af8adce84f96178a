# SPDX-License-Identifier: Apache-2.0
"""How a handover is told to people."""

from pathlib import Path
from zoneinfo import ZoneInfo

from connectors.adapters import Mapped, NotUnderstood, load_mapping, read_export, transform
from connectors.cli.handover import kept_back, offered, outline
from connectors.cli.handover_send import places, understanding
from connectors.demo.export_copy import mapping_file, plant
from protocol import ids
from protocol.address import AgencyAddress
from protocol.clearance import DeskFunction
from protocol.handover import parties_for, sections_for
from protocol.http.handovers import MAX_NOT_UNDERSTOOD, SectionWithheld

NOW = 1_795_000_000_000


def mapped(folder: Path) -> Mapped:
    return transform(
        load_mapping(mapping_file()),
        read_export(plant(folder / "export").folder),
        now_ms=NOW,
        zone=ZoneInfo("Europe/Belgrade"),
    )


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
        "  c: yes",
    ]


def test_what_was_not_understood_is_told_by_place_and_shortened_on_a_terminal(tmp_path: Path) -> None:
    found = mapped(tmp_path)
    lines = list(understanding(found))
    assert lines[0].startswith("mapped: 12 sections")
    assert "not understood as it stands: 2 places" in lines
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


def test_what_is_offered_stands_on_top_and_an_unknown_offer_shows_nothing(tmp_path: Path) -> None:
    package = mapped(tmp_path).package
    recipients = [(AgencyAddress("reka-probation@hub.example"), DeskFunction.PROBATION_INTAKE)]
    parties = parties_for(ids.text(ids.Kind.SUBJECT, bytes(16)), AgencyAddress("gora-prison@hub.example"), recipients)
    lines = list(offered(package.offer(parties).model_dump(mode="json", exclude_none=True)))
    told = dict(line.strip().split(":", 1) for line in lines)
    assert told["next responsible"].strip() == told["supervises"].strip() == "reka-probation@hub.example"
    assert told["leads until then"].strip() == "gora-prison@hub.example"
    assert {"moves", "takes effect", "acknowledge by", "answer by", "priority"} <= told.keys()
    assert list(offered({})) == list(offered({"terms": 1, "parties": []})) == []


def test_con_7_each_withheld_section_has_a_line_with_its_number_purpose_and_reason_in_words() -> None:
    reasons = ["never-for-this-function", "not-meant-for-this-function", "no-basis-in-law-named", "a later one"]
    kept = [
        SectionWithheld(number=number, category="medical", purpose="health-care", reason=reason)
        for number, reason in enumerate(reasons, start=3)
    ]
    assert list(kept_back(kept)) == [
        "withheld 3 medical, for health-care: never for this desk's function",
        "withheld 4 medical, for health-care: not meant for this desk's function",
        "withheld 5 medical, for health-care: its basis in law is not named",
        "withheld 6 medical, for health-care: a later one",
    ]
