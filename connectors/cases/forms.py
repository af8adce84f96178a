# SPDX-License-Identifier: Apache-2.0
"""How every kind of message is composed here and read here, but for the handover's offer with its package.

A message is section 0 and any number of sections; `source` of a stored message is those sections before sealing,
so that who gets what is decided anew at every sealing (CON-7).
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from pydantic import TypeAdapter

from connectors.admission import PayloadForm
from connectors.composition import Composer, NoSections, Share
from connectors.handover_form import stored_package
from connectors.store.outgoing import OutgoingMessage
from keys.opening import VerifiedMessage
from keys.sealing import SectionDraft
from protocol.bodies import CATEGORIES
from protocol.clearance import Category, DeskFunction
from protocol.content import encode_payload
from protocol.errors import MalformedEnvelope
from protocol.handover import (
    PAYLOAD_TYPE,
    PackageSection,
    decode_section_body,
    share_of,
)
from protocol.kinds.base import MessageKind
from protocol.kinds.catalogue import KINDS, decode_payload

_SECTIONS: Final[TypeAdapter[tuple[PackageSection, ...]]] = TypeAdapter(tuple[PackageSection, ...])
_UNKNOWN_FUNCTION: Final = "unknown-function"


def stored_sections(message: OutgoingMessage) -> tuple[PackageSection, ...]:
    """Return the sections that a message of ours was composed of; of an offer those of its package."""
    if message.payload_type == PAYLOAD_TYPE:
        return stored_package(message).sections
    return _SECTIONS.validate_json(message.source) if message.source else ()


def source_of(sections: Sequence[PackageSection]) -> bytes:
    """Return what is stored of `sections`, for every later sealing."""
    return json.dumps([section.model_dump(mode="json") for section in sections], ensure_ascii=False).encode()


class SectionComposer:
    """Decides the sections of any message from what it was composed of."""

    def sections(self, message: OutgoingMessage) -> tuple[SectionDraft, ...]:
        """Return all sections, in their order, each with its attachments."""
        return tuple(
            SectionDraft(
                section.category,
                section.purpose,
                section.label,
                encode_payload(section.body),
                tuple(entry for place, entry in message.attachments if place == number),
            )
            for number, section in enumerate(stored_sections(message), start=1)
        )

    def share(self, message: OutgoingMessage, function: str) -> Share:
        """Return what a desk of `function` gets; a function that is not in the table gets nothing."""
        sections = stored_sections(message)
        try:
            found = share_of(sections, DeskFunction(function))
        except ValueError:
            return Share(withheld=tuple((section.category, _UNKNOWN_FUNCTION) for section in sections))
        return Share(found.included, tuple((one.category, one.reason) for one in found.withheld))


def composers() -> Mapping[str, Composer]:
    """Return the composer of every kind but the handover's offer."""
    return {
        kind.name: NoSections() if kind.klass.bare else SectionComposer()
        for kind in KINDS.values()
        if kind.name != PAYLOAD_TYPE
    }


def forms() -> tuple[PayloadForm, ...]:
    """Return how a verified message of every kind but the handover's offer is read."""
    return tuple(
        PayloadForm(kind.name, kind.version, kind.klass, partial(_check, kind))
        for kind in KINDS.values()
        if kind.name != PAYLOAD_TYPE
    )


def _check(kind: MessageKind, message: VerifiedMessage) -> None:
    decode_payload(kind, message.payload)
    for section in message.sections.values():
        body = decode_section_body(section.body)
        if Category(section.category) not in CATEGORIES[type(body)]:
            raise MalformedEnvelope("A section's content is of another form than its category allows.")
