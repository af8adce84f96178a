# SPDX-License-Identifier: Apache-2.0
"""Signatures of Standard Webhooks, symmetric form `v1`: HMAC-SHA256 over id, time and body (EVT-4)."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from keys.privatefile import read_private
from protocol.errors import ConfigurationError

PREFIX: Final = "whsec_"
LEAST: Final = 24
MOST: Final = 64
"""Bytes of a secret, as the specification bounds them."""
_MOST_READ: Final = 200


def read_secret(path: Path) -> bytes:
    """Return the secret in `path`; `ConfigurationError` if the file is missing, open to others or holds none."""
    text = read_private(path, _MOST_READ, "webhook secret", ConfigurationError).strip()
    prefix, encoded = text[: len(PREFIX)], text[len(PREFIX) :]
    try:
        secret = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        secret = b""
    if prefix != PREFIX.encode() or not LEAST <= len(secret) <= MOST:
        raise ConfigurationError(f"The file {path} must hold {PREFIX} and the base64 of {LEAST} to {MOST} bytes.")
    return secret


def headers(secrets: Sequence[bytes], webhook_id: str, now: int, body: bytes) -> dict[str, str]:
    """Return the three headers for `body` at `now` (ms UTC), signed with every secret in force."""
    seconds = str(now // 1_000)
    signed = b".".join((webhook_id.encode(), seconds.encode(), body))
    made = (base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode() for secret in secrets)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": seconds,
        "webhook-signature": " ".join(f"v1,{one}" for one in made),
    }
