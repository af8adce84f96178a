# SPDX-License-Identifier: Apache-2.0
"""Sealings of our messages: the same bytes are sent until a receipt comes or a permanent error says otherwise."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    bindparam,
    exists,
    func,
    insert,
    literal_column,
    null,
    select,
    update,
)

from connectors.faults import named
from connectors.store import sealings
from connectors.store.engine import Transaction
from connectors.store.recipients import OPEN_STATES, RecipientState
from connectors.store.sealings import Record
from connectors.store.tables import BARE, attempt, attempt_row, outgoing, recipient
from protocol.address import DeskAddress
from protocol.errors import HubUnreachable, KeystoreError
from protocol.ids import EnvelopeId, KeyId, MessageId

BYTES: Final = "attempt"
_OLDER_FIRST: Final[ColumnElement[int]] = literal_column("rowid")
"""SQLite's order of insertion: of two sealings due at once the older goes first, so that threads stay in order."""
_PAGE: Final = 200
_RECEIPT: Final = "attempt receipt"


class AttemptState(StrEnum):
    """How far one sealing has come."""

    UPLOADING = "uploading"
    """Stored; its attachments go to the hub first (ATT-4)."""
    READY = "ready"
    """Stored, to be sent until it is answered (CON-1)."""
    ACCEPTED = "accepted"
    REFUSED = "refused"
    LAPSED = "lapsed"
    """It expired, or its recipients changed, before the hub had it."""
    EXPIRED = "expired"
    """The hub says that nobody collected it in time (HTTP-11)."""


