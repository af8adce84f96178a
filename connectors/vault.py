# SPDX-License-Identifier: Apache-2.0
"""What a connector stores is encrypted under the agency's storage key, row by row (CON-5).

Each value is bound to its place: the table's name and the row's key are associated data, so that a value
copied into another row, or taken from another table, does not open. Columns that are searched (ids, desks,
times, states) stay readable; payloads, sections, raw envelopes, statements and answers never do. What is found by
its content, such as a number of a person, stands as a keyed hash: equal or not is all that the file tells.
"""

import hashlib
import secrets
from typing import Final

import nacl.bindings
import nacl.exceptions

from keys.secret import Secret
from protocol import cbor
from protocol.errors import KeystoreError

KEY_SIZE: Final = 32

_NONCE_SIZE: Final = 24
_TAG_SIZE: Final = 16
_LABEL: Final = b"tc/1 vault\0"
_BLIND: Final = b"tc/1 blind\0"
BLIND_SIZE: Final = 16


class Vault(Secret):
    """Encrypts and decrypts what the store keeps, with XChaCha20-Poly1305 and random nonces."""

    __slots__ = ("_key",)

    def __init__(self, storage_key: bytes) -> None:
        """Take the agency's storage key, 32 bytes; `KeystoreError` for another size."""
        if len(storage_key) != KEY_SIZE:
            raise KeystoreError
        self._key = storage_key

    def seal(self, place: str, row: bytes, plain: bytes) -> bytes:
        """Return `plain` encrypted for the row `row` of the table or use `place`: 40 bytes longer."""
        nonce = secrets.token_bytes(_NONCE_SIZE)
        sealed = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
            plain, _associated(place, row), nonce, self._key
        )
        return nonce + sealed

    def blind(self, use: str, plain: bytes) -> bytes:
        """Return the 16 bytes by which `plain` is found again; without the storage key they tell nothing of it."""
        key = hashlib.sha256(_BLIND + self._key).digest()
        return hashlib.blake2b(cbor.encode([use, plain]), digest_size=BLIND_SIZE, key=key).digest()

    def open(self, place: str, row: bytes, sealed: bytes) -> bytes:
        """Return what `seal` encrypted for this very place and row.

        Raises `KeystoreError` if it was altered, moved, or made under another storage key (CON-5).
        """
        if len(sealed) < _NONCE_SIZE + _TAG_SIZE:
            raise _damaged()
        try:
            return nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
                sealed[_NONCE_SIZE:], _associated(place, row), sealed[:_NONCE_SIZE], self._key
            )
        except nacl.exceptions.CryptoError as error:
            raise _damaged() from error


def _associated(place: str, row: bytes) -> bytes:
    return _LABEL + cbor.encode([place, row])


def _damaged() -> KeystoreError:
    return KeystoreError("A stored row cannot be decrypted: the store is damaged or belongs to another key.")
