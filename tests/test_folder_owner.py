# SPDX-License-Identifier: Apache-2.0
"""What root types beside a hub or a connector leaves nothing that the service's own user cannot read."""

import os
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.backup import make_backup as back_up_connector
from connectors.cli.attachments import _take
from connectors.enrolment.configuration import CONFIG_FILE
from connectors.home import Profile, find, register
from connectors.installation import AGENCY_ED25519, AGENCY_MLDSA65, open_installation
from connectors.store.lock import InstallationLock
from hub.backups.making import make_backup
from hub.backups.restoring import Evidence, restore_in_place
from hub.config import GUARD_NAME
from hub.service.signingkeys import PUBLIC_NAME, create_keys, write_public
from keys import folderowner
from keys.backuprecord import RECORD_NAME
from keys.folderowner import make_folder, open_made
from protocol.limits import MINUTE
from tests.connectors.running import installed, running
from tests.connectors.stations import PASSPHRASE
from tests.hub.backups import OFFLINE, agreed, passphrase_in, restore_at, resume_at
from tests.hub.loss import LATER, Loss
from tests.hub.running import RunningHub, TestClock, make_settings
from tests.programme import make_programme
from tests.scenarios.drills import opened_drill
from tests.scenarios.running import Typist

SERVICE = 61_234
"""A user that exists nowhere, as a unit with `DynamicUser=` has one."""

pytestmark = [
    pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root makes files for somebody else"),
    pytest.mark.usefixtures("quick_keys"),
]


def hand_over(folder: Path) -> None:
    """Give a folder and all that is in it to the service, as systemd does before the first start."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, SERVICE, SERVICE, follow_symlinks=False)


def of_others(folder: Path) -> list[str]:
    """Return what in `folder` the service does not own, or could not read if it did."""
    found = [(path.relative_to(folder), path.lstat()) for path in (folder, *folder.rglob("*"))]
    return [
        str(name)
        for name, status in found
        if (status.st_uid, status.st_gid) != (SERVICE, SERVICE) or not status.st_mode & stat.S_IRUSR
    ]


async def test_what_root_restores_resumes_and_backs_up_belongs_to_the_hubs_user(tmp_path: Path) -> None:
    loss = Loss(tmp_path, make_programme())
    await loss.happen()
    passphrase_in(loss.new)
    hand_over(loss.new)
    await restore_at(loss.new, loss.programme, loss.file, now=LATER)
    assert of_others(loss.new) == []
    await loss.resume()
    settings = make_settings(loss.new, loss.programme)
    await make_backup(settings, tmp_path / "next.backup", OFFLINE.public, LATER + MINUTE)
    assert {GUARD_NAME, RECORD_NAME, PUBLIC_NAME} <= {path.name for path in loss.new.iterdir()}
    assert of_others(loss.new) == []


async def test_what_root_restores_in_place_or_runs_belongs_to_the_hubs_user(tmp_path: Path) -> None:
    loss = Loss(tmp_path, make_programme())
    await loss.happen()
    hand_over(loss.old)
    for name in (GUARD_NAME, "hub.lock"):
        (loss.old / name).unlink()
    standing = await restore_in_place(make_settings(loss.old, loss.programme), Evidence(), LATER, agreed)
    assert not standing.certain
    await resume_at(loss.old, loss.programme, now=LATER)
    async with RunningHub(loss.old, loss.programme, TestClock(LATER)) as hub:
        assert of_others(loss.old) == []
    assert hub.folder == loss.old
    assert of_others(loss.old) == []


async def test_what_root_runs_and_backs_up_belongs_to_the_connectors_user(tmp_path: Path) -> None:
    folder, member = installed(tmp_path, make_programme(), "reka-probation", "http://localhost:9")
    hand_over(folder)
    async with running(folder, member):
        assert of_others(folder) == []
    assert (folder / "connector.lock").exists()
    installation = open_installation(folder, PASSPHRASE)
    for name, secret in zip((AGENCY_ED25519, AGENCY_MLDSA65), member.identity.seeds, strict=True):
        installation.keystore.put(name, name, secret)
    back_up_connector(folder, installation, tmp_path / "backup", OFFLINE.public, LATER)
    assert (folder / RECORD_NAME).exists()
    assert of_others(folder) == []


async def test_what_root_restores_into_the_units_own_folder_belongs_to_the_connectors_user(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Systemd hands a folder over once: what comes into it later stays whose it was."""
    async with opened_drill(tmp_path, Typist(capsys)) as drill:
        await drill.run_and_back_up()
        drill.new.mkdir()
        hand_over(drill.new)
        # Started by hand beside the unit it would keep the unit from starting.
        assert "next:  systemctl start throughcare-connector, where systemd runs it; else" in await drill.restore()
    assert (drill.new / CONFIG_FILE).exists()
    assert open_installation(drill.new, PASSPHRASE).device.key_id != drill.installation.device.key_id
    assert of_others(drill.new) == []


