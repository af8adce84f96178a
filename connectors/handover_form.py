# SPDX-License-Identifier: Apache-2.0
"""How handovers are composed here and read here: the one place that joins the outbox's words to the package's."""

from typing import Final

from connectors.admission import PayloadForm
from connectors.composition import Share
from connectors.store.outgoing import OutgoingMessage
from keys.opening import VerifiedMessage
from keys.sealing import SectionDraft
from protocol.bodies import CATEGORIES
from protocol.clearance import Category, DeskFunction
from protocol.content import encode_payload
from protocol.errors import MalformedEnvelope
from protocol.handover import (
    PAYLOAD_TYPE,
    PAYLOAD_VERSION,
    HandoverPackage,
    decode_offer,
    decode_section_body,
    sections_for,
)
from protocol.rows import EnvelopeClass

_UNKNOWN_FUNCTION: Final = "unknown-function"


def stored_package(message: OutgoingMessage) -> HandoverPackage:
    """Return the package that a message of ours was composed from."""
    return HandoverPackage.model_validate_json(message.source)


class HandoverComposer:
    """Decides a handover's sections from its package, anew at every sealing (CON-7)."""

    def sections(self, message: OutgoingMessage) -> tuple[SectionDraft, ...]:
        """Return all sections of the package, in its order, each with its attachments."""
        return tuple(
            SectionDraft(
                section.category,
                section.purpose,
                section.label,
                encode_payload(section.body),
                tuple(entry for place, entry in message.attachments if place == number),
            )
            for number, section in enumerate(stored_package(message).sections, start=1)
        )

    def share(self, message: OutgoingMessage, function: str) -> Share:
        """Return what a desk of `function` gets; a function that is not in the table gets nothing."""
        package = stored_package(message)
        try:
            found = sections_for(package, DeskFunction(function))
        except ValueError:
            return Share(withheld=tuple((section.category, _UNKNOWN_FUNCTION) for section in package.sections))
        return Share(found.included, tuple((one.category, one.reason) for one in found.withheld))


def _check(message: VerifiedMessage) -> None:
    decode_offer(message.payload)
    for section in message.sections.values():
        body = decode_section_body(section.body)
        if Category(section.category) not in CATEGORIES[type(body)]:
            raise MalformedEnvelope("A section's content is of another form than its category allows.")


HANDOVER_FORM: Final = PayloadForm(PAYLOAD_TYPE, PAYLOAD_VERSION, EnvelopeClass.REFERRAL, _check)
