# SPDX-License-Identifier: Apache-2.0
"""Who may say what in the directory: one rule for each kind of statement (DIR-1 to DIR-8).

Signers are judged at the log's time, never at a date of their own choosing before it (DIR-14): who was removed
by rotation signs nothing more, whatever date is written on it.

A rule looks at the register and a statement and either raises, having changed nothing, or returns the change to
make. Cheap questions come before signatures, so that a flood of nonsense costs little. With `verify` false the
signatures, proofs and points are taken as checked before: for statements that this installation verified when
it stored them.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TypedDict

from keys.entries import (
    AgencyEntry,
    AuthorityEntry,
    DelegationEntry,
    DeviceEntry,
    PrekeyEntry,
    RestorationEntry,
    RootEntry,
)
from keys.permission import Change, Signers, check_newer, claim, claim_identities, permit, verify_signatures
from keys.register import Register
from keys.verifying import check_device, check_xwing_public, verify_device_proof
from protocol import limits
from protocol.address import AgencyAddress, DeskAddress, desk_of, domain_of
from protocol.errors import BadSignature, DirectoryInconsistent, Revoked, UntrustedKey
from protocol.identities import IdentityKey
from protocol.ids import KeyId
from protocol.restoration import Restoration
from protocol.statements import (
    Agency,
    Authority,
    Body,
    Delegation,
    Device,
    Prekey,
    Revocation,
    Root,
    StatementKind,
    Subject,
    UnverifiedStatement,
)

LEAST_APPROVERS = 2
"""DIR-2: however low an authority's threshold, no one person makes an agency."""


class _Standing(TypedDict):
    digest: bytes
    index: int
    issued: int
    not_before: int
    not_after: int


def judge(register: Register, statement: UnverifiedStatement, *, verify: bool) -> Change:
    """Return the change that `statement` makes to `register`, or raise and change nothing.

    Raises `UntrustedKey`, `BadSignature`, `Revoked` or, for a root that does not continue the log's,
    `DirectoryInconsistent`.
    """
    if statement.digest in register.indexes:
        raise UntrustedKey("The statement stands in the directory already.")
    if statement.body.issued < _time_back(register, statement.body) - limits.STATEMENT_LAG:
        raise UntrustedKey("The statement is dated over 7 days before others in the directory. Sign it again.")
    subject = statement.body.subject
    change = _change(register, statement, subject, verify)

    def complete() -> None:
        change()
        register.indexes[statement.digest] = len(register.indexes)
        if not isinstance(subject, Restoration):
            # A restore leaves the log's time where it was: what is handed back afterwards was in time once (DIR-14).
            register.time = max(register.time, statement.body.issued)

    return complete


def _time_back(register: Register, body: Body) -> int:
    """Return the log's time that a statement may be dated 7 days before, ms UTC (DIR-14).

    What a restore lost must come back though somebody else was faster: a thief would otherwise date a prekey of today,
    and the revocation of his device, handed back a moment later, would be too old for ever. So would an exchange, and
    nobody who knows of it could follow that hub again (GEN-9): versions and dates keep old ones of those out. What was
    signed after a restore was not lost by it: a draft that was given up since has its seven days and no more.
    """
    for restored in register.restorations:
        in_time = (
            isinstance(body.subject, Revocation | Root | Authority)
            or register.time <= restored.issued + limits.HANDED_BACK
        )
        if body.issued <= restored.issued and in_time:
            return min(register.time, restored.log_time)
    return register.time


def _judged_at(register: Register, statement: UnverifiedStatement) -> int:
    """Return when the statement's signers must be in force, ms UTC (DIR-14)."""
    return max(register.time, statement.body.issued)


def _change(register: Register, statement: UnverifiedStatement, subject: Subject, verify: bool) -> Change:
    match subject:
        case Root():
            return _root(register, statement, subject, verify)
        case Authority():
            return _authority(register, statement, subject, verify)
        case Agency():
            return _agency(register, statement, subject, verify)
        case Device():
            return _device(register, statement, subject, verify)
        case Delegation():
            return _delegation(register, statement, subject, verify)
        case Prekey():
            return _prekey(register, statement, subject, verify)
        case Revocation():
            return _revocation(register, statement, subject, verify)
        case Restoration():
            return _restoration(register, statement, subject, verify)


