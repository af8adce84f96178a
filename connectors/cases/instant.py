# SPDX-License-Identifier: Apache-2.0
"""When an officer can say that a lead has moved: on record must stand what was so (HAN-2, HAN-3, HAN-8)."""

from collections.abc import Sequence
from typing import Final

from connectors.cases.terms import dates_of
from connectors.store.moves import MoveRow
from connectors.store.outgoing import OutgoingMessage
from protocol.clocks import Calendar
from protocol.errors import IllegalTransition
from protocol.http.problems import FieldError, InvalidFields
from protocol.kinds.catalogue import KINDS, decode_payload
from protocol.kinds.handover import TakeEffect
from protocol.lifecycle.handover_timers import earliest
from protocol.lifecycle.history import History

_NOT_YET: Final = (
    "A day was agreed, and it has not come: the handover takes effect on it by itself. `change-date` names another day."
)
_WHEN: Final = "The instant lies between the moment when the handover was accepted, or its day begins, and now."


def check_instant(message: OutgoingMessage, history: History, stored: Sequence[MoveRow], calendar: Calendar) -> None:
    """Raise for an instant by hand that cannot be one; any message of ours that is none passes.

    `IllegalTransition` before the day that was agreed (HAN-3), `InvalidFields` for a moment before the receiver had
    accepted (HAN-8) or one that has not come. `calendar` is the receiver's.
    """
    payload = decode_payload(KINDS[message.payload_type], message.payload)
    dates = dates_of(history, stored)
    if not isinstance(payload, TakeEffect) or dates is None:
        return
    first, now = earliest(history, dates, calendar), message.created_at
    if dates.trigger.event is None and first > now:
        raise IllegalTransition(_NOT_YET)
    # The hub says when somebody accepted, and its clock may be a little ahead of ours.
    if not min(first, now) <= payload.effective_at <= max(first, now):
        raise InvalidFields([FieldError("/fields/effective_at", "not-allowed")], _WHEN)
