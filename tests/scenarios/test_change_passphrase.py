# SPDX-License-Identifier: Apache-2.0
"""Another passphrase, typed command by command: at an agency, an authority and for the backup key (KEY-6)."""

import asyncio
import io
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.authority.founding import create_office
from connectors.store.engine import DATABASE_FILE
from connectors.timing import system_clock
from keys.backupopening import make_backup_key, open_backup_key
from keys.keystore import Keystore
from keys.sealedfile import SMALL
from protocol.errors import KeystoreError
from tests.connectors.running import installed, running
from tests.connectors.stations import PASSPHRASE
from tests.hub.running import RunningHub
from tests.programme import make_programme
from tests.scenarios.drills import WallClock, opened_drill
from tests.scenarios.running import Typist

pytestmark = pytest.mark.usefixtures("quick_keys")

NEW = b"what the officer who left never saw"


@pytest.fixture
def untouched_logging() -> Iterator[None]:
    """Give the test run its own logging back, which a connector takes over."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def secret(path: Path, passphrase: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(passphrase + b"\n")
    return path


@pytest.mark.usefixtures("untouched_logging")
async def test_key_6_a_connector_is_stopped_first_and_starts_with_the_new_passphrase_only(
    tmp_path: Path, type_: Typist
) -> None:
    programme = make_programme(now=system_clock())
    (tmp_path / "hub").mkdir()
    async with RunningHub(tmp_path / "hub", programme, WallClock()) as hub:
        place = installed(tmp_path, programme, "reka-probation", hub.url)
        folder, keystore = place[0], place[0] / "keystore"
        config = folder / "connector.toml"
        config.write_text('[connector]\ndata_dir = "."\npassphrase_file = "passphrase"\nprofile = "demo"\n')
        new = secret(tmp_path / "new", NEW)
        command = ("key", "change-passphrase", "--config", config, "--new-passphrase-file", new, "--json")

        async with running(*place):
            refused = await asyncio.to_thread(type_, *command)
            assert (refused.code, "stop the connector" in refused.err) == (6, True), refused.err
            assert Keystore.open(keystore, PASSPHRASE).unreadable() == []

        done = await asyncio.to_thread(type_, *command)
        assert done.json == {"key": "keystore", "file": str(keystore), "changed": True}
        moved = f"next:  mv {new} {folder / 'passphrase'}, then start it: systemctl start throughcare-connector, where"
        assert moved in done.err
        assert "still open under the old passphrase" in done.err
        again = await asyncio.to_thread(type_, *command)
        assert (again.code, again.json["changed"]) == (0, False), again.err

        with pytest.raises(KeystoreError):
            async with running(*place):
                pytest.fail("it started with the old passphrase")
        ill = await asyncio.to_thread(type_, "doctor", "--config", config)
        assert (ill.code, "connector.passphrase_file" in ill.out) == (1, True), ill.out
        new.replace(folder / "passphrase")
        async with running(*place) as connector:
            assert (await connector.client.status()).desks
        assert (folder / DATABASE_FILE).exists()


async def test_key_6_bak_1_a_backup_of_before_opens_with_the_backup_keys_new_passphrase(
    tmp_path: Path, type_: Typist
) -> None:
    async with opened_drill(tmp_path, type_) as drill:
        await drill.run_and_back_up()
        kept = tmp_path / "offline" / "backup.key"
        copied = kept.with_name("a copy of before")
        copied.touch(mode=0o600)
        copied.write_bytes(kept.read_bytes())
        new = secret(tmp_path / "new", NEW)
        change = ("key", "change-passphrase", kept, "--passphrase-file", drill.passphrase)
        said = await drill.type(*change, "--new-passphrase-file", new)
        assert f"{kept}: the backup key opens under the new passphrase only." in said
        verify = ("restore", drill.backup, "--verify", "--key-passphrase-file")
        await drill.type(*verify, drill.passphrase, "--key", kept, code=8)
        await drill.type(*verify, new, "--key", kept)
        assert open_backup_key(copied, PASSPHRASE).seed == open_backup_key(kept, NEW).seed, "as it says"


def test_key_6_each_person_of_an_authority_changes_the_own_key_without_its_folder(
    tmp_path: Path, type_: Typist
) -> None:
    office = create_office(
        tmp_path / "authority", programme="P", jurisdiction="J", domain="hub.example", root_persons=1, approvers=2,
        passphrase_of=lambda name: name.encode(), now=system_clock(),
    )  # fmt: skip
    new = secret(tmp_path / "new", NEW)
    for name in ("approver-2", "root-1"):
        at_home = tmp_path / f"key on a stick of {name}"
        office.key_file(name).replace(at_home)
        old = secret(tmp_path / name, name.encode())
        done = type_(
            "authority", "change-passphrase", at_home, "--passphrase-file", old, "--new-passphrase-file", new, "--json"
        )
        assert done.json == {"key": f"key of {name}", "file": str(at_home), "changed": True}
    assert office.approver(2, NEW, tmp_path / "key on a stick of approver-2").public.key_id == office.facts.approvers[1]
    assert office.root_person(1, NEW, tmp_path / "key on a stick of root-1").public.key_id in office.facts.root_persons
    assert office.approver(1, b"approver-1").public.key_id == office.facts.approvers[0], "the others' are untouched"


@pytest.mark.parametrize(
    ("old", "new", "code", "told"),
    [
        (b"wrong\n", NEW, 8, "next:  the same command with the passphrase that counts so far"),
        (b"\n", NEW, 3, "holds no passphrase"),
        (PASSPHRASE, b"\n", 3, "holds no passphrase"),
        (PASSPHRASE, b"one\ntwo\n", 3, "more than one line"),
        (PASSPHRASE, PASSPHRASE + b"\r\n", 2, "The new passphrase is the old one"),
        (PASSPHRASE, None, 3, "There is no passphrase file"),
    ],
)
def test_key_6_a_wrong_old_passphrase_or_no_new_one_changes_nothing_and_says_what_to_do(
    tmp_path: Path, type_: Typist, old: bytes, new: bytes | None, code: int, told: str
) -> None:
    kept, _ = make_backup_key(tmp_path / "offline", PASSPHRASE, SMALL)
    sealed = kept.read_bytes()
    files = [tmp_path / "old", tmp_path / "new"]
    for file, holds in zip(files, (old, new), strict=True):
        if holds is not None:
            file.touch(mode=0o600)
            file.write_bytes(holds)
    done = type_("key", "change-passphrase", kept, "--passphrase-file", files[0], "--new-passphrase-file", files[1])
    assert (done.code, told in done.err) == (code, True), done.err
    assert "wrong\n" not in done.err
    assert (kept.read_bytes(), sorted(one.name for one in kept.parent.iterdir())) == (
        sealed, ["backup.key", "backup.pub"],
    )  # fmt: skip


def test_key_6_both_passphrases_come_by_standard_input_and_without_a_terminal_none_is_asked_for(
    tmp_path: Path, type_: Typist, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, _ = make_backup_key(tmp_path / "offline", PASSPHRASE, SMALL)
    command = ("key", "change-passphrase", kept, "--passphrase-file", "-")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PASSPHRASE + b"\n")))
    nobody = type_(*command)
    assert (nobody.code, "next:  the same command with --new-passphrase-file FILE" in nobody.err) == (8, True)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PASSPHRASE + b"\n" + NEW + b"\n")))
    done = type_(*command, "--new-passphrase-file", "-", "--quiet")
    assert (done.code, done.err) == (0, "")
    assert len(open_backup_key(kept, NEW).seed) == 32
    both = type_("key", "change-passphrase", kept, "--config", tmp_path / "connector.toml")
    assert (both.code, "not both" in both.err) == (2, True)
