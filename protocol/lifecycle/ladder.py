# SPDX-License-Identifier: Apache-2.0
"""The acknowledgement ladder: opened, acknowledged, answered; each rung with its own time and signer (LIF-5)."""

from collections.abc import Mapping
from dataclasses import dataclass

from protocol.clocks import Ack
from protocol.ids import MessageId
from protocol.lifecycle import handover, referral
from protocol.lifecycle.history import History

_RUNGS: Mapping[str, Mapping[str, Ack]] = {
    "referral": {
        referral.Event.RECEIVE: Ack.A1,
        referral.Event.ACKNOWLEDGE: Ack.A2,
        referral.Event.ASK: Ack.A2,
        referral.Event.ACCEPT: Ack.A3,
        referral.Event.ACCEPT_PART: Ack.A3,
        referral.Event.DECLINE: Ack.A3,
    },
    "handover": {
        handover.Event.RECEIVE: Ack.A1,
        handover.Event.ACKNOWLEDGE: Ack.A2,
        handover.Event.ACCEPT: Ack.A3,
        handover.Event.ACCEPT_PART: Ack.A3,
        handover.Event.DECLINE: Ack.A3,
    },
}
_BEGINS = frozenset({referral.Event.REOPEN, referral.Event.APPEAL, handover.Event.OFFER_AGAIN})


@dataclass(frozen=True, slots=True)
class Rung:
    """Who stood on it, when (ms UTC, the hub's time of acceptance), and which message proves it."""

    at: int
    signer: str
    message_id: MessageId


def ladder(history: History) -> dict[Ack, Rung]:
    """Return the rungs that were reached in the present round, the first to reach each; a new round begins anew.

    An officer's question shows that a named officer has taken the referral up, so it counts as A2.
    """
    rungs: dict[Ack, Rung] = {}
    named = _RUNGS.get(history.machine.name, {})
    for step in history.done:
        if step.move.event in _BEGINS:
            rungs.pop(Ack.A2, None)
            rungs.pop(Ack.A3, None)
        ack = named.get(step.move.event)
        if ack is not None and ack not in rungs:
            rungs[ack] = Rung(step.move.at, step.move.signer, step.move.message_id)
    return rungs
