# SPDX-License-Identifier: Apache-2.0
"""Whether the authority vouches for an agency's keys, and what the agency can do where it does not (DIR-2, DIR-6)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from keys.directory import AgencyEntry, Directory
from protocol.address import AgencyAddress
from protocol.errors import Revoked, UntrustedKey
from protocol.ids import KeyId


class Vouching(Enum):
    """How the authority stands to an agency's keys."""

    FOR = auto()
    NEVER = auto()
    OTHERS = auto()
    REVOKED = auto()
    ENDED = auto()
    ABOVE = auto()
    """The agency's certificate would count; what it stands on does not."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong, and what to do about it."""

    found: str
    fix: str


_NEW_CODE: Final = "Ask the authority for a new code, and enrol anew with a new data folder: old keys never come back."

TROUBLES: Final[Mapping[Vouching, Trouble]] = {
    Vouching.NEVER: Trouble("The directory knows no agency of this name.", _NEW_CODE),
    Vouching.OTHERS: Trouble("The authority vouches for other keys of this agency by now.", _NEW_CODE),
    Vouching.REVOKED: Trouble("The authority has revoked this agency.", _NEW_CODE),
    Vouching.ENDED: Trouble(
        "The agency's certificate has ended.",
        "Ask the authority to renew it (throughcare authority renew). Nothing else is needed; enrolling anew would "
        "leave the cases behind.",
    ),
    Vouching.ABOVE: Trouble(
        "The authority's own certificate, or the root's above it, has ended or was revoked.",
        "Call the authority: it concerns all its agencies. Do not enrol anew.",
    ),
}


def vouching(directory: Directory, agency: AgencyAddress, identity: KeyId, now: int) -> Vouching:
    """Return how the authority stands to the `identity` of an agency at `now`, ms UTC."""
    line = directory.agency_line(agency)
    if not line:
        return Vouching.NEVER
    newest = line[-1]
    if newest.identity.key_id != identity:
        return Vouching.OTHERS
    if newest.revoked_index is not None:
        return Vouching.REVOKED
    if directory.agency(agency, now) is not None:
        return Vouching.FOR
    return Vouching.ABOVE if newest.covers(now) else Vouching.ENDED


def vouched(directory: Directory, agency: AgencyAddress, identity: KeyId, now: int) -> AgencyEntry:
    """Return the agency's certificate for `identity`.

    Raises `Revoked` or `UntrustedKey` where the authority does not vouch for it, and says what helps.
    """
    standing, entry = vouching(directory, agency, identity, now), directory.agency(agency, now)
    if standing is Vouching.FOR and entry is not None and entry.identity.key_id == identity:
        return entry
    trouble = TROUBLES.get(standing, TROUBLES[Vouching.OTHERS])
    kind = Revoked if standing is Vouching.REVOKED else UntrustedKey
    raise kind(f"{trouble.found} {trouble.fix}")
