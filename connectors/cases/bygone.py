# SPDX-License-Identifier: Apache-2.0
"""Dates that are over when they are written: papers come late, so nothing is refused, but whoever writes is told."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from connectors.store.outgoing import OutgoingMessage
from protocol.limits import SECOND

_AHEAD: Final = frozenset(
    {
        "acknowledge_by",
        "answer_by",
        "due",
        "expected_on",
        "first_appointment",
        "meets_at",
        "next_appointment",
        "release_on",
        "retain_until",
        "review_on",
        "start_by",
    }
)
"""Fields that say what is still to come, in whatever kind they stand."""
_AHEAD_IN: Final = {
    "appointment.changed": frozenset({"appointment"}),
    "appointment.scheduled": frozenset({"appointment"}),
    "override.invoked": frozenset({"until"}),
    "referral.schedule": frozenset({"appointment"}),
    "release.date-changed": frozenset({"becomes"}),
}
"""Those that do so in one kind; in others the same field says what was."""


def bygone(message: OutgoingMessage) -> tuple[str, ...]:
    """Return the fields of a message of ours whose date or time was over when it was written.

    A day is over when it is so in UTC: in the region that is an hour or two later, never earlier.
    """
    ahead = _AHEAD | _AHEAD_IN.get(message.payload_type, frozenset())
    today = datetime.fromtimestamp(message.created_at // SECOND, UTC).date().isoformat()
    return tuple(
        name
        for name, value in _fields(json.loads(message.payload))
        if name in ahead
        and (value < today if isinstance(value, str) else isinstance(value, int) and value < message.created_at)
    )


def _fields(payload: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from payload.items()
    for part in ("terms", "trigger"):
        if isinstance(inside := payload.get(part), dict):
            yield from _fields(inside)
