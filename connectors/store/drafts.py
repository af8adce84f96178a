# SPDX-License-Identifier: Apache-2.0
"""Drafts of referrals: sealed like everything else, and forgotten 90 days after somebody changed them last (DFT-3)."""

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Row, delete, insert, or_, select, update

from connectors.faults import DAMAGED
from connectors.store.engine import Transaction
from connectors.store.threadtables import draft
from protocol import cbor
from protocol.errors import NotFound, PreconditionFailed
from protocol.ids import ID_SIZE, DraftId, MessageId, ThreadId
from protocol.limits import DAY
from protocol.shapes import as_bytes, as_int, as_optional_bytes, as_text, as_tuple

KEPT: Final = 90 * DAY
"""Milliseconds for which a draft lives that nobody touches."""
RESIDUAL: Final = "residual"
"""Where a draft comes from that a connector makes itself (REF-6)."""
DAMAGED_SOURCE: Final = "damaged"
"""What a list says instead of where a draft comes from that cannot be read any more."""

_PLACE: Final = "draft"
_MOST: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class DraftRow:
    """One draft; times in ms UTC. `thread` is the referral that a residual's is what is left of; `content` is JSON."""

    draft_id: DraftId
    source: str
    made_at: int
    changed_at: int
    version: int
    content: bytes = field(repr=False)
    thread: ThreadId | None = None

    @property
    def ends_at(self) -> int:
        """When it is forgotten."""
        return self.changed_at + KEPT


def residual_id(thread: ThreadId, answer: MessageId) -> DraftId:
    """Return the id of the draft for what the message `answer` left of a thread: one, however often it is looked at."""
    return DraftId(hashlib.sha256(b"tc/1 residual\0" + thread + answer).digest()[:ID_SIZE])


async def add(tx: Transaction, row: DraftRow) -> None:
    """Store a new draft."""
    await tx.connection.execute(
        insert(draft).values(draft_id=row.draft_id, changed_at=row.changed_at, thread=row.thread, sealed=_seal(tx, row))
    )


async def was_made(tx: Transaction, draft_id: DraftId) -> bool:
    """Tell whether there is a draft of that id, or was one that somebody sent or deleted."""
    found = await tx.connection.execute(select(draft.c.changed_at).where(draft.c.draft_id == draft_id))
    return found.scalar_one_or_none() is not None


async def load(tx: Transaction, draft_id: DraftId, now: int, *, version: int | None = None) -> DraftRow:
    """Return a draft that is not over, or raise `NotFound`; `PreconditionFailed` if `version` is not its own."""
    found = await tx.connection.execute(
        select(draft).where(draft.c.draft_id == draft_id, draft.c.sealed.is_not(None), draft.c.changed_at > now - KEPT)
    )
    row = found.one_or_none()
    if row is None:
        raise NotFound
    loaded = _row(tx, row)
    if version is not None and version != loaded.version:
        raise PreconditionFailed
    return loaded


async def page(tx: Transaction, now: int, *, before: tuple[int, DraftId] | None, limit: int) -> list[DraftRow]:
    """Return up to `limit` drafts that are not over, the one that changed last first, from the place `before`."""
    query = select(draft).where(draft.c.sealed.is_not(None), draft.c.changed_at > now - KEPT)
    if before is not None:
        at, last = before
        query = query.where(or_(draft.c.changed_at < at, (draft.c.changed_at == at) & (draft.c.draft_id < last)))
    rows = await tx.connection.execute(query.order_by(draft.c.changed_at.desc(), draft.c.draft_id.desc()).limit(limit))
    return [_listed(tx, row) for row in rows]


async def put(tx: Transaction, row: DraftRow) -> None:
    """Store a draft in the place of what it was before."""
    await tx.connection.execute(
        update(draft).where(draft.c.draft_id == row.draft_id).values(changed_at=row.changed_at, sealed=_seal(tx, row))
    )


async def remove(tx: Transaction, row: DraftRow, now: int) -> None:
    """Drop a draft. Of a residual's it stays known that it was there, so that it does not come again."""
    if row.thread is None:
        await tx.connection.execute(delete(draft).where(draft.c.draft_id == row.draft_id))
        return
    await tx.connection.execute(
        update(draft).where(draft.c.draft_id == row.draft_id).values(changed_at=now, sealed=None)
    )


async def remove_rest(tx: Transaction, thread: ThreadId, now: int) -> None:
    """Drop the draft of what is left of a thread, for somebody has asked for that in another way (DFT-4)."""
    await tx.connection.execute(
        update(draft).where(draft.c.thread == thread, draft.c.sealed.is_not(None)).values(changed_at=now, sealed=None)
    )


async def forget_old(tx: Transaction, now: int) -> None:
    """Drop drafts that nobody touched for 90 days."""
    await tx.connection.execute(delete(draft).where(draft.c.changed_at <= now - KEPT))


def _listed(tx: Transaction, row: Row[Any]) -> DraftRow:
    """Return a draft for a list, in which one that cannot be read must not hide the others (CON-8)."""
    try:
        return _row(tx, row)
    except DAMAGED:
        return DraftRow(row.draft_id, DAMAGED_SOURCE, row.changed_at, row.changed_at, 0, b"{}", thread=row.thread)


def _seal(tx: Transaction, row: DraftRow) -> bytes:
    held = cbor.encode([row.source, row.made_at, row.changed_at, row.version, row.thread, row.content])
    return tx.vault.seal(_PLACE, row.draft_id, held)


def _row(tx: Transaction, row: Row[Any]) -> DraftRow:
    opened = cbor.decode(tx.vault.open(_PLACE, row.draft_id, row.sealed), limit=_MOST)
    source, made_at, changed_at, version, thread, content = as_tuple(opened, 6)
    of = as_optional_bytes(thread, size=ID_SIZE)
    return DraftRow(
        draft_id=row.draft_id,
        source=as_text(source, most=20),
        made_at=as_int(made_at),
        changed_at=as_int(changed_at),
        version=as_int(version),
        content=as_bytes(content),
        thread=None if of is None else ThreadId(of),
    )
