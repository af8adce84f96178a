# SPDX-License-Identifier: Apache-2.0
"""One person in another's place, and nothing else (ENR-13): worked out from the directory and the newcomer's key.

What agencies stand on stays: those that others signed before stay vouched for, and the root fingerprint is version 1's
for good (DIR-4). Whoever leaves signs nothing from the statement's leaf on (DIR-14).
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

from connectors.authority.office import AUTHORITY_THRESHOLD, Office
from connectors.authority.renewing import authority_of, root_of, root_quorum
from connectors.authority.turns import Quorum
from keys.directory import AuthorityEntry, Directory, RootEntry
from keys.privatefile import write_private
from protocol.errors import Conflict, MalformedEnvelope, NotFound
from protocol.identities import IdentityKey
from protocol.newcomer import NewKey
from protocol.statements import Authority, Root, parse_statement

APPROVER: Final = "approver"
ROOT: Final = "root"


def place_of(role: str, number: int) -> str:
    """Return the name of a place, which its key is sealed for."""
    return f"{role}-{number}"


def stands_there(directory: Directory, domain: str, new: NewKey) -> bool:
    """Tell whether the newcomer is in that place by the directory already: the exchange was published."""
    role, number = _parts(new.place)
    entry = directory.newest_root() if role == ROOT else directory.authority(domain)
    return entry is not None and number <= len(entry.identities) and entry.identities[number - 1] == new.identity


def exchanged_authority(directory: Directory, domain: str, new: NewKey) -> Authority:
    """Return what is signed of the authority: the directory's own approvers, one of them exchanged at its place.

    Raises `UntrustedKey` if the directory has no such authority, `NotFound` for a place that nobody has, and `Conflict`
    for a key that the directory knows.
    """
    entry = authority_of(directory, domain)
    identities = _with(directory, entry, new)
    return Authority(entry.jurisdiction, max(entry.threshold, AUTHORITY_THRESHOLD), identities, entry.domain)


def exchanged_root(directory: Directory, new: NewKey) -> Root:
    """Return what is signed of the root: its next version, with one person exchanged. The fingerprint stays (DIR-4).

    Raises `ConfigurationError` while the directory is empty, and otherwise as `exchanged_authority`.
    """
    entry = root_of(directory)
    return Root(entry.version + 1, entry.threshold, _with(directory, entry, new), entry.programme)


def exchange_quorum(directory: Directory, domain: str, new: NewKey) -> Quorum:
    """Return who signs an exchange: the root's threshold, and a newcomer to the root as well (DIR-2).

    So many of the persons before and the newcomer are always enough of the persons to come. The newcomer's signature
    shows that the key opens before anything depends on it.
    """
    role, _ = _parts(new.place)
    if role == ROOT:
        return replace(root_quorum(directory), newcomer=new.identity)
    return replace(root_quorum(directory), since=authority_of(directory, domain).issued)


def _with(directory: Directory, entry: AuthorityEntry | RootEntry, new: NewKey) -> tuple[IdentityKey, ...]:
    _, number = _parts(new.place)
    count = len(entry.identities)
    if number > count:
        raise NotFound(f"There is nobody in that place: the numbers are 1 to {count}.")
    if directory.identity_holder(new.identity.key_id) is not None:
        raise Conflict("The directory knows this key already. Whoever comes, or comes back, makes a new one.")
    return (*entry.identities[: number - 1], new.identity, *entry.identities[number:])


def _parts(place: str) -> tuple[str, int]:
    role, _, number = place.rpartition("-")
    return role, int(number)


def keep_statements(office: Office, directory: Directory) -> None:
    """File what the directory holds newer of the root and the authority than the folder: others may have signed it.

    A folder that was copied before follows so, and whoever was cut off between publishing and filing (ENR-14). What a
    restored hub has lost, and the folder has, stays: it can be published again.
    """
    for raw in directory.statements_above:
        body = parse_statement(raw).body
        subject, issued = body.subject, body.issued
        if isinstance(subject, Root):
            path, lacks = office.root_file(subject.version), not office.root_file(subject.version).exists()
        elif isinstance(subject, Authority) and subject.domain == office.facts.domain:
            path, lacks = office.authority_file, _issued(office.authority_file) < issued
        else:
            continue
        if lacks:
            write_private(path, raw)


def _issued(path: Path) -> int:
    """Return when the statement in `path` was signed, ms UTC, or 0 where there is none that can be read."""
    try:
        return parse_statement(path.read_bytes()).body.issued
    except (OSError, MalformedEnvelope):
        return 0
