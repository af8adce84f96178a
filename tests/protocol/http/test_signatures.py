# SPDX-License-Identifier: Apache-2.0
"""Request signatures are those of RFC 9421 in our one form, and nothing else passes (HTTP-1, HTTP-2)."""

import base64
import contextlib
import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest
from http_message_signatures import HTTPMessageSigner, HTTPMessageVerifier, HTTPSignatureKeyResolver, InvalidSignature
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from nacl.signing import SigningKey

from protocol.errors import NotAuthenticated, Revoked
from protocol.http.signatures import RawEd25519, SignedRequest, content_digest, sign_request, verify_request
from protocol.ids import KeyId

NOW = 1_795_421_350_123
URL = "https://hub.example:8443/v1/envelopes?wait=5"
BODY = b"an envelope"
KEY = SigningKey(hashlib.sha256(b"test key").digest())
DEVICE = KeyId(hashlib.sha256(b"device").digest())
NONCE = bytes(range(16))


def sign(data: bytes) -> bytes:
    return KEY.sign(data).signature


def resolve(device_id: KeyId) -> bytes | None:
    return bytes(KEY.verify_key) if device_id == DEVICE else None


def headers_of(**changes: Any) -> CIMultiDict[str]:
    arguments: dict[str, Any] = {
        "method": "POST",
        "url": URL,
        "body": BODY,
        "content_type": "application/cbor",
        "device_id": DEVICE,
        "sign": sign,
        "now": NOW,
        "nonce": NONCE,
    }
    return CIMultiDict(sign_request(**(arguments | changes)))


def verified(headers: CIMultiDict[str], *, body: bytes = BODY, **changes: Any) -> SignedRequest:
    arguments: dict[str, Any] = {
        "method": "POST",
        "url": URL,
        "headers": headers,
        "resolve": resolve,
        "now": NOW,
    }
    found = verify_request(**(arguments | changes))
    found.check_body(body)
    return found


def signed_as(
    parameters: str, components: str = '"@method" "@target-uri" "content-digest" "content-type"'
) -> CIMultiDict[str]:
    """Sign by hand, so that the form can be wrong while the signature is right."""
    digest = content_digest(BODY)
    values = {
        '"@method"': "POST",
        '"@target-uri"': URL,
        '"content-digest"': digest,
        '"content-type"': "application/cbor",
        '"date"': "today",
    }
    covered = f"({components}){parameters}"
    lines = [f"{name}: {values[name]}" for name in components.split()] + [f'"@signature-params": {covered}']
    signature = base64.b64encode(sign("\n".join(lines).encode())).decode()
    return CIMultiDict(
        {
            "Content-Type": "application/cbor",
            "Content-Digest": digest,
            "Date": "today",
            "Signature-Input": f"hub={covered}",
            "Signature": f"hub=:{signature}:",
        }
    )


