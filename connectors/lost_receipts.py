# SPDX-License-Identifier: Apache-2.0
"""What a restored hub has lost of ours is sealed anew, so that it arrives all the same (GEN-4, SEQ-4).

An acceptance receipt says where in the hub's log an envelope stands. Once the authority has said what a restore kept,
each connector knows from its own receipts which of its envelopes are gone. The receipts stay: they prove what was
accepted.
"""

from collections.abc import Sequence
from typing import Final

from connectors.faults import DAMAGED
from connectors.store import attempts, facts, recipients, underway
from connectors.store.attempts import AttemptState
from connectors.store.engine import Transaction
from connectors.store.recipients import RecipientState
from protocol.generations import last_index
from protocol.receipts import parse_receipt

LOST: Final = "hub-restored"
"""The reason that is shown for a desk that is sealed for anew."""

_FOLLOWED: Final = "generation-followed"
_WAITING: Final = (RecipientState.SEALED, RecipientState.ACCEPTED)


async def seal_lost_anew(tx: Transaction, starts: Sequence[int], now: int) -> int:
    """Queue every desk whose newest sealing the hub has lost, or does not have yet; return how many.

    `starts` are the audit leaves that each generation has kept; what was followed before is not looked at again. Who
    has opened a message by now is left alone, and who opens it twice answers twice and does nothing else (ENV-19). What
    is sealed and not sent may rely on statements that the hub has lost, so it is sealed anew as well.
    """
    if len(starts) <= await _followed(tx):
        return 0
    queued = 0
    for envelope_id in await underway.newest_of(tx, tuple(str(state) for state in _WAITING)):
        try:
            receipt = await attempts.receipt(tx, envelope_id)
            if receipt is not None and not is_lost(receipt, starts):
                continue
        except DAMAGED:
            pass  # Nobody can say any more where it stands: it is as good as lost.
        try:
            attempt = await attempts.by_id(tx, envelope_id)
            rows = [] if attempt is None else await recipients.of(tx, attempt.message_id)
        except DAMAGED:
            continue  # shown as such (CON-8)
        if not rows:
            continue
        await attempts.close(tx, envelope_id, AttemptState.LAPSED, LOST)
        for row in rows:
            if row.envelope_id == envelope_id and row.state in _WAITING:
                await recipients.requeue(tx, row, now=now, error=LOST)
                queued += 1
    await facts.put(tx, _FOLLOWED, str(len(starts)).encode())
    return queued


async def _followed(tx: Transaction) -> int:
    try:
        return int(await facts.get(tx, _FOLLOWED) or b"0")
    except DAMAGED:
        return 0  # looked at once more, which does no harm


def is_lost(receipt: bytes, starts: Sequence[int]) -> bool:
    """Tell whether a receipt that was verified when it came is of a leaf that no later generation has kept."""
    body = parse_receipt(receipt).body
    return last_index(body.place, starts) != body.index
