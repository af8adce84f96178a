# SPDX-License-Identifier: Apache-2.0
"""What each sealing of a message of ours held for each of its desks, and which of them a desk opened (CON-17).

A message is sealed anew by the rules and the directory as they stand then, while its desk may have opened what was
sealed before. So each sealing keeps what it held: a later one says nothing of what that desk was shown.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import bindparam, func, literal_column, select, update

from connectors.store.engine import Transaction
from connectors.store.recipients import DAMAGED, Plan, RecipientRow, RecipientState
from connectors.store.tables import attempt, attempt_row
from protocol import cbor
from protocol.address import DeskAddress
from protocol.errors import KeystoreError, MalformedEnvelope
from protocol.ids import EnvelopeId, MessageId
from protocol.limits import MAX_CODE
from protocol.receipts import ReceiptBody, parse_receipt
from protocol.sections import Actor
from protocol.shapes import as_bytes, as_int, as_text, as_tuple

UNKNOWN: Final = "content-not-kept"
"""The mark of a sealing whose plan a version before did not keep, once another took its place."""
CALLED_BACK: Final = "called-back"
"""Why a sealing ended that was stopped before it left this machine, and its mark (CON-22)."""
PLACE: Final = "attempt row"
_RECEIPT: Final = "attempt receipt"
_MAX_RECORD: Final = 128 * 1024


@dataclass(frozen=True, slots=True)
class Record:
    """What was decided at a sealing: for a desk of which function, in whose name, what it was to get, when (ms UTC)."""

    plan: Plan
    function: str
    actor: Actor
    at: int

    def encode(self) -> bytes:
        """Return the stored form."""
        return cbor.encode([self.plan.encode(), self.function, self.actor.value(), self.at])

    @classmethod
    def parse(cls, data: bytes) -> "Record":
        """Read the stored form, or raise `MalformedEnvelope`."""
        plan, function, actor, at = as_tuple(cbor.decode(data, limit=_MAX_RECORD), 4)
        return cls(Plan.parse(as_bytes(plan)), as_text(function, most=MAX_CODE), Actor.of(actor), as_int(at))


@dataclass(frozen=True, slots=True)
class Sealing:
    """One sealing for one desk; `record` is None where a version that kept none made it, or it cannot be read.

    `opened_at` is when the first A1 came that names it, in ms UTC; `taken_in` says that the desk has the message by it.
    """

    envelope_id: EnvelopeId
    digest: bytes
    plan: Plan
    record: Record | None
    receipt: bytes | None
    opened_at: int | None
    taken_in: bool

    @property
    def accepted(self) -> ReceiptBody | None:
        """What the hub's receipt says, which was verified before it was stored; None while there is none."""
        return None if self.receipt is None else parse_receipt(self.receipt).body


_OF: Final = (
    select(
        attempt_row.c.envelope_id,
        attempt_row.c.desk,
        attempt_row.c.sealed,
        attempt_row.c.opened_at,
        attempt_row.c.taken_in,
        attempt.c.digest,
        attempt.c.error,
        attempt.c.sealed_receipt,
    )
    .join(attempt, attempt.c.envelope_id == attempt_row.c.envelope_id)
    .where(attempt.c.message_id == bindparam("of"))
    .order_by(literal_column("attempt.rowid"))
)
_BY_DIGEST: Final = select(attempt.c.envelope_id).where(
    attempt.c.message_id == bindparam("of"), attempt.c.digest == bindparam("named")
)
_AT_DESK: Final = update(attempt_row).where(
    attempt_row.c.desk == bindparam("which"), attempt_row.c.envelope_id.in_(_BY_DIGEST)
)
_OPENED: Final = _AT_DESK.values(opened_at=func.coalesce(attempt_row.c.opened_at, bindparam("at")))
_TAKEN_IN: Final = _OPENED.values(taken_in=1)


def stored(tx: Transaction, envelope_id: EnvelopeId, desk: DeskAddress, record: Record) -> bytes:
    """Return `record` as it lies in the row of a sealing and a desk."""
    return tx.vault.seal(PLACE, _row(envelope_id, desk), record.encode())


