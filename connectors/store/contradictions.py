# SPDX-License-Identifier: Apache-2.0
"""What the hub signed of its directory and cannot be true: kept for good, also once somebody has dismissed it."""

from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Select, bindparam, delete, func, insert, select, update

from connectors.faults import DAMAGED
from connectors.store.engine import Transaction
from connectors.store.tables import contradiction
from protocol.contradiction import Contradiction

PLACE: Final = "contradiction"

_ADD: Final = insert(contradiction)
_ALL: Final = select(contradiction).order_by(contradiction.c.position)
_OPEN: Final = _ALL.where(contradiction.c.dismissed_at.is_(None))
_WAITING: Final = _OPEN.where(contradiction.c.stops == 0)
_PROVING: Final = _OPEN.where(contradiction.c.stops == 1)
_STOPS: Final = (
    select(func.count())
    .select_from(contradiction)
    .where(contradiction.c.dismissed_at.is_(None), contradiction.c.stops == 1)
)
_DISMISS: Final = (
    update(contradiction).where(contradiction.c.dismissed_at.is_(None)).values(dismissed_at=bindparam("at"))
)
_AT: Final = contradiction.c.position == bindparam("place")


async def add(tx: Transaction, one: Contradiction, *, stops: bool) -> None:
    """Keep `one`; `stops` says that nothing is sealed until somebody has dismissed it."""
    values = {
        "kept_at": one.kept_at,
        "stops": int(stops),
        "sealed": tx.vault.seal(PLACE, _row(one.kept_at), replace(one, dismissed_at=None).encode()),
        "dismissed_at": one.dismissed_at,
    }
    await tx.connection.execute(_ADD, values)


async def all_(tx: Transaction) -> list[Contradiction]:
    """Return everything that is kept and can be read, the oldest first."""
    return [one for _, one in await _read(tx, _ALL)]


async def waiting(tx: Transaction) -> list[tuple[int, Contradiction]]:
    """Return what proves nothing yet, and can be read, with its place, the oldest first."""
    return await _read(tx, _WAITING)


async def proving(tx: Transaction) -> list[tuple[int, Contradiction]]:
    """Return what stops sealing, and can be read, with its place, the oldest first."""
    return await _read(tx, _PROVING)


async def _read(tx: Transaction, asked: Select[Any]) -> list[tuple[int, Contradiction]]:
    found = []
    for row in (await tx.connection.execute(asked)).all():
        try:
            one = Contradiction.parse(tx.vault.open(PLACE, _row(row.kept_at), row.sealed))
        except DAMAGED:
            continue  # the doctor names it (CON-8)
        found.append((row.position, replace(one, dismissed_at=row.dismissed_at)))
    return found


async def stops(tx: Transaction) -> bool:
    """Tell whether something is kept for which nothing may be sealed, also where it cannot be read any more."""
    return bool(await tx.connection.scalar(_STOPS))


async def replace_at(tx: Transaction, position: int, one: Contradiction) -> None:
    """Put what proves more in the place of what waited there: now nothing is sealed."""
    await drop(tx, position)
    await add(tx, one, stops=True)


async def drop(tx: Transaction, position: int) -> None:
    """Let go of what turned out to be no contradiction."""
    await tx.connection.execute(delete(contradiction).where(_AT), {"place": position})


async def dismiss(tx: Transaction, now: int) -> int:
    """Note that somebody has looked at all that is kept, and return how many that were; they stay."""
    return (await tx.connection.execute(_DISMISS, {"at": now})).rowcount


def _row(kept_at: int) -> bytes:
    return str(kept_at).encode()
