# SPDX-License-Identifier: Apache-2.0
"""How far the device's mailbox is stored here, and how far the hub was told so (CON-3, HTTP-7)."""

from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.dialects.sqlite import insert

from connectors.store.engine import Transaction
from connectors.store.tables import mailbox
from protocol.ids import KeyId


@dataclass(frozen=True, slots=True)
class MailboxState:
    """Leaf indexes; -1 before the first item."""

    stored: int = -1
    acknowledged: int = -1


async def load(tx: Transaction, device: KeyId) -> MailboxState:
    """Return how far the mailbox of `device` has come."""
    row = (await tx.connection.execute(select(mailbox).where(mailbox.c.device_id == device))).one_or_none()
    return MailboxState() if row is None else MailboxState(row.cursor, row.acknowledged)


async def stored(tx: Transaction, device: KeyId, index: int) -> None:
    """Note that everything up to leaf `index` is stored, in the transaction that stores it; never goes back."""
    statement = insert(mailbox).values(device_id=device, cursor=index, acknowledged=-1)
    await tx.connection.execute(
        statement.on_conflict_do_update(
            index_elements=mailbox.primary_key, set_={"cursor": index}, where=mailbox.c.cursor < index
        )
    )


async def acknowledged(tx: Transaction, device: KeyId, index: int) -> None:
    """Note that the hub was told that everything up to leaf `index` is stored."""
    await tx.connection.execute(update(mailbox).where(mailbox.c.device_id == device).values(acknowledged=index))
