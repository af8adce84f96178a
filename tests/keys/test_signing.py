# SPDX-License-Identifier: Apache-2.0
"""Signatures: two implementations agree, labels keep uses apart, and weak keys and spellings are refused."""

import nacl.bindings
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from keys.signing import (
    DeviceSigner,
    Ed25519Signer,
    HybridSigner,
    cosign,
    device_proof,
    sign_head,
    sign_statement,
)
from keys.verifying import (
    check_device,
    check_ed25519_public,
    check_identity,
    verify_device_proof,
    verify_digest,
    verify_ed25519,
    verify_hybrid,
)
from protocol import labels
from protocol.errors import BadSignature, MalformedEnvelope, UntrustedKey
from protocol.identities import DeviceKey, IdentityKey
from protocol.receipts import Head, parse_head
from protocol.statements import parse_statement
from tests.keys.world import APPROVERS, NOW, ROOT_PERSONS, authority_subject, body, device_of, identity, seed

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493

# Points of order 1, 2, 4 and 8, and second spellings of some of them.
SMALL_ORDER = [
    (1).to_bytes(32, "little"),
    (P - 1).to_bytes(32, "little"),
    bytes(32),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    (P + 1).to_bytes(32, "little"),
    P.to_bytes(32, "little"),
    (1 | 1 << 255).to_bytes(32, "little"),
]

SEEDS = st.binary(min_size=32, max_size=32)


def mixed_order(public: bytes) -> bytes:
    """Return `public` plus a point of order 8: on the curve, outside the prime-order subgroup."""
    return nacl.bindings.crypto_core_ed25519_add(public, SMALL_ORDER[3])


@given(SEEDS, st.binary(max_size=300))
def test_id_4_libsodium_and_openssl_sign_and_verify_ed25519_alike(secret: bytes, message: bytes) -> None:
    ours, other = Ed25519Signer.from_seed(secret), Ed25519PrivateKey.from_private_bytes(secret)
    assert ours.public == other.public_key().public_bytes_raw()
    signature = ours.sign_raw(message)
    assert signature == other.sign(message)
    other.public_key().verify(signature, message)
    verify_ed25519(ours.public, b"", message, signature)


