# SPDX-License-Identifier: Apache-2.0
"""Checking a key request and signing the agency, each approver alone, until there are enough (ENR-3 to ENR-5)."""

import hmac
from dataclasses import dataclass, field
from typing import Final

from connectors.authority.office import Office
from connectors.authority.turns import Quorum, Shown, Turn, sign_in_turn
from keys.privatefile import remove_private, write_private
from keys.signing import HybridSigner
from keys.verifying import verify_hybrid
from keys.words import fingerprint_words
from protocol import labels
from protocol.enrolment import EnrolmentCode, KeyRequest, request_mac
from protocol.errors import BadSignature, EnrolmentRefused, MalformedEnvelope
from protocol.identities import IdentityKey, device_proof_message, identity_proof_message
from protocol.kinds.catalogue import KINDS
from protocol.statements import Agency

PAYLOAD_TYPES: Final = tuple(
    sorted({*KINDS, "receipt.cannot-open", "receipt.fork", "receipt.given-up", "receipt.missing", "receipt.opened"})
)
"""What agencies may send in this version."""


@dataclass(frozen=True, slots=True)
class CheckedRequest:
    """A key request whose MAC, proofs and terms were found right; only `check_request` makes one."""

    code: EnrolmentCode = field(repr=False)
    request: KeyRequest
    words: tuple[str, ...]
    """The 8 words that both sides compare by voice (ENR-4)."""


def check_request(code: EnrolmentCode, raw: bytes, mac: bytes, received_at: int) -> CheckedRequest:
    """Check what the hub holds under `code` (ENR-3) and return it with its words.

    `received_at` is when the hub took it, ms UTC. Raises `EnrolmentRefused` for a wrong MAC, keys whose
    owner did not prove to hold them, another agency, other desks, or a code used after its end.
    """
    if not hmac.compare_digest(request_mac(code.secret, raw), mac):
        raise EnrolmentRefused("The key request was not made with this enrolment code. Do not approve it.")
    try:
        request = KeyRequest.parse(raw)
        _check_proofs(request)
    except (MalformedEnvelope, BadSignature):
        raise EnrolmentRefused("The key request does not prove that its sender holds the keys.") from None
    desks = tuple(desk for desk, _ in code.terms.desks)
    if (request.code_id, request.agency, request.desks) != (code.code_id, code.terms.agency, desks):
        raise EnrolmentRefused("The key request is for another code, agency or desk than the code was made for.")
    if received_at > code.terms.expires:
        raise EnrolmentRefused("The code had expired when it was used. Make a new one.")
    return CheckedRequest(code, request, fingerprint_words(raw))


def _check_proofs(request: KeyRequest) -> None:
    identity, device = request.identity, request.device
    message = identity_proof_message(request.code_id, request.agency, identity)
    verify_hybrid(identity, labels.IDENTITY_PROOF, message, *request.identity_proof)
    hybrid = IdentityKey(device.ed25519, device.mldsa65)
    verify_hybrid(hybrid, labels.DEVICE_PROOF, device_proof_message(request.agency, device), *request.device_proof)


def approve(
    office: Office,
    checked: CheckedRequest,
    approver: HybridSigner,
    spoken: str,
    now: int,
    quorum: Quorum | None = None,
    shown: Shown | None = None,
) -> Turn:
    """Add one approver's signature to the agency's statement, after the words were compared.

    `spoken` are the words that the agency read out, `quorum` who approves by the directory; else by the authority's
    statement in the folder. Returns the statement and how many signatures it still
    lacks; with none lacking it is ready to be published. What another approver began is checked like a
    stranger's (ENR-7); one begun over 5 days ago is begun anew, and one that enough have signed is returned as it
    is. Raises `EnrolmentRefused` if the words differ (nothing is signed, ENR-4) or the begun statement is not what
    this office makes, and `Conflict` if this approver has signed before and others must (ENR-5), or if what others have
    signed is not what was `shown` (ENR-11).
    """
    check_words(checked, spoken)
    agency = agency_of(checked)
    return sign_in_turn(quorum or office.quorum, office.approval_file(agency.address), agency, approver, now, shown)


def check_words(checked: CheckedRequest, spoken: str) -> None:
    """Raise `EnrolmentRefused` unless the agency has `spoken` the words of the request (ENR-4)."""
    if tuple(spoken.lower().replace(",", " ").split()) != checked.words:
        raise EnrolmentRefused(
            "The words are not those of the key request: somebody may stand between you and the agency. "
            "Nothing was signed."
        )


def conclude(office: Office, checked: CheckedRequest, raw: bytes) -> None:
    """File the published statement and delete the code, which has done its work."""
    address = checked.request.agency
    write_private(office.agency_file(address), raw)
    remove_private(office.approval_file(address))
    remove_private(office.code_file(address))


def agency_of(checked: CheckedRequest) -> Agency:
    """Return what is signed of the agency that asks."""
    terms = checked.code.terms
    return Agency(
        address=terms.agency,
        agency_kind=terms.agency_kind,
        identity=checked.request.identity,
        desks=terms.desks,
        payload_types=PAYLOAD_TYPES,
        name=checked.code.name,
    )
