# SPDX-License-Identifier: Apache-2.0
"""Faults 3, 4 and 5: damaged files. What SQLite does not notice, the guard or the check does (AUD-4, AUD-10).

Each case damages a fresh copy of one hub's files in one place. A flip that no table shows, read through all of its
columns and by each of its indexes, is without effect: it lies in a free page, in the unused part of a page, or in a
counter of the file's header.
"""

import random
import shutil
import sqlite3
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hub.config import HubSettings
from hub.migrations import move
from hub.service.guard import Guard
from hub.service.logcheck import check_everything
from hub.store.sqlite import SqliteStore
from hub.store.trees import Log
from protocol.errors import ConfigurationError, StoreBehind, StoreFailed
from protocol.limits import DAY
from tests.hub.blobs import make_blob, upload
from tests.hub.running import KEYS, RunningHub, make_settings
from tests.programme import Programme, make_programme

PUBLIC = {Log.AUDIT: KEYS.audit.public, Log.DIRECTORY: KEYS.directory.public}
FLEETING = {"nonce": None, "lease": None, "key_request": {"mac", "received_at"}, "blob": {"expires"}}
"""What no hash covers: values that live for minutes, or that others check (docs/operations.md names them)."""


class Damaged:
    """A hub's files, and fresh copies of them to damage."""

    def __init__(self, folder: Path, programme: Programme, seed: int) -> None:
        self.folder = folder
        self.programme = programme
        self.chance = random.Random(seed)
        self.copies = 0

    def copy(self) -> HubSettings:
        """Copy everything into a new folder and return the settings of a hub there."""
        self.copies += 1
        target = self.folder.parent / f"copy-{self.copies}"
        shutil.copytree(self.folder, target)
        return make_settings(target, self.programme)


