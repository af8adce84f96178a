# SPDX-License-Identifier: Apache-2.0
"""What a referral's steps say of its present state: why it is so, what was not taken, what came of each service."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from protocol.http.threads import StepView, ThreadView
from protocol.kinds.referral.deciding import left_of
from protocol.lifecycle.referral import Event, State

REASONED: Final[Mapping[State, tuple[Event, ...]]] = {
    State.ON_HOLD: (Event.HOLD,),
    State.CANCEL_REQUESTED: (Event.WITHDRAW,),
    State.DECLINED: (Event.DECLINE, Event.DECLINE_LATE),
    State.ENDED_EARLY: (Event.END_EARLY,),
    State.CANCELLED: (Event.WITHDRAW,),
    State.BLOCKED_CONSENT: (Event.BLOCK,),
    State.ENTERED_IN_ERROR: (Event.ENTERED_IN_ERROR,),
    State.SUPERSEDED: (Event.PROPOSE_FORWARD,),
}
"""Which step carries the reason of a state; a state that is not here has none."""
_ANSWERS: Final = (Event.ACCEPT, Event.ACCEPT_PART, Event.REOPEN, Event.APPEAL)
_OUTCOMES: Final = (Event.COMPLETE, Event.END_EARLY)


@dataclass(frozen=True, slots=True)
class Standing:
    """The reason of the state, the services that were not taken with each one's reason, and what came of the others."""

    reason: str | None
    left: Mapping[str, str]
    outcomes: Mapping[str, str]


def standing_of(view: ThreadView) -> Standing:
    """Return what the steps that had an effect say; of those of one sort the last counts."""
    state = State(view.item.state)
    said, answer, report = (_last(view, events) for events in (REASONED.get(state, ()), _ANSWERS, _OUTCOMES))
    left: Mapping[str, str] = {}
    if answer and answer.event == Event.ACCEPT_PART and state is not State.ENTERED_IN_ERROR:
        request = _last(view, (Event.SEND,))
        asked = [one["code"] for one in request.payload["services"]] if request else []
        left = left_of(asked, ((one["code"], one.get("reason")) for one in answer.payload["services"]))
    return Standing(
        reason=said.payload.get("reason") if said else None,
        left=left,
        outcomes={one["code"]: one["outcome"] for one in report.payload["outcome"]} if report else {},
    )


def _last(view: ThreadView, events: tuple[Event, ...]) -> StepView | None:
    return next((one for one in reversed(view.steps) if one.refused is None and one.event in events), None)
