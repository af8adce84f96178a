# SPDX-License-Identifier: Apache-2.0
"""Against a sandbox: a real record goes to two desks, each sees its own part, and a broken one goes nowhere."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios import readme
from tests.scenarios.breaking import in_another_encoding, of_another_type, truncated, without_a_name
from tests.scenarios.running import (
    BIN,
    SAMPLES,
    Running,
    Spoken,
    Typist,
    descendants,
    officer_of,
    shown,
    started,
)

NAMES = ["gora-prison", "reka-probation", "polje-csw"]
REKA = "intake.reka-probation@hub.example"
POLJE = "intake.polje-csw@hub.example"
ROOT = Path(__file__).parents[2]
DEMO = ROOT / "connectors" / "demo"

with_samples = pytest.mark.skipif(
    not SAMPLES.exists(), reason="the sample records are not here (looked for ../shared/samples/resettlement)"
)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with started(BIN / "throughcare", "sandbox", "--json", "--data", tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture
def type_(capsys: pytest.CaptureFixture[str], sandbox: Running) -> Typist:
    return Typist(capsys)


def sent(type_: Typist, export: Path, mapping: str | Path = "resettlement", *more: str) -> Spoken:
    return type_(
        "handover", "send", "--agency", "gora-prison", "--mapping", mapping, "--input", export,
        "--to", REKA, "--to", POLJE, "--wait", "20", "--json", "--key", secrets.token_hex(12), *more,
    )  # fmt: skip


def received(type_: Typist, agency: str, message_id: str) -> dict[str, Any]:
    """Return an agency's view, waiting until it is there; the hub pushes, so that is soon."""
    for _ in range(200):
        shown = type_("handover", "show", message_id, "--agency", agency, "--json")
        if shown.code == 0 and shown.json["state"] == "received":
            return dict(shown.json)
    raise AssertionError(f"{agency} has not received the handover")


def test_the_sandbox_describes_itself_in_one_line(sandbox: Running) -> None:
    assert sandbox.ready.keys() == {"hub", "agencies"}
    hub = sandbox.ready["hub"]
    assert hub.keys() == {"url", "admin_url", "data_dir"}
    assert [agency["name"] for agency in sandbox.ready["agencies"]] == NAMES
    for agency in sandbox.ready["agencies"]:
        assert agency.keys() == {"name", "desk", "api_url", "token_file", "data_dir"}
        assert Path(agency["token_file"]).stat().st_mode & 0o777 == 0o600
        assert Path(agency["data_dir"]).is_dir()
    urls = [hub["url"], hub["admin_url"], *(agency["api_url"] for agency in sandbox.ready["agencies"])]
    assert all(url.startswith(("http://localhost:", "http://127.0.0.1:")) and "/v1" not in url for url in urls)
    assert len(set(urls)) == 5


def test_every_agency_sees_all_desks_in_the_directory(type_: Typist) -> None:
    for name in NAMES:
        desks = type_("directory", "list", "--agency", name, "--json").json["items"]
        assert {desk["address"]: desk["function"] for desk in desks} == {
            "release.gora-prison@hub.example": "prison-release",
            REKA: "probation-intake",
            POLJE: "social-work",
        }


def check_handover(type_: Typist, sending: Spoken) -> None:
    assert sending.code == 0, sending.err
    plan = {one["desk"]: [section["category"] for section in one["sections"]] for one in sending.json["recipients"]}
    message_id = sending.json["id"]
    for name, desk in (("reka-probation", REKA), ("polje-csw", POLJE)):
        view = received(type_, name, message_id)
        assert [section["category"] for section in view["sections"]] == plan[desk]
        assert all(section["body"] for section in view["sections"])
        assert [one["desk"] for one in view["recipients"]] == [desk], "a recipient learns of no other"
        assert view["recipients"][0]["withheld"] == [], "what was withheld is the sender's to know"
        assert view["not_understood"] == []
        assert message_id in [one["id"] for one in type_("handover", "list", "--agency", name, "--json").json["items"]]
    assert set(plan[POLJE]) < set(plan[REKA])
    assert not {"offence", "risk-summary", "medical"} & set(plan[POLJE])
    mine = type_("handover", "show", message_id, "--agency", "gora-prison", "--json").json
    assert mine["not_understood"] == sending.json["not_understood"] != []
    assert all(one["receipt"] for one in mine["recipients"])
    assert {one["desk"] for one in mine["recipients"] if one["withheld"]} >= {POLJE}


