# SPDX-License-Identifier: Apache-2.0
"""The directory's memory, and what was in force at a time, in a directory of a size (DIR-6, DIR-7).

Every question names both: validity is judged at `at` (ms UTC), revocation and supersession by the first
`size` leaves. So an envelope accepted last month is judged by the directory of last month, on every machine
with the same answer. Nothing is ever forgotten, except prekeys too old to seal to.

A revocation ends a statement and all earlier ones of the same authority, agency or device, and whatever stands
on them: an authority's ends the agencies it issued, an agency's the devices and delegations under that identity.
A revoked key never comes back; an authority or agency may be issued anew, an agency under a new identity.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from keys.entries import (
    AgencyEntry,
    AuthorityEntry,
    Certificate,
    DelegationEntry,
    DeviceEntry,
    IdentityHolder,
    PrekeyEntry,
    RestorationEntry,
    RootEntry,
)
from keys.steady import Answers
from protocol.address import AgencyAddress, DeskAddress
from protocol.errors import Revoked, UntrustedKey
from protocol.ids import KeyId
from protocol.rows import sha256

# With a new prekey every 7 days these are all that anybody may still seal to (DIR-8), and some to spare.
PREKEYS_KEPT = 12

E = TypeVar("E", bound=Certificate)


class Register:
    """All accepted statements, by what one asks for."""

    def __init__(self) -> None:
        self.indexes: dict[bytes, int] = {}
        self.time = 0
        """The log's time: the latest `issued` of all statements, ms UTC (DIR-14)."""
        self.roots: list[RootEntry] = []
        self.authorities: dict[str, list[AuthorityEntry]] = {}
        self.agencies: dict[AgencyAddress, list[AgencyEntry]] = {}
        self.devices: dict[KeyId, list[DeviceEntry]] = {}
        self.delegations: dict[bytes, DelegationEntry] = {}
        self.delegated: dict[AgencyAddress, list[bytes]] = {}
        """The delegations of each agency, by their digests, oldest first."""
        self.prekeys: dict[KeyId, list[PrekeyEntry]] = {}
        self.identities: dict[KeyId, IdentityHolder] = {}
        self.restorations: list[RestorationEntry] = []
        self.answers = Answers()
        self._authority_of: dict[bytes, str] = {}
        self._agency_of: dict[bytes, AgencyEntry] = {}
        self._device_of: dict[bytes, KeyId] = {}
        self._serving: dict[DeskAddress, list[tuple[int, KeyId]]] = {}
        self._holders: dict[bytes, str] = {}

    # What was in force

    def root_in_force(self, *, at: int, size: int) -> RootEntry:
        """Return the newest root that covers `at`, or raise `UntrustedKey`."""
        return _in_force(self.roots, at, size)

    def authority_in_force(self, domain: str, *, at: int, size: int) -> AuthorityEntry:
        """Return the newest statement of the authority over `domain` in force, or raise `Revoked` or `UntrustedKey`."""
        self.root_in_force(at=at, size=size)
        return _in_force(self.authorities.get(domain, []), at, size)

    def agency_in_force(
        self, address: AgencyAddress, *, at: int, size: int, identity: KeyId | None = None
    ) -> AgencyEntry:
        """Return the newest statement of an agency in force (under `identity`, if one is given).

        Raises `Revoked` if it, or what issued it, was revoked, and `UntrustedKey` if there is none at this time.
        """
        entries = self.agencies.get(address, [])
        if identity is not None:
            entries = [entry for entry in entries if entry.identity.key_id == identity]
        entry = _in_force(entries, at, size)
        domain = self._authority_of[entry.authority]
        self.authority_in_force(domain, at=at, size=size)
        if any(one.digest == entry.authority and one.revoked(size) for one in self.authorities[domain]):
            raise Revoked
        return entry

    def device_in_force(self, key_id: KeyId, *, at: int, size: int) -> DeviceEntry:
        """Return the newest statement of a device in force, or raise `Revoked` or `UntrustedKey` (DIR-6)."""
        entry = _in_force(self.devices.get(key_id, []), at, size)
        self.agency_in_force(entry.agency, at=at, size=size, identity=entry.issuer)
        return entry

    def delegation_in_force(self, digest: bytes, *, at: int, size: int) -> DelegationEntry:
        """Return a delegation in force, or raise `Revoked` or `UntrustedKey`."""
        known = self.delegations.get(digest)
        entry = _in_force([known] if known else [], at, size)
        self.agency_in_force(entry.agency, at=at, size=size, identity=entry.issuer)
        return entry

    def serving(self, desk: DeskAddress, size: int) -> KeyId | None:
        """Return the device that the first `size` leaves name last for `desk`, in force or not (DIR-7)."""
        for index, key_id in reversed(self._serving.get(desk, [])):
            if index < size:
                newest = [entry for entry in self.devices[key_id] if entry.stands(size)][-1]
                return key_id if desk in newest.desks else None
        return None

    def lost(self, desk: DeskAddress, key_id: KeyId) -> bool:
        """Tell whether the device served `desk` once and another has taken it over since (DIR-17)."""
        line = [served_by for _, served_by in self._serving.get(desk, [])]
        return key_id in line and line[-1] != key_id

    # Whose a key is

    def holder(self, public: bytes) -> str | None:
        """Return who holds a public key, or part of one; None for a key that the log does not know (DIR-5)."""
        return self._holders.get(sha256(public))

    def find(self, target: bytes) -> AuthorityEntry | AgencyEntry | DeviceEntry | DelegationEntry | None:
        """Return what a revocation's target names: a statement by its digest, an agency or device by its key id."""
        if target in self.delegations:
            return self.delegations[target]
        if target in self._device_of:
            return self.devices[self._device_of[target]][-1]
        if target in self._agency_of:
            named = self._agency_of[target]
            return next(entry for entry in self.agencies[named.address] if entry.index == named.index)
        if target in self._authority_of:
            line = self.authorities[self._authority_of[target]]
            return next(entry for entry in line if entry.digest == target)
        return None

    # How it grows, once the rules in keys.chain have said yes

    def hold(self, holder: str, parts: Iterable[bytes]) -> None:
        """Note that `holder` holds the public keys `parts`."""
        for part in parts:
            self._holders[sha256(part)] = holder

    def add_root(self, entry: RootEntry) -> None:
        """Take in a version of the root."""
        self.roots.append(entry)
        self.answers.note(entry)

    def add_authority(self, entry: AuthorityEntry) -> None:
        """Take in a statement of an authority."""
        self.authorities.setdefault(entry.domain, []).append(entry)
        self.answers.note(entry)
        self._authority_of[entry.digest] = entry.domain

    def add_agency(self, entry: AgencyEntry) -> None:
        """Take in a statement of an agency."""
        self.agencies.setdefault(entry.address, []).append(entry)
        self.answers.note(entry)
        self._agency_of[entry.digest] = self._agency_of[entry.identity.key_id] = entry

    def add_device(self, entry: DeviceEntry) -> None:
        """Take in a statement of a device, which takes over its desks (DIR-7)."""
        self.devices.setdefault(entry.key_id, []).append(entry)
        self.answers.note(entry)
        self._device_of[entry.digest] = self._device_of[entry.key_id] = entry.key_id
        for desk in entry.desks:
            line = self._serving.setdefault(desk, [])
            line.append((entry.index, entry.key_id))
            if len(line) > 1:
                self._retire(line[-2][1], entry.index)

    def _retire(self, key_id: KeyId, index: int) -> None:
        newest = self.devices[key_id][-1]
        if newest.superseded_at is None and all(self.serving(desk, index + 1) != key_id for desk in newest.desks):
            self.devices[key_id][-1] = replace(newest, superseded_at=index)

    def add_delegation(self, entry: DelegationEntry) -> None:
        """Take in a delegation."""
        self.delegations[entry.digest] = entry
        self.delegated.setdefault(entry.agency, []).append(entry.digest)

    def add_prekey(self, entry: PrekeyEntry) -> None:
        """Take in a prekey and drop those that nobody may seal to any more (DIR-8)."""
        entries = self.prekeys.setdefault(entry.device_id, [])
        entries.append(entry)
        del entries[:-PREKEYS_KEPT]

    def revoke(self, entry: AuthorityEntry | AgencyEntry | DeviceEntry | DelegationEntry, index: int) -> None:
        """Mark `entry`, and all earlier statements of the same holder, as revoked by the statement at `index`."""
        match entry:
            case AuthorityEntry():
                self.authorities[entry.domain] = _end(self.authorities[entry.domain], entry, index)
            case AgencyEntry():
                self.agencies[entry.address] = _end(self.agencies[entry.address], entry, index)
            case DeviceEntry():
                self.devices[entry.key_id] = _end(self.devices[entry.key_id], entry, index)
            case DelegationEntry():
                self.delegations[entry.digest] = replace(entry, revoked_index=index)


def _in_force(entries: Sequence[E], at: int, size: int) -> E:
    for entry in reversed(entries):
        if not entry.stands(size):
            continue
        if entry.revoked(size):
            raise Revoked
        if entry.covers(at):
            return entry
        if at >= entry.not_before:
            # It replaced those before it when it began; that it ended does not bring them back (DIR-14).
            break
    raise UntrustedKey


def _end(entries: list[E], last: Certificate, index: int) -> list[E]:
    return [
        replace(entry, revoked_index=index) if entry.index <= last.index and entry.revoked_index is None else entry
        for entry in entries
    ]
