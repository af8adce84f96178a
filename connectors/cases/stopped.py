# SPDX-License-Identifier: Apache-2.0
"""What a thread that was stopped keeps back: sections of ours that have not left, and what came in error.

A consent that was withdrawn, or a record that goes to the wrong desk, must not leave because a line was down or because
the wrong desk has a new machine. The message goes out all the same, without its sections: its line and the order of the
thread stay whole. What is sealed already and certainly still here is called back, and sealed anew so (CON-22). What
came before a thread was entered in error stays stored, as evidence, and is shown to nobody (CON-26).
"""

from dataclasses import dataclass
from typing import Final

from connectors.cases import consents
from connectors.cases.answering import is_unnoted
from connectors.cases.sides import ROLES
from connectors.composition import Composer, Share
from connectors.faults import DAMAGED
from connectors.store import attempts, moves, outgoing, recipients, threads, untried
from connectors.store.attempts import AttemptState
from connectors.store.engine import Transaction
from connectors.store.incoming import ReceivedMessage
from connectors.store.outgoing import OutgoingMessage
from connectors.store.recipients import RecipientState
from connectors.store.sealings import CALLED_BACK
from connectors.store.threads import Standing, ThreadRow
from connectors.store.untried import Untried
from keys.sealing import SectionDraft
from protocol.address import agency_of
from protocol.envelope import parse_envelope
from protocol.errors import IllegalTransition
from protocol.handover import WithheldReason
from protocol.ids import MessageId, ThreadId
from protocol.kinds.alerting import NEVER_HALF
from protocol.kinds.catalogue import KINDS
from protocol.lifecycle import handover, referral

_STOPPED: Final = {
    referral.State.BLOCKED_CONSENT.value: WithheldReason.BLOCKED,
    referral.State.ENTERED_IN_ERROR.value: WithheldReason.IN_ERROR,
}
_WITHDRAWN: Final = frozenset(
    {
        referral.State.CANCEL_REQUESTED.value,
        referral.State.CANCELLED.value,
        handover.State.WITHDRAWN.value,
    }
)
_WHOLE: Final = (
    "An alert goes whole or not at all: send it with its sections as a message of its own, which names no thread."
)
IN_ERROR: Final = referral.State.ENTERED_IN_ERROR.value
"""A state of both machines. Between two sides no row leads out of it; a copy follows what its sender says later."""
_STOPS: Final = frozenset({referral.Event.BLOCK.value, referral.Event.ENTERED_IN_ERROR.value})
_WITHDRAWALS: Final = frozenset(kind.name for kind in KINDS.values() if kind.event == referral.Event.WITHDRAW.value)


async def withheld_for(tx: Transaction, message: OutgoingMessage | Untried) -> WithheldReason | None:
    """Return why no section of `message` may be sealed any more, or None where its thread was not stopped.

    It goes by what stands in clear of the thread, which a damaged row has too (CON-8). What the stopping step itself
    says goes along with it.
    """
    standing = await threads.standing(tx, message.thread)
    kind = KINDS.get(message.payload_type)
    if standing is None or (kind is not None and kind.event in _STOPS):
        return None
    if message.payload_type in NEVER_HALF and await _goes_all_the_same(tx, message.message_id, standing.state):
        return None
    if standing.state in _STOPPED:
        return _STOPPED[standing.state]
    ours = standing.machine in ROLES and standing.side == ROLES[standing.machine].begins
    if not ours or standing.state not in _WITHDRAWN:
        return None
    # What the other side writes of its work is no part of what was withdrawn, nor is what was written afterwards.
    later = await outgoing.is_followed_by(tx, message.message_id, _WITHDRAWALS)
    return WithheldReason.WITHDRAWN if later else None


async def _goes_all_the_same(tx: Transaction, alert: MessageId, state: str) -> bool:
    """Tell whether an alert goes out whole in a thread that stands so: nobody is silent of a danger (KIND-8).

    Work that is not wanted any more is no reason, nor is a consent that is gone, but for what rested on it.
    """
    if state != referral.State.BLOCKED_CONSENT:
        return state != IN_ERROR
    try:
        return not consents.resting_on_consent(await outgoing.load(tx, alert))
    except DAMAGED:
        return False


