# SPDX-License-Identifier: Apache-2.0
"""A hub's backups are sealed to one key, and a stranger who exchanges `backup.pub` gets none to read (BAK-10)."""

import asyncio
import shutil
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.backups.making import make_backup
from hub.backups.telling import sealed_to
from hub.cli import main
from hub.doctor import examine
from hub.service.backupkey import (
    KEY_NAME,
    accept_backup_key,
    check_backup_key,
    keep_backup_key,
    known_backup_keys,
)
from keys.backupfile import backup_identity
from keys.backuprecord import RECORD_NAME, REFUSED_NAME
from keys.backuptrust import backup_words
from keys.xwing import XWingSecret
from protocol.diagnosis import Condition, Finding
from protocol.errors import Conflict, KeystoreError, UntrustedKey
from tests.hub.backups import OFFLINE, back_up, restore_at, seal_keys
from tests.hub.running import RunningHub, TestClock, make_settings, settings_text
from tests.programme import NOW, Programme, make_programme

pytestmark = pytest.mark.usefixtures("quick_keys")


@cache
def public(number: int) -> bytes:
    return XWingSecret.generate().public


def words(number: int) -> str:
    return " ".join(backup_words(backup_identity(public(number))))


class Operator:
    """Somebody who makes backups of a hub that is stopped, unless a test runs it."""

    def __init__(self, folder: Path, programme: Programme) -> None:
        self.folder = folder
        self.programme = programme
        self.settings = make_settings(folder, programme)
        self.config = folder.parent / "hub.toml"
        self.config.write_text(settings_text(folder, programme))

    async def back_up(self, number: int, target: str) -> bool:
        return (await make_backup(self.settings, self.folder.parent / target, public(number), NOW)).first

    async def doctor(self) -> Finding | None:
        found = await examine(self.settings, TestClock())
        return next((one for one in found if one.check == "backup key"), None)

    async def type(self, *arguments: str | Path, code: int = 0) -> Result:
        command = [*map(str, arguments), "--config", str(self.config)]
        done = await asyncio.to_thread(CliRunner().invoke, main, command)
        assert done.exit_code == code, done.output
        return done

    def public_key(self, number: int) -> Path:
        path = self.folder.parent / f"{number}.pub"
        path.write_text(public(number).hex())
        return path


@pytest.fixture
async def operator(tmp_path: Path) -> Operator:
    folder, programme = tmp_path / "hub", make_programme()
    folder.mkdir(mode=0o700)
    seal_keys(folder)
    async with RunningHub(folder, programme):
        pass
    return Operator(folder, programme)


async def metric(hub: RunningHub) -> str:
    (line,) = [
        line
        for line in (await hub.hub.watch.metrics_text()).decode().splitlines()
        if line.startswith("throughcare_backup_refused")
    ]
    return line.split()[-1]


async def test_bak_10_a_stranger_who_exchanges_the_hubs_public_key_gets_no_backup_and_is_seen(
    operator: Operator,
) -> None:
    assert await operator.doctor() is None
    async with RunningHub(operator.folder, operator.programme) as hub:
        assert await operator.back_up(0, "first.backup")
        assert not await operator.back_up(0, "second.backup")
        assert await metric(hub) == "0.0"
        well = await operator.doctor()
        assert well is not None
        assert (well.condition, words(0) in well.found) == (Condition.OK, True)

        for number in (1, 2, 1):
            with pytest.raises(UntrustedKey, match="somebody may have exchanged it"):
                await operator.back_up(number, "theirs.backup")
        assert not (operator.folder.parent / "theirs.backup").exists()
        assert await metric(hub) == "1.0"
        ill = await operator.doctor()
        assert ill is not None
        assert (ill.condition, "throughcare-hub accept-backup-key" in str(ill.fix)) == (Condition.FAULT, True)

        assert not await operator.back_up(0, "third.backup"), "the right one is still right"
        assert await metric(hub) == "0.0"


async def test_bak_10_a_first_backup_of_a_hub_that_fails_makes_no_key_known(operator: Operator) -> None:
    """Its words have been shown to nobody."""
    (operator.folder.parent / "theirs.backup").touch()
    with pytest.raises(Conflict):
        await operator.back_up(1, "theirs.backup")
    assert await operator.back_up(0, "first.backup")
    for name in (REFUSED_NAME, RECORD_NAME):
        (operator.folder / name).unlink(missing_ok=True)
    with pytest.raises(UntrustedKey):
        await operator.back_up(1, "other.backup")


@pytest.mark.parametrize("rot", ["a flipped digit", "cut", "empty", "no text", "another form", "open to others"])
async def test_bak_10_a_damaged_note_of_the_key_stops_a_hubs_backups_until_a_person_has_said_it_again(
    operator: Operator, rot: str
) -> None:
    await operator.back_up(0, "first.backup")
    note = operator.folder / KEY_NAME
    raw = note.read_bytes()
    rotten = {
        "a flipped digit": raw[:20] + (b"0" if raw[20:21] != b"0" else b"1") + raw[21:],
        "cut": raw[:30],
        "empty": b"",
        "no text": b"\xff" * 40,
        "another form": raw.replace(b"-1 ", b"-2 "),
    }
    note.write_bytes(rotten.get(rot, raw))
    if rot == "open to others":
        note.chmod(0o666)
    for number in (0, 1):
        with pytest.raises(KeystoreError):
            await operator.back_up(number, "next.backup")
    ill = await operator.doctor()
    assert ill is not None
    assert (ill.condition, "cannot be read" in ill.found) == (Condition.FAULT, True)
    target = operator.folder.parent / "next.backup"
    told = await operator.type("backup", target, "--public-key", operator.public_key(0), code=8)
    assert "next:  throughcare-hub accept-backup-key" in told.output
    accept_backup_key(operator.folder, public(0), words(0))
    assert not await operator.back_up(0, "next.backup")


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


