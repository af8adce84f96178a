# SPDX-License-Identifier: Apache-2.0
"""What the recipient of a referral hears of a transfer to another prison, and which it did not hear of (REF-9)."""

import json
from collections.abc import Sequence
from typing import Any, Final

from connectors.faults import DAMAGED
from connectors.store import cases, outgoing
from connectors.store.engine import Transaction
from connectors.store.moves import MoveRow
from connectors.store.outgoing import OutgoingMessage
from connectors.store.threads import ThreadRow
from protocol import ids
from protocol.ids import Kind, ThreadId
from protocol.kinds.catalogue import KINDS, decode_payload
from protocol.kinds.release import CustodyTransferred
from protocol.lifecycle.referral import Event

TRANSFERRED: Final = "custody.transferred"


def told_of(notice: OutgoingMessage) -> dict[str, Any] | None:
    """Return the fields of the step that tells of a transfer; None for one that names nobody who leads from then on."""
    payload = decode_payload(KINDS[notice.payload_type], notice.payload)
    if not isinstance(payload, CustodyTransferred) or payload.officer is None:
        return None
    return {
        "officer": payload.officer,
        "moved_on": payload.moved_on.isoformat(),
        "notice": ids.text(Kind.MESSAGE, notice.message_id),
    }


async def not_told(tx: Transaction, row: ThreadRow, stored: Sequence[MoveRow]) -> dict[str, Any] | None:
    """Return what is to be told of the newest transfer in the case of a referral of ours that goes on; None if nothing.

    `stored` are its moves. What was before it began it never needed to hear of.
    """
    placed = await cases.find(tx, row.thread)
    if placed is None:
        return None
    notices = [await _notice(tx, one.thread) for one in await cases.of(tx, [placed.case_id])]
    newest = max((one for one in notices if one is not None), key=lambda one: one.created_at, default=None)
    if newest is None or newest.created_at < row.begun_at:
        return None
    fields = told_of(newest)
    heard = {json.loads(one.payload).get("notice") for one in stored if one.event == Event.CUSTODY_MOVED}
    return None if fields is None or fields["notice"] in heard else fields


async def _notice(tx: Transaction, thread: ThreadId) -> OutgoingMessage | None:
    try:
        return await outgoing.newest(tx, thread, [TRANSFERRED])
    except DAMAGED:
        return None  # it is shown as damaged where it stands, and keeps no referral from going on (CON-8)
