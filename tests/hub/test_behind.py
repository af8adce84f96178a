# SPDX-License-Identifier: Apache-2.0
"""A process that has seen its database go back begins on it no more, whatever its own guard knows (AUD-8)."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.app import Hub
from hub.backups.restoring import Evidence, restore_in_place
from hub.config import DATABASE_NAME, GUARD_NAME
from hub.logs import make_log
from hub.migrations import move, revision_of
from hub.service.behind import BEHIND_NAME, check_not_behind, noting
from hub.service.guard import Guard
from hub.store.engine import News
from hub.store.opening import look, open_store
from keys import privatefile
from protocol.errors import StoreBehind, StoreFailed, Unavailable
from protocol.limits import DAY
from tests.hub.backups import agreed, back_up, resume_at, seal_keys
from tests.hub.pairs import KEEP, PUT_BACK, Pair, pair
from tests.hub.running import KEYS, RunningHub, TestClock, make_settings, on_postgres
from tests.hub.test_doctor import looked_at
from tests.postgres import execute
from tests.programme import NOW, Programme

__all__ = ["pair"]

pytestmark = pytest.mark.usefixtures("quick_keys")


async def _fails() -> None:
    raise StoreBehind


async def _open(folder: Path, programme: Programme, *more: str) -> Hub:
    return await Hub.open(make_settings(folder, programme, *more), KEYS, log=make_log("error", "json"), rounds=False)


async def test_aud_8_a_process_that_saw_the_database_go_back_signs_nothing_after_a_new_start_either(
    pair: Pair, tmp_path: Path
) -> None:
    """Its guard knows less than it has shown, so a supervisor that starts it anew would have it sign leaf 1 twice."""
    prison, probation, _ = pair.programme.members.values()
    sender = pair.programme.sender("gora-prison")
    await pair.first.device(prison).submit(sender.seal(probation.desk).data)
    await pair.second.device(prison).submit(sender.seal(probation.desk).data)
    await execute(pair.url, *KEEP)
    await pair.first.device(prison).submit(sender.seal(probation.desk).data)
    pair.second.hub.neighbours.hear(News(frozenset(), 3, directory=False, before=2))
    shown = await pair.second.hub.mailboxes.read(probation.device_id, 0, 10)
    assert len(shown) == 3, "as over a websocket: with a receipt each, and without a group of its own"
    await execute(pair.url, *PUT_BACK)
    with pytest.raises(Unavailable):
        await pair.second.hub.submissions.submit(prison.device_id, sender.seal(probation.desk).data)
    assert pair.second.hub.writing is not None
    with pytest.raises(StoreBehind):
        await pair.second.hub.writing
    guard = Guard(pair.second.folder / GUARD_NAME)
    guard.read()
    assert guard.size_of("hub.example/audit") == 2, "by its guard alone it could begin"
    again = tmp_path / "again"
    shutil.copytree(pair.second.folder, again)
    for _ in range(2):
        with pytest.raises(StoreBehind, match="went back"):
            await _open(again, pair.programme, *on_postgres(pair.url))
    seal_keys(again)
    found = await looked_at(again, pair.programme, *on_postgres(pair.url))
    assert "went back" in found["guard"].found
    assert "restore --in-place" in (found["guard"].fix or "")
    with pytest.raises(StoreBehind, match="went back"):
        await back_up(pair.second, tmp_path / "worthless.backup")
    assert not (tmp_path / "worthless.backup").exists()


async def test_aud_8_gen_1_a_restore_that_begins_another_generation_is_enough(
    tmp_path: Path, postgres_url: str, programme: Programme
) -> None:
    """Also for the other processes, whose folders only get the new guard."""
    more = on_postgres(postgres_url)
    async with RunningHub(tmp_path, programme, more=more):
        with pytest.raises(StoreBehind):
            await noting(_fails(), tmp_path, 0)
    seal_keys(tmp_path)
    with pytest.raises(StoreBehind, match="went back"):
        await _open(tmp_path, programme, *more)
    settings = make_settings(tmp_path, programme, *more)
    assert not (await restore_in_place(settings, Evidence(), NOW + DAY, agreed)).certain
    await resume_at(tmp_path, programme, now=NOW + DAY, more=more)
    assert not (tmp_path / BEHIND_NAME).exists()
    (tmp_path / BEHIND_NAME).write_text("0")
    async with RunningHub(tmp_path, programme, TestClock(NOW + DAY), more=more) as hub:
        assert hub.hub.directory.directory.generation == 1
    with pytest.raises(StoreBehind):
        await noting(_fails(), tmp_path, 1)
    with pytest.raises(StoreBehind, match="went back"):
        await _open(tmp_path, programme, *more)


async def test_aud_8_a_restore_that_lost_nothing_is_enough_too(tmp_path: Path, programme: Programme) -> None:
    async with RunningHub(tmp_path, programme):
        with pytest.raises(StoreBehind):
            await noting(_fails(), tmp_path, 0)
    seal_keys(tmp_path)
    with pytest.raises(StoreBehind, match="went back"):
        await _open(tmp_path, programme)
    settings = make_settings(tmp_path, programme)
    assert (await restore_in_place(settings, Evidence(), NOW + DAY, agreed)).certain
    assert not (tmp_path / BEHIND_NAME).exists()
    async with RunningHub(tmp_path, programme, TestClock(NOW + DAY)):
        pass


@pytest.mark.parametrize("noted", [b"", b"\xff", b"123456"])
async def test_aud_8_a_note_that_cannot_be_read_does_not_outlive_the_restore(
    tmp_path: Path, programme: Programme, noted: bytes
) -> None:
    """Damaged by the disk that fails, it had the hub refuse every start, with nothing to be done but what was done."""
    async with RunningHub(tmp_path, programme):
        pass
    seal_keys(tmp_path)
    (tmp_path / BEHIND_NAME).write_bytes(noted)
    (tmp_path / GUARD_NAME).unlink()
    settings = make_settings(tmp_path, programme)
    assert not (await restore_in_place(settings, Evidence(), NOW + DAY, agreed)).certain
    await resume_at(tmp_path, programme, now=NOW + DAY)
    async with RunningHub(tmp_path, programme, TestClock(NOW + DAY)) as hub:
        assert hub.hub.directory.directory.generation == 1


async def test_aud_8_a_refused_start_writes_nothing_into_that_database(tmp_path: Path, programme: Programme) -> None:
    """Updated in the hope that it helps, it left a database that the version before opens no more."""
    async with RunningHub(tmp_path, programme):
        pass
    store = await open_store(tmp_path, make_settings(tmp_path, programme).store)
    await store.write(lambda connection: move(connection, "0006"))
    await store.close()
    (tmp_path / BEHIND_NAME).write_text("0")
    for name in (DATABASE_NAME, "another database"):
        with pytest.raises(StoreBehind, match="went back"):
            await _open(tmp_path, programme)
        revision = await look(tmp_path, make_settings(tmp_path, programme).store, revision_of)
        assert revision == ("0006" if name == DATABASE_NAME else None)
        (tmp_path / DATABASE_NAME).unlink()
    (tmp_path / BEHIND_NAME).unlink()


async def test_aud_8_other_ends_of_the_writer_are_not_noted(tmp_path: Path) -> None:
    async def fails() -> None:
        raise StoreFailed

    with pytest.raises(StoreFailed):
        await noting(fails(), tmp_path, 0)
    check_not_behind(tmp_path, 0)


async def test_aud_8_a_disk_without_room_for_the_note_hides_nothing_of_why_the_writer_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "")

    monkeypatch.setattr(privatefile, "open_made", full)
    with pytest.raises(StoreBehind):
        await noting(_fails(), tmp_path, 0)


@given(st.binary(max_size=12))
def test_aud_8_whatever_lies_in_the_note_but_an_earlier_generation_refuses(
    tmp_path_factory: pytest.TempPathFactory, noted: bytes
) -> None:
    folder = tmp_path_factory.mktemp("noted")
    (folder / BEHIND_NAME).write_bytes(noted)
    earlier = noted.isdigit() and len(noted) <= 5 and int(noted) < 3
    if earlier:
        check_not_behind(folder, 3)
    else:
        with pytest.raises(StoreBehind, match="store-behind"):
            check_not_behind(folder, 3)
