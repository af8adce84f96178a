# SPDX-License-Identifier: Apache-2.0
"""How `--agency NAME` finds a connector."""

import json
import os
import socket
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from connectors import home
from connectors.cli.configfile import finds_config
from connectors.cli.failures import next_step
from connectors.cli.local import AGENCY
from protocol.errors import ConfigurationError, NotFound

REKA = home.Profile(
    name="reka-probation",
    desk="intake.reka-probation@hub.example",
    api_url="http://localhost:8451",
    token_file="/data/reka/api-token",
    data_dir="/data/reka",
)
GORA = replace(REKA, name="gora-prison", desk="release.gora-prison@hub.example")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("THROUGHCARE_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", ["reka-probation", "Reka-Probation", "REKA PROBATION", " reka  probation "])
def test_an_agency_is_found_however_its_name_is_typed(name: str) -> None:
    home.register(REKA)
    home.register(GORA)
    assert home.find(name) == REKA


def test_an_unknown_agency_is_answered_with_the_names_that_are_known() -> None:
    home.register(REKA)
    home.register(GORA)
    with pytest.raises(NotFound, match="gora-prison, reka-probation"):
        home.find("polje-csw")


def test_without_any_connector_the_answer_tells_where_it_looked(folder: Path) -> None:
    with pytest.raises(NotFound, match=str(folder)):
        home.find("reka-probation")


def test_without_any_connector_production_is_not_sent_to_a_sandbox_alone() -> None:
    unit = (Path(__file__).parents[3] / "docs" / "systemd" / "throughcare-connector.service").read_text()
    assert "\nEnvironment=THROUGHCARE_HOME=%S/throughcare/home\n" in unit
    with pytest.raises(NotFound) as caught:
        home.find("reka-probation")
    assert next_step(caught.value) == (
        "start the connector; if systemd runs it, the same command as root with THROUGHCARE_HOME="
        "/var/lib/throughcare/home; to try it, throughcare sandbox   (in another terminal)"
    )


@pytest.mark.skipif(os.name != "posix", reason="Windows has no mode bits")
def test_profiles_of_another_user_are_not_taken_for_none(folder: Path) -> None:
    home.register(REKA)
    (folder / "profiles").chmod(0)
    before = os.geteuid()
    if before == 0:
        os.seteuid(61_234)
    try:
        with pytest.raises(ConfigurationError, match="for the connector's user only") as caught:
            home.find("reka-probation")
    finally:
        os.seteuid(before)
        (folder / "profiles").chmod(0o700)
    assert next_step(caught.value).startswith("the same command as that user; as root")
    assert home.profiles() == [REKA]


def test_the_newest_connector_of_an_agency_takes_its_name() -> None:
    home.register(REKA)
    newer = replace(REKA, api_url="http://localhost:9000")
    home.register(newer)
    assert home.profiles() == [newer]


def test_who_leaves_does_not_remove_the_profile_of_who_came_after() -> None:
    home.register(REKA)
    newer = replace(REKA, api_url="http://localhost:9000")
    home.register(newer)
    home.forget(REKA)
    assert home.profiles() == [newer]
    home.forget(newer)
    home.forget(newer)
    assert home.profiles() == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "x"}'])
def test_a_damaged_profile_is_named(text: str, folder: Path) -> None:
    home.register(REKA)
    path = folder / "profiles" / "reka-probation.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"reka-probation\.json"):
        home.profiles()


@click.command()
@finds_config
def prints_config(config_file: Path) -> None:
    click.echo(config_file)


def test_a_configuration_is_found_where_one_connector_is_known_and_else_asked_for(tmp_path: Path) -> None:
    def typed(*arguments: str) -> str:
        return CliRunner().invoke(prints_config, arguments).output.strip().replace("\n", " ")

    file = tmp_path / "etc" / "reka.toml"
    file.parent.mkdir()
    file.touch()
    assert "the connector.toml that `throughcare enrol` wrote" in typed()
    assert typed("--config", "any.toml") == "any.toml"
    home.register(replace(REKA, config_file=str(file)))
    assert typed() == str(file)
    home.register(replace(GORA, data_dir=str(file.parent)))
    assert "Known here: gora-prison, reka-probation" in typed()
    assert typed("--agency", "Reka Probation") == str(file)
    assert "is not at" in typed("--agency", "gora-prison")
    assert "not both" in typed("--agency", "gora-prison", "--config", "any.toml")
    (file.parent / "connector.toml").touch()
    assert typed("--agency", "gora-prison") == str(file.parent / "connector.toml"), "an older version did not say"