UNSENT: Final = (AttemptState.UPLOADING, AttemptState.READY)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sealing, as found again by its id or digest; `devices` are those it was sealed to, by desk."""

    envelope_id: EnvelopeId
    message_id: MessageId
    digest: bytes
    expires: int
    state: AttemptState
    tries: int
    devices: Mapping[DeskAddress, KeyId]
    error: str | None


@dataclass(frozen=True, slots=True)
class ReadyEnvelope:
    """Bytes to send now; none if what is stored of them cannot be read any more."""

    envelope_id: EnvelopeId
    digest: bytes
    expires: int
    tries: int
    here_only: bool
    """No try to send them was ever begun (CON-22)."""
    raw: bytes = field(repr=False)


_NO_RECORDS: Final[Mapping[DeskAddress, Record]] = {}
_ADD: Final = insert(attempt)
_ADD_ROWS: Final = insert(attempt_row)
_DUE: Final = (
    select(attempt.c.envelope_id, func.length(attempt.c.sealed_bytes).label("size"))
    .where(attempt.c.state == bindparam("now_in"), attempt.c.next_try_at <= bindparam("now"))
    .order_by(attempt.c.next_try_at, _OLDER_FIRST)
    .limit(bindparam("most"))
)
_EARLIER: Final = outgoing.alias("earlier")
_IN_TURN: Final = ~exists().where(
    outgoing.c.message_id == attempt.c.message_id,
    outgoing.c.klass.not_in(BARE),
    _EARLIER.c.thread == outgoing.c.thread,
    _EARLIER.c.position < outgoing.c.position,
    _EARLIER.c.klass.not_in(BARE),
    attempt_row.c.envelope_id == attempt.c.envelope_id,
    recipient.c.message_id == _EARLIER.c.message_id,
    recipient.c.desk == attempt_row.c.desk,
    # Not `in OPEN_STATES`, for which SQLite would walk through all that waits, for each of them.
    recipient.c.state.not_in([state for state in RecipientState if state not in OPEN_STATES]),
)
"""The hub has all that was said before in the thread to one of its desks (SEQ-8)."""
_SENDABLE: Final = _DUE.where(_IN_TURN)
_UNBROKEN: Final = _SENDABLE.where(attempt.c.error.is_distinct_from(HubUnreachable.code))
_TO_SEND: Final = select(attempt).where(attempt.c.envelope_id.in_(bindparam("which", expanding=True)))
_BY_ID: Final = select(attempt).where(attempt.c.envelope_id == bindparam("which"))
_BY_DIGEST: Final = select(attempt).where(attempt.c.digest == bindparam("of"))
_ROWS: Final = select(attempt_row).where(attempt_row.c.envelope_id == bindparam("which"))
_IS_FOR: Final = _ROWS.where(attempt_row.c.desk == bindparam("desk"))
_CHANGE: Final = update(attempt).where(attempt.c.envelope_id == bindparam("which"))
_NOT_CALLED_BACK: Final = attempt.c.error.is_distinct_from(sealings.CALLED_BACK)
"""Nobody got what was called back, and nothing that ends later makes another story of it (CON-17, CON-22)."""
_POSTPONE: Final = _CHANGE.where(_NOT_CALLED_BACK)
_UPLOADED: Final = _CHANGE.where(attempt.c.state == AttemptState.UPLOADING).values(state=AttemptState.READY)
_UPLOAD_AGAIN: Final = _CHANGE.where(attempt.c.state == AttemptState.READY).values(state=AttemptState.UPLOADING)
_BROKE: Final = _CHANGE.where(attempt.c.state == AttemptState.READY).values(error=HubUnreachable.code)
_ACCEPT: Final = _CHANGE.values(state=AttemptState.ACCEPTED, error=null(), sealed_bytes=null()).returning(
    attempt.c.message_id
)
_CLOSE: Final = _POSTPONE.values(sealed_bytes=null())
_LAPSED: Final = select(attempt.c.envelope_id).where(attempt.c.state.in_(UNSENT), attempt.c.expires <= bindparam("now"))
_NEXT_SENDING: Final = (
    select(attempt.c.next_try_at)
    .where(attempt.c.state == AttemptState.READY, _IN_TURN)
    .order_by(attempt.c.next_try_at)
    .limit(1)
)
_RECEIPT_OF: Final = select(attempt.c.sealed_receipt).where(attempt.c.envelope_id == bindparam("which"))


async def add(
    tx: Transaction, new: Attempt, raw: bytes, now: int, records: Mapping[DeskAddress, Record] = _NO_RECORDS
) -> None:
    """Store a sealing with its bytes, before they are sent (CON-1), and what it holds for each desk (CON-17)."""
    values = {
        "envelope_id": new.envelope_id,
        "message_id": new.message_id,
        "digest": new.digest,
        "expires": new.expires,
        "state": new.state,
        "tries": 0,
        "next_try_at": now,
        "sealed_bytes": tx.vault.seal(BYTES, new.envelope_id, raw),
        "here_only": 1,
    }
    await tx.connection.execute(_ADD, values)
    rows = [
        {
            "envelope_id": new.envelope_id,
            "desk": desk,
            "device_id": device,
            "sealed": sealings.stored(tx, new.envelope_id, desk, records[desk]) if desk in records else None,
        }
        for desk, device in new.devices.items()
    ]
    await tx.connection.execute(_ADD_ROWS, rows)


async def ready(tx: Transaction, now: int, *, limit: int, most_bytes: int) -> list[ReadyEnvelope]:
    """Return up to `limit` envelopes to send now, oldest first, of at most `most_bytes` after the first.

    Of what was said to a desk in one thread only the oldest, until the hub has it (SEQ-8). Those with which the way
    broke come when no other is due, and among them the one first that waits longest (CON-15).
    """
    for asked in (_UNBROKEN, _SENDABLE):
        if found := await _due(tx, asked, AttemptState.READY, now, limit=limit, most_bytes=most_bytes):
            return found
    return []


async def uploading(tx: Transaction, now: int) -> list[ReadyEnvelope]:
    """Return at most one envelope whose attachments are to be uploaded now."""
    return await _due(tx, _DUE, AttemptState.UPLOADING, now, limit=1, most_bytes=0)


async def uploaded(tx: Transaction, envelope_id: EnvelopeId, *, tries: int, now: int) -> None:
    """Note that all attachments of an envelope are at the hub, so that it may be sent (ATT-4)."""
    await tx.connection.execute(_UPLOADED, {"which": envelope_id, "tries": tries, "next_try_at": now})


async def upload_again(tx: Transaction, envelope_id: EnvelopeId) -> None:
    """Go back to the attachments of an envelope that the hub refused for want of them (ATT-4)."""
    await tx.connection.execute(_UPLOAD_AGAIN, {"which": envelope_id})


async def _due(
    tx: Transaction, asked: Select[Any], state: AttemptState, now: int, *, limit: int, most_bytes: int
) -> list[ReadyEnvelope]:
    waiting = await tx.connection.execute(asked, {"now_in": state, "now": now, "most": limit})
    fitting: list[EnvelopeId] = []
    total = 0
    for envelope_id, size in waiting:
        total += size
        if fitting and total > most_bytes:
            break
        fitting.append(envelope_id)
    if not fitting:
        return []
    found = {row.envelope_id: row for row in await tx.connection.execute(_TO_SEND, {"which": fitting})}
    return [_ready(tx, found[envelope_id]) for envelope_id in fitting]


def _ready(tx: Transaction, row: Row[Any]) -> ReadyEnvelope:
    try:
        raw = tx.vault.open(BYTES, row.envelope_id, row.sealed_bytes)
    except KeystoreError:
        raw = b""
    return ReadyEnvelope(row.envelope_id, row.digest, row.expires, row.tries, bool(row.here_only), raw)


async def lapsed(tx: Transaction, now: int) -> list[EnvelopeId]:
    """Return the envelopes that expired before the hub had them."""
    return list(await tx.connection.scalars(_LAPSED, {"now": now}))


async def next_sending_at(tx: Transaction) -> int | None:
    """Return when the next envelope is to be sent, in ms UTC, or None if there is none."""
    at: int | None = await tx.connection.scalar(_NEXT_SENDING)
    return at


async def postpone(tx: Transaction, envelope_id: EnvelopeId, *, tries: int, until: int, error: str) -> None:
    """Send the same bytes again at `until` (CON-2)."""
    values = {"tries": tries, "next_try_at": until, "error": error}
    await tx.connection.execute(_POSTPONE, {"which": envelope_id, **values})


async def broke(tx: Transaction, envelope_id: EnvelopeId, now: int) -> None:
    """Note that the way broke while an envelope was sent alone: it stays due, and the others come first (CON-15)."""
    await tx.connection.execute(_BROKE, {"which": envelope_id, "next_try_at": now})


async def accept(tx: Transaction, envelope_id: EnvelopeId, receipt: bytes) -> MessageId | None:
    """Store the hub's receipt, as it came, and return whose sealing it is; its bytes are not needed any more."""
    sealed = tx.vault.seal(_RECEIPT, envelope_id, receipt)
    found: MessageId | None = await tx.connection.scalar(_ACCEPT, {"which": envelope_id, "sealed_receipt": sealed})
    return found


