# SPDX-License-Identifier: Apache-2.0
"""The slices of later sealings of a message that was taken in before: each was answered, so each is kept (SEQ-5)."""

from typing import Final

from sqlalchemy import bindparam, insert, select

from connectors.store.engine import Transaction
from connectors.store.incoming import ReceivedMessage
from connectors.store.tables import resealed

_PLACE: Final = "resealed slice"

_KEEP: Final = insert(resealed)
_OF: Final = select(resealed).where(resealed.c.incoming_position == bindparam("of"))


async def keep(tx: Transaction, first: ReceivedMessage, again: ReceivedMessage, raw_slice: bytes) -> None:
    """Keep `raw_slice`, in which `first` came `again` under another envelope id."""
    values = {
        "envelope_id": again.envelope_id,
        "incoming_position": first.position,
        "digest": again.digest,
        "received_at": again.received_at,
        "sealed_slice": tx.vault.seal(_PLACE, again.envelope_id, raw_slice),
    }
    await tx.connection.execute(_KEEP, values)


async def slices_of(tx: Transaction, message: ReceivedMessage) -> dict[bytes, bytes]:
    """Return the slices of the later sealings of `message`, by envelope digest."""
    rows = await tx.connection.execute(_OF, {"of": message.position})
    return {row.digest: tx.vault.open(_PLACE, row.envelope_id, row.sealed_slice) for row in rows}
