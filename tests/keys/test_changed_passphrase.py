# SPDX-License-Identifier: Apache-2.0
"""A sealed file under another passphrase: the secret is the same, and no cut leaves anything but the old or the new."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.keystore import Keystore
from keys.sealedfile import SMALL, KdfParams, PassphraseKey, Resealed, open_file, reseal_file, seal_file
from protocol import cbor
from protocol.errors import InvalidInput, KeystoreError

pytestmark = pytest.mark.usefixtures("quick_keys")

OLD, NEW = b"correct horse battery staple", b"another one altogether"
SEED = b"0123456789abcdef0123456789abcdef"
PURPOSES = ("root-1", "approver-1", "approver-2")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "approver-1.key"
    seal_file(path, "approver-1", SEED, OLD, SMALL)
    return path


def test_key_6_the_secret_its_purpose_and_the_effort_stay_and_the_salt_is_fresh(file: Path) -> None:
    before = cbor.decode(file.read_bytes(), limit=1_000)
    assert reseal_file(file, PURPOSES, OLD, NEW) == Resealed("approver-1", anew=True)
    after = cbor.decode(file.read_bytes(), limit=1_000)
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert [after[n] for n in (0, 1, 2)] == [before[n] for n in (0, 1, 2)]
    assert after[3] != before[3]
    assert open_file(file, "approver-1", NEW) == SEED
    for passphrase, purpose in ((OLD, "approver-1"), (NEW, "approver-2")):
        with pytest.raises(KeystoreError):
            open_file(file, purpose, passphrase)
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.skipif(os.name != "posix", reason="Windows has no mode bits")
def test_key_6_the_new_file_is_private_and_a_link_leads_to_it(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(file)
    reseal_file(link, PURPOSES, OLD, NEW)
    assert link.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o600
    assert open_file(link, "approver-1", NEW) == SEED
    file.chmod(0o640)
    with pytest.raises(KeystoreError, match="600"):
        reseal_file(file, PURPOSES, NEW, OLD)


def test_key_6_typed_again_it_is_done_already(file: Path) -> None:
    reseal_file(file, PURPOSES, OLD, NEW)
    sealed = file.read_bytes()
    assert reseal_file(file, PURPOSES, OLD, NEW) == Resealed("approver-1", anew=False)
    assert file.read_bytes() == sealed


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (OLD + b" ", NEW, KeystoreError),
        (b"", NEW, KeystoreError),
        (OLD, b"", KeystoreError),
        (OLD, OLD, InvalidInput),
        (NEW, NEW, InvalidInput),
    ],
    ids=["wrong", "no old one", "no new one", "the same", "the same, and wrong"],
)
def test_key_6_what_is_refused_changes_nothing(file: Path, old: bytes, new: bytes, error: type[Exception]) -> None:
    sealed = file.read_bytes()
    with pytest.raises(error):
        reseal_file(file, PURPOSES, old, new)
    with pytest.raises(KeystoreError):
        reseal_file(file, ("root-1",), OLD, NEW)
    assert file.read_bytes() == sealed
    assert list(file.parent.iterdir()) == [file]


def test_key_6_a_damaged_file_is_a_keystore_error_and_stays_as_it_is(file: Path) -> None:
    """A stranger who can write the file gets no seal under the new passphrase for what he put there."""
    whole = file.read_bytes()
    for position in range(0, len(whole), 5):
        spoiled = bytearray(whole)
        spoiled[position] ^= 1
        file.write_bytes(spoiled)
        with pytest.raises(KeystoreError):
            reseal_file(file, PURPOSES, OLD, NEW)
        assert file.read_bytes() == spoiled


def test_key_6_a_seal_that_does_not_open_takes_the_place_of_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bit that memory flips between the two runs of Argon2id would lose the key for good."""
    sealed, seal = file.read_bytes(), PassphraseKey.seal

    def flipped(key: PassphraseKey, purpose: str, secret: bytes) -> bytes:
        made = bytearray(seal(key, purpose, secret))
        made[-1] ^= 1
        return bytes(made)

    monkeypatch.setattr(PassphraseKey, "seal", flipped)
    with pytest.raises(KeystoreError):
        reseal_file(file, PURPOSES, OLD, NEW)
    assert file.read_bytes() == sealed