@with_samples
@pytest.mark.parametrize("person", ["G4161UF", "A8731DY"])
def test_a_real_record_is_opened_by_two_desks_each_its_own_sections(person: str, type_: Typist) -> None:
    check_handover(type_, sent(type_, SAMPLES / person))


def test_att_7_files_go_with_their_sections_and_are_saved_by_whoever_gets_those(type_: Typist, tmp_path: Path) -> None:
    scan, note = tmp_path / "scan of a letter.pdf", tmp_path / "note.txt"
    scan.write_bytes(os.urandom(1_500_000))
    note.write_text("for probation only")
    files = ["--attach", f"{scan}:needs", "--attach", f"{note}:risk-summary"]
    sending = sent(type_, DEMO / "export", DEMO / "mapping.toml", *files)
    assert sending.code == 0, sending.err
    message_id = sending.json["id"]
    for agency, expected in (("reka-probation", [scan, note]), ("polje-csw", [scan])):
        received(type_, agency, message_id)
        kept = saved(type_, agency, message_id, tmp_path / agency)
        assert {Path(one["path"]).read_bytes() for one in kept} == {file.read_bytes() for file in expected}
        assert all(Path(one["path"]).parent == tmp_path / agency for one in kept)
    again = type_("handover", "save", message_id, "--agency", "polje-csw", "--to", tmp_path / "polje-csw")
    assert again.code == 6
    shown = type_("handover", "show", message_id, "--agency", "polje-csw").out
    assert "attachment 1: scan of a letter.pdf (application/pdf, 1500000 bytes), stored" in shown
    assert "note.txt" not in shown
    wrong = sent(type_, DEMO / "export", DEMO / "mapping.toml", "--attach", f"{scan}:no-such-category")
    assert wrong.code != 0


def saved(type_: Typist, agency: str, message_id: str, folder: Path) -> list[dict[str, Any]]:
    """Save an agency's attachments, waiting until all of them are there."""
    for _ in range(400):
        shown = type_("handover", "show", message_id, "--agency", agency, "--json").json
        states = {one["state"] for section in shown["sections"] for one in section["attachments"]}
        if states == {"stored"}:
            break
    kept = type_("handover", "save", message_id, "--agency", agency, "--to", folder, "--json")
    assert kept.code == 0, kept.err
    return list(kept.json["items"])


@with_samples
def test_another_persons_folder_of_the_same_form_works_unchanged(type_: Typist, tmp_path: Path) -> None:
    """A third person, made of the second: other numbers, names and dates, fewer files, empty lists, nulls."""
    folder = tmp_path / "Z0000ZZ"
    shutil.copytree(SAMPLES / "A8731DY", folder)
    folder.chmod(0o755)
    for file in folder.iterdir():
        text = file.read_text(encoding="utf-8").replace("A8731DY", "Z0000ZZ").replace("1982", "1983")
        file.chmod(0o644)
        file.write_text(text, encoding="utf-8")
    (folder / "curious-api-LearnerEducationByNomsId.json").unlink()
    edit(folder / "interventions-service-api-PrisonerReferrals.json", emptied)
    edit(folder / "arn-api-RisksByCrn.json", nulled)
    check_handover(type_, sent(type_, folder))


def edit(file: Path, change: Callable[[Any], Any]) -> None:
    file.write_text(json.dumps(change(json.loads(file.read_text(encoding="utf-8")))), encoding="utf-8")


def emptied(value: Any) -> Any:
    """Return the document with every list emptied."""
    if isinstance(value, dict):
        return {key: emptied(inner) for key, inner in value.items()}
    return [] if isinstance(value, list) else value


