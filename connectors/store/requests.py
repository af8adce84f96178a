# SPDX-License-Identifier: Apache-2.0
"""Answers given under an Idempotency-Key: the same request again gets the stored answer, not a second effect."""

import hashlib
from typing import Final

from sqlalchemy import bindparam, delete, insert, select

from connectors.store.engine import Transaction
from connectors.store.tables import request
from protocol.errors import IdempotencyKeyReused
from protocol.limits import DAY

KEPT: Final = 7 * DAY
"""Milliseconds: links may be down for days (conventions of the interface)."""

_PLACE: Final = "request"

_KEEP: Final = insert(request)
_FIND: Final = select(request).where(request.c.key == bindparam("which"))
_FORGET: Final = delete(request).where(request.c.created_at < bindparam("before"))


def request_key(operation: str, key: str) -> bytes:
    """Return what a key is stored under: it counts for one operation only."""
    return hashlib.sha256(f"{operation}\0{key}".encode()).digest()


async def answer(tx: Transaction, key: bytes, body: bytes) -> bytes | None:
    """Return the answer stored under `key`, or None if there is none.

    Raises `IdempotencyKeyReused` if it was given to another body.
    """
    row = (await tx.connection.execute(_FIND, {"which": key})).one_or_none()
    if row is None:
        return None
    if row.fingerprint != hashlib.sha256(body).digest():
        raise IdempotencyKeyReused
    return tx.vault.open(_PLACE, key, row.sealed)


async def keep(tx: Transaction, key: bytes, body: bytes, answered: bytes, now: int) -> None:
    """Store the answer in the transaction that did what was asked, so that both happen or neither."""
    values = {
        "key": key,
        "fingerprint": hashlib.sha256(body).digest(),
        "created_at": now,
        "sealed": tx.vault.seal(_PLACE, key, answered),
    }
    await tx.connection.execute(_KEEP, values)


async def forget_old(tx: Transaction, now: int) -> None:
    """Drop answers that are over seven days old."""
    await tx.connection.execute(_FORGET, {"before": now - KEPT})