async def test_what_root_saves_of_a_message_belongs_to_whoever_owns_the_folder(tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"invented"

    hand_over(tmp_path)
    await _take(pieces(), tmp_path / "letter.txt")
    await _take(pieces(), tmp_path / "new" / "case" / "letter.txt")
    assert of_others(tmp_path) == []


def test_where_root_has_started_a_connector_its_profile_belongs_to_the_connectors_user(tmp_path: Path) -> None:
    """The unit could not write its profile there any more, and commands found no connector."""
    hand_over(tmp_path)
    one = Profile("reka-probation", "intake.reka-probation@hub.example", "http://127.0.0.1:1", "token", "data")
    home = tmp_path / "home"
    for again in (one, replace(one, api_url="http://127.0.0.1:2")):
        register(again, home)
        assert of_others(tmp_path) == []
        assert find(one.name, home) == again


def test_root_writes_no_profile_through_a_link_that_the_folders_owner_has_put(tmp_path: Path) -> None:
    one = Profile("reka-probation", "intake.reka-probation@hub.example", "http://127.0.0.1:1", "token", "data")
    folder, of_root = tmp_path / "home" / "profiles", tmp_path / "of-root"
    folder.mkdir(parents=True)
    of_root.write_text("of root")
    (folder / "reka-probation.json").symlink_to(of_root)
    hand_over(folder)
    register(one, folder.parent)
    assert (of_root.read_text(), of_root.stat().st_uid) == ("of root", 0)
    assert find(one.name, folder.parent) == one


def test_only_what_is_new_is_given_away(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "there").write_bytes(b"of root")
    outside = tmp_path / "outside"
    outside.write_bytes(b"of root too")
    (folder / "link").symlink_to(outside)
    os.chown(folder, SERVICE, SERVICE)
    for name in ("there", "new"):
        os.close(open_made(folder / name, os.O_RDWR))
    make_folder(folder / "one" / "two", parents=True)
    make_folder(folder / "one", exist_ok=True)
    owners = {path.name: path.stat().st_uid for path in (outside, *folder.rglob("*"))}
    assert owners == {"outside": 0, "there": 0, "link": 0, "new": SERVICE, "one": SERVICE, "two": SERVICE}
    with pytest.raises(FileExistsError):
        open_made(folder / "new", os.O_WRONLY | os.O_EXCL)


def test_root_writes_through_no_link_that_the_folders_owner_has_put(tmp_path: Path) -> None:
    """The service's user could else have root write to, or take rights from, any file of the machine."""
    folder, others = tmp_path / "service", tmp_path / "of-root"
    folder.mkdir()
    others.write_text("of root")
    others.chmod(0o644)
    (folder / "linked").symlink_to(others)
    (folder / "dangling").symlink_to(tmp_path / "nothing-yet")
    hand_over(folder)
    for name in ("linked", "dangling"):
        with pytest.raises(OSError, match="symbolic link"):
            open_made(folder / name, os.O_WRONLY | os.O_TRUNC)
        with pytest.raises(OSError, match="symbolic link"):
            InstallationLock(folder / name).acquire()
    assert (others.read_text(), others.stat().st_mode & 0o777) == ("of root", 0o644)
    assert not (tmp_path / "nothing-yet").exists()


def test_what_is_to_be_published_goes_through_no_link_either(tmp_path: Path) -> None:
    settings, others = make_settings(tmp_path, make_programme()), tmp_path.parent / "of-root"
    others.write_text("of root")
    passphrase_in(tmp_path)
    keys = create_keys(settings)
    (tmp_path / f".{PUBLIC_NAME}.new").symlink_to(others)
    write_public(settings, keys)
    assert others.read_text() == "of root"
    assert "hub.example" in (tmp_path / PUBLIC_NAME).read_text()


def test_nothing_is_given_to_a_user_that_this_system_cannot_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container the owner of a folder from outside shows as nobody, who is somebody else."""
    monkeypatch.setattr(folderowner, "_unmapped", lambda: SERVICE)
    hand_over(tmp_path)
    os.close(open_made(tmp_path / "secret", os.O_WRONLY))
    assert (tmp_path / "secret").stat().st_uid == 0
