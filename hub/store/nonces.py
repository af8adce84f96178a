# SPDX-License-Identifier: Apache-2.0
"""Nonces of request signatures: each counts once for a device (HTTP-2)."""

from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, delete, select

from hub.store.statements import Inserts, Query
from hub.store.tables import nonce
from protocol.ids import KeyId

_ALL = select(nonce.c.device_id, nonce.c.nonce, nonce.c.expires)
_OLD = delete(nonce).where(nonce.c.expires < bindparam("before"))
_LAST = (
    select(nonce.c.expires)
    .where(nonce.c.expires < bindparam("now"))
    .order_by(nonce.c.expires)
    .limit(1)
    .offset(bindparam("most"))
)
# One at a time: asked for by a list of pairs, SQLite would rather walk through all nonces.
_ONE = Query(
    select(nonce.c.expires).where(nonce.c.device_id == bindparam("device"), nonce.c.nonce == bindparam("which"))
)
NEW_NONCES = Inserts(nonce)


def stored(connection: Connection) -> list[tuple[KeyId, bytes, int]]:
    """Return (device, nonce, expires) of every stored nonce."""
    return [(KeyId(row.device_id), row.nonce, row.expires) for row in connection.execute(_ALL)]


def used(connection: Connection, which: Iterable[tuple[KeyId, bytes]]) -> set[tuple[KeyId, bytes]]:
    """Return those of `which` that are stored."""
    return {(device, one) for device, one in which if _ONE.run(connection, device=device, which=one)}


def drop_old(connection: Connection, now: int, most: int) -> bool:
    """Delete nonces whose signatures are refused for their age anyway; tells whether there are more.

    About `most` of them: those of the same millisecond go together.
    """
    last = connection.scalar(_LAST, {"now": now, "most": most})
    connection.execute(_OLD, {"before": now if last is None else last + 1})
    return last is not None
