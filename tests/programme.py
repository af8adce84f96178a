# SPDX-License-Identifier: Apache-2.0
"""An invented programme whose time the test chooses: root, authority, agencies, devices, and what they send.

Seeds come from names, so keys are the same in every run. A `Programme` is also a replay of its own
directory; what it adds is what a test hands to a hub, in `statements`.
"""

import secrets
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import lru_cache

from keys.directory import Directory
from keys.opening import VerifiedMessage, open_slice
from keys.sealing import MessageDraft, Recipient, SectionDraft, choose_prekey, seal
from keys.signing import DeviceSigner, HybridSigner, StatementSigner, device_proof, sign_statement
from keys.xwing import XWingSecret
from protocol.address import AgencyAddress, DeskAddress, desk_of
from protocol.ids import EnvelopeId, KeyId, MessageId, OfficerId, ThreadId
from protocol.kinds.catalogue import KINDS
from protocol.limits import DAY, HOUR, STATEMENT_LAG
from protocol.rows import EnvelopeClass
from protocol.sections import Actor, ActorKind, Attachment
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
from tests.keys.world import device_of, identity, seed

DOMAIN = "hub.example"
NOW = 1_800_000_000_000
"""The time of programmes that live by an injected clock, ms UTC."""

PRISON = ("gora-prison", "prison", {"release": "prison-release"})
PROBATION = ("reka-probation", "probation", {"intake": "probation-intake"})
SOCIAL_WORK = ("polje-csw", "csw", {"intake": "social-work"})


@dataclass
class Member:
    """One agency with all its secrets: identity, device, prekeys, and its service account's delegation."""

    address: AgencyAddress
    kind: str
    functions: Mapping[str, str]
    identity: HybridSigner
    device: DeviceSigner
    officer: OfficerId
    delegation: bytes = b""
    prekeys: dict[tuple[KeyId, int], XWingSecret] = field(default_factory=dict)

    @property
    def desk(self) -> DeskAddress:
        """The first desk's address."""
        return desk_of(next(iter(self.functions)), self.address)

    @property
    def device_id(self) -> KeyId:
        """The key id of the device in use."""
        return self.device.key_id

    @property
    def actor(self) -> Actor:
        """The service account."""
        return Actor(self.officer, ActorKind.SERVICE, "connector service", self.delegation)


