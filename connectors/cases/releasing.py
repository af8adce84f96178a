# SPDX-License-Identifier: Apache-2.0
"""The release itself: what tells others of it moves the handover that waits for it, both or neither (HAN-6)."""

from connectors.cases.composing import Said
from connectors.cases.moving import Moving, Step
from connectors.cases.sides import ROLES
from connectors.cases.terms import dates_of
from connectors.cases.threads import history_of
from connectors.store import moves, threads
from connectors.store.engine import Transaction
from connectors.store.outgoing import OutgoingMessage
from connectors.timing import Clock
from protocol.errors import InvalidInput
from protocol.handover import TriggerEvent
from protocol.kinds.catalogue import KINDS, decode_payload
from protocol.kinds.reasons import HandoverEndReason
from protocol.kinds.release import ReleaseCancelled, ReleaseNotice
from protocol.lifecycle.handover import AGREED, HANDOVER, Event, State

_TOLD_BY = frozenset({"release.notice", "release.cancelled"})


class Releasing:
    """Makes the move that follows from a message of ours, inside the transaction that stores the message."""

    def __init__(self, moving: Moving, clock: Clock) -> None:
        """`moving` makes the move."""
        self._moving = moving
        self._clock = clock

    async def follow(self, tx: Transaction, message: OutgoingMessage, said: Said) -> bool:
        """Move the handover in whose thread `message` tells of a release, or of one that did not happen after all.

        Only where the release is what it waits for; whatever else is said moves nothing; return whether it did.
        `InvalidInput` for a release that has not happened yet.
        """
        if message.payload_type not in _TOLD_BY:
            return False
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
