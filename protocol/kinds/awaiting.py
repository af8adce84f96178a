# SPDX-License-Identifier: Apache-2.0
"""Until when a message that moves no thread has to be noted and answered, and by what it is (KIND-7).

Pure. An alert runs as an emergency does, day and night, whatever priority it names; everything else by the span of its
kind, or by that of its priority where this is not the normal one and ends earlier.
"""

from collections.abc import Mapping
from datetime import date
from typing import Final

from protocol.clocks import SPANS, Ack, Calendar, deadline
from protocol.content import Content
from protocol.handover import Priority
from protocol.kinds.base import MessageKind, Payload
from protocol.kinds.catalogue import KINDS, SENT_HERE
from protocol.kinds.community import AlertRisk, AlertSafeguarding
from protocol.kinds.records import CeaseReceipt, OverrideReviewed, RecordRequest, RecordShare
from protocol.kinds.release import PrereleaseStart
from protocol.kinds.thread import MessageAnswer

_BY_PEOPLE: Final = frozenset({Ack.A2, Ack.A3})
AWAITED: Final[Mapping[str, frozenset[Ack]]] = {
    name: KINDS[name].acks & _BY_PEOPLE for name in sorted(SENT_HERE) if KINDS[name].acks & _BY_PEOPLE
}
"""Kinds that somebody has to note, to answer, or both."""
ANSWERING: Final = frozenset({"message.answer", "record.share", "cease.receipt", "override.reviewed"})
"""Kinds by which an earlier message can be answered."""
_ALERTS: Final = frozenset(str(one.model_fields["kind"].default) for one in (AlertRisk, AlertSafeguarding))


def times(kind: str, payload: Content | None, since: int, calendar: Calendar) -> Mapping[Ack, int]:
    """Return until when (ms UTC) a message of `kind` that began to wait at `since` is to be noted and answered.

    `calendar` is that of the agency that has to. Of a message that cannot be read any more (None) the kind says it.
    """
    found = {ack: _until(KINDS[kind], ack, payload, since, calendar) for ack in AWAITED[kind]}
    if len(found) > 1:
        # Nobody answers what nobody has taken up.
        found[Ack.A2] = min(found.values())
    return found


def answer_in(payload: Content) -> tuple[str, Ack] | None:
    """Return which message (its id as text) a message answers, and how far: noted, or answered; None if none."""
    match payload:
        case MessageAnswer():
            return payload.answers, payload.ack
        case RecordShare(answers=str() as asked):
            return asked, Ack.A3
        case CeaseReceipt():
            return payload.notice, Ack.A3
        case OverrideReviewed():
            return payload.invoked, Ack.A3
        case _:
            return None


def _until(kind: MessageKind, ack: Ack, payload: Content | None, since: int, calendar: Calendar) -> int:
    said = named(payload) if ack is Ack.A3 else None
    if isinstance(said, int):
        return said
    if said is not None:
        return calendar.close_of(said)
    priority = payload.priority if isinstance(payload, Payload) else Priority.NORMAL
    usual = SPANS[Priority.EMERGENCY if kind.name in _ALERTS else priority][ack]
    if kind.due is None or (ack is Ack.A2 and Ack.A3 in kind.acks):
        return deadline(since, usual, calendar, now=since)
    due = deadline(since, kind.due, calendar, now=since)
    if priority is Priority.NORMAL:
        return due
    return min(due, deadline(since, SPANS[priority][ack], calendar, now=since))


def named(payload: Content | None) -> int | date | None:
    """Return the day or moment that its sender names for an answer."""
    return payload.answer_by if isinstance(payload, AlertRisk | PrereleaseStart | RecordRequest) else None
