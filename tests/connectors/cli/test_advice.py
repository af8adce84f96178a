# SPDX-License-Identifier: Apache-2.0
"""What a program says to type next is there to be typed, and fits the error and the place where it is said."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from connectors import home
from connectors.access import TOKEN_FILE, ensure_token
from connectors.cli import failures, main
from connectors.cli.steps import _HELP
from connectors.cli.tree import ROOT
from hub.cli import main as hub_main
from protocol import diagnosis, errors, ids
from protocol.clocks import SPANS, Ack
from protocol.handover import Priority
from protocol.ids import Kind
from tests.connectors.cases.test_cases import refer
from tests.connectors.cases.test_referral import REQUEST, WORDS
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.typing import type_at

__all__ = ["csw", "prison"]

Capture = pytest.CaptureFixture[str]
ROOT_FOLDER = Path(__file__).parents[3]
RULES = ROOT_FOLDER / "docs" / "monitoring" / "rules.yml"
GENERAL = (errors.ThroughcareError, errors.CallerError, errors.PeerError)
HELPED = (errors.InvalidInput, errors.MoveIncomplete)
"""What a command's own help explains."""
LABELS = ("throughcare-hub signing keys", "throughcare contradiction 1")
"""What stands in files and under signatures, and is no command."""

NAMED = re.compile(r"(?<![\w./@-])throughcare(-hub)? ([a-z][a-z-]*(?: [^;:,()`\n\"]*)?)")
"""A command in a sentence, up to what ends it."""


def named_in(text: str) -> Iterator[tuple[str, click.Command | None, list[str]]]:
    """Yield each command that a text names as it stands there, the command if there is one, and what it is given."""
    for found in NAMED.finditer(text):
        words = found[2].split(". ")[0].split()
        group: click.Command | None = hub_main if found[1] else ROOT
        while words and isinstance(group, click.Group) and re.fullmatch(r"[a-z][a-z-]*", words[0].rstrip(".")):
            group = group.get_command(click.Context(group), words.pop(0).rstrip("."))
        yield found[0], group, words


def amiss(text: str) -> list[str]:
    """Return the commands of a text that there are not, or that do not have an option that they are given."""
    found = []
    for command, known, given in named_in(text):
        options = {name for one in known.params for name in (*one.opts, *one.secondary_opts)} if known else set()
        flags = {word.rstrip(".") for word in given if re.fullmatch(r"--[a-z-]+\.?", word)} - {"--help"}
        # Of a group the verb is filled in only where it is said.
        if known is None or (not isinstance(known, click.Group) and not flags <= options):
            found.append(command)
    return [one for one in found if not one.startswith(LABELS)]


def test_what_is_amiss_with_a_named_command_is_found() -> None:
    assert amiss("type throughcare handover list --agency NAME, or `throughcare-hub doctor --config FILE`.") == []
    assert amiss("throughcare referral lst") == ["throughcare referral lst"]
    assert amiss("throughcare handover list --colour red") == ["throughcare handover list --colour red"]
    assert amiss("throughcare-hub examine") == ["throughcare-hub examine"]


@pytest.mark.parametrize("kind", list(errors.CODES.values()))
def test_no_error_is_answered_with_the_list_of_all_commands_or_with_something_general(
    kind: type[errors.ThroughcareError],
) -> None:
    step = failures.next_step(kind())
    assert "throughcare --help" not in step
    assert ("--help" in step) <= issubclass(kind, HELPED), step
    assert next(one for one in kind.__mro__ if one in failures.NEXT_STEPS) not in GENERAL
    assert amiss(step) == []


