# SPDX-License-Identifier: Apache-2.0
"""How far a message has come, in words for people: at the hub is no acceptance, and no person need have opened it."""

from collections.abc import Mapping
from typing import Final

from protocol.http.handovers import MessageState

COME: Final[Mapping[str, str]] = {
    MessageState.QUEUED: "waiting to be sent",
    MessageState.ACCEPTED: "at the hub",
    MessageState.OPENED: "opened by the recipient's system",
    MessageState.FAILED: "not delivered",
    MessageState.EXPIRED: "not collected in time",
    MessageState.RECEIVED: "received",
    MessageState.HELD: "waiting for an earlier message",
    MessageState.DAMAGED: "damaged",
    "sealed": "waiting to be sent",
}
"""The words of a print's table `journey`; what is sealed here waits as well."""


def come(state: str) -> str:
    """Return how far a message has come; the code itself for one of another version."""
    return COME.get(state, state)
