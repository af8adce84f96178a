# SPDX-License-Identifier: Apache-2.0
"""Which messages somebody must hear of at once, without looking for them (KIND-6)."""

from protocol.content import Content
from protocol.errors import MalformedEnvelope
from protocol.kinds.catalogue import KINDS, decode_payload
from protocol.kinds.community import AlertRisk, AlertSafeguarding, AppointmentAttendance, Attendance

NEVER_HALF = frozenset({"alert.risk", "alert.safeguarding"})
"""Kinds that go whole or not at all: who is in danger, and from whom, must not be missing (KIND-8)."""
_MAY_ALERT = {
    "alert.risk": AlertRisk,
    "alert.safeguarding": AlertSafeguarding,
    "appointment.attendance": AppointmentAttendance,
}


def alert_of(payload: Content) -> str | None:
    """Return why a message is an alert, or None."""
    match payload:
        case AlertRisk():
            return "risk"
        case AlertSafeguarding():
            return "safeguarding"
        case AppointmentAttendance(attendance=Attendance.NO_SHOW):
            return "no-show"
        case _:
            return None


def alert_in(payload_type: str, payload: bytes) -> str | None:
    """Return the same of a message's section 0; most kinds are never read for it."""
    if payload_type not in _MAY_ALERT:
        return None
    try:
        return alert_of(decode_payload(KINDS[payload_type], payload))
    except MalformedEnvelope:
        return None
