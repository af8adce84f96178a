# SPDX-License-Identifier: Apache-2.0
"""What proves a message that is printed: who acted under which delegation, in which envelopes, at which desks."""

from dataclasses import dataclass
from typing import Final

from connectors.store import attempts, incoming, outgoing, recipients
from connectors.store.engine import Transaction
from connectors.store.recipients import RecipientRow
from protocol.address import DeskAddress
from protocol.errors import NotFound
from protocol.ids import EnvelopeId, MessageId
from protocol.sections import Actor

DIGEST: Final = "SHA-256"


@dataclass(frozen=True, slots=True)
class Sealing:
    """One desk of a message: how far it came there and in which envelope; times in ms UTC.

    `withheld` are (category, reason) of what the desk did not get, known to the sender only.
    """

    desk: DeskAddress
    accepted_at: int | None
    opened_at: int | None
    envelope_id: EnvelopeId | None
    digest: bytes | None
    withheld: tuple[tuple[str, str], ...] = ()
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """Who sent a message to whom, and what is there to prove it. `sent_at` is known of our own messages only."""

    sender: DeskAddress
    actor: Actor
    sealings: tuple[Sealing, ...]
    sent_at: int | None = None
    leaf_index: int | None = None


async def of_sent(tx: Transaction, message_id: MessageId) -> Evidence:
    """Return what there is about a message of ours, or raise `NotFound`."""
    message = await outgoing.load(tx, message_id)
    rows = await recipients.of(tx, message_id)
    return Evidence(
        sender=message.sender_desk,
        actor=message.actor,
        sealings=tuple([await _sealing(tx, row) for row in rows]),
        sent_at=message.created_at,
    )


async def _sealing(tx: Transaction, row: RecipientRow) -> Sealing:
    attempt = None if row.envelope_id is None else await attempts.by_id(tx, row.envelope_id)
    return Sealing(
        desk=row.desk,
        accepted_at=row.accepted_at,
        opened_at=row.opened_at,
        envelope_id=row.envelope_id,
        digest=None if attempt is None else attempt.digest,
        withheld=row.plan.withheld,
        marks=row.plan.marks,
    )


async def of_received(
    tx: Transaction, message_id: MessageId, sender: DeskAddress, desks: list[DeskAddress]
) -> Evidence:
    """Return what there is about a message of `sender` at desks of ours; `NotFound` if it came to none of them."""
    found = [await incoming.known(tx, message_id, sender, desk) for desk in desks]
    came = [one for one in found if one is not None]
    if not came:
        raise NotFound
    return Evidence(
        sender=sender,
        actor=came[0].actor,
        sealings=tuple(
            Sealing(
                desk=one.recipient_desk,
                accepted_at=one.accepted_at,
                opened_at=one.received_at,
                envelope_id=one.envelope_id,
                digest=one.digest,
                marks=one.marks,
            )
            for one in came
        ),
        leaf_index=came[0].leaf_index,
    )
