# SPDX-License-Identifier: Apache-2.0
"""The doctor names what a killed backup or check has left, until the next of its kind deletes it (BAK-9)."""

import os
import tempfile
import time
from pathlib import Path

import pytest

from connectors.backup import LOCK_FILE, _copied, left_behind
from connectors.doctor.files import examine_left
from connectors.store.engine import DATABASE_FILE
from connectors.store.lock import InstallationLock
from protocol.diagnosis import Condition
from tests.connectors.conftest import World
from tests.connectors.test_doctor import looked_at


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder for temporary files, empty."""
    found = tmp_path / "temporary"
    found.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(found))
    return found


async def test_bak_9_the_doctor_names_the_copy_of_a_killed_backup_and_none_that_is_being_made(
    world: World, place: Path
) -> None:
    folder = world.prison.folder
    assert list(examine_left(folder)) == []
    assert not (folder / LOCK_FILE).exists(), "looking makes no file"
    with _copied(folder) as copy:
        assert list(examine_left(folder)) == []
        left = copy.read_bytes()
    copy.write_bytes(left)
    found = (await looked_at(world.prison, world.hub.clock))["working copy"]
    assert (found.check, found.condition) == ("working copy", Condition.WARNING)
    assert str(copy) in (found.fix or "")
    with _copied(folder):
        assert list(examine_left(folder)) == [], "the next one has removed it"
    assert list(examine_left(folder)) == []
    assert (folder / DATABASE_FILE).exists()


def test_bak_9_the_doctor_names_what_a_killed_check_has_opened(world: World, place: Path) -> None:
    left = place / "throughcare-backup-0"
    left.mkdir()
    os.utime(left, (time.time() - 60,) * 2)
    (place / "throughcare-backup-1").symlink_to(left)
    assert left_behind(world.prison.folder) == [left]


def test_a_lock_is_seen_to_be_held_and_is_not_taken_by_looking(tmp_path: Path) -> None:
    lock = InstallationLock(tmp_path / "lock")
    assert not lock.is_held()
    with lock:
        assert InstallationLock(tmp_path / "lock").is_held()
    assert not lock.is_held()
    with lock:
        pass
