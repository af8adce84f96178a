# SPDX-License-Identifier: Apache-2.0
"""X-Wing keys: the hybrid of ML-KEM-768 and X25519 to which section keys are wrapped.

`cryptography` offers the hybrid for HPKE but can neither load nor store one, so a key is kept as its
32-byte seed and expanded as the X-Wing draft says: SHAKE256 to 96 bytes, 64 for ML-KEM and 32 for X25519.
The public key is the two public keys one after the other.
"""

import hashlib
import secrets
from functools import lru_cache

from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from keys.secret import Secret
from protocol.errors import UntrustedKey

SEED_SIZE = 32
MLKEM_PUBLIC_SIZE = 1184
X25519_PUBLIC_SIZE = 32
PUBLIC_SIZE = MLKEM_PUBLIC_SIZE + X25519_PUBLIC_SIZE

# HPKE as tc/1 uses it everywhere; what it puts before the plaintext's own bytes is the encapsulated key.
HPKE_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)

# The coefficients of an ML-KEM key are 12-bit numbers below q, packed little-endian. To look at all 768 at
# once, each second one is given room for a carry: adding 2^12 - q carries exactly where a number is >= q.
_Q = 3329
_COEFFICIENT_BYTES = 768 * 12 // 8
_EVERY_SECOND = sum(1 << 24 * lane for lane in range(384))
_LANES = 0xFFF * _EVERY_SECOND
_ADDEND = (0x1000 - _Q) * _EVERY_SECOND
_CARRIES = 0x1000 * _EVERY_SECOND

# The u-coordinates of the points of order 1, 2, 4 and 8 on Curve25519 and its twist.
_P = 2**255 - 19
_LOW_ORDER = frozenset(
    {
        0,
        1,
        _P - 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    }
)


class XWingSecret(Secret):
    """A private X-Wing key, held as its seed."""

    __slots__ = ("_private", "_public", "_seed")

    def __init__(self, seed: bytes) -> None:
        """Expand `seed` (32 bytes from a good source of chance)."""
        if len(seed) != SEED_SIZE:
            raise ValueError("an X-Wing seed has 32 bytes")
        expanded = hashlib.shake_256(seed).digest(96)
        mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
        self._seed = seed
        self._private = hpke.MLKEM768X25519PrivateKey(mlkem, x25519)
        self._public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> "XWingSecret":
        """Return a new key."""
        return cls(secrets.token_bytes(SEED_SIZE))

    @property
    def seed(self) -> bytes:
        """The 32 bytes to keep in a keystore."""
        return self._seed

    @property
    def public(self) -> bytes:
        """The 1,216 bytes that others seal to."""
        return self._public

    def private(self) -> hpke.MLKEM768X25519PrivateKey:
        """Return the key in the form that HPKE takes."""
        return self._private


def check_xwing_public(raw: bytes) -> None:
    """Raise `UntrustedKey` unless `raw` is a public X-Wing key worth sealing to (ID-4).

    Every ML-KEM coefficient must be below q = 3329; the X25519 half must be canonical and not of low order.
    """
    if len(raw) != PUBLIC_SIZE:
        raise UntrustedKey
    packed = int.from_bytes(raw[:_COEFFICIENT_BYTES], "little")
    for half in (packed, packed >> 12):
        if ((half & _LANES) + _ADDEND) & _CARRIES:
            raise UntrustedKey
    u = int.from_bytes(raw[MLKEM_PUBLIC_SIZE:], "little")
    if u >= _P or u in _LOW_ORDER:
        raise UntrustedKey


@lru_cache(maxsize=1_024)
def public_key(raw: bytes) -> hpke.MLKEM768X25519PublicKey:
    """Return the 1,216 bytes as a key that HPKE takes, or raise `UntrustedKey` (ID-4)."""
    check_xwing_public(raw)
    try:
        mlkem = MLKEM768PublicKey.from_public_bytes(raw[:MLKEM_PUBLIC_SIZE])
        x25519 = X25519PublicKey.from_public_bytes(raw[MLKEM_PUBLIC_SIZE:])
    except ValueError as error:
        raise UntrustedKey from error
    return hpke.MLKEM768X25519PublicKey(mlkem, x25519)
