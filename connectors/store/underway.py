# SPDX-License-Identifier: Apache-2.0
"""What the newest sealing of each desk says of it: for which device it was, whether it waits, and what came to nothing.

Whoever follows the directory, or looks for receipts that were lost, asks here; `attempts` keeps the sealings.
"""

from typing import Any, Final

from sqlalchemy import Select, or_, select

from connectors.store.attempts import AttemptState
from connectors.store.engine import Transaction
from connectors.store.recipients import RecipientState
from connectors.store.tables import BARE, attempt, attempt_row, outgoing, recipient
from connectors.timing import MOST_SEALS
from protocol.address import DeskAddress
from protocol.errors import CannotOpen
from protocol.ids import EnvelopeId, KeyId, MessageId

_MEANT: Final[Select[Any]] = select(recipient.c.message_id, recipient.c.desk, attempt_row.c.device_id).join(
    attempt_row,
    (attempt_row.c.envelope_id == recipient.c.envelope_id) & (attempt_row.c.desk == recipient.c.desk),
)
"""Each desk with the device that its newest sealing was made for."""


async def newest_of(tx: Transaction, states: tuple[str, ...]) -> list[EnvelopeId]:
    """Return the newest sealing of every desk in one of `states`, each once."""
    rows = await tx.connection.execute(
        select(recipient.c.envelope_id)
        .where(recipient.c.state.in_(states), recipient.c.envelope_id.is_not(None))
        .distinct()
    )
    return list(rows.scalars())


async def waiting_devices(tx: Transaction, states: tuple[str, ...]) -> list[tuple[MessageId, DeskAddress, KeyId]]:
    """Return for every desk in one of `states` the device that its newest sealing was made for."""
    rows = await tx.connection.execute(_MEANT.where(recipient.c.state.in_(states)))
    return [(row.message_id, row.desk, row.device_id) for row in rows]


async def astray(tx: Transaction) -> list[tuple[MessageId, DeskAddress]]:
    """Return the desks whose newest sealing waits to be sent, and of which nothing says that it does (CON-8)."""
    rows = await tx.connection.execute(
        select(recipient.c.message_id, recipient.c.desk)
        .join(attempt, attempt.c.envelope_id == recipient.c.envelope_id)
        .where(recipient.c.state == RecipientState.SEALED, attempt.c.state.not_in(tuple(AttemptState)))
    )
    return [(row.message_id, row.desk) for row in rows]


async def given_up_devices(tx: Transaction, now: int) -> list[tuple[MessageId, DeskAddress, KeyId]]:
    """Return the desks that could not open a message however often it was sealed, each with the device meant last.

    Only of messages whose deadline is later than `now` (ms UTC).
    """
    rows = await tx.connection.execute(
        _MEANT.join(outgoing, outgoing.c.message_id == recipient.c.message_id).where(
            recipient.c.state == RecipientState.FAILED,
            or_(recipient.c.seals >= MOST_SEALS, recipient.c.error == CannotOpen.code),
            outgoing.c.deadline > now,
        )
    )
    return [(row.message_id, row.desk, row.device_id) for row in rows]


async def silent(tx: Transaction, ended_by: int) -> list[tuple[MessageId, DeskAddress]]:
    """Return the desks whose newest sealing the hub accepted and which ended by `ended_by` without any word of it.

    Receipts and notices are not among them: for those acceptance is the end (SEQ-3).
    """
    rows = await tx.connection.execute(
        select(recipient.c.message_id, recipient.c.desk)
        .join(attempt, attempt.c.envelope_id == recipient.c.envelope_id)
        .join(outgoing, outgoing.c.message_id == recipient.c.message_id)
        .where(
            recipient.c.state == RecipientState.ACCEPTED,
            attempt.c.state == AttemptState.ACCEPTED,
            attempt.c.expires <= ended_by,
            outgoing.c.klass.not_in(BARE),
        )
    )
    return [(row.message_id, row.desk) for row in rows]
