# SPDX-License-Identifier: Apache-2.0
"""What the sender of a handover said of the instant, and what came of it: for himself, and for the copies (HAN-16).

A step of his can come to stand behind one of the receiver's that lets it have no effect (LIF-4). Both sides know that
from the order of the log. He himself was told that it was done, and a desk with a copy has nothing but his word.
"""

from typing import Final

from protocol.lifecycle.handover import AT_COPY, FINAL, TOLD, Actor, Event, State, lead
from protocol.lifecycle.history import GIVEN_UP, History, Move, Step

_MOVES_LEAD: Final = (Event.TAKE_EFFECT, Event.FAIL)
ENDS: Final = (Event.DECLINE, Event.COMPLETE, Event.ENTERED_IN_ERROR)
"""What the receiver ends a handover, or an offer, with; behind anything else the step was refused for want of an own
one that was given up, which is told as a lost message (SEQ-11)."""
_SENDERS: Final = (Actor.SENDER, Actor.CLOCK)


def in_vain(history: History) -> tuple[Move, Move] | None:
    """Return the sender's last step that was to move the lead, and the other side's for which it did not (HAN-16).

    None while its place is not known, where it was given up (SEQ-11), where the lead is where it was to go, and once
    the sender has gone on from there: he knows.
    """
    for place, step in reversed(list(enumerate(history.steps))):
        if step.move.event not in _MOVES_LEAD:
            continue
        if step.refused in (None, GIVEN_UP) or step.move.index is None:
            return None
        if lead(AT_COPY[step.move.event]) == lead(State(history.state)):
            return None
        if any(one.refused is None and one.move.actor == Actor.SENDER for one in history.steps[place:]):
            return None
        before = [one for one in history.steps[:place] if one.refused is None and one.after.state != one.before.state]
        if not before or before[-1].move.event not in ENDS or before[-1].move.actor in _SENDERS:
            return None
        return step.move, before[-1].move
    return None


def standing(history: History) -> Step | None:
    """Return the last step of those that copies are told of that had effect; None where only the offer had."""
    return next((step for step in reversed(history.steps) if not step.refused and step.move.event in TOLD), None)


def misled(history: History, newest: str) -> bool:
    """Tell whether a copy to which `newest` was said last is wrong about who leads, or whether anything goes on.

    What the receiver ended as entered in error is told by HAN-11.
    """
    state = State(history.state)
    if state == State.ENTERED_IN_ERROR:
        return False
    believed, step = AT_COPY[newest], standing(history)
    if believed == (State.OFFERED if step is None else AT_COPY[step.move.event]):
        return False
    return lead(believed) != lead(state) or (believed in FINAL and state not in FINAL)