class Programme:
    """A directory in the making at time `now` (ms UTC), with the secrets to extend it."""

    def __init__(self, *, now: int = NOW, domain: str = DOMAIN) -> None:
        self.now = now
        self.domain = domain
        self.root_persons = [identity(f"root person {number}") for number in range(3)]
        self.approvers = [identity(f"approver {number}") for number in range(3)]
        self.statements: list[bytes] = []
        self.members: dict[str, Member] = {}
        root = Root(1, 2, tuple(person.public for person in self.root_persons), "Demo programme")
        first = sign_statement(self._body(root, age=30 * DAY, life=3_650 * DAY), self.root_persons[:2])
        self.fingerprint = parse_statement(first).digest
        self.directory = Directory(self.fingerprint, domain)
        self.add(first)
        authority = Authority("Demo jurisdiction", 2, tuple(one.public for one in self.approvers), domain)
        self.state(authority, self.root_persons[:2], age=30 * DAY, life=730 * DAY)

    def _body(self, subject: Subject, *, age: int, life: int) -> Body:
        begin = self.now - age
        # Agencies come one after another, each with a past; a log takes nothing that is signed long before it (DIR-14).
        issued = max(begin, self.directory.time - STATEMENT_LAG) if self.statements else begin
        return Body(issued, begin, begin + life, subject)

    def add(self, raw: bytes) -> bytes:
        """Append a signed statement and return it."""
        self.directory.apply(raw)
        self.statements.append(raw)
        return raw

    def lose(self, kept: int, restoration: bytes) -> list[bytes]:
        """Follow a hub that was restored with `kept` statements; return those that it has lost."""
        lost = self.statements[kept:]
        whole = [*self.statements[:kept], restoration]
        self.statements, self.directory = [], Directory(self.fingerprint, self.domain)
        for raw in whole:
            self.add(raw)
        return lost

    def state(
        self, subject: Subject, signers: Sequence[StatementSigner], *, age: int = HOUR, life: int = 80 * DAY
    ) -> bytes:
        """Sign and append a statement that counts from `age` ago for `life`, both in ms; return it."""
        return self.add(sign_statement(self._body(subject, age=age, life=life), signers))

    def enrol(self, name: str, kind: str, functions: Mapping[str, str]) -> Member:
        """Append an agency with its desks, its device, its service account and its first prekey."""
        member = Member(
            address=AgencyAddress(f"{name}@{self.domain}"),
            kind=kind,
            functions=functions,
            identity=identity(f"agency {name}"),
            device=device_of(f"device {name}"),
            # The same at every agency: a test names who takes something up without asking whose it is (LIF-8).
            officer=OfficerId(bytes(16)),
        )
        types = (*KINDS, "receipt.opened", "receipt.cannot-open")
        agency = Agency(member.address, kind, member.identity.public, tuple(functions.items()), types, f"DEMO {name}")
        self.state(agency, self.approvers[:2], age=20 * DAY, life=365 * DAY)
        self.state_device(member, member.device, age=10 * DAY)
        delegation = Delegation(
            member.address, member.officer, ActorKind.SERVICE, "connector service", tuple(functions)
        )
        member.delegation = parse_statement(self.state(delegation, [member.identity], age=10 * DAY)).digest
        self.add_prekey(member, epoch=1)
        self.members[name] = member
        return member

    def state_device(
        self, member: Member, device: DeviceSigner, *, desks: Collection[str] = (), age: int = HOUR
    ) -> bytes:
        """Append a device's statement for `desks` of its agency (all of them by default)."""
        names = tuple(desks) or tuple(member.functions)
        subject = Device(member.address, device.public, names, device_proof(member.address, device))
        return self.state(subject, [member.identity], age=age)

    def replace_device(self, member: Member, name: str) -> DeviceSigner:
        """Give an agency a new device with a prekey of its own; return the old one."""
        old, member.device = member.device, device_of(name)
        self.state_device(member, member.device)
        self.add_prekey(member, epoch=1)
        return old

    def add_prekey(self, member: Member, *, epoch: int, age: int = HOUR) -> bytes:
        """Append a prekey of the member's device and keep its secret."""
        device = member.device
        secret = XWingSecret(seed(f"{device.key_id.hex()} prekey {epoch}"))
        member.prekeys[device.key_id, epoch] = secret
        return self.state(Prekey(device.key_id, epoch, secret.public), [device], age=age)

    def revoke_device(self, member: Member) -> bytes:
        """Append the revocation of the member's device by its agency."""
        return self.state(Revocation(member.device_id, "lost"), [member.identity], age=0)

    def copy(self) -> "Programme":
        """Return one that goes its own way from here; signatures that were verified are not verified again."""
        other = copy(self)
        other.statements, other.directory = list(self.statements), Directory(self.fingerprint, self.domain)
        for raw in self.statements:
            other.directory.apply(raw, verified=True)
        other.members = {name: replace(member, prekeys=dict(member.prekeys)) for name, member in self.members.items()}
        return other

    def sender(self, name: str) -> "Sender":
        """Return a sender for the agency `name`."""
        return Sender(self, self.members[name])


def make_programme(*, now: int = NOW, domain: str = DOMAIN, agencies: int = 0) -> Programme:
    """Return a programme with Gora Prison, Reka Probation and Polje Centre for Social Work, and `agencies` more."""
    return _enrolled(now, domain, agencies).copy()


