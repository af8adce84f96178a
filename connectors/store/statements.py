# SPDX-License-Identifier: Apache-2.0
"""The replayed directory log. A statement that stands here was verified by this installation before."""

from collections.abc import Sequence

from sqlalchemy import delete, insert, select

from connectors.faults import DAMAGED
from connectors.store.engine import Transaction
from connectors.store.tables import statement

_PLACE = "statement"


async def load_all(tx: Transaction) -> list[bytes]:
    """Return all statements in the order of the log."""
    rows = await tx.connection.execute(select(statement.c.idx, statement.c.sealed).order_by(statement.c.idx))
    return [tx.vault.open(_PLACE, str(row.idx).encode(), row.sealed) for row in rows]


async def load_whole(tx: Transaction) -> tuple[list[bytes], bool]:
    """Return the statements before the first that cannot be read any more, and whether that is all of them."""
    rows = await tx.connection.execute(select(statement.c.idx, statement.c.sealed).order_by(statement.c.idx))
    found: list[bytes] = []
    for row in rows:
        try:
            found.append(tx.vault.open(_PLACE, str(row.idx).encode(), row.sealed))
        except DAMAGED:
            return found, False
    return found, True


async def load_behind(tx: Transaction) -> list[bytes]:
    """Return what can be read behind the first that cannot; each was verified when it was stored."""
    rows = await tx.connection.execute(select(statement.c.idx, statement.c.sealed).order_by(statement.c.idx))
    found: list[bytes] = []
    damaged = False
    for row in rows:
        try:
            raw = tx.vault.open(_PLACE, str(row.idx).encode(), row.sealed)
        except DAMAGED:
            damaged = True
            continue
        if damaged:
            found.append(raw)
    return found


async def append(tx: Transaction, first: int, raws: Sequence[bytes]) -> None:
    """Store statements of the indexes `first` and following; one that stands there already is an error."""
    if not raws:
        return
    rows = [
        {"idx": first + offset, "sealed": tx.vault.seal(_PLACE, str(first + offset).encode(), raw)}
        for offset, raw in enumerate(raws)
    ]
    await tx.connection.execute(insert(statement), rows)


async def cut(tx: Transaction, size: int) -> None:
    """Let go of all statements from index `size` on: the hub has lost them, and others follow (GEN-4)."""
    await tx.connection.execute(delete(statement).where(statement.c.idx >= size))
