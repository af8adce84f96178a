# SPDX-License-Identifier: Apache-2.0
"""What a message about the person moves along with it, both or neither (HAN-6, REF-9).

The notice of a release moves the handover that waits for it, at once or as soon as it is accepted. The notice that
somebody changed prison moves every referral of that case which is still open: its recipient learns who leads now, and
is asked what still works. The recipient of one that is blocked is told once it goes on (`transferred`).
"""

from dataclasses import dataclass
from typing import Final

from connectors.cases.composing import Said
from connectors.cases.moving import Moving, Step
from connectors.cases.sides import ROLES
from connectors.cases.terms import dates_of
from connectors.cases.threads import Threads, history_of
from connectors.cases.transferred import TRANSFERRED, told_of
from connectors.cases.waiting import NOTICE
from connectors.faults import DAMAGED
from connectors.store import cases, moves
from connectors.store.engine import Transaction
from connectors.store.outgoing import OutgoingMessage
from connectors.store.speaking import ANSWER
from connectors.timing import Clock
from protocol import ids
from protocol.errors import IllegalTransition, InvalidInput
from protocol.handover import TriggerEvent
from protocol.http.messages import HandoverEffect
from protocol.ids import Kind, ThreadId
from protocol.kinds.catalogue import KINDS, decode_payload
from protocol.kinds.reasons import HandoverEndReason
from protocol.kinds.release import ReleaseDateChanged, ReleaseNotice
from protocol.lifecycle.handover import AGREED, HANDOVER, Event, State
from protocol.lifecycle.handover_timers import agreed_at
from protocol.lifecycle.referral import LIVE, REFERRAL
from protocol.lifecycle.referral import Event as ReferralEvent
from protocol.lifecycle.referral import State as ReferralState

DATE_CHANGED: Final = "release.date-changed"
_TOLD_BY = frozenset({NOTICE, "release.cancelled", "custody.returned"})
_OFFERED_AGAIN = frozenset(state for row in HANDOVER.rows if row.event == Event.OFFER_AGAIN for state in row.sources)


@dataclass(frozen=True, slots=True)
class Followed:
    """Whether a message makes a step, now or later, and what becomes of the handover in whose thread it stands.

    `blocked` are referrals whose recipients are told of a transfer once they go on.
    """

    steps: bool = False
    handover: HandoverEffect | None = None
    blocked: tuple[ThreadId, ...] = ()


