# SPDX-License-Identifier: Apache-2.0
"""What a connector may forget, so that its store does not grow for ever (CON-10).

Evidence is never forgotten: the newest receipts, and the slices of what was taken in first. What goes is what can
have no effect any more, and the oldest of a quarantine that somebody floods.
"""

from itertools import takewhile
from typing import Final

from sqlalchemy import and_, delete, exists, func, or_, select

from connectors.store.engine import Transaction
from connectors.store.quarantine import SignedBy
from connectors.store.tables import (
    attempt,
    attempt_row,
    delivery,
    event,
    quarantine,
    recipient,
    replay,
    resealed,
    webhook,
)
from protocol.limits import DAY, MAX_LIFE, PREKEY_KEPT, PREKEY_REFUSED

MOST_QUARANTINED: Final = 2_000
MOST_QUARANTINED_BYTES: Final = 256 << 20

ATTEMPTS_KEPT: Final = 60 * DAY
"""After their expiry: reports of sealings that old are not waited for."""
REPLAY_KEPT: Final = MAX_LIFE + PREKEY_REFUSED + PREKEY_KEPT
"""By then the envelope is past its life, and the seed that it was sealed to destroyed: it can never be opened again."""

EVENTS_KEPT: Final = 400 * DAY
"""A system that was away for a year can still go on from where it was."""
EVENTS_AT_ONCE: Final = 1_000

EVIDENCE_KEPT: Final = 1_095 * DAY
"""How long a hub keeps its side of the evidence by default; ours of sealings that another took the place of as well."""


async def forget_attempts(tx: Transaction, now: int) -> None:
    """Drop sealings that ended long ago and are no desk's newest: those with a receipt much later.

    One that a desk opened stays as long as its message: it is what that desk was shown (CON-17).
    """
    old = (
        select(attempt.c.envelope_id)
        .outerjoin(recipient, recipient.c.envelope_id == attempt.c.envelope_id)
        .where(
            or_(
                and_(attempt.c.sealed_receipt.is_(None), attempt.c.expires < now - ATTEMPTS_KEPT),
                attempt.c.expires < now - EVIDENCE_KEPT,
            ),
            recipient.c.envelope_id.is_(None),
            ~exists().where(attempt_row.c.envelope_id == attempt.c.envelope_id, attempt_row.c.opened_at.is_not(None)),
        )
    )
    gone = list((await tx.connection.execute(old)).scalars())
    for envelope_id in gone:
        await tx.connection.execute(delete(attempt_row).where(attempt_row.c.envelope_id == envelope_id))
        await tx.connection.execute(delete(attempt).where(attempt.c.envelope_id == envelope_id))


async def forget_replays(tx: Transaction, now: int) -> None:
    """Drop replay entries whose envelopes cannot be opened any more; message ids stay known for ever (ENV-19)."""
    await tx.connection.execute(delete(replay).where(replay.c.received_at < now - REPLAY_KEPT))


async def forget_resealed(tx: Transaction, now: int) -> None:
    """Drop the slices of later sealings when a hub has forgotten them too; the first one's stays (SEQ-5)."""
    await tx.connection.execute(delete(resealed).where(resealed.c.received_at < now - EVIDENCE_KEPT))


async def forget_events(tx: Transaction, now: int, *, given: int | None = None) -> int:
    """Drop old events that everybody who is to be told of them knows; returns how many went (EVT-7).

    `given` is the place up to which the drop folder has them, None where there is none. The newest stays, so that
    whoever reads the feed can always go on from it.
    """
    newest = await tx.connection.scalar(select(func.max(event.c.position))) or 0
    planned = await tx.connection.scalar(select(func.min(webhook.c.planned)))
    last = min(newest - 1, *(place for place in (planned, given) if place is not None), newest)
    rows = await tx.connection.execute(
        select(event.c.position, event.c.at)
        .where(event.c.position <= last, event.c.position.not_in(select(delivery.c.event)))
        .order_by(event.c.position)
        .limit(EVENTS_AT_ONCE)
    )
    # Places follow time: behind the first that is young enough all are.
    old = [row.position for row in takewhile(lambda row: row.at < now - EVENTS_KEPT, rows)]
    await tx.connection.execute(delete(event).where(event.c.position.in_(old)))
    return len(old)


async def bound_quarantine(
    tx: Transaction, *, items: int = MOST_QUARANTINED, size: int = MOST_QUARANTINED_BYTES
) -> int:
    """Drop the oldest of the quarantine until `items` and `size` bytes hold; returns how many went.

    What agencies signed has half of both to itself, what the hub alone signed a quarter, and what nobody signed what is
    left: whoever sends rubbish pushes out rubbish.
    """
    rows = await tx.connection.execute(
        select(quarantine.c.position, quarantine.c.signed_by, func.length(quarantine.c.sealed).label("size")).order_by(
            quarantine.c.position.desc()
        )
    )
    found, gone = rows.all(), list[int]()
    left_items, left_size = items, size
    for signer, part in ((SignedBy.SENDER, 2), (SignedBy.HUB, 4), (SignedBy.NOBODY, 1)):
        most, room = (left_items, left_size) if part == 1 else (items // part, size // part)
        of_signer = [row for row in found if row.signed_by == signer]
        for row in of_signer:
            most, room = most - 1, room - row.size
            if most < 0 or room < 0:
                # All that are older go as well, also one that would have room.
                room = -1
                gone.append(row.position)
            else:
                left_items, left_size = left_items - 1, left_size - row.size
    if gone:
        await tx.connection.execute(delete(quarantine).where(quarantine.c.position.in_(gone)))
    return len(gone)
