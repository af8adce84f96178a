# SPDX-License-Identifier: Apache-2.0
"""Does the installed cryptography do what tc/1 needs? Asked at every start, before any key is touched.

A distribution may build `cryptography` against an OpenSSL without ML-KEM or ML-DSA, and an update may
change a default. Known answers and refusals find that at once; a program that fails here must not run.
"""

import hashlib
from collections.abc import Callable

import nacl.bindings
import nacl.exceptions
import nacl.pwhash.argon2id
from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidSignature, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey

from keys.xwing import HPKE_SUITE, XWingSecret
from protocol.errors import SelfTestFailed

# The first key of the X-Wing draft's test vectors, and what FIPS 204 and RFC 8032 derive from fixed seeds.
_XWING_SEED = bytes.fromhex("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26")
_XWING_PUBLIC_SHA256 = bytes.fromhex("2e816deebcd76c5c80d0cd2d174478871658e8e2ff42bc9d4a6e486372e856bb")
_MLDSA_PUBLIC_SHA256 = bytes.fromhex("8181b9f03b628fe99ad62f3f93653d9f65f61703ee6956206d4542994416a718")
_ED25519_SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
_ED25519_PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
_ARGON2ID = bytes.fromhex("c02cde1aba2183bb1279237c29a52958ce5e2940957ab1f387fcc5918ce836bd")


def self_test() -> None:
    """Raise `SelfTestFailed` unless every primitive of tc/1 is there, answers rightly and refuses rightly."""
    for check in (_hpke, _mldsa, _ed25519, _cobblestone, _keystore):
        try:
            passed = check()
        except (
            AttributeError,
            InvalidSignature,
            InvalidTag,
            UnsupportedAlgorithm,
            ValueError,
            nacl.exceptions.CryptoError,
        ) as error:
            raise SelfTestFailed from error
        if not passed:
            raise SelfTestFailed


def _refuses(action: Callable[[], object], *errors: type[Exception]) -> bool:
    try:
        action()
    except errors:
        return True
    return False


def _hpke() -> bool:
    secret = XWingSecret(_XWING_SEED)
    wrap = HPKE_SUITE.encrypt(b"key", secret.private().public_key(), b"info")
    return (
        hashlib.sha256(secret.public).digest() == _XWING_PUBLIC_SHA256
        and HPKE_SUITE.decrypt(wrap, secret.private(), b"info") == b"key"
        and _refuses(lambda: HPKE_SUITE.decrypt(wrap, secret.private(), b"other"), InvalidTag)
    )


def _mldsa() -> bool:
    private = MLDSA65PrivateKey.from_seed_bytes(_XWING_SEED)
    public = private.public_key()
    signature = private.sign(b"message")
    public.verify(signature, b"message")
    return hashlib.sha256(public.public_bytes_raw()).digest() == _MLDSA_PUBLIC_SHA256 and _refuses(
        lambda: public.verify(signature, b"another"), InvalidSignature
    )


def _ed25519() -> bool:
    public, private = nacl.bindings.crypto_sign_seed_keypair(_ED25519_SEED)
    signed = nacl.bindings.crypto_sign(b"message", private)
    order_one = b"\x01" + bytes(31)
    return (
        public == _ED25519_PUBLIC
        and nacl.bindings.crypto_sign_open(signed, public) == b"message"
        and _refuses(lambda: nacl.bindings.crypto_sign_open(signed + b"x", public), nacl.exceptions.BadSignatureError)
        and nacl.bindings.crypto_core_ed25519_is_valid_point(public)
        and not nacl.bindings.crypto_core_ed25519_is_valid_point(order_one)
    )


def _cobblestone() -> bool:
    encryptor = Cobblestone256Encryptor(_XWING_SEED, b"context")
    sealed = encryptor.update(b"section") + encryptor.finalize()
    return _uncobble(sealed, b"context") == b"section" and _refuses(lambda: _uncobble(sealed, b"another"), InvalidTag)


def _uncobble(sealed: bytes, context: bytes) -> bytes:
    decryptor = Cobblestone256Decryptor(_XWING_SEED, context)
    return decryptor.update(sealed) + decryptor.finalize()


def _keystore() -> bool:
    key = nacl.pwhash.argon2id.kdf(32, b"passphrase", bytes(16), opslimit=1, memlimit=8192)
    sealed = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(b"seed", b"purpose", bytes(24), key)
    opened = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, b"purpose", bytes(24), key)
    return key == _ARGON2ID and opened == b"seed"
