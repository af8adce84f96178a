# SPDX-License-Identifier: Apache-2.0
"""What docs/operations.md shows of help, errors and bad networks is what the programs print."""

import asyncio
import errno
import os
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from connectors.installation import AGENCY_ED25519, AGENCY_MLDSA65, KEYSTORE_FOLDER
from connectors.store.engine import DATABASE_FILE
from connectors.timing import system_clock
from hub.cli import main as hub_main
from keys.backupopening import make_backup_key
from keys.keystore import Keystore
from keys.sealedfile import SMALL
from protocol.http import reaching
from tests.connectors.running import WallClock, installed
from tests.connectors.stations import PASSPHRASE
from tests.hub.process import prepare
from tests.hub.running import RunningHub, TestClock
from tests.programme import Member, make_programme
from tests.scenarios.running import Spoken, Typist
from tests.scenarios.test_transcripts import OPERATIONS
from tests.tlsnames import certificate
from tests.transcripts import BLOCK, renewed
from tests.weather import Relay, Weather

pytestmark = pytest.mark.usefixtures("quick_keys")

FAULTS = "grep -A 1 -E '^(fault|warning)'"


def shown(*commands: str) -> list[str]:
    """Return the blocks of the page that begin with one of these commands."""
    blocks = re.findall(r"```\n(\$ .*?)```", OPERATIONS.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [str(block) for block in blocks if block.splitlines()[0][2:] in commands]


def told(command: str, printed: str, folder: Path) -> str:
    """Return a transcript without what differs from machine to machine."""
    text = f"$ {command}\n{printed}".replace(str(folder), "/var/lib")
    text = re.sub(r"(localhost:|port )\d+", r"\g<1>8440", text)
    return re.sub(r"\b(299|300|301) s\b", "300 s", text)


def test_the_help_texts_are_what_the_programs_print() -> None:
    page = OPERATIONS.read_text(encoding="utf-8")
    assert len(BLOCK.findall(page)) == 2
    assert page == renewed(page), "write them anew: python -m tests.transcripts"


class FastClock(TestClock):
    """A clock that is five minutes ahead."""

    def __call__(self) -> int:
        return system_clock() + 300_000


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[RunningHub]:
    folder = tmp_path / "hub"
    folder.mkdir()
    async with RunningHub(folder, make_programme(now=system_clock()), WallClock()) as running:
        yield running


async def seen(type_: Typist, folder: Path, hub_url: str, programme: object, *lines: str) -> str:
    """Return what a doctor says of the faults on the way to `hub_url`."""
    assert isinstance(programme, type(make_programme()))
    place, _ = installed(folder, programme, "reka-probation", hub_url)
    (place / DATABASE_FILE).chmod(0o600)
    config = folder / "connector.toml"
    said = [f'data_dir = "{place}"', f'passphrase_file = "{place / "passphrase"}"', 'profile = "demo"', *lines]
    config.write_text("[connector]\n" + "\n".join(said) + "\n")
    spoken = await asyncio.to_thread(type_, "doctor", "--config", config)
    return await asyncio.to_thread(_faults, spoken.out)


def _faults(printed: str) -> str:
    """Return what the page's filter leaves; of the way only, since this installation is a demo that never ran."""
    parts = re.split(r"(?m)^(?=(?:ok|fault|warning|skipped) )", printed)
    way = "".join(one for one in parts if one.split()[1:2] not in (["configuration"], ["directory"], ["certificate"]))
    return subprocess.run(["sh", "-c", FAULTS], input=way, capture_output=True, text=True, check=False).stdout


async def test_what_the_doctor_says_of_bad_networks_is_shown(
    tmp_path: Path, hub: RunningHub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaching, "STEP_S", 1.0)
    type_, command = Typist(capsys), f"throughcare doctor --config connector.toml | {FAULTS}"
    found = list[str]()
    for weather in (Weather(portal="page"), Weather(silent=True), Weather(upgrade="swallow")):
        async with Relay(hub.url, weather=weather) as relay:
            found.append(await seen(type_, tmp_path, relay.url, hub.programme))
    async with Relay(proxy=True, weather=Weather(password="office:secret")) as proxy:
        found.append(await seen(type_, tmp_path, "https://hub.example", hub.programme, f'proxy = "{proxy.url}"'))
    (tmp_path / "other").mkdir()
    async with RunningHub(tmp_path / "other", hub.programme, FastClock()) as ahead:
        found.append(await seen(type_, tmp_path, ahead.url, hub.programme))
    (tmp_path / "secure").mkdir()
    made = certificate(tmp_path, "localhost", 30)
    async with RunningHub(tmp_path / "secure", hub.programme, WallClock(), certificate=made) as secure:
        found.append(await seen(type_, tmp_path, secure.url, hub.programme))
    # A doctor waits ten seconds; the test does not.
    assert shown(command) == [told(command, one, tmp_path).replace("for 1 seconds", "for 10 seconds") for one in found]


async def test_what_errors_say_is_shown(
    tmp_path: Path, hub: RunningHub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    type_ = Typist(capsys)
    found = dict[str, str]()

    def heard(command: str, spoken: Spoken) -> None:
        assert spoken.code
        found[command] = told(command, spoken.err, tmp_path)

    place, _ = installed(tmp_path, hub.programme, "reka-probation", "http://localhost:9")
    _give_identity(place, hub.programme.members["reka-probation"])
    config = tmp_path / "connector.toml"
    config.write_text("[connector]\nprot = 8450\n")
    command = "throughcare connector run --config connector.toml"
    monkeypatch.chdir(tmp_path)
    heard(command, await asyncio.to_thread(type_, *command.split()[1:]))
    config.write_text(
        f'[connector]\ndata_dir = "{place}"\npassphrase_file = "{place / "passphrase"}"\nprofile = "demo"\n'
    )
    command = "throughcare officer add --config connector.toml duty-officer"
    heard(command, await asyncio.to_thread(type_, *command.split()[1:]))
    _, public = make_backup_key(tmp_path / "offline", b"invented", SMALL)
    assert public.is_file()
    monkeypatch.setattr(os, "fsync", _full)
    command = "throughcare backup today.backup --config connector.toml --public-key offline/backup.pub"
    heard(command, await asyncio.to_thread(type_, *command.split()[1:]))
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path)
    (tmp_path / "data" / "passphrase").write_text("another")
    command = "throughcare-hub check --config hub.toml"
    done = await asyncio.to_thread(CliRunner().invoke, hub_main, command.split()[1:])
    heard(command, Spoken(done.exit_code, done.stdout, done.stderr))
    assert shown(*found) == list(found.values())


def _give_identity(place: Path, member: Member) -> None:
    """Give an installation the agency's keys, which the connectors of tests do not need."""
    keystore = Keystore.open(place / KEYSTORE_FOLDER, PASSPHRASE)
    for name, seed in zip((AGENCY_ED25519, AGENCY_MLDSA65), member.identity.seeds, strict=True):
        keystore.put(name, name, seed)


def _full(_: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