async def close(tx: Transaction, envelope_id: EnvelopeId, state: AttemptState, error: str) -> None:
    """End an attempt for good."""
    await tx.connection.execute(_CLOSE, {"which": envelope_id, "state": state, "error": error})


async def lapse_unsent(tx: Transaction, error: str) -> None:
    """End every attempt that the hub has not accepted."""
    await tx.connection.execute(
        update(attempt)
        .where(attempt.c.state.in_(UNSENT))
        .values(state=AttemptState.LAPSED, error=error, sealed_bytes=None)
    )


async def by_id(tx: Transaction, envelope_id: EnvelopeId) -> Attempt | None:
    """Return our attempt of that id, or None."""
    row = (await tx.connection.execute(_BY_ID, {"which": envelope_id})).one_or_none()
    return None if row is None else await _attempt(tx, row)


async def by_digest(tx: Transaction, digest: bytes) -> Attempt | None:
    """Return our attempt of that envelope digest, or None."""
    row = (await tx.connection.execute(_BY_DIGEST, {"of": digest})).one_or_none()
    return None if row is None else await _attempt(tx, row)


async def is_for(tx: Transaction, envelope_id: EnvelopeId, desk: DeskAddress) -> bool:
    """Tell whether our attempt was sealed for `desk`, be it alone or with others."""
    return (await tx.connection.execute(_IS_FOR, {"which": envelope_id, "desk": desk})).first() is not None


async def receipt(tx: Transaction, envelope_id: EnvelopeId) -> bytes | None:
    """Return the acceptance receipt of an attempt, or None while there is none."""
    sealed = await tx.connection.scalar(_RECEIPT_OF, {"which": envelope_id})
    return None if sealed is None else tx.vault.open(_RECEIPT, envelope_id, sealed)


async def receipts(tx: Transaction) -> AsyncIterator[bytes]:
    """Yield every acceptance receipt of ours, without holding more than a page of them."""
    last = b""
    while True:
        rows = await tx.connection.execute(
            select(attempt.c.envelope_id, attempt.c.sealed_receipt)
            .where(attempt.c.envelope_id > last, attempt.c.sealed_receipt.is_not(None))
            .order_by(attempt.c.envelope_id)
            .limit(_PAGE)
        )
        found = rows.all()
        for row in found:
            yield tx.vault.open(_RECEIPT, row.envelope_id, row.sealed_receipt)
        if len(found) < _PAGE:
            return
        last = found[-1].envelope_id


def _state(row: Row[Any]) -> AttemptState:
    """Return how far it has come; where that is not known nobody sends it any more (CON-8)."""
    try:
        return named(AttemptState, row.state)
    except KeystoreError:
        return AttemptState.LAPSED


async def _attempt(tx: Transaction, row: Row[Any]) -> Attempt:
    devices = await tx.connection.execute(_ROWS, {"which": row.envelope_id})
    return Attempt(
        envelope_id=row.envelope_id,
        message_id=row.message_id,
        digest=row.digest,
        expires=row.expires,
        state=_state(row),
        tries=row.tries,
        devices={item.desk: item.device_id for item in devices},
        error=row.error,
    )
