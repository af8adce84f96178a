# SPDX-License-Identifier: Apache-2.0
"""Drill: an agency's machine is lost, and the agency goes on from a backup with a new device, command by command."""

import io
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from connectors.installation import (
    AGENCY_ED25519,
    AGENCY_MLDSA65,
    DEVICE_ED25519,
    DEVICE_MLDSA65,
    DEVICE_TRANSPORT,
    PREKEY_PREFIX,
    open_installation,
    read_enrolment,
)
from connectors.store.engine import DATABASE_FILE
from connectors.timing import system_clock
from keys.backupopening import open_backup_key, read_backup
from keys.backuprecord import newest_backup
from protocol.errors import Revoked
from protocol.http.handovers import MessageState
from tests.connectors.stations import PASSPHRASE, open_station, package, person_section, station
from tests.hub.running import RunningHub
from tests.programme import make_programme
from tests.scenarios.drills import Drill, opened_drill
from tests.scenarios.running import Typist
from tests.weather import Relay, Weather

pytestmark = pytest.mark.usefixtures("quick_keys")


@pytest.fixture
async def drill(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Drill]:
    async with opened_drill(tmp_path, Typist(capsys)) as made:
        yield made


async def test_seq_4_bak_3_a_lost_machine_is_replaced_and_all_that_was_under_way_arrives(drill: Drill) -> None:
    async with (
        station(drill.folder / "prison", drill.hub, drill.prison) as prison,
        station(drill.folder / "social-work", drill.hub, drill.social_work) as social_work,
    ):
        async with open_station(drill.old, drill.office, drill.installation, system_clock) as office:
            await office.look()
            before = await prison.send(office.desk)
            await office.turn()
            await prison.turn()
            told = await office.send(social_work.desk, content=package(person_section()))
            unsent = (await office.compose(social_work.desk, content=package(person_section()))).id
            await office.parts.sealer.step()
            await drill.make_key_and_backup()
        desk = office.desk
        waiting = [await prison.send(desk) for _ in range(3)]
        shutil.rmtree(drill.old)
        said = await drill.restore()
        assert "has a new device" in said
        assert f"put it into\n{drill.new / 'connector.toml'}\nbefore the first start" in said

        installation = open_installation(drill.new, PASSPHRASE)
        assert installation.device.key_id != drill.installation.device.key_id
        async with open_station(drill.new, drill.office, installation, system_clock) as again:
            await again.look()
            for other in (prison, social_work):
                await other.look()
            for _ in range(3):
                for one in (prison, again, social_work):
                    await one.turn()
            received = {before, *waiting}
            assert {one: await prison.states(one) for one in received} == {
                one: {desk: MessageState.OPENED} for one in received
            }
            for message in received:
                assert len((await again.view(message)).sections) == 2
            for message in (told, unsent):
                assert await again.states(message) == {social_work.desk: MessageState.OPENED}
            for one in (prison, again, social_work):
                assert await one.quarantined() == []


async def test_bak_3_a_backup_holds_no_key_of_the_device_and_no_seed_of_a_prekey(drill: Drill) -> None:
    await drill.run_and_back_up()
    secret = open_backup_key(drill.folder / "offline" / "backup.key", PASSPHRASE)
    with drill.backup.open("rb") as file:
        plain = b"".join(read_backup(file, secret, "connector"))
    keystore = drill.installation.keystore
    for name in (AGENCY_ED25519, AGENCY_MLDSA65):
        assert keystore.get(name, name) in plain
    for name in (DEVICE_ED25519, DEVICE_MLDSA65, DEVICE_TRANSPORT):
        assert keystore.get(name, name) not in plain
    assert keystore.names(PREKEY_PREFIX)
    for name in keystore.names(PREKEY_PREFIX):
        assert keystore.get(name, "prekey") not in plain
    assert plain not in drill.backup.read_bytes()
    assert newest_backup(drill.old, since=()) is not None
    assert {path.name for path in drill.old.iterdir() if path.name.startswith(".")} == set()


async def test_bak_2_a_backup_is_checked_without_a_new_device(drill: Drill, monkeypatch: pytest.MonkeyPatch) -> None:
    await drill.run_and_back_up()
    (drill.folder / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(drill.folder / "temporary"))
    size = drill.hub.hub.directory.directory.size
    key = (drill.folder / "offline" / "backup.key", "--key-passphrase-file", drill.passphrase)
    said = await drill.type("restore", drill.backup, "--key", *key, "--verify")
    assert f"opens and is whole: {drill.office.address}, as of 20" in said
    drill.backup.write_bytes(drill.backup.read_bytes()[:-1])
    said = await drill.type("restore", drill.backup, "--key", *key, "--verify", code=8)
    assert "next:  check --key, its passphrase and FILE" in said
    assert "--verify" in await drill.type("restore", drill.backup, "--key", *key, code=2)
    assert list((drill.folder / "temporary").iterdir()) == []
    assert drill.hub.hub.directory.directory.size == size


