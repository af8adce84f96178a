# SPDX-License-Identifier: Apache-2.0
"""What a referral asks for: kind 7."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from protocol.bodies.needs import Pathway
from protocol.content import Content
from protocol.fieldcodes import broken
from protocol.kinds.base import (
    HELD,
    Code,
    Day,
    OfficerRef,
    Payload,
    ThreadRef,
)

MAX_SERVICES = 12


class Whereabouts(StrEnum):
    """Where the person is now; more is in a section."""

    CUSTODY = "custody"
    COMMUNITY = "community"
    HOSPITAL = "hospital"
    UNKNOWN = "unknown"


class ReleaseUnknown(StrEnum):
    """Why no release date is given."""

    NOT_DECIDED = "not-decided"
    NOT_IN_CUSTODY = "not-in-custody"
    INDETERMINATE = "indeterminate"
    NOT_TOLD = "not-told"


class PersonKnows(StrEnum):
    """What the person knows about this referral."""

    AGREED = "agreed"
    INFORMED = "informed"
    REFUSED = "refused"
    """Recorded without prejudice; the basis is then another than consent."""
    NOT_INFORMED = "not-informed"


class ContactMethod(StrEnum):
    """How the person may be reached the first time."""

    THROUGH_REQUESTER = "through-requester"
    TELEPHONE = "telephone"
    LETTER = "letter"
    VISIT = "visit"


class DuplicateCheck(StrEnum):
    """What the requester's connector found before it was sent."""

    NONE_FOUND = "none-found"
    CONTINUES = "continues-another"
    SENT_ANYWAY = "sent-anyway"


class ServiceWanted(Content):
    """One service that is asked for, and what should come of it."""

    code: Code
    pathway: Annotated[Pathway, HELD]
    outcome: Code


class Request(Payload):
    """`referral.request`: asks another agency for services; responsibility stays here."""

    kind: Literal["referral.request"] = "referral.request"
    services: Annotated[tuple[ServiceWanted, ...], Field(min_length=1, max_length=MAX_SERVICES), HELD]
    whereabouts: Annotated[Whereabouts, HELD]
    release_on: Day | None = None
    release_unknown: Annotated[ReleaseUnknown | None, HELD] = None
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Z][a-z]{3})?$"), HELD]
    """In which language, and where it has two scripts in which, to speak with the person."""
    interpreter: Annotated[bool, HELD] = False
    person_knows: Annotated[PersonKnows, HELD]
    contact: Annotated[ContactMethod, HELD]
    duplicates: Annotated[DuplicateCheck, HELD]
    deputy: OfficerRef | None = None
    """Who answers questions when the acting officer is away."""
    answer_by: Day
    residual_of: ThreadRef | None = None
    reopens: ThreadRef | None = None
    forwards: ThreadRef | None = None
    part_of: ThreadRef | None = None
    """The referral that a sub-referral serves; its requester stays responsible."""

    @model_validator(mode="after")
    def _release_or_reason(self) -> Self:
        if (self.release_on is None) == (self.release_unknown is None):
            raise broken("date-or-reason")
        codes = [service.code for service in self.services]
        if len(set(codes)) != len(codes):
            raise broken("service-twice")
        return self
