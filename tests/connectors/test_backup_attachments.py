# SPDX-License-Identifier: Apache-2.0
"""A connector's backup holds its attachments, sent and received, and never all of one in memory."""

import tracemalloc
from pathlib import Path

import pytest

from connectors.attachment_files import FOLDER, AttachmentFiles
from connectors.backup import _copied, make_backup, open_backup
from connectors.backup_files import END, FileStream, write_file
from connectors.installation import AGENCY_ED25519, AGENCY_MLDSA65
from keys.backupfile import CHUNK, BackupWriter
from keys.backupopening import read_backup
from keys.xwing import XWingSecret
from protocol.errors import Conflict, KeystoreError
from tests.connectors.conftest import World
from tests.connectors.stations import Station
from tests.connectors.test_attachments import SCAN, carry, fetch, files, send, store
from tests.keys.world import seed
from tests.programme import NOW

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")

OFFLINE = XWingSecret(seed("offline backup key"))


def back_up(station: Station, target: Path) -> None:
    keystore = station.installation.keystore
    if not keystore.names(AGENCY_ED25519):
        for name, secret in zip((AGENCY_ED25519, AGENCY_MLDSA65), station.member.identity.seeds, strict=True):
            keystore.put(name, name, secret)
    make_backup(station.folder, station.installation, target, OFFLINE.public, NOW)


async def test_bak_3_attachments_sent_and_received_are_in_a_connectors_backup(world: World, tmp_path: Path) -> None:
    await send(world, (await store(world.prison, SCAN), 1), (await store(world.prison, b"2", 1), 1))
    await carry(world.prison)
    await fetch(world.probation)
    for station in (world.prison, world.probation):
        target, again = tmp_path / f"{station.member.address}.backup", tmp_path / station.member.address
        back_up(station, target)
        again.mkdir()
        assert open_backup(target, OFFLINE, again).storage_key == station.installation.storage_key
        kept = {path.name: path.read_bytes() for path in files(station)}
        assert len(kept) == 2
        assert {path.name: path.read_bytes() for path in (again / FOLDER).iterdir()} == kept
        assert all(path.stat().st_mode & 0o777 == 0o600 for path in (again / FOLDER).iterdir())
        with pytest.raises(Conflict, match="never overwritten"):
            back_up(station, target)
        # What is not whole is no attachment yet: it is fetched again.
        (station.folder / FOLDER / "in-1.part").write_bytes(b"half")
        back_up(station, tmp_path / f"{station.member.address}.second")
        third = tmp_path / f"{station.member.address}-third"
        third.mkdir()
        open_backup(tmp_path / f"{station.member.address}.second", OFFLINE, third)
        assert {path.name for path in (third / FOLDER).iterdir()} == kept.keys()


def test_bak_2_a_file_larger_than_memory_may_be_passes_in_pieces(tmp_path: Path) -> None:
    large, target = tmp_path / "large", tmp_path / "sealed"
    with large.open("wb") as file:
        file.truncate(48 << 20)
    tracemalloc.start()
    try:
        with target.open("wb") as sealed:
            writer = BackupWriter(sealed, OFFLINE.public, "connector")
            write_file(writer.write, "large", large)
            write_file(writer.write, "gone", tmp_path / "no-such-file")
            writer.write(END)
            writer.close()
        with target.open("rb") as sealed:
            stream = FileStream(read_backup(sealed, OFFLINE, "connector"))
            assert stream.next_file() == "large"
            stream.copy_to(tmp_path / "again")
            assert stream.next_file() is None
            stream.end()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 * CHUNK
    assert (tmp_path / "again").stat().st_size == 48 << 20


@pytest.mark.parametrize("name", ["../connector.toml", "a/b", "", ".", "in-1.part"])
def test_bak_2_a_forged_backup_writes_nowhere_else(tmp_path: Path, name: str) -> None:
    """Whoever has the public key can seal a backup, so names in it are nobody's word."""
    with pytest.raises(KeystoreError):
        AttachmentFiles(tmp_path).place_for(name)


@pytest.mark.parametrize(
    "data", [b"", b"\x01", b"\x01a", b"\x01a" + bytes(7), b"\x01a" + bytes(7) + b"\x05four", b"\xf0"]
)
def test_bak_2_a_cut_stream_is_an_error(tmp_path: Path, data: bytes) -> None:
    def read() -> None:
        stream = FileStream(iter([data]))
        stream.next_file()
        stream.copy_to(tmp_path / "file")
        stream.next_file()

    with pytest.raises(KeystoreError):
        read()
    with pytest.raises(KeystoreError):
        FileStream(iter([b"", b"more"])).end()


async def test_bak_3_a_copy_that_a_killed_backup_left_is_removed_by_the_next_and_never_under_another(
    world: World, tmp_path: Path
) -> None:
    folder = world.prison.folder
    for name in (".backup-0123456789abcdef.db", ".backup-0123456789abcdef.db-journal"):
        (folder / name).touch()
    with _copied(folder) as copy:
        assert list(folder.glob(".backup-*")) == [copy]
        with pytest.raises(Conflict, match="Another backup"):
            back_up(world.prison, tmp_path / "other")
        assert copy.exists()
    back_up(world.prison, tmp_path / "other")
    assert list(folder.glob(".backup-*")) == []
