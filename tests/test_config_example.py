# SPDX-License-Identifier: Apache-2.0
"""config.example.toml says what the models say, and is a configuration that both programs accept."""

import re
from pathlib import Path

from connectors import config as connector_config
from hub import config as hub_config
from tests.config_example import TARGET, rendered


def test_the_example_is_what_the_models_say() -> None:
    assert TARGET.read_text(encoding="utf-8") == rendered(), "write it anew: python -m tests.config_example"


def test_both_programs_accept_the_example_once_the_hubs_choices_are_made(tmp_path: Path) -> None:
    file = tmp_path / "throughcare.toml"
    chosen = ("passphrase_file", "public_url", "behind_proxy")
    lines = rendered().splitlines()
    section = ""
    for number, line in enumerate(lines):
        section = line.split("]")[0] if line.startswith("[") else section
        key = re.match(r"# (\w+) = ", line)
        if section == "[hub" and key and key[1] in chosen:
            lines[number] = line.removeprefix("# ").replace("false", "true")
    file.write_text("\n".join(lines), encoding="utf-8")
    hub_config.load_settings(file, {})
    connector_config.load(file, {})
