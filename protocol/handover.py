# SPDX-License-Identifier: Apache-2.0
"""The handover package: what a sender composes before anything is sealed, and what each recipient then reads.

A package has terms (what moves, when, until when an answer is due) and sections, each with one category, one
purpose, one basis and the desk functions it is meant for. `HandoverOffer` is the payload of section 0: machine
state that every recipient reads, without a name, a number of the person, or a category (ENV-12). Who gets
which section is decided by `sections_for` and by nothing else (CON-7).

Version 1, pre-release: it may change until the life cycle of handovers is frozen.
"""

from collections.abc import Sequence
from datetime import date
from enum import StrEnum
from typing import Annotated, ClassVar, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field, TypeAdapter, model_validator

from protocol import limits
from protocol.address import AgencyAddress, parse_agency
from protocol.bodies import CATEGORIES, Body
from protocol.clearance import (
    KIND_OF,
    RESTRICTED,
    AgencyKind,
    Basis,
    Category,
    Clearance,
    DeskFunction,
    Label,
    Purpose,
    clearance,
    permitted,
)
from protocol.content import Content, Held, Line, decode_content, encode_payload
from protocol.errors import InvalidInput, TooLarge
from protocol.fieldcodes import broken, of_wrong_form
from protocol.holding import STATE
from protocol.ids import Kind, raw
from protocol.padding import ciphertext_size, padded_size

PAYLOAD_TYPE = "handover.offer"
PAYLOAD_VERSION = 1

MAX_OFFER = 3_500
"""Bytes of an encoded offer; with its claims it must stay well inside section 0 (ENV-12)."""
MAX_PACKAGE_SECTIONS = limits.MAX_SECTIONS - 1
"""ENV-2, without section 0."""
_ROOM = 64 << 10
"""Bytes of an envelope kept for header, rows, wraps, signatures and section heads."""
_HEAD = 512
"""Bytes of a section's head before its body, generously."""

_STATE = Held(STATE)


def _is_agency(text: str) -> str:
    try:
        return parse_agency(text)
    except InvalidInput:
        raise of_wrong_form() from None


def _is_pseudonym(text: str) -> str:
    try:
        raw(Kind.SUBJECT, text)
    except InvalidInput:
        raise of_wrong_form() from None
    return text


_Agency = Annotated[str, AfterValidator(_is_agency)]
_RegisterNumber = Annotated[Line, Field(max_length=60)]


class Moved(StrEnum):
    """What moves from one agency to the other."""

    SUPERVISION = "supervision"
    PLAN_OWNERSHIP = "plan-ownership"
    FAMILY_CONTACT = "family-contact"
    MENTOR_COORDINATION = "mentor-coordination"


class Priority(StrEnum):
    """Which clock runs; `hard-stop` is a release within two working days."""

    EMERGENCY = "emergency"
    URGENT = "urgent"
    NORMAL = "normal"
    HARD_STOP = "hard-stop"


class TriggerEvent(StrEnum):
    """The event that can make a handover effective."""

    RELEASE_NOTICE = "release.notice"


class NoSupervisor(StrEnum):
    """Why nobody supervises in law after the handover."""

    FULL_TERM = "full-term"
    NO_PROBATION_SERVICE = "no-probation-service"
    NOT_DETERMINED = "not-determined"


class Trigger(Content):
    """What makes the handover effective: an event, a date, or an event expected on a date."""

    event: Annotated[TriggerEvent | None, _STATE] = None
    expected_on: Annotated[date | None, _STATE] = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.event is None and self.expected_on is None:
            raise broken("event-or-date")
        return self


class Terms(Content):
    """The part of an offer that the sending officer (or the mapping file) decides."""

    trigger: Annotated[Trigger, _STATE]
    what_moves: Annotated[tuple[Moved, ...], Field(min_length=1, max_length=len(Moved)), _STATE]
    priority: Annotated[Priority, _STATE]
    acknowledge_by: Annotated[date, _STATE]
    answer_by: Annotated[date, _STATE]
    sender_register_number: Annotated[_RegisterNumber | None, _STATE] = None
    """The sender's number of this correspondence, not a number of the person."""


class RegisterNumber(Content):
    """A recipient's number of this correspondence, where it is known already."""

    agency: Annotated[_Agency, _STATE]
    number: Annotated[_RegisterNumber, _STATE]


class Parties(Content):
    """The part of an offer that follows from who sends it to whom."""

    subject: Annotated[str, AfterValidator(_is_pseudonym), _STATE]
    """The person's pseudonym in this thread (ID-1)."""
    current_responsible: Annotated[_Agency, _STATE]
    next_responsible: Annotated[_Agency, _STATE]
    coordination_lead: Annotated[_Agency, _STATE]
    """Who leads now. Exactly one agency does, and it stays the sender until the handover is effective."""
    legal_supervisor: Annotated[_Agency | None, _STATE] = None
    no_supervisor: Annotated[NoSupervisor | None, _STATE] = None
    recipient_register_numbers: Annotated[tuple[RegisterNumber, ...], Field(max_length=8), _STATE] = ()

    @model_validator(mode="after")
    def _supervised_or_not(self) -> Self:
        if (self.legal_supervisor is None) == (self.no_supervisor is None):
            raise broken("supervisor-or-reason")
        return self


class HandoverOffer(Content):
    """The payload of section 0 of `handover.offer` version 1 (CNT-2, ENV-12)."""

    max_bytes: ClassVar[int] = MAX_OFFER

    kind: Literal["handover.offer"] = "handover.offer"
    version: Annotated[Literal[1], _STATE] = 1
    parties: Annotated[Parties, _STATE]
    terms: Annotated[Terms, _STATE]


