# SPDX-License-Identifier: Apache-2.0
"""Backups of a hub: whole, sealed, made while it runs, and good for going on only where nothing newer was signed."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, delete

from hub.backups import telling
from hub.backups.restoring import verify
from hub.cli import main
from hub.service.guard import Guard
from hub.store import blobs as stored_blobs
from hub.store.tables import detail, leaf
from hub.store.trees import Log
from keys.backupfile import backup_identity, read_backup_public
from keys.backupopening import make_backup_key
from keys.backuprecord import RECORD_NAME, newest_backup
from keys.backuptrust import backup_words
from keys.sealedfile import SMALL
from keys.xwing import XWingSecret
from protocol.errors import ConfigurationError, Conflict, KeystoreError, StoreBehind, Unavailable
from protocol.limits import MINUTE, SECOND
from tests.hub import backups, blobs
from tests.hub.backups import OFFLINE, back_up, restore_at, seal_keys
from tests.hub.running import RunningHub, TestClock, make_settings, settings_text
from tests.programme import NOW, Programme

pytestmark = pytest.mark.usefixtures("quick_keys")

CONTENT = os.urandom(3 << 20)


class Filled:
    """A hub with mail that waits, mail that was acknowledged, an attachment that waits, and a backup of all that."""

    def __init__(self, hub: RunningHub, folder: Path) -> None:
        self.hub = hub
        self.folder = folder
        self.file = folder / "hub.backup"
        self.prison, self.office, _ = hub.programme.members.values()
        self.receipts: dict[bytes, bytes] = {}

    async def submit(self, count: int) -> None:
        sender = self.hub.programme.sender("gora-prison")
        for _ in range(count):
            sealed = sender.seal(self.office.desk)
            self.receipts[sealed.data] = await self.hub.device(self.prison).submit(sealed.data)

    async def attach(self) -> None:
        self.blob = blobs.make_blob(CONTENT)
        await blobs.upload(self.hub.device(self.prison), self.blob)
        self.named = blobs.seal_with(self.hub.programme, "gora-prison", self.blob, [self.office.desk])
        self.receipts[self.named.data] = await self.hub.device(self.prison).submit(self.named.data)

    async def left(self) -> list[bytes]:
        return [item.data for item in await self.hub.device(self.office).items()]


@pytest.fixture
async def filled(hub: RunningHub, tmp_path: Path) -> Filled:
    """Give it on either database."""
    seal_keys(tmp_path)
    made = Filled(hub, tmp_path)
    await made.submit(3)
    await made.attach()
    await hub.device(made.office).acknowledge(0)
    return made


@pytest.fixture
async def stopped(tmp_path: Path, programme: Programme) -> Filled:
    """Give it on SQLite, with its backup, and the hub stopped."""
    folder = tmp_path / "lost"
    folder.mkdir()
    seal_keys(folder)
    async with RunningHub(folder, programme) as hub:
        made = Filled(hub, tmp_path)
        await made.submit(2)
        await made.attach()
        await back_up(hub, made.file)
    return made


async def test_bak_4_a_backup_made_while_the_hub_runs_passes_every_check(filled: Filled) -> None:
    writing = asyncio.create_task(filled.submit(12))
    made = await back_up(filled.hub, filled.file)
    await writing
    found = await verify(filled.file, OFFLINE, filled.hub.settings)
    assert found.facts.made_at == made.made_at == filled.hub.clock()
    sizes = {head.origin: head.size for head in found.heads.values()}
    assert sizes == made.sizes
    assert 4 <= found.heads[Log.AUDIT].size <= 16
    said = json.loads((filled.hub.folder / RECORD_NAME).read_text())
    assert newest_backup(filled.hub.folder, since=()) == made.made_at
    filled.hub.clock.advance(30 * SECOND)
    assert b"throughcare_backup_age_seconds 30.0" in await filled.hub.hub.watch.metrics_text()
    filled.hub.clock.advance(-30 * SECOND)
    assert said == {"made_at": made.made_at, "bytes": filled.file.stat().st_size}
    assert [path for path in filled.hub.folder.iterdir() if path.name.startswith(".rest")] == []
    with pytest.raises(Conflict, match="never overwritten"):
        await back_up(filled.hub, filled.file)


_AUDIT = "hub.example/audit"


async def test_bak_4_what_is_in_a_backup_shows_nothing_outside_its_seal(filled: Filled) -> None:
    await back_up(filled.hub, filled.file)
    data = filled.file.read_bytes()
    assert data[200:].find(filled.prison.desk.encode()) == -1
    with pytest.raises(KeystoreError, match="another key"):
        await verify(filled.file, XWingSecret.generate(), filled.hub.settings)


async def test_bak_4_a_hub_goes_on_from_a_backup_when_the_guard_shows_that_nothing_is_newer(stopped: Filled) -> None:
    before = dict(stopped.receipts)
    folder = stopped.folder / "new"
    folder.mkdir(mode=0o700)
    shutil.copy(stopped.hub.folder / "hub.guard", folder)
    standing = await restore_at(folder, stopped.hub.programme, stopped.file, now=NOW)
    assert standing.certain
    assert Guard(folder / "hub.guard").path.exists()
    later = TestClock(NOW + MINUTE)
    async with RunningHub(folder, stopped.hub.programme, later) as hub:
        device = hub.device(stopped.prison)
        # The same bytes get the same receipts, also from a machine that was never told of them.
        assert {data: await device.submit(data) for data in before} == before
        office = hub.device(stopped.office)
        assert len(await office.items()) == 3
        read = b""
        while len(read) < len(stopped.blob.data):
            read += await blobs.read_chunk(office, stopped.named.envelope_id, stopped.blob.id, len(read))
        assert read == stopped.blob.data
        assert await hub.leaves() == 3
    async with RunningHub(folder, stopped.hub.programme, later) as hub:
        assert await hub.leaves() == 3


async def test_bak_5_an_older_guard_beside_the_newest_is_checked_too(stopped: Filled) -> None:
    old, guard = stopped.folder / "old.guard", stopped.hub.folder / "hub.guard"
    whole = Guard(guard)
    whole.read()
    head, other = whole.heads[_AUDIT], whole.heads["hub.example/directory"]
    old.write_bytes(type(head)(_AUDIT, 1, bytes(32), head.at).line() + other.line())
    with pytest.raises(StoreBehind, match="not those that the guard file knows"):
        await restore_at(stopped.folder / "new", stopped.hub.programme, stopped.file, guard, old)
    old.write_bytes(b"nothing\n")
    with pytest.raises(ConfigurationError, match="no guard file"):
        await restore_at(stopped.folder / "new", stopped.hub.programme, stopped.file, guard, old)
    old.write_bytes(type(head)("other.example/audit", 1, bytes(32), head.at).line())
    with pytest.raises(StoreBehind, match="another hub"):
        await restore_at(stopped.folder / "new", stopped.hub.programme, stopped.file, guard, old)


@pytest.mark.parametrize("cut", [1, 40, 70_000])
async def test_bak_2_a_cut_backup_restores_nothing(stopped: Filled, cut: int) -> None:
    stopped.file.write_bytes(stopped.file.read_bytes()[:-cut])
    guard = stopped.hub.folder / "hub.guard"
    folder = stopped.folder / "new"
    with pytest.raises(KeystoreError):
        await restore_at(folder, stopped.hub.programme, stopped.file, guard)
    assert [path.name for path in folder.iterdir()] == ["passphrase"]


async def test_bak_4_a_backup_is_restored_into_an_empty_place_of_its_own_hub_only(stopped: Filled) -> None:
    guard, programme = stopped.hub.folder / "hub.guard", stopped.hub.programme
    with pytest.raises(ConfigurationError, match=r"There is a hub\.db"):
        await restore_at(stopped.hub.folder, programme, stopped.file, guard)
    other = make_settings(stopped.folder / "new", programme)
    changed = other.model_copy(update={"hub": other.hub.model_copy(update={"domain": "other.example"})})
    (stopped.folder / "new").mkdir()
    with pytest.raises(ConfigurationError, match=r"of the hub hub\.example, not of other\.example"):
        await verify(stopped.file, OFFLINE, changed)


def _no_salt(connection: Connection) -> None:
    connection.execute(detail.update().values(salt=bytes(32)))


def _no_leaf(connection: Connection) -> None:
    connection.execute(delete(leaf).where(leaf.c.idx == 1))


@pytest.mark.parametrize(("damage", "told"), [(_no_salt, "receipt of entry"), (_no_leaf, "missing")])
async def test_bak_4_rot_that_no_database_notices_is_found_at_the_latest_when_restoring(
    stopped: Filled, damage: Callable[[Connection], None], told: str
) -> None:
    async with RunningHub(stopped.hub.folder, stopped.hub.programme) as hub:
        await hub.hub.store.write(damage)
        target = stopped.folder / "damaged.backup"
        if told == "missing":
            with pytest.raises(StoreBehind, match=told):
                await back_up(hub, target)
            assert not target.exists()
            return
        await back_up(hub, target)
        with pytest.raises(StoreBehind, match=told):
            await verify(target, OFFLINE, hub.settings)


async def test_att_6_an_attachment_collected_while_the_backup_was_made_is_left_out(stopped: Filled) -> None:
    shutil.rmtree(stopped.hub.folder / "blobs")
    target = stopped.folder / "later.backup"
    await back_up(stopped.hub, target)
    folder = stopped.folder / "new"
    await restore_at(folder, stopped.hub.programme, target, stopped.hub.folder / "hub.guard")
    async with RunningHub(folder, stopped.hub.programme, TestClock(NOW + MINUTE)) as hub:
        assert await hub.hub.store.read(stored_blobs.received) == []
        assert len(await hub.device(stopped.office).items()) == 3


@pytest.mark.parametrize("rot", ["a byte", "cut"])
async def test_bak_4_a_damaged_attachment_is_not_brought_back_as_whole(stopped: Filled, rot: str) -> None:
    (path,) = (stopped.hub.folder / "blobs").iterdir()
    data = path.read_bytes()
    path.write_bytes(data[:-1] if rot == "cut" else data[:-1] + bytes([data[-1] ^ 1]))
    target = stopped.folder / "later.backup"
    await back_up(stopped.hub, target)
    found = await verify(target, OFFLINE, stopped.hub.settings)
    assert (found.attachments, found.left_out) == (0, 1)
    assert any("left out" in line for line in telling.verified(found))
    found = await verify(stopped.file, OFFLINE, stopped.hub.settings)
    assert (found.attachments, found.left_out) == (1, 0)


async def test_bak_4_a_log_that_lies_beside_is_never_mixed_into_the_restored_database(stopped: Filled) -> None:
    """A hub that was killed leaves one, and SQLite would take it for the restored file's own."""
    folder = stopped.folder / "new"
    folder.mkdir(mode=0o700)
    for end in ("-wal", "-shm", "-journal"):
        left = folder / f"hub.db{end}"
        left.write_bytes(b"of another database")
        with pytest.raises(ConfigurationError, match=r"move hub\.db\* "):
            await restore_at(folder, stopped.hub.programme, stopped.file, stopped.hub.folder / "hub.guard")
        left.unlink()


