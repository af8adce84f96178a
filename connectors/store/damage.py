# SPDX-License-Identifier: Apache-2.0
"""Which stored messages cannot be read any more, as a disk leaves them behind."""

from collections.abc import AsyncIterator

from sqlalchemy import select

from connectors.store import incoming, outgoing, recipients
from connectors.store.engine import Transaction
from connectors.store.tables import incoming as incoming_table
from connectors.store.tables import outgoing as outgoing_table
from protocol.errors import KeystoreError, MalformedEnvelope
from protocol.ids import MessageId

_AT_ONCE = 200


async def damaged(tx: Transaction) -> list[MessageId]:
    """Return the ids of all messages of which something stored does not open, each once, oldest first.

    Opens everything: for a person who asks what is wrong, not for every day.
    """
    found: dict[MessageId, None] = {}
    async for position, message_id in _positions(tx, sent=True):
        if not await _sent_opens(tx, position, message_id):
            found[message_id] = None
    async for position, message_id in _positions(tx, sent=False):
        if not await _received_opens(tx, position):
            found[message_id] = None
    return list(found)


async def _positions(tx: Transaction, *, sent: bool) -> AsyncIterator[tuple[int, MessageId]]:
    table = outgoing_table if sent else incoming_table
    last = -1
    while True:
        rows = (
            await tx.connection.execute(
                select(table.c.position, table.c.message_id)
                .where(table.c.position > last)
                .order_by(table.c.position)
                .limit(_AT_ONCE)
            )
        ).all()
        for row in rows:
            yield row.position, row.message_id
            last = row.position
        if len(rows) < _AT_ONCE:
            return


async def _sent_opens(tx: Transaction, position: int, message_id: MessageId) -> bool:
    try:
        await outgoing.at(tx, position)
    except (KeystoreError, MalformedEnvelope):
        return False
    return all(recipients.DAMAGED not in row.plan.marks for row in await recipients.of(tx, message_id))


async def _received_opens(tx: Transaction, position: int) -> bool:
    try:
        await incoming.slice_of(tx, await incoming.at(tx, position))
    except (KeystoreError, MalformedEnvelope):
        return False
    return True
