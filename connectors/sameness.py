# SPDX-License-Identifier: Apache-2.0
"""Whether what comes under a known message_id is that message (SEQ-5)."""

from collections import Counter
from dataclasses import replace

from connectors.store.incoming import IncomingState, ReceivedMessage
from protocol.errors import SequenceError


def check_same(first: ReceivedMessage, again: ReceivedMessage) -> None:
    """Raise `SequenceError` unless `again` is `first` sealed anew (SEQ-5).

    A1 says that the message was opened. Were other content answered under a known message_id, its sender would hold
    a signed word for something that nobody here ever saw. Sections may be fewer: what goes is decided at every
    sealing (CON-7).
    """
    if _identity(first) != _identity(again):
        raise SequenceError("A message came again under its id, but is not the same message.")
    if not _contents(again) <= _contents(first):
        raise SequenceError("A message came again under its id with another section.")


def _identity(message: ReceivedMessage) -> tuple[object, ...]:
    return (
        message.thread,
        message.klass,
        message.payload_type,
        message.payload_version,
        message.payload,
        message.label,
        message.seq,
        message.previous,
    )


def _contents(message: ReceivedMessage) -> Counter[tuple[str, str, str, bytes]]:
    # Without numbers: a section that goes to fewer desks is counted anew in each envelope.
    return Counter((one.category, one.purpose, one.label, one.body) for one in message.sections)


def is_numbered_anew(first: ReceivedMessage, again: ReceivedMessage) -> bool:
    """Tell whether `again` is `first`, which waits, under a higher number of the same line (SEQ-12)."""
    if first.state is not IncomingState.HELD or again.seq <= first.seq:
        return False
    moved = replace(again, seq=first.seq, previous=first.previous)
    return _identity(first) == _identity(moved) and _contents(again) <= _contents(first)
