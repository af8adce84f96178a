# SPDX-License-Identifier: Apache-2.0
"""What docs/operations.md shows of a hub's backup, restore and resume is what they print, but for times and sizes."""

import asyncio
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from connectors.timing import system_clock
from hub.cli import main
from keys.backupfile import backup_identity, read_backup_public
from keys.backupopening import make_backup_key
from keys.backuptrust import backup_words
from keys.sealedfile import SMALL
from protocol.witness import Witness, encode_witness
from tests.hub.backups import passphrase_in, seal_keys, signed_by_authority
from tests.hub.running import RunningHub, TestClock, settings_text
from tests.programme import make_programme

pytestmark = pytest.mark.usefixtures("quick_keys")

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
BACKUP = "hub-2027-01-20T10.backup"
VERBS = ("backup", "restore", "resume")


class WallClock(TestClock):
    """The machine's clock."""

    def __call__(self) -> int:
        return system_clock()


def shown() -> list[str]:
    """Return the transcripts on the page, in their order."""
    blocks = re.findall(r"```\n(\$ throughcare-hub .*?)```", OPERATIONS.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [str(block) for block in blocks if block.split()[2] in VERBS]


def typed(command: str, *answers: str, code: int = 0) -> str:
    """Type a command in the current folder; return what the terminal shows, without what differs each time."""
    done = CliRunner().invoke(main, command.split()[1:], input="".join(f"{answer}\n" for answer in answers))
    assert done.exit_code == code, done.output
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "2027-01-20T10:00:00Z", done.output)
    text = re.sub(r"\d+ bytes", "38912 bytes", text).replace(str(Path.cwd()), "/var/lib")
    lines = [line.rstrip() for line in text.splitlines()]
    return "\n".join([f"$ {command}", *lines, ""])


async def test_the_transcripts_of_a_restore_are_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder, lost, programme = tmp_path / "throughcare-hub", tmp_path / "lost", make_programme(now=system_clock())
    prison, office, _ = programme.members.values()
    sender = programme.sender("gora-prison")
    folder.mkdir()
    seal_keys(folder)
    (tmp_path / "hub.toml").write_text(settings_text(folder, programme))
    kept, public = make_backup_key(tmp_path / "offline", b"invented", SMALL)
    for file in (kept, public):
        file.rename(tmp_path / file.name)
    said = list[str]()
    async with RunningHub(folder, programme, WallClock()) as hub:
        await hub.device(prison).submit(sender.seal(office.desk, now=system_clock()).data)
        command = f"throughcare-hub backup {BACKUP} --config hub.toml --public-key backup.pub"
        told = await asyncio.to_thread(typed, command)
        words = " ".join(backup_words(backup_identity(read_backup_public(tmp_path / "backup.pub"))))
        said.append(told.replace(words, "very sand bird …"))
        receipt = await hub.device(prison).submit(sender.seal(office.desk, now=system_clock()).data)
        programme.revoke_device(programme.members["polje-csw"])
        await hub.catch_up()
        shown_by_reka = Witness(await hub.hub.directory.head(), receipt, tuple(programme.statements))
    (tmp_path / "reka.witness").write_bytes(b"".join(encode_witness(shown_by_reka)))
    folder.rename(lost)
    passphrase_in(folder)
    shutil.copy(lost / "hub.guard", tmp_path / "old-hub.guard")

    restore = f"throughcare-hub restore {BACKUP} --config hub.toml --key backup.key --guard old-hub.guard"
    said.append(await asyncio.to_thread(typed, restore, "invented", code=3))
    mistyped = await asyncio.to_thread(typed, f"{restore} --witness reka.witness", "invented", "hub.exmaple", code=3)
    assert mistyped.endswith(f"next:  the same command, and type {programme.domain}\n")
    restored = await asyncio.to_thread(typed, f"{restore} --witness reka.witness", "invented", programme.domain, code=0)
    said.append(restored.replace(words, "very sand bird …"))
    (tmp_path / "1.statement").write_bytes(signed_by_authority(folder, programme, now=system_clock()))
    resume = "throughcare-hub resume --config hub.toml --statement 1.statement"
    said.append(await asyncio.to_thread(typed, resume))
    assert shown() == said
