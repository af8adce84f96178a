# SPDX-License-Identifier: Apache-2.0
"""The guard: a database that lost or changed anything is not served, whatever SQLite says of it."""

import errno
import os
import random
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

from hub.app import Hub
from hub.logs import Event, make_log
from hub.service import guard as guard_module
from hub.service.guard import Guard, GuardedHead
from hub.service.logcheck import check_everything
from hub.service.signingkeys import SigningKeys
from protocol.errors import StoreBehind, StoreFailed
from protocol.limits import MINUTE
from tests.hub.running import KEYS, RunningHub, TestClock
from tests.programme import Programme, make_programme


def head(size: int, origin: str = "hub.example/audit") -> GuardedHead:
    return GuardedHead(origin, size, bytes([size]) * 32, 1_000 + size)


def read(path: Path) -> Guard:
    guard = Guard(path)
    guard.read()
    return guard


def opened(path: Path) -> Guard:
    guard = read(path)
    guard.start(guard.heads.values())
    return guard


def test_aud_3_what_is_appended_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "hub.guard"
    guard = opened(path)
    guard.append([head(1), head(7, "hub.example/directory")])
    guard.append([head(2)])
    guard.append([])
    guard.close()
    assert read(path).heads == {
        "hub.example/audit": head(2),
        "hub.example/directory": head(7, "hub.example/directory"),
    }
    assert path.stat().st_mode & 0o777 == 0o600


def test_aud_4_a_torn_last_line_is_left_out_and_told(tmp_path: Path) -> None:
    path = tmp_path / "hub.guard"
    guard = opened(path)
    guard.append([head(1)])
    guard.append([head(2)])
    guard.close()
    whole = path.read_bytes()
    for cut in range(1, len(head(2).line())):
        path.write_bytes(whole[:-cut])
        torn = read(path)
        assert torn.torn
        assert torn.heads == {"hub.example/audit": head(1)}
    restarted = opened(path)
    restarted.close()
    assert not read(path).torn


def test_aud_4_a_line_of_which_any_part_did_not_reach_the_disk_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "hub.guard"
    guard = opened(path)
    guard.append([head(1)])
    begin = len(head(1).line())
    guard.append([head(2)])
    end = begin + len(head(2).line())
    whole = path.read_bytes()
    guard.close()
    assert whole[end:] == bytes(len(whole) - end)
    for first in range(begin, end, 8):
        for last in range(first + 8, end + 8, 8):
            path.write_bytes(whole[:first] + bytes(last - first) + whole[last:])
            torn = read(path)
            assert torn.heads == {"hub.example/audit": head(1)}
            # Of a line that is not there at all nothing shows.
            assert torn.torn == (first > begin or last < end)


def test_aud_3_each_line_is_synced_before_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "hub.guard"
    guard = opened(path)

    def failing(file: int) -> None:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(os, "fdatasync", failing)
    with pytest.raises(OSError, match="input/output"):
        guard.append([head(1), head(7, "hub.example/directory")])
    assert path.read_bytes().rstrip(b"\0") == head(1).line()
    assert guard.heads == {}
    guard.close()


@pytest.mark.parametrize("most", [700, 1 << 20])
def test_lines_go_into_room_that_is_made_ahead_or_where_there_is_none_behind_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:most]))
    path = tmp_path / "hub.guard"
    guard = opened(path)
    room = path.stat().st_size
    assert room == (guard_module.COMPACT_ABOVE if most > guard_module.COMPACT_ABOVE else 0)
    for size in (1, 2, 3):
        guard.append([head(size)])
    lines = b"".join(head(size).line() for size in (1, 2, 3))
    assert path.read_bytes() == lines.ljust(room, b"\0")
    guard.close()
    assert path.read_bytes() == lines


@pytest.mark.parametrize("position", [0, 20, 40, 60])
def test_aud_4_an_altered_line_is_refused(tmp_path: Path, position: int) -> None:
    path = tmp_path / "hub.guard"
    guard = opened(path)
    guard.append([head(1)])
    guard.append([head(2)])
    guard.close()
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreBehind, match="altered"):
        read(path)


def test_aud_4_a_guard_whose_sizes_go_back_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hub.guard"
    path.write_bytes(head(5).line() + head(4).line() + head(6).line())
    with pytest.raises(StoreBehind, match="altered"):
        read(path)