def sentences(file: Path) -> Iterator[str]:
    """Yield the texts of a module, each whole, with X for what is filled in."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(one.value) if isinstance(one, ast.Constant) else "X" for one in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.value


@pytest.mark.parametrize("package", ["protocol", "keys", "hub", "connectors"])
def test_every_command_that_a_program_names_can_be_typed(package: str) -> None:
    wrong = {
        f"{file.relative_to(ROOT_FOLDER)}: {command}"
        for file in sorted((ROOT_FOLDER / package).rglob("*.py"))
        for text in (sentences(file) if "throughcare" in file.read_text(encoding="utf-8") else ())
        for command in amiss(text)
    }
    assert wrong == set()


def test_an_alert_names_commands_as_whole_as_they_must_be_typed() -> None:
    told = [
        rule["annotations"]["action"]
        for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]
    assert [one for text in told for one in amiss(text)] == []
    of_hub = [one for text in told for one in named_in(text) if one[0].startswith("throughcare-hub")]
    assert len(of_hub) >= 5
    for command, known, given in of_hub:
        assert known is not None
        assert {one.opts[0] for one in known.params if one.required} <= set(given), command


def test_what_is_known_of_agency_and_file_stands_in_the_advice_in_place_of_an_example(capsys: Capture) -> None:
    doctor = "throughcare doctor --config /etc/own.toml"
    for raised, expected in (
        (errors.DirectoryStale(), "throughcare connector status --agency reka"),
        (errors.ConfigurationError(), "throughcare config check /etc/own.toml"),
        (errors.DirectorySplit(), "throughcare directory evidence FILE   (and give it to your authority)"),
        (failures.then(errors.NotFound(), "throughcare doctor --config FILE"), doctor),
        (OSError(5, "Input/output error"), doctor),
    ):
        # The nearest knows best: what is further out is of another one.
        with (
            pytest.raises(type(raised)) as caught,
            failures.at(agency="far", config="/far.toml"),
            failures.at(agency="reka", config="/etc/own.toml"),
        ):
            raise raised
        assert failures.next_step(caught.value) == expected
        failures.report(caught.value)
        assert "example:" not in capsys.readouterr().err


def test_whoever_reports_a_fault_is_asked_for_no_name(capsys: Capture) -> None:
    failures.report(RuntimeError("Marko"))
    said = capsys.readouterr().err
    assert "which command it was, without names or files" in said
    assert "what you typed" not in said
    heading = diagnosis.REPORT.partition('"')[2].partition('"')[0]
    assert f"\n## {heading}\n" in (ROOT_FOLDER / "README.md").read_text(encoding="utf-8")


def test_the_priorities_are_told_with_the_clocks_that_they_set() -> None:
    for priority in Priority:
        span = SPANS[priority][Ack.A3]
        days = f"{span.working_days} working day" if span.working_days else "a day"
        assert re.search(rf"\b{priority} [^,;]*{days}", _HELP["priority"]), priority


@pytest.fixture
def quiet_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(home.VARIABLE, str(tmp_path / "home"))


def step_in(capsys: Capture) -> str:
    return capsys.readouterr().err.rpartition("next:  ")[2].strip()


@pytest.mark.usefixtures("quiet_home")
def test_the_passphrase_of_the_backup_key_is_asked_for_by_its_own_option(tmp_path: Path, capsys: Capture) -> None:
    for name in ("passphrase", "backup.key", "a.backup"):
        (tmp_path / name).touch(mode=0o600)
    words = [
        "restore",
        str(tmp_path / "a.backup"),
        "--key",
        str(tmp_path / "backup.key"),
        "--passphrase-file",
        str(tmp_path / "passphrase"),
    ]
    for more in (["--verify"], ["--data-dir", str(tmp_path / "new")]):
        assert main([*words, *more]) == 8
        assert step_in(capsys) == "the same command with --key-passphrase-file FILE"


@pytest.mark.usefixtures("quiet_home")
async def test_a_token_that_was_changed_beside_a_running_connector_is_no_matter_of_the_status(
    prison: Served, capsys: Capture
) -> None:
    token = prison.station.folder / TOKEN_FILE
    token.unlink()
    ensure_token(prison.station.folder)
    for words in (["connector", "status"], ["case", "list"]):
        assert await type_at(prison.station, prison.url, *words) == 4
        step = step_in(capsys)
        assert "start it again" in step
        assert str(token) in step
        assert "status" not in step


@pytest.mark.usefixtures("quiet_home")
async def test_ref_8_a_possible_duplicate_leads_to_the_other_and_says_how_it_is_sent_all_the_same(
    prison: Served, csw: Served, tmp_path: Path, capsys: Capture
) -> None:
    numbers = {"register_numbers": {"sender": "G-17/2027"}}
    first = await refer(prison, csw, **numbers)
    file = tmp_path / "referral.json"
    words: list[str | Path] = ["referral", "send", "--to", csw.station.desk, "--input", file]
    asked: dict[str, Any] = {"fields": {**REQUEST, **numbers}, "sections": [WORDS.model_dump(mode="json")]}
    file.write_text(json.dumps(asked), encoding="utf-8")
    assert await type_at(prison.station, prison.url, *words) == 6
    said = capsys.readouterr().err
    assert ids.text(Kind.THREAD, first) in said
    assert "next:  throughcare referral show THREAD --agency gora-prison" in said
    assert '"duplicates": "sent-anyway"' in said
    asked["fields"] = {**REQUEST, **numbers, "duplicates": "sent-anyway"}
    file.write_text(json.dumps(asked), encoding="utf-8")
    assert await type_at(prison.station, prison.url, *words) == 0, "what is advised helps"


@pytest.mark.usefixtures("quiet_home")
async def test_a_connector_that_does_not_answer_is_started_by_its_unit_where_there_is_one(
    prison: Served, capsys: Capture
) -> None:
    assert await type_at(prison.station, "http://localhost:1", "case", "list") == 7
    step = step_in(capsys)
    assert step.startswith("start it: systemctl start throughcare-connector, where systemd runs it; else throughcare")
    assert step.endswith(f"connector run --config {prison.station.folder / 'connector.toml'}")
