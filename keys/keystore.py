# SPDX-License-Identifier: Apache-2.0
"""A connector's private keys: each seed in a file of its own, so that one key can be destroyed for good.

    <folder>/index            sealed file (passphrase): for each key its name, purpose, file and wrapping key
    <folder>/<name>.<hex>     the seed under its wrapping key: { 0: version = 1, 1: nonce(24) || ciphertext }
    <folder>/lock             held while the index changes; the processes of one installation share the folder

The index decides: a key file that it does not name is the remains of an interrupted change and opens for
nobody. Destroying a key drops its wrapping key from the rewritten index and deletes the file (KEY-4).
Whoever can put back an old index *and* the deleted file, and knows the passphrase, has the key again:
backups of a keystore's folder defeat the destruction of prekeys and are not to be made.
"""

import os
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from keys import xchacha
from keys.folderowner import make_folder, open_made
from keys.privatefile import read_private, remove_private, write_private
from keys.sealedfile import CONNECTOR, MAX_FILE_SIZE, KdfParams, PassphraseKey, reseal_file
from keys.secret import Secret
from protocol import cbor
from protocol.errors import KeystoreError, MalformedEnvelope
from protocol.shapes import as_bytes, as_int, as_list, as_map, as_text, as_tuple

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

MAX_KEYS = 10_000
MAX_SECRET = 4_096

