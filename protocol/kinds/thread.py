# SPDX-License-Identifier: Apache-2.0
"""What is said about a thread itself, as notices: they have no sections and never wait for a gap."""

from typing import Annotated, Literal

from pydantic import Field

from protocol.kinds.base import HELD, Code, MessageKind, MessageRef, Payload
from protocol.rows import EnvelopeClass


class ThreadConflict(Payload):
    """`thread.conflict`: a move of the other side came too late for the state that the thread was in (LIF-4).

    It says what the sender can compute for itself, signed: which move, at which leaf index, and the state there.
    """

    kind: Literal["thread.conflict"] = "thread.conflict"
    move: MessageRef
    leaf_index: Annotated[int, Field(ge=0), HELD]
    state: Code


THREAD_KINDS: tuple[MessageKind, ...] = (
    MessageKind(number=8, name="thread.conflict", payload=ThreadConflict, klass=EnvelopeClass.NOTICE, acks=frozenset()),
)