async def test_bak_2_a_backup_of_a_damaged_database_is_found_out(drill: Drill) -> None:
    """Each byte came as it was; what was there was broken."""
    await drill.run_and_back_up()
    with closing(sqlite3.connect(drill.old / DATABASE_FILE)) as database, database:
        (name,) = database.execute("SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL").fetchone()
        database.execute("PRAGMA writable_schema = ON")
        database.execute("UPDATE sqlite_schema SET rootpage = 2 WHERE name = ?", (name,))
    drill.backup.unlink()
    public = drill.folder / "offline" / "backup.pub"
    await drill.type("backup", drill.backup, "--config", drill.old / "connector.toml", "--public-key", public)
    key = (drill.folder / "offline" / "backup.key", "--key-passphrase-file", drill.passphrase)
    said = await drill.type("restore", drill.backup, "--key", *key, "--verify", code=8)
    assert "next:  throughcare doctor" in said


async def test_bak_2_a_refused_restore_leaves_nothing_and_takes_no_desk(drill: Drill) -> None:
    await drill.run_and_back_up()
    size = drill.hub.hub.directory.directory.size
    whole = drill.backup.read_bytes()
    drill.backup.write_bytes(whole[:-1])
    assert "cannot be opened" in await drill.restore(code=8)
    drill.backup.write_bytes(whole)
    assert "hub-unreachable" in await drill.restore("--hub-url", "http://localhost:1", code=7)
    assert not drill.new.exists()
    drill.new.mkdir()
    (drill.new / "something").touch()
    assert "something in that folder" in await drill.restore(code=6)
    (drill.new / "something").unlink()
    assert {path.name for path in drill.folder.iterdir() if path.name.startswith(".")} == set()
    assert drill.hub.hub.directory.directory.size == size
    assert "never overwritten" in await drill.type(
        "backup", drill.backup, "--config", drill.old / "connector.toml", "--public-key",
        drill.folder / "offline" / "backup.pub", code=6,
    )  # fmt: skip


async def test_bak_8_each_stolen_machine_is_revoked_once_and_a_restore_can_be_done_again(drill: Drill) -> None:
    await drill.run_and_back_up()
    await drill.restore("--revoke")
    directory = drill.hub.hub.directory.directory
    with pytest.raises(Revoked):
        directory.device_in_force(drill.installation.device.key_id, at=system_clock(), size=directory.size)
    lost_next = open_installation(drill.new, PASSPHRASE).device.key_id
    shutil.rmtree(drill.new)
    moved = drill.hub.url.replace("localhost", "127.0.0.1")
    said = await drill.restore("--revoke", "--hub-url", moved)
    # The machine that was stolen now was itself restored from this backup.
    assert f"revoked: device {lost_next.hex()}" in said
    with pytest.raises(Revoked):
        directory.device_in_force(lost_next, at=system_clock(), size=directory.size)
    enrolment = read_enrolment(drill.new)
    assert (enrolment.hub_url, enrolment.directory.minimum_size) == (moved, directory.size - 2)
    restored = open_installation(drill.new, PASSPHRASE).device.key_id
    assert directory.device_in_force(restored, at=system_clock(), size=directory.size)


async def test_a_wrong_way_to_the_hub_is_told_apart_from_a_lost_enrolment(drill: Drill) -> None:
    """A mistyped URL, and a login page: nobody is told to enrol anew for either."""
    await drill.run_and_back_up()
    (drill.folder / "other").mkdir()
    config = drill.old / "connector.toml"
    async with RunningHub(drill.folder / "other", make_programme(now=system_clock(), domain="other.example")) as other:
        said = await drill.restore("--hub-url", other.url, code=4)
        assert "next:  the same command with the URL of the hub" in said
        config.write_text(f'{config.read_text()}hub_url = "{other.url}"\n')
        said = await drill.type("key", "renew", "--config", config, code=4)
        assert "next:  mend connector.hub_url" in said
    async with Relay(drill.hub.url, weather=Weather(portal="page")) as relay:
        assert "look for a login page or a proxy" in await drill.restore("--hub-url", relay.url, code=1)


async def test_where_the_passphrase_was_typed_its_file_is_asked_for_before_the_first_start(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    await drill.run_and_back_up()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(PASSPHRASE)))
    said = await drill.restore("--passphrase-file", "-")
    assert f"Write it into {drill.new / 'passphrase'} (chmod 600)" in said
    assert "lies in no file yet" not in await drill.type("config", "check", drill.old / "connector.toml")
