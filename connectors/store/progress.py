# SPDX-License-Identifier: Apache-2.0
"""How all our messages have come along: which are past their time, since when some wait, and how many stand where."""

from typing import Final

from sqlalchemy import bindparam, func, select, union_all

from connectors.store.engine import Transaction
from connectors.store.recipients import OPEN_STATES, RecipientState
from connectors.store.tables import BARE, outgoing, recipient
from protocol.address import DeskAddress
from protocol.ids import MessageId

_LATE: Final = (
    select(recipient.c.message_id, recipient.c.desk)
    .join(outgoing, outgoing.c.message_id == recipient.c.message_id)
    .where(outgoing.c.deadline <= bindparam("now"))
)
_OVERDUE: Final = union_all(
    _LATE.where(recipient.c.state.in_(OPEN_STATES)),
    _LATE.where(
        # Not `== ACCEPTED`, for which SQLite would walk through nearly all that were ever sent.
        recipient.c.state.not_in([state for state in RecipientState if state is not RecipientState.ACCEPTED]),
        outgoing.c.klass.not_in(BARE),
        outgoing.c.deadline > bindparam("since"),
    ),
)
_OLDEST_OPEN: Final = (
    select(func.min(outgoing.c.created_at))
    .join(recipient, outgoing.c.message_id == recipient.c.message_id)
    .where(recipient.c.state.in_(OPEN_STATES), outgoing.c.klass.not_in(BARE))
)


async def overdue(tx: Transaction, now: int, *, since: int) -> list[tuple[MessageId, DeskAddress]]:
    """Return the desks that have not opened a message although its deadline passed.

    Also those for which the hub has accepted it, if the deadline passed after `since` (ms UTC): a hub that drops a
    message does not say so. Receipts and notices are never answered with A1, so for them acceptance is the end.
    """
    rows = await tx.connection.execute(_OVERDUE, {"now": now, "since": since})
    return [(row.message_id, row.desk) for row in rows]


async def oldest_open(tx: Transaction) -> int | None:
    """Return when the oldest message of people was composed that is still to go out, in ms UTC, or None."""
    found: int | None = await tx.connection.scalar(_OLDEST_OPEN)
    return found


async def counts(tx: Transaction) -> dict[RecipientState, int]:
    """Return how many (message, desk) pairs stand in each state; own receipts and notices are no messages of people."""
    rows = await tx.connection.execute(
        select(recipient.c.state, func.count())
        .join(outgoing, outgoing.c.message_id == recipient.c.message_id)
        .where(outgoing.c.klass.not_in(BARE))
        .group_by(recipient.c.state)
    )
    found = {row[0]: row[1] for row in rows}
    return {state: found.get(state, 0) for state in RecipientState}
