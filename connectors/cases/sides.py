# SPDX-License-Identifier: Apache-2.0
"""Whose move a message is, in the words of a life cycle's table."""

from dataclasses import dataclass
from typing import Final

from protocol.content import Content
from protocol.lifecycle import handover, referral
from protocol.lifecycle.handover import HANDOVER
from protocol.lifecycle.machine import Machine
from protocol.lifecycle.referral import REFERRAL

STRANGER: Final = "stranger"
"""Somebody who is on neither side; no row of any table names it."""
OBSERVER: Final = "observer"
"""The side of an agency that was sent a copy and has no part in it."""


@dataclass(frozen=True, slots=True)
class Roles:
    """The words of one machine: who begins a thread, who answers, and what the automatic receipt is."""

    machine: Machine
    begins: str
    answers: str
    clock: str
    protection: str
    begin: str
    receipt: str
    copied: Machine | None = None
    """How a desk follows the thread that got a copy of its beginning, where the sender tells it."""
    told: frozenset[str] = frozenset()
    """The beginner's moves that go to those desks too (HAN-5)."""
    binding: frozenset[str] = frozenset()
    """The beginner's moves that need no answer, and nothing but that the other side has the beginning."""

    @property
    def receipt_step(self) -> tuple[str, str]:
        """The event and the actor of the automatic receipt."""
        return self.receipt, self.answers

    def other(self, side: str) -> str:
        """Return the other side."""
        return self.answers if side == self.begins else self.begins

    def actor(self, side: str, event: str, payload: Content) -> str:
        """Return as whom `side` makes a move: itself, time, or its data-protection officer.

        Time is the beginner's connector alone (it signs those moves), so an answering side can never act as the clock.
        """
        if getattr(payload, "capacity", None) is not None:
            return self.protection
        able = {actor for row in self.machine.rows if row.event == event for actor in row.actors}
        if side not in able and self.clock in able and side == self.begins:
            return self.clock
        return side


ROLES: Final = {
    REFERRAL.name: Roles(
        machine=REFERRAL,
        begins=referral.Actor.REQUESTER,
        answers=referral.Actor.RECIPIENT,
        clock=referral.Actor.CLOCK,
        protection=referral.Actor.PROTECTION,
        begin=referral.Event.SEND,
        receipt=referral.Event.RECEIVE,
    ),
    HANDOVER.name: Roles(
        machine=HANDOVER,
        begins=handover.Actor.SENDER,
        answers=handover.Actor.RECEIVER,
        clock=handover.Actor.CLOCK,
        protection=handover.Actor.PROTECTION,
        begin=handover.Event.OFFER,
        receipt=handover.Event.RECEIVE,
        copied=handover.COPY,
        told=handover.TOLD,
        binding=frozenset({handover.Event.BIND}),
    ),
}
"""The two machines of this project, by name."""
