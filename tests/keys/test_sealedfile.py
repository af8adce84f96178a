# SPDX-License-Identifier: Apache-2.0
"""One secret in one file: what must open it, and all that must not (attack 58)."""

from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import nacl.pwhash.argon2id
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keys.sealedfile import CEILING, CONNECTOR, FLOOR, SMALL, KdfParams, PassphraseKey, open_file, seal_file
from protocol import cbor
from protocol.errors import KeystoreError

SECRET = b"a seed of thirty-two bytes, yes!"


@pytest.fixture(scope="module")
def key() -> PassphraseKey:
    return PassphraseKey.create(b"passphrase", SMALL)


def changed(sealed: bytes, field: int, value: cbor.Value) -> bytes:
    fields = cbor.decode(sealed, limit=10_000)
    assert isinstance(fields, dict)
    return cbor.encode({**fields, field: value})


def test_key_1_a_sealed_secret_opens_with_its_passphrase_and_purpose(tmp_path: Path) -> None:
    seal_file(tmp_path / "hub.key", "hub signing key", SECRET, b"passphrase")
    assert open_file(tmp_path / "hub.key", "hub signing key", b"passphrase") == SECRET
    assert SECRET not in (tmp_path / "hub.key").read_bytes()


def test_key_5_a_wrong_passphrase_is_a_keystore_error(tmp_path: Path) -> None:
    """Attack 58."""
    seal_file(tmp_path / "hub.key", "hub signing key", SECRET, b"passphrase")
    with pytest.raises(KeystoreError):
        open_file(tmp_path / "hub.key", "hub signing key", b"Passphrase")


def test_key_5_another_purpose_is_a_keystore_error(key: PassphraseKey) -> None:
    """Attack 58: a purpose is swapped."""
    sealed = key.seal("audit log", SECRET)
    assert key.open("audit log", sealed) == SECRET
    with pytest.raises(KeystoreError):
        key.open("directory log", sealed)


def test_key_5_any_flipped_bit_is_a_keystore_error(key: PassphraseKey) -> None:
    """Attack 58, at every bit of a sealed file; the key is the right one, so no bit gets by for want of it."""
    sealed = key.seal("purpose", SECRET)
    for position in range(len(sealed) * 8):
        flipped = bytearray(sealed)
        flipped[position // 8] ^= 1 << position % 8
        with pytest.raises(KeystoreError):
            key.open("purpose", bytes(flipped))


@pytest.mark.parametrize(
    ("passes", "memory"),
    [(1, 64 * 1024), (2, 64 * 1024 - 1), (0, 0), (11, 64 * 1024), (2, 64 * 1024 * 1024), (2**63, 2**63)],
)
def test_key_2_parameters_out_of_bounds_are_refused_before_any_work(
    key: PassphraseKey, passes: int, memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack 58: lowered parameters, and 64 GiB."""
    sealed = changed(changed(key.seal("purpose", SECRET), 1, passes), 2, memory)
    work = Mock(wraps=nacl.pwhash.argon2id.kdf)
    monkeypatch.setattr(nacl.pwhash.argon2id, "kdf", work)
    with pytest.raises(KeystoreError):
        PassphraseKey.of(sealed, b"passphrase")
    with pytest.raises(KeystoreError):
        PassphraseKey.create(b"passphrase", KdfParams(passes, memory))
    assert not work.called
    PassphraseKey.create(b"passphrase", SMALL)
    assert work.called


def test_key_2_the_named_parameters_lie_within_the_bounds() -> None:
    for params in (FLOOR, SMALL, CONNECTOR, CEILING):
        params.check()


def test_key_5_parameters_altered_within_the_bounds_are_a_keystore_error(key: PassphraseKey) -> None:
    sealed = key.seal("purpose", SECRET)
    with pytest.raises(KeystoreError):
        key.open("purpose", changed(sealed, 1, 3))
    with pytest.raises(KeystoreError):
        key.open("purpose", changed(sealed, 3, bytes(16)))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda sealed: b"",
        lambda sealed: sealed + b"\0",
        lambda sealed: sealed[:-1],
        lambda sealed: changed(sealed, 0, 2),
        lambda sealed: changed(sealed, 0, True),
        lambda sealed: changed(sealed, 3, bytes(15)),
        lambda sealed: changed(sealed, 4, bytes(39)),
        lambda sealed: changed(sealed, 4, bytes(40)),
        lambda sealed: changed(sealed, 5, 0),
    ],
)
def test_key_5_a_file_of_another_form_is_a_keystore_error(key: PassphraseKey, spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(KeystoreError):
        key.open("purpose", spoil(key.seal("purpose", SECRET)))


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_key_5_arbitrary_bytes_are_a_keystore_error(data: bytes) -> None:
    with pytest.raises(KeystoreError):
        PassphraseKey.of(data, b"passphrase")


def test_an_empty_passphrase_is_refused() -> None:
    with pytest.raises(KeystoreError, match="empty"):
        PassphraseKey.create(b"", SMALL)


def test_too_little_memory_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object, **__: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr(nacl.pwhash.argon2id, "kdf", no_memory)
    with pytest.raises(KeystoreError, match="memory"):
        PassphraseKey.create(b"passphrase", SMALL)
