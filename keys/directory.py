# SPDX-License-Identifier: Apache-2.0
"""The directory: who may be sealed to and believed, worked out from the log's own statements (DIR-12).

A connector replays the whole log from its pinned root fingerprint; the hub holds the same to judge submissions.
Two replays of the same leaves answer every question alike.
"""

from collections.abc import Sequence

from keys.chain import judge
from keys.entries import (
    AgencyEntry,
    AuthorityEntry,
    DelegationEntry,
    DeskEntry,
    DeviceEntry,
    IdentityHolder,
    PrekeyEntry,
    RestorationEntry,
    RootEntry,
)
from keys.permission import Change
from keys.register import Register
from keys.steady import Answers
from protocol.address import AgencyAddress, DeskAddress, agency_of, desk_name, desk_of
from protocol.errors import DirectoryInconsistent, Revoked, UntrustedKey
from protocol.generations import origin_of
from protocol.ids import KeyId, OfficerId
from protocol.restoration import Restoration
from protocol.statements import Authority, Root, UnverifiedStatement, parse_statement
from protocol.tree import CompactRange, leaf_hash

__all__ = [
    "AgencyEntry",
    "AuthorityEntry",
    "DelegationEntry",
    "DeskEntry",
    "DeviceEntry",
    "Directory",
    "IdentityHolder",
    "PrekeyEntry",
    "RestorationEntry",
    "RootEntry",
]


