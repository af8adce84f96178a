# SPDX-License-Identifier: Apache-2.0
"""How far the device's mailbox is stored here (CON-3, HTTP-7)."""

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert

from connectors.store.engine import Transaction
from connectors.store.tables import mailbox
from protocol.ids import KeyId


async def stored_up_to(tx: Transaction, device: KeyId) -> int:
    """Return the highest leaf index of the mailbox of `device` that is stored here; -1 before the first."""
    found = await tx.connection.execute(select(mailbox.c.cursor).where(mailbox.c.device_id == device))
    cursor: int | None = found.scalar_one_or_none()
    return -1 if cursor is None else cursor


async def stored(tx: Transaction, device: KeyId, index: int) -> None:
    """Note that everything up to leaf `index` is stored, in the transaction that stores it; never goes back."""
    statement = insert(mailbox).values(device_id=device, cursor=index)
    await tx.connection.execute(
        statement.on_conflict_do_update(
            index_elements=mailbox.primary_key, set_={"cursor": index}, where=mailbox.c.cursor < index
        )
    )