def parameters(**changes: str | None) -> str:
    given: dict[str, str | None] = {
        "created": str(NOW // 1000),
        "keyid": f'"{DEVICE.hex()}"',
        "alg": '"ed25519"',
        "nonce": '"AAECAwQFBgcICQoLDA0ODw"',
        "tag": '"throughcare-v1"',
    }
    return "".join(f";{name}={value}" for name, value in (given | changes).items() if value is not None)


# RFC 9421, appendices B.1.4 and B.2.6.
RFC_PRIVATE = base64.b64decode("n4Ni+HpISpVObnQMW0wOhCKROaIKqKtW/2ZYb2p9KcU=")
RFC_PUBLIC = base64.b64decode("JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=")
RFC_INPUT = (
    'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length")'
    ';created=1618884473;keyid="test-key-ed25519"'
)
RFC_SIGNATURE = "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:"


class _RfcKeys(HTTPSignatureKeyResolver):
    def resolve_public_key(self, key_id: str) -> bytes:
        assert key_id == "test-key-ed25519"
        return RFC_PUBLIC


class _RfcRequest:
    method = "POST"
    url = "https://example.com/foo?param=Value&Pet=dog"

    def __init__(self) -> None:
        self.headers = {
            "Host": "example.com",
            "Date": "Tue, 20 Apr 2021 02:07:55 GMT",
            "Content-Type": "application/json",
            "Content-Length": "18",
        }


def test_http_1_the_vector_of_rfc_9421_b_2_6_is_reproduced() -> None:
    signer: Any = HTTPMessageSigner(signature_algorithm=RawEd25519)
    prepared = signer.prepare(
        _RfcRequest(),
        key_id="test-key-ed25519",
        created=datetime.fromtimestamp(1_618_884_473, UTC),
        label="sig-b26",
        include_alg=False,
        covered_component_ids=["date", "@method", "@path", "@authority", "content-type", "content-length"],
    )
    signature = base64.b64encode(SigningKey(RFC_PRIVATE).sign(prepared.signature_base).signature).decode()
    assert f"sig-b26={prepared.signature_params}" == RFC_INPUT
    assert f"sig-b26=:{signature}:" == RFC_SIGNATURE


def test_http_1_the_vector_of_rfc_9421_b_2_6_verifies_and_one_changed_letter_does_not() -> None:
    verifier: Any = HTTPMessageVerifier(signature_algorithm=RawEd25519, key_resolver=_RfcKeys())
    request = _RfcRequest()
    request.headers |= {"Signature-Input": RFC_INPUT, "Signature": RFC_SIGNATURE}
    assert len(verifier.verify(request, max_age=None)) == 1
    request.headers["Date"] = "Tue, 20 Apr 2021 02:07:56 GMT"
    with pytest.raises(InvalidSignature):
        verifier.verify(request, max_age=None)


def test_http_1_a_request_is_signed_over_method_target_and_body() -> None:
    headers = headers_of()
    assert headers["Signature-Input"] == (
        'hub=("@method" "@target-uri" "content-digest" "content-type")' + parameters()
    )
    assert headers["Content-Digest"] == f"sha-256=:{base64.b64encode(hashlib.sha256(BODY).digest()).decode()}:"
    assert verified(headers) == SignedRequest(DEVICE, NONCE, NOW // 1000 * 1000, content_digest(BODY))


def test_http_1_a_request_without_a_body_is_signed_over_method_and_target() -> None:
    headers = headers_of(method="GET", body=b"", content_type=None)
    assert set(headers) == {"Signature-Input", "Signature"}
    assert verified(headers, method="GET", body=b"").device_id == DEVICE


def test_http_1_a_hand_made_signature_of_the_same_form_passes() -> None:
    assert verified(signed_as(parameters())).nonce == NONCE


def test_every_signature_has_a_nonce_of_its_own() -> None:
    nonces = {verified(headers_of(nonce=None)).nonce for _ in range(20)}
    assert len(nonces) == 20


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "PUT"},
        {"url": URL + "0"},
        {"url": "https://other.example:8443/v1/envelopes?wait=5"},
        {"url": "http://hub.example:8443/v1/envelopes?wait=5"},
        {"body": BODY + b"!"},
        {"body": b""},
        {"resolve": lambda _: None},
        {"resolve": lambda _: b"\1" * 32},
        {"resolve": lambda _: b"short"},
    ],
)
def test_http_2_a_signature_of_another_request_or_device_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(NotAuthenticated):
        verified(headers_of(), **changes)


@pytest.mark.parametrize("name", ["Signature-Input", "Signature", "Content-Digest", "Content-Type"])
def test_http_2_no_signed_header_may_miss_change_or_stand_twice(name: str) -> None:
    without, changed, twice = headers_of(), headers_of(), headers_of()
    del without[name]
    changed[name] = changed[name].replace("a", "b")
    twice.add(name, twice[name])
    for headers in (without, changed, twice):
        with pytest.raises(NotAuthenticated):
            verified(headers)


