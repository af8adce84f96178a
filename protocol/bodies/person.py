# SPDX-License-Identifier: Apache-2.0
"""Who it is about, where to find them, and whom to turn to."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from protocol.clearance import Category
from protocol.content import MAX_ITEMS, Content, Held, Line

_IDENTITY = Held(Category.IDENTITY)
_CONTACT = Held(Category.CONTACT)
_LOCATION = Held(Category.LOCATION)
_STAFF = Held(Category.STAFF_CONTACT)
_THIRD = Held(Category.THIRD_PARTY)
_LIST = Field(max_length=MAX_ITEMS)


class Person(Content):
    """Who it is about, as far as everybody who helps must know."""

    kind: Literal["person"] = "person"
    family_name: Annotated[Line, _IDENTITY]
    given_names: Annotated[Line | None, _IDENTITY] = None
    known_as: Annotated[Line | None, _IDENTITY] = None
    date_of_birth: Annotated[date | None, _IDENTITY] = None
    sex: Annotated[Line | None, _IDENTITY] = None
    nationality: Annotated[Line | None, _IDENTITY] = None
    language: Annotated[Line | None, _IDENTITY] = None
    interpreter_needed: Annotated[bool | None, _IDENTITY] = None
    sender_number: Annotated[Line | None, _IDENTITY] = None
    """The person's number at the sending agency."""
    recipient_number: Annotated[Line | None, _IDENTITY] = None
    """The person's number at the agency that takes over, where the sender knows it."""


class OtherName(Content):
    """A name under which the person is also recorded."""

    family_name: Annotated[Line | None, _IDENTITY] = None
    given_names: Annotated[Line | None, _IDENTITY] = None
    date_of_birth: Annotated[date | None, _IDENTITY] = None


class Number(Content):
    """The person's number in some register."""

    register_name: Annotated[Line, _IDENTITY]
    number: Annotated[Line, _IDENTITY]


class Identifiers(Content):
    """Other names, and numbers in registers that by themselves tell of police or court."""

    kind: Literal["identifiers"] = "identifiers"
    other_names: Annotated[tuple[OtherName, ...], _LIST, _IDENTITY] = ()
    numbers: Annotated[tuple[Number, ...], _LIST, _IDENTITY] = ()


class ContactDetails(Content):
    """How to reach the person."""

    kind: Literal["contact-details"] = "contact-details"
    telephone: Annotated[Line | None, _CONTACT] = None
    mobile: Annotated[Line | None, _CONTACT] = None
    email: Annotated[Line | None, _CONTACT] = None
    first_contact: Annotated[Line | None, _CONTACT] = None
    """How the first contact may be made."""


class Address(Content):
    """Where the person lives or will live; the lines stay apart, so that an area can be given without a door."""

    kind: Literal["address"] = "address"
    no_fixed_abode: Annotated[bool | None, _LOCATION] = None
    building: Annotated[Line | None, _LOCATION] = None
    house_number: Annotated[Line | None, _LOCATION] = None
    street: Annotated[Line | None, _LOCATION] = None
    district: Annotated[Line | None, _LOCATION] = None
    town: Annotated[Line | None, _LOCATION] = None
    county: Annotated[Line | None, _LOCATION] = None
    postcode: Annotated[Line | None, _LOCATION] = None
    since: Annotated[date | None, _LOCATION] = None


class StaffContact(Content):
    """A role to turn to; a name only where the section's recipients get named leads."""

    role: Annotated[Line, _STAFF]
    name: Annotated[Line | None, _STAFF] = None
    organisation: Annotated[Line | None, _STAFF] = None
    team: Annotated[Line | None, _STAFF] = None
    telephone: Annotated[Line | None, _STAFF] = None
    email: Annotated[Line | None, _STAFF] = None


class StaffContacts(Content):
    """Whom to turn to at the agencies concerned."""

    kind: Literal["staff-contacts"] = "staff-contacts"
    contacts: Annotated[tuple[StaffContact, ...], _LIST, _STAFF] = ()


class FamilyContact(Content):
    """A relative or friend: a data subject in their own right."""

    name: Annotated[Line, _THIRD]
    relation: Annotated[Line | None, _THIRD] = None
    telephone: Annotated[Line | None, _THIRD] = None
    contact_wanted: Annotated[bool | None, _THIRD] = None
    contact_forbidden: Annotated[bool | None, _THIRD] = None


class FamilyContacts(Content):
    """Family and friends, as far as the handover needs them."""

    kind: Literal["family-contacts"] = "family-contacts"
    contacts: Annotated[tuple[FamilyContact, ...], _LIST, _THIRD] = ()
