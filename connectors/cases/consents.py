# SPDX-License-Identifier: Apache-2.0
"""Which sections stay here, since we said in their thread that the person's consent is over before they left (CON-27).

What went on another basis goes on. Sections name no grant yet, so all of ours in that thread that go on consent are
meant, and only our own word counts: nobody else keeps our messages back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from connectors.cases.forms import stored_sections
from connectors.composition import Composer, Share
from connectors.faults import DAMAGED
from connectors.store import outgoing
from connectors.store.engine import Transaction
from connectors.store.outgoing import OutgoingMessage
from connectors.store.recipients import DAMAGED as UNREADABLE
from connectors.store.recipients import RecipientRow
from keys.sealing import SectionDraft
from protocol.clearance import Basis
from protocol.handover import WithheldReason
from protocol.ids import MessageId
from protocol.kinds.catalogue import KINDS, decode_payload
from protocol.kinds.records import ConsentChange, ConsentState

CONSENT: Final = frozenset({Basis.CONSENT, Basis.EXPLICIT_CONSENT})
"""The bases that a person can take away at any time."""
CHANGED: Final = "consent.changed"
_OVER: Final = frozenset({ConsentState.WITHDRAWN, ConsentState.REFUSED, ConsentState.EXPIRED, ConsentState.INVALIDATED})


async def is_over(tx: Transaction, message: MessageId) -> bool:
    """Tell whether we have said in the thread of `message`, after it, that a consent is over.

    What the disk has damaged of such a word counts as that: nobody can say any more that a consent goes on (CON-8).
    """
    try:
        return any(_ends(one) for one in await outgoing.later(tx, message, CHANGED))
    except DAMAGED:
        return True


def _ends(said: OutgoingMessage) -> bool:
    payload = decode_payload(KINDS[CHANGED], said.payload)
    return isinstance(payload, ConsentChange) and payload.state in _OVER


def resting_on_consent(message: OutgoingMessage) -> frozenset[int]:
    """Return the numbers (from 1) of the sections of a message that go on the person's consent."""
    sections = stored_sections(message)
    return frozenset(number for number, one in enumerate(sections, start=1) if one.basis in CONSENT)


async def may_not_go(tx: Transaction, message: MessageId, rows: Sequence[RecipientRow]) -> bool:
    """Tell whether something that was sealed for one of `rows` rests on a consent that is over."""
    if not await is_over(tx, message):
        return False
    try:
        on_consent = resting_on_consent(await outgoing.load(tx, message))
    except DAMAGED:
        return True
    unknown = any(UNREADABLE in row.plan.marks for row in rows)
    return bool(on_consent) and (unknown or any(number in on_consent for row in rows for number, _ in row.plan.going))


@dataclass(frozen=True, slots=True)
class WithoutConsent:
    """Withholds the sections of a message that went on consent; the others go as `composer` says."""

    composer: Composer

    def sections(self, message: OutgoingMessage) -> tuple[SectionDraft, ...]:
        """Return all sections of the message, whoever may see them."""
        return self.composer.sections(message)

    def share(self, message: OutgoingMessage, function: str) -> Share:
        """Return what a desk of `function` gets without those that went on consent, each of these with the reason."""
        whole = self.composer.share(message, function)
        on_consent, drafts = resting_on_consent(message), self.composer.sections(message)
        before = iter(whole.withheld)
        included, withheld = list[int](), list[tuple[str, str]]()
        for place, draft in enumerate(drafts):
            if place not in whole.included:
                withheld.append(next(before))
            elif place + 1 in on_consent:
                withheld.append((draft.category, WithheldReason.CONSENT_OVER.value))
            else:
                included.append(place)
        return Share(tuple(included), tuple(withheld))