def _root(register: Register, statement: UnverifiedStatement, subject: Root, verify: bool) -> Change:
    former = register.roots[-1] if register.roots else None
    keys: dict[KeyId, IdentityKey] = {key.key_id: key for key in subject.identities}
    groups = [(set(keys), subject.threshold)]
    if former is not None:
        if subject.version != former.version + 1 or subject.programme != former.programme:
            raise DirectoryInconsistent("A new root must be the next version of the same programme's.")
        old = {key.key_id: key for key in former.identities}
        groups.append((set(old), former.threshold))
        keys |= old
    signers = {signature.signer for signature in statement.signatures}
    if not signers <= set(keys) or any(len(signers & group) < threshold for group, threshold in groups):
        raise DirectoryInconsistent("A root needs the threshold of its own persons and of those before them.")
    holders = claim_identities(register, StatementKind.ROOT, subject.programme, subject.identities, verify)
    verify_signatures(statement, keys, verify)
    entry = RootEntry(
        **_standing(register, statement),
        version=subject.version,
        threshold=subject.threshold,
        identities=subject.identities,
        programme=subject.programme,
    )

    def change() -> None:
        holders()
        register.add_root(entry)

    return change


def _authority(register: Register, statement: UnverifiedStatement, subject: Authority, verify: bool) -> Change:
    root = register.root_in_force(at=_judged_at(register, statement), size=len(register.indexes))
    permit(statement, root.identities, root.threshold)
    former = register.authorities.get(subject.domain, [])[-1:]
    check_newer(statement, former)
    if any(one.issued == statement.body.issued for one in former):
        # Of two of one date each would be the newest where it comes last, and after a restore that may be either.
        raise UntrustedKey("A statement of this authority has just this date already. Sign it again.")
    holders = claim_identities(register, StatementKind.AUTHORITY, subject.domain, subject.identities, verify)
    verify_signatures(statement, {key.key_id: key for key in root.identities}, verify)
    entry = AuthorityEntry(
        **_standing(register, statement),
        jurisdiction=subject.jurisdiction,
        threshold=subject.threshold,
        identities=subject.identities,
        domain=subject.domain,
    )

    def change() -> None:
        holders()
        register.add_authority(entry)

    return change


def _agency(register: Register, statement: UnverifiedStatement, subject: Agency, verify: bool) -> Change:
    body, at, size = statement.body, _judged_at(register, statement), len(register.indexes)
    if body.not_after - min(body.issued, body.not_before) > limits.AGENCY_LIFE:
        raise UntrustedKey("An agency's certificate ends within 732 days.")
    # DIR-3: the authority is looked up by the agency's own domain; no other can sign for it.
    authority = register.authority_in_force(domain_of(subject.address), at=at, size=size)
    permit(statement, authority.identities, max(authority.threshold, LEAST_APPROVERS))
    former = register.agencies.get(subject.address, [])
    check_newer(statement, former[-1:])
    if any(one.identity == subject.identity and one.revoked_index is not None for one in former):
        raise Revoked("The agency's identity was revoked. It needs a new one.")
    holders = claim_identities(register, StatementKind.AGENCY, subject.address, [subject.identity], verify)
    verify_signatures(statement, {key.key_id: key for key in authority.identities}, verify)
    entry = AgencyEntry(
        **_standing(register, statement),
        address=subject.address,
        agency_kind=subject.agency_kind,
        name=subject.name,
        identity=subject.identity,
        desks=subject.desks,
        payload_types=subject.payload_types,
        authority=authority.digest,
    )

    def change() -> None:
        holders()
        register.add_agency(entry)

    return change


