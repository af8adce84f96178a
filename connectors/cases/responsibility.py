# SPDX-License-Identifier: Apache-2.0
"""Who leads and who supervises in law, as the messages of a handover say it (HAN-2, HAN-4)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.cases.sides import ROLES
from connectors.store.moves import MoveRow
from connectors.store.threads import ThreadRow
from protocol.address import AgencyAddress, parse_agency
from protocol.content import Content
from protocol.handover import HandoverOffer
from protocol.kinds.catalogue import decode_payload, kind_for
from protocol.kinds.handover import Accept, AcceptPart, Supervision, TakeEffect
from protocol.lifecycle.handover import HANDOVER, Event, State, lead
from protocol.lifecycle.handover_timers import agreed_at
from protocol.lifecycle.history import History


@dataclass(frozen=True, slots=True)
class Responsibility:
    """Who leads, since when (ms UTC, None if the lead has not moved), and who supervises or why nobody does."""

    lead: AgencyAddress | None = None
    since: int | None = None
    supervisor: AgencyAddress | None = None
    nobody: str | None = None


def responsibility_of(row: ThreadRow, history: History, stored: Sequence[MoveRow]) -> Responsibility:
    """Return who is responsible now; nobody is named where the life cycle moves no responsibility."""
    if row.machine != HANDOVER.name:
        return Responsibility()
    said = list(_said(history, stored))
    if lead(State(history.state)) != ROLES[row.machine].answers:
        offers = [one for one in said if isinstance(one, HandoverOffer)]
        before = parse_agency(offers[0].parties.current_responsible) if offers else row.begins
        return Responsibility(row.begins, supervisor=before)
    instants = [one for one in said if isinstance(one, TakeEffect)]
    agreed = _agreed(said)
    return Responsibility(
        row.answers,
        # Whoever hands over says when; that it was after somebody had accepted, the two sides know themselves (HAN-8).
        since=max(instants[-1].effective_at, agreed_at(history)) if instants else None,
        supervisor=None if agreed.agency is None else parse_agency(agreed.agency),
        nobody=None if agreed.nobody is None else str(agreed.nobody),
    )


def implied(event: str, row: ThreadRow, history: History, stored: Sequence[MoveRow]) -> dict[str, Any]:
    """Return the fields that a move has by itself: the instant says whom the receiver named as supervisor."""
    if row.machine != HANDOVER.name or event != Event.TAKE_EFFECT:
        return {}
    return {"supervisor": _agreed(list(_said(history, stored))).model_dump(mode="json", exclude_none=True)}


def _said(history: History, stored: Sequence[MoveRow]) -> Iterator[Content]:
    """Yield what was said with each move that had an effect, in order."""
    payloads = {one.message_id: one.payload for one in stored}
    for step in history.done:
        kind = kind_for(HANDOVER.name, step.move.event)
        if kind is not None:
            yield decode_payload(kind, payloads[step.move.message_id])


def _agreed(said: Sequence[Content]) -> Supervision:
    """Return whom the receiver named; who has no answer of it goes by the sender's word of it, then by the offer."""
    for kinds in ((Accept, AcceptPart), (TakeEffect,)):
        for one in reversed(said):
            if isinstance(one, kinds) and isinstance(one, Accept | AcceptPart | TakeEffect) and one.supervisor:
                return one.supervisor
    offer = next(one for one in reversed(said) if isinstance(one, HandoverOffer))
    return Supervision(agency=offer.parties.legal_supervisor, nobody=offer.parties.no_supervisor)
