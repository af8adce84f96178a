# SPDX-License-Identifier: Apache-2.0
"""X-Wing keys: the draft's vector, an independent HPKE, and keys that nobody may seal to."""

import hashlib
import hmac

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from keys.xwing import HPKE_SUITE, MLKEM_PUBLIC_SIZE, PUBLIC_SIZE, XWingSecret, check_xwing_public, public_key
from protocol.errors import UntrustedKey

# The first test vector of draft-connolly-cfrg-xwing-kem; the public key by its SHA-256.
DRAFT_SEED = bytes.fromhex("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26")
DRAFT_PUBLIC_BEGINS = bytes.fromhex("e2236b35a8c24b39b10aa1323a96a919a2ced88400633a7b07131713fc14b2b5")
DRAFT_PUBLIC_ENDS = bytes.fromhex("859edb06eff389b27dce59844570216223593d4ba32d9abac8cd049040ef6534")

P = 2**255 - 19
LOW_ORDER = [
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    P - 1,
    P,
    P + 1,
]


def with_x25519(u: int) -> bytes:
    return XWingSecret(DRAFT_SEED).public[:MLKEM_PUBLIC_SIZE] + u.to_bytes(32, "little")


def with_coefficient(public: bytes, position: int, value: int) -> bytes:
    packed = int.from_bytes(public[:1152], "little")
    packed = packed & ~(0xFFF << 12 * position) | value << 12 * position
    return packed.to_bytes(1152, "little") + public[1152:]


def test_id_4_the_seed_expands_as_the_x_wing_draft_says() -> None:
    public = XWingSecret(DRAFT_SEED).public
    assert len(public) == PUBLIC_SIZE
    assert public.startswith(DRAFT_PUBLIC_BEGINS)
    assert public.endswith(DRAFT_PUBLIC_ENDS)


def labelled_extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")


def labelled_expand(suite: bytes, prk: bytes, label: bytes, info: bytes, size: int) -> bytes:
    labelled = size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(prk, labelled + b"\x01", "sha256")[:size]


def test_env_9_a_wrap_opens_with_an_hpke_written_from_the_rfc_and_the_draft() -> None:
    """A second implementation: X-Wing's combiner and RFC 9180's key schedule over the bare primitives."""
    secret = XWingSecret(DRAFT_SEED)
    wrap = HPKE_SUITE.encrypt(b"keys and box", public_key(secret.public), b"the info")
    enc, sealed = wrap[:1120], wrap[1120:]

    expanded = hashlib.shake_256(DRAFT_SEED).digest(96)
    x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
    from_mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64]).decapsulate(enc[:1088])
    from_x25519 = x25519.exchange(X25519PublicKey.from_public_bytes(enc[1088:]))
    own = x25519.public_key().public_bytes_raw()
    shared = hashlib.sha3_256(from_mlkem + from_x25519 + enc[1088:] + own + rb"\.//^\\"[:6]).digest()

    suite = b"HPKE" + bytes.fromhex("647a00010003")  # X-Wing, HKDF-SHA256, ChaCha20-Poly1305
    context = (
        b"\x00"
        + labelled_extract(suite, b"", b"psk_id_hash", b"")
        + labelled_extract(suite, b"", b"info_hash", b"the info")
    )
    prk = labelled_extract(suite, shared, b"secret", b"")
    key = labelled_expand(suite, prk, b"key", context, 32)
    nonce = labelled_expand(suite, prk, b"base_nonce", context, 12)
    assert ChaCha20Poly1305(key).decrypt(nonce, sealed, b"") == b"keys and box"


@pytest.mark.parametrize("u", LOW_ORDER)
def test_id_4_an_x25519_half_of_low_order_is_untrusted(u: int) -> None:
    """Attack 18."""
    for spelling in (u, u | 1 << 255):
        with pytest.raises(UntrustedKey):
            check_xwing_public(with_x25519(spelling))


def test_id_4_an_x25519_half_in_a_second_spelling_is_untrusted() -> None:
    """Attack 18: one key under two ids would pass for two keys."""
    canonical = int.from_bytes(XWingSecret(DRAFT_SEED).public[MLKEM_PUBLIC_SIZE:], "little")
    check_xwing_public(with_x25519(canonical))
    for spelling in (canonical | 1 << 255, 9 + P):
        with pytest.raises(UntrustedKey):
            check_xwing_public(with_x25519(spelling))


@given(st.integers(0, 767), st.integers(0, 4095))
def test_id_4_each_mlkem_coefficient_must_be_below_q(position: int, value: int) -> None:
    """Attack 18, at every place and value."""
    key = with_coefficient(XWingSecret(DRAFT_SEED).public, position, value)
    if value < 3329:
        check_xwing_public(key)
        public_key(key)
    else:
        with pytest.raises(UntrustedKey):
            check_xwing_public(key)


@pytest.mark.parametrize("size", [0, 32, PUBLIC_SIZE - 1, PUBLIC_SIZE + 1])
def test_id_4_a_key_of_another_size_is_untrusted(size: int) -> None:
    with pytest.raises(UntrustedKey):
        public_key(bytes(size))


def test_a_wrap_does_not_open_under_another_info() -> None:
    secret = XWingSecret.generate()
    wrap = HPKE_SUITE.encrypt(b"keys", public_key(secret.public), b"one")
    with pytest.raises(InvalidTag):
        HPKE_SUITE.decrypt(wrap, secret.private(), b"other")


def test_a_seed_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        XWingSecret(bytes(31))
    assert XWingSecret(XWingSecret(DRAFT_SEED).seed).public == XWingSecret(DRAFT_SEED).public
