# SPDX-License-Identifier: Apache-2.0
"""A connector's keystore: one file per key, an index that decides, and keys that can be destroyed."""

import multiprocessing
import shutil
import stat
from pathlib import Path

import pytest

from keys.keystore import Keystore
from keys.privatefile import write_private
from keys.sealedfile import SMALL, KdfParams
from protocol import cbor
from protocol.errors import KeystoreError

PASSPHRASE = b"correct horse battery staple"
SEED = b"0123456789abcdef0123456789abcdef"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def store(folder: Path) -> Keystore:
    return Keystore.create(folder, PASSPHRASE, SMALL)


def key_files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name not in ("index", "lock")]


def test_key_1_what_is_put_in_is_there_after_opening_again(store: Keystore, folder: Path) -> None:
    store.put("device", "device signing key", SEED)
    store.put("prekey.1", "prekey", SEED[::-1])
    again = Keystore.open(folder, PASSPHRASE)
    assert again.get("device", "device signing key") == SEED
    assert again.get("prekey.1", "prekey") == SEED[::-1]
    assert again.names() == ["device", "prekey.1"]
    assert again.names("prekey.") == ["prekey.1"]


def test_key_1_each_key_has_a_file_and_a_wrapping_key_of_its_own(store: Keystore, folder: Path) -> None:
    store.put("one", "prekey", SEED)
    store.put("two", "prekey", SEED)
    one, two = sorted(key_files(folder))
    assert one.read_bytes() != two.read_bytes()
    for path in folder.iterdir():
        assert SEED not in path.read_bytes()


def test_key_3_every_file_of_the_keystore_is_private(store: Keystore, folder: Path) -> None:
    store.put("device", "device signing key", SEED)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in [*key_files(folder), folder / "index"]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_key_4_a_destroyed_key_is_gone_from_index_and_disk(store: Keystore, folder: Path) -> None:
    """Attack 42, the keystore's part."""
    store.put("prekey.1", "prekey", SEED)
    store.destroy("prekey.1")
    store.destroy("prekey.1")
    assert key_files(folder) == []
    assert store.names() == []
    with pytest.raises(KeystoreError):
        Keystore.open(folder, PASSPHRASE).get("prekey.1", "prekey")


def test_key_4_a_destroyed_key_does_not_open_even_if_its_file_comes_back(store: Keystore, folder: Path) -> None:
    store.put("prekey.1", "prekey", SEED)
    (file,) = key_files(folder)
    saved = file.read_bytes()
    store.destroy("prekey.1")
    store.put("prekey.1", "prekey", SEED[::-1])
    (new,) = key_files(folder)
    new.write_bytes(saved)
    with pytest.raises(KeystoreError):
        store.get("prekey.1", "prekey")


def test_key_5_a_wrong_passphrase_is_a_keystore_error(store: Keystore, folder: Path) -> None:
    """Attack 58."""
    with pytest.raises(KeystoreError):
        Keystore.open(folder, PASSPHRASE + b" ")


def test_key_5_a_key_is_not_given_for_another_purpose(store: Keystore) -> None:
    """Attack 58."""
    store.put("device", "device signing key", SEED)
    with pytest.raises(KeystoreError):
        store.get("device", "prekey")


def test_key_5_exchanged_key_files_do_not_open(store: Keystore, folder: Path) -> None:
    store.put("one", "prekey", SEED)
    store.put("two", "prekey", SEED[::-1])
    one, two = sorted(key_files(folder))
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    for name in ("one", "two"):
        with pytest.raises(KeystoreError):
            store.get(name, "prekey")