def test_key_6_parameters_out_of_bounds_are_refused_before_any_work(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = cbor.decode(file.read_bytes(), limit=1_000)
    assert isinstance(fields, dict)
    file.write_bytes(cbor.encode({**fields, 1: 1}))
    monkeypatch.setattr("nacl.pwhash.argon2id.kdf", lambda *_, **__: pytest.fail("Argon2id was run"))
    with pytest.raises(KeystoreError):
        reseal_file(file, PURPOSES, OLD, NEW)


def test_key_6_what_an_earlier_change_left_goes_and_nothing_else(file: Path) -> None:
    left = file.with_name(f".{file.name}.0123456789abcdef")
    others = [file.with_name(name) for name in (f".{file.name}.txt", f".{file.name}.0123456789abcdef0", "other.key")]
    for one in (left, *others):
        one.write_bytes(b"half a dra")
    reseal_file(file, PURPOSES, OLD, NEW)
    assert set(file.parent.iterdir()) == {file, *others}


@given(st.binary(min_size=1, max_size=40), st.binary(min_size=1, max_size=40), st.binary(max_size=300))
def test_key_6_whatever_the_passphrases_exactly_the_new_one_opens_the_same_secret(
    old: bytes, new: bytes, secret: bytes
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "any.key"
        seal_file(path, "x", secret, old, SMALL)
        if old == new:
            with pytest.raises(InvalidInput):
                reseal_file(path, ("x",), old, new)
            return
        reseal_file(path, ("x",), old, new)
        assert open_file(path, "x", new) == secret
        with pytest.raises(KeystoreError):
            open_file(path, "x", old)


def keystore(folder: Path) -> Keystore:
    store = Keystore.create(folder, OLD, KdfParams(passes=3, memory=64 * 1024))
    store.put("device", "device signing key", SEED)
    store.put("prekey.1", "prekey", SEED[::-1])
    return store


def alone(folder: Path) -> None:
    folder.mkdir()
    seal_file(folder / "approver-1.key", "approver-1", SEED, OLD, SMALL)


def test_key_6_a_keystores_keys_their_files_and_the_lock_stay_as_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "keystore"
    keystore(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert Keystore.change_passphrase(folder, OLD, NEW)
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {name for name in before if before[name] != after[name]} == {"index"}
    assert after.keys() == before.keys()
    with pytest.raises(KeystoreError):
        Keystore.open(folder, OLD)
    again = Keystore.open(folder, NEW)
    assert again.get("device", "device signing key") == SEED
    again.destroy("prekey.1")
    again.put("prekey.2", "prekey", SEED)
    assert again.names() == ["device", "prekey.2"]
    assert not Keystore.change_passphrase(folder, OLD, NEW)
    with pytest.raises(KeystoreError, match="no keystore"):
        Keystore.change_passphrase(tmp_path / "nowhere", OLD, NEW)


def test_key_6_whoever_had_the_keystore_open_cannot_write_it_back_under_the_old_passphrase(tmp_path: Path) -> None:
    """A command that read the old passphrase before the change, and makes or destroys a key after it."""
    folder = tmp_path / "keystore"
    late = keystore(folder)
    Keystore.change_passphrase(folder, OLD, NEW)
    index = (folder / "index").read_bytes()
    for act in (lambda: late.put("prekey.2", "prekey", SEED), lambda: late.destroy("prekey.1"), late.names):
        with pytest.raises(KeystoreError):
            act()
    assert (folder / "index").read_bytes() == index
    assert Keystore.open(folder, NEW).unreadable() == []


def test_key_6_a_keystore_put_together_from_two_times_does_not_open(tmp_path: Path) -> None:
    """Whoever brings the old index back brings the old passphrase back with it, and no destroyed key (KEY-4)."""
    folder = tmp_path / "keystore"
    keystore(folder)
    old_index = (folder / "index").read_bytes()
    Keystore.change_passphrase(folder, OLD, NEW)
    Keystore.open(folder, NEW).destroy("prekey.1")
    (folder / "index").write_bytes(old_index)
    with pytest.raises(KeystoreError):
        Keystore.open(folder, NEW)
    assert Keystore.open(folder, OLD).unreadable() == ["prekey.1"]


def test_key_6_a_power_cut_takes_nothing_back(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The draft is on the disk before it gets the name, and the name before the command answers."""
    done, sync, replace = list[str](), os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    def replaced(path: Path, target: Path) -> Path:
        done.append("replace")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    reseal_file(file, PURPOSES, OLD, NEW)
    assert done[-3:] == ["file", "replace", "folder"]


_KILLED = """
import json, os, shutil, signal, sys
from pathlib import Path
from keys.keystore import Keystore
from keys.sealedfile import open_file, reseal_file
from protocol.errors import KeystoreError
from tests.passphrases import quick_passphrases

place, what = Path(sys.argv[1]), sys.argv[2]
old, new = (one.encode() for one in sys.argv[3:5])
whole, tried = place / "whole", place / "tried"
kept = "index" if what == "keystore" else "approver-1.key"

def change(to=new):
    if what == "keystore":
        Keystore.change_passphrase(tried, old, to)
    else:
        reseal_file(tried / kept, ("approver-1",), old, to)

def opens(passphrase):
    try:
        if what == "keystore":
            return Keystore.open(tried, passphrase).unreadable() == []
        return len(open_file(tried / kept, "approver-1", passphrase)) == 32
    except KeystoreError:
        return False

def cut(at):
    left = [at]
    def count(event, arguments):
        if event in ("open", "os.open", "os.rename", "os.remove", "os.listdir", "os.scandir", "fcntl.flock"):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)

found = []
with quick_passphrases():
    while True:
        shutil.rmtree(tried, ignore_errors=True)
        shutil.copytree(whole, tried)
        child = os.fork()
        if child == 0:
            cut(len(found) + 1)
            change()
            os._exit(0)
        killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0
        state = [opens(old), opens(new)]
        if state[0]:
            # The people may choose another new one after the cut; what it left goes.
            change(new + b"er")
            ended = opens(new + b"er")
        else:
            change()
            ended = opens(new)
        names = sorted(path.name for path in tried.iterdir())
        found.append([killed, *state, ended, names])
        if not killed:
            break
print(json.dumps(found))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows kills in another way")
@pytest.mark.parametrize(
    ("what", "make"),
    [
        ("keystore", keystore),
        ("file", alone),
    ],
    ids=["keystore", "file"],
)
def test_key_6_killed_anywhere_the_old_file_or_the_new_one_is_there_whole(
    tmp_path: Path, what: str, make: Callable[[Path], object]
) -> None:
    """A real SIGKILL before each call that touches the disk; then the same again, to its end."""
    make(tmp_path / "whole")
    names = sorted(path.name for path in (tmp_path / "whole").iterdir())
    ran = subprocess.run(
        [sys.executable, "-c", _KILLED, str(tmp_path), what, OLD.decode(), NEW.decode()],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    cuts = json.loads(ran.stdout)
    assert [cut[0] for cut in cuts] == [True] * (len(cuts) - 1) + [False]
    assert {tuple(cut[1:3]) for cut in cuts} == {(True, False), (False, True)}
    assert [cut[2] for cut in cuts] == sorted(cut[2] for cut in cuts), "once it is new it stays so"
    assert all(cut[3] for cut in cuts)
    assert all(cut[4] == names for cut in cuts), "nothing is left of the attempts"