def test_the_guard_is_rewritten_before_it_grows_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_module, "COMPACT_ABOVE", 1_000)
    path = tmp_path / "hub.guard"
    guard = opened(path)
    for size in range(1, 60):
        guard.append([head(size)])
        assert path.stat().st_size < 1_400
        assert read(path).heads == {"hub.example/audit": head(size)}
    guard.close()
    assert [one.name for one in tmp_path.iterdir()] == ["hub.guard"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which files a process has open")
def test_where_open_files_cannot_be_replaced_the_guard_closes_them_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace

    def as_on_windows(self: Path, target: Path) -> Path:
        held = {os.path.realpath(one) for one in sorted(Path("/proc/self/fd").iterdir())}
        if {str(self.resolve()), str(target.resolve())} & held:
            raise PermissionError(errno.EACCES, "the file is open")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", as_on_windows)
    with pytest.raises(StoreFailed):
        opened(tmp_path / "refused.guard")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(guard_module, "_MOVES_OPEN_FILES", False)
    monkeypatch.setattr(guard_module, "COMPACT_ABOVE", 1_000)
    path = tmp_path / "hub.guard"
    guard = opened(path)
    for size in range(1, 60):
        guard.append([head(size)])
        assert read(path).heads == {"hub.example/audit": head(size)}
    guard.close()
    assert [one.name for one in tmp_path.iterdir()] == ["hub.guard"]


async def fill(folder: Path, programme: Programme, count: int) -> None:
    async with RunningHub(folder, programme) as hub:
        prison, probation, _ = programme.members.values()
        sender = programme.sender("gora-prison")
        results = await hub.device(prison).submit_batch([sender.seal(probation.desk).data for _ in range(count)])
        assert len(results) == count


async def start(folder: Path, programme: Programme) -> None:
    async with RunningHub(folder, programme):
        pass


@pytest.fixture
async def filled(tmp_path: Path) -> tuple[Path, Programme]:
    programme = make_programme()
    folder = tmp_path / "data"
    folder.mkdir()
    await fill(folder, programme, 5)
    return folder, programme


async def test_aud_4_a_sound_database_starts_again_and_passes_the_full_check(filled: tuple[Path, Programme]) -> None:
    folder, programme = filled
    async with RunningHub(folder, programme) as hub:
        assert hub.hub.watch.metrics.text().count(b"throughcare_audit_head_index 5.0") == 1
        settings = hub.settings
    assert await check_everything(settings) == {"hub.example/directory": 14, "hub.example/audit": 5}


async def test_aud_4_an_old_backup_is_refused_and_both_sizes_are_named(filled: tuple[Path, Programme]) -> None:
    """Fault 5."""
    folder, programme = filled
    shutil.copy(folder / "hub.db", folder.parent / "backup.db")
    await fill(folder, programme, 4)
    shutil.copy(folder.parent / "backup.db", folder / "hub.db")
    with pytest.raises(StoreBehind, match="holds 5 leaves of a log, the guard file 9"):
        await start(folder, programme)


async def test_aud_4_a_database_without_its_guard_is_refused(filled: tuple[Path, Programme]) -> None:
    folder, programme = filled
    (folder / "hub.guard").unlink()
    with pytest.raises(StoreBehind, match="knows nothing of it"):
        await start(folder, programme)


async def test_aud_4_a_new_database_beside_an_old_guard_is_refused(filled: tuple[Path, Programme]) -> None:
    folder, programme = filled
    (folder / "hub.db").unlink()
    with pytest.raises(StoreBehind, match="holds 0 leaves"):
        await start(folder, programme)


async def test_aud_4_the_guard_of_another_hub_is_refused(filled: tuple[Path, Programme]) -> None:
    folder, programme = filled
    with (folder / "hub.guard").open("ab") as file:
        file.write(head(1, "other.example/audit").line())
    with pytest.raises(StoreBehind, match="another hub"):
        await start(folder, programme)


async def test_aud_4_a_torn_guard_line_does_not_keep_the_hub_from_starting(filled: tuple[Path, Programme]) -> None:
    folder, programme = filled
    with (folder / "hub.guard").open("ab") as file:
        file.write(head(6).line()[:30])
    async with RunningHub(folder, programme) as hub:
        assert Event.GUARD_LINE_TORN in hub.logged.getvalue()


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("DELETE FROM leaf WHERE log = 2 AND idx = 4", "do not lead to its stored state"),
        ("DELETE FROM leaf WHERE log = 2 AND idx = 1", "Leaf 1 of a log is missing"),
        ("UPDATE leaf SET hash = zeroblob(32) WHERE log = 2 AND idx = 0", "not those that the guard file knows"),
        ("UPDATE tree SET size = 4 WHERE log = 2", "holds 4 leaves of a log, the guard file 5"),
        ("UPDATE tree SET root = zeroblob(32) WHERE log = 1", "do not lead to its stored state"),
    ],
)
async def test_aud_4_a_changed_log_is_refused(filled: tuple[Path, Programme], statement: str, told: str) -> None:
    folder, programme = filled
    with sqlite3.connect(folder / "hub.db") as connection:
        connection.execute(statement)
    connection.close()
    with pytest.raises(StoreBehind, match=told):
        await start(folder, programme)