class Directory:
    """A replayed directory log. Not thread-safe; a statement that is refused changes nothing."""

    def __init__(self, root_fingerprint: bytes, domain: str) -> None:
        """Begin a replay of the log of the hub `domain` from `root_fingerprint`, SHA-256 of the root's body (DIR-4)."""
        if len(root_fingerprint) != 32:
            raise DirectoryInconsistent("Without a pinned root fingerprint nothing can be trusted.")
        self.root_fingerprint = root_fingerprint
        self.domain = domain
        self._register = Register()
        self._tree = CompactRange()
        self._roots = [self._tree.root]
        self._above: list[bytes] = []

    # Growing

    def check(self, raw: bytes) -> None:
        """Raise what `apply` would raise for `raw`, and change nothing."""
        self._judge(parse_statement(raw), verify=True)

    def apply(self, raw: bytes, *, verified: bool = False) -> int:
        """Take in the next leaf and return its index.

        `verified` spares the signatures of a statement that this installation checked before it stored it.
        Raises `MalformedEnvelope`, `UntrustedKey`, `BadSignature`, `Revoked` or `DirectoryInconsistent`; the
        directory is then as it was (DIR-1 to DIR-8).
        """
        statement = parse_statement(raw)
        change = self._judge(statement, verify=not verified)
        change()
        if isinstance(statement.body.subject, Root | Authority):
            self._above.append(raw)
        index = self._tree.append(leaf_hash(raw))
        self._roots.append(self._tree.root)
        return index

    def _judge(self, statement: UnverifiedStatement, *, verify: bool) -> Change:
        if not self._register.roots:
            root = isinstance(statement.body.subject, Root)
            if not root or statement.digest != self.root_fingerprint:
                raise DirectoryInconsistent("The directory does not begin with the pinned root.")
        subject = statement.body.subject
        if isinstance(subject, Restoration):
            here = (self.domain, self.size, self.root)
            if (subject.domain, subject.directory.size, subject.directory.root) != here:
                raise UntrustedKey("The restore is of another hub, or of a directory other than this one.")
        return judge(self._register, statement, verify=verify)

    # The log itself

    @property
    def size(self) -> int:
        """The number of leaves."""
        return self._tree.size

    @property
    def root(self) -> bytes:
        """The tree's root hash over all leaves (AUD-2)."""
        return self._roots[-1]

    @property
    def time(self) -> int:
        """The log's time: the latest `issued` of its statements, ms UTC, 0 while it is empty (DIR-14)."""
        return self._register.time

    @property
    def origin(self) -> str:
        """The log's origin, that of its newest generation (DIR-13, GEN-1)."""
        return origin_of(f"{self.domain}/directory", self.generation)

    @property
    def restorations(self) -> Sequence[RestorationEntry]:
        """The restores of the hub, each the beginning of a generation of both logs (GEN-2)."""
        return self._register.restorations

    @property
    def generation(self) -> int:
        """The newest generation, 0 if the hub never lost anything."""
        return len(self._register.restorations)

    @property
    def audit_starts(self) -> tuple[int, ...]:
        """How many audit leaves each generation after the first has kept."""
        return tuple(one.subject.audit.size for one in self._register.restorations)

    def root_at(self, size: int) -> bytes | None:
        """Return the tree's root when it had `size` leaves; None if this replay has not come that far."""
        return self._roots[size] if 0 <= size <= self.size else None

    def index_of(self, raw: bytes) -> int | None:
        """Return the index of the statement with the same body as `raw`, or None if it is new."""
        return self._register.indexes.get(parse_statement(raw).digest)

    # Looking up, as of now

    @property
    def statements_above(self) -> Sequence[bytes]:
        """The statements of the root and of authorities as they came, oldest first: all that agencies stand on."""
        return self._above

    def root_line(self) -> Sequence[RootEntry]:
        """Return all versions of the root, oldest first."""
        return self._register.roots

    def authority_line(self, domain: str) -> Sequence[AuthorityEntry]:
        """Return all statements of the authority over `domain`, oldest first, in force or not."""
        return self._register.authorities.get(domain, [])

    def authority(self, domain: str) -> AuthorityEntry | None:
        """Return the newest statement of the authority over `domain` that is not revoked, whatever its time."""
        line = self._register.authorities.get(domain, [])
        return line[-1] if line and line[-1].revoked_index is None else None

    def newest_root(self) -> RootEntry | None:
        """Return the newest version of the root, whatever its time; None while the log is empty."""
        return self._register.roots[-1] if self._register.roots else None

    def agency_line(self, address: AgencyAddress) -> Sequence[AgencyEntry]:
        """Return all statements of an agency, oldest first, in force or not."""
        return self._register.agencies.get(address, [])

    def addresses(self) -> list[AgencyAddress]:
        """Return the addresses of all agencies that ever were, in the order in which they came."""
        return list(self._register.agencies)

    def devices_of(self, agency: AgencyAddress) -> list[DeviceEntry]:
        """Return the newest statement of each device that an agency ever had, oldest device first."""
        return [line[-1] for line in self._register.devices.values() if line[-1].agency == agency]

    def counts(self, key_id: bytes, at: int) -> bool:
        """Tell whether a device is in force at `at` (ms UTC)."""
        try:
            self.device_in_force(key_id, at=at, size=self.size)
        except (Revoked, UntrustedKey):
            return False
        return True

    def agency(self, address: AgencyAddress, at: int) -> AgencyEntry | None:
        """Return the agency's newest statement in force at `at` (ms UTC), if there is one."""
        try:
            return self._register.agency_in_force(address, at=at, size=self.size)
        except (Revoked, UntrustedKey):
            return None

    def agencies(self, at: int) -> list[AgencyEntry]:
        """Return the newest statements of all agencies in force at `at` (ms UTC)."""
        found = (self.agency(address, at) for address in self._register.agencies)
        return [entry for entry in found if entry]

    def desk(self, address: DeskAddress, at: int) -> DeskEntry | None:
        """Return a desk of an agency in force at `at` (ms UTC), if there is one, with the device that serves it."""
        answers = self._answers(at)
        known = answers.desks.get(address)
        if known is None:
            known = self._desk(address, at)
            if known is not None:
                answers.desks[address] = known
        return known

    def _desk(self, address: DeskAddress, at: int) -> DeskEntry | None:
        agency = self.agency(agency_of(address), at)
        for name, function in agency.desks if agency else ():
            if name == desk_name(address):
                return DeskEntry(
                    address=address,
                    function=function,
                    agency=agency_of(address),
                    device=self._serving_in_force(address, at),
                )
        return None

    def function_at(self, desk: DeskAddress, at: int) -> str | None:
        """Return the function that a desk had at `at` (ms UTC) by the newest statement that counted then.

        For looking back: that its agency was revoked, or its desks stated anew, since then changes nothing.
        """
        line = [entry for entry in self.agency_line(agency_of(desk)) if entry.not_before <= at]
        return dict(line[-1].desks).get(desk_name(desk)) if line else None

    def _answers(self, at: int) -> Answers:
        answers = self._register.answers
        answers.turn_to(at, self.size)
        return answers

    def desks(self, at: int) -> list[DeskEntry]:
        """Return all desks of agencies in force at `at` (ms UTC), sorted by address."""
        addresses = [desk_of(name, agency.address) for agency in self.agencies(at) for name, _ in agency.desks]
        found = (self.desk(address, at) for address in sorted(addresses))
        return [desk for desk in found if desk]

    def _serving_in_force(self, desk: DeskAddress, at: int) -> DeviceEntry | None:
        key_id = self._register.serving(desk, self.size)
        try:
            return self.device_in_force(key_id, at=at, size=self.size) if key_id else None
        except (Revoked, UntrustedKey):
            return None

    def device(self, key_id: bytes) -> DeviceEntry | None:
        """Return the newest statement of a device, in force or not; `device_in_force` says whether it counts.

        Its `revoked_index` tells of its own revocation, not of one above it.
        """
        line = self._register.devices.get(KeyId(key_id))
        return line[-1] if line else None

    def delegations(self, agency: AgencyAddress, at: int) -> list[DelegationEntry]:
        """Return who may act for the agency at `at` (ms UTC): for each officer the newest delegation in force."""
        found: dict[OfficerId, DelegationEntry] = {}
        for entry in self.all_delegations(agency):
            try:
                found[entry.officer] = self.delegation(entry.digest, at=at, size=self.size)
            except (Revoked, UntrustedKey):
                continue
        return list(found.values())

    def all_delegations(self, agency: AgencyAddress) -> list[DelegationEntry]:
        """Return all delegations that the agency ever made, oldest first, in force or not."""
        return [self._register.delegations[digest] for digest in self._register.delegated.get(agency, [])]

    def knows_delegation(self, digest: bytes) -> bool:
        """Tell whether a delegation stands in the directory, in force or not."""
        return digest in self._register.delegations

    def ever_served(self, device_id: bytes, desk: DeskAddress) -> bool:
        """Tell whether any statement of the device names `desk`: old mail of a desk that was given up still opens."""
        return any(desk in entry.desks for entry in self._register.devices.get(KeyId(device_id), []))

    def taken_from(self, device_id: bytes) -> list[DeskAddress]:
        """Return the desks that the device served once and that another has taken over since (DIR-17), sorted."""
        key_id = KeyId(device_id)
        desks = {desk for entry in self._register.devices.get(key_id, []) for desk in entry.desks}
        return sorted(desk for desk in desks if self._register.lost(desk, key_id))

    def newest_prekey(self, device_id: bytes) -> PrekeyEntry | None:
        """Return the device's prekey of the highest epoch, the only one to seal to (DIR-8)."""
        line = self._register.prekeys.get(KeyId(device_id))
        return line[-1] if line else None

    def prekey(self, device_id: bytes, epoch: int) -> PrekeyEntry | None:
        """Return the device's prekey of `epoch`, if it is among the last twelve."""
        line = self._register.prekeys.get(KeyId(device_id), [])
        return next((entry for entry in line if entry.epoch == epoch), None)

    def identity_holder(self, key_id: bytes) -> IdentityHolder | None:
        """Return whose an identity key is, in force or not."""
        return self._register.identities.get(KeyId(key_id))

    # Judging, as of a time and a size

    def device_in_force(self, key_id: bytes, *, at: int, size: int) -> DeviceEntry:
        """Return the device's statement that counted at `at` (ms UTC) in the first `size` leaves (DIR-6, ENV-17).

        Raises `Revoked` if the device, its agency or its authority was revoked by then, and `UntrustedKey` if it is
        unknown or a certificate of the chain did not cover that time.
        """
        if size != self.size:
            return self._register.device_in_force(KeyId(key_id), at=at, size=size)
        devices = self._answers(at).devices
        known = devices.get(KeyId(key_id))
        if known is None:
            known = devices[KeyId(key_id)] = self._register.device_in_force(KeyId(key_id), at=at, size=size)
        return known

    def delegation(self, digest: bytes, *, at: int, size: int) -> DelegationEntry:
        """Return the delegation that counted at `at` in the first `size` leaves, or raise as `device_in_force`."""
        return self._register.delegation_in_force(digest, at=at, size=size)

    def check_desk(self, desk: DeskAddress, *, at: int, size: int) -> None:
        """Raise `UntrustedKey` or `Revoked` unless `desk` was one of its agency's at `at` in `size` leaves (ENV-14)."""
        agency = self._register.agency_in_force(agency_of(desk), at=at, size=size)
        if desk_name(desk) not in {name for name, _ in agency.desks}:
            raise UntrustedKey("The desk was not one of its agency's any more.")

    def serves(self, device_id: bytes, desk: DeskAddress, *, size: int) -> bool:
        """Tell whether the first `size` leaves name this device last for `desk` (DIR-7)."""
        return self._register.serving(desk, size) == device_id
