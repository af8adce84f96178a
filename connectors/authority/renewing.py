# SPDX-License-Identifier: Apache-2.0
"""A newer statement in place of one that ends: the same keys for as long again, and all that stands on them lives on.

An agency's devices, cases and backups belong to its identity (DIR-2), and none of them is touched. Nothing changes but
the dates, and what this version lets agencies send.
"""

from collections.abc import Sequence

from connectors.authority.approval import PAYLOAD_TYPES
from connectors.authority.office import Office
from connectors.authority.turns import Quorum
from keys.directory import AgencyEntry, AuthorityEntry, Directory, RootEntry
from keys.privatefile import remove_private, write_private
from protocol.address import AgencyAddress
from protocol.errors import ConfigurationError, NotFound, Revoked, UntrustedKey
from protocol.identities import IdentityKey
from protocol.statements import Agency, Authority, Root

LEAST_APPROVERS = 2


def authority_of(directory: Directory, domain: str) -> AuthorityEntry:
    """Return the newest statement of the authority over `domain`; `UntrustedKey` if the directory has none."""
    entry = directory.authority(domain)
    if entry is None:
        raise UntrustedKey("The directory has no authority for this hub's domain, or it was revoked.")
    return entry


def quorum_of(directory: Directory, domain: str) -> Quorum:
    """Return the approvers of the authority over `domain`; `UntrustedKey` if the directory has none."""
    entry = authority_of(directory, domain)
    former = _former(entry, directory.authority_line(domain))
    # Never by the folder's word: whoever has it in hand must not make one signature enough (DIR-2).
    return Quorum(entry.identities, max(entry.threshold, LEAST_APPROVERS), former)


def root_of(directory: Directory) -> RootEntry:
    """Return the newest version of the root; `ConfigurationError` while the directory is empty."""
    entry = directory.newest_root()
    if entry is None:
        raise ConfigurationError("The directory is empty. Publish root and authority first.")
    return entry


def root_quorum(directory: Directory) -> Quorum:
    """Return the persons of the root, who sign authorities and the root's next version (DIR-2)."""
    entry = root_of(directory)
    return Quorum(entry.identities, entry.threshold, _former(entry, directory.root_line()))


def _former(entry: AuthorityEntry | RootEntry, line: Sequence[AuthorityEntry | RootEntry]) -> tuple[IdentityKey, ...]:
    """Return who could sign once and was exchanged since (ENR-14)."""
    ever = {one.key_id: one for earlier in line for one in earlier.identities}
    return tuple(one for one in ever.values() if one not in entry.identities)


def renewed_agency(directory: Directory, address: AgencyAddress) -> Agency:
    """Return what is signed of an agency anew: the identity that the directory holds, and no other (ENR-8).

    One that has ended meanwhile may be renewed as well. Raises `NotFound` for an agency that the directory does not
    know, and `Revoked` if its identity was revoked: it needs new keys.
    """
    line = directory.agency_line(address)
    if not line:
        raise NotFound("The directory knows no agency of that name.")
    entry: AgencyEntry = line[-1]
    if entry.revoked_index is not None:
        raise Revoked("The agency was revoked, and its keys never come back. It needs a new code and new keys.")
    return Agency(
        address=entry.address,
        agency_kind=entry.agency_kind,
        identity=entry.identity,
        desks=entry.desks,
        payload_types=PAYLOAD_TYPES,
        name=entry.name,
    )


def renewed_authority(directory: Directory, domain: str) -> Authority:
    """Return what is signed of the authority anew: the same approvers, of whom as many must sign."""
    entry = authority_of(directory, domain)
    return Authority(entry.jurisdiction, entry.threshold, entry.identities, entry.domain)


def renewed_root(directory: Directory) -> Root:
    """Return what is signed of the root anew: its next version, with the same persons. The fingerprint stays."""
    entry = root_of(directory)
    return Root(entry.version + 1, entry.threshold, entry.identities, entry.programme)


def conclude(office: Office, subject: Root | Authority | Agency, raw: bytes) -> None:
    """File a statement that was published."""
    match subject:
        case Agency():
            path = office.agency_file(subject.address)
        case Authority():
            path = office.authority_file
        case _:
            path = office.root_file(subject.version)
    write_private(path, raw)
    remove_private(office.renewal_file(subject))
