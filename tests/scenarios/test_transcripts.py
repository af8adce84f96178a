# SPDX-License-Identifier: Apache-2.0
"""What docs/operations.md shows of the doctors is what they print, apart from paths, ports and the disk's size."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from connectors.store.engine import DATABASE_FILE
from connectors.timing import system_clock
from hub.cli import main as hub_main
from hub.config import DATABASE_NAME
from hub.service.signingkeys import create_keys
from tests.connectors.stations import PASSPHRASE, install, open_station
from tests.hub.running import RunningHub, TestClock, make_settings, settings_text
from tests.programme import Programme, make_programme
from tests.scenarios.running import Typist

pytestmark = pytest.mark.usefixtures("quick_keys")

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


def shown() -> list[str]:
    """Return the doctors' transcripts on the page: blocks that begin with a prompt and show the whole."""
    blocks = re.findall(r"```\n(\$ throughcare.*?)```", OPERATIONS.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [str(block) for block in blocks if " doctor " in block.splitlines()[0] and "|" not in block.splitlines()[0]]


def plain(command: str, printed: str, folder: Path) -> str:
    """Return a transcript without what differs from machine to machine."""
    lines = list(_without_sqlite(printed.splitlines()))
    warnings = sum(line.startswith("warning") for line in lines)
    counted = f"{warnings or 'no'} warning{'' if warnings == 1 else 's'}"
    lines[-1] = re.sub(r"(\d+|no) warnings?$", counted, lines[-1])
    # On the page the file is typed as somebody types it who stands beside it.
    text = "\n".join([f"$ {command}", *lines, ""]).replace(f"--config {folder}/", "--config ")
    text = text.replace(str(folder), "/var/lib")
    text = re.sub(r"(localhost:|port )\d+", r"\g<1>8440", text)
    return re.sub(r"[\d.]+ GiB free", "40.0 GiB free", text)


def _without_sqlite(lines: list[str]) -> Iterator[str]:
    """Yield the lines but those on the machine's SQLite, which may be an old one."""
    dropping = False
    for line in lines:
        dropping = " sqlite " in line or (dropping and line.lstrip().startswith("fix:"))
        if not dropping:
            yield line


class WallClock(TestClock):
    """The machine's clock."""

    def __call__(self) -> int:
        return system_clock()


@pytest.fixture
def programme() -> Programme:
    """Return a programme of now: the programs go by the machine's clock."""
    return make_programme(now=system_clock())


async def test_the_doctors_transcripts_are_real(
    tmp_path: Path, programme: Programme, capsys: pytest.CaptureFixture[str]
) -> None:
    type_ = Typist(capsys)
    hub_folder, folder = tmp_path / "throughcare-hub", tmp_path / "throughcare"
    hub_folder.mkdir()
    hub_config, config = tmp_path / "hub.toml", tmp_path / "connector.toml"
    _passphrase(hub_folder, b"invented")
    create_keys(make_settings(hub_folder, programme))
    hub_config.write_text(settings_text(hub_folder, programme))
    member = programme.members["reka-probation"]
    async with RunningHub(hub_folder, programme, WallClock()):
        pass
    older = (hub_folder / DATABASE_NAME).read_bytes()
    async with RunningHub(hub_folder, programme, WallClock()) as hub:
        installation = install(folder, member, programme, hub.url)
        _passphrase(folder, PASSPHRASE)
        (folder / DATABASE_FILE).chmod(0o600)
        config.write_text(
            f'[connector]\ndata_dir = "{folder}"\npassphrase_file = "{folder / "passphrase"}"\nprofile = "demo"\n'
        )
        async with open_station(folder, member, installation, system_clock) as station:
            await station.look()
        well = await asyncio.to_thread(type_, "doctor", "--config", config)
        programme.add_prekey(member, epoch=2, age=0)
        await hub.catch_up()
    assert well.code == 0
    (folder / DATABASE_FILE).chmod(0o644)
    ill = await asyncio.to_thread(type_, "doctor", "--config", config)
    assert ill.code == 1
    (hub_folder / DATABASE_NAME).write_bytes(older)
    hub_ill = await asyncio.to_thread(CliRunner().invoke, hub_main, ["doctor", "--config", str(hub_config)])
    assert hub_ill.exit_code == 1
    own, operators = "throughcare doctor --config connector.toml", "throughcare-hub doctor --config hub.toml"
    assert shown() == [
        plain(own, well.out, tmp_path),
        plain(own, ill.out, tmp_path),
        plain(operators, hub_ill.stdout, tmp_path),
    ]


def _passphrase(folder: Path, passphrase: bytes) -> None:
    (folder / "passphrase").touch(mode=0o600)
    (folder / "passphrase").write_bytes(passphrase)
