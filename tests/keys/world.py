# SPDX-License-Identifier: Apache-2.0
"""An invented programme for tests: a root of three, an authority of three, agencies with devices and prekeys.

Seeds come from names, so that a world is the same in every run; only ML-DSA signatures and HPKE differ.
"""

import hashlib
from dataclasses import dataclass, field, replace

from keys.directory import Directory
from keys.signing import DeviceSigner, Ed25519Signer, HybridSigner, device_proof, sign_statement
from keys.xwing import XWingSecret
from protocol import limits
from protocol.address import AgencyAddress, DeskAddress, desk_of
from protocol.ids import OfficerId
from protocol.sections import Actor, ActorKind
from protocol.statements import (
    Agency,
    Authority,
    Body,
    Delegation,
    Device,
    Prekey,
    Revocation,
    Root,
    Subject,
    parse_statement,
)

DOMAIN = "hub.example"
NOW = 1_800_000_000_000
DAY = limits.DAY


def seed(name: str) -> bytes:
    """Return 32 bytes that depend on `name` only."""
    return hashlib.sha256(b"throughcare test seed " + name.encode()).digest()


def identity(name: str) -> HybridSigner:
    """Return the identity that always belongs to `name`."""
    return HybridSigner.from_seeds(seed(f"{name} ed25519"), seed(f"{name} ml-dsa"))


def device_of(name: str) -> DeviceSigner:
    """Return the device that always belongs to `name`."""
    return DeviceSigner.from_seeds(seed(f"{name} ed25519"), seed(f"{name} ml-dsa"), seed(f"{name} transport"))


ROOT_PERSONS = [identity(f"root person {number}") for number in range(3)]
APPROVERS = [identity(f"approver {number}") for number in range(3)]
DIRECTORY_KEY = Ed25519Signer.from_seed(seed("directory log"))
AUDIT_KEY = Ed25519Signer.from_seed(seed("audit log"))
AUDIT_ORIGIN = f"{DOMAIN}/audit"


def body(subject: Subject, *, issued: int = NOW - DAY, begin: int | None = None, life: int = 80 * DAY) -> Body:
    """Return a statement's body that counts from `begin` (or `issued`) for `life` ms."""
    begin = issued if begin is None else begin
    return Body(issued, begin, begin + life, subject)


def root_subject(version: int = 1, persons: list[HybridSigner] | None = None, threshold: int = 2) -> Root:
    """Return the root's subject."""
    chosen = ROOT_PERSONS if persons is None else persons
    return Root(version, threshold, tuple(person.public for person in chosen), "Demo programme")


def authority_subject(
    approvers: list[HybridSigner] | None = None, threshold: int = 2, domain: str = DOMAIN
) -> Authority:
    """Return an authority's subject."""
    chosen = APPROVERS if approvers is None else approvers
    return Authority("Demo jurisdiction", threshold, tuple(one.public for one in chosen), domain)


@dataclass
class Member:
    """An agency of the world with all its secrets."""

    address: AgencyAddress
    kind: str
    desks: tuple[tuple[str, str], ...]
    identity: HybridSigner
    device: DeviceSigner
    prekeys: dict[int, XWingSecret] = field(default_factory=dict)
    delegation: bytes = b""
    officer: OfficerId = field(default=OfficerId(bytes(16)))

    @property
    def desk(self) -> DeskAddress:
        """The first desk."""
        return desk_of(self.desks[0][0], self.address)

    def agency_subject(self) -> Agency:
        """Return the agency's statement."""
        types = ("handover.offer", "receipt.opened")
        return Agency(self.address, self.kind, self.identity.public, self.desks, types, f"Demo {self.address}")

    def device_subject(self, device: DeviceSigner | None = None, desks: tuple[str, ...] | None = None) -> Device:
        """Return the statement of the agency's device."""
        signer = device or self.device
        names = tuple(name for name, _ in self.desks) if desks is None else desks
        return Device(self.address, signer.public, names, device_proof(self.address, signer))

    def delegation_subject(self) -> Delegation:
        """Return the statement that lets the agency's service act."""
        names = tuple(name for name, _ in self.desks)
        return Delegation(self.address, self.officer, ActorKind.SERVICE, "connector service", names)

    def prekey_subject(self, epoch: int, device: DeviceSigner | None = None) -> Prekey:
        """Return the statement of a prekey and remember its secret."""
        signer = device or self.device
        secret = XWingSecret(seed(f"{self.address} {signer.key_id.hex()} prekey {epoch}"))
        self.prekeys[epoch] = secret
        return Prekey(signer.key_id, epoch, secret.public)

    @property
    def actor(self) -> Actor:
        """Return the actor of the agency's delegation."""
        return Actor(self.officer, ActorKind.SERVICE, "connector service", self.delegation)


