# SPDX-License-Identifier: Apache-2.0
"""The connector's configuration says what to change, and never serves anybody but its own machine."""

from pathlib import Path

import pytest

from connectors.config import ConnectorSettings, load
from protocol.errors import ConfigurationError
from protocol.settings import load as load_text
from protocol.settings import render_example

MINIMAL = '[connector]\ndata_dir = "data"\npassphrase_file = "secret"\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "connector.toml"
    path.write_text(text)
    return path


def test_paths_count_from_the_file_that_names_them(tmp_path: Path) -> None:
    loaded = load(write(tmp_path, MINIMAL), {})
    assert loaded.settings.connector.data_dir == tmp_path / "data"


@pytest.mark.parametrize("host", ["::", "192.168.1.10", "localhost", "connector.example"])
def test_con_6_the_local_interface_cannot_be_given_another_address(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigurationError):
        load(write(tmp_path, MINIMAL + f'host = "{host}"\n'), {})


def test_production_reaches_its_hub_by_https_only(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        load(write(tmp_path, MINIMAL + 'hub_url = "http://localhost:8440"\n'), {})
    load(write(tmp_path, MINIMAL + 'hub_url = "https://hub.example"\n'), {})


def test_a_demo_may_use_plain_http_on_its_own_machine_only(tmp_path: Path) -> None:
    demo = MINIMAL + 'profile = "demo"\n'
    load(write(tmp_path, demo + 'hub_url = "http://localhost:8440"\n'), {})
    with pytest.raises(ConfigurationError):
        load(write(tmp_path, demo + 'hub_url = "http://hub.example"\n'), {})


def test_only_a_demo_lives_by_another_clock_than_the_machines(tmp_path: Path) -> None:
    load(write(tmp_path, MINIMAL + 'profile = "demo"\nclock_file = "clock"\n'), {})
    with pytest.raises(ConfigurationError, match="clock_file"):
        load(write(tmp_path, MINIMAL + 'clock_file = "clock"\n'), {})


def test_a_url_with_a_password_is_refused_without_repeating_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        load(write(tmp_path, MINIMAL + 'proxy = "http://user:pencil@proxy.example"\n'), {})
    assert "pencil" not in str(refusal.value)


def test_a_time_zone_that_there_is_not_is_refused_with_an_example(tmp_path: Path) -> None:
    load(write(tmp_path, MINIMAL + '[calendar]\nzone = "Europe/Sarajevo"\n'), {})
    for zone in ("Nowhere/City", "../../etc/passwd", ""):
        with pytest.raises(ConfigurationError, match="Europe/Belgrade"):
            load(write(tmp_path, MINIMAL + f'[calendar]\nzone = "{zone}"\n'), {})


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    loaded = load(write(tmp_path, MINIMAL + "port = 1\n"), {"THROUGHCARE_CONNECTOR__PORT": "0"})
    assert loaded.settings.connector.port == 0


def test_a_misspelt_key_is_named_with_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="data_dir"):
        load(write(tmp_path, '[connector]\ndatadir = "x"\n'), {})


def test_an_unreadable_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        load(tmp_path / "absent.toml", {})


def test_the_example_made_from_the_model_loads() -> None:
    example = render_example([("connector", ConnectorSettings)])
    load_text(ConnectorSettings, example, {})