def nulled(value: Any) -> Any:
    """Return the document with every second text of an object set to null."""
    if not isinstance(value, dict):
        return value
    return {
        key: None if isinstance(inner, str) and number % 2 else nulled(inner)
        for number, (key, inner) in enumerate(value.items())
    }


def test_the_demos_export_is_sent_as_the_readme_says(type_: Typist) -> None:
    check_handover(type_, sent(type_, DEMO / "export", DEMO / "mapping.toml"))


def sent_ids(type_: Typist) -> list[str]:
    listed = type_("handover", "list", "--agency", "gora-prison", "--direction", "sent", "--json", "--limit", "200")
    return [item["id"] for item in listed.json["items"]]


@pytest.mark.parametrize("damage", [truncated, in_another_encoding, of_another_type, without_a_name])
def test_a_broken_file_gets_a_clear_error_and_sends_nothing(
    damage: Callable[[bytes], bytes], type_: Typist, tmp_path: Path
) -> None:
    folder = tmp_path / "export"
    shutil.copytree(DEMO / "export", folder)
    before = sent_ids(type_)
    file = folder / "person.json"
    file.write_bytes(damage(file.read_bytes()))
    spoken = sent(type_, folder, DEMO / "mapping.toml")
    assert spoken.code == 1
    assert spoken.out == ""
    assert [line.split(":")[0] for line in spoken.err.splitlines()] == ["error", "why", "next"]
    assert "person" in spoken.err
    assert "Danilo" not in spoken.err, "an error shows places, never values"
    assert sent_ids(type_) == before


SEND = ["handover", "send", "--agency", "gora-prison"]
MAPPED = [*SEND, "--mapping", str(DEMO / "mapping.toml")]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["handover", "list", "--agency", "nobody"], 5, "gora-prison, polje-csw, reka-probation"),
        (["handover", "show", "msg_" + "a" * 26], 5, "No handover with this id"),
        (["handover", "show", "nonsense"], 2, "msg_"),
        ([*SEND, "--mapping", "nonsense", "--input", ".", "--to", REKA], 3, "resettlement"),
        ([*MAPPED, "--input", "/nowhere", "--to", REKA], 1, "nowhere"),
        ([*MAPPED, "--input", str(DEMO / "export"), "--to", "not a desk"], 2, "throughcare directory list"),
        ([*MAPPED, "--input", str(DEMO / "export"), "--to", "intake.nowhere"], 5, "intake.nowhere@hub.example"),
    ],
)
def test_each_mistake_is_told_with_its_exit_code(arguments: list[str], code: int, told: str, type_: Typist) -> None:
    spoken = type_(*arguments)
    assert spoken.code == code, spoken.err
    assert spoken.out == ""
    assert told in spoken.err


def test_show_without_an_agency_prints_each_ones_own_view(type_: Typist) -> None:
    message_id = sent(type_, DEMO / "export", DEMO / "mapping.toml").json["id"]
    for name in ("reka-probation", "polje-csw"):
        received(type_, name, message_id)
    items = {item["agency"]: item for item in type_("handover", "show", message_id, "--json").json["items"]}
    assert sorted(items) == sorted(NAMES)
    assert len(items["gora-prison"]["sections"]) == len(items["reka-probation"]["sections"]) == 12
    assert len(items["polje-csw"]["sections"]) == 7
    text = type_("handover", "show", message_id).out
    assert "at polje-csw: received" in text
    assert "not understood by the mapping as it stands: 2 places" in text


def test_a_desk_may_be_named_without_the_domain_and_mapping_alone_sends_nothing(type_: Typist) -> None:
    short = type_(
        "handover", "send", "--agency", "Gora Prison", "--mapping", DEMO / "mapping.toml",
        "--input", DEMO / "export", "--to", "intake.reka-probation", "--check-only", "--json",
    )  # fmt: skip
    assert short.code == 0
    assert short.json["sent"] is False
    assert [item["path"] for item in short.json["not_understood"]] == ["person/locker/shelf", "person/locker/key"]


