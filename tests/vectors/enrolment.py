# SPDX-License-Identifier: Apache-2.0
"""Vectors of enrolment: the code, its registration, the key request, its MAC and the words to compare."""

from dataclasses import replace

from keys.signing import HybridSigner, device_proof
from keys.words import fingerprint_words
from protocol import labels
from protocol.enrolment import (
    CODE_PREFIX,
    CodeRegistration,
    EnrolmentCode,
    EnrolmentTerms,
    KeyRequest,
    LogAnchor,
    code_verifier,
    encode_registration,
    parse_code,
    parse_registration,
    request_mac,
)
from protocol.identities import identity_proof_message
from protocol.statements import StatementSignature
from tests.keys.world import (
    APPROVERS,
    AUDIT_KEY,
    AUDIT_ORIGIN,
    DAY,
    DIRECTORY_KEY,
    NOW,
    Member,
    seed,
)
from tests.vectors.cases import Document, Recording, document, error_of, good, plain, spoilt_lists, spoilt_maps
from tests.vectors.statements import VectorLog


def build(recording: Recording, log: VectorLog) -> list[Document]:
    """Return the documents of this module."""
    code = _code(log)
    return [_codes(code), _registrations(recording, code), _requests(recording, code, log.prison)]


def _code(log: VectorLog) -> EnrolmentCode:
    return EnrolmentCode(
        secret=seed("code")[:16],
        root_fingerprint=log.directory.root_fingerprint,
        hub_url="https://hub.example",
        directory=LogAnchor(log.directory.origin, DIRECTORY_KEY.public, 2),
        audit=LogAnchor(AUDIT_ORIGIN, AUDIT_KEY.public, 0),
        terms=EnrolmentTerms(log.prison.address, log.prison.kind, log.prison.desks, NOW + DAY),
        name="Gora Prison (DEMO)",
    )


def _codes(code: EnrolmentCode) -> Document:
    text = code.text()
    broken = {
        "one character changed": text[:40] + ("A" if text[40] != "A" else "B") + text[41:],
        "two characters exchanged": text[:30] + text[31] + text[30] + text[32:],
        "cut short": text[:-1],
        "prolonged": text + "A",
        "no prefix": text.removeprefix(CODE_PREFIX),
        "another version": text.replace("-1-", "-2-"),
        "small letters": text.lower(),
        "only the prefix": CODE_PREFIX,
        "nothing": "",
    }
    for name, one in broken.items():
        if error_of(lambda one=one: parse_code(one)) != "enrolment-refused":  # type: ignore[misc]
            raise AssertionError(name)
    value = {**plain(code), "secret": code.secret.hex()}
    spaced = " ".join(text[start : start + 5] for start in range(0, len(text), 5))
    return document(
        "enrolment-code",
        "Enrolment codes as text; blanks and line breaks in it do not count.",
        "ENR-1 ENR-2 ENR-6",
        code_id=code.code_id.hex(),
        proof=code.proof.hex(),
        verifier=code_verifier(code.proof).hex(),
        good=[
            {"name": "code", "text": text, "value": value},
            {"name": "code with blanks", "text": spaced, "value": value},
        ],
        bad=[{"name": name, "text": one, "error": "enrolment-refused"} for name, one in broken.items()],
    )


def _registrations(recording: Recording, code: EnrolmentCode) -> Document:
    registration = CodeRegistration.of(code)
    body = registration.encode()
    approver = APPROVERS[0]

    def make() -> bytes:
        pair = approver.sign(labels.CODE_REGISTRATION, body)
        return encode_registration(body, StatementSignature(approver.key_id, *pair))

    def same(raw: bytes) -> bool:
        signed, _, signature = parse_registration(raw)
        return (signed, signature.signer) == (body, approver.key_id)

    raw = recording.keep("code-registration", "registration", make, same)
    value = {"registration": registration, "signer": approver.key_id}
    return document(
        "code-registration",
        "How an approver of the authority tells the hub of the code.",
        "ENR-2 ENR-6",
        good=[good("registration", raw, value)],
        bad=spoilt_lists(("registration", raw), parse_registration),
    )


def _requests(recording: Recording, code: EnrolmentCode, one: Member) -> Document:
    message = identity_proof_message(code.code_id, one.address, one.identity.public)

    def request(identity: HybridSigner) -> KeyRequest:
        return KeyRequest(
            code_id=code.code_id,
            agency=one.address,
            identity=identity.public,
            device=one.device.public,
            identity_proof=identity.sign(labels.IDENTITY_PROOF, message),
            device_proof=device_proof(one.address, one.device),
            desks=tuple(name for name, _ in one.desks),
        )

    meant = request(one.identity)
    empty = (b"", b"")

    def same(raw: bytes) -> bool:
        parsed = KeyRequest.parse(raw)
        return replace(parsed, identity_proof=empty, device_proof=empty) == replace(
            meant, identity_proof=empty, device_proof=empty
        )

    raw = recording.keep("key-request", "key request", meant.encode, same)
    return document(
        "key-request",
        "The key request of a newcomer with the code in enrolment-code.json, its MAC and its words.",
        "ENR-3 ENR-4",
        mac=request_mac(code.secret, raw).hex(),
        words=list(fingerprint_words(raw)),
        good=[good("key request", raw, KeyRequest.parse(raw))],
        bad=spoilt_maps(("key request", raw), KeyRequest.parse),
    )