@pytest.mark.parametrize("shift", [-60_000, -59_000, 0, 59_000])
def test_http_2_a_signature_within_a_minute_passes(shift: int) -> None:
    assert verified(headers_of(now=NOW // 1000 * 1000 + shift), now=NOW // 1000 * 1000)


@pytest.mark.parametrize("shift", [-61_000, 61_000, -(10**12), 10**12])
def test_http_2_a_signature_over_a_minute_away_is_refused(shift: int) -> None:
    with pytest.raises(NotAuthenticated, match="server_time"):
        verified(headers_of(now=NOW + shift))


@pytest.mark.parametrize(
    "headers",
    [
        signed_as(parameters(), components=""),
        signed_as(parameters(), components='"@method" "@target-uri"'),
        signed_as(parameters(), components='"@method" "content-digest" "content-type"'),
        signed_as(parameters(), components='"@method" "@target-uri" "content-digest" "content-type" "date"'),
        signed_as(parameters(nonce=None)),
        signed_as(parameters(nonce='""')),
        signed_as(parameters(nonce='"AAEC"')),
        signed_as(parameters(nonce='"AAECAwQFBgcICQoLDA0ODw=="')),
        signed_as(parameters(tag=None)),
        signed_as(parameters(tag='"throughcare-v2"')),
        signed_as(parameters(alg=None)),
        signed_as(parameters(alg='"hmac-sha256"')),
        signed_as(parameters(created=None)),
        signed_as(parameters(created='"now"')),
        signed_as(parameters(created="1.5")),
        signed_as(parameters(keyid=None)),
        signed_as(parameters(keyid=f'"{DEVICE.hex().upper()}"')),
        signed_as(parameters(keyid='"../../etc/passwd"')),
        signed_as(parameters(expires="1")),
    ],
)
def test_http_1_a_good_signature_of_another_form_is_refused(headers: CIMultiDict[str]) -> None:
    with pytest.raises(NotAuthenticated):
        verified(headers)


def test_http_1_another_label_is_not_ours() -> None:
    headers = headers_of()
    headers["Signature-Input"] = headers["Signature-Input"].replace("hub=", "bus=", 1)
    headers["Signature"] = headers["Signature"].replace("hub=", "bus=", 1)
    with pytest.raises(NotAuthenticated):
        verified(headers)


def test_http_2_the_registry_of_devices_may_say_why_it_refuses() -> None:
    def revoked(_: KeyId) -> bytes:
        raise Revoked

    with pytest.raises(Revoked):
        verified(headers_of(), resolve=revoked)


def test_http_2_a_small_order_key_or_a_signature_with_a_large_s_is_refused() -> None:
    """Attack 30."""
    for point in (b"\1" + bytes(31), bytes(32), b"\xec" + b"\xff" * 30 + b"\x7f"):
        with pytest.raises(NotAuthenticated):
            verified(headers_of(), resolve=lambda _, public=point: public)
    headers = headers_of()
    raw = base64.b64decode(headers["Signature"][5:-1])
    order = 2**252 + 27742317777372353535851937790883648493
    large = raw[:32] + (int.from_bytes(raw[32:], "little") + order).to_bytes(32, "little")
    headers["Signature"] = f"hub=:{base64.b64encode(large).decode()}:"
    with pytest.raises(NotAuthenticated):
        verified(headers)


@given(st.text(max_size=60), st.sampled_from(["Signature-Input", "Signature", "Content-Digest"]), st.data())
def test_http_2_whatever_stands_in_the_headers_is_refused_in_one_way(
    noise: str, name: str, data: st.DataObject
) -> None:
    headers = headers_of()
    value = headers[name]
    at = data.draw(st.integers(0, len(value)))
    headers[name] = data.draw(st.sampled_from([noise, value[:at] + noise + value[at:], value[:at]]))
    if headers[name].strip(" \t") == value:
        return
    with contextlib.suppress(NotAuthenticated):
        assert verified(headers) == SignedRequest(DEVICE, NONCE, NOW // 1000 * 1000)