@given(SEEDS, st.binary(max_size=100), st.integers(0, 511))
def test_id_4_whatever_openssl_refuses_is_a_bad_signature_here(secret: bytes, message: bytes, bit: int) -> None:
    signer = Ed25519Signer.from_seed(secret)
    spoilt = bytearray(signer.sign_raw(message))
    spoilt[bit // 8] ^= 1 << bit % 8
    with pytest.raises(InvalidSignature):
        Ed25519PublicKey.from_public_bytes(signer.public).verify(bytes(spoilt), message)
    with pytest.raises(BadSignature):
        verify_ed25519(signer.public, b"", message, bytes(spoilt))


def test_id_4_a_signature_with_a_second_s_is_refused() -> None:
    """Attack 30: S + L verifies as S does, unless S must be canonical."""
    signer = Ed25519Signer.from_seed(seed("signer"))
    signature = signer.sign_raw(b"message")
    malleated = signature[:32] + (int.from_bytes(signature[32:], "little") + ORDER).to_bytes(32, "little")
    with pytest.raises(BadSignature):
        verify_ed25519(signer.public, b"", b"message", malleated)


@pytest.mark.parametrize("public", SMALL_ORDER)
def test_id_4_a_key_of_small_order_is_untrusted_and_verifies_nothing(public: bytes) -> None:
    """Attack 30: under the key of order one, R = S·B is a signature of every message."""
    with pytest.raises(UntrustedKey):
        check_ed25519_public(public)
    scalar = (7).to_bytes(32, "little")
    forged = nacl.bindings.crypto_scalarmult_ed25519_base_noclamp(scalar) + scalar
    with pytest.raises(BadSignature):
        verify_ed25519(public, b"", b"message", forged)


def test_id_4_a_key_of_mixed_order_is_untrusted() -> None:
    """Attack 30."""
    public = Ed25519Signer.from_seed(seed("signer")).public
    check_ed25519_public(public)
    with pytest.raises(UntrustedKey):
        check_ed25519_public(mixed_order(public))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_id_4_a_key_of_another_size_is_untrusted(size: int) -> None:
    with pytest.raises(UntrustedKey):
        check_ed25519_public(bytes(size))
    with pytest.raises(BadSignature):
        verify_ed25519(bytes(size), b"", b"", bytes(64))


def test_id_4_an_identity_or_device_with_one_bad_half_is_untrusted() -> None:
    """Attack 30, at import."""
    good = device_of("device").public
    weak = SMALL_ORDER[0]
    check_device(good)
    for bad in (
        DeviceKey(weak, good.mldsa65, good.transport),
        DeviceKey(good.ed25519, good.mldsa65, mixed_order(good.transport)),
        DeviceKey(good.ed25519, good.mldsa65[:-1], good.transport),
        DeviceKey(good.ed25519, good.mldsa65, good.ed25519),
    ):
        with pytest.raises(UntrustedKey):
            check_device(bad)
    check_identity(IdentityKey(good.ed25519, good.mldsa65))
    with pytest.raises(UntrustedKey):
        check_identity(IdentityKey(weak, good.mldsa65))


ALL_LABELS = sorted(value for name, value in vars(labels).items() if name.isupper())


def test_a_signature_under_one_label_verifies_under_no_other() -> None:
    """Attack 31, for every pair of labels."""
    signer = identity("someone")
    for label in ALL_LABELS:
        pair = signer.sign(label, b"data")
        for other in ALL_LABELS:
            if other == label:
                verify_hybrid(signer.public, other, b"data", *pair)
            else:
                with pytest.raises(BadSignature):
                    verify_hybrid(signer.public, other, b"data", *pair)


def test_a_signed_head_does_not_pass_for_claims() -> None:
    """Attack 31: the very bytes of a head, signed by the same key."""
    log = Ed25519Signer.from_seed(seed("log"))
    head = parse_head(sign_head(Head("hub.example/directory", 1, bytes(32), NOW), log))
    verify_ed25519(log.public, labels.HEAD, head.body_bytes, head.signature)
    with pytest.raises(BadSignature):
        verify_ed25519(log.public, labels.CLAIMS, head.body_bytes, head.signature)


def test_env_11_both_signatures_must_verify() -> None:
    """Attacks 13 and 14, on the primitive."""
    signer, stranger = identity("someone"), identity("stranger")
    ed25519, mldsa65 = signer.sign(labels.CLAIMS, b"claims")
    other_ed25519, other_mldsa65 = stranger.sign(labels.CLAIMS, b"claims")
    verify_hybrid(signer.public, labels.CLAIMS, b"claims", ed25519, mldsa65)
    for pair in (
        (ed25519, b""),
        (b"", mldsa65),
        (b"", b""),
        (mldsa65, ed25519),
        (ed25519, other_mldsa65),
        (other_ed25519, mldsa65),
        (ed25519, mldsa65[:-1]),
        (ed25519, bytes(len(mldsa65))),
    ):
        with pytest.raises(BadSignature):
            verify_hybrid(signer.public, labels.CLAIMS, b"claims", *pair)


def test_dir_5_a_device_proves_possession_for_one_agency_only() -> None:
    """Attack 29."""
    device = device_of("device")
    proof = device_proof("gora-prison@hub.example", device)
    verify_device_proof("gora-prison@hub.example", device.public, proof)
    with pytest.raises(BadSignature):
        verify_device_proof("mallory@hub.example", device.public, proof)
    with pytest.raises(BadSignature):
        verify_device_proof("gora-prison@hub.example", device_of("other").public, proof)


def test_env_8_a_device_signs_a_digest_with_its_own_key() -> None:
    device = device_of("device")
    signature = device.sign_digest(seed("digest"))
    verify_digest(device.public, seed("digest"), signature)
    with pytest.raises(BadSignature):
        verify_digest(device.public, seed("another"), signature)
    assert device.transport.public == device.public.transport != device.public.ed25519


def test_dir_1_a_second_approver_signs_the_same_body_bytes() -> None:
    statement = sign_statement(body(authority_subject()), ROOT_PERSONS[:1])
    both = parse_statement(cosign(statement, ROOT_PERSONS[1]))
    assert both.body_bytes == parse_statement(statement).body_bytes
    assert [one.signer for one in both.signatures] == [person.key_id for person in ROOT_PERSONS[:2]]
    for one, person in zip(both.signatures, ROOT_PERSONS, strict=False):
        verify_hybrid(person.public, labels.STATEMENT, both.body_bytes, one.ed25519, one.mldsa65)


def test_dir_1_nobody_signs_a_statement_twice() -> None:
    statement = sign_statement(body(authority_subject()), [APPROVERS[0]])
    with pytest.raises(MalformedEnvelope):
        cosign(statement, APPROVERS[0])


def test_keys_come_back_from_their_seeds() -> None:
    device, person, log = DeviceSigner.generate(), HybridSigner.generate(), Ed25519Signer.generate()
    assert DeviceSigner.from_seeds(*device.seeds).public == device.public
    assert HybridSigner.from_seeds(*person.seeds).public == person.public
    assert Ed25519Signer.from_seed(log.seed).public == log.public
    assert log.log_key_id != person.key_id != device.key_id
    with pytest.raises(ValueError, match="32 bytes"):
        Ed25519Signer.from_seed(bytes(31))