async def of(tx: Transaction, rows: Sequence[RecipientRow]) -> Mapping[DeskAddress, Sequence[Sealing]]:
    """Return all sealings of a message of ours that are still known, for each desk of `rows` the oldest first."""
    found: dict[DeskAddress, list[Sealing]] = {row.desk: [] for row in rows}
    by_desk = {row.desk: row for row in rows}
    for message_id in {row.message_id for row in rows}:
        for one in (await tx.connection.execute(_OF, {"of": message_id})).all():
            if one.desk in found:
                found[one.desk].append(_sealing(tx, one, by_desk[one.desk]))
    return found


async def opened(
    tx: Transaction, message_id: MessageId, desk: DeskAddress, *, digest: bytes, first: bytes, at: int
) -> None:
    """Note that a desk opened the sealing `digest`, and has the message by the sealing `first`; nothing undoes that.

    Digests of sealings that are not known here, or that were not made for that desk, change nothing.
    """
    asked = {"of": message_id, "which": desk, "at": at}
    await tx.connection.execute(_TAKEN_IN, {**asked, "named": first})
    if digest != first:
        await tx.connection.execute(_OPENED, {**asked, "named": digest})


def telling(row: RecipientRow, known: Sequence[Sealing]) -> Sealing | None:
    """Return the sealing that tells how a desk stands: of an opened one the first by which it took the message in.

    Otherwise the newest; None where there is none, or it is not known here any more.
    """
    taken = [one for one in known if one.taken_in and row.state is RecipientState.OPENED]
    newest = (one for one in known if one.envelope_id == row.envelope_id)
    return taken[0] if taken else next(newest, None)


def shown(row: RecipientRow, known: Sequence[Sealing]) -> Plan:
    """Return what a desk gets, or, once it has opened the message, all that it was ever shown of it.

    What a desk was shown once it was shown, whatever is withheld from it since.
    """
    taken = [one.plan for one in known if one.taken_in and row.state is RecipientState.OPENED]
    if not taken:
        return row.plan
    going = dict(section for plan in taken for section in plan.going)
    kept = tuple(why for number, why in _withheld(taken[-1]) if number not in going)
    return Plan(tuple(sorted(going.items())), kept, tuple(dict.fromkeys(mark for plan in taken for mark in plan.marks)))


def _withheld(plan: Plan) -> Iterable[tuple[int, tuple[str, str]]]:
    """Return what is withheld by section number: every section goes or is withheld, and both are in order."""
    going = {number for number, _ in plan.going}
    numbers = (number for number in range(1, len(going) + len(plan.withheld) + 1) if number not in going)
    return zip(numbers, plan.withheld, strict=False)


def _sealing(tx: Transaction, one: Any, row: RecipientRow) -> Sealing:
    record, receipt, readable = None, None, True
    try:
        if one.sealed is not None:
            record = Record.parse(tx.vault.open(PLACE, _row(one.envelope_id, one.desk), one.sealed))
    except (KeystoreError, MalformedEnvelope):
        readable = False
    try:
        if one.sealed_receipt is not None:
            receipt = tx.vault.open(_RECEIPT, one.envelope_id, one.sealed_receipt)
    except KeystoreError:
        readable = False
    if record is not None:
        plan = record.plan
    elif one.envelope_id == row.envelope_id:
        plan = row.plan
    else:
        plan = Plan(marks=(UNKNOWN,) if readable else ())
    if one.error == CALLED_BACK:
        plan = replace(plan, marks=(*plan.marks, CALLED_BACK))
    if not readable:
        plan = replace(plan, marks=(*plan.marks, DAMAGED))  # all else is shown (CON-8)
    return Sealing(one.envelope_id, one.digest, plan, record, receipt, one.opened_at, bool(one.taken_in))


def _row(envelope_id: EnvelopeId, desk: DeskAddress) -> bytes:
    return envelope_id + desk.encode()
