# SPDX-License-Identifier: Apache-2.0
"""Request signatures of RFC 9421 in the one form that we use (HTTP-1), on top of http-message-signatures.

The library makes and reads structured fields and signature bases. The profile, the time window and the answer to
any failure are ours. The store of used nonces is the hub's: it outlives a process, and this module holds nothing.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from http_message_signatures import (
    HTTPMessageSignaturesException,
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureAlgorithm,
    HTTPSignatureKeyResolver,
)
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

from protocol.errors import InvalidInput, NotAuthenticated, ThroughcareError
from protocol.http.fields import decode_base64url, encode_base64url
from protocol.ids import KeyId
from protocol.limits import ED25519_SIGNATURE, SECOND, SIGNATURE_WINDOW

LABEL = "hub"
TAG = "throughcare-v1"
NONCE_SIZE = 16

_ALWAYS = frozenset({'"@method"', '"@target-uri"'})
_WITH_BODY = _ALWAYS | {'"content-digest"', '"content-type"'}
_PARAMETERS = {"created", "keyid", "alg", "nonce", "tag"}
_FIELDS = ("Signature-Input", "Signature", "Content-Digest", "Content-Type")
_KEY_ID = re.compile(r"[0-9a-f]{64}")

Sign = Callable[[bytes], bytes]
"""Signs with the device's transport key: Ed25519, 64 bytes."""
Resolve = Callable[[KeyId], bytes | None]
"""Gives the transport public key (32 bytes) of a device, or None; a `ThroughcareError` that it raises is passed on."""


class Headers(Protocol):
    """Header fields as aiohttp keeps them: a name may stand several times."""

    def getall(self, key: str, default: list[str]) -> list[str]:
        """Return all values of a field."""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """Who signed a request. The hub must still refuse a nonce that this device used before (HTTP-2)."""

    device_id: KeyId
    nonce: bytes
    created: int
    """ms UTC."""
    digest: str | None = None
    """The `Content-Digest` that was signed; None for a request without a body."""

    def check_body(self, body: bytes) -> None:
        """Raise `NotAuthenticated` unless `body` is the one that was signed."""
        if bool(body) != (self.digest is not None):
            raise NotAuthenticated("The signature does not cover what it has to.")
        if self.digest is not None and not hmac.compare_digest(self.digest.encode(), content_digest(body).encode()):
            raise NotAuthenticated("The body does not match its digest.")


@dataclass(slots=True)
class _Message:
    """The view of a request that the library wants."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)


class RawEd25519(HTTPSignatureAlgorithm):
    """Ed25519 over 32-byte public keys, checked by libsodium: canonical S, no small-order points."""

    algorithm_id = "ed25519"

    def __init__(self, public_key: Any = None, private_key: Any = None) -> None:
        if type(public_key) is not bytes or private_key is not None:
            raise HTTPMessageSignaturesException("verification only")
        self._public = VerifyKey(public_key)

    def verify(self, signature: bytes, message: bytes) -> None:
        """Return if `signature` is good, raise if not."""
        if len(signature) != ED25519_SIGNATURE:
            raise HTTPMessageSignaturesException("wrong size")
        self._public.verify(message, signature)


class _Keys(HTTPSignatureKeyResolver):
    """Asks our resolver, and keeps what it raised, which the library would hide."""

    def __init__(self, resolve: Resolve) -> None:
        self.refusal: ThroughcareError | None = None
        self._resolve = resolve

    def resolve_public_key(self, key_id: str) -> bytes | None:
        if not _KEY_ID.fullmatch(key_id):
            return None
        try:
            return self._resolve(KeyId(bytes.fromhex(key_id)))
        except ThroughcareError as error:
            self.refusal = error
            return None


class _Verifier(HTTPMessageVerifier):
    """The library's verifier, without its own idea of the time: we have a clock and a window."""

    def validate_created_and_expires(self, sig_input: Any, max_age: Any = None) -> None:
        pass


_SIGNER: Any = HTTPMessageSigner(signature_algorithm=RawEd25519)


