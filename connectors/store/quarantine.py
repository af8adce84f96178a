# SPDX-License-Identifier: Apache-2.0
"""What came and was not believed: kept with its reason, shown, never delivered (HTTP-10, SEQ-2)."""

import hashlib
from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, func, select
from sqlalchemy.dialects.sqlite import insert as upsert

from connectors.faults import is_desk
from connectors.store.engine import Transaction
from connectors.store.tables import quarantine
from protocol.address import DeskAddress
from protocol.errors import NotFound
from protocol.ids import EnvelopeId, MessageId

_PLACE: Final = "quarantine"


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One item. The ids are as the item claimed them; nothing vouches for them."""

    item_index: int
    received_at: int
    code: str
    sender: DeskAddress | None
    envelope_id: EnvelopeId | None
    message_id: MessageId | None
    reported: bool
    position: int = 0


_ADD: Final = (
    upsert(quarantine)
    .on_conflict_do_nothing(index_elements=[quarantine.c.fingerprint])
    .returning(quarantine.c.position)
)
_REPORTED: Final = (
    select(quarantine.c.position)
    .where(quarantine.c.envelope_id == bindparam("which"), quarantine.c.reported == 1)
    .limit(1)
)
_AT: Final = select(quarantine).where(quarantine.c.position == bindparam("place"))
_COUNT: Final = select(func.count()).select_from(quarantine)


async def add(tx: Transaction, item: Quarantined, raw: bytes) -> bool:
    """Store `item` with its bytes and return True, or return False if these bytes came at this place before."""
    fingerprint = hashlib.sha256(item.item_index.to_bytes(8, "big") + raw).digest()
    values = {
        "fingerprint": fingerprint,
        "item_index": item.item_index,
        "received_at": item.received_at,
        "code": item.code,
        "sender_desk": item.sender,
        "envelope_id": item.envelope_id,
        "message_id": item.message_id,
        "reported": int(item.reported),
        "sealed": tx.vault.seal(_PLACE, fingerprint, raw),
    }
    return await tx.connection.scalar(_ADD, values) is not None


async def reported(tx: Transaction, envelope_id: EnvelopeId) -> bool:
    """Tell whether the sender was told already that an envelope of this id could not be taken in."""
    return await tx.connection.scalar(_REPORTED, {"which": envelope_id}) is not None


async def page(tx: Transaction, *, before: int | None, limit: int) -> list[Quarantined]:
    """Return up to `limit` items, newest first, from below the position `before`."""
    statement = select(quarantine).order_by(quarantine.c.position.desc()).limit(limit)
    if before is not None:
        statement = statement.where(quarantine.c.position < before)
    return [
        Quarantined(
            item_index=row.item_index,
            received_at=row.received_at,
            code=row.code,
            sender=row.sender_desk if is_desk(row.sender_desk) else None,
            envelope_id=row.envelope_id,
            message_id=row.message_id,
            reported=bool(row.reported),
            position=row.position,
        )
        for row in await tx.connection.execute(statement)
    ]


async def raw(tx: Transaction, position: int) -> bytes:
    """Return the bytes of one item; `NotFound` if there is none."""
    row = (await tx.connection.execute(_AT, {"place": position})).one_or_none()
    if row is None:
        raise NotFound
    return tx.vault.open(_PLACE, row.fingerprint, row.sealed)


async def count(tx: Transaction) -> int:
    """Return how many items are in quarantine."""
    return (await tx.connection.execute(_COUNT)).scalar_one()
