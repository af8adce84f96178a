# SPDX-License-Identifier: Apache-2.0
"""What desks ask for of our messages, and what they are to be told will not come (SEQ-10, SEQ-11)."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import bindparam, exists, select, update

from connectors.store.engine import Transaction
from connectors.store.recipients import RecipientRow, RecipientState
from connectors.store.tables import BARE, outgoing, recipient
from connectors.timing import FREE_SEALS, reseal_pause
from protocol.address import DeskAddress
from protocol.ids import MessageId, ThreadId
from protocol.sequence import Position

GIVEN_UP: Final = (RecipientState.FAILED, RecipientState.EXPIRED)


@dataclass(frozen=True, slots=True)
class Sent:
    """A message of ours at one desk, as far as it stands in clear: also one that the disk has damaged."""

    message_id: MessageId
    thread: ThreadId
    sender: DeskAddress
    desk: DeskAddress
    place: Position
    opened: bool
    """Whether the desk has opened it, and no device has asked for it since that took the place of the one that did."""


_CHANGE: Final = update(recipient).where(
    recipient.c.message_id == bindparam("of"), recipient.c.desk == bindparam("which")
)
_MESSAGES: Final = (
    select(
        recipient.c.message_id,
        outgoing.c.thread,
        outgoing.c.sender_desk,
        recipient.c.desk,
        recipient.c.seq,
        recipient.c.previous,
        recipient.c.opened_at,
        recipient.c.new_device,
    )
    .join(outgoing, outgoing.c.message_id == recipient.c.message_id)
    .where(outgoing.c.klass.not_in(BARE))
)
_SENT: Final = _MESSAGES.where(recipient.c.message_id == bindparam("of"), recipient.c.desk == bindparam("which"))
_GIVEN_UP_THERE: Final = _SENT.where(recipient.c.state.in_(GIVEN_UP), outgoing.c.created_at > bindparam("since"))
_UNTOLD: Final = (
    _MESSAGES.where(recipient.c.told_at.is_(None), recipient.c.state.in_(GIVEN_UP))
    .order_by(outgoing.c.position, recipient.c.desk)
    .limit(bindparam("most"))
)
_UNHEARD: Final = (
    select(recipient.c.message_id, recipient.c.desk)
    .join(outgoing, outgoing.c.message_id == recipient.c.message_id)
    .where(
        recipient.c.told_at.is_(None),
        recipient.c.state == RecipientState.EXPIRED,
        outgoing.c.payload_type == bindparam("word"),
    )
    .order_by(outgoing.c.position, recipient.c.desk)
    .limit(bindparam("most"))
)
_OURS: Final = select(exists().where(outgoing.c.message_id == bindparam("of")))


async def asked(tx: Transaction, row: RecipientRow, at: int) -> None:
    """Note when a desk asked for a message that it lacks, in ms UTC (SEQ-10)."""
    await _set(tx, row.message_id, row.desk, asked_at=at)


async def begin_again(tx: Transaction, row: RecipientRow, *, now: int, error: str, new_device: bool) -> None:
    """Have a desk sealed for anew, after its pause, whatever came of the message there before.

    When it was opened first stays known. A `new_device` does not suffer for what the old one had, nor does the old
    one's word count for it: what it never gets has no force (SEQ-11).
    """
    counted = min(row.seals, FREE_SEALS - 1) if new_device else row.seals
    if new_device:
        await _set(tx, row.message_id, row.desk, new_device=1)
    await _set(
        tx,
        row.message_id,
        row.desk,
        state=RecipientState.QUEUED,
        next_try_at=now + reseal_pause(counted),
        seals=counted,
        error=error,
        accepted_at=None,
        told_at=None,
    )


async def told(tx: Transaction, message_id: MessageId, desk: DeskAddress, now: int) -> None:
    """Note that a desk is told that a message was given up, or told it once more where that word expired unheard."""
    await _set(tx, message_id, desk, told_at=now)


async def untold(tx: Transaction, limit: int) -> list[Sent]:
    """Return messages of ours that were given up at desks which are not told yet, receipts and notices excepted."""
    return [_sent(row) for row in (await tx.connection.execute(_UNTOLD, {"most": limit})).all()]


async def unheard(tx: Transaction, word: str, limit: int) -> list[tuple[MessageId, DeskAddress]]:
    """Return messages of ours of the type `word` that nobody collected in time, each with its desk; see `told`."""
    return [(row.message_id, row.desk) for row in await tx.connection.execute(_UNHEARD, {"word": word, "most": limit})]


async def given_up(tx: Transaction, message_id: MessageId, desk: DeskAddress, *, since: int) -> Sent | None:
    """Return a message of ours that a desk was told was given up, if it was, and was composed after `since` (ms)."""
    values = {"of": message_id, "which": desk, "since": since}
    row = (await tx.connection.execute(_GIVEN_UP_THERE, values)).one_or_none()
    return None if row is None else _sent(row)


async def sent(tx: Transaction, message_id: MessageId, desk: DeskAddress) -> Sent | None:
    """Return a message of ours that went to a desk; None for another's, for receipts and for notices."""
    row = (await tx.connection.execute(_SENT, {"of": message_id, "which": desk})).one_or_none()
    return None if row is None else _sent(row)


async def is_ours(tx: Transaction, message_id: MessageId) -> bool:
    """Tell whether a message of ours has that id, whoever it is for."""
    return bool(await tx.connection.scalar(_OURS, {"of": message_id}))


async def _set(tx: Transaction, message_id: MessageId, desk: DeskAddress, **values: object) -> None:
    await tx.connection.execute(_CHANGE, {"of": message_id, "which": desk, **values})


def _sent(row: Any) -> Sent:
    place = Position(row.seq, row.previous)
    opened = row.opened_at is not None and not row.new_device
    return Sent(row.message_id, row.thread, row.sender_desk, row.desk, place, opened)