def test_nothing_readable_lies_at_the_hub(sandbox: Running, type_: Typist) -> None:
    """Delivery promise 5 and attack 61, on what all tests of this module sent."""
    sent(type_, DEMO / "export", DEMO / "mapping.toml")
    hub = Path(sandbox.ready["hub"]["data_dir"])
    files = [path for path in hub.rglob("*") if path.is_file()]
    assert files
    for phrase in (
        b"Primjer",
        b"Invented Street",
        b"Danilo",
        b"risk-summary",
        b"locker",
    ):
        assert [path for path in files if phrase in path.read_bytes()] == []


def test_status_and_quarantine_are_quiet(type_: Typist) -> None:
    for name in NAMES:
        status = type_("connector", "status", "--agency", name, "--json").json
        assert status["agency"] == f"{name}@hub.example"
        assert status["hub"]["connected"]
        assert type_("quarantine", "list", "--agency", name, "--json").json["items"] == []
        assert "Nothing is in quarantine" in type_("quarantine", "list", "--agency", name).out


@pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("bash")), reason="the README's lines need curl and a shell"
)
def test_the_readmes_referral_with_curl_goes_from_request_to_closed_loop(sandbox: Running, tmp_path: Path) -> None:
    """The five minutes that the README promises, typed as they stand there."""
    (tmp_path / "sandbox.json").write_text(json.dumps(sandbox.ready), encoding="utf-8")
    typed = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", readme.script()],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert typed.returncode == 0, typed.stderr
    assert typed.stdout.split() == ["acknowledged", "accepted", "active", "completed", "closed"]


