# SPDX-License-Identifier: Apache-2.0
"""What is said about a thread or a message itself: a conflict as a notice, and an answer to what moves no thread."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from protocol.clocks import Ack
from protocol.kinds.base import HELD, Code, MessageKind, MessageRef, OfficerRef, Payload, declared
from protocol.rows import EnvelopeClass


class ThreadConflict(Payload):
    """`thread.conflict`: a move of the other side came too late for the state that the thread was in (LIF-4).

    It says what the sender can compute for itself, signed: which move, at which leaf index, and the state there.
    """

    kind: Literal["thread.conflict"] = "thread.conflict"
    move: MessageRef
    leaf_index: Annotated[int, Field(ge=0), HELD]
    state: Code


class Answer(StrEnum):
    """What is said to a message: that it was noted, or what becomes of what it asks."""

    NOTED = "noted"
    AGREED = "agreed"
    IN_PART = "in-part"
    NOT_POSSIBLE = "not-possible"


class MessageAnswer(Payload):
    """`message.answer`: a named officer has noted a message (A2), or answers it (A3); words are in a section."""

    kind: Literal["message.answer"] = "message.answer"
    answers: MessageRef
    officer: OfficerRef
    answer: Annotated[Answer, HELD]

    @property
    def ack(self) -> Ack:
        """Which rung of the ladder it is."""
        return Ack.A2 if self.answer is Answer.NOTED else Ack.A3


THREAD_KINDS: tuple[MessageKind, ...] = (
    declared(8, MessageAnswer),
    MessageKind(number=8, name="thread.conflict", payload=ThreadConflict, klass=EnvelopeClass.NOTICE, acks=frozenset()),
)
