# SPDX-License-Identifier: Apache-2.0
"""Pulls back what would be tried again only after a time that no pause can last: a clock that was ahead wrote it.

Everything else of the store goes by these columns as they stand, the next moment to wake up included, so that nothing
else has to doubt them (CON-24).
"""

from typing import Final

from sqlalchemy import ColumnElement, Table, and_, bindparam, exists, or_, select, true, update

from connectors.store.attachments import FetchState
from connectors.store.attempts import AttemptState
from connectors.store.engine import Transaction
from connectors.store.recipients import RecipientState
from connectors.store.tables import attachment_in, attempt, delivery, recipient
from connectors.store.threadtables import awaited
from connectors.store.webhooks import DeliveryState
from connectors.timing import FREE_SEALS, LONGEST_PAUSE, LONGEST_SEALING_PAUSE, LONGEST_TELLING_PAUSE
from protocol.limits import DAY

_WAITING: Final = (
    # What is still to be sealed for the first few times waits for others' directory only.
    (recipient, RecipientState.QUEUED, recipient.c.seals <= FREE_SEALS, LONGEST_PAUSE),
    (recipient, RecipientState.QUEUED, true(), LONGEST_SEALING_PAUSE),
    (attempt, AttemptState.UPLOADING, true(), LONGEST_PAUSE),
    (attempt, AttemptState.READY, true(), LONGEST_PAUSE),
    (attachment_in, FetchState.WAITING, true(), LONGEST_PAUSE),
    (attachment_in, FetchState.STORED, true(), LONGEST_PAUSE),
    (delivery, DeliveryState.WAITING, true(), LONGEST_TELLING_PAUSE),
)
"""What waits in which state, under what else, and for how many ms at most."""


def _too_far(place: int) -> tuple[Table, ColumnElement[bool]]:
    table, state, more, _ = _WAITING[place]
    return table, and_(table.c.state == state, table.c.next_try_at > bindparam(f"beyond_{place}"), more)


_ANY: Final = select(or_(*(exists().where(_too_far(place)[1]) for place in range(len(_WAITING)))))
_PULL: Final = tuple(
    update(table).where(condition).values(next_try_at=bindparam("now"))
    for table, condition in map(_too_far, range(len(_WAITING)))
)
_UNTOLD: Final = or_(
    awaited.c.told_until > bindparam("now"),
    # Of what was given up it is looked every day whether it came after all.
    and_(awaited.c.due_at.is_(None), awaited.c.look_at > bindparam("tomorrow")),
)
_ANY_TOLD: Final = select(exists().where(_UNTOLD))
_LOOK_AGAIN: Final = update(awaited).where(_UNTOLD)


async def any_too_far(tx: Transaction, now: int) -> bool:
    """Tell whether `pull_back` would find anything at `now` (ms UTC)."""
    return bool(await tx.connection.scalar(_ANY, _beyond(now)))


async def pull_back(tx: Transaction, now: int) -> int:
    """Make due at `now` (ms UTC) what waits for longer than any pause can last, and return how much that was."""
    beyond = _beyond(now)
    found = 0
    for place, statement in enumerate(_PULL):
        name = f"beyond_{place}"
        found += (await tx.connection.execute(statement, {name: beyond[name], "now": now})).rowcount
    return found


async def any_told_too_early(tx: Transaction, now: int) -> bool:
    """Tell whether `look_again` would find anything at `now` (ms UTC)."""
    return bool(await tx.connection.scalar(_ANY_TOLD, {"now": now, "tomorrow": now + DAY}))


async def look_again(tx: Transaction, now: int) -> int:
    """Look again at messages of which it was told, before their time, that nobody had answered them; return how many.

    All whose time had come by `now` (ms UTC) were told of by that as well (KIND-7).
    """
    values = {"now": now, "tomorrow": now + DAY, "look_at": 0}
    told = update(awaited).where(awaited.c.told_until > bindparam("now")).values(told_until=bindparam("now"))
    found = (await tx.connection.execute(_LOOK_AGAIN, values)).rowcount
    await tx.connection.execute(told, {"now": now})
    return found


def _beyond(now: int) -> dict[str, int]:
    return {f"beyond_{place}": now + longest for place, (_, _, _, longest) in enumerate(_WAITING)}