ACTS = st.tuples(st.sampled_from(["backup", "accept", "deceive", "cut off"]), st.integers(0, 2))


@settings(max_examples=40)
@given(st.lists(ACTS, max_size=8))
def test_bak_10_only_the_first_key_and_what_the_operator_accepted_is_ever_sealed_to(
    acts: list[tuple[str, int]],
) -> None:
    with TemporaryDirectory() as name:
        folder, right = Path(name), set[int]()
        for act, number in acts:
            match act:
                case "backup" if right and number not in right:
                    with pytest.raises(UntrustedKey):
                        check_backup_key(folder, public(number))
                case "backup":
                    if check_backup_key(folder, public(number)):
                        assert not right
                        keep_backup_key(folder, backup_identity(public(number)))
                    right = {number}
                case "accept":
                    accept_backup_key(folder, public(number), words(number).upper().replace(" ", ", "))
                    right = {number}
                case "deceive":
                    # The words of the right key, read offline, beside the stranger's file.
                    with pytest.raises(UntrustedKey):
                        accept_backup_key(folder, public(number), words((number + 1) % 3))
                case _:
                    with pytest.MonkeyPatch.context() as patch, suppress(KeyboardInterrupt):
                        patch.setattr(Path, "replace", interrupted)
                        accept_backup_key(folder, public(number), words(number))
            assert known_backup_keys(folder) == {backup_identity(public(one)) for one in right}


@given(st.binary(max_size=250))
def test_bak_10_whatever_stands_in_the_note_is_the_key_that_was_noted_or_none(raw: bytes) -> None:
    with TemporaryDirectory() as name:
        folder, identity = Path(name), backup_identity(public(0))
        keep_backup_key(folder, identity)
        good = (folder / KEY_NAME).read_bytes()
        for data in (raw, good[: len(raw) % len(good)] + raw, raw + good):
            (folder / KEY_NAME).write_bytes(data)
            with suppress(KeystoreError):
                assert known_backup_keys(folder) == {identity}


async def test_bak_10_a_restored_hub_knows_the_key_that_opened_its_backup(tmp_path: Path) -> None:
    lost, new, programme = tmp_path / "lost", tmp_path / "new", make_programme()
    lost.mkdir(mode=0o700)
    seal_keys(lost)
    async with RunningHub(lost, programme) as hub:
        await back_up(hub, tmp_path / "backup")
    new.mkdir(mode=0o700)
    shutil.copy(lost / "hub.guard", new)
    await restore_at(new, programme, tmp_path / "backup")
    assert known_backup_keys(new) == {backup_identity(OFFLINE.public)}
    with pytest.raises(UntrustedKey):
        await Operator(new, programme).back_up(1, "theirs.backup")


async def test_bak_10_a_restore_keeps_a_newer_key_that_the_operator_accepted(tmp_path: Path) -> None:
    """The key of the backup is in strange hands since: a restore from it must not bring it back."""
    lost, new, programme = tmp_path / "lost", tmp_path / "new", make_programme()
    lost.mkdir(mode=0o700)
    seal_keys(lost)
    async with RunningHub(lost, programme) as hub:
        await back_up(hub, tmp_path / "backup")
    for damaged in (False, True):
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        shutil.copy(lost / "hub.guard", new)
        accept_backup_key(new, public(1), words(1))
        if damaged:
            (new / KEY_NAME).write_bytes(b"x")
            assert list(sealed_to(new)) == []
        await restore_at(new, programme, tmp_path / "backup")
        kept = backup_identity(OFFLINE.public if damaged else public(1))
        assert known_backup_keys(new) == {kept}
        assert " ".join(backup_words(kept)) in "".join(sealed_to(new))


async def test_bak_10_the_operator_reads_the_words_where_the_key_was_made(operator: Operator) -> None:
    folder = operator.folder.parent
    first = await operator.type("backup", folder / "first.backup", "--public-key", operator.public_key(0))
    assert words(0) in first.output
    assert "Compare the words" in first.output
    again = await operator.type("backup", folder / "second.backup", "--public-key", operator.public_key(0))
    assert f"It is sealed to the key of the words: {words(0)}" in again.output
    theirs = ("backup", folder / "theirs.backup", "--public-key", operator.public_key(1))
    refused = await operator.type(*theirs, code=4)
    assert "somebody may have exchanged it" in refused.output
    assert f"throughcare-hub accept-backup-key --config {operator.config}" in refused.output

    accept = ("accept-backup-key", "--public-key", operator.public_key(1), "--words")
    told = await operator.type(*accept, words(0), code=4)
    assert "not the words" in told.output
    assert "where the key was made" in told.output
    assert (operator.folder / REFUSED_NAME).exists()
    await operator.type(*accept, words(1))
    assert not (operator.folder / REFUSED_NAME).exists()
    await operator.type(*theirs)
    await operator.type("backup", folder / "old.backup", "--public-key", operator.public_key(0), code=4)
