# SPDX-License-Identifier: Apache-2.0
"""A restore that is cut off anywhere never loses keys that it has published: the next try goes on with them (BAK-7)."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from connectors.hub_client import HubClient
from connectors.installation import KEYSTORE_FOLDER, RESTORATION_FILE, Installation, open_installation
from connectors.restoring import DRAFT_FOLDER, restoring_into
from connectors.timing import system_clock
from protocol.errors import Conflict, HubUnreachable
from tests.connectors.stations import PASSPHRASE
from tests.scenarios.drills import Drill, opened_drill
from tests.scenarios.running import Typist

pytestmark = pytest.mark.usefixtures("quick_keys")


@pytest.fixture
async def drill(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Drill]:
    async with opened_drill(tmp_path, Typist(capsys)) as made:
        await made.run_and_back_up()
        yield made


def in_force(drill: Drill) -> Installation:
    """Return what was restored, after a look whether the hub knows its device."""
    installation = open_installation(drill.new, PASSPHRASE)
    directory = drill.hub.hub.directory.directory
    assert directory.device_in_force(installation.device.key_id, at=system_clock(), size=directory.size)
    return installation


def known(drill: Drill) -> int:
    """Return how many statements the hub has."""
    return drill.hub.hub.directory.directory.size


async def test_bak_7_a_restore_whose_answer_is_lost_goes_on_with_the_device_that_it_published(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, submit = known(drill), HubClient.submit_statement

    async def loses_the_answer(hub: HubClient, statement: bytes) -> int:
        await submit(hub, statement)
        raise HubUnreachable

    with monkeypatch.context() as patched:
        patched.setattr(HubClient, "submit_statement", loses_the_answer)
        said = await drill.restore(code=7)
    assert "goes on with that one" in said
    assert known(drill) == before + 1
    assert "Type `throughcare restore` again" in await drill.type("doctor", "--config", _configuration(drill), code=1)
    await drill.restore()
    assert known(drill) == before + 1
    in_force(drill)
    assert "something in that folder" in await drill.restore(code=6)


async def test_bak_7_wherever_a_restore_is_cut_off_the_next_one_ends_it(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lay on the disk before each step is tried: as after a crash, nothing was tidied up."""
    cuts, replace = list[Path](), Path.replace

    def cut() -> None:
        copy = drill.folder / f"cut-{len(cuts)}"
        shutil.copytree(drill.new, copy)
        cuts.append(copy)

    def noted(path: Path, target: Path) -> Path:
        of_a_key = path.parent.name == KEYSTORE_FOLDER  # of those the first one will do
        if drill.new in path.parents and not (cuts and of_a_key):
            cut()
        return replace(path, target)

    async def unreachable(hub: HubClient, statement: bytes) -> int:
        cut()
        raise HubUnreachable

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", noted)
        patched.setattr(HubClient, "submit_statement", unreachable)
        await drill.restore(code=7)
    begun = [any((one / name).exists() for name in _MARKS) for one in cuts]
    assert (begun.count(False), begun.count(True)) == (2, 4), "half a draft and a whole one; each move, and the end"
    devices = list[bytes]()
    for number, one in enumerate(cuts):
        before = known(drill)
        shutil.rmtree(drill.new)
        one.rename(drill.new)
        await drill.restore()
        devices.append(in_force(drill).device.key_id)
        first_with_its_keys = not begun[number] or not begun[number - 1]
        assert known(drill) == before + first_with_its_keys, number
        assert {path.name for path in drill.new.iterdir()}.isdisjoint({RESTORATION_FILE, DRAFT_FOLDER})
    assert len(set(devices)) == 3, "a device for each try that was cut off before there was one, and that one"


_MARKS = (RESTORATION_FILE, f"{DRAFT_FOLDER}/{RESTORATION_FILE}")


async def test_bak_7_a_link_or_a_disk_of_its_own_is_restored_into(drill: Drill) -> None:
    """Neither can be replaced by another folder: what lies there is what counts."""
    place = drill.folder / "private"
    (place / "lost+found").mkdir(parents=True)
    drill.new.symlink_to(place)
    await drill.restore()
    in_force(drill)
    assert drill.new.is_symlink()
    assert place.stat().st_mode & 0o777 == 0o700


async def test_bak_7_another_backup_is_not_restored_over_one_that_is_under_way(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreachable(hub: HubClient, statement: bytes) -> int:
        raise HubUnreachable

    with monkeypatch.context() as patched:
        patched.setattr(HubClient, "submit_statement", unreachable)
        await drill.restore(code=7)
    key = ("--key", drill.folder / "offline" / "backup.key", "--key-passphrase-file", drill.passphrase)
    nobody = await drill.type("restore", drill.backup, *key, "--data-dir", drill.new, code=8)
    assert "The passphrase of the keystore is needed" in nobody, "there is one, so it is asked for once (KEY-6)"
    nobody = await drill.type("restore", drill.backup, *key, "--data-dir", drill.folder / "other", code=8)
    assert "The new passphrase of the keystore is needed" in nobody
    before, first = known(drill), drill.backup
    drill.backup = drill.folder / "later.backup"
    public = drill.folder / "offline" / "backup.pub"
    await drill.type("backup", drill.backup, "--config", drill.old / "connector.toml", "--public-key", public)
    said = await drill.restore(code=6)
    assert "a restore of another backup is under way" in said
    assert "next:  the same command with that backup; or empty the folder" in said
    assert known(drill) == before
    drill.backup = first
    await drill.restore()
    in_force(drill)


def _configuration(drill: Drill) -> Path:
    """Return a configuration of what is not restored yet."""
    file = drill.folder / "unfinished.toml"
    file.write_text(f'[connector]\ndata_dir = "{drill.new}"\npassphrase_file = "{drill.passphrase}"\n')
    return file


async def test_bak_7_whoever_comes_second_to_a_restore_leaves_its_lock_and_its_draft_alone(drill: Drill) -> None:
    with restoring_into(drill.new, drill.backup) as place:
        (place.draft / "connector.db").write_bytes(b"of the first")
        for _ in range(2):
            with pytest.raises(Conflict), restoring_into(drill.new, drill.backup):
                pass
        assert (place.draft / "connector.db").read_bytes() == b"of the first"
    assert not drill.new.exists()
