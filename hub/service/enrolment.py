# SPDX-License-Identifier: Apache-2.0
"""Enrolment codes: registered by an approver, redeemed once, for what they were made for (ENR-2, ENR-3, ENR-6)."""

import hmac
from dataclasses import dataclass, field

from hub.service.directory import DirectoryLog
from hub.service.transaction import Change, Finish, Transaction
from hub.service.writer import Writer
from hub.store import enrolments
from hub.store.engine import Store
from hub.store.enrolments import StoredRequest
from keys.verifying import check_device, check_identity, verify_device_proof, verify_hybrid
from protocol import labels
from protocol.address import domain_of
from protocol.clockwatch import Clock
from protocol.enrolment import CodeRegistration, KeyRequest, code_verifier, parse_registration
from protocol.errors import EnrolmentRefused, NotFound, UntrustedKey
from protocol.identities import identity_proof_message
from protocol.ids import CodeId
from protocol.limits import DAY

MAX_CODE_LIFE = 60 * DAY
"""A code that lies about for longer is one that somebody found."""


@dataclass(frozen=True, slots=True)
class RegisterCode(Change[CodeId]):
    """Store a code that an approver signed."""

    registration: CodeRegistration
    signed: bytes = field(repr=False)

    def apply(self, transaction: Transaction) -> Finish[CodeId]:
        """Store it; the same registration again changes nothing."""
        code_id, body = self.registration.code_id, self.signed
        known = enrolments.registration(transaction.connection, code_id)
        if known is None:
            enrolments.register(transaction.connection, code_id, body, self.registration.terms.expires)
        elif known != body:
            raise EnrolmentRefused("The code is registered for something else. Make a new one.")
        return lambda: code_id


@dataclass(frozen=True, slots=True)
class RedeemCode(Change[None]):
    """Store the one key request of a code."""

    code_id: CodeId
    request: KeyRequest
    encoded: bytes = field(repr=False)
    mac: bytes = field(repr=False)

    def apply(self, transaction: Transaction) -> Finish[None]:
        """Check the code's terms and store the request; the same request again changes nothing."""
        registered = enrolments.registration(transaction.connection, self.code_id)
        if registered is None:
            raise EnrolmentRefused
        known = enrolments.request_of(transaction.connection, self.code_id)
        if known is not None:
            if (known.request, known.mac) != (self.encoded, self.mac):
                raise EnrolmentRefused
            return lambda: None
        terms = CodeRegistration.parse(registered).terms
        desks = {desk for desk, _ in terms.desks}
        if transaction.now >= terms.expires or self.request.agency != terms.agency or set(self.request.desks) != desks:
            raise EnrolmentRefused
        request = StoredRequest(self.encoded, self.mac, transaction.now)
        enrolments.redeem(transaction.connection, self.code_id, request)
        return lambda: None


def verify_key_request(request: KeyRequest) -> None:
    """Raise UntrustedKey or BadSignature unless the request proves that its sender holds its keys (ENR-3)."""
    check_identity(request.identity)
    check_device(request.device)
    message = identity_proof_message(request.code_id, request.agency, request.identity)
    verify_hybrid(request.identity, labels.IDENTITY_PROOF, message, *request.identity_proof)
    verify_device_proof(request.agency, request.device, request.device_proof)


class Enrolments:
    """Codes and key requests. The secret of a code never comes here, so its MAC is the approver's to check."""

    def __init__(self, store: Store, writer: Writer, directory: DirectoryLog, domain: str, clock: Clock) -> None:
        self._store = store
        self._writer = writer
        self._log = directory
        self._domain = domain
        self._clock = clock

    async def register(self, raw: bytes) -> CodeId:
        """Register a code by an approver's signed registration; raises EnrolmentRefused or UntrustedKey (ENR-2)."""
        body, registration, signature = parse_registration(raw)
        now = self._clock()
        authority = self._log.directory.authority(self._domain)
        if authority is None or not authority.covers(now):
            raise UntrustedKey("The directory holds no authority for this hub's domain.")
        for identity in authority.identities:
            if identity.key_id == signature.signer:
                verify_hybrid(identity, labels.CODE_REGISTRATION, body, signature.ed25519, signature.mldsa65)
                break
        else:
            raise UntrustedKey("Only an approver of this hub's authority registers codes.")
        if domain_of(registration.terms.agency) != self._domain:
            raise EnrolmentRefused("The code is for an agency of another hub.")
        if not now < registration.terms.expires <= now + MAX_CODE_LIFE:
            raise EnrolmentRefused("The code must end in the future, within 60 days.")
        return await self._writer.write(RegisterCode(registration, body))

    async def redeem(self, code_id: CodeId, encoded: bytes, mac: bytes, proof: bytes) -> None:
        """Take the key request of a code, once, if it keeps the code's terms and proves its keys (ENR-2, ENR-3).

        `proof` shows that the sender holds the code (ENR-6). It is looked at before any signature: strangers must
        not make the hub work, nor use up a code of which they only know the id.
        """
        await self._check_proof(code_id, proof)
        request = KeyRequest.parse(encoded)
        if request.code_id != code_id:
            raise EnrolmentRefused
        verify_key_request(request)
        await self._writer.write(RedeemCode(code_id, request, encoded, mac))

    async def _check_proof(self, code_id: CodeId, proof: bytes) -> None:
        registered = await self._store.read(lambda connection: enrolments.registration(connection, code_id))
        if registered is None:
            raise EnrolmentRefused
        if not hmac.compare_digest(code_verifier(proof), CodeRegistration.parse(registered).verifier):
            raise EnrolmentRefused

    async def request_of(self, code_id: CodeId) -> StoredRequest:
        """Return the key request handed in under a code, or raise NotFound."""
        found = await self._store.read(lambda connection: enrolments.request_of(connection, code_id))
        if found is None:
            raise NotFound
        return found
