# SPDX-License-Identifier: Apache-2.0
"""Addresses of agencies and desks: `reka-probation@hub.example`, `intake.reka-probation@hub.example` (ID-2)."""

import re
from typing import NewType

from protocol.errors import InvalidInput

AgencyAddress = NewType("AgencyAddress", str)
DeskAddress = NewType("DeskAddress", str)

MAX_ADDRESS = 182

_NAME = r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?"
_DOMAIN = r"[a-z0-9.-]{1,100}"
_AGENCY = re.compile(rf"{_NAME}@{_DOMAIN}")
_DESK = re.compile(rf"{_NAME}\.{_NAME}@{_DOMAIN}")


def parse_agency(text: str) -> AgencyAddress:
    """Return `text` as an agency's address, or raise `InvalidInput` (ID-2)."""
    if len(text) > MAX_ADDRESS or not _AGENCY.fullmatch(text):
        raise InvalidInput("An agency's address reads name@hub-domain, in a-z, 0-9 and hyphens.")
    return AgencyAddress(text)


def parse_desk(text: str) -> DeskAddress:
    """Return `text` as a desk's address, or raise `InvalidInput` (ID-2)."""
    if len(text) > MAX_ADDRESS or not _DESK.fullmatch(text):
        raise InvalidInput("A desk's address reads desk.agency@hub-domain, in a-z, 0-9 and hyphens.")
    return DeskAddress(text)


def agency_of(desk: DeskAddress) -> AgencyAddress:
    """Return the address of the agency that `desk` belongs to."""
    return AgencyAddress(desk.partition(".")[2])


def desk_name(desk: DeskAddress) -> str:
    """Return the part of `desk` before the agency's name."""
    return desk.partition(".")[0]


def desk_of(name: str, agency: AgencyAddress) -> DeskAddress:
    """Return the address of the desk `name` of `agency`, or raise `InvalidInput` (ID-2)."""
    return parse_desk(f"{name}.{agency}")


def domain_of(address: AgencyAddress | DeskAddress) -> str:
    """Return the hub domain of an address."""
    return address.partition("@")[2]
