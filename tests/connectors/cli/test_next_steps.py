# SPDX-License-Identifier: Apache-2.0
"""What is to be typed next fits the place where a command failed, and can be pasted however it was started."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from connectors import home
from connectors.authority.office import Office
from connectors.cli import failures, main
from connectors.cli.connector import lines as told_status
from connectors.cli.voice import PROGRAM, pasteable, speak_utf8
from connectors.enrolment import application
from connectors.enrolment.passphrases import passphrase_path
from connectors.installation import ENROLMENT_FILE
from connectors.timing import system_clock
from keys.sealedfile import SMALL
from protocol import errors
from protocol.enrolment import EnrolmentCode
from protocol.http.standing import GET_STATUS, Status
from protocol.limits import DAY
from tests.connectors.authority.conftest import code, office

__all__ = ["code", "office"]

Capture = pytest.CaptureFixture[str]


def told(capsys: Capture, *arguments: object) -> tuple[int, str]:
    """Type a command; return its exit code and the `next:` line."""
    status = main([str(one) for one in arguments])
    return status, capsys.readouterr().err.rpartition("next:  ")[2].strip()


def test_advice_is_added_to_the_nearest_error_and_only_where_none_is() -> None:
    steps: dict[type[Exception], str] = {errors.ThroughcareError: "far", errors.Conflict: "near"}
    for raised, expected in [
        (errors.Conflict(), "near"),
        (errors.NotFound(), "far"),
        (failures.then(errors.Conflict(), "own"), "own"),
    ]:
        with pytest.raises(type(raised)) as caught, failures.advising(steps):
            raise raised
        assert failures.next_step(caught.value) == expected


def test_commands_can_be_pasted_when_nothing_is_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "throughcare-hub init (see `throughcare enrol`), /opt/throughcare run, the throughcare"
    assert pasteable(text) == text
    monkeypatch.setenv(PROGRAM, "./run throughcare")
    assert pasteable(text) == (
        "./run throughcare-hub init (see `./run throughcare enrol`), /opt/throughcare run, the throughcare"
    )


def test_names_and_signs_are_written_where_the_system_has_no_letters_for_them() -> None:
    kept = io.BytesIO()
    narrow = io.TextIOWrapper(kept, encoding="cp1252")
    with pytest.raises(UnicodeEncodeError):
        narrow.write("Ђорђе")
    speak_utf8(narrow, None, io.StringIO())
    narrow.write("✓ Ђорђе")
    narrow.flush()
    assert kept.getvalue().decode() == "✓ Ђорђе"


def test_a_missing_configuration_leads_to_an_example(tmp_path: Path, capsys: Capture) -> None:
    for verb in (["check"], ["show"], ["explain", "connector.hub_url"]):
        status, step = told(capsys, "config", *verb, tmp_path / "absent.toml")
        assert (status, step.split("   ")[0]) == (3, "throughcare config example > FILE")


def test_a_wrong_configuration_does_not_lead_in_a_circle(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "c.toml").write_text("[connector]\nport = 'x'\n")
    status, step = told(capsys, "config", "check", tmp_path / "c.toml")
    assert (status, step) == (3, "mend the line that is named, then the same command")


def test_a_folder_without_an_authority_is_answered_with_its_command(tmp_path: Path, capsys: Capture) -> None:
    status, step = told(capsys, "authority", "show", tmp_path)
    assert status == 3
    assert "throughcare authority init" in step


def test_a_folder_that_has_an_authority_already_leads_to_it(office: Office, capsys: Capture) -> None:
    names = ("--domain", "hub.example", "--programme", "P", "--jurisdiction", "J")
    status, step = told(capsys, "authority", "init", office.folder, *names)
    assert (status, step.split("   ")[0]) == (6, f"throughcare authority show {office.folder}")


def test_a_code_is_asked_for_where_it_cannot_be_read_and_another_one_is_not_passed_over(
    code: EnrolmentCode, tmp_path: Path, capsys: Capture
) -> None:
    (secret := tmp_path / "secret").write_text("p\n")
    (file := tmp_path / "reka.code").write_text(code.text())
    secret.chmod(0o600)
    file.chmod(0o644)
    folder = tmp_path / "agency"
    enrol = ("enrol", "--data-dir", folder, "--passphrase-file", secret, "--demo", "--code-file", file)
    status, step = told(capsys, *enrol)
    assert (status, "the code file" in step, folder.exists()) == (3, True, False)
    application.begin(replace(code, secret=bytes(16)), folder, b"p", SMALL)
    before = (folder / application.APPLICATION_FILE).read_bytes()
    file.chmod(0o600)
    status, step = told(capsys, *enrol)
    assert (status, "a new folder as --data-dir" in step, "without --code-file" in step) == (6, True, True)
    assert f"if no approver has signed what {folder} asked for, after that folder was emptied" in step
    assert (folder / application.APPLICATION_FILE).read_bytes() == before
    valid = replace(code.terms, expires=system_clock() + DAY)
    (away := tmp_path / "away.code").write_text(replace(code, hub_url="http://localhost:9", terms=valid).text())
    away.chmod(0o600)
    status, step = told(capsys, *enrol[:2], tmp_path / "other", *enrol[3:-1], away)
    assert (status, "once this machine reaches the hub" in step) == (7, True)
    (folder / application.APPLICATION_FILE).rename(folder / ENROLMENT_FILE)
    status, step = told(capsys, *enrol)
    assert (status, step.startswith("the same command with a new folder as --data-dir")) == (6, True)


def test_a_code_that_has_ended_is_refused_before_keys_are_made_for_it(
    code: EnrolmentCode, tmp_path: Path, capsys: Capture
) -> None:
    (secret := tmp_path / "secret").write_text("p\n")
    ended = replace(code.terms, expires=system_clock() - 1)
    (file := tmp_path / "reka.code").write_text(replace(code, terms=ended).text())
    for one in (secret, file):
        one.chmod(0o600)
    folder = tmp_path / "agency"
    status = main(["enrol", "--data-dir", str(folder), "--passphrase-file", str(secret), "--code-file", str(file)])
    said = capsys.readouterr().err
    assert (status, "The code ended at 20" in said, "ask your authority for a new code" in said) == (4, True, True)
    assert not folder.exists()


def test_an_agency_without_a_code_and_a_code_that_is_out_lead_to_the_office(
    office: Office, code: EnrolmentCode, capsys: Capture
) -> None:
    folder = office.folder
    secret = passphrase_path(folder / "passphrases", "approver-1")
    own = ("--approver", 1, "--passphrase-file", secret)
    status, step = told(capsys, "authority", "approve", folder, "nobody", "--words", "x", *own)
    assert (status, step.split("   ")[0]) == (5, f"throughcare authority show {folder}")
    invite = ("--name", "Reka", "--kind", "probation", "--desk", "intake=probation-intake")
    status, step = told(capsys, "authority", "invite", folder, "--agency", "reka-probation", *invite, *own)
    assert (status, step.split("   ")[0]) == (6, f"throughcare authority pending {folder}")
    (theirs := folder.parent / "theirs").write_bytes(b"theirs")
    status, step = told(capsys, "authority", "invite", folder, "--agency", "other", *invite, *own, "--out", theirs)
    assert (status, "--replace" in step, theirs.read_bytes()) == (6, True, b"theirs")
    other = ("--approver", 9, "--passphrase-file", secret)
    status, step = told(capsys, "authority", "invite", folder, "--agency", "other", *invite, *other)
    assert (status, step) == (5, "the same command with --approver 1 to 3")


def test_a_connector_that_never_started_is_told_what_helps(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(home.VARIABLE, str(tmp_path / "home"))
    token = tmp_path / "api-token"
    profile = home.Profile("reka", "intake.reka@hub.example", "http://localhost:1", str(token), str(tmp_path))
    home.register(profile)
    status, step = told(capsys, "connector", "status", "--agency", "reka")
    assert (status, step) == (3, f"start the connector of reka; its token is {token}")


@pytest.mark.parametrize("reason", ["refused", "certificate", "proxy", "name", "timeout", "other"])
def test_an_empty_directory_is_told_with_why_the_hub_was_not_reached(reason: str) -> None:
    found = Status.model_validate_json(json.dumps(GET_STATUS.example.response))
    hub = found.hub.model_copy(update={"error": "hub-unreachable", "reason": reason})
    empty = found.directory.model_copy(update={"size": 0})
    lines = list(told_status(found.model_copy(update={"hub": hub, "directory": empty})))
    (line,) = (line for line in lines if line.startswith("directory"))
    assert "was not read yet, because: " in line
    assert "hub-unreachable" not in line
    assert any(line.startswith("officer     off_") for line in lines)