def may_stop(state: str) -> bool:
    """Tell whether something that was said in a thread that stands so may have to stay here."""
    return state in _STOPPED or state in _WITHDRAWN


async def call_back(tx: Transaction, thread: ThreadId, now: int) -> int:
    """Queue anew, at `now` (ms UTC), what is sealed with sections that may not go any more; return for how many desks.

    Only what certainly never left: the hub may have any other (CON-1). A sealing that nobody got is none of the few
    that a message has (SEQ-6).
    """
    queued = 0
    for one in await untried.of_thread(tx, thread):
        if one.raw and len(parse_envelope(one.raw).sections) == 1:
            continue
        rows = [
            row
            for row in await recipients.of(tx, one.message_id)
            if row.envelope_id == one.envelope_id and row.state is RecipientState.SEALED
        ]
        if await withheld_for(tx, one) is None and not await consents.may_not_go(tx, one.message_id, rows):
            continue
        await attempts.close(tx, one.envelope_id, AttemptState.LAPSED, CALLED_BACK)
        for row in rows:
            await recipients.call_back(tx, row, now=now, error=CALLED_BACK)
        queued += len(rows)
    return queued


def is_withheld(standing: Standing | ThreadRow | None) -> bool:
    """Tell whether a thread of which this side was told, or got a copy, was entered in error (CON-26)."""
    if standing is None or standing.state != IN_ERROR:
        return False
    return standing.machine not in ROLES or standing.side != ROLES[standing.machine].begins


async def withheld_here(tx: Transaction, message: ReceivedMessage) -> str | None:
    """Return why nobody is shown what came in the sections of `message`, or None (CON-26)."""
    if not await _came_in_error(tx, message):
        return None
    # Of an alert that its desk has not noted its sender believes that it is known (KIND-8).
    return None if _is_alert(message) and await is_unnoted(tx, message) else IN_ERROR


async def shown_in_error(tx: Transaction, message: ReceivedMessage) -> bool:
    """Tell whether a message is an alert that is shown although what came with it is withheld, until it is noted."""
    return _is_alert(message) and await _came_in_error(tx, message) and await is_unnoted(tx, message)


async def _came_in_error(tx: Transaction, message: ReceivedMessage) -> bool:
    """Tell whether a message came before the step by which its own side entered the thread in error.

    It goes by what stands in clear. What the hub accepted after that step was written by somebody who could know of it,
    and so was what a third agency says there: an alert must not vanish.
    """
    standing = await threads.standing(tx, message.thread)
    if standing is None or not is_withheld(standing):
        return False
    kind = KINDS.get(message.payload_type)
    if agency_of(message.sender_desk) != agency_of(standing.peer_desk) or (kind and kind.event == IN_ERROR):
        return False
    ended = await moves.index_of(tx, message.thread, IN_ERROR)
    return ended is None or message.leaf_index < ended


def _is_alert(message: ReceivedMessage) -> bool:
    return message.payload_type in NEVER_HALF


async def check_open(tx: Transaction, thread: ThreadId, kind: str) -> None:
    """Raise `IllegalTransition` for sections that somebody would send into a thread in which none may go.

    They are of a message of `kind`: an alert without them says nothing of whom or what (KIND-8).
    """
    standing = await threads.standing(tx, thread)
    if standing is not None and standing.state in _STOPPED:
        whole = kind in NEVER_HALF
        raise IllegalTransition(
            f"No section may go while the {standing.machine} is {standing.state}. "
            + (_WHOLE if whole else "Send the message without sections, or in another thread.")
        )


@dataclass(frozen=True, slots=True)
class Withholding:
    """Withholds each section of a message, whoever is to get it."""

    composer: Composer
    reason: WithheldReason

    def sections(self, message: OutgoingMessage) -> tuple[SectionDraft, ...]:
        """Return all sections of the message, of which none goes."""
        return self.composer.sections(message)

    def share(self, message: OutgoingMessage, function: str) -> Share:
        """Return nothing for any function, and the one reason for each section."""
        drafts = self.composer.sections(message)
        return Share(withheld=tuple((draft.category, self.reason.value) for draft in drafts))