_INDEX = "index"
_INDEX_PURPOSE = "keystore index"
_LABEL = b"tc/1 key file\0"
_VERSION = 1
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,99}")
_FILE = re.compile(r"[a-z0-9][a-z0-9.-]{0,99}\.[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    purpose: str
    file: str
    wrapping_key: bytes = field(repr=False)


class Keystore(Secret):
    """An opened keystore. Every call reads the index afresh, so that other processes' changes are seen."""

    __slots__ = ("_folder", "_passphrase_key")

    def __init__(self, folder: Path, passphrase_key: PassphraseKey) -> None:
        """Use `create` or `open`."""
        self._folder = folder
        self._passphrase_key = passphrase_key

    @classmethod
    def create(cls, folder: Path, passphrase: bytes, params: KdfParams = CONNECTOR) -> "Keystore":
        """Make an empty keystore in `folder`, which is created with mode 0700 if need be.

        Raises `KeystoreError` if there is one already, or if the parameters are out of bounds (KEY-2).
        """
        store = cls(folder, PassphraseKey.create(passphrase, params))
        try:
            make_folder(folder, parents=True, exist_ok=True)
        except OSError as error:
            raise KeystoreError("The keystore's folder cannot be made. Check who owns its parent.") from error
        with _locked(folder):
            if (folder / _INDEX).exists():
                raise KeystoreError("There is a keystore here already; it is never overwritten.")
            store._save({})
        return store

    @classmethod
    def open(cls, folder: Path, passphrase: bytes) -> "Keystore":
        """Open the keystore in `folder`, or raise `KeystoreError` (KEY-2, KEY-3, KEY-5)."""
        sealed = read_private(folder / _INDEX, MAX_FILE_SIZE)
        store = cls(folder, PassphraseKey.of(sealed, passphrase))
        store._load()
        return store

    @staticmethod
    def change_passphrase(folder: Path, old: bytes, new: bytes) -> bool:
        """Put the keystore in `folder` under the passphrase `new`; the keys and their files stay as they are (KEY-6).

        Whoever has it open, a connector that runs, can open no key any more until it opens the keystore anew. Returns
        False if it was under `new` already. Raises what `reseal_file` raises.
        """
        if not Keystore.is_made(folder):
            raise KeystoreError(f"There is no keystore in {folder}. Check the path.")
        with _locked(folder):
            return reseal_file(folder / _INDEX, (_INDEX_PURPOSE,), old, new).anew

    @staticmethod
    def is_made(folder: Path) -> bool:
        """Tell whether there is a keystore in `folder`."""
        return (folder / _INDEX).exists()

    def put(self, name: str, purpose: str, secret: bytes) -> None:
        """Store `secret` (at most 4,096 bytes) as `name`, to be read for `purpose` only (KEY-1).

        `name` is 1 to 100 of `a-z`, `0-9`, `.` and `-`. Raises `KeystoreError` if the name is taken: a key is
        destroyed, never overwritten.
        """
        if not _NAME.fullmatch(name) or len(secret) > MAX_SECRET:
            raise KeystoreError("A key's name is 1 to 100 of a-z, 0-9, . and -; a secret has up to 4,096 bytes.")
        entry = _Entry(name, purpose, f"{name[:80]}.{secrets.token_hex(8)}", secrets.token_bytes(xchacha.KEY_SIZE))
        sealed = xchacha.encrypt(entry.wrapping_key, secret, _associated(entry))
        with _locked(self._folder):
            index = self._load()
            if name in index:
                raise KeystoreError("A key of this name is in the keystore already; destroy it first.")
            if len(index) >= MAX_KEYS:
                raise KeystoreError("The keystore is full.")
            # The file first: the index never names a key that is not there.
            write_private(self._folder / entry.file, cbor.encode({0: _VERSION, 1: sealed}))
            self._save({**index, name: entry})

    def get(self, name: str, purpose: str) -> bytes:
        """Return the secret stored as `name`; `KeystoreError` if it is missing or of another purpose."""
        entry = self._load().get(name)
        if entry is None or entry.purpose != purpose:
            raise KeystoreError("The keystore holds no such key for this purpose.")
        return self._read(entry)

    def _read(self, entry: _Entry) -> bytes:
        stored = read_private(self._folder / entry.file, MAX_SECRET * 2)
        try:
            fields = as_map(cbor.decode(stored, limit=MAX_SECRET * 2), 2)
            as_int(fields[0], least=_VERSION, most=_VERSION)
            sealed = as_bytes(fields[1])
        except MalformedEnvelope as error:
            raise KeystoreError from error
        return xchacha.decrypt(entry.wrapping_key, sealed, _associated(entry))

    def unreadable(self) -> list[str]:
        """Return the names of all keys whose files cannot be read or do not open any more, sorted."""
        lost = []
        for entry in self._load().values():
            try:
                self._read(entry)
            except KeystoreError:
                lost.append(entry.name)
        return sorted(lost)

    def names(self, prefix: str = "") -> list[str]:
        """Return the names that begin with `prefix`, sorted."""
        return sorted(name for name in self._load() if name.startswith(prefix))

    def destroy(self, name: str) -> None:
        """Drop the wrapping key of `name` and delete its file (KEY-4); a key that is gone is no error."""
        with _locked(self._folder):
            index = self._load()
            entry = index.pop(name, None)
            if entry is None:
                return
            # The index first: from here on the file's bytes open for nobody, even if the deletion fails.
            self._save(index)
            remove_private(self._folder / entry.file)

    def _load(self) -> dict[str, _Entry]:
        sealed = read_private(self._folder / _INDEX, MAX_FILE_SIZE)
        plain = self._passphrase_key.open(_INDEX_PURPOSE, sealed)
        try:
            rows = as_list(cbor.decode(plain, limit=MAX_FILE_SIZE), most=MAX_KEYS)
            entries = [_entry(row) for row in rows]
        except MalformedEnvelope as error:
            raise KeystoreError from error
        return {entry.name: entry for entry in entries}

    def _save(self, index: dict[str, _Entry]) -> None:
        rows: list[cbor.Value] = [[e.name, e.purpose, e.file, e.wrapping_key] for e in index.values()]
        write_private(self._folder / _INDEX, self._passphrase_key.seal(_INDEX_PURPOSE, cbor.encode(rows)))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep the other processes of this installation from changing the index meanwhile."""
    try:
        file = os.fdopen(open_made(folder / "lock", os.O_WRONLY | os.O_APPEND), "ab")
    except OSError as error:
        raise KeystoreError("The keystore's folder cannot be written. Check who owns it.") from error
    with file as lock:
        if sys.platform == "win32":
            msvcrt.locking(lock.fileno(), msvcrt.LK_LOCK, 1)
        else:
            fcntl.flock(lock, fcntl.LOCK_EX)
        # Closing the file releases the lock, whatever happens.
        yield


def _entry(row: cbor.Value) -> _Entry:
    name, purpose, file, wrapping_key = as_tuple(row, 4)
    entry = _Entry(
        as_text(name, most=100),
        as_text(purpose, most=100),
        as_text(file, most=120),
        as_bytes(wrapping_key, size=xchacha.KEY_SIZE),
    )
    if not _FILE.fullmatch(entry.file):
        raise MalformedEnvelope
    return entry


def _associated(entry: _Entry) -> bytes:
    return _LABEL + cbor.encode([entry.name, entry.purpose])