async def test_bak_6_what_was_signed_before_the_restore_is_not_accepted_again(stopped: Filled) -> None:
    folder = stopped.folder / "new"
    restored_at = NOW + 30 * SECOND
    await restore_at(folder, stopped.hub.programme, stopped.file, stopped.hub.folder / "hub.guard", now=restored_at)
    async with RunningHub(folder, stopped.hub.programme) as hub:
        # A request that somebody recorded before the machine was lost, signed by a clock that was a minute ahead.
        for _ in range(2):
            with pytest.raises(Unavailable):
                await hub.device(stopped.office).acknowledge(2)
            hub.clock.advance(30 * SECOND)
        await hub.device(stopped.office).acknowledge(2)
        assert await hub.device(stopped.office).items() == ()


def test_bak_5_an_operator_reads_what_will_happen_and_types_the_domain(stopped: Filled) -> None:
    folder = stopped.folder / "new"
    folder.mkdir(mode=0o700)
    backups.passphrase_in(folder)
    config = stopped.folder / "hub.toml"
    config.write_text(settings_text(folder, stopped.hub.programme))
    old_config = stopped.folder / "old.toml"
    old_config.write_text(settings_text(stopped.hub.folder, stopped.hub.programme))
    kept, public = make_backup_key(stopped.folder / "offline", b"invented", SMALL)
    target = stopped.folder / "by-command.backup"
    run = CliRunner().invoke
    # Another key than that of the backup before (BAK-10).
    anew = " ".join(backup_words(backup_identity(read_backup_public(public))))
    named = ["--config", str(old_config), "--public-key", str(public)]
    assert run(main, ["accept-backup-key", *named, "--words", anew]).exit_code == 0
    made = run(main, ["backup", str(target), *named])
    assert made.exit_code == 0, made.output
    assert "hub.example/audit: 3 leaves" in made.output
    common = [str(target), "--config", str(config), "--key", str(kept)]
    nobody = run(main, ["restore", *common, "--verify"])
    assert (nobody.exit_code, "--key-passphrase-file" in nobody.output) == (3, True)
    fed = run(main, ["restore", *common, "--verify"], input="invented\n")
    assert fed.exit_code == 0, fed.output
    # Nor does a real process warn of a hidden question at no terminal; what is sealed quickly here it cannot open.
    program = [str(Path(sys.executable).with_name("throughcare-hub")), "restore", *common, "--verify"]
    piped = subprocess.run(program, input=b"invented\n", capture_output=True, check=False)
    assert piped.returncode == 8
    assert piped.stderr.startswith(b"Passphrase of the backup key: \nerror: Keystore cannot be opened")
    assert b"next:  check the backup FILE, the file of --key and its passphrase, then" in piped.stderr
    common += ["--key-passphrase-file", str(folder / "passphrase")]
    # The machine with the offline key need not be a hub's, and is left as it was.
    config.write_text(settings_text(stopped.folder / "nowhere", stopped.hub.programme))
    checked = run(main, ["restore", *common, "--verify"])
    assert checked.exit_code == 0, checked.output
    assert "audit log    3 leaves, all sound" in checked.output
    assert not (stopped.folder / "nowhere").exists()
    config.write_text(settings_text(folder, stopped.hub.programme))
    damaged = stopped.folder / "damaged.backup"
    damaged.write_bytes(target.read_bytes()[:-1])
    for more in (["--verify"], ["--agree", "hub.example"]):
        refused = run(main, ["restore", str(damaged), *common[1:], *more])
        assert (refused.exit_code, "next:  check the backup FILE," in refused.output) == (8, True)
    (folder / "other").touch(mode=0o600)
    (folder / "other").write_text("other")
    wrong_keys = run(
        main,
        ["restore", *common],
        env={"THROUGHCARE_HUB__PASSPHRASE_FILE": str(folder / "other")},
        input="hub.example\n",
    )
    assert (wrong_keys.exit_code, "next:  check hub.passphrase_file" in wrong_keys.output) == (8, True)
    (folder / "other").unlink()
    common += ["--guard", str(stopped.hub.folder / "hub.guard")]
    wrong = run(main, ["restore", *common], input="hub.exmple\n")
    assert wrong.exit_code == 3
    assert "Nothing was changed" in wrong.output
    nobody = run(main, ["restore", *common], input="")
    assert (nobody.exit_code, "Aborted" in nobody.output) == (3, False)
    assert "next:  the same command with --agree hub.example, once you are sure" in nobody.output
    assert sorted(path.name for path in folder.iterdir()) == ["passphrase"]
    done = run(main, ["restore", *common], input="hub.example\n")
    assert done.exit_code == 0, done.output
    assert "nothing newer was ever signed" in done.output
    assert run(main, ["check", "--config", str(config)]).exit_code == 0
