# SPDX-License-Identifier: Apache-2.0
"""What a connector tidies up holds up nothing, whatever lies in its folders; it deletes only what is its own."""

import json
from pathlib import Path

import pytest

from connectors.attachment_files import FOLDER
from connectors.backup import open_backup
from connectors.logs import Log
from connectors.loops import Loops
from connectors.store import pruning
from protocol.errors import HubUnreachable, StoreFull
from protocol.limits import DAY
from tests.connectors.conftest import World
from tests.connectors.hand import count
from tests.connectors.stations import Station
from tests.connectors.test_attachments import SCAN, files, store
from tests.connectors.test_backup_attachments import OFFLINE, back_up

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")

LIKE_OURS = "in-7-" + "0f" * 16


def loops_of(station: Station, world: World) -> Loops:
    """Return loops that wait for nothing at the end of a round."""
    loops = Loops(station.parts, station.settings, world.hub.clock, Log(station.logged, json=True))
    loops._skipped.set()
    return loops


async def followed(station: Station, world: World) -> list[tuple[str, str]]:
    """Let one round of the directory's loop pass; return what part of it failed, with its code."""
    before, looked = len(station.logged.getvalue()), 0
    loops, sync = loops_of(station, world), station.parts.directory.sync

    async def sync_and_be_wanted() -> None:
        nonlocal looked
        await sync()
        looked += 1
        station.parts.directory.wanted.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(station.parts.directory, "sync", sync_and_be_wanted)
        await loops._follow()
    assert looked > 0
    events = [json.loads(line) for line in station.logged.getvalue()[before:].splitlines()]
    return [(one["part"], one["code"]) for one in events if one["event"] == "part-failed"]


def strew(folder: Path) -> set[Path]:
    for name in ("lost+found", LIKE_OURS, f"{LIKE_OURS}.part"):
        (folder / name).mkdir()
    for name in (".DS_Store", ".nfs0001", f"{LIKE_OURS}.bak", "notes.txt", "in-", "out"):
        (folder / name).touch()
    return set(folder.iterdir())


async def test_att_9_what_is_not_the_connectors_in_the_folder_of_attachments_is_left_alone(
    world: World, tmp_path: Path
) -> None:
    prison, folder = world.prison, world.prison.folder / FOLDER
    await store(prison, SCAN)
    there = strew(folder)
    for name in ("in-8-0f", "out-0f.part"):
        (folder / name).touch()
    assert await followed(prison, world) == []
    assert set(files(prison)) == there, "ours without a row are gone, and nothing else"
    back_up(prison, tmp_path / "backup")
    again = tmp_path / "again"
    again.mkdir()
    open_backup(tmp_path / "backup", OFFLINE, again)
    assert len(list((again / FOLDER).iterdir())) == 1


async def test_seq_4_a_file_that_cannot_be_deleted_does_not_stop_the_directory_from_being_followed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    prison, folder = world.prison, world.prison.folder / FOLDER
    await store(prison, SCAN)
    stuck, other = folder / "in-8-0f", folder / "in-9-0f"
    for path in (stuck, other):
        path.touch()
    unlink = Path.unlink

    def refuse(path: Path, *, missing_ok: bool = False) -> None:
        if path == stuck:
            raise PermissionError
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        assert await followed(prison, world) == [("attachments", "PermissionError")]
        assert stuck.exists()
        assert not other.exists(), "one that cannot be deleted keeps no other"
    assert await followed(prison, world) == []
    assert not stuck.exists()


async def test_seq_4_what_cannot_be_forgotten_stops_neither_the_directory_nor_the_sweep(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    prison, folder = world.prison, world.prison.folder / FOLDER
    await store(prison, SCAN)
    (folder / "in-8-0f").touch()

    async def full(*_: object) -> None:
        raise StoreFull

    monkeypatch.setattr(pruning, "forget_attempts", full)
    assert await followed(prison, world) == [("pruning", "store-full")]
    assert not (folder / "in-8-0f").exists()


async def test_con_10_what_is_old_is_forgotten_while_the_hub_is_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = await world.prison.send(world.probation.desk)
    await world.probation.collect()
    assert sent is not None
    assert await count(world.probation, "replay") == 1
    world.hub.clock.advance(pruning.REPLAY_KEPT + DAY)

    async def away() -> None:
        raise HubUnreachable

    monkeypatch.setattr(world.probation.parts.directory, "sync", away)
    with pytest.raises(HubUnreachable):
        await loops_of(world.probation, world)._follow()
    assert await count(world.probation, "replay") == 0
