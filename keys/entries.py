# SPDX-License-Identifier: Apache-2.0
"""What the directory knows of each statement it accepted: when it counts, where it stands, when it ended.

Entries never change; where one is revoked or superseded, the register replaces it by another.
"""

from dataclasses import dataclass, field

from protocol.address import AgencyAddress, DeskAddress
from protocol.identities import DeviceKey, IdentityKey
from protocol.ids import KeyId, OfficerId
from protocol.restoration import Restoration
from protocol.sections import ActorKind
from protocol.statements import StatementKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What all entries share: SHA-256 of the body, leaf index, times in ms UTC, and where a revocation stands."""

    digest: bytes
    index: int
    issued: int
    not_before: int
    not_after: int
    revoked_index: int | None = None

    def covers(self, at: int) -> bool:
        """Tell whether `at` (ms UTC) lies within the certificate's validity (DIR-6)."""
        return self.not_before <= at < self.not_after

    def stands(self, size: int) -> bool:
        """Tell whether a directory of `size` leaves holds the statement."""
        return self.index < size

    def revoked(self, size: int) -> bool:
        """Tell whether a directory of `size` leaves holds its revocation."""
        return self.revoked_index is not None and self.revoked_index < size


@dataclass(frozen=True, slots=True, kw_only=True)
class RootEntry(Certificate):
    """One version of the programme's root."""

    version: int
    threshold: int
    identities: tuple[IdentityKey, ...]
    programme: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityEntry(Certificate):
    """One statement of a jurisdiction's authority."""

    jurisdiction: str
    threshold: int
    identities: tuple[IdentityKey, ...]
    domain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgencyEntry(Certificate):
    """One statement of an agency; `desks` are (desk name, function), `authority` the digest of who issued it."""

    address: AgencyAddress
    agency_kind: str
    name: str
    identity: IdentityKey
    desks: tuple[tuple[str, str], ...]
    payload_types: tuple[str, ...]
    authority: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEntry(Certificate):
    """One statement of a device; `issuer` is the agency identity that signed it.

    `superseded_at` is the leaf from which no desk is served by the device any more (DIR-7).
    """

    key: DeviceKey
    key_id: KeyId
    agency: AgencyAddress
    desks: tuple[DeskAddress, ...]
    issuer: KeyId
    superseded_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegationEntry(Certificate):
    """One statement that an officer or service may act for some desks of an agency."""

    agency: AgencyAddress
    officer: OfficerId
    actor_kind: ActorKind
    title: str
    desks: tuple[DeskAddress, ...]
    issuer: KeyId


@dataclass(frozen=True, slots=True, kw_only=True)
class PrekeyEntry:
    """One prekey of a device; `public` is the 1,216-byte X-Wing key, `issued` ms UTC."""

    device_id: KeyId
    epoch: int
    issued: int
    index: int
    public: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorationEntry:
    """One restore of the hub: the statement's digest, leaf index and date, what it says, and who signed it.

    `log_time` is the log's time of what was kept, ms UTC. The leaves from `kept` to `index` are statements of the root
    or the authority: they may have been brought back by the restore, in the place of others that it lost (GEN-10).
    """

    digest: bytes
    index: int
    kept: int
    issued: int
    log_time: int
    subject: Restoration
    signers: frozenset[KeyId]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskEntry:
    """A desk as senders see it: its function, its agency and the device in force that serves it, if there is one."""

    address: DeskAddress
    function: str
    agency: AgencyAddress
    device: DeviceEntry | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityHolder:
    """Who holds an identity key: a person of the root or of an authority (by its domain), or an agency (address)."""

    identity: IdentityKey
    kind: StatementKind
    name: str