def member(name: str, kind: str, *desks: tuple[str, str], domain: str = DOMAIN) -> Member:
    """Return an agency with keys of its own."""
    return Member(
        address=AgencyAddress(f"{name}@{domain}"),
        kind=kind,
        desks=desks,
        identity=identity(f"agency {name}"),
        device=device_of(f"device {name}"),
        officer=OfficerId(seed(f"officer {name}")[:16]),
    )


class World:
    """A directory in the making, with the secrets to extend it."""

    def __init__(self) -> None:
        self.root = sign_statement(body(root_subject(), issued=NOW - 30 * DAY, life=3650 * DAY), ROOT_PERSONS[:2])
        self.directory = Directory(parse_statement(self.root).digest, DOMAIN)
        self.statements: list[bytes] = []
        self.add(self.root)
        self.authority = sign_statement(
            body(authority_subject(), issued=NOW - 30 * DAY, life=730 * DAY), ROOT_PERSONS[:2]
        )
        self.add(self.authority)

    def add(self, raw: bytes) -> int:
        """Append a statement."""
        index = self.directory.apply(raw)
        self.statements.append(raw)
        return index

    def revoke(self, target: bytes, *signers: HybridSigner) -> int:
        """Append a revocation."""
        return self.add(revocation(target, *signers))

    def enrol(self, one: Member) -> Member:
        """Append all statements of an agency: itself, its device, its delegation, its first prekey."""
        # Signed of late, so that a log may hold them in any order (DIR-14); in force for longer.
        agency = body(one.agency_subject(), issued=NOW - 2 * DAY, begin=NOW - 20 * DAY, life=365 * DAY)
        self.add(sign_statement(agency, APPROVERS[:2]))
        self.add(sign_statement(body(one.device_subject(), issued=NOW - 2 * DAY, begin=NOW - 10 * DAY), [one.identity]))
        delegation = sign_statement(
            body(one.delegation_subject(), issued=NOW - 2 * DAY, begin=NOW - 10 * DAY), [one.identity]
        )
        self.add(delegation)
        one = replace(one, delegation=parse_statement(delegation).digest)
        self.add_prekey(one, 1, issued=NOW - DAY)
        return one

    def add_prekey(self, one: Member, epoch: int, *, issued: int) -> int:
        """Append a prekey of an agency's device."""
        return self.add(sign_statement(body(one.prekey_subject(epoch), issued=issued), [one.device]))


def revocation(target: bytes, *signers: HybridSigner) -> bytes:
    """Return a revocation of `target` issued now."""
    return sign_statement(body(Revocation(target, "key-compromise"), issued=NOW), signers)


def prison() -> Member:
    """Return Gora Prison."""
    return member("gora-prison", "prison", ("reception", "prison-reception"), ("release", "prison-release"))


def probation() -> Member:
    """Return Reka Probation Office."""
    return member("reka-probation", "probation", ("intake", "probation-intake"))


def social_work() -> Member:
    """Return Polje Centre for Social Work."""
    return member("polje-social-work", "social-work", ("intake", "social-work"))


@dataclass
class Cast:
    """A world with three agencies in it."""

    world: World
    prison: Member
    probation: Member
    social_work: Member


def make_cast() -> Cast:
    """Return a new world with the prison, the probation office and the centre for social work."""
    world = World()
    return Cast(world, world.enrol(prison()), world.enrol(probation()), world.enrol(social_work()))
