# SPDX-License-Identifier: Apache-2.0
"""Backups are sealed to one key, and a stranger who exchanges `backup.pub` gets none that he can read (BAK-10)."""

from collections.abc import AsyncIterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.backup import make_backup
from connectors.backupkey import (
    accept_backup_key,
    check_backup_key,
    keep_backup_key,
    known_backup_keys,
)
from connectors.doctor.backupkey import examine_backup_key
from connectors.installation import AGENCY_ED25519, AGENCY_MLDSA65, KEYSTORE_FOLDER
from keys.backupfile import backup_identity
from keys.backuprecord import REFUSED_NAME, backup_refused
from keys.backuptrust import backup_words
from keys.keystore import Keystore
from keys.sealedfile import SMALL
from keys.xwing import XWingSecret
from protocol.diagnosis import Condition
from protocol.errors import Conflict, KeystoreError, UntrustedKey
from tests.connectors.conftest import World
from tests.connectors.stations import Station
from tests.programme import NOW
from tests.scenarios.drills import Drill, opened_drill
from tests.scenarios.running import Typist

pytestmark = pytest.mark.usefixtures("quick_keys")


@cache
def public(number: int) -> bytes:
    return XWingSecret.generate().public


def words(number: int) -> str:
    return " ".join(backup_words(backup_identity(public(number))))


def back_up(one: Station, number: int, target: str) -> bool:
    for name, made in zip((AGENCY_ED25519, AGENCY_MLDSA65), one.member.identity.seeds, strict=True):
        if name not in one.installation.keystore.names():
            one.installation.keystore.put(name, name, made)
    return make_backup(one.folder, one.installation, one.folder.parent / target, public(number), NOW)


async def metric(one: Station) -> str:
    (line,) = [
        line
        for line in (await one.parts.metrics.text()).decode().splitlines()
        if line.startswith("throughcare_backup_refused")
    ]
    return line.split()[-1]


async def test_bak_10_a_stranger_who_exchanges_the_public_key_gets_no_backup_and_is_seen(world: World) -> None:
    one = world.prison
    assert list(examine_backup_key(one.folder, one.installation)) == []
    assert back_up(one, 0, "first.backup")
    assert not back_up(one, 0, "second.backup")
    assert await metric(one) == "0.0"
    (well,) = examine_backup_key(one.folder, one.installation)
    assert (well.condition, words(0) in well.found) == (Condition.OK, True)

    for number in (1, 2, 1):
        with pytest.raises(UntrustedKey, match="somebody may have exchanged it"):
            back_up(one, number, "theirs.backup")
    assert not (one.folder.parent / "theirs.backup").exists()
    assert [path.name for path in one.folder.iterdir() if path.name.startswith(".backup-")] == []
    assert await metric(one) == "1.0"
    (ill,) = examine_backup_key(one.folder, one.installation)
    assert (ill.condition, "accept-backup-key" in str(ill.fix)) == (Condition.FAULT, True)

    assert not back_up(one, 0, "third.backup"), "the right one is still right"
    assert await metric(one) == "0.0"
    assert next(examine_backup_key(one.folder, one.installation)).condition is Condition.OK


async def test_bak_10_a_first_backup_that_fails_makes_no_key_known(world: World) -> None:
    """Its words have been shown to nobody."""
    one = world.prison
    (one.folder.parent / "theirs.backup").touch()
    with pytest.raises(Conflict):
        back_up(one, 1, "theirs.backup")
    assert back_up(one, 0, "first.backup")
    with pytest.raises(UntrustedKey):
        back_up(one, 1, "other.backup")


async def test_bak_10_a_record_that_the_stranger_deletes_lets_no_other_key_in(world: World) -> None:
    one = world.prison
    back_up(one, 0, "first.backup")
    with pytest.raises(UntrustedKey):
        back_up(one, 1, "theirs.backup")
    for name in (REFUSED_NAME, "newest-backup.json"):
        (one.folder / name).unlink()
    with pytest.raises(UntrustedKey):
        back_up(one, 1, "theirs.backup")


async def test_bak_10_a_damaged_note_of_the_key_stops_backups_until_a_person_has_said_it_again(world: World) -> None:
    one = world.prison
    back_up(one, 0, "first.backup")
    (file,) = (one.folder / KEYSTORE_FOLDER).glob("backup-key-*")
    file.write_bytes(b"rotten")
    for number in (0, 1):
        with pytest.raises(KeystoreError):
            back_up(one, number, "next.backup")
    (ill,) = examine_backup_key(one.folder, one.installation)
    assert (ill.condition, "cannot be read" in ill.found) == (Condition.FAULT, True)
    accept_backup_key(one.installation.keystore, public(0), words(0))
    assert not back_up(one, 0, "next.backup")


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


