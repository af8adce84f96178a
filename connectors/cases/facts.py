# SPDX-License-Identifier: Apache-2.0
"""What one message says that decides to which case its thread belongs: numbers, names, and what it goes on from.

Pure: a message of ours, or a verified one of another's, gives facts; `connectors.store.cases.merge` joins them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from connectors.cases.forms import stored_sections
from connectors.store.casefacts import Facts, Stated
from connectors.store.incoming import ReceivedMessage
from connectors.store.outgoing import OutgoingMessage
from protocol.address import AgencyAddress
from protocol.bodies.person import Identifiers, Person
from protocol.clearance import Category
from protocol.content import Content
from protocol.handover import HandoverOffer, decode_section_body
from protocol.ids import MessageId
from protocol.kinds.base import Payload
from protocol.kinds.catalogue import KINDS, decode_payload
from protocol.kinds.referral.request import Request


@dataclass(frozen=True, slots=True)
class Said:
    """What a message says: facts, and every name and number by which somebody may look for the person."""

    facts: Facts = field(default_factory=Facts)
    findable: tuple[str, ...] = ()


def facts_of_ours(message: OutgoingMessage, own: AgencyAddress, recipients: Iterable[AgencyAddress]) -> Said:
    """Return what a message of ours to these agencies says."""
    if message.payload_type not in KINDS:
        return Said()
    payload = decode_payload(KINDS[message.payload_type], message.payload)
    others = set(recipients)
    other = others.pop() if len(others) == 1 else None
    return _said(
        payload,
        _own_bodies(message),
        sender=own,
        own=own,
        other=other,
        at=message.created_at,
        message_id=message.message_id,
    )


def facts_of_theirs(message: ReceivedMessage, own: AgencyAddress, *, of_us: bool = True) -> Said:
    """Return what a verified message of another agency says.

    Of our own numbers, and of what the thread goes on from, only where it counts `of_us` (CAS-1).
    """
    if message.payload_type not in KINDS:
        return Said()
    payload = decode_payload(KINDS[message.payload_type], message.payload)
    bodies = [decode_section_body(one.body) for one in message.sections if one.category == Category.IDENTITY]
    return _said(
        payload,
        bodies,
        sender=message.agency,
        own=own,
        other=message.agency,
        at=message.accepted_at,
        message_id=message.message_id,
        of_us=of_us,
    )


def _said(
    payload: Content,
    bodies: Sequence[Content],
    *,
    sender: AgencyAddress,
    own: AgencyAddress,
    other: AgencyAddress | None,
    at: int,
    message_id: MessageId,
    of_us: bool = True,
) -> Said:
    """`other` is the one agency on the other side; without one only what is ours can be told apart.

    Without `of_us` what another agency says of our numbers, and of what the thread goes on from, is left out (CAS-1).
    """
    ours, person = sender == own, next((body for body in bodies if isinstance(body, Person)), None)

    def said(*values: str | None, by_us: bool = False) -> Stated | None:
        return Stated(by_us, at, message_id, tuple(one or "" for one in values)) if any(values) else None

    senders, recipients = _numbers(payload, other if ours else own)
    persons = (person.sender_number, person.recipient_number) if person else (None, None)
    if not of_us:
        recipients, persons = None, (persons[0], None)
    number, other_number = (senders, recipients) if ours else (recipients, senders)
    own_person, other_person = persons if ours else (persons[1], persons[0])
    facts = Facts(
        number=said(number, by_us=ours),
        other_number=said(other, other_number) if other and other_number else None,
        own_person=said(own_person, by_us=ours),
        other_person=said(other, other_person, by_us=ours) if other and other_person else None,
        link=said(_link(payload)) if of_us else None,
        name=_name(person, at, message_id, by_us=ours),
    )
    return Said(facts, tuple(one for one in (senders, recipients, *_names(bodies, of_us=of_us)) if one))


def _numbers(payload: Content, recipient: AgencyAddress | None) -> tuple[str | None, str | None]:
    """Return the register numbers of the sender and of this recipient."""
    if isinstance(payload, HandoverOffer):
        known = {one.agency: one.number for one in payload.parties.recipient_register_numbers}
        return payload.terms.sender_register_number, known.get(recipient or "")
    if isinstance(payload, Payload):
        return payload.register_numbers.sender, payload.register_numbers.recipient if recipient else None
    return None, None


def _link(payload: Content) -> str | None:
    if not isinstance(payload, Request):
        return None
    return payload.reopens or payload.part_of or payload.residual_of or payload.forwards


def _name(person: Person | None, at: int, message_id: MessageId, *, by_us: bool) -> Stated | None:
    # As with numbers, what our own agency says of its person counts before how another one spells it (CAS-6).
    if person is None:
        return None
    born = person.date_of_birth.isoformat() if person.date_of_birth else ""
    return Stated(by_us, at, message_id, (person.family_name, person.given_names or "", born))


def _names(bodies: Iterable[Content], *, of_us: bool) -> Iterator[str | None]:
    """Yield the person's names, numbers and date of birth; those of relatives are not the person's."""
    for body in bodies:
        if isinstance(body, Person):
            yield from (body.family_name, body.given_names, body.known_as, body.sender_number)
            yield body.recipient_number if of_us else None
            yield body.date_of_birth.isoformat() if body.date_of_birth else None
        if isinstance(body, Identifiers):
            for name in body.other_names:
                yield from (name.family_name, name.given_names)
            yield from (one.number for one in body.numbers)


def _own_bodies(message: OutgoingMessage) -> Sequence[Content]:
    return [section.body for section in stored_sections(message)]
