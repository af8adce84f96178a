# SPDX-License-Identifier: Apache-2.0
"""What of a message goes to whom, decided anew at every sealing (CON-7).

The outbox knows nothing of handovers. It asks the composer of a payload type for the message's sections and
for each desk's share of them; sections that go to nobody are not sealed at all, so that their number, size
and existence stay here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from connectors.store.outgoing import OutgoingMessage
from connectors.store.recipients import Plan
from keys.sealing import SectionDraft
from protocol.address import DeskAddress


@dataclass(frozen=True, slots=True)
class Share:
    """One desk's part: indexes into the message's sections, and what is withheld: (category, reason)."""

    included: tuple[int, ...] = ()
    withheld: tuple[tuple[str, str], ...] = ()


class Composer(Protocol):
    """Decides for one payload type."""

    def sections(self, message: OutgoingMessage) -> tuple[SectionDraft, ...]:
        """Return all sections of the message, whoever may see them."""

    def share(self, message: OutgoingMessage, function: str) -> Share:
        """Return what a desk of `function` gets, as the rules stand now."""


class NoSections:
    """The composer of receipts and notices, which have section 0 only (ENV-6)."""

    def sections(self, message: OutgoingMessage) -> tuple[SectionDraft, ...]:
        """Return none."""
        return ()

    def share(self, message: OutgoingMessage, function: str) -> Share:
        """Return nothing beside section 0."""
        return Share()


@dataclass(frozen=True, slots=True)
class Composition:
    """The sections to seal; for each desk the numbers it gets in this envelope (from 1), and its plan.

    A plan counts sections as the whole message does, so that it reads the same after every sealing.
    """

    sections: tuple[SectionDraft, ...]
    numbers: Mapping[DeskAddress, tuple[int, ...]]
    plans: Mapping[DeskAddress, Plan]


def compose(composer: Composer, message: OutgoingMessage, functions: Mapping[DeskAddress, str]) -> Composition:
    """Return what is sealed for the desks of `functions`; a section that none of them gets is left out."""
    drafts = composer.sections(message)
    shares = {desk: composer.share(message, function) for desk, function in functions.items()}
    going = sorted({index for share in shares.values() for index in share.included})
    numbers = {index: number for number, index in enumerate(going, start=1)}
    return Composition(
        sections=tuple(drafts[index] for index in going),
        numbers={desk: tuple(numbers[index] for index in sorted(share.included)) for desk, share in shares.items()},
        plans={desk: _plan(share, drafts) for desk, share in shares.items()},
    )


def _plan(share: Share, drafts: tuple[SectionDraft, ...]) -> Plan:
    return Plan(
        going=tuple((index + 1, drafts[index].category) for index in sorted(share.included)),
        withheld=share.withheld,
    )
