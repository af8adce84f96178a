# SPDX-License-Identifier: Apache-2.0
"""What `throughcare config` says of a configuration file."""

import json
from pathlib import Path

import pytest

from connectors.cli import main
from connectors.installation import read_enrolment, write_enrolment
from tests.connectors.conftest import World

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    secret = tmp_path / "passphrase"
    secret.write_text("an invented passphrase")
    secret.chmod(0o600)
    path = tmp_path / "connector.toml"
    path.write_text(f'[connector]\ndata_dir = "{tmp_path}"\npassphrase_file = "passphrase"\nca_file = "absent.pem"\n')
    return path


def said(capsys: Capture, *arguments: object) -> dict[str, object]:
    """Type a command that succeeds and return its JSON."""
    assert main([*map(str, arguments), "--json"]) == 0
    answer: dict[str, object] = json.loads(capsys.readouterr().out)
    return answer


def test_the_check_names_a_file_that_does_not_exist(file: Path, capsys: Capture) -> None:
    assert said(capsys, "config", "check", file)["warnings"] == ["connector.ca_file names a file that does not exist"]
    (file.parent / "absent.pem").write_text("x")
    assert said(capsys, "config", "check", file)["warnings"] == []
    (file.parent / "passphrase").unlink()
    assert said(capsys, "config", "check", file)["warnings"] == [
        "connector.passphrase_file names a file that does not exist"
    ]


@pytest.mark.parametrize(
    ("key", "value"), [("connector.proxy", None), ("connector.websocket", True), ("connector.profile", "production")]
)
def test_json_shows_real_values_and_null(file: Path, capsys: Capture, key: str, value: object) -> None:
    assert said(capsys, "config", "explain", key, file)["value"] == value
    items = said(capsys, "config", "show", file)["items"]
    assert isinstance(items, list)
    assert {item["key"]: item["value"] for item in items}[key] == value


async def test_the_check_refuses_the_hub_that_enrolment_named_where_the_connector_would(
    world: World, file: Path, capsys: Capture
) -> None:
    station = world.prison
    write_enrolment(file.parent, read_enrolment(station.folder))
    assert main(["config", "check", str(file)]) == 3
    told = capsys.readouterr().err
    assert "https:// only" in told
    assert "enrol again" in told
    for more in ('profile = "demo"', 'hub_url = "https://hub.example"'):
        assert main(["config", "check", str(added(file, more))]) == 0


def added(file: Path, line: str) -> Path:
    """Return a copy of the file with one line more."""
    copy = file.with_name("copy.toml")
    copy.write_text(f"{file.read_text()}{line}\n")
    return copy