def test_key_5_a_flipped_bit_in_index_or_key_file_is_a_keystore_error(store: Keystore, folder: Path) -> None:
    """Attack 58."""
    store.put("device", "device signing key", SEED)
    for path in [folder / "index", *key_files(folder)]:
        saved = path.read_bytes()
        for position in range(0, len(saved) * 8, 7):
            flipped = bytearray(saved)
            flipped[position // 8] ^= 1 << position % 8
            path.write_bytes(flipped)
            with pytest.raises(KeystoreError):
                store.get("device", "device signing key")
        path.write_bytes(saved)
    assert store.get("device", "device signing key") == SEED


def test_key_5_a_key_file_that_vanished_is_a_keystore_error(store: Keystore, folder: Path) -> None:
    store.put("device", "device signing key", SEED)
    for path in key_files(folder):
        path.unlink()
    with pytest.raises(KeystoreError):
        store.get("device", "device signing key")


def test_key_2_weak_parameters_make_no_keystore(folder: Path) -> None:
    with pytest.raises(KeystoreError):
        Keystore.create(folder, PASSPHRASE, KdfParams(passes=1, memory=8))
    assert not folder.exists()


def test_a_keystore_is_never_created_over_another(store: Keystore, folder: Path) -> None:
    store.put("device", "device signing key", SEED)
    with pytest.raises(KeystoreError, match="never overwritten"):
        Keystore.create(folder, b"another passphrase", SMALL)
    assert store.get("device", "device signing key") == SEED


def test_a_key_is_never_overwritten(store: Keystore) -> None:
    store.put("device", "device signing key", SEED)
    with pytest.raises(KeystoreError, match="already"):
        store.put("device", "device signing key", SEED[::-1])
    assert store.get("device", "device signing key") == SEED


@pytest.mark.parametrize("name", ["", "../device", "Device", "a/b", ".hidden", "a" * 101, "na\0me", "x\n"])
def test_a_name_that_could_leave_the_folder_is_refused(store: Keystore, folder: Path, name: str) -> None:
    with pytest.raises(KeystoreError):
        store.put(name, "prekey", SEED)
    assert key_files(folder) == []


def test_a_secret_that_is_too_large_is_refused(store: Keystore) -> None:
    with pytest.raises(KeystoreError):
        store.put("device", "device signing key", bytes(4_097))
    store.put("device", "device signing key", bytes(4_096))
    assert len(store.get("device", "device signing key")) == 4_096


def test_opening_where_there_is_no_keystore_says_so(tmp_path: Path) -> None:
    with pytest.raises(KeystoreError, match="no key file"):
        Keystore.open(tmp_path, PASSPHRASE)


def test_a_change_that_was_interrupted_after_its_file_leaves_the_store_whole(store: Keystore, folder: Path) -> None:
    """A kill between the key file and the index: the key is not there, the others are, and it can be put again."""
    store.put("device", "device signing key", SEED)
    index = (folder / "index").read_bytes()
    store.put("prekey.1", "prekey", SEED)
    (folder / "index").write_bytes(index)
    assert Keystore.open(folder, PASSPHRASE).names() == ["device"]
    store.put("prekey.1", "prekey", SEED)
    assert store.get("prekey.1", "prekey") == SEED


def put_many(folder: Path, worker: int) -> None:
    store = Keystore.open(folder, PASSPHRASE)
    for number in range(5):
        store.put(f"prekey.{worker}.{number}", "prekey", SEED)


def test_processes_of_one_installation_do_not_lose_each_others_keys(store: Keystore, folder: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=put_many, args=(folder, worker)) for worker in range(2)]
    for process in workers:
        process.start()
    for process in workers:
        process.join()
        assert process.exitcode == 0
    assert len(store.names("prekey.")) == 10


def test_a_keystore_of_another_passphrase_put_in_its_place_is_a_keystore_error(
    store: Keystore, folder: Path, tmp_path: Path
) -> None:
    Keystore.create(tmp_path / "other", b"another passphrase", SMALL)
    shutil.copy(tmp_path / "other" / "index", folder / "index")
    with pytest.raises(KeystoreError):
        store.names()


def test_a_full_keystore_takes_no_more_and_leaves_nothing_behind(
    store: Keystore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keys.keystore.MAX_KEYS", 1)
    store.put("device", "device signing key", SEED)
    with pytest.raises(KeystoreError, match="full"):
        store.put("prekey.1", "prekey", SEED)
    assert len(key_files(folder)) == 1


@pytest.mark.parametrize(
    "index",
    [
        b"",
        cbor.encode([["device", "purpose", "../../etc/passwd", SEED]]),
        cbor.encode([["device", "purpose", "device.0123456789abcdef", SEED[:-1]]]),
        cbor.encode({0: []}),
    ],
    ids=["nothing", "a path out of the folder", "a short key", "a map"],
)
def test_key_5_an_index_of_another_form_is_a_keystore_error(store: Keystore, folder: Path, index: bytes) -> None:
    write_private(folder / "index", store._passphrase_key.seal("keystore index", index))
    with pytest.raises(KeystoreError):
        store.names()


def test_a_folder_that_cannot_be_made_or_locked_is_told(store: Keystore, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(KeystoreError, match="folder"):
        Keystore.create(tmp_path / "file" / "keys", PASSPHRASE, SMALL)
    (folder / "lock").unlink()
    (folder / "lock").mkdir()
    with pytest.raises(KeystoreError, match="folder"):
        store.put("device", "device signing key", SEED)
