# SPDX-License-Identifier: Apache-2.0
"""How far the device's mailbox is stored here (CON-3, HTTP-7)."""

from typing import Final

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.sqlite import insert as upsert

from connectors.store.engine import Transaction
from connectors.store.tables import mailbox
from protocol.ids import KeyId

_CURSOR: Final = select(mailbox.c.cursor).where(mailbox.c.device_id == bindparam("device"))
_NEW: Final = upsert(mailbox)
_FORWARD: Final = _NEW.on_conflict_do_update(
    index_elements=mailbox.primary_key,
    set_={"cursor": _NEW.excluded.cursor},
    where=mailbox.c.cursor < _NEW.excluded.cursor,
)


async def stored_up_to(tx: Transaction, device: KeyId) -> int:
    """Return the highest leaf index of the mailbox of `device` that is stored here; -1 before the first."""
    cursor: int | None = await tx.connection.scalar(_CURSOR, {"device": device})
    return -1 if cursor is None else cursor


async def stored(tx: Transaction, device: KeyId, index: int) -> None:
    """Note that everything up to leaf `index` is stored, in the transaction that stores it; never goes back."""
    await tx.connection.execute(_FORWARD, {"device_id": device, "cursor": index})
