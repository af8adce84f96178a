# SPDX-License-Identifier: Apache-2.0
"""`throughcare fhir import` as it is typed: the draft as data, what it lacks as talk, and its exit codes."""

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from connectors import home
from connectors.access import TOKEN_FILE
from connectors.cli import main
from connectors.cli.failures import exit_code, next_step
from connectors.cli.fhir import completed
from connectors.fhir.importing import Imported
from connectors.fhir.vocabulary import BSER
from protocol.errors import ExtraMissing
from protocol.http.threads import ThreadFilter
from tests.connectors.cases.test_referral import WORDS, settle
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.fhir.invented import CANARY, CSW, encoded, part, social, whole

__all__ = ["csw", "prison"]

Capture = pytest.CaptureFixture[str]


def written(folder: Path, document: Any, name: str = "bundle.json") -> str:
    file = folder / name
    file.write_bytes(encoded(document))
    return str(file)


def contradicting() -> dict[str, Any]:
    document = social()
    part(document, "Task").update(status="completed", businessStatus={"coding": [{"system": BSER, "code": "4.0"}]})
    return document


def test_the_draft_is_the_data_and_the_rest_is_talk(tmp_path: Path, capsys: Capture) -> None:
    assert main(["fhir", "import", written(tmp_path, whole()), "--to", CSW]) == 0
    spoken = capsys.readouterr()
    draft = json.loads(spoken.out)
    assert (draft["to"], draft["fields"]["release_on"]) == (CSW, "2027-01-20")
    assert "entry/2/resource/name: what is said of a person" in spoken.err
    assert CANARY not in spoken.out + spoken.err


def test_what_is_missing_is_told_and_can_be_added(tmp_path: Path, capsys: Capture) -> None:
    table = tmp_path / "services.toml"
    table.write_text(
        '[services."http://snomed.info/sct|467771000124109"]\ncode = "food-help"\npathway = "other"\noutcome = "got"\n',
        encoding="utf-8",
    )
    typed = ["fhir", "import", written(tmp_path, social()), "--services", str(table), "--json"]
    assert main(typed) == 0
    first = json.loads(capsys.readouterr().out)
    assert {"to", "whereabouts", "release_on"} <= set(first["missing"])
    assert first["draft"]["fields"]["services"][0]["code"] == "food-help"
    more = {
        "to": CSW,
        "fields": {
            "whereabouts": "community",
            "release_unknown": "not-in-custody",
            "person_knows": "agreed",
            "contact": "letter",
            "duplicates": "none-found",
            "answer_by": "2026-12-10",
        },
        "sections": [WORDS.model_dump(mode="json", exclude_none=True)],
    }
    assert main([*typed, "--with", written(tmp_path, more, "more.json")]) == 0
    second = json.loads(capsys.readouterr().out)
    assert second["missing"] == []
    assert second["draft"]["sections"][0]["category"] == "needs"
    assert {"path", "reason"} == second["not_understood"][0].keys()


def test_an_officers_word_counts_more_than_the_bundles() -> None:
    read = Imported({"fields": {"release_on": "2027-01-01"}, "sections": []}, ("to",), (), ())
    draft, missing = completed(read, {"fields": {"release_unknown": "not-told"}}, CSW)
    assert draft == {"to": CSW, "fields": {"release_unknown": "not-told"}, "sections": []}
    assert missing == ()


def test_a_draft_in_a_file_is_for_its_owner_alone(tmp_path: Path, capsys: Capture) -> None:
    target = tmp_path / "draft.json"
    assert main(["fhir", "import", written(tmp_path, whole()), "--output", str(target)]) == 0
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert json.loads(target.read_bytes())["to"] == CSW
    assert "services" not in capsys.readouterr().out


