# SPDX-License-Identifier: Apache-2.0
"""How far each message of ours has come at each of its desks, and what that desk gets of it (CON-2, CON-7)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Row, and_, bindparam, case, func, insert, null, or_, select, update

from connectors.faults import named
from connectors.store.engine import Transaction
from connectors.store.tables import outgoing, recipient
from connectors.timing import FREE_SEALS, MOST_SEALS, reseal_pause
from protocol import cbor
from protocol.address import DeskAddress
from protocol.errors import CannotOpen, KeystoreError, MalformedEnvelope, NotFound
from protocol.ids import EnvelopeId, MessageId
from protocol.rows import EnvelopeClass
from protocol.sequence import Position
from protocol.shapes import as_int, as_list, as_text, as_tuple

_PLACE: Final = "recipient"


class RecipientState(StrEnum):
    """How far a message has come at one desk."""

    QUEUED = "queued"
    """To be sealed: for the first time, or anew (SEQ-4)."""
    SEALED = "sealed"
    """Sealed bytes are stored and being sent."""
    ACCEPTED = "accepted"
    OPENED = "opened"
    FAILED = "failed"
    EXPIRED = "expired"


OPEN_STATES: Final = (RecipientState.QUEUED, RecipientState.SEALED)
DAMAGED: Final = "damaged"
"""The mark of a plan that cannot be read any more."""
FINAL_STATES: Final = (RecipientState.OPENED, RecipientState.FAILED, RecipientState.EXPIRED)
"""Nothing follows these, except that a late A1 turns a failure into a success: it proves what happened."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one desk gets: (section number, category), and what is withheld: (category, reason) (CON-7).

    `marks` are those of its newest sealing: `old-prekey` (DIR-8), `old-directory` (DIR-11).
    """

    going: tuple[tuple[int, str], ...] = ()
    withheld: tuple[tuple[str, str], ...] = ()
    marks: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """Return the stored form."""
        pairs: list[cbor.Value] = [[list(item) for item in self.going], [list(item) for item in self.withheld]]
        return cbor.encode([*pairs, list(self.marks)])

    @classmethod
    def parse(cls, data: bytes) -> "Plan":
        """Read the stored form."""
        going, withheld, *more = as_list(cbor.decode(data, limit=65_536), most=3)
        marks = as_list(more[0], most=10) if more else []  # what was stored before marks were has two parts
        return cls(
            tuple((as_int(n), as_text(c, most=100)) for n, c in (as_tuple(i, 2) for i in as_list(going, most=100))),
            tuple(
                (as_text(c, most=100), as_text(r, most=200))
                for c, r in (as_tuple(i, 2) for i in as_list(withheld, most=100))
            ),
            tuple(as_text(mark, most=100) for mark in marks),
        )


@dataclass(frozen=True, slots=True)
class RecipientRow:
    """One desk of one message; times in ms UTC."""

    message_id: MessageId
    desk: DeskAddress
    seq: int
    previous: MessageId | None
    state: RecipientState
    seals: int
    complaints: int
    next_try_at: int
    envelope_id: EnvelopeId | None
    error: str | None
    accepted_at: int | None
    opened_at: int | None
    plan: Plan
    asked_at: int | None = None
    """When the desk asked for it last, because it has later ones (SEQ-10)."""
    opened_again_at: int | None = None
    """When A1 came last that made it opened; `opened_at` is of the first."""


_ADD: Final = insert(recipient)
_OF: Final = select(recipient).where(recipient.c.message_id == bindparam("of")).order_by(recipient.c.desk)
_FIND: Final = select(recipient).where(
    recipient.c.message_id == bindparam("of"), recipient.c.desk == bindparam("which")
)
_TO_SEAL: Final = (
    select(recipient.c.message_id)
    .join(outgoing, outgoing.c.message_id == recipient.c.message_id)
    .where(recipient.c.state == RecipientState.QUEUED, recipient.c.next_try_at <= bindparam("now"))
    .group_by(recipient.c.message_id)
    .order_by(func.min(outgoing.c.position))
    .limit(bindparam("most"))
)
_NEXT_SEALING: Final = select(func.min(recipient.c.next_try_at)).where(recipient.c.state == RecipientState.QUEUED)
_CHANGE: Final = update(recipient).where(
    recipient.c.message_id == bindparam("of"),
    recipient.c.desk == bindparam("which"),
    *(recipient.c.state != state for state in FINAL_STATES),
)
_WAKE: Final = update(recipient).where(
    recipient.c.state == RecipientState.QUEUED,
    recipient.c.next_try_at > bindparam("now"),
    recipient.c.seals <= FREE_SEALS,
)
_REOPEN: Final = (
    update(recipient)
    .where(
        or_(
            recipient.c.state == RecipientState.SEALED,
            and_(
                recipient.c.state == RecipientState.ACCEPTED,
                recipient.c.message_id.not_in(
                    select(outgoing.c.message_id).where(outgoing.c.klass == EnvelopeClass.RECEIPT)
                ),
            ),
        )
    )
    .values(state=RecipientState.QUEUED, accepted_at=null())
)
_FAIL_QUEUED: Final = (
    update(recipient)
    .where(
        recipient.c.message_id == bindparam("of"),
        recipient.c.state == RecipientState.QUEUED,
        recipient.c.next_try_at <= bindparam("now"),
    )
    .values(state=RecipientState.FAILED)
)
_IS_SEALED: Final = recipient.c.state == RecipientState.SEALED
_ACCEPTED: Final = (
    update(recipient)
    .where(recipient.c.envelope_id == bindparam("sealing"))
    .values(
        state=case((_IS_SEALED, RecipientState.ACCEPTED), else_=recipient.c.state),
        error=case((_IS_SEALED, null()), else_=recipient.c.error),
    )
)
_OPENED: Final = (
    update(recipient)
    .where(
        recipient.c.message_id == bindparam("of"),
        recipient.c.desk == bindparam("which"),
        recipient.c.state != RecipientState.OPENED,
    )
    .values(
        state=RecipientState.OPENED,
        error=null(),
        new_device=0,
        opened_at=func.coalesce(recipient.c.opened_at, bindparam("at")),
        opened_again_at=bindparam("at"),
    )
)


async def add(tx: Transaction, message_id: MessageId, desk: DeskAddress, place: Position, plan: Plan, now: int) -> None:
    """Store a desk of a new message, to be sealed for from `now` on; `place` has its seq and the message before."""
    values = {
        "message_id": message_id,
        "desk": desk,
        "seq": place.seq,
        "previous": place.last,
        "state": RecipientState.QUEUED,
        "seals": 0,
        "complaints": 0,
        "next_try_at": now,
        "sealed": tx.vault.seal(_PLACE, _row(message_id, desk), plan.encode()),
    }
    await tx.connection.execute(_ADD, values)


async def of(tx: Transaction, message_id: MessageId) -> list[RecipientRow]:
    """Return the desks of a message, in the order of their addresses."""
    rows = await tx.connection.execute(_OF, {"of": message_id})
    return [_recipient(tx, row) for row in rows]


async def find(tx: Transaction, message_id: MessageId, desk: DeskAddress) -> RecipientRow:
    """Return one desk of a message of ours; `NotFound` if it never was a recipient."""
    row = (await tx.connection.execute(_FIND, {"of": message_id, "which": desk})).one_or_none()
    if row is None:
        raise NotFound
    return _recipient(tx, row)


def _recipient(tx: Transaction, row: Row[Any]) -> RecipientRow:
    return RecipientRow(
        message_id=row.message_id,
        desk=row.desk,
        seq=row.seq,
        previous=row.previous,
        state=_state(row),
        seals=row.seals,
        complaints=row.complaints,
        next_try_at=row.next_try_at,
        envelope_id=row.envelope_id,
        error=row.error,
        accepted_at=row.accepted_at,
        opened_at=row.opened_at,
        plan=_plan(tx, row),
        asked_at=row.asked_at,
        opened_again_at=row.opened_again_at,
    )


def _state(row: Row[Any]) -> RecipientState:
    """Return how far it has come; where that is not known nothing is done any more, as if it had failed (CON-8)."""
    try:
        return named(RecipientState, row.state)
    except KeystoreError:
        return RecipientState.FAILED


def _plan(tx: Transaction, row: Row[Any]) -> Plan:
    """Return what a desk gets, or a plan marked as damaged: it is for people to see, and made anew at every sealing."""
    try:
        named(RecipientState, row.state)
        return Plan.parse(tx.vault.open(_PLACE, _row(row.message_id, row.desk), row.sealed))
    except (KeystoreError, MalformedEnvelope):
        return Plan(marks=(DAMAGED,))


async def to_seal(tx: Transaction, now: int, limit: int) -> list[MessageId]:
    """Return messages that have a desk to be sealed for now, oldest first."""
    return list(await tx.connection.scalars(_TO_SEAL, {"now": now, "most": limit}))


async def next_sealing_at(tx: Transaction) -> int | None:
    """Return when the next desk is to be sealed for, in ms UTC, or None if there is none."""
    at: int | None = await tx.connection.scalar(_NEXT_SEALING)
    return at


async def _set(tx: Transaction, message_id: MessageId, desks: Sequence[DeskAddress], **values: object) -> None:
    if desks:
        await tx.connection.execute(_CHANGE, [{"of": message_id, "which": desk, **values} for desk in desks])


async def wait(tx: Transaction, message_id: MessageId, desk: DeskAddress, *, until: int, error: str) -> None:
    """Keep a desk queued until `until`, and show why (CON-2)."""
    await _set(tx, message_id, [desk], state=RecipientState.QUEUED, next_try_at=until, error=error)


async def wake(tx: Transaction, now: int) -> None:
    """Look again now at all desks that wait for another agency: the directory has changed.

    Those that were sealed for often already keep their pause: a desk can be made to move to and fro (SEQ-6).
    """
    await tx.connection.execute(_WAKE, {"now": now, "next_try_at": now})


async def requeue(tx: Transaction, row: RecipientRow, *, now: int, error: str | None, complained: bool = False) -> None:
    """Have a desk sealed for anew at `now` or after its pause, under the same message_id and place (SEQ-4, SEQ-6)."""
    if row.seals >= MOST_SEALS:
        await fail(tx, row.message_id, [row.desk], error or CannotOpen.code)
        return
    await _set(
        tx,
        row.message_id,
        [row.desk],
        state=RecipientState.QUEUED,
        next_try_at=now + reseal_pause(row.seals),
        error=error,
        accepted_at=None,
        complaints=row.complaints + int(complained),
    )


async def call_back(tx: Transaction, row: RecipientRow, *, now: int, error: str) -> None:
    """Have a desk sealed for anew at `now`, and the sealing that never left not counted (CON-22)."""
    await _set(
        tx,
        row.message_id,
        [row.desk],
        state=RecipientState.QUEUED,
        seals=max(0, row.seals - 1),
        next_try_at=now,
        error=error,
    )


async def reopen_under_way(tx: Transaction, now: int, error: str) -> None:
    """Have everything sealed anew that is sent and not known to be opened (SEQ-4).

    Receipts are never known to be opened; those that the hub accepted stay as they are.
    """
    await tx.connection.execute(_REOPEN, {"next_try_at": now, "error": error})


async def fail(tx: Transaction, message_id: MessageId, desks: Sequence[DeskAddress], error: str) -> None:
    """Give up on desks for a permanent reason, which is shown (CON-2)."""
    await _set(tx, message_id, desks, state=RecipientState.FAILED, error=error)


async def fail_queued(tx: Transaction, message_id: MessageId, now: int, error: str) -> None:
    """Give up on all desks that were to be sealed for now, without reading what is stored of them (CON-8)."""
    await tx.connection.execute(_FAIL_QUEUED, {"of": message_id, "now": now, "error": error})


async def expire(tx: Transaction, message_id: MessageId, desks: Sequence[DeskAddress]) -> None:
    """Note that the message's deadline passed before these desks opened it."""
    await _set(tx, message_id, desks, state=RecipientState.EXPIRED, error="expired")


async def sealed(tx: Transaction, row: RecipientRow, envelope_id: EnvelopeId, plan: Plan) -> None:
    """Note that a desk was sealed for in `envelope_id`, with what it gets."""
    await _set(
        tx,
        row.message_id,
        [row.desk],
        state=RecipientState.SEALED,
        seals=row.seals + 1,
        envelope_id=envelope_id,
        error=None,
        sealed=tx.vault.seal(_PLACE, _row(row.message_id, row.desk), plan.encode()),
    )


async def accepted(tx: Transaction, envelope_id: EnvelopeId, at: int) -> None:
    """Note that the hub accepted `envelope_id` at `at`, for the desks whose newest sealing it is.

    A1 may have come before the hub's answer did; it is not taken back.
    """
    await tx.connection.execute(_ACCEPTED, {"sealing": envelope_id, "accepted_at": at})


async def opened(tx: Transaction, message_id: MessageId, desk: DeskAddress, at: int) -> None:
    """Note that a desk opened the message (A1), and when it did first; nothing that follows can take that back."""
    await tx.connection.execute(_OPENED, {"of": message_id, "which": desk, "at": at})


def _row(message_id: MessageId, desk: DeskAddress) -> bytes:
    return message_id + desk.encode()
