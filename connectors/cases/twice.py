# SPDX-License-Identifier: Apache-2.0
"""One person handed over to two agencies: seen when it is offered, and an alert once both have accepted (HAN-12).

Each handover by itself knows one lead. An offer that ended here may still be accepted by who has not heard of its end,
and nothing in a single thread can tell: what two of them promise about one person only their sender can see.
"""

from collections.abc import Collection
from typing import Final

from connectors.bound import Desks
from connectors.cases.sides import ROLES
from connectors.store import handedover, threads
from connectors.store.engine import Transaction
from connectors.store.handedover import Beside
from connectors.store.threads import ThreadRow
from protocol.ids import CaseId, ThreadId
from protocol.lifecycle.alerts import Alert, AlertKind
from protocol.lifecycle.handover import AGREED, HANDOVER, Event, State
from protocol.lifecycle.history import History

TAKEN: Final = frozenset({*AGREED, State.EFFECTIVE})
"""States in which the other side has the person, or is about to."""
_ENDS: Final = (Event.WITHDRAW, Event.EXPIRE, Event.FAIL, Event.ENTERED_IN_ERROR)
_OFFERS: Final = (Event.OFFER, Event.OFFER_AGAIN)
END_ONE: Final = "end-one"
"""What an alert of it waits for."""
MOST: Final = 20
"""How many other handovers are shown beside a new one."""


def standing(row: ThreadRow) -> tuple[bool, bool]:
    """Tell whether a thread is a handover of ours that the other side has taken over, and is over, or is not over."""
    return _begun_here(row) and row.state == State.COMPLETED, is_taken(row)


def is_taken(row: ThreadRow) -> bool:
    """Tell whether a thread is a handover of ours that the other side has accepted and that is not over."""
    return _begun_here(row) and row.state in TAKEN


async def beside(tx: Transaction, thread: ThreadId) -> list[Beside]:
    """Return our other handovers of the person that a handover of ours is about."""
    side = ROLES[HANDOVER.name].begins
    return await handedover.beside(tx, thread, machine=HANDOVER.name, side=side, ends=_ENDS, done=Event.COMPLETE)


async def in_cases(tx: Transaction, case_ids: Collection[CaseId]) -> list[ThreadId]:
    """Return our handovers of the persons of these cases."""
    side = ROLES[HANDOVER.name].begins
    return await handedover.in_cases(tx, case_ids, machine=HANDOVER.name, side=side)


async def others(tx: Transaction, thread: ThreadId, desks: Desks = None) -> list[ThreadId]:
    """Return those that are not over, or whose end the other side has not opened; of `desks` only, where given."""
    found = [one.thread for one in await beside(tx, thread) if one.goes_on]
    return (await _seen(tx, found, desks))[:MOST]


async def rivals(tx: Transaction, row: ThreadRow, history: History, desks: Desks = None) -> list[ThreadId]:
    """Return our other handovers of the person that somebody has accepted too, at most `MOST`; of `desks` only.

    Who says that a handover is complete goes on leading. Only one that was complete before this one was offered is no
    matter of this one: the person has come back since.
    """
    if not _begun_here(row) or history.state not in TAKEN:
        return []
    offered_at = max(step.move.at for step in history.done if step.move.event in _OFFERS)
    found = [
        one.thread
        for one in await beside(tx, row.thread)
        if one.state in TAKEN
        or (one.state == State.COMPLETED and one.done_at is not None and one.done_at >= offered_at)
    ]
    return (await _seen(tx, found, desks))[:MOST]


async def _seen(tx: Transaction, found: list[ThreadId], desks: Desks) -> list[ThreadId]:
    if desks is None:
        return found
    seen = await threads.of_desks(tx, found, desks)
    return [one for one in found if one in seen]


async def alerts(tx: Transaction, row: ThreadRow, history: History) -> tuple[Alert, ...]:
    """Return the alert that two agencies have accepted one person from us, as long as both have him."""
    if not await rivals(tx, row, history):
        return ()
    taken = next(step.move for step in reversed(history.steps) if step.before.state not in TAKEN)
    what = AlertKind.HANDED_OVER_TWICE
    return (Alert(what, taken.at, taken.message_id, what=END_ONE, by=ROLES[row.machine].begins),)


def _begun_here(row: ThreadRow) -> bool:
    return row.machine == HANDOVER.name and row.side == ROLES[HANDOVER.name].begins
