# SPDX-License-Identifier: Apache-2.0
"""Where a message stands in its thread: next, ahead of a gap, or on a fork (SEQ-1, SEQ-2)."""

from dataclasses import dataclass
from enum import Enum

from protocol.ids import MessageId
from protocol.rows import Box


class Placement(Enum):
    """What to do with a message by its box."""

    DELIVER = "deliver"
    HOLD = "hold"
    FORK = "fork"


@dataclass(frozen=True, slots=True)
class Position:
    """How far one (thread, sending desk, recipient desk) has been delivered; `last` is None before the first."""

    seq: int = 0
    last: MessageId | None = None


def place(position: Position, box: Box) -> Placement:
    """Tell what to do with a new message that carries `box`, given what was delivered before.

    Whether the message_id is new is the caller's question (ENV-19): a known one has no second effect. A new one at or
    before `position`, or at the next place after another predecessor, is a fork.
    """
    if box.seq <= position.seq:
        return Placement.FORK
    if box.seq > position.seq + 1:
        return Placement.HOLD
    return Placement.DELIVER if box.previous == position.last else Placement.FORK