ACTS = st.tuples(st.sampled_from(["backup", "accept", "deceive", "cut off"]), st.integers(0, 2))


@settings(max_examples=40)
@given(st.lists(ACTS, max_size=8))
def test_bak_10_only_the_first_key_and_what_a_person_accepted_is_ever_sealed_to(acts: list[tuple[str, int]]) -> None:
    with TemporaryDirectory() as folder:
        keystore = Keystore.create(Path(folder) / "keystore", b"passphrase", SMALL)
        right = set[int]()
        for act, number in acts:
            identity = backup_identity(public(number))
            match act:
                case "backup" if right and number not in right:
                    with pytest.raises(UntrustedKey):
                        check_backup_key(keystore, public(number))
                case "backup":
                    assert check_backup_key(keystore, public(number)) == (not right)
                    keep_backup_key(keystore, identity)
                    right = right or {number}
                case "accept":
                    accept_backup_key(keystore, public(number), words(number).upper().replace(" ", ", "))
                    right = {number}
                case "deceive":
                    # The words of the right key, read offline, beside the stranger's file.
                    with pytest.raises(UntrustedKey):
                        accept_backup_key(keystore, public(number), words((number + 1) % 3))
                case _:
                    with pytest.MonkeyPatch.context() as patch, suppress(KeyboardInterrupt):
                        patch.setattr(Keystore, "destroy", interrupted)
                        accept_backup_key(keystore, public(number), words(number))
                    right |= {number}
            assert known_backup_keys(keystore) == {backup_identity(public(one)) for one in right}
            assert (identity in known_backup_keys(keystore)) == (number in right)


@pytest.fixture
async def drill(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Drill]:
    async with opened_drill(tmp_path, Typist(capsys)) as made:
        await made.run_and_back_up()
        yield made


async def test_bak_10_a_person_reads_the_words_where_the_key_was_made_and_a_restore_knows_its_key(drill: Drill) -> None:
    config, publics = drill.old / "connector.toml", [drill.folder / "offline" / "backup.pub"]
    (told,) = [line for line in (await drill.type("key", "backup-words", publics[0])).splitlines() if line]
    said = await drill.type("backup-key", drill.folder / "another", "--passphrase-file", drill.passphrase, "--demo")
    publics.append(drill.folder / "another" / "backup.pub")
    anothers = said.partition("words: ")[2].splitlines()[0]
    assert len(told.split()) == len(anothers.split()) == 8
    make = ("backup", drill.folder / "next.backup", "--config", config, "--public-key")
    refused = await drill.type(*make, publics[1], code=4)
    assert "somebody may have exchanged it" in refused
    assert "throughcare key accept-backup-key --config" in refused
    accept = ("key", "accept-backup-key", "--config", config, "--public-key", publics[1], "--words")
    assert "not the words" in await drill.type(*accept, told, code=4)
    assert backup_refused(drill.old)
    await drill.type(*accept, anothers)
    assert not backup_refused(drill.old)
    assert f"of the words: {anothers}" in await drill.type(*make, publics[1]), "it is known already"
    await drill.type("backup", drill.folder / "old.backup", "--config", config, "--public-key", publics[0], code=4)

    # The machine is lost, and comes back from the backup of before: the key that opened it is the one that counts.
    await drill.restore()
    make = ("backup", drill.folder / "after.backup", "--config", drill.new / "connector.toml", "--public-key")
    await drill.type(*make, publics[1], code=4)
    await drill.type(*make, publics[0])


async def test_bak_10_the_first_backup_shows_the_words_of_its_key(drill: Drill) -> None:
    drill.backup.unlink()
    for path in (drill.old / KEYSTORE_FOLDER).glob("backup-key-*"):
        drill.installation.keystore.destroy(path.name.partition(".")[0])
    public_key = drill.folder / "offline" / "backup.pub"
    told = await drill.type(
        "backup", drill.backup, "--config", drill.old / "connector.toml", "--public-key", public_key
    )
    assert (await drill.type("key", "backup-words", public_key)).strip() in told
    assert "Compare the words" in told
