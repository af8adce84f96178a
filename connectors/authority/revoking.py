# SPDX-License-Identifier: Apache-2.0
"""Ending an agency, or one of its devices: what the directory says ends with it, and what approvers sign (ENR-8)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from keys.directory import AgencyEntry, DelegationEntry, DeviceEntry, Directory
from protocol.address import AgencyAddress
from protocol.errors import Conflict, InvalidInput, NotFound, Revoked
from protocol.ids import KeyId

LEAST_DIGITS: Final = 8
"""Of a device's key id that name it: over four thousand million devices to guess from."""


class Reason(StrEnum):
    """Why something is revoked; everybody can read it."""

    KEY_COMPROMISE = "key-compromise"
    LOST = "lost"
    ENDED = "ended"
    MISTAKE = "mistake"


@dataclass(frozen=True, slots=True)
class Ending:
    """What one revocation ends, by the verified directory."""

    target: KeyId
    """The key id that it names: an agency's identity, or a device."""
    agency: AgencyEntry
    devices: tuple[DeviceEntry, ...]
    """Those in force that end with it."""
    delegations: tuple[DelegationEntry, ...]
    """Likewise: nobody acts for the agency by them any more."""
    whole: bool
    """Whether the agency ends, not only a device."""
    enrolled_anew: bool = False
    """Whether the agency lives on under newer keys than those that end."""


def ending_of_agency(directory: Directory, address: AgencyAddress, now: int, *, former: bool = False) -> Ending:
    """Return what ends with an agency, or with the keys that it had `former` to its newest enrolment.

    Raises `NotFound` for an agency, or former keys, that the directory does not know, and `Revoked` if they have ended
    by a revocation already.
    """
    line = directory.agency_line(address)
    if not line:
        raise NotFound("The directory knows no agency of that name.")
    newest = line[-1]
    if former:
        earlier = [entry for entry in line if entry.identity != newest.identity]
        if not earlier:
            raise NotFound("The agency never had other keys than those that it has now.")
        newest = earlier[-1]
    if newest.revoked_index is not None:
        raise Revoked("It was revoked before. Nothing more is needed.")
    # A revocation ends what it names and all before it (DIR-2), so also devices under keys that the agency had earlier.
    ended = {entry.identity.key_id for entry in line if entry.index <= newest.index}
    return Ending(
        target=newest.identity.key_id,
        agency=newest,
        devices=tuple(one for one in _in_force(directory, address, now) if one.issuer in ended),
        delegations=tuple(one for one in directory.delegations(address, now) if one.issuer in ended),
        whole=True,
        enrolled_anew=former,
    )


def ending_of_device(directory: Directory, address: AgencyAddress, digits: str, now: int) -> Ending:
    """Return what ends with the device of the agency whose key id begins with `digits`.

    Raises `InvalidInput` for too few or wrong digits, `NotFound` if no device of the agency has such a key id,
    `Conflict` if several have, and `Revoked` if it was revoked before.
    """
    line = directory.agency_line(address)
    if not line:
        raise NotFound("The directory knows no agency of that name.")
    wanted = digits.lower()
    if len(wanted) < LEAST_DIGITS or set(wanted) - set("0123456789abcdef"):
        raise InvalidInput(f"A device is named by the first {LEAST_DIGITS} or more digits of its key id.")
    found = [one for one in directory.devices_of(address) if one.key_id.hex().startswith(wanted)]
    if not found:
        raise NotFound("This agency has no device whose key id begins so.")
    if len(found) > 1:
        raise Conflict("Several devices of this agency have key ids that begin so. Give more digits.")
    (device,) = found
    if device.revoked_index is not None:
        raise Revoked("It was revoked before. Nothing more is needed.")
    return Ending(target=device.key_id, agency=line[-1], devices=(device,), delegations=(), whole=False)


def _in_force(directory: Directory, address: AgencyAddress, now: int) -> list[DeviceEntry]:
    """Return the agency's devices that count now, under whichever of its keys."""
    return [one for one in directory.devices_of(address) if directory.counts(one.key_id, now)]
