# SPDX-License-Identifier: Apache-2.0
"""Sealings of which it is certain that no try ever left this machine (CON-22).

That is noted before the first try begins, in a transaction of its own: whoever is killed after it finds a sealing that
may be at the hub.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import bindparam, select, update

from connectors.store.attempts import BYTES, UNSENT, AttemptState
from connectors.store.engine import Transaction
from connectors.store.tables import attempt, outgoing
from protocol.errors import KeystoreError
from protocol.ids import EnvelopeId, MessageId, ThreadId


@dataclass(frozen=True, slots=True)
class Untried:
    """A sealing that never left, and of what; without bytes where they cannot be read any more."""

    envelope_id: EnvelopeId
    message_id: MessageId
    thread: ThreadId
    payload_type: str
    raw: bytes = field(repr=False)


_IN_THREAD: Final = (
    select(attempt.c.envelope_id, attempt.c.sealed_bytes, outgoing.c.message_id, outgoing.c.payload_type)
    .join(outgoing, outgoing.c.message_id == attempt.c.message_id)
    .where(outgoing.c.thread == bindparam("of"), attempt.c.here_only == 1, attempt.c.state.in_(UNSENT))
    .order_by(outgoing.c.position)
)
_BEGIN: Final = (
    update(attempt)
    .where(
        attempt.c.envelope_id.in_(bindparam("which", expanding=True)),
        attempt.c.here_only == 1,
        attempt.c.state == AttemptState.READY,
    )
    .values(here_only=0)
    .returning(attempt.c.envelope_id)
)


async def of_thread(tx: Transaction, thread: ThreadId) -> list[Untried]:
    """Return the sealings of a thread's messages that never left, the oldest message first."""
    found = []
    for row in (await tx.connection.execute(_IN_THREAD, {"of": thread})).all():
        try:
            raw = tx.vault.open(BYTES, row.envelope_id, row.sealed_bytes)
        except KeystoreError:
            raw = b""
        found.append(Untried(row.envelope_id, row.message_id, thread, row.payload_type, raw))
    return found


async def begin(tx: Transaction, envelope_ids: Collection[EnvelopeId]) -> set[EnvelopeId]:
    """Note that a first try begins, and return for which of them: the others are not to be sent any more."""
    return set((await tx.connection.execute(_BEGIN, {"which": sorted(envelope_ids)})).scalars())
