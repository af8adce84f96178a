# SPDX-License-Identifier: Apache-2.0
"""One secret in one file under a passphrase: the hub's keys and an authority's keys.

The format is one strict CBOR map:

    { 0: version = 1, 1: Argon2id passes, 2: its memory in KiB, 3: salt(16), 4: nonce(24) || ciphertext }

The key comes from Argon2id, the ciphertext from XChaCha20-Poly1305 with the version, the parameters, the
salt and the purpose as associated data, so that none of them can be exchanged (KEY-5). The keystore of a
connector uses the same format for its index.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nacl.exceptions
import nacl.pwhash.argon2id

from keys import xchacha
from keys.privatefile import read_private, remove_drafts, sync_folder, write_private
from keys.secret import Secret
from protocol import cbor
from protocol.errors import InvalidInput, KeystoreError, MalformedEnvelope
from protocol.shapes import as_bytes, as_int, as_map

MAX_FILE_SIZE = 4 * 1024 * 1024

_LABEL = b"tc/1 sealed file\0"
_VERSION = 1
_SALT_SIZE = 16


@dataclass(frozen=True, slots=True)
class KdfParams:
    """How hard Argon2id works: `passes` over `memory` KiB, in one lane."""

    passes: int
    memory: int

    def check(self) -> None:
        """Raise `KeystoreError` for parameters that protect too little or cost too much (KEY-2)."""
        if not (FLOOR.passes <= self.passes <= CEILING.passes):
            raise KeystoreError
        if not (FLOOR.memory <= self.memory <= CEILING.memory):
            raise KeystoreError


FLOOR = KdfParams(passes=2, memory=64 * 1024)
CEILING = KdfParams(passes=10, memory=1024 * 1024)
# An office machine may take a second to start; a hub that restarts, or a small device, may not.
CONNECTOR = KdfParams(passes=3, memory=256 * 1024)
SMALL = FLOOR


class PassphraseKey(Secret):
    """The key that a passphrase, a salt and the parameters give; it opens and seals any number of times."""

    __slots__ = ("_key", "_params", "_salt")

    def __init__(self, passphrase: bytes, salt: bytes, params: KdfParams) -> None:
        """Run Argon2id over `passphrase`; parameters out of bounds are refused before any work (KEY-2)."""
        params.check()
        if not passphrase:
            raise KeystoreError("The passphrase is empty. Choose one, or name the file that holds it.")
        try:
            self._key: bytes = nacl.pwhash.argon2id.kdf(
                xchacha.KEY_SIZE, passphrase, salt, opslimit=params.passes, memlimit=params.memory * 1024
            )
        except (nacl.exceptions.RuntimeError, MemoryError) as error:
            raise KeystoreError("There is not enough free memory to open the keystore.") from error
        self._salt = salt
        self._params = params

    @classmethod
    def create(cls, passphrase: bytes, params: KdfParams) -> "PassphraseKey":
        """Return a key under a fresh salt."""
        return cls(passphrase, secrets.token_bytes(_SALT_SIZE), params)

    @classmethod
    def of(cls, sealed: bytes, passphrase: bytes) -> "PassphraseKey":
        """Return the key of an existing sealed file, by the salt and parameters it names."""
        fields = _parse(sealed)
        return cls(passphrase, fields.salt, fields.params)

    def seal(self, purpose: str, secret: bytes) -> bytes:
        """Return the bytes of a sealed file that opens for the same `purpose` only."""
        header = _header(self._params, self._salt)
        return cbor.encode({**header, 4: xchacha.encrypt(self._key, secret, _associated(header, purpose))})

    def open(self, purpose: str, sealed: bytes) -> bytes:
        """Return the secret, or raise `KeystoreError` for whatever is wrong with it (KEY-5)."""
        fields = _parse(sealed)
        if (fields.salt, fields.params) != (self._salt, self._params):
            raise KeystoreError
        associated = _associated(_header(fields.params, fields.salt), purpose)
        return xchacha.decrypt(self._key, fields.sealed, associated)


def seal_file(path: Path, purpose: str, secret: bytes, passphrase: bytes, params: KdfParams = SMALL) -> None:
    """Write `secret` to `path` (mode 0600, atomically) under `passphrase`, to be opened for `purpose` only.

    Raises `KeystoreError` if the parameters are out of bounds or the file cannot be written (KEY-2, KEY-3).
    """
    write_private(path, PassphraseKey.create(passphrase, params).seal(purpose, secret))


def open_file(path: Path, purpose: str, passphrase: bytes) -> bytes:
    """Return the secret that `seal_file` wrote, or raise `KeystoreError` (KEY-2, KEY-3, KEY-5)."""
    sealed = read_private(path, MAX_FILE_SIZE)
    return PassphraseKey.of(sealed, passphrase).open(purpose, sealed)


@dataclass(frozen=True, slots=True)
class Resealed:
    """What became of a file whose passphrase was to change."""

    purpose: str
    """What its secret is for."""
    anew: bool
    """False if it was under the new passphrase already, from a time before that was cut off before its answer."""


def reseal_file(path: Path, purposes: Sequence[str], old: bytes, new: bytes) -> Resealed:
    """Put the secret in `path`, which is for one of `purposes`, under the passphrase `new` (KEY-6).

    The secret, its purpose and the effort stay; the salt is fresh, and the new seal is opened once before it takes the
    old one's place. Wherever this is cut off the file is the old one or the new one, whole. Where `path` is a link, the
    file that it names changes. Copies of the file know nothing of it.

    Raises `KeystoreError` if neither passphrase opens the file or it cannot be written, and `InvalidInput` if both
    passphrases are one; then nothing has changed (KEY-5).
    """
    if new == old:
        raise InvalidInput("The new passphrase is the old one. Nothing was changed.")
    path = path.resolve()
    sealed = read_private(path, MAX_FILE_SIZE)
    params = _parse(sealed).params
    try:
        purpose, secret = _open_for(sealed, purposes, old)
    except KeystoreError:
        try:
            purpose, _ = _open_for(sealed, purposes, new)
        except KeystoreError:
            pass
        else:
            sync_folder(path.parent)
            return Resealed(purpose, anew=False)
        raise
    again = PassphraseKey.create(new, params).seal(purpose, secret)
    if PassphraseKey.of(again, new).open(purpose, again) != secret:
        raise KeystoreError("The new seal does not give back what it holds: this machine's memory may be damaged.")
    # One that was cut off before left a draft, under a passphrase that may not be the one chosen now.
    remove_drafts(path)
    write_private(path, again)
    return Resealed(purpose, anew=True)


def _open_for(sealed: bytes, purposes: Sequence[str], passphrase: bytes) -> tuple[str, bytes]:
    key = PassphraseKey.of(sealed, passphrase)
    for purpose in purposes:
        try:
            return purpose, key.open(purpose, sealed)
        except KeystoreError:
            continue
    raise KeystoreError


@dataclass(frozen=True, slots=True)
class _Fields:
    params: KdfParams
    salt: bytes
    sealed: bytes


def _parse(sealed: bytes) -> _Fields:
    try:
        fields = as_map(cbor.decode(sealed, limit=MAX_FILE_SIZE), 5)
        as_int(fields[0], least=_VERSION, most=_VERSION)
        return _Fields(
            KdfParams(passes=as_int(fields[1]), memory=as_int(fields[2])),
            salt=as_bytes(fields[3], size=_SALT_SIZE),
            sealed=as_bytes(fields[4]),
        )
    except MalformedEnvelope as error:
        raise KeystoreError from error


def _header(params: KdfParams, salt: bytes) -> dict[int, cbor.Value]:
    return {0: _VERSION, 1: params.passes, 2: params.memory, 3: salt}


def _associated(header: dict[int, cbor.Value], purpose: str) -> bytes:
    return _LABEL + cbor.encode(header) + purpose.encode()
