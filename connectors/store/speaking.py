# SPDX-License-Identifier: Apache-2.0
"""Who wrote in a thread, and to whom: from that follows whose word counts there (CAS-6)."""

from collections.abc import Collection, Mapping
from typing import Final

from sqlalchemy import bindparam, func, literal, select

from connectors.store.engine import Transaction
from connectors.store.incoming import IncomingState
from connectors.store.tables import incoming, outgoing, recipient
from protocol.address import AgencyAddress, agency_of
from protocol.ids import EnvelopeId, ThreadId
from protocol.kinds.catalogue import KINDS

ANSWER: Final = "message.answer"
"""What anybody may be sent who wrote here: it takes nobody into a thread."""
SPOKEN: Final = frozenset(kind.name for kind in KINDS.values() if not kind.klass.bare)
"""Kinds by which somebody says something; a notice about a thread makes itself."""
FIRST: Final = 8
"""Messages from desk to desk among which the first in the log is looked for.

Sealed anew, the very first may stand behind others. Were all of them looked at, whoever sends in the reverse order
would have the thread weighed anew for each.
"""
# Each value a parameter of its own: a list would be spelled out anew at every call.
_SPOKEN: Final = [literal(kind) for kind in sorted(SPOKEN)]
_SAID: Final = [literal(kind) for kind in sorted(SPOKEN - {ANSWER})]
_VOICES: Final = (
    select(incoming.c.sender_desk, func.min(incoming.c.leaf_index))
    .where(
        incoming.c.thread == bindparam("thread"),
        incoming.c.seq <= FIRST,
        incoming.c.state == IncomingState.DELIVERED,
        incoming.c.payload_type.in_(_SPOKEN),
        incoming.c.envelope_id != bindparam("without"),
    )
    .group_by(incoming.c.sender_desk)
)
_ADDRESSED: Final = (
    select(recipient.c.desk)
    .join(outgoing, outgoing.c.message_id == recipient.c.message_id)
    .where(outgoing.c.thread == bindparam("thread"), outgoing.c.payload_type.in_(_SAID))
)


async def voices(
    tx: Transaction, thread: ThreadId, *, without: EnvelopeId | None = None
) -> Mapping[AgencyAddress, int]:
    """Return the other agencies whose messages in a thread have their effect, each with its first leaf index.

    What came in the envelope `without` is as if it had not come.
    """
    rows = await tx.connection.execute(_VOICES, {"thread": thread, "without": without or b""})
    found: dict[AgencyAddress, int] = {}
    for desk, index in rows:
        agency = agency_of(desk)
        found[agency] = min(index, found.get(agency, index))
    return found


async def addressed(tx: Transaction, thread: ThreadId) -> Collection[AgencyAddress]:
    """Return the agencies that messages of ours in a thread went to, answers aside."""
    desks = await tx.connection.execute(_ADDRESSED, {"thread": thread})
    return {agency_of(desk) for desk in desks.scalars()}
