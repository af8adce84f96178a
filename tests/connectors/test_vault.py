# SPDX-License-Identifier: Apache-2.0
"""What is stored at a connector is encrypted, row by row (CON-5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.vault import Vault
from protocol.errors import KeystoreError

KEY = bytes(range(32))


@given(st.binary(max_size=1_000), st.text(max_size=20).filter(str.isascii), st.binary(max_size=64))
def test_con_5_what_was_sealed_opens_at_its_own_place(plain: bytes, place: str, row: bytes) -> None:
    vault = Vault(KEY)
    assert vault.open(place, row, vault.seal(place, row, plain)) == plain


@pytest.mark.parametrize(("place", "row"), [("incoming", b"1"), ("outgoing", b"2"), ("outgoin", b"g1")])
def test_con_5_a_value_moved_to_another_row_or_table_does_not_open(place: str, row: bytes) -> None:
    vault = Vault(KEY)
    sealed = vault.seal("outgoing", b"1", b"content")
    with pytest.raises(KeystoreError):
        vault.open(place, row, sealed)


def test_con_5_every_flipped_bit_is_noticed() -> None:
    vault = Vault(KEY)
    sealed = vault.seal("incoming", b"1", b"content")
    for position in range(len(sealed)):
        broken = bytearray(sealed)
        broken[position] ^= 1
        with pytest.raises(KeystoreError):
            vault.open("incoming", b"1", bytes(broken))


def test_con_5_another_storage_key_opens_nothing() -> None:
    sealed = Vault(KEY).seal("incoming", b"1", b"content")
    with pytest.raises(KeystoreError):
        Vault(bytes(32)).open("incoming", b"1", sealed)


def test_a_truncated_value_is_refused() -> None:
    sealed = Vault(KEY).seal("incoming", b"1", b"")
    for size in range(len(sealed)):
        with pytest.raises(KeystoreError):
            Vault(KEY).open("incoming", b"1", sealed[:size])


def test_the_same_plaintext_never_looks_the_same_twice() -> None:
    vault = Vault(KEY)
    assert vault.seal("incoming", b"1", b"content") != vault.seal("incoming", b"1", b"content")


def test_a_storage_key_of_another_size_is_refused() -> None:
    with pytest.raises(KeystoreError):
        Vault(b"short")


def test_err_2_a_vault_does_not_show_its_key() -> None:
    assert repr(Vault(KEY)) == "<Vault: secret>"
