# SPDX-License-Identifier: Apache-2.0
"""What is left of a referral that was accepted in part, and the draft that asks somebody else for it (REF-6)."""

import json
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any, Final

from connectors.store import drafts
from connectors.store.engine import Transaction
from connectors.store.moves import MoveRow
from connectors.store.threads import ThreadRow
from protocol import ids
from protocol.http.problems import FieldError, InvalidFields
from protocol.ids import Kind, MessageId
from protocol.kinds.catalogue import KINDS, decode_payload, kind_for
from protocol.kinds.referral.deciding import AcceptPart
from protocol.kinds.referral.request import DuplicateCheck, Request
from protocol.lifecycle.history import History, Move
from protocol.lifecycle.referral import REFERRAL, Actor, Event

_OF_THE_OLD: Final = frozenset(
    {"kind", "version", "subject", "occurred_at", "register_numbers", "supersedes", "reopens", "forwards"}
)
"""Fields that a new referral has of its own or not at all."""


@dataclass(frozen=True, slots=True)
class Residual:
    """The services that were not taken, each with its reason, and the fields of a new referral for them."""

    services: tuple[tuple[str, str], ...]
    draft: dict[str, Any]
    answer: MessageId
    """The message that left them, and when it came (ms UTC)."""
    at: int


def residual_of(row: ThreadRow, history: History, stored: Sequence[MoveRow]) -> Residual | None:
    """Return what the recipient left when it accepted last, or None where it left nothing."""
    if row.machine != REFERRAL.name:
        return None
    payloads = {one.message_id: one.payload for one in stored}
    request: Request | None = None
    answer: AcceptPart | None = None
    last: Move | None = None
    for step in history.done:
        kind = kind_for(row.machine, step.move.event)
        if kind is None or step.move.event not in (Event.SEND, Event.ACCEPT, Event.ACCEPT_PART):
            continue
        said = decode_payload(kind, payloads[step.move.message_id])
        request = said if isinstance(said, Request) else request
        answer, last = said if isinstance(said, AcceptPart) else None, step.move
    if request is None or answer is None or last is None:
        return None
    left = answer.left_of(one.code for one in request.services)
    if not left:
        return None
    return Residual(tuple(left.items()), _draft(row, request, left), last.message_id, last.at)


def check_answers(request: Request | None, payload: bytes) -> None:
    """Refuse an answer in part of ours unless it says once of each service of the request what becomes of it (REF-6).

    `InvalidFields` names each service that was not asked for or stands twice, or the list where one is missing.
    """
    answer = decode_payload(KINDS["referral.accept-part"], payload)
    if request is None or not isinstance(answer, AcceptPart):
        return
    asked, seen, wrong = {one.code for one in request.services}, set[str](), list[FieldError]()
    for place, one in enumerate(answer.services):
        if one.code not in asked or one.code in seen:
            wrong.append(FieldError(f"/fields/services/{place}/code", "not-allowed"))
        seen.add(one.code)
    if asked - seen:
        wrong.append(FieldError("/fields/services", "missing"))
    if wrong:
        named = ", ".join(one.code for one in request.services)
        raise InvalidFields(wrong, f"Say once of each service that was asked for what becomes of it: {named}.")


async def keep_draft(tx: Transaction, row: ThreadRow, history: History, stored: Sequence[MoveRow], now: int) -> None:
    """Keep what is left of a referral of ours as a draft, once; not again after it was sent or deleted (DFT-4)."""
    if row.side != Actor.REQUESTER or all(step.move.event != Event.ACCEPT_PART for step in history.done):
        return
    left = residual_of(row, history, stored)
    if left is None or left.at <= now - drafts.KEPT:
        return
    draft_id = drafts.residual_id(row.thread, left.answer)
    if await drafts.was_made(tx, draft_id):
        return
    content = json.dumps({"fields": left.draft, "sender": row.own_desk}, ensure_ascii=False).encode()
    await drafts.add(tx, drafts.DraftRow(draft_id, drafts.RESIDUAL, now, now, 1, content, thread=row.thread))


def _draft(row: ThreadRow, request: Request, codes: Container[str]) -> dict[str, Any]:
    fields = request.model_dump(mode="json", exclude_none=True, exclude=set(_OF_THE_OLD))
    return {
        **fields,
        "services": [one for one in fields["services"] if one["code"] in codes],
        "residual_of": ids.text(Kind.THREAD, row.thread),
        "duplicates": DuplicateCheck.CONTINUES,
    }
