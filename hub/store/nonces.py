# SPDX-License-Identifier: Apache-2.0
"""Nonces of request signatures: each counts once for a device (HTTP-2)."""

from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, delete, insert, select, tuple_

from hub.store.statements import Many
from hub.store.tables import nonce
from protocol.ids import KeyId

_ALL = select(nonce.c.device_id, nonce.c.nonce, nonce.c.expires)
_OLD = delete(nonce).where(nonce.c.expires < bindparam("now"))
_AMONG = select(nonce.c.device_id, nonce.c.nonce).where(
    tuple_(nonce.c.device_id, nonce.c.nonce).in_(bindparam("which", expanding=True))
)
NEW_NONCES = Many(insert(nonce), *nonce.columns.keys())


def stored(connection: Connection) -> list[tuple[KeyId, bytes, int]]:
    """Return (device, nonce, expires) of every stored nonce."""
    return [(KeyId(row.device_id), row.nonce, row.expires) for row in connection.execute(_ALL)]


def used(connection: Connection, which: Iterable[tuple[KeyId, bytes]]) -> set[tuple[KeyId, bytes]]:
    """Return those of `which` that are stored."""
    wanted = list(which)
    if not wanted:
        return set()
    return {(KeyId(row.device_id), row.nonce) for row in connection.execute(_AMONG, {"which": wanted})}


def drop_old(connection: Connection, now: int) -> int:
    """Delete nonces whose signatures are refused for their age anyway; returns how many."""
    return connection.execute(_OLD, {"now": now}).rowcount
