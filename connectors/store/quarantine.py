# SPDX-License-Identifier: Apache-2.0
"""What came and was not believed: kept with its reason, shown, never delivered (HTTP-10, SEQ-2)."""

import hashlib
from dataclasses import dataclass
from enum import IntEnum
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


class SignedBy(IntEnum):
    """Whose signature stands on an item: the best of what there is to prove something by it."""

    NOBODY = 0
    HUB = 1
    SENDER = 2


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One item. The ids are as the item claimed them; nothing vouches for them unless its sender signed it."""

    item_index: int
    received_at: int
    code: str
    sender: DeskAddress | None
    envelope_id: EnvelopeId | None
    message_id: MessageId | None
    reported: bool
    signed_by: SignedBy = SignedBy.NOBODY
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
_SENT: Final = (
    select(quarantine.c.position)
    .where(quarantine.c.envelope_id == bindparam("which"), quarantine.c.signed_by == int(SignedBy.SENDER))
    .limit(1)
)
_AT: Final = select(quarantine).where(quarantine.c.position == bindparam("place"))
_SIGNERS: Final = frozenset(SignedBy)
_COUNT: Final = select(func.count()).select_from(quarantine)
_NEWEST: Final = select(func.max(quarantine.c.position))


async def add(tx: Transaction, item: Quarantined, raw: bytes) -> bool:
    """Store `item` with its bytes and return True, or return False if these bytes came at this place before.

    Of one envelope only the first copy is its sender's evidence: the hub can make others, with receipts of its own.
    """
    signed_by = item.signed_by
    if signed_by is SignedBy.SENDER and await tx.connection.scalar(_SENT, {"which": item.envelope_id}) is not None:
        signed_by = SignedBy.HUB
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
        "signed_by": int(signed_by),
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
            signed_by=SignedBy(row.signed_by) if row.signed_by in _SIGNERS else SignedBy.NOBODY,
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


async def newest(tx: Transaction) -> int:
    """Return the number of the item that came last, 0 before the first one; none is ever given twice."""
    return (await tx.connection.execute(_NEWEST)).scalar_one() or 0


async def count(tx: Transaction) -> int:
    """Return how many items are in quarantine."""
    return (await tx.connection.execute(_COUNT)).scalar_one()
