# SPDX-License-Identifier: Apache-2.0
"""Nonces of request signatures: each counts once for a device (HTTP-2)."""

from sqlalchemy import Connection, bindparam, delete, insert, select

from hub.store.tables import nonce
from protocol.ids import KeyId

_FIND = select(nonce.c.expires).where(nonce.c.device_id == bindparam("device"), nonce.c.nonce == bindparam("value"))
_OLD = delete(nonce).where(nonce.c.expires < bindparam("now"))
NEW_NONCES = insert(nonce)


def is_used(connection: Connection, device: KeyId, value: bytes) -> bool:
    """Tell whether `device` used this nonce before."""
    return connection.execute(_FIND, {"device": device, "value": value}).first() is not None


def drop_old(connection: Connection, now: int) -> int:
    """Delete nonces whose signatures are refused for their age anyway; returns how many."""
    return connection.execute(_OLD, {"now": now}).rowcount
