# SPDX-License-Identifier: Apache-2.0
"""A library that lacks or breaks a primitive must be noticed at start."""

import nacl.bindings
import nacl.pwhash.argon2id
import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hpke

from keys.selftest import self_test
from keys.xwing import HPKE_SUITE
from protocol.errors import SelfTestFailed


class MissingMldsa:
    """What `cryptography` does on an OpenSSL without ML-DSA."""

    @classmethod
    def from_seed_bytes(cls, seed: bytes) -> object:
        raise UnsupportedAlgorithm("ML-DSA-65 is not supported by this backend.")


class BlindHpke:
    """HPKE that ignores its info."""

    def encrypt(self, plaintext: bytes, public: hpke.MLKEM768X25519PublicKey, info: bytes) -> bytes:
        return HPKE_SUITE.encrypt(plaintext, public, b"")

    def decrypt(self, ciphertext: bytes, private: hpke.MLKEM768X25519PrivateKey, info: bytes) -> bytes:
        return HPKE_SUITE.decrypt(ciphertext, private, b"")


def accept_any_point(point: bytes) -> bool:
    return True


def accept_any_signature(signed: bytes, public: bytes) -> bytes:
    return b"message"


def weak_kdf(size: int, *_: object, **__: object) -> bytes:
    return bytes(size)


def test_env_1_the_installed_libraries_have_all_that_the_suite_needs() -> None:
    self_test()


@pytest.mark.parametrize(
    ("target", "replacement"),
    [
        ("keys.selftest.MLDSA65PrivateKey", MissingMldsa),
        ("keys.selftest.HPKE_SUITE", BlindHpke()),
    ],
)
def test_a_library_without_a_primitive_does_not_start(
    monkeypatch: pytest.MonkeyPatch, target: str, replacement: object
) -> None:
    monkeypatch.setattr(target, replacement)
    with pytest.raises(SelfTestFailed):
        self_test()


@pytest.mark.parametrize(
    ("owner", "name", "replacement"),
    [
        (nacl.bindings, "crypto_core_ed25519_is_valid_point", accept_any_point),
        (nacl.bindings, "crypto_sign_open", accept_any_signature),
        (nacl.pwhash.argon2id, "kdf", weak_kdf),
    ],
)
def test_a_library_with_a_broken_primitive_does_not_start(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str, replacement: object
) -> None:
    monkeypatch.setattr(owner, name, replacement)
    with pytest.raises(SelfTestFailed):
        self_test()
