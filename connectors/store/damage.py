# SPDX-License-Identifier: Apache-2.0
"""Which stored rows cannot be read any more, as a disk leaves them behind: every sealed and every parsed column."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Row, Table, literal_column, select

from connectors.faults import is_desk
from connectors.store import events, threads
from connectors.store.attachments import FetchState
from connectors.store.attempts import AttemptState
from connectors.store.engine import Transaction
from connectors.store.incoming import IncomingState
from connectors.store.prekeys import PrekeyState
from connectors.store.recipients import RecipientState
from connectors.store.sequences import Direction
from connectors.store.tables import (
    attachment_in,
    attachment_out,
    attempt,
    attempt_row,
    contradiction,
    delivery,
    event,
    incoming,
    meta,
    outgoing,
    prekey,
    quarantine,
    recipient,
    request,
    resealed,
    statement,
    token,
)
from connectors.store.threadtables import case_thread, draft, move, thread
from connectors.store.webhooks import DeliveryState
from protocol import cbor
from protocol.errors import KeystoreError
from protocol.ids import Kind, MessageId, text
from protocol.rows import EnvelopeClass

_AT_ONCE: Final = 50
_PLACE: Final[ColumnElement[int]] = literal_column("rowid")


@dataclass(frozen=True, slots=True)
class Sealed:
    """How a sealed column opens: the place that it was sealed for, and what its row is called there."""

    place: str
    row: Callable[[Row[Any]], bytes]


def _between(row: Row[Any]) -> bytes:
    return cbor.encode([row.message_id, row.sender_desk, row.recipient_desk])


SEALED: Final[Mapping[Column[Any], Sealed]] = {
    meta.c.sealed: Sealed("meta", lambda row: str(row.name).encode()),
    statement.c.sealed: Sealed("statement", lambda row: str(row.idx).encode()),
    outgoing.c.sealed: Sealed("outgoing", lambda row: row.message_id),
    recipient.c.sealed: Sealed("recipient", lambda row: row.message_id + row.desk.encode()),
    attempt.c.sealed_bytes: Sealed("attempt", lambda row: row.envelope_id),
    attempt.c.sealed_receipt: Sealed("attempt receipt", lambda row: row.envelope_id),
    attempt_row.c.sealed: Sealed("attempt row", lambda row: row.envelope_id + row.desk.encode()),
    incoming.c.sealed: Sealed("incoming", _between),
    incoming.c.sealed_slice: Sealed("incoming slice", _between),
    resealed.c.sealed_slice: Sealed("resealed slice", lambda row: row.envelope_id),
    quarantine.c.sealed: Sealed("quarantine", lambda row: row.fingerprint),
    contradiction.c.sealed: Sealed("contradiction", lambda row: str(row.kept_at).encode()),
    request.c.sealed: Sealed("request", lambda row: row.key),
    token.c.sealed: Sealed("token", lambda row: row.token_id),
    attachment_out.c.sealed: Sealed("attachment out", lambda row: row.blob_id),
    attachment_in.c.sealed: Sealed("attachment in", lambda row: row.message_id),
    prekey.c.sealed: Sealed("prekey", lambda row: str(row.epoch).encode()),
    thread.c.sealed: Sealed("thread", lambda row: row.thread),
    case_thread.c.sealed: Sealed("case thread", lambda row: row.thread),
    move.c.sealed: Sealed("move", lambda row: row.message_id),
    draft.c.sealed: Sealed("draft", lambda row: row.draft_id),
}
"""Every column that the vault seals (CON-5)."""

PARSED: Final[Mapping[Column[Any], Callable[[Any], bool]]] = {
    outgoing.c.klass: frozenset(map(int, EnvelopeClass)).__contains__,
    recipient.c.state: frozenset(map(str, RecipientState)).__contains__,
    attempt.c.state: frozenset(map(str, AttemptState)).__contains__,
    incoming.c.klass: frozenset(map(int, EnvelopeClass)).__contains__,
    incoming.c.state: frozenset(map(str, IncomingState)).__contains__,
    attachment_in.c.state: frozenset(map(str, FetchState)).__contains__,
    prekey.c.state: frozenset(map(str, PrekeyState)).__contains__,
    delivery.c.state: frozenset(map(str, DeliveryState)).__contains__,
    thread.c.machine: frozenset(threads.MACHINES).__contains__,
    thread.c.own_desk: is_desk,
    thread.c.peer_desk: is_desk,
    outgoing.c.sender_desk: is_desk,
    incoming.c.sender_desk: is_desk,
    incoming.c.recipient_desk: is_desk,
    quarantine.c.sender_desk: lambda desk: desk is None or is_desk(desk),
    event.c.type: events.is_type,
    move.c.direction: frozenset(map(str, Direction)).__contains__,
}
"""Every column that is more than a word, with what tells whether it can be what was stored there."""

_NAMED: Final[Mapping[Table, Callable[[Row[Any]], str]]] = {
    meta: lambda row: f"fact {row.name}",
    statement: lambda row: f"statement {row.idx}",
    resealed: lambda row: text(Kind.ENVELOPE, row.envelope_id),
    quarantine: lambda row: f"quarantined item {row.item_index}",
    contradiction: lambda row: f"evidence against the hub {row.position}",
    request: lambda row: f"the answer to request {row.key.hex()[:16]}",
    token: lambda row: text(Kind.TOKEN, row.token_id),
    prekey: lambda row: f"prekey {row.epoch}",
    delivery: lambda row: f"the delivery of event {row.event}",
    event: lambda row: text(Kind.EVENT, row.event_id),
    attempt_row: lambda row: f"what {text(Kind.ENVELOPE, row.envelope_id)} held",
    thread: lambda row: text(Kind.THREAD, row.thread),
    case_thread: lambda row: f"the case of {text(Kind.THREAD, row.thread)}",
    move: lambda row: f"a step of {text(Kind.THREAD, row.thread)}",
    draft: lambda row: text(Kind.DRAFT, row.draft_id),
    attachment_out: lambda row: text(Kind.BLOB, row.blob_id),
}
"""What a row is called where it is of no message."""


@dataclass(slots=True)
class Damage:
    """What cannot be read: messages, and by name what is of no single message; each once, the oldest first."""

    messages: dict[MessageId, None] = field(default_factory=dict)
    others: dict[str, None] = field(default_factory=dict)


async def damaged(tx: Transaction) -> Damage:
    """Return what of the store does not open, or says what nobody knows.

    Opens everything: for a person who asks what is wrong, not for every day.
    """
    found = Damage()
    for table in dict.fromkeys(column.table for column in (*SEALED, *PARSED)):
        if isinstance(table, Table):
            async for row in _rows(tx, table):
                if not _is_whole(tx, table, row):
                    _note(found, table, row)
    return found


async def _rows(tx: Transaction, table: Table) -> AsyncIterator[Row[Any]]:
    last = -1
    while True:
        rows = (
            await tx.connection.execute(
                select(_PLACE.label("place"), table).where(last < _PLACE).order_by(_PLACE).limit(_AT_ONCE)
            )
        ).all()
        for row in rows:
            yield row
            last = row.place
        if len(rows) < _AT_ONCE:
            return


def _is_whole(tx: Transaction, table: Table, row: Row[Any]) -> bool:
    for column in table.columns:
        value = getattr(row, column.name)
        if column in PARSED and not PARSED[column](value):
            return False
        if column in SEALED and value is not None:
            try:
                tx.vault.open(SEALED[column].place, SEALED[column].row(row), value)
            except KeystoreError:
                return False
    return True


def _note(found: Damage, table: Table, row: Row[Any]) -> None:
    if table in _NAMED:
        found.others[_NAMED[table](row)] = None
    else:
        found.messages[row.message_id] = None