class Releasing:
    """Makes the moves that follow from a message of ours, inside the transaction that stores the message."""

    def __init__(self, moving: Moving, threads_: Threads, clock: Clock) -> None:
        """`moving` makes the move, `threads_` knows when time will make it."""
        self._moving = moving
        self._threads = threads_
        self._clock = clock

    async def follow(self, tx: Transaction, message: OutgoingMessage, said: Said) -> Followed:
        """Make what follows from `message`, which is stored already; return what that is.

        `InvalidInput` for a release that has not happened yet, and for a transfer with open referrals and no new
        officer who leads them.
        """
        if message.payload_type == ANSWER:
            await self._threads.noted(tx, message.thread)
        if message.payload_type in _TOLD_BY:
            return await self._release(tx, message, said)
        if message.payload_type == TRANSFERRED:
            return await self._transfer(tx, message, said)
        if message.payload_type == DATE_CHANGED:
            return await self._date(tx, message)
        return Followed()

    async def _date(self, tx: Transaction, message: OutgoingMessage) -> Followed:
        """Tell whoever tells another day of release whether the handover in that thread still has its own (HAN-13)."""
        row = await self._threads.mending.find(tx, message.thread)
        if row is None or row.machine != HANDOVER.name or row.side != ROLES[HANDOVER.name].begins:
            return Followed()
        stored = await moves.of(tx, row.thread)
        history = history_of(row, stored)
        dates = dates_of(history, stored)
        if dates is None or history.state in (State.EFFECTIVE, *HANDOVER.finals):
            return Followed(handover=HandoverEffect.NOTHING)
        payload = decode_payload(KINDS[message.payload_type], message.payload)
        assert isinstance(payload, ReleaseDateChanged)  # noqa: S101 - the only payload of the kind
        same = payload.becomes == dates.trigger.expected_on
        return Followed(handover=None if same else HandoverEffect.STILL_ITS_DAY)

    async def _transfer(self, tx: Transaction, message: OutgoingMessage, said: Said) -> Followed:
        placed = await cases.find(tx, message.thread)
        if placed is None:
            return Followed()
        moved, blocked, fields = False, list[ThreadId](), told_of(message)
        for one in await cases.of(tx, [placed.case_id]):
            try:
                row = await self._threads.mending.find(tx, one.thread)
                if row is None or (row.machine, row.side) != (REFERRAL.name, ROLES[REFERRAL.name].begins):
                    continue
                if row.state not in (*LIVE, ReferralState.BLOCKED_CONSENT):
                    continue
                if fields is None:
                    raise InvalidInput(
                        "Referrals of this case are not over: name in `officer` who leads them from now on."
                    )
                if row.state == ReferralState.BLOCKED_CONSENT:
                    # No basis stands on which its recipient could be told; `transferred.not_told` knows of it later.
                    blocked.append(one.thread)
                    continue
                step = Step(event=ReferralEvent.CUSTODY_MOVED, fields=fields, officer=said.officer)
                await self._moving.within(tx, one.thread, step)
            except IllegalTransition as error:
                thread = ids.text(Kind.THREAD, one.thread)
                raise IllegalTransition(f"The recipient of {thread} cannot be told. {error.detail}") from None
            except DAMAGED:
                continue  # its moves cannot be read: the case shows it as damaged, and the others move (CON-8)
            moved = True
        return Followed(moved, blocked=tuple(blocked))

    async def _release(self, tx: Transaction, message: OutgoingMessage, said: Said) -> Followed:
        """Move the handover in whose thread `message` tells of a release, where the release is what it waits for.

        Before anybody accepted, nothing moves: time makes the move as soon as somebody has (HAN-8).
        """
        row = await self._threads.mending.find(tx, message.thread)
        if row is None or row.machine != HANDOVER.name or row.side != ROLES[HANDOVER.name].begins:
            return Followed()
        stored = await moves.of(tx, row.thread)
        history = history_of(row, stored)
        dates, state = dates_of(history, stored), history.state
        if dates is not None and message.payload_type == NOTICE and state in _OFFERED_AGAIN:
            return Followed(handover=HandoverEffect.IF_OFFERED_AGAIN)
        back = message.payload_type == "release.cancelled" and state == State.EFFECTIVE
        if dates is None or state in HANDOVER.finals or (state == State.EFFECTIVE and not back):
            return Followed(handover=HandoverEffect.NOTHING)
        if dates.trigger.event is not TriggerEvent.RELEASE_NOTICE:
            over = state == State.EFFECTIVE
            return Followed(handover=HandoverEffect.NOTHING if over else HandoverEffect.ON_ITS_DAY)
        payload = decode_payload(KINDS[message.payload_type], message.payload)
        if isinstance(payload, ReleaseNotice):
            if payload.released_at > self._clock():
                raise InvalidInput("A release notice tells of a release that has happened.")
            if state not in AGREED:
                # Whoever has not answered is called, and the clocks are set anew.
                await self._threads.refold(tx, row)
                return Followed(steps=True, handover=HandoverEffect.ONCE_ACCEPTED)
            at = max(payload.released_at, agreed_at(history))
            step = Step(event=Event.TAKE_EFFECT, fields={"effective_at": at}, officer=said.officer)
        elif state == State.EFFECTIVE:
            fields = {"reason": HandoverEndReason.RELEASE_CANCELLED}
            step = Step(event=Event.FAIL, fields=fields, officer=said.officer)
        else:
            await self._threads.refold(tx, row)
            return Followed(steps=True, handover=HandoverEffect.STILL_WAITS)
        await self._moving.within(tx, row.thread, step)
        return Followed(steps=True, handover=HandoverEffect.MOVED)
