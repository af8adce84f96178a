# SPDX-License-Identifier: Apache-2.0
"""Making an enrolment code, and telling the hub of it without its secret (ENR-1, ENR-2)."""

import secrets

from connectors.authority.office import Office
from keys.privatefile import write_private
from keys.signing import HybridSigner
from protocol import labels
from protocol.clearance import KIND_OF, AgencyKind, DeskFunction
from protocol.enrolment import CodeRegistration, EnrolmentCode, EnrolmentTerms, encode_registration
from protocol.errors import Conflict, InvalidInput
from protocol.statements import StatementSignature

SECRET_SIZE = 16


def make_code(
    office: Office,
    *,
    agency: str,
    name: str,
    kind: str,
    desks: tuple[tuple[str, str], ...],
    expires: int,
    directory_size: int,
) -> EnrolmentCode:
    """Return a fresh code for one agency and its desks (name, function), to be used before `expires`.

    `agency` is the name or the whole address, `directory_size` the size of the directory log that the
    authority has seen: a newcomer refuses a smaller one. Raises `InvalidInput` for a kind, a function or a
    name that the protocol does not know.
    """
    address = office.address_of(agency)
    check_functions(kind, desks)
    directory, audit = office.anchors(directory_size)
    return EnrolmentCode(
        secret=secrets.token_bytes(SECRET_SIZE),
        root_fingerprint=office.facts.root_fingerprint,
        hub_url=office.hub.url,
        directory=directory,
        audit=audit,
        terms=EnrolmentTerms(agency=address, agency_kind=kind, desks=desks, expires=expires),
        name=name,
    )


def check_functions(kind: str, desks: tuple[tuple[str, str], ...]) -> None:
    """Raise `InvalidInput` unless each desk's function is one that an agency of this kind has."""
    if kind not in set(AgencyKind):
        raise InvalidInput(f"The kinds of agency are: {', '.join(AgencyKind)}.")
    of_kind = [function for function in DeskFunction if KIND_OF[function] == kind]
    if not desks or any(function not in of_kind for _, function in desks):
        raise InvalidInput(f"The desks of an agency of kind {kind} have the functions: {', '.join(of_kind)}.")
    if len({desk for desk, _ in desks}) != len(desks):
        raise InvalidInput("A desk is named twice.")


def registration(code: EnrolmentCode, approver: HybridSigner) -> bytes:
    """Return what tells the hub of `code`: its id, terms and verifier, signed by one approver (ENR-2, ENR-6)."""
    body = CodeRegistration.of(code).encode()
    ed25519, mldsa65 = approver.sign(labels.CODE_REGISTRATION, body)
    return encode_registration(body, StatementSignature(approver.public.key_id, ed25519, mldsa65))


def keep_code(office: Office, code: EnrolmentCode, *, replace: bool = False) -> None:
    """Keep `code` in the office, where the approvers will need its secret (ENR-3).

    Raises `Conflict` if another code is out for the agency, unless it is to be replaced.
    """
    path = office.code_file(code.terms.agency)
    if path.exists() and not replace:
        raise Conflict("A code is out for that agency already. Use --replace to make a new one in its place.")
    office.approval_file(code.terms.agency).unlink(missing_ok=True)
    write_private(path, code.text().encode() + b"\n")