@lru_cache(maxsize=8)
def _enrolled(now: int, domain: str, agencies: int) -> Programme:
    programme = Programme(now=now, domain=domain)
    for name, kind, functions in (PRISON, PROBATION, SOCIAL_WORK):
        programme.enrol(name, kind, functions)
    for number in range(agencies):
        programme.enrol(f"agency-{number}", "ngo", {"intake": "ngo"})
    return programme


@dataclass(frozen=True, slots=True)
class Sealed:
    """One sealed envelope and the names of what is in it."""

    envelope_id: EnvelopeId
    message_id: MessageId
    thread: ThreadId
    data: bytes = field(repr=False)


class Sender:
    """Seals messages of one agency, counting `seq` for each thread and recipient (SEQ-1)."""

    def __init__(self, programme: Programme, member: Member) -> None:
        self.programme = programme
        self.member = member
        self._last: dict[tuple[ThreadId, DeskAddress], tuple[int, MessageId | None]] = defaultdict(lambda: (0, None))

    def seal(
        self,
        *recipients: DeskAddress,
        payload: bytes = b"{}",
        sections: Sequence[tuple[bytes, Collection[DeskAddress]]] = (),
        now: int | None = None,
        life: int = 30 * DAY,
        klass: EnvelopeClass = EnvelopeClass.REFERRAL,
        thread: ThreadId | None = None,
        envelope_id: EnvelopeId | None = None,
        payload_type: str = "handover.offer",
        attachments: tuple[Attachment, ...] = (),
    ) -> Sealed:
        """Seal `payload` to all `recipients`, and each of `sections` (body, desks) to the desks that it names.

        The first section lists `attachments`.
        """
        now = self.programme.now if now is None else now
        thread = thread or ThreadId(secrets.token_bytes(16))
        message_id = MessageId(secrets.token_bytes(16))
        envelope_id = envelope_id or EnvelopeId(secrets.token_bytes(16))
        draft = MessageDraft(
            sender_desk=self.member.desk,
            agency=self.member.address,
            klass=klass,
            message_id=message_id,
            thread=thread,
            after=(),
            expires=now + life,
            payload_type=payload_type,
            payload_version=1,
            payload=payload,
            label="standard",
            sections=tuple(
                SectionDraft("identity", "continuity-of-care", "standard", body, () if number else attachments)
                for number, (body, _) in enumerate(sections)
            ),
            actor=self.member.actor,
        )
        rows = [self._recipient(desk, sections, thread, message_id, now) for desk in recipients]
        directory = self.programme.directory
        data = seal(
            draft,
            rows,
            self.member.device,
            (directory.size, directory.root),
            now=now,
            envelope_id=envelope_id,
        )
        return Sealed(envelope_id, message_id, thread, data)

    def _recipient(
        self,
        desk: DeskAddress,
        sections: Sequence[tuple[bytes, Collection[DeskAddress]]],
        thread: ThreadId,
        message_id: MessageId,
        now: int,
    ) -> Recipient:
        choice = choose_prekey(self.programme.directory, desk, now)
        seq, previous = self._last[thread, desk]
        self._last[thread, desk] = (seq + 1, message_id)
        return Recipient(
            desk=desk,
            device_id=choice.device.key_id,
            prekey_epoch=choice.prekey.epoch,
            prekey_public=choice.prekey.public,
            sections=tuple(number for number, (_, desks) in enumerate(sections, start=1) if desk in desks),
            seq=seq + 1,
            previous=previous,
        )


def open_as(
    member: Member,
    raw_slice: bytes,
    *,
    programme: Programme,
    audit_key: bytes,
    seen: Callable[[bytes], bool] = lambda _: False,
) -> VerifiedMessage:
    """Open a slice with the secrets of `member`; raises what `keys.opening.open_slice` raises."""
    return open_slice(
        raw_slice,
        own_device=member.device_id,
        prekey=lambda epoch: member.prekeys.get((member.device_id, epoch)),
        directory=programme.directory,
        audit_origin=f"{programme.domain}/audit",
        audit_key=audit_key,
        seen=seen,
    )
