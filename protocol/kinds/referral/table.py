# SPDX-License-Identifier: Apache-2.0
"""The referral and its answers, kinds 7 and 8: one kind for each event of the referral's table.

What the table's rows need stands in these models as required fields; words (a reason in a sentence, a question, a
report) stand in sections. `text` in the table is such a section.
"""

from protocol.clocks import Ack, Span
from protocol.kinds.base import (
    MessageKind,
    declared,
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


REFERRAL_KINDS: tuple[MessageKind, ...] = (
    declared(7, Request, _A123, step=(REFERRAL, Event.SEND)),
    declared(8, Acknowledge, step=(REFERRAL, Event.ACKNOWLEDGE)),
    declared(8, Escalate, step=(REFERRAL, Event.ESCALATE)),
    declared(8, Ask, _A12, step=(REFERRAL, Event.ASK)),
    declared(8, Answer, step=(REFERRAL, Event.ANSWER)),
    declared(8, CannotAnswer, step=(REFERRAL, Event.CANNOT_ANSWER)),
    declared(8, Accept, step=(REFERRAL, Event.ACCEPT)),
    declared(8, AcceptPart, step=(REFERRAL, Event.ACCEPT_PART)),
    declared(8, Decline, step=(REFERRAL, Event.DECLINE)),
    declared(8, DeclineLate, step=(REFERRAL, Event.DECLINE_LATE)),
    declared(8, Schedule, step=(REFERRAL, Event.SCHEDULE)),
    declared(8, Attended, step=(REFERRAL, Event.ATTENDED)),
    declared(8, NoShow, step=(REFERRAL, Event.NO_SHOW)),
    declared(8, AppointmentCancelled, step=(REFERRAL, Event.APPOINTMENT_CANCELLED)),
    declared(8, Progress, step=(REFERRAL, Event.PROGRESS)),
    declared(8, Hold, step=(REFERRAL, Event.HOLD)),
    declared(8, Resume, step=(REFERRAL, Event.RESUME)),
    declared(8, Withdraw, due=Span(working_days=5), step=(REFERRAL, Event.WITHDRAW)),
    declared(8, ConfirmCancel, step=(REFERRAL, Event.CONFIRM_CANCEL)),
    declared(8, Lapse, step=(REFERRAL, Event.LAPSE)),
    declared(8, Finish, step=(REFERRAL, Event.FINISH)),
    declared(8, Complete, step=(REFERRAL, Event.COMPLETE)),
    declared(8, EndEarly, step=(REFERRAL, Event.END_EARLY)),
    declared(8, Close, step=(REFERRAL, Event.CLOSE)),
    declared(8, Expire, step=(REFERRAL, Event.EXPIRE)),
    declared(8, Block, step=(REFERRAL, Event.BLOCK)),
    declared(8, Unblock, step=(REFERRAL, Event.UNBLOCK)),
    declared(8, EnteredInError, step=(REFERRAL, Event.ENTERED_IN_ERROR)),
    declared(8, Reassign, step=(REFERRAL, Event.REASSIGN)),
    declared(8, ProposeForward, _A12, step=(REFERRAL, Event.PROPOSE_FORWARD)),
    declared(8, ApproveForward, step=(REFERRAL, Event.APPROVE_FORWARD)),
    declared(8, CustodyMoved, _A12, step=(REFERRAL, Event.CUSTODY_MOVED)),
    declared(8, Reopen, _A12, step=(REFERRAL, Event.REOPEN)),
    declared(8, Appeal, _A12, step=(REFERRAL, Event.APPEAL)),
)
"""One kind for each event of the table, but for the automatic receipt, which is `receipt.opened`."""
