# SPDX-License-Identifier: Apache-2.0
"""What proves a message that is printed: who acted under which delegation, in which envelopes, at which desks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from connectors.store import incoming, outgoing, recipients, sealings
from connectors.store.engine import Transaction
from connectors.store.incoming import ReceivedMessage
from connectors.store.recipients import RecipientRow
from protocol.address import DeskAddress
from protocol.errors import NotFound
from protocol.ids import EnvelopeId, MessageId
from protocol.sections import Actor

DIGEST: Final = "SHA-256"


@dataclass(frozen=True, slots=True)
class Sealing:
    """One envelope in which a message went to a desk: what it held, and how far it came; times in ms UTC.

    `going` are the categories that it held and `withheld` (category, reason) of the rest, both known to the sender
    only; so are `function`, the desk's by which that was decided, and `actor`, in whose name it was sealed.
    """

    accepted_at: int | None
    opened_at: int | None
    envelope_id: EnvelopeId
    digest: bytes
    going: tuple[str, ...] = ()
    withheld: tuple[tuple[str, str], ...] = ()
    marks: tuple[str, ...] = ()
    sealed_at: int | None = None
    leaf_index: int | None = None
    taken_in: bool = False
    function: str | None = None
    actor: Actor | None = None


@dataclass(frozen=True, slots=True)
class Journey:
    """How far a message came at a desk: `shown` is the sealing that tells, and `sealings` are all, the oldest first.

    `withheld` is what the desk never got; `opened_at` is of the first time.
    """

    desk: DeskAddress
    opened_at: int | None
    shown: Sealing | None
    sealings: tuple[Sealing, ...]
    withheld: tuple[tuple[str, str], ...] = ()
    marks: tuple[str, ...] = ()

    def needs_telling(self, actor: Actor) -> bool:
        """Tell whether one line does not say it all: it was sealed several times, or not in the name of `actor`."""
        return len(self.sealings) > 1 or any(one.actor not in (None, actor) for one in self.sealings)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Who sent a message to whom, and what is there to prove it. `sent_at` is known of our own messages only."""

    sender: DeskAddress
    actor: Actor
    journeys: tuple[Journey, ...]
    sent_at: int | None = None


async def of_sent(tx: Transaction, message_id: MessageId) -> Evidence:
    """Return what there is about a message of ours, or raise `NotFound`."""
    message = await outgoing.load(tx, message_id)
    rows = await recipients.of(tx, message_id)
    known = await sealings.of(tx, rows)
    return Evidence(
        sender=message.sender_desk,
        actor=message.actor,
        journeys=tuple(_journey(row, known.get(row.desk, ())) for row in rows),
        sent_at=message.created_at,
    )


def _journey(row: RecipientRow, known: Sequence[sealings.Sealing]) -> Journey:
    telling, plan = sealings.telling(row, known), sealings.shown(row, known)
    return Journey(
        desk=row.desk,
        opened_at=row.opened_at,
        shown=None if telling is None else _sealing(telling),
        sealings=tuple(map(_sealing, known)),
        withheld=plan.withheld,
        marks=plan.marks,
    )


def _sealing(one: sealings.Sealing) -> Sealing:
    accepted, record = one.accepted, one.record
    return Sealing(
        accepted_at=None if accepted is None else accepted.leaf.at,
        opened_at=one.opened_at,
        envelope_id=one.envelope_id,
        digest=one.digest,
        going=tuple(dict.fromkeys(category for _, category in one.plan.going)),
        withheld=one.plan.withheld,
        marks=one.plan.marks,
        sealed_at=None if record is None else record.at,
        leaf_index=None if accepted is None else accepted.place,
        taken_in=one.taken_in,
        function=None if record is None else record.function,
        actor=None if record is None else record.actor,
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
        journeys=tuple(map(_arrival, came)),
    )


def _arrival(one: ReceivedMessage) -> Journey:
    sealing = Sealing(
        accepted_at=one.accepted_at,
        opened_at=one.received_at,
        envelope_id=one.envelope_id,
        digest=one.digest,
        leaf_index=one.leaf_index,
        taken_in=True,
    )
    return Journey(one.recipient_desk, one.received_at, sealing, (sealing,), marks=one.marks)