def _device(register: Register, statement: UnverifiedStatement, subject: Device, verify: bool) -> Change:
    body = statement.body
    issuer, desks = _issuing_agency(register, statement, subject.agency, subject.desks)
    if body.not_after - body.not_before > limits.DEVICE_LIFE:
        raise UntrustedKey("A device's certificate lasts at most 90 days.")
    key_id = subject.key.key_id
    known = register.devices.get(key_id, [])
    if any(entry.revoked_index is not None for entry in known):
        raise Revoked("The device was revoked. It needs new keys.")
    if any(register.lost(desk, key_id) for desk in desks):
        # DIR-17: an old machine that is started again must not take its desks back.
        raise UntrustedKey("Another device has taken over a desk from this one. It needs new keys to get it back.")
    serving = (register.serving(desk, len(register.indexes)) for desk in desks)
    check_newer(statement, known[-1:] + [register.devices[one][-1] for one in serving if one is not None])
    parts = [subject.key.ed25519, subject.key.mldsa65, subject.key.transport]
    holder = claim(register, f"device {subject.agency} {key_id.hex()}", parts)
    if verify:
        check_device(subject.key)
        try:
            verify_device_proof(subject.agency, subject.key, subject.proof)
        except BadSignature as error:
            raise UntrustedKey("The device did not prove that it holds its keys.") from error
    verify_signatures(statement, {issuer.identity.key_id: issuer.identity}, verify)
    entry = DeviceEntry(
        **_standing(register, statement),
        key=subject.key,
        key_id=key_id,
        agency=subject.agency,
        desks=desks,
        issuer=issuer.identity.key_id,
    )

    def change() -> None:
        register.hold(holder, parts)
        register.add_device(entry)

    return change


def _delegation(register: Register, statement: UnverifiedStatement, subject: Delegation, verify: bool) -> Change:
    issuer, desks = _issuing_agency(register, statement, subject.agency, subject.desks)
    verify_signatures(statement, {issuer.identity.key_id: issuer.identity}, verify)
    entry = DelegationEntry(
        **_standing(register, statement),
        agency=subject.agency,
        officer=subject.officer,
        actor_kind=subject.actor_kind,
        title=subject.title,
        desks=desks,
        issuer=issuer.identity.key_id,
    )
    return lambda: register.add_delegation(entry)


def _prekey(register: Register, statement: UnverifiedStatement, subject: Prekey, verify: bool) -> Change:
    size = len(register.indexes)
    device = register.device_in_force(subject.device_id, at=_judged_at(register, statement), size=size)
    permit(statement, [device.key], 1)
    former = register.prekeys.get(subject.device_id, [])
    _check_pace(statement.body.issued, subject.epoch, former)
    holder = claim(register, f"prekey {subject.device_id.hex()} {subject.epoch}", [subject.public])
    if verify:
        check_xwing_public(subject.public)
    verify_signatures(statement, {device.key_id: device.key}, verify)
    entry = PrekeyEntry(
        device_id=subject.device_id,
        epoch=subject.epoch,
        issued=statement.body.issued,
        index=size,
        public=subject.public,
    )

    def change() -> None:
        register.hold(holder, [subject.public])
        register.add_prekey(entry)

    return change


def _check_pace(issued: int, epoch: int, former: Sequence[PrekeyEntry]) -> None:
    """Raise `UntrustedKey` for an epoch that does not ascend in small steps, or too many prekeys (DIR-8, DIR-15)."""
    last = former[-1].epoch if former else 0
    if epoch <= last:
        raise UntrustedKey("A prekey's epoch must be above those before it.")
    if epoch > last + limits.PREKEY_EPOCH_STEP:
        raise UntrustedKey("A prekey's epoch is at most 1,000 above the one before it.")
    if former and issued < former[-1].issued:
        raise UntrustedKey("A prekey must not be dated before the one that it follows.")
    most = limits.PREKEYS_WITHIN
    if len(former) >= most and issued - former[-most].issued < limits.PREKEY_EVERY:
        raise UntrustedKey("A device publishes at most 8 prekeys in 7 days.")