def test_a_contradiction_is_put_aside_with_its_reason_and_nothing_is_drafted(tmp_path: Path, capsys: Capture) -> None:
    aside = tmp_path / "aside"
    aside.mkdir()
    file = written(tmp_path, contradicting())
    assert main(["fhir", "import", file, "--quarantine", str(aside), "--json"]) == 1
    spoken = capsys.readouterr()
    assert json.loads(spoken.out)["draft"] is None
    assert "fhir-contradiction" in spoken.err
    assert "entry/0/resource/businessStatus/coding/0" in spoken.err
    assert "docs/fhir.md" in spoken.err
    reasons, copy = sorted(aside.iterdir(), key=lambda path: len(path.name), reverse=True)
    assert copy.read_bytes() == Path(file).read_bytes()
    assert json.loads(reasons.read_bytes())["quarantined"][0]["reason"] == "status-against-business-status"
    assert {stat.S_IMODE(path.stat().st_mode) for path in (reasons, copy)} == {0o600}
    # The same bundle again is the same quarantine.
    assert main(["fhir", "import", file, "--quarantine", str(aside)]) == 1
    assert len(list(aside.iterdir())) == 2


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["absent.json"], "cannot be read"),
        (["bundle.json", "--send"], "--agency"),
        (["bundle.json", "--send", "--agency", "gora-prison"], "whereabouts"),
        (["bundle.json", "--with", "list.json"], "one JSON object"),
    ],
)
def test_wrong_usage_says_what_to_do(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, more: list[str], words: str
) -> None:
    monkeypatch.setenv("THROUGHCARE_HOME", str(tmp_path))
    for name in ("gora-prison", "polje-csw"):
        home.register(home.Profile(name, "desk", "http://localhost:1", str(tmp_path / TOKEN_FILE), str(tmp_path)))
    written(tmp_path, social())
    written(tmp_path, {"fields": []}, "list.json")
    typed = [str(tmp_path / one) if one.endswith(".json") else one for one in more]
    assert main(["fhir", "import", *typed]) in (1, 2)
    assert words in capsys.readouterr().err


def test_without_the_extra_the_next_step_installs_it() -> None:
    assert exit_code(ExtraMissing()) == 3
    assert next_step(ExtraMissing()).startswith("pip install --require-hashes -r requirements/runtime.txt ")


async def test_a_bundle_is_sent_and_arrives_as_a_referral(
    tmp_path: Path, prison: Served, csw: Served, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("THROUGHCARE_HOME", str(tmp_path))
    station = prison.station
    home.register(
        home.Profile("gora-prison", station.desk, prison.url, str(station.folder / TOKEN_FILE), str(station.folder))
    )
    document = whole()
    part(document, "Task")["owner"]["identifier"]["value"] = csw.station.desk
    typed = ["fhir", "import", written(tmp_path, document), "--send", "--json"]
    assert await asyncio.to_thread(main, [*typed, "--key", "the-same-key-for-both"]) == 0
    sent = json.loads(capsys.readouterr().out)
    assert await asyncio.to_thread(main, [*typed, "--key", "the-same-key-for-both"]) == 0
    assert json.loads(capsys.readouterr().out)["thread"] == sent["thread"]
    await settle(station, csw.station)
    (item,) = (await csw.client.threads(ThreadFilter())).items
    assert (item.state, item.priority) == ("delivered", "urgent")
    out = tmp_path / "out.json"
    shown = ["fhir", "export", sent["thread"], "--agency", "gora-prison"]
    assert await asyncio.to_thread(main, shown) == 0
    assert await asyncio.to_thread(main, [*shown, "--output", str(out)]) == 0
    spoken = capsys.readouterr().out
    assert json.loads(spoken[: spoken.rindex("}") + 1]) == json.loads(out.read_bytes())
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert main(["fhir", "import", str(out), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["missing"] == []
    request = (await csw.client.thread(item.thread)).steps[0].payload
    assert again["draft"]["fields"]["services"] == request["services"]
    assert (request["services"][0]["code"], request["release_on"]) == ("housing-advice", "2027-01-20")
