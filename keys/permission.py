# SPDX-License-Identifier: Apache-2.0
"""What the rules of the chain have in common: who signed, with which keys, and whose keys they are (DIR-1, DIR-5)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from keys.entries import AgencyEntry, AuthorityEntry, DeviceEntry, IdentityHolder
from keys.register import Register
from keys.verifying import check_identity, verify_hybrid
from protocol import labels
from protocol.errors import UntrustedKey
from protocol.identities import DeviceKey, IdentityKey
from protocol.ids import KeyId
from protocol.statements import StatementKind, UnverifiedStatement

Change: TypeAlias = Callable[[], None]
Signers: TypeAlias = Sequence[IdentityKey | DeviceKey]


def permit(statement: UnverifiedStatement, allowed: Signers, threshold: int) -> None:
    """Raise `UntrustedKey` unless all signers are `allowed` and there are at least `threshold` of them (DIR-1, DIR-2).

    That no signer stands twice is part of a statement's form.
    """
    signers = {signature.signer for signature in statement.signatures}
    if not signers <= {key.key_id for key in allowed}:
        raise UntrustedKey("A signer may not sign this statement.")
    if len(signers) < threshold:
        raise UntrustedKey("Too few signed the statement.")


def verify_signatures(
    statement: UnverifiedStatement, keys: Mapping[KeyId, IdentityKey | DeviceKey], verify: bool
) -> None:
    """Check all signatures, both algorithms of each (DIR-1)."""
    if not verify:
        return
    for one in statement.signatures:
        verify_hybrid(keys[one.signer], labels.STATEMENT, statement.body_bytes, one.ed25519, one.mldsa65)


def check_newer(statement: UnverifiedStatement, former: Iterable[AuthorityEntry | AgencyEntry | DeviceEntry]) -> None:
    """Raise `UntrustedKey` for a statement older than what it would replace, kept back by somebody (DIR-7)."""
    if any(statement.body.issued < entry.issued for entry in former):
        raise UntrustedKey("The statement is older than the one it would replace.")


def claim(register: Register, holder: str, parts: Sequence[bytes]) -> str:
    """Return `holder` if it may hold all of `parts`; `UntrustedKey` if another does, or one stands twice (DIR-5)."""
    if len(set(parts)) != len(parts) or any(register.holder(part) not in (None, holder) for part in parts):
        raise UntrustedKey("A key stands in the directory for another holder.")
    return holder


def claim_identities(
    register: Register, kind: StatementKind, name: str, identities: Sequence[IdentityKey], verify: bool
) -> Change:
    """Check the identities of one statement (ID-4, DIR-5) and return the change that notes their holder."""
    claims = []
    for identity in identities:
        parts = [identity.ed25519, identity.mldsa65]
        claims.append((claim(register, f"{kind.name} {name} {identity.key_id.hex()}", parts), parts))
        if verify:
            check_identity(identity)
    if len({part for _, parts in claims for part in parts}) != 2 * len(claims):
        raise UntrustedKey("A key stands twice in the statement.")

    def change() -> None:
        for (holder, parts), identity in zip(claims, identities, strict=True):
            register.hold(holder, parts)
            register.identities[identity.key_id] = IdentityHolder(identity=identity, kind=kind, name=name)

    return change
