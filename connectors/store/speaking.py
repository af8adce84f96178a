# SPDX-License-Identifier: Apache-2.0
"""Who wrote in a thread, and to whom: from that follows whose word counts there (CAS-6)."""

from collections.abc import Collection, Mapping
from typing import Final

from sqlalchemy import func, select

from connectors.store.engine import Transaction
from connectors.store.incoming import IncomingState
from connectors.store.tables import incoming, outgoing, recipient
from protocol.address import AgencyAddress, agency_of
from protocol.ids import ThreadId
from protocol.kinds.catalogue import KINDS

ANSWER: Final = "message.answer"
"""What anybody may be sent who wrote here: it takes nobody into a thread."""
_SPOKEN: Final = sorted(KINDS)
_SAID: Final = sorted(set(KINDS) - {ANSWER})


async def voices(tx: Transaction, thread: ThreadId) -> Mapping[AgencyAddress, int]:
    """Return the other agencies whose messages in a thread have their effect, each with its first leaf index."""
    rows = await tx.connection.execute(
        select(incoming.c.sender_desk, func.min(incoming.c.leaf_index))
        .where(
            incoming.c.thread == thread,
            incoming.c.state == IncomingState.DELIVERED,
            incoming.c.payload_type.in_(_SPOKEN),
        )
        .group_by(incoming.c.sender_desk)
    )
    found: dict[AgencyAddress, int] = {}
    for desk, index in rows:
        agency = agency_of(desk)
        found[agency] = min(index, found.get(agency, index))
    return found


async def addressed(tx: Transaction, thread: ThreadId) -> Collection[AgencyAddress]:
    """Return the agencies that messages of ours in a thread went to, answers aside."""
    desks = await tx.connection.execute(
        select(recipient.c.desk)
        .join(outgoing, outgoing.c.message_id == recipient.c.message_id)
        .where(outgoing.c.thread == thread, outgoing.c.payload_type.in_(_SAID))
    )
    return {agency_of(desk) for desk in desks.scalars()}
