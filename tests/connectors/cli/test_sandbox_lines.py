# SPDX-License-Identifier: Apache-2.0
"""What a sandbox tells one to try can be typed as it stands."""

import shlex
from pathlib import Path

import pytest

from connectors.cli.sandbox import lines

AGENCIES = [
    {"name": name, "desk": f"desk.{name}@hub.example", "api_url": "http://localhost:1"}
    for name in ("gora-prison", "reka-probation", "polje-csw")
]


@pytest.mark.parametrize("from_the_checkout", [True, False])
def test_the_command_to_try_names_files_that_are_there(
    from_the_checkout: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[3] if from_the_checkout else tmp_path)
    told = "\n".join(lines({"hub": {"url": "", "admin_url": "", "data_dir": ""}, "agencies": AGENCIES}))
    words = shlex.split(told.split("Try: ")[1].split("\n     throughcare")[0].replace("\\\n", " "))
    mapping, export = (Path(words[words.index(flag) + 1]) for flag in ("--mapping", "--input"))
    assert mapping.is_file()
    assert any(export.glob("*.json"))
    assert mapping.is_absolute() is not from_the_checkout


def test_addresses_stand_below_each_other_however_long_a_name_is() -> None:
    longest = {"name": "dolina-municipality", "desk": "desk.dolina@hub.example", "api_url": "http://localhost:1"}
    hub = {"url": "http://localhost:2", "admin_url": "http://localhost:3", "data_dir": "/data"}
    told = list(lines({"hub": hub, "agencies": [*AGENCIES, longest]}))
    assert {line.index("http://localhost") for line in told[:1] + told[2:6]} == {len("dolina-municipality  ")}
