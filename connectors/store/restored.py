# SPDX-License-Identifier: Apache-2.0
"""Whether this store comes from a backup: then others may know messages of ours that it does not have (SEQ-11)."""

from typing import Final

from sqlalchemy import func, select

from connectors.store import facts
from connectors.store.engine import Transaction
from connectors.store.tables import outgoing

_FACT: Final = "restored-behind"
_NEWEST: Final = select(func.max(outgoing.c.position))


async def note(tx: Transaction) -> None:
    """Note that the store was restored just now, and which is the newest message of ours that it has.

    If it was restored before, that stays: what was said since may have numbers that others have as well (SEQ-12).
    """
    if await behind(tx) is not None:
        return
    newest = await tx.connection.scalar(_NEWEST) or 0
    await facts.put(tx, _FACT, str(newest).encode())


async def behind(tx: Transaction) -> int | None:
    """Return the place of the newest message of ours that the first backup had, None if there never was a restore."""
    stored = await facts.get(tx, _FACT)
    return None if stored is None else int(stored)
