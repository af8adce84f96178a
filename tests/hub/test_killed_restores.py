# SPDX-License-Identifier: Apache-2.0
"""A restore or a check of a backup that was killed has the hub's database lie about in clear: not for long (BAK-9)."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from hub.backups.restoring import verify
from hub.config import RESTORING_PREFIX
from hub.doctor import examine
from keys.workfolders import left_behind
from protocol.diagnosis import Condition, Finding
from protocol.errors import KeystoreError
from tests.hub.backups import OFFLINE, back_up, restore_at, seal_keys
from tests.hub.running import RunningHub, TestClock, make_settings
from tests.programme import NOW, Programme

pytestmark = pytest.mark.usefixtures("quick_keys")

PROGRAM = """
import asyncio, sys
from pathlib import Path
from tests.hub.backups import restore_at
from tests.passphrases import quick_passphrases
from tests.programme import make_programme

def stop_here(standing):
    print("asked", flush=True)
    sys.stdin.read()

folder, source, guard = map(Path, sys.argv[1:])
with quick_passphrases():
    asyncio.run(restore_at(folder, make_programme(), source, guard, agree=stop_here))
"""
"""A restore that waits for its operator's word."""


@pytest.fixture
async def lost(tmp_path: Path, programme: Programme) -> Path:
    """Return the folder of a hub that was lost, with its backup beside it."""
    folder = tmp_path / "lost"
    folder.mkdir()
    seal_keys(folder)
    async with RunningHub(folder, programme) as hub:
        sealed = programme.sender("gora-prison").seal(programme.members["reka-probation"].desk)
        await hub.device(programme.members["gora-prison"]).submit(sealed.data)
        await back_up(hub, tmp_path / "hub.backup")
    return folder


def killed_at_the_question(lost: Path) -> Path:
    """Kill a restore that has opened everything and waits; return its data folder."""
    folder = lost.parent / "new"
    asked = [sys.executable, "-c", PROGRAM, *map(str, (folder, lost.parent / "hub.backup", lost / "hub.guard"))]
    root = Path(__file__).parents[2]
    with subprocess.Popen(asked, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "asked\n"
        assert left_behind(folder, RESTORING_PREFIX) == []
        process.send_signal(signal.SIGKILL)
    (draft,) = folder.glob(f"{RESTORING_PREFIX}*")
    assert (draft / "hub.db").stat().st_size > 0
    os.utime(draft, (1, 1))
    return folder


async def doctor(folder: Path, programme: Programme) -> dict[str, Finding]:
    return {one.check: one for one in await examine(make_settings(folder, programme), TestClock(NOW))}


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signal")
async def test_bak_9_the_doctor_names_what_a_killed_restore_has_left_and_the_next_restore_deletes_it(
    lost: Path, programme: Programme
) -> None:
    folder = killed_at_the_question(lost)
    (draft,) = folder.glob(f"{RESTORING_PREFIX}*")
    found = (await doctor(folder, programme))["working copy"]
    assert (found.condition, str(draft) in (found.fix or "")) == (Condition.WARNING, True)
    assert (await restore_at(folder, programme, lost.parent / "hub.backup", lost / "hub.guard")).certain
    assert list(folder.glob(f"{RESTORING_PREFIX}*")) == []
    assert "working copy" not in await doctor(folder, programme)


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signal")
async def test_bak_9_a_hub_that_is_started_instead_deletes_it_too(lost: Path, programme: Programme) -> None:
    folder = killed_at_the_question(lost)
    async with RunningHub(folder, programme):
        assert list(folder.glob(f"{RESTORING_PREFIX}*")) == []


async def test_bak_9_a_check_of_a_backup_deletes_what_a_killed_one_has_left(
    lost: Path, programme: Programme, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    left = place / "throughcare-hub-backup-0"
    left.mkdir()
    (left / "hub.db").write_bytes(b"who wrote to whom")
    os.utime(left, (time.time() - 60,) * 2)
    stranger = place / "throughcare-hub-backup-$(reboot)"
    stranger.mkdir()
    os.utime(stranger, (time.time() - 60,) * 2)
    found = (await doctor(lost, programme))["opened backup"]
    assert (found.condition, str(left) in (found.fix or "")) == (Condition.WARNING, True)
    assert f"'{stranger}'" in (found.fix or ""), "whoever types that deletes a folder, and does nothing else"
    own = stranger.stat().st_uid
    with monkeypatch.context() as another:
        another.setattr(os, "geteuid", lambda: own + 1)
        assert "opened backup" not in await doctor(lost, programme), "another user's is not for this one to delete"
    settings = make_settings(tmp_path, programme)
    await verify(tmp_path / "hub.backup", OFFLINE, settings)
    assert list(place.iterdir()) == []
    (tmp_path / "hub.backup").write_bytes(b"cut")
    with pytest.raises(KeystoreError):
        await verify(tmp_path / "hub.backup", OFFLINE, settings)
    assert list(place.iterdir()) == []
