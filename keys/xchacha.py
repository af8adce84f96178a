# SPDX-License-Identifier: Apache-2.0
"""XChaCha20-Poly1305 for what this installation keeps to itself: seeds, indexes, stored content.

The nonce is random and 24 bytes long, so one key may encrypt any number of times. Nothing that travels to
another agency is encrypted with it: it does not commit to its key.
"""

import secrets

import nacl.bindings
import nacl.exceptions

from protocol.errors import KeystoreError

KEY_SIZE = 32
NONCE_SIZE = 24
TAG_SIZE = 16


def encrypt(key: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """Return nonce(24) || ciphertext || tag(16) of `plaintext` under the 32-byte `key`."""
    nonce = secrets.token_bytes(NONCE_SIZE)
    return nonce + nacl.bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, associated, nonce, key)


def decrypt(key: bytes, sealed: bytes, associated: bytes) -> bytes:
    """Return the plaintext, or raise `KeystoreError` if anything differs from when it was encrypted (KEY-5)."""
    if len(sealed) < NONCE_SIZE + TAG_SIZE:
        raise KeystoreError
    try:
        return nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
            sealed[NONCE_SIZE:], associated, sealed[:NONCE_SIZE], key
        )
    except nacl.exceptions.CryptoError as error:
        raise KeystoreError from error
