# SPDX-License-Identifier: Apache-2.0
"""Configuration: precedence, suggestions, secrets by file only, and an example that is true."""

import tomllib
from pathlib import Path

import pytest
from pydantic import Field

from protocol.errors import ConfigurationError
from protocol.settings import ConfigPath, Origin, Section, Settings, explain, load, render_example


class Server(Section):
    domain: str = Field(description="The hub's domain.", examples=["hub.example"])
    port: int = Field(8440, ge=0, le=65_535, description="The port to listen on.")
    names: list[str] = Field([], description="Names it answers to.")
    passphrase_file: ConfigPath | None = Field(
        None, description="Where the passphrase stands.", examples=["passphrase"]
    )
    folder: ConfigPath = Field(Path("data"), description="Where data stands.")


class Log(Section):
    level: str = Field("info", description="How much is logged.")


class Program(Settings):
    server: Server
    log: Log


class Other(Settings):
    client: Server
    log: Log


MINIMAL = '[server]\ndomain = "hub.example"\n'


def test_the_environment_goes_before_the_file_and_the_file_before_the_default() -> None:
    text = MINIMAL + "port = 1\n"
    loaded = load(Program, text, {"THROUGHCARE_SERVER__PORT": "2", "PATH": "x", "THROUGHCARE_HOME": "y"})
    assert loaded.settings.server.port == 2
    assert explain(loaded, "server.port").origin is Origin.ENVIRONMENT
    assert explain(load(Program, text, {}), "server.port").origin is Origin.FILE
    shown = explain(load(Program, MINIMAL, {}), "server.port")
    assert (shown.origin, shown.value, shown.description) == (Origin.DEFAULT, "8440", "The port to listen on.")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (MINIMAL + "prot = 1\n", "did you mean server.port?"),
        (MINIMAL + "[sever]\n", "did you mean server?"),
        (MINIMAL + "xyzzy = 1\n", "known are: domain, folder, names, passphrase_file, port."),
        ("server = 1\n", "write [server]"),
        ("[server]\n", "server.domain must be set"),
        (MINIMAL + "port = 70000\n", "server.port cannot be used"),
        ("[server\n", "line 1, column 8"),
    ],
)
def test_a_faulty_file_is_refused_with_the_key_and_a_hint(text: str, hint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(Program, text, {})
    assert hint in caught.value.detail


def test_an_unknown_key_in_the_environment_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="SERVER__PROT; did you mean"):
        load(Program, MINIMAL, {"THROUGHCARE_SERVER__PROT": "1"})


@pytest.mark.parametrize("environment", [{}, {"THROUGHCARE_SERVER__PASSPHRASE": "hunter2"}])
def test_a_secret_in_the_configuration_is_refused_and_not_repeated(environment: dict[str, str]) -> None:
    text = MINIMAL if environment else MINIMAL + 'passphrase = "hunter2"\n'
    with pytest.raises(ConfigurationError, match="passphrase_file") as caught:
        load(Program, text, environment)
    assert "hunter2" not in caught.value.detail


@pytest.mark.parametrize("text", [MINIMAL + 'port = "hunter2"\n', '[server]\ndomain = ["hunter2"]\n', "[hunter2"])
def test_err_2_no_message_repeats_a_value(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(Program, text, {})
    assert "hunter2" not in caught.value.detail


def test_relative_paths_count_from_the_file() -> None:
    loaded = load(Program, MINIMAL + 'passphrase_file = "p"\n', {}, base=Path("/etc/throughcare"))
    assert loaded.settings.server.passphrase_file == Path("/etc/throughcare/p")
    assert loaded.settings.server.folder == Path("/etc/throughcare/data")


def test_lists_come_from_the_environment_with_commas_or_as_json() -> None:
    for value in ("a, b", '["a", "b"]'):
        assert load(Program, MINIMAL, {"THROUGHCARE_SERVER__NAMES": value}).settings.server.names == ["a", "b"]
    with pytest.raises(ConfigurationError, match="not a JSON list"):
        load(Program, MINIMAL, {"THROUGHCARE_SERVER__NAMES": "[a"})


def test_sections_of_other_programs_are_left_alone() -> None:
    text = MINIMAL + "[client]\nwhatever = 1\n"
    assert load(Program, text, {"THROUGHCARE_CLIENT__X": "1"}, others={"client"}).settings.server.port == 8440
    with pytest.raises(ConfigurationError, match="client"):
        load(Program, text, {})


def test_the_example_serves_both_programs_with_the_defaults() -> None:
    example = render_example([("hub", Program), ("connector", Other)])
    assert "[log]  # read by hub and connector" in example
    assert tomllib.loads(example) == {
        "server": {"domain": "hub.example"},
        "client": {"domain": "hub.example"},
        "log": {},
    }
    for model, other in ((Program, "client"), (Other, "server")):
        section = next(iter(model.model_fields))
        whole = load(model, example, {}, others={other}).settings
        uncommented = "\n".join(line.removeprefix("# ") if " = " in line else line for line in example.splitlines())
        again = load(model, uncommented, {}, others={other}).settings
        assert getattr(again, section).model_copy(update={"passphrase_file": None}) == getattr(whole, section)