def _revocation(register: Register, statement: UnverifiedStatement, subject: Revocation, verify: bool) -> Change:
    target = register.find(subject.target)
    if target is None:
        raise UntrustedKey("A revocation names nothing that the directory knows.")
    if target.revoked_index is not None:
        raise Revoked("It was revoked before.")
    signers = {signature.signer for signature in statement.signatures}
    for allowed, threshold in _revokers(register, target, _judged_at(register, statement)):
        keys = {key.key_id: key for key in allowed}
        if signers <= set(keys) and len(signers) >= threshold:
            verify_signatures(statement, keys, verify)
            return lambda: register.revoke(target, len(register.indexes))
    raise UntrustedKey("Who signed the revocation may not revoke this.")


def _revokers(
    register: Register, target: AuthorityEntry | AgencyEntry | DeviceEntry | DelegationEntry, at: int
) -> Iterable[tuple[Signers, int]]:
    """Give each group that may revoke `target`, and how many of it must: its issuers, then theirs (DIR-2)."""
    size = len(register.indexes)
    if isinstance(target, DeviceEntry | DelegationEntry):
        with suppress(Revoked, UntrustedKey):
            yield [register.agency_in_force(target.agency, at=at, size=size).identity], 1
    if not isinstance(target, AuthorityEntry):
        address = target.address if isinstance(target, AgencyEntry) else target.agency
        with suppress(Revoked, UntrustedKey):
            authority = register.authority_in_force(domain_of(address), at=at, size=size)
            yield authority.identities, max(authority.threshold, LEAST_APPROVERS)
    if isinstance(target, AuthorityEntry | AgencyEntry):
        root = register.root_in_force(at=at, size=size)
        yield root.identities, root.threshold


def _restoration(register: Register, statement: UnverifiedStatement, subject: Restoration, verify: bool) -> Change:
    """GEN-2: the authority says it, never the hub's own key. `Directory` compares what was kept."""
    size = len(register.indexes)
    authority = register.authority_in_force(subject.domain, at=_judged_at(register, statement), size=size)
    permit(statement, authority.identities, max(authority.threshold, LEAST_APPROVERS))
    least = register.restorations[-1].subject.audit.size if register.restorations else 0
    if subject.generation != len(register.restorations) + 1 or subject.audit.size < least:
        raise UntrustedKey("A restore begins the next generation of the logs, and keeps those before it.")
    verify_signatures(statement, {key.key_id: key for key in authority.identities}, verify)
    entry = RestorationEntry(
        digest=statement.digest,
        index=size,
        kept=_kept(register, subject.domain),
        issued=statement.body.issued,
        log_time=register.time,
        subject=subject,
        signers=frozenset(one.signer for one in statement.signatures),
    )
    return lambda: register.restorations.append(entry)


def _kept(register: Register, domain: str) -> int:
    """Return how many leaves stand before the statements of the root and the authority that are the newest (GEN-10)."""
    size = len(register.indexes)
    above = {one.index for one in (*register.roots, *register.authorities.get(domain, []))}
    while size - 1 in above:
        size -= 1
    return size


def _standing(register: Register, statement: UnverifiedStatement) -> _Standing:
    body = statement.body
    return {
        "digest": statement.digest,
        "index": len(register.indexes),
        "issued": body.issued,
        "not_before": body.not_before,
        "not_after": body.not_after,
    }


def _issuing_agency(
    register: Register, statement: UnverifiedStatement, address: AgencyAddress, desks: Sequence[str]
) -> tuple[AgencyEntry, tuple[DeskAddress, ...]]:
    """Return the agency that signs for some of its own desks, and these desks' addresses (DIR-2, DIR-3)."""
    agency = register.agency_in_force(address, at=_judged_at(register, statement), size=len(register.indexes))
    permit(statement, [agency.identity], 1)
    if not set(desks) <= {desk for desk, _ in agency.desks}:
        raise UntrustedKey("A desk is not one of this agency's.")
    return agency, tuple(desk_of(desk, address) for desk in desks)
