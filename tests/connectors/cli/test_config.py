# SPDX-License-Identifier: Apache-2.0
"""What `throughcare config` says of a configuration file."""

import json
from pathlib import Path

import pytest

from connectors.cli import main
from connectors.config import load
from connectors.installation import read_enrolment, write_enrolment
from connectors.way_out import WayOut
from connectors.webhooks.courier import read_files
from protocol.errors import ConfigurationError
from tests.connectors.conftest import World
from tests.tlsnames import certificate

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
    not_pem = "connector: The file in connector.ca_file (or --ca-file) cannot be read as PEM certificates."
    assert said(capsys, "config", "check", file)["warnings"] == [not_pem]
    (file.parent / "absent.pem").write_text("x")
    assert said(capsys, "config", "check", file)["warnings"] == [not_pem]
    certificate(file.parent, "localhost", 30)[0].rename(file.parent / "absent.pem")
    assert said(capsys, "config", "check", file)["warnings"] == []
    (file.parent / "passphrase").unlink()
    assert said(capsys, "config", "check", file)["warnings"] == [
        "connector.passphrase_file names a file that does not exist"
    ]


async def test_the_check_says_of_a_file_what_the_start_would_say(tmp_path: Path, capsys: Capture) -> None:
    """Each of them is missing, open to others, or holds something else."""
    for name in ("passphrase", "webhook-secret", "proxy-credentials"):
        (tmp_path / name).write_text("an invented passphrase")
        (tmp_path / name).chmod(0o644 if name == "proxy-credentials" else 0o600)
    file = tmp_path / "connector.toml"
    file.write_text(
        f'[connector]\ndata_dir = "{tmp_path}"\npassphrase_file = "passphrase"\nproxy = "http://proxy.example:3128"\n'
        'proxy_credentials_file = "proxy-credentials"\n[webhooks]\nurls = ["https://cases.example/x"]\n'
        'hosts = ["cases.example"]\nsecret_file = "webhook-secret"\n[fhir]\nservices = "absent.toml"\n'
    )
    told = said(capsys, "config", "check", file)["warnings"]
    assert isinstance(told, list)
    assert [one.partition(":")[0] for one in told] == ["connector", "webhooks", "fhir.services"]
    settings = load(file, {}).settings
    for name, start in (
        ("connector", WayOut.of(settings.connector).session),
        ("webhooks", lambda: read_files(settings.webhooks)),
    ):
        with pytest.raises(ConfigurationError) as caught:
            start()
        assert f"{name}: {caught.value.detail}" in told


def test_a_start_that_fails_leads_to_what_mends_it(file: Path, capsys: Capture) -> None:
    (file.parent / "passphrase").unlink()
    assert main(["connector", "run", "--config", str(file)]) == 3
    told = capsys.readouterr().err
    assert "There is no passphrase file" in told
    assert told.endswith(f"next:  mend what is named, then the same command again; throughcare config check {file}\n")


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
