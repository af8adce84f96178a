# SPDX-License-Identifier: Apache-2.0
"""Nonces of request signatures: each counts once for a device (HTTP-2)."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, select, tuple_

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
_ONE = Query(
    select(nonce.c.expires).where(nonce.c.device_id == bindparam("device"), nonce.c.nonce == bindparam("which"))
)
_SIZES = (1, 4, 16, 64, 256)
"""Lengths of lists of pairs for which a server keeps a text prepared; a list is filled up by its last pair."""
NEW_NONCES = Inserts(nonce)


def stored(connection: Connection) -> list[tuple[KeyId, bytes, int]]:
    """Return (device, nonce, expires) of every stored nonce."""
    return [(KeyId(row.device_id), row.nonce, row.expires) for row in connection.execute(_ALL)]


def used(connection: Connection, which: Iterable[tuple[KeyId, bytes]]) -> set[tuple[KeyId, bytes]]:
    """Return those of `which` that are stored.

    A server is asked once for all: each question is a way to it and back, under the lock that all processes take turns
    by (HTTP-15). SQLite is asked for one at a time: by a list of pairs it would rather walk through all nonces.
    """
    if connection.dialect.name == "sqlite":
        return {(device, one) for device, one in which if _ONE.run(connection, device=device, which=one)}
    pairs, most, found = list(dict.fromkeys(which)), _SIZES[-1], set[tuple[KeyId, bytes]]()
    for start in range(0, len(pairs), most):
        some = pairs[start : start + most]
        size = next(size for size in _SIZES if size >= len(some))
        rows = connection.execute(asking([*some, *[some[-1]] * (size - len(some))]))
        found.update((KeyId(row.device_id), row.nonce) for row in rows)
    return found


def asking(pairs: Sequence[tuple[KeyId, bytes]]) -> Select[Any]:
    """Return the question which of `pairs` are stored."""
    return select(nonce.c.device_id, nonce.c.nonce).where(tuple_(nonce.c.device_id, nonce.c.nonce).in_(pairs))


def drop_old(connection: Connection, now: int, most: int) -> bool:
    """Delete nonces whose signatures are refused for their age anyway; tells whether there are more.

    About `most` of them: those of the same millisecond go together.
    """
    last = connection.scalar(_LAST, {"now": now, "most": most})
    connection.execute(_OLD, {"before": now if last is None else last + 1})
    return last is not None
