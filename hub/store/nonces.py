# SPDX-License-Identifier: Apache-2.0
"""Nonces of request signatures: each counts once for a device (HTTP-2)."""

from sqlalchemy import Connection, bindparam, delete, insert, select

from hub.store.tables import nonce
from protocol.ids import KeyId

_ALL = select(nonce.c.device_id, nonce.c.nonce, nonce.c.expires)
_OLD = delete(nonce).where(nonce.c.expires < bindparam("now"))
NEW_NONCES = insert(nonce)


def stored(connection: Connection) -> list[tuple[KeyId, bytes, int]]:
    """Return (device, nonce, expires) of every stored nonce."""
    return [(KeyId(row.device_id), row.nonce, row.expires) for row in connection.execute(_ALL)]


def drop_old(connection: Connection, now: int) -> int:
    """Delete nonces whose signatures are refused for their age anyway; returns how many."""
    return connection.execute(_OLD, {"now": now}).rowcount