async def fill(folder: Path, programme: Programme, count: int, *, close: bool = True) -> None:
    """Let mail wait, be collected in part, and expire; `close` moves the write-ahead log into the file."""
    async with RunningHub(folder, programme) as hub:
        prison, probation, social = programme.members.values()
        sender = programme.sender("gora-prison")
        device = hub.device(prison)
        blob = make_blob(b"attachment")
        await upload(device, blob)
        await device.submit(sender.seal(probation.desk, life=DAY).data)
        for start in range(0, count, 50):
            some = [sender.seal(probation.desk, social.desk) for _ in range(min(50, count - start))]
            await device.submit_batch([one.data for one in some])
        await hub.device(probation).acknowledge(count // 2)
        if not close:
            shutil.copytree(folder, folder.parent / "running")


def dump(path: Path) -> dict[str, list[object]] | None:
    """Return everything that SQL can read of the database, by table and by index, or None if it cannot."""
    connection = sqlite3.connect(path)
    connection.text_factory = bytes
    try:
        found: dict[str, list[object]] = {
            "schema": connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name").fetchall()
        }
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            table = name.decode()
            rows = connection.execute(f"SELECT * FROM {table} NOT INDEXED")  # noqa: S608
            names = [column[0] for column in rows.description]
            found[table] = sorted((dict(zip(names, row, strict=True)) for row in rows), key=repr)
        # It walks every index and compares it with its table.
        if connection.execute("PRAGMA integrity_check").fetchall() != [(b"ok",)]:
            return None
    except (sqlite3.Error, UnicodeDecodeError):
        return None
    finally:
        connection.close()
    return found


def fleeting(before: dict[str, list[object]], after: dict[str, list[object]] | None) -> bool:
    """Tell whether the two differ in nothing but what no hash covers."""
    if after is None or before.keys() != after.keys():
        return False
    return all(steady(name, before[name]) == steady(name, after[name]) for name in before)


def steady(table: str, rows: list[Any]) -> list[str]:
    """Return of a table's rows what hashes cover."""
    if table not in FLEETING:
        return [repr(row) for row in rows]
    passing = FLEETING[table]
    if passing is None:
        return []
    return sorted(repr({name: value for name, value in row.items() if name not in passing}) for row in rows)


async def found_by(settings: HubSettings) -> str | None:
    """Return what the check says, or None if it finds nothing."""
    try:
        await check_everything(settings, PUBLIC)
    except (StoreBehind, StoreFailed, ConfigurationError) as error:
        return error.detail
    return None


async def flip_bits(hub: Damaged, count: int) -> Counter[str]:
    """Flip one bit of the main file, `count` times in fresh copies; each must be named or be without effect."""
    outcomes = Counter[str]()
    whole = dump(hub.folder / "hub.db")
    assert whole is not None
    for _ in range(count):
        settings = hub.copy()
        path = settings.hub.data_dir / "hub.db"
        data = bytearray(path.read_bytes())
        bit = hub.chance.randrange(len(data) * 8)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        probe = settings.hub.data_dir / "probe.db"
        shutil.copy(path, probe)
        after = dump(probe)
        told = await found_by(settings)
        if told is not None:
            outcomes["named"] += 1
        elif after == whole:
            outcomes["without effect"] += 1
        else:
            assert fleeting(whole, after), f"bit {bit} of the file is damaged and nobody says so"
            outcomes["fleeting"] += 1
        if after is None:
            outcomes["also noticed by SQLite"] += 1
        shutil.rmtree(settings.hub.data_dir)
    return outcomes


async def filled(tmp_path: Path, count: int, seed: int) -> Damaged:
    programme = make_programme()
    folder = tmp_path / "data"
    folder.mkdir()
    await fill(folder, programme, count)
    hub = Damaged(folder, programme, seed)
    assert await found_by(hub.copy()) is None
    return hub


async def test_aud_10_a_flipped_bit_is_named_or_is_without_effect(tmp_path: Path) -> None:
    hub = await filled(tmp_path, 8, seed=4)
    assert (await flip_bits(hub, 6))["named"] > 0


@pytest.mark.full
async def test_aud_10_sixty_flipped_bits_are_named_or_are_without_effect(tmp_path: Path) -> None:
    """Fault 4."""
    hub = await filled(tmp_path, 200, seed=44)
    outcomes = await flip_bits(hub, 60)
    sys.stdout.write(f"seed 44: {dict(outcomes)}\n")
    assert outcomes["named"] > outcomes["also noticed by SQLite"]


CELLS = [
    ("UPDATE detail SET salt = zeroblob(32) WHERE idx = 3", "receipt of entry 3"),
    ("UPDATE detail SET tree_root = zeroblob(32) WHERE idx = 2", "receipt of entry 2"),
    ("UPDATE detail SET tree_size = 99 WHERE idx = 2", "receipt of entry 2"),
    ("UPDATE detail SET tree_check = zeroblob(8) WHERE idx = 2", "receipt of entry 2"),
    ("DELETE FROM detail WHERE idx = 4", "entry 4"),
    ("UPDATE envelope SET sender_sig = zeroblob(64) WHERE idx = 3", "Entry 3"),
    ("UPDATE envelope SET row_hashes = zeroblob(64) WHERE idx = 3", "envelope of entry 3"),
    ("UPDATE envelope SET wrap_hashes = zeroblob(64) WHERE idx = 3", "envelope of entry 3"),
    ("UPDATE envelope SET accepted_at = accepted_at + 1 WHERE idx = 3", "envelope of entry 3"),
    ("UPDATE envelope SET purge_at = NULL WHERE idx = 6", "expiry of entry 6"),
    ("UPDATE delivery SET wrap = zeroblob(length(wrap)) WHERE idx = 6", "waits of entry 6"),
    ("UPDATE delivery SET row = zeroblob(length(row)) WHERE idx = 6", "waits of entry 6"),
    ("UPDATE delivery SET size = size + 1 WHERE idx = 6", "waits of entry 6"),
    ("UPDATE delivery SET device_id = zeroblob(32) WHERE idx = 2", "waits of entry 2"),
    ("DELETE FROM section WHERE idx = 6 AND number = 0", "Section 0 of entry 6"),
    ("UPDATE section SET bytes = zeroblob(length(bytes)) WHERE idx = 5 AND number = 0", "Section 0 of entry 5"),
    ("UPDATE tree SET at = at + 1 WHERE log = 2", "time of"),
    ("UPDATE tree SET at = at + 1 WHERE log = 1", "time of"),
    ("UPDATE log_key SET key = zeroblob(32) WHERE log = 1", "public key"),
    ("UPDATE blob SET sha256 = zeroblob(32)", "Attachment 0"),
    ("UPDATE blob SET agency = 'other@hub.example'", "Attachment 0"),
    ("UPDATE leaf SET bytes = zeroblob(70) WHERE log = 2 AND idx = 1", "Leaf 1"),
    ("UPDATE alembic_version SET version_num = '0004'", "not of this program's version"),
    ("INSERT INTO section VALUES (0, 9, x'00')", "entry 0"),
    ("INSERT INTO detail VALUES (99, x'', x'', 1, x'', NULL)", "table detail"),
]


async def test_aud_10_each_kind_of_damage_is_named(tmp_path: Path) -> None:
    hub = await filled(tmp_path, 8, seed=0)
    for statement, told in CELLS:
        settings = hub.copy()
        connection = sqlite3.connect(settings.hub.data_dir / "hub.db")
        connection.execute(statement)
        connection.commit()
        connection.close()
        found = await found_by(settings)
        assert found is not None, statement
        assert told in found, (statement, found)


async def test_a_database_that_an_update_has_left_behind_is_not_called_damaged(tmp_path: Path) -> None:
    """Whoever checks before the new version has run must not be told to put an old copy back."""
    settings = (await filled(tmp_path, 1, seed=0)).copy()
    store = await SqliteStore.open(settings.hub.data_dir / "hub.db")
    await store.write(lambda connection: move(connection, "0005"))
    await store.close()
    with pytest.raises(StoreBehind, match="brings it up to date when it runs"):
        await check_everything(settings, PUBLIC)
    async with RunningHub(settings.hub.data_dir, make_programme()):
        pass
    assert await found_by(settings) is None


async def test_aud_10_another_programmes_root_is_named_as_what_it_is(tmp_path: Path) -> None:
    hub = await filled(tmp_path, 1, seed=0)
    settings = hub.copy()
    other = settings.hub.model_copy(update={"root_fingerprint": "00" * 32})
    assert "Check hub.root_fingerprint" in (await found_by(settings.model_copy(update={"hub": other})) or "")


async def test_aud_10_a_changed_attachment_is_named(tmp_path: Path) -> None:
    hub = await filled(tmp_path, 1, seed=0)
    settings = hub.copy()
    (file,) = (settings.hub.data_dir / "blobs").iterdir()
    file.write_bytes(b"x" + file.read_bytes()[1:])
    assert "Attachment 0" in (await found_by(settings) or "")


def guarded_size(folder: Path) -> int:
    guard = Guard(folder / "hub.guard")
    guard.read()
    return guard.size_of("hub.example/audit")


async def damage_wal(tmp_path: Path, count: int, cases: int, seed: int) -> Counter[str]:
    """Cut or flip the write-ahead log of a hub that was killed; whatever SQLite makes of it, the guard judges."""
    programme = make_programme()
    folder = tmp_path / "data"
    folder.mkdir()
    await fill(folder, programme, count, close=False)
    hub = Damaged(tmp_path / "running", programme, seed)
    whole = await check_everything(hub.copy(), PUBLIC)
    assert whole["hub.example/audit"] == count + 1 == guarded_size(hub.folder)
    hashes = leaf_hashes(hub.copy())
    outcomes = Counter[str]()
    for case in range(cases):
        settings = hub.copy()
        wal = settings.hub.data_dir / "hub.db-wal"
        data = bytearray(wal.read_bytes())
        place = hub.chance.randrange(len(data))
        if case % 2:
            del data[place:]
        else:
            data[place] ^= 1 << hub.chance.randrange(8)
        wal.write_bytes(data)
        (settings.hub.data_dir / "hub.db-shm").unlink(missing_ok=True)
        told = await found_by(settings)
        left = leaf_hashes(settings)
        # Always a prefix of what was committed.
        assert left == hashes[: len(left)]
        if len(left) < len(hashes):
            assert told is not None, f"case {case}: {len(hashes) - len(left)} leaves are gone and nobody says so"
            outcomes["refused, leaves gone"] += 1
        else:
            outcomes["refused" if told else "nothing lost"] += 1
        shutil.rmtree(settings.hub.data_dir)
    return outcomes


def leaf_hashes(settings: HubSettings) -> list[bytes]:
    connection = sqlite3.connect(settings.hub.data_dir / "hub.db")
    try:
        return [found for (found,) in connection.execute("SELECT hash FROM leaf WHERE log = 2 ORDER BY idx")]
    except sqlite3.OperationalError:
        return []
    finally:
        connection.close()


async def test_aud_4_a_damaged_write_ahead_log_never_passes_for_a_shorter_history(tmp_path: Path) -> None:
    outcomes = await damage_wal(tmp_path, 20, 6, seed=3)
    assert outcomes["refused, leaves gone"] > 0


@pytest.mark.full
async def test_aud_4_sixty_damaged_write_ahead_logs_never_pass_for_a_shorter_history(tmp_path: Path) -> None:
    """Fault 3."""
    outcomes = await damage_wal(tmp_path, 100, 60, seed=33)
    sys.stdout.write(f"seed 33: {dict(outcomes)}\n")
    assert outcomes["refused, leaves gone"] > 0


@pytest.mark.full
async def test_aud_4_a_copy_of_a_thousand_entries_back_is_refused_and_both_sizes_are_named(tmp_path: Path) -> None:
    """Fault 5."""
    programme = make_programme()
    folder = tmp_path / "data"
    folder.mkdir()
    await fill(folder, programme, 10)
    shutil.copy(folder / "hub.db", tmp_path / "backup.db")
    await fill(folder, programme, 999)
    shutil.copy(tmp_path / "backup.db", folder / "hub.db")
    with pytest.raises(StoreBehind, match="holds 11 leaves of a log, the guard file 1011"):
        async with RunningHub(folder, programme):
            pass
