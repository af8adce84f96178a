# SPDX-License-Identifier: Apache-2.0
"""Invented views of referrals: one for each state, on the shortest way that the table has there."""

import json
from collections import deque
from functools import cache
from typing import Any

from protocol import ids
from protocol.address import parse_desk
from protocol.http.handovers import SectionView
from protocol.http.threads import StepView, ThreadItem, ThreadView
from protocol.ids import Kind, MessageId, ThreadId
from protocol.kinds.catalogue import kind_for
from protocol.lifecycle.machine import Position
from protocol.lifecycle.referral import REFERRAL, Actor, Event, State
from tests.connectors.cases.test_referral import FIELDS, OFFICER, REQUEST

BEGUN = 1_795_000_000_000
THREAD = ThreadId(bytes(range(16)))
SUBJECT = ids.text(Kind.SUBJECT, b"s" * 16)
GORA, POLJE = parse_desk("release.gora-prison@hub.example"), parse_desk("intake.polje-csw@hub.example")
WORDS = "Words that stay in the section"
OFFICER_TITLE = "an officer who is not named"
CODES = ("psychosocial-support", "housing-advice")

SAID: dict[str, dict[str, Any]] = {
    **FIELDS,
    "accept-part": {
        "officer": OFFICER,
        "start_by": "2027-01-21",
        "services": [
            {"code": CODES[0], "accepted": False, "reason": "no-capacity"},
            {"code": CODES[1], "accepted": True},
        ],
    },
    "hold": {"reason": "person-ill", "review_on": "2026-12-20"},
    "progress": {"period": {"first": "2027-01-21", "last": "2027-01-28"}},
    "finish": {},
    "complete": {
        "outcome": [{"code": code, "outcome": "achieved"} for code in CODES],
        "data_action": "retained",
    },
    "end-early": {
        "reason": "person-stopped",
        "outcome": [{"code": CODES[1], "outcome": "not-started"}],
        "data_action": "erased",
    },
    "block": {"reason": "consent-withdrawn"},
    "entered-in-error": {"reason": "wrong-person"},
    "propose-forward": {"agency": "somebody@hub.example", "reason": "better-placed"},
    "approve-forward": {"new_thread": ids.text(Kind.THREAD, bytes(16))},
    "expire": {},
    "decline-late": {"reason": "capacity-lost", "handback": [CODES[1]]},
    "reopen": {"reason": "needs-again"},
}


@cache
def way_to(state: State) -> tuple[tuple[str, str], ...]:
    """Return events and actors that lead to a state: the shortest way of the table."""
    sent = (Event.SEND.value, Actor.REQUESTER.value)
    begun = REFERRAL.step(REFERRAL.begin(), *sent, {"request"})
    ways: deque[tuple[Position, tuple[tuple[str, str], ...]]] = deque([(begun, (sent,))])
    seen = {begun}
    while state != State.DRAFT:
        position, way = ways.popleft()
        if position.state == state:
            return way
        for actor in Actor:
            for row in REFERRAL.open_to(position, actor):
                after = REFERRAL.step(position, row.event, actor, row.needs)
                if after not in seen:
                    seen.add(after)
                    ways.append((after, (*way, (row.event, actor.value))))
    return (sent,)


def view_of(
    state: State,
    request: dict[str, Any] | None = None,
    side: str = "requester",
    way: tuple[tuple[str, str], ...] | None = None,
) -> ThreadView:
    """Return a view of a referral in a state, as `side` sees it."""
    said = {"register_numbers": {}, "occurred_at": BEGUN, **(request or REQUEST)}
    steps = [
        step_of(place, event, actor, said if event == "send" else SAID.get(event, {}), state)
        for place, (event, actor) in enumerate(way or way_to(state))
    ]
    own, peer = (GORA, POLJE) if side == "requester" else (POLJE, GORA)
    item = ThreadItem(
        thread=THREAD,
        machine="referral",
        side=side,
        state=state.value,
        live=state not in REFERRAL.finals,
        own_desk=own,
        peer_desk=peer,
        priority=said.get("priority", "normal"),
        begun_at=BEGUN,
        changed_at=BEGUN + len(steps) * 60_000,
        due_at=None,
        officer=None,
        alert=None,
        similar=[],
        similar_more=False,
        version=len(steps),
    )
    return ThreadView(
        item=item,
        case=None,
        subject=SUBJECT,
        lead=None,
        lead_since=None,
        supervisor=None,
        no_supervisor=None,
        residual=None,
        goes_on_from=None,
        children=[],
        ladder=[],
        alerts=[],
        steps=steps,
        possible=[],
    )


def step_of(place: int, event: str, actor: str, payload: dict[str, Any], state: State) -> StepView:
    """Return one step of a view, with a section whose words nobody else may see."""
    kind = kind_for("referral", event)
    if kind is not None:
        # What is invented here is what a connector would let pass.
        kind.payload.model_validate_json(_whole(payload, kind.name))
    section = SectionView(
        number=1, category="needs", purpose="housing", label="standard", body={"kind": "narrative", "entries": [WORDS]}
    )
    return StepView(
        message=MessageId(bytes([place]) * 16),
        event=event,
        actor=actor,
        signer=OFFICER_TITLE,
        at=BEGUN + place * 60_000,
        leaf_index=place,
        refused=None,
        state=state.value,
        payload=payload,
        sections=[section],
    )


def _whole(payload: dict[str, Any], kind: str) -> str:
    return json.dumps({"occurred_at": 0, **payload, "kind": kind, "subject": SUBJECT})
