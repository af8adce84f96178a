# SPDX-License-Identifier: Apache-2.0
"""One person handed over to two agencies: seen when it is offered, and an alert once both have accepted (HAN-12).

Each handover by itself knows one lead. An offer that ended here may still be accepted by who has not heard of its end,
and nothing in a single thread can tell: what two of them promise about one person only their sender can see.
"""

from typing import Final

from connectors.bound import Desks
from connectors.cases.sides import ROLES
from connectors.store import handedover, threads
from connectors.store.engine import Transaction
from connectors.store.handedover import Beside
from connectors.store.threads import ThreadRow
from protocol.ids import ThreadId
from protocol.lifecycle.alerts import Alert, AlertKind
from protocol.lifecycle.handover import AGREED, HANDOVER, Event, State
from protocol.lifecycle.history import History

TAKEN: Final = frozenset({*AGREED, State.EFFECTIVE})
"""States in which the other side has the person, or is about to."""
_ENDS: Final = (Event.WITHDRAW, Event.EXPIRE, Event.FAIL, Event.ENTERED_IN_ERROR)
END_ONE: Final = "end-one"
"""What an alert of it waits for."""
MOST: Final = 20
"""How many other handovers are shown beside a new one."""


def is_taken(row: ThreadRow) -> bool:
    """Tell whether a thread is a handover of ours that the other side has accepted and that is not over."""
    return _begun_here(row) and row.state in TAKEN


async def beside(tx: Transaction, thread: ThreadId) -> list[Beside]:
    """Return our other handovers of the person that a handover of ours is about."""
    side = ROLES[HANDOVER.name].begins
    return await handedover.beside(tx, thread, machine=HANDOVER.name, side=side, ends=_ENDS)


async def others(tx: Transaction, thread: ThreadId, desks: Desks = None) -> list[ThreadId]:
    """Return those that are not over, or whose end the other side has not opened; of `desks` only, where given."""
    found = [one.thread for one in await beside(tx, thread) if one.goes_on]
    if desks is not None:
        seen = await threads.of_desks(tx, found, desks)
        found = [one for one in found if one in seen]
    return found[:MOST]


async def alerts(tx: Transaction, row: ThreadRow, history: History) -> tuple[Alert, ...]:
    """Return the alert that two agencies have accepted one person from us, until one of the handovers is over."""
    if not _begun_here(row) or history.state not in TAKEN:
        return ()
    if not any(one.state in TAKEN for one in await beside(tx, row.thread)):
        return ()
    taken = next(step.move for step in reversed(history.steps) if step.before.state not in TAKEN)
    what = AlertKind.HANDED_OVER_TWICE
    return (Alert(what, taken.at, taken.message_id, what=END_ONE, by=ROLES[row.machine].begins),)


def _begun_here(row: ThreadRow) -> bool:
    return row.machine == HANDOVER.name and row.side == ROLES[HANDOVER.name].begins