def content_digest(body: bytes) -> str:
    """Return the `Content-Digest` of a body (RFC 9530, SHA-256)."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def sign_request(
    *,
    method: str,
    url: str,
    body: bytes,
    content_type: str | None,
    device_id: KeyId,
    sign: Sign,
    now: int,
    nonce: bytes | None = None,
) -> dict[str, str]:
    """Return the headers that sign a request with a device's transport key (HTTP-1).

    `url` is the whole URL as sent, `now` ms UTC; a request with a body has a `content_type`. The headers include
    `Content-Type` and `Content-Digest` where there is a body.
    """
    message = _Message(method, url)
    components = ["@method", "@target-uri"]
    if body:
        message.headers = {"Content-Type": content_type or "", "Content-Digest": content_digest(body)}
        components += ["content-digest", "content-type"]
    prepared = _SIGNER.prepare(
        message,
        key_id=device_id.hex(),
        created=datetime.fromtimestamp(now / SECOND, UTC),
        nonce=encode_base64url(nonce or secrets.token_bytes(NONCE_SIZE)),
        label=LABEL,
        tag=TAG,
        covered_component_ids=components,
        use_existing_digest=bool(body),
    )
    signature = base64.b64encode(sign(prepared.signature_base)).decode()
    return {
        **message.headers,
        "Signature-Input": f"{LABEL}={prepared.signature_params}",
        "Signature": f"{LABEL}=:{signature}:",
    }


def verify_request(*, method: str, url: str, headers: Headers, resolve: Resolve, now: int) -> SignedRequest:
    """Check a request's signature and return who made it (HTTP-1, HTTP-2).

    All that is signed stands in the head, so that nobody's body need be read before it is known who sends it: the
    caller must have `check_body` see it then. `url` is the target URI as the client meant it: the hub's own base URL
    with path and query as they came on the wire. Raises `NotAuthenticated` for every failure, or what `resolve` raised.
    """
    fields = _fields(headers)
    if "Signature-Input" not in fields or "Signature" not in fields:
        raise NotAuthenticated("The request carries no signature.")
    keys = _Keys(resolve)
    verifier: Any = _Verifier(signature_algorithm=RawEd25519, key_resolver=keys)
    try:
        results = verifier.verify(_Message(method, url, fields), max_age=None, expect_tag=TAG, expect_label=LABEL)
    except (HTTPMessageSignaturesException, CryptoError, ValueError, TypeError):
        if keys.refusal is not None:
            raise keys.refusal from None
        raise NotAuthenticated("The request's signature does not verify.") from None
    if len(results) != 1:
        raise NotAuthenticated("The request's signature does not verify.")
    covered = set(results[0].covered_components) - {'"@signature-params"'}
    if covered not in (_ALWAYS, _WITH_BODY):
        raise NotAuthenticated("The signature does not cover what it has to.")
    return _signed(results[0].parameters, now, fields["Content-Digest"] if covered == _WITH_BODY else None)


def _fields(headers: Headers) -> dict[str, str]:
    found = {}
    for name in _FIELDS:
        values = headers.getall(name, [])
        if len(values) > 1:
            raise NotAuthenticated("A header that the signature needs stands twice.")
        if values:
            found[name] = values[0]
    return found


def _signed(parameters: Mapping[str, int | str], now: int, digest: str | None) -> SignedRequest:
    if parameters.keys() != _PARAMETERS:
        raise NotAuthenticated("The signature does not have the parameters that it needs.")
    try:
        nonce = decode_base64url(str(parameters["nonce"]))
    except InvalidInput:
        nonce = b""
    if len(nonce) != NONCE_SIZE:
        raise NotAuthenticated("The signature's nonce is not 16 bytes in base64url.")
    created = int(parameters["created"]) * SECOND
    if abs(now - created) > SIGNATURE_WINDOW:
        raise NotAuthenticated("The signature was made over 60 s from this server's time; compare server_time.")
    return SignedRequest(KeyId(bytes.fromhex(str(parameters["keyid"]))), nonce, created, digest)
