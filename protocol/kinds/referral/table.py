# SPDX-License-Identifier: Apache-2.0
"""The referral and its answers, kinds 7 and 8: one kind for each event of the referral's table.

What the table's rows need stands in these models as required fields; words (a reason in a sentence, a question, a
report) stand in sections. `text` in the table is such a section.
"""

from protocol.clocks import Ack, Span
from protocol.kinds.base import (
    MessageKind,
    Payload,
)
from protocol.kinds.referral.deciding import (
    Accept,
    AcceptPart,
    Acknowledge,
    Answer,
    ApproveForward,
    Ask,
    CannotAnswer,
    Decline,
    DeclineLate,
    Escalate,
    ProposeForward,
    Reassign,
)
from protocol.kinds.referral.ending import (
    Appeal,
    Block,
    ConfirmCancel,
    CustodyMoved,
    EnteredInError,
    Expire,
    Lapse,
    Reopen,
    Unblock,
    Withdraw,
)
from protocol.kinds.referral.request import (
    Request,
)
from protocol.kinds.referral.serving import (
    AppointmentCancelled,
    Attended,
    Close,
    Complete,
    EndEarly,
    Finish,
    Hold,
    NoShow,
    Progress,
    Resume,
    Schedule,
)
from protocol.lifecycle.referral import REFERRAL, Event

_A12 = frozenset({Ack.A1, Ack.A2})
_A123 = frozenset(Ack)


def _kind(
    event: Event, payload: type[Payload], acks: frozenset[Ack] = frozenset({Ack.A1}), due: Span | None = None
) -> MessageKind:
    name = str(payload.model_fields["kind"].default)
    number = 7 if event is Event.SEND else 8
    return MessageKind(number=number, name=name, payload=payload, machine=REFERRAL, event=event, acks=acks, due=due)


REFERRAL_KINDS: tuple[MessageKind, ...] = (
    _kind(Event.SEND, Request, _A123),
    _kind(Event.ACKNOWLEDGE, Acknowledge),
    _kind(Event.ESCALATE, Escalate),
    _kind(Event.ASK, Ask, _A12),
    _kind(Event.ANSWER, Answer),
    _kind(Event.CANNOT_ANSWER, CannotAnswer),
    _kind(Event.ACCEPT, Accept),
    _kind(Event.ACCEPT_PART, AcceptPart),
    _kind(Event.DECLINE, Decline),
    _kind(Event.DECLINE_LATE, DeclineLate),
    _kind(Event.SCHEDULE, Schedule),
    _kind(Event.ATTENDED, Attended),
    _kind(Event.NO_SHOW, NoShow),
    _kind(Event.APPOINTMENT_CANCELLED, AppointmentCancelled),
    _kind(Event.PROGRESS, Progress),
    _kind(Event.HOLD, Hold),
    _kind(Event.RESUME, Resume),
    _kind(Event.WITHDRAW, Withdraw, due=Span(working_days=5)),
    _kind(Event.CONFIRM_CANCEL, ConfirmCancel),
    _kind(Event.LAPSE, Lapse),
    _kind(Event.FINISH, Finish),
    _kind(Event.COMPLETE, Complete),
    _kind(Event.END_EARLY, EndEarly),
    _kind(Event.CLOSE, Close),
    _kind(Event.EXPIRE, Expire),
    _kind(Event.BLOCK, Block),
    _kind(Event.UNBLOCK, Unblock),
    _kind(Event.ENTERED_IN_ERROR, EnteredInError),
    _kind(Event.REASSIGN, Reassign),
    _kind(Event.PROPOSE_FORWARD, ProposeForward, _A12),
    _kind(Event.APPROVE_FORWARD, ApproveForward),
    _kind(Event.CUSTODY_MOVED, CustodyMoved, _A12),
    _kind(Event.REOPEN, Reopen, _A12),
    _kind(Event.APPEAL, Appeal, _A12),
)
"""One kind for each event of the table, but for the automatic receipt, which is `receipt.opened`."""