class PackageSection(Content):
    """One section before sealing: the head's fields, whom it is meant for, and the body."""

    category: Category
    purpose: Purpose
    basis: Basis
    citation: Line | None = None
    label: Label = Label.STANDARD
    functions: Annotated[tuple[DeskFunction, ...], Field(min_length=1, max_length=len(DeskFunction))]
    body: Body

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.category not in CATEGORIES[type(self.body)]:
            raise broken("body-of-another-category")
        if self.category in RESTRICTED and self.label is not Label.RESTRICTED:
            raise broken("label-missing")
        return self


class HandoverPackage(Content):
    """Terms and sections of one handover, before anybody is addressed and anything is sealed."""

    terms: Terms
    sections: Annotated[tuple[PackageSection, ...], Field(min_length=1, max_length=MAX_PACKAGE_SECTIONS)]

    def offer(self, parties: Parties) -> HandoverOffer:
        """Return the payload of section 0 for these parties."""
        return HandoverOffer(parties=parties, terms=self.terms)


class WithheldReason(StrEnum):
    """Why a desk does not get a section; told to the sender only."""

    NOT_MEANT = "not-meant-for-this-function"
    NEVER = "never-for-this-function"
    NO_BASIS = "no-basis-in-law-named"
    BLOCKED = "thread-blocked"
    IN_ERROR = "thread-in-error"
    WITHDRAWN = "thread-withdrawn"
    """These three: its thread was stopped before it was sealed (CON-22)."""
    CONSENT_OVER = "consent-over"
    """It went on the person's consent, and its sender said in the thread that this is over (CON-27)."""


class Withheld(NamedTuple):
    """A section that a desk does not get: its position in the package (from 0), its category, and why."""

    position: int
    category: Category
    reason: WithheldReason


class Share(NamedTuple):
    """What a desk gets: positions in the package's sections, ascending, and what is kept from it."""

    included: tuple[int, ...]
    withheld: tuple[Withheld, ...]


def _withheld(section: PackageSection, function: DeskFunction) -> WithheldReason | None:
    if clearance(section.category, function) is Clearance.NEVER:
        return WithheldReason.NEVER
    if function not in section.functions:
        return WithheldReason.NOT_MEANT
    if not permitted(section.category, function, section.basis, section.citation):
        return WithheldReason.NO_BASIS
    return None


def sections_for(package: HandoverPackage, function: DeskFunction) -> Share:
    """Return what a desk of this function gets of a package, and what not (CON-7)."""
    return share_of(package.sections, function)


def share_of(sections: Sequence[PackageSection], function: DeskFunction) -> Share:
    """Return which of `sections` a desk of this function gets, and which not (CON-7).

    A section is included when it is meant for the function and the table permits it; every section is in
    exactly one of the two parts of the result.
    """
    reasons = [(index, s.category, _withheld(s, function)) for index, s in enumerate(sections)]
    return Share(
        included=tuple(index for index, _, reason in reasons if reason is None),
        withheld=tuple(Withheld(index, c, reason) for index, c, reason in reasons if reason is not None),
    )


def parties_for(
    subject: str, sender: AgencyAddress, recipients: Sequence[tuple[AgencyAddress, DeskFunction]]
) -> Parties:
    """Return who hands over to whom: `recipients` are the addressed agencies with their desks' functions.

    The first probation desk takes responsibility and supervises; without one the first social-work desk
    takes the lead, otherwise the first recipient, and nobody is named as supervisor. `InvalidInput` without
    a recipient, or for a pseudonym or address of the wrong form.
    """
    if not recipients:
        raise InvalidInput("A handover needs at least one recipient.")
    by_kind: dict[AgencyKind, AgencyAddress] = {}
    for agency, function in recipients:
        by_kind.setdefault(KIND_OF[function], agency)
    probation = by_kind.get(AgencyKind.PROBATION)
    try:
        return Parties(
            subject=subject,
            current_responsible=sender,
            next_responsible=probation or by_kind.get(AgencyKind.CSW) or recipients[0][0],
            coordination_lead=sender,
            legal_supervisor=probation,
            no_supervisor=None if probation else NoSupervisor.NOT_DETERMINED,
        )
    except ValueError:
        raise InvalidInput("The pseudonym or an agency's address is not of its form.") from None


def check_size(package: HandoverPackage) -> None:
    """Raise `TooLarge` if the package, sealed, could not fit into one envelope (ENV-2)."""
    sealed = sum(
        ciphertext_size(padded_size(len(encode_payload(section.body)) + _HEAD)) for section in package.sections
    )
    if sealed > limits.MAX_ENVELOPE - _ROOM:
        raise TooLarge("The package is larger than one envelope holds. Send fewer notes, or part of them later.")


_OFFER: TypeAdapter[HandoverOffer] = TypeAdapter(HandoverOffer)
_BODY: TypeAdapter[Body] = TypeAdapter(Body)


def decode_offer(data: bytes) -> HandoverOffer:
    """Read the payload of section 0, or raise `MalformedEnvelope`; the text never repeats the input (ERR-2)."""
    return decode_content(_OFFER, data, what="a handover.offer of version 1", limit=MAX_OFFER)


def decode_section_body(data: bytes) -> Body:
    """Read the body of a section, or raise `MalformedEnvelope`; the text never repeats the input (ERR-2)."""
    return decode_content(_BODY, data, what="a body of a handover's section")
