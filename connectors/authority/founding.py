# SPDX-License-Identifier: Apache-2.0
"""How a programme begins: its root, one authority under it, and a sealed key for each person."""

from collections.abc import Callable
from pathlib import Path

from connectors.authority.office import AUTHORITY_THRESHOLD, FACTS_NAME, MAX_PERSONS, Office, OfficeFacts
from connectors.authority.turns import body_of
from keys.privatefile import write_private
from keys.sealedfile import SMALL, KdfParams, seal_file
from keys.signing import HybridSigner, sign_statement
from protocol.address import parse_agency
from protocol.errors import ConfigurationError, Conflict
from protocol.statements import Authority, Root, parse_statement

PassphraseOf = Callable[[str], bytes]
"""Gives the passphrase of a person's key: `root-1`, `approver-2`."""


def create_office(
    folder: Path,
    *,
    programme: str,
    jurisdiction: str,
    domain: str,
    root_persons: int,
    approvers: int,
    passphrase_of: PassphraseOf,
    now: int,
    params: KdfParams = SMALL,
) -> Office:
    """Make a programme's root and one authority under it, with a sealed key file for each person.

    The root is signed by its own persons and the authority by the root (DIR-2). Raises `Conflict` if the
    folder holds an authority already, and `ConfigurationError` for numbers of persons out of bounds.
    """
    if (folder / FACTS_NAME).exists():
        raise Conflict("This folder holds an authority already; its keys are never overwritten.")
    if not (1 <= root_persons <= MAX_PERSONS and AUTHORITY_THRESHOLD <= approvers <= MAX_PERSONS):
        raise ConfigurationError(f"A root has 1 to {MAX_PERSONS} persons, an authority 2 to {MAX_PERSONS} approvers.")
    parse_agency(f"a@{domain}")  # the domain must be one that addresses can end in (ID-2)
    for name in ("keys", "codes", "approvals", "agencies"):
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    root_signers = [HybridSigner.generate() for _ in range(root_persons)]
    approver_signers = [HybridSigner.generate() for _ in range(approvers)]
    root = Root(
        version=1,
        threshold=min(AUTHORITY_THRESHOLD, root_persons),
        identities=tuple(signer.public for signer in root_signers),
        programme=programme,
    )
    authority = Authority(
        jurisdiction=jurisdiction,
        threshold=AUTHORITY_THRESHOLD,
        identities=tuple(signer.public for signer in approver_signers),
        domain=domain,
    )
    root_raw = sign_statement(body_of(root, now), root_signers[: root.threshold])
    authority_raw = sign_statement(body_of(authority, now), root_signers[: root.threshold])
    fingerprint = parse_statement(root_raw).digest
    for role, signers in (("root", root_signers), ("approver", approver_signers)):
        for number, signer in enumerate(signers, start=1):
            name = f"{role}-{number}"
            # The fingerprint goes with the key, so that no exchanged folder has it sign for another programme (ENR-9).
            sealed = b"".join(signer.seeds) + fingerprint
            seal_file(folder / "keys" / f"{name}.key", name, sealed, passphrase_of(name), params)
    write_private(folder / "root.statement", root_raw)
    write_private(folder / "authority.statement", authority_raw)
    facts = OfficeFacts(
        programme=programme,
        jurisdiction=jurisdiction,
        domain=domain,
        root_fingerprint=fingerprint,
        root_persons=tuple(signer.public.key_id for signer in root_signers),
        approvers=tuple(signer.public.key_id for signer in approver_signers),
        threshold=authority.threshold,
    )
    office = Office(folder, facts)
    office.write_facts()
    return office