async def test_aud_4_a_database_ahead_of_its_guard_starts(filled: tuple[Path, Programme]) -> None:
    """A crash between commit and guard leaves this behind; nothing of it was signed."""
    folder, programme = filled
    guarded = (folder / "hub.guard").read_bytes()
    await fill(folder, programme, 3)
    (folder / "hub.guard").write_bytes(guarded)
    async with RunningHub(folder, programme) as hub:
        assert b"throughcare_audit_head_index 8.0" in hub.hub.watch.metrics.text()


async def test_a_flipped_bit_in_any_leaf_is_found_by_the_full_check(filled: tuple[Path, Programme]) -> None:
    folder, programme = filled
    chance = random.Random(1)
    async with RunningHub(folder, programme) as hub:
        settings = hub.settings
    for log, size in ((1, 14), (2, 5)):
        index = chance.randrange(size)
        with sqlite3.connect(folder / "hub.db") as connection:
            (data,) = connection.execute("SELECT bytes FROM leaf WHERE log = ? AND idx = ?", (log, index)).fetchone()
            place = chance.randrange(len(data))
            flipped = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
            connection.execute("UPDATE leaf SET bytes = ? WHERE log = ? AND idx = ?", (flipped, log, index))
        with pytest.raises(StoreBehind, match=f"Leaf {index} of a log is damaged"):
            await check_everything(settings)
        connection.execute("UPDATE leaf SET bytes = ? WHERE log = ? AND idx = ?", (data, log, index))
        connection.commit()
        connection.close()


async def test_dir_4_a_hub_with_another_pinned_root_does_not_serve_the_old_directory(
    filled: tuple[Path, Programme],
) -> None:
    folder, programme = filled
    async with RunningHub(folder, programme) as hub:
        section = hub.settings.hub.model_copy(update={"root_fingerprint": "11" * 32})
        settings = hub.settings.model_copy(update={"hub": section})
    with pytest.raises(StoreBehind, match="pinned root"):
        await Hub.open(settings, KEYS, log=make_log("error", "json"))


async def test_aud_4_a_hub_with_other_signing_keys_than_its_logs_does_not_start(
    filled: tuple[Path, Programme],
) -> None:
    folder, programme = filled
    async with RunningHub(folder, programme) as hub:
        settings = hub.settings
    exchanged = SigningKeys(audit=KEYS.directory, directory=KEYS.audit)
    with pytest.raises(StoreBehind, match="signing keys are not those"):
        await Hub.open(settings, exchanged, log=make_log("error", "json"))


async def test_aud_1_times_never_go_back_in_the_log(tmp_path: Path) -> None:
    """Fault 6: the clock is set back while the hub runs; the order by index and the times stay monotone."""
    programme = make_programme()
    prison, probation, _ = programme.members.values()
    async with RunningHub(tmp_path, programme, elapsed=TestClock(0)) as hub:
        sender = programme.sender("gora-prison")
        first = await hub.device(prison).submit(sender.seal(probation.desk).data)
        hub.clock.advance(-9 * MINUTE)
        second = await hub.device(prison).submit(sender.seal(probation.desk, now=hub.clock.now).data)
    from protocol.receipts import parse_receipt

    bodies = [parse_receipt(raw).body for raw in (first, second)]
    assert [body.index for body in bodies] == [0, 1]
    assert bodies[1].leaf.at == bodies[0].leaf.at
