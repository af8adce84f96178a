# SPDX-License-Identifier: Apache-2.0
"""What a message about the person moves along with it, both or neither (HAN-6, REF-9).

The notice of a release moves the handover that waits for it. The notice that somebody changed prison moves every
referral of that case which is still open: its recipient learns who leads now, and is asked what still works.
"""

from connectors.cases.composing import Said
from connectors.cases.moving import Moving, Step
from connectors.cases.sides import ROLES
from connectors.cases.terms import dates_of
from connectors.cases.threads import history_of
from connectors.store import cases, moves, threads
from connectors.store.engine import Transaction
from connectors.store.outgoing import OutgoingMessage
from connectors.timing import Clock
from protocol import ids
from protocol.errors import InvalidInput
from protocol.handover import TriggerEvent
from protocol.ids import Kind
from protocol.kinds.catalogue import KINDS, decode_payload
from protocol.kinds.reasons import HandoverEndReason
from protocol.kinds.release import CustodyTransferred, ReleaseCancelled, ReleaseNotice
from protocol.lifecycle.handover import AGREED, HANDOVER, Event, State
from protocol.lifecycle.referral import REFERRAL
from protocol.lifecycle.referral import Event as ReferralEvent

_TOLD_BY = frozenset({"release.notice", "release.cancelled"})


class Releasing:
    """Makes the moves that follow from a message of ours, inside the transaction that stores the message."""

    def __init__(self, moving: Moving, clock: Clock) -> None:
        """`moving` makes the move."""
        self._moving = moving
        self._clock = clock

    async def follow(self, tx: Transaction, message: OutgoingMessage, said: Said) -> bool:
        """Make what follows from `message`, which its case holds already; return whether anything moved.

        `InvalidInput` for a release that has not happened yet, and for a transfer with open referrals and no new
        officer who leads them.
        """
        if message.payload_type in _TOLD_BY:
            return await self._release(tx, message, said)
        if message.payload_type == "custody.transferred":
            return await self._transfer(tx, message, said)
        return False

    async def _transfer(self, tx: Transaction, message: OutgoingMessage, said: Said) -> bool:
        payload = decode_payload(KINDS[message.payload_type], message.payload)
        placed = await cases.find(tx, message.thread)
        if placed is None or not isinstance(payload, CustodyTransferred):
            return False
        moved, begins = False, ROLES[REFERRAL.name].begins
        for one in await cases.of(tx, [placed.case_id]):
            row = await threads.find(tx, one.thread)
            if row is None or not row.live or (row.machine, row.side) != (REFERRAL.name, begins):
                continue
            if payload.officer is None:
                raise InvalidInput("Referrals of this case are open: name in `officer` who leads them from now on.")
            fields = {
                "officer": payload.officer,
                "moved_on": payload.moved_on.isoformat(),
                "notice": ids.text(Kind.MESSAGE, message.message_id),
            }
            await self._moving.within(
                tx, one.thread, Step(event=ReferralEvent.CUSTODY_MOVED, fields=fields, officer=said.officer)
            )
            moved = True
        return moved

    async def _release(self, tx: Transaction, message: OutgoingMessage, said: Said) -> bool:
        """Move the handover in whose thread `message` tells of a release, where the release is what it waits for."""
        row = await threads.find(tx, message.thread)
        if row is None or row.machine != HANDOVER.name or row.side != ROLES[HANDOVER.name].begins:
            return False
        stored = await moves.of(tx, row.thread)
        history = history_of(row, stored)
        dates = dates_of(history, stored)
        if dates is None or dates.trigger.event is not TriggerEvent.RELEASE_NOTICE:
            return False
        match decode_payload(KINDS[message.payload_type], message.payload):
            case ReleaseNotice(released_at=at) if history.state in AGREED:
                if at > self._clock():
                    raise InvalidInput("A release notice tells of a release that has happened.")
                step = Step(event=Event.TAKE_EFFECT, fields={"effective_at": at}, officer=said.officer)
            case ReleaseCancelled() if history.state == State.EFFECTIVE:
                fields = {"reason": HandoverEndReason.RELEASE_CANCELLED}
                step = Step(event=Event.FAIL, fields=fields, officer=said.officer)
            case _:
                return False
        await self._moving.within(tx, row.thread, step)
        return True
