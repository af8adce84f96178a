# SPDX-License-Identifier: Apache-2.0
"""Which message says of which that it is wrong (KIND-9)."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Select, bindparam, func, select
from sqlalchemy.dialects.sqlite import insert as upsert

from connectors.faults import desk_of_row
from connectors.store.engine import Transaction
from connectors.store.incoming import ReceivedMessage
from connectors.store.outgoing import OutgoingMessage
from connectors.store.threadtables import correction
from protocol import ids
from protocol.address import AgencyAddress, DeskAddress
from protocol.ids import Kind, MessageId, ThreadId
from protocol.kinds.catalogue import KINDS, decode_payload
from protocol.kinds.records import RecordCorrection

CORRECTION: Final = "record.correction"
MOST: Final = 50
"""Corrections of one message that are shown, the newest, each at each desk of ours that it came for."""


@dataclass(frozen=True, slots=True)
class Corrects:
    """One correction at one of our desks; `at` is when the hub accepted it, or when it was composed here, in ms UTC."""

    corrects: MessageId
    agency: AgencyAddress
    message_id: MessageId
    sender_desk: DeskAddress
    own_desk: DeskAddress
    ours: bool
    thread: ThreadId
    at: int


_ADD: Final = upsert(correction).on_conflict_do_nothing()


def _of(*, at_desks: bool) -> Select[Any]:
    """Select the newest of each message, and none that says it of itself; those of some of our desks only, if so."""
    newest = (correction.c.at.desc(), correction.c.message_id, correction.c.sender_desk, correction.c.own_desk)
    place = func.row_number().over(partition_by=correction.c.corrects, order_by=newest).label("place")
    asked = select(correction, place).where(
        correction.c.corrects.in_(bindparam("which", expanding=True)),
        correction.c.agency == bindparam("whose"),
        correction.c.message_id != correction.c.corrects,
    )
    if at_desks:
        asked = asked.where(correction.c.own_desk.in_(bindparam("desks", expanding=True)))
    found = asked.subquery()
    return select(found).where(found.c.place <= bindparam("most")).order_by(found.c.at.desc(), found.c.message_id)


_OF: Final = _of(at_desks=False)
_OF_DESKS: Final = _of(at_desks=True)


async def note(tx: Transaction, message: OutgoingMessage | ReceivedMessage, agency: AgencyAddress) -> None:
    """Note what `message` of `agency` corrects, if it is a correction; nothing changes where it is noted already."""
    if message.payload_type != CORRECTION:
        return
    payload = decode_payload(KINDS[CORRECTION], message.payload)
    if not isinstance(payload, RecordCorrection):
        return
    if isinstance(message, ReceivedMessage):
        own_desk, ours, at = message.recipient_desk, 0, message.accepted_at
    else:
        own_desk, ours, at = message.sender_desk, 1, message.created_at
    values = {
        "corrects": ids.raw(Kind.MESSAGE, payload.corrects),
        "agency": agency,
        "message_id": message.message_id,
        "sender_desk": message.sender_desk,
        "own_desk": own_desk,
        "ours": ours,
        "thread": message.thread,
        "at": at,
    }
    await tx.connection.execute(_ADD, values)


async def of(
    tx: Transaction,
    messages: Collection[MessageId],
    agency: AgencyAddress,
    *,
    desks: Collection[DeskAddress] | None = None,
    most: int = MOST,
) -> list[Corrects]:
    """Return what `agency` says is wrong about these messages, which are its own, the newest first.

    Of each message up to `most`, so that many of one hide none of another; at these `desks` of ours only, where given.
    """
    asked: dict[str, object] = {"which": list(messages), "whose": agency, "most": most}
    statement = _OF
    if desks is not None:
        statement, asked = _OF_DESKS, {**asked, "desks": list(desks)}
    rows = await tx.connection.execute(statement, asked)
    return [
        Corrects(
            corrects=row.corrects,
            agency=row.agency,
            message_id=row.message_id,
            sender_desk=desk_of_row(row.sender_desk),
            own_desk=desk_of_row(row.own_desk),
            ours=bool(row.ours),
            thread=row.thread,
            at=row.at,
        )
        for row in rows
    ]