def test_the_readmes_commands_take_a_referral_to_its_first_appointment(type_: Typist, tmp_path: Path) -> None:
    spoken = readme.typed(type_, "A referral by commands", folder=tmp_path)
    assert "<html" in (tmp_path / "referral.html").read_text(encoding="utf-8")
    assert [(one.code, one.err) for one in spoken if one.code] == []
    assert "-> scheduled" in spoken[5].out


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_folder_that_is_no_sandbox_is_left_alone(type_: Typist, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("important")
    spoken = type_("sandbox", "--data", tmp_path)
    assert spoken.code == 3
    assert (tmp_path / "thesis.txt").read_text() == "important"


def test_ref_6_what_is_left_of_a_referral_is_sent_on_by_one_command(type_: Typist, tmp_path: Path) -> None:
    request, answer = tmp_path / "request.json", tmp_path / "answer.json"
    services = ["housing-advice", "psychosocial-support"]
    fields = {
        "services": [{"code": code, "pathway": "health", "outcome": "contact-kept"} for code in services],
        "whereabouts": "custody",
        "release_unknown": "not-decided",
        "language": "sr-Latn",
        "person_knows": "agreed",
        "contact": "through-requester",
        "duplicates": "none-found",
        "answer_by": "2030-01-10",
    }
    request.write_text(json.dumps({"fields": fields}))
    part = [{"code": services[0], "accepted": True}, {"code": services[1], "accepted": False, "reason": "no-capacity"}]
    answer.write_text(json.dumps({"fields": {"services": part}}))
    refer = ("referral", "send", "--agency", "gora-prison", "--json")
    thread = type_(*refer, "--to", POLJE, "--input", request).json["thread"]
    shown(type_, "referral", thread, "polje-csw", lambda view: view["item"]["state"] == "delivered")
    officer, csw = officer_of(type_, "polje-csw"), ("--agency", "polje-csw", "--json")
    named = ("--officer", officer, "--as", officer)
    assert type_("referral", "acknowledge", thread, *named, "--answer-by", "2030-01-05", *csw).code == 0
    said = type_("referral", "accept-part", thread, *named, "--start-by", "2030-01-05", "--input", answer, *csw)
    assert said.json["state"] == "accepted-partial"
    view = shown(type_, "referral", thread, "gora-prison", lambda view: view["residual"] is not None)
    assert [rung["signer"] for rung in view["ladder"]][1:] == ["social worker", "social worker"]
    assert "not taken: psychosocial-support (no-capacity)" in type_("referral", "show", thread, *csw[:2]).out
    assert type_(*refer, "--to", REKA).code == 2, "nothing says what to refer for"
    assert type_("referral", "send", "--to", REKA, "--residual-of", thread, *csw).code == 2, "it is the requester's"
    rest = type_(*refer, "--to", REKA, "--residual-of", thread).json["thread"]
    sent = type_("referral", "show", rest, "--agency", "gora-prison", "--json").json["steps"][0]  # opened by now, maybe
    assert [one["code"] for one in sent["payload"]["services"]] == [services[1]]
    assert sent["payload"]["residual_of"] == thread


def test_kind_5_a_message_is_sent_answered_and_shown_by_commands(type_: Typist, tmp_path: Path) -> None:
    file = tmp_path / "notice.json"
    file.write_text(json.dumps({"fields": {"area": "invented", "week": "2030-W03"}}))
    send = ("message", "send", "contact.area-notice", "--agency", "gora-prison", "--to", REKA, "--input", file)
    message = type_(*send, "--json").json["id"]
    shown(type_, "message", message, "reka-probation", lambda view: view["item"]["state"] == "received")
    officer, reka = officer_of(type_, "reka-probation"), ("--agency", "reka-probation")
    assert type_("message", "answer", message, "agreed", "--officer", officer, "--as", officer, *reka).code == 0
    view = shown(type_, "message", message, "gora-prison", lambda view: view["answers"] != [])
    assert [(one["ack"], one["signer"]) for one in view["answers"]] == [("answered", "probation officer")]
    assert "(probation officer): agreed" in type_("message", "show", message, "--agency", "gora-prison").out
    assert message in type_("message", "list", "--kind", "contact.area-notice", *reka).out
    refused = type_("message", "answer", message, "agreed", "--officer", officer, "--agency", "gora-prison")
    assert refused.code == 2, "others answer what we have sent"


def test_sigterm_leaves_no_process_and_no_profile_and_the_data_can_go_on(sandbox: Running, type_: Typist) -> None:
    """The last of all: it stops the sandbox of the others, and goes on with its data."""
    first, command = sandbox.ready, [str(part) for part in sandbox.process.args]  # type: ignore[union-attr] # a list
    data, profiles = Path(command[-1]), Path(os.environ["THROUGHCARE_HOME"]) / "profiles"
    assert {path.stem for path in profiles.glob("*.json")} >= set(NAMES)
    assert len(descendants(data)) >= 5
    assert sandbox.stop() == 0
    assert descendants(data) == []
    assert not {path.stem for path in profiles.glob("*.json")} & set(NAMES)
    with started(*command) as running:
        assert running.ready == first, "the same sandbox goes on, enrolled as it was"
        (data / "clock").write_text("36h")
        url, token = first["agencies"][0]["api_url"], Path(first["agencies"][0]["token_file"]).read_text().strip()
        asked = urllib.request.Request(f"{url}/v1/status", headers={"Authorization": f"Bearer {token}"})  # noqa: S310
        with urllib.request.urlopen(asked) as answer:  # noqa: S310
            ahead = datetime.fromisoformat(json.load(answer)["now"]) - datetime.now(UTC)
        assert ahead > timedelta(hours=35), "a file skips time for all of it"
        killed = next(pid for pid in descendants(data) if b"polje-csw" in Path(f"/proc/{pid}/cmdline").read_bytes())
        os.kill(killed, signal.SIGKILL)
        assert running.process.wait(timeout=20) == 7, "a child that dies ends the sandbox"
    assert descendants(data) == []
    assert not {path.stem for path in profiles.glob("*.json")} & set(NAMES)
    with socket.create_server(("127.0.0.1", int(first["hub"]["url"].rpartition(":")[2]))):
        spoken = type_("sandbox", "--data", data)
    assert (spoken.code, "of this sandbox is taken" in spoken.err) == (7, True), spoken.err
    assert descendants(data) == []
