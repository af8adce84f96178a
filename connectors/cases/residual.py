# SPDX-License-Identifier: Apache-2.0
"""What is left of a referral that was accepted in part, and the draft that asks somebody else for it (REF-6)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from connectors.store.moves import MoveRow
from connectors.store.threads import ThreadRow
from protocol import ids
from protocol.ids import Kind
from protocol.kinds.catalogue import decode_payload, kind_for
from protocol.kinds.referral.deciding import AcceptPart
from protocol.kinds.referral.request import DuplicateCheck, Request
from protocol.lifecycle.history import History
from protocol.lifecycle.referral import REFERRAL, Event

_OF_THE_OLD: Final = frozenset(
    {"kind", "version", "subject", "occurred_at", "register_numbers", "supersedes", "reopens", "forwards"}
)
"""Fields that a new referral has of its own or not at all."""


@dataclass(frozen=True, slots=True)
class Residual:
    """The services that were not taken, each with its reason, and the fields of a new referral for them."""

    services: tuple[tuple[str, str], ...]
    draft: dict[str, Any]


def residual_of(row: ThreadRow, history: History, stored: Sequence[MoveRow]) -> Residual | None:
    """Return what the recipient left when it accepted last, or None where it left nothing."""
    if row.machine != REFERRAL.name:
        return None
    payloads = {one.message_id: one.payload for one in stored}
    request: Request | None = None
    answer: AcceptPart | None = None
    for step in history.done:
        kind = kind_for(row.machine, step.move.event)
        if kind is None or step.move.event not in (Event.SEND, Event.ACCEPT, Event.ACCEPT_PART):
            continue
        said = decode_payload(kind, payloads[step.move.message_id])
        request = said if isinstance(said, Request) else request
        answer = said if isinstance(said, AcceptPart) else None
    if request is None or answer is None:
        return None
    left = tuple((one.code, str(one.reason)) for one in answer.services if not one.accepted)
    return Residual(left, _draft(row, request, {code for code, _ in left}))


def _draft(row: ThreadRow, request: Request, codes: set[str]) -> dict[str, Any]:
    fields = request.model_dump(mode="json", exclude_none=True, exclude=set(_OF_THE_OLD))
    return {
        **fields,
        "services": [one for one in fields["services"] if one["code"] in codes],
        "residual_of": ids.text(Kind.THREAD, row.thread),
        "duplicates": DuplicateCheck.CONTINUES,
    }