def test_a_profile_of_an_older_version_is_read(folder: Path) -> None:
    home.register(REKA)
    path = folder / "profiles" / "reka-probation.json"
    path.write_text(json.dumps({key: text for key, text in json.loads(path.read_text()).items() if text}))
    assert home.profiles() == [REKA]


def test_without_the_variable_the_platform_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THROUGHCARE_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere")
    monkeypatch.setattr("sys.platform", "linux")
    assert home.home() == Path("/somewhere/throughcare")
    monkeypatch.setattr("sys.platform", "darwin")
    assert home.home().parts[-2:] == ("Application Support", "Throughcare")
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert home.home() == Path("/local/Throughcare")


def test_a_name_goes_back_to_the_connector_it_was_taken_from_if_that_still_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        first = replace(REKA, api_url=f"http://127.0.0.1:{listening.getsockname()[1]}")
        second = replace(REKA, data_dir="/other/reka", api_url="http://127.0.0.1:1")
        assert home.register(first) is None
        assert home.register(second) == first, "whoever takes a name is told from whom"
        assert home.profiles() == [second]
        home.forget(second)
        assert home.profiles() == [first]
        home.register(second)
    home.forget(second)
    assert home.profiles() == [], "nobody answers there any more"


def test_the_same_installation_started_again_takes_no_name_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        first = replace(REKA, api_url=f"http://127.0.0.1:{listening.getsockname()[1]}")
        home.register(first)
        assert home.register(replace(first, api_url="http://127.0.0.1:2")) is None


def test_the_only_connector_of_a_machine_need_not_be_named_and_of_two_one_must() -> None:
    @click.command()
    @AGENCY
    def ask(agency: str) -> None:
        click.echo(agency)

    none = CliRunner().invoke(ask).exception
    assert isinstance(none, NotFound)
    assert next_step(none).startswith("start the connector"), "said as for one that is named and not there"
    home.register(REKA)
    assert CliRunner().invoke(ask).stdout == "reka-probation\n"
    assert CliRunner().invoke(ask, ["--agency", "gora-prison"]).stdout == "gora-prison\n"
    home.register(GORA)
    asked = CliRunner().invoke(ask)
    assert asked.exit_code == 2, "nobody guesses which of two was meant"
    assert "gora-prison, reka-probation" in asked.stderr


@pytest.mark.parametrize(
    "url",
    [
        *("http://elsewhere.example:8450", "http://192.0.2.7:8450", "http://[2001:db8::7]:8450", "http://0.0.0.0:8450"),
        *("http://127.0.0.1.elsewhere.example:8450", "http://127.0.0.1@192.0.2.7:8450", "", "http://[", "8450"),
    ],
)
def test_con_6_no_profile_leads_a_command_and_the_token_to_another_machine(tmp_path: Path, url: str) -> None:
    """Root types commands with a profile that the connector's user can write, and may read any file as the token."""
    home.register(replace(REKA, api_url=url), tmp_path)
    for ask in (lambda: home.find(REKA.name, tmp_path), lambda: home.profiles(tmp_path)):
        with pytest.raises(ConfigurationError, match="reka-probation") as told:
            ask()
        assert url == "" or url not in str(told.value)


@pytest.mark.parametrize("url", ["http://localhost:1", "http://127.0.0.1:1", "http://127.0.0.2:1", "http://[::1]:1"])
def test_con_6_a_connector_here_is_found_at_each_loopback_address(tmp_path: Path, url: str) -> None:
    home.register(replace(REKA, api_url=url), tmp_path)
    assert home.find(REKA.name, tmp_path).api_url == url
