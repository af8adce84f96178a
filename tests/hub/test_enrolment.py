# SPDX-License-Identifier: Apache-2.0
"""Enrolment codes at the hub: registered by an approver, redeemed once, for what they were made for."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from keys.signing import DeviceSigner, HybridSigner, device_proof
from protocol import labels
from protocol.address import AgencyAddress
from protocol.enrolment import (
    CodeRegistration,
    EnrolmentTerms,
    KeyRequest,
    code_id,
    code_proof,
    code_verifier,
    encode_registration,
    request_mac,
)
from protocol.errors import (
    BadSignature,
    EnrolmentRefused,
    MalformedEnvelope,
    NotFound,
    ThroughcareError,
    UntrustedKey,
)
from protocol.http import hub as api
from protocol.identities import identity_proof_message
from protocol.ids import CodeId, Kind
from protocol.ids import text as id_text
from protocol.limits import DAY, HOUR
from protocol.statements import StatementSignature
from tests.hub.running import RunningHub
from tests.keys.world import device_of, identity
from tests.programme import make_programme

SECRET = b"sixteen byte key"
NEW = AgencyAddress("nova-ngo@hub.example")


def registration(
    hub: RunningHub,
    *,
    secret: bytes = SECRET,
    agency: AgencyAddress = NEW,
    life: int = DAY,
    signer: HybridSigner | None = None,
) -> bytes:
    """Return a code's registration, signed by an approver."""
    terms = EnrolmentTerms(agency, "ngo", (("intake", "ngo"),), hub.clock.now + life)
    body = CodeRegistration(code_id(secret), terms, code_verifier(code_proof(secret))).encode()
    approver = signer or hub.programme.approvers[0]
    return encode_registration(
        body, StatementSignature(approver.key_id, *approver.sign(labels.CODE_REGISTRATION, body))
    )


def request(
    *, secret: bytes = SECRET, agency: AgencyAddress = NEW, desks: tuple[str, ...] = ("intake",), name: str = "nova"
) -> KeyRequest:
    """Return a key request with both proofs."""
    own, device = identity(f"agency {name}"), device_of(f"device {name}")
    return proven(
        KeyRequest(code_id(secret), agency, own.public, device.public, (b"", b""), (b"", b""), desks), own, device
    )


def proven(plain: KeyRequest, own: HybridSigner, device: DeviceSigner) -> KeyRequest:
    message = identity_proof_message(plain.code_id, plain.agency, own.public)
    return replace(
        plain,
        identity_proof=own.sign(labels.IDENTITY_PROOF, message),
        device_proof=device_proof(plain.agency, device),
    )


async def register(hub: RunningHub, raw: bytes) -> CodeId:
    body = api.CodeRegistrationBody(registration=raw)
    return (await hub.anonymous.call(api.REGISTER_CODE, api.CodeRegistered, body=body)).code_id


async def redeem(
    hub: RunningHub,
    asked: KeyRequest,
    *,
    secret: bytes = SECRET,
    mac: bytes | None = None,
    proof: bytes | None = None,
) -> None:
    encoded = asked.encode()
    body = api.CodeRedemption(
        code_id=code_id(secret),
        request=encoded,
        mac=mac or request_mac(secret, encoded),
        proof=proof or code_proof(secret),
    )
    await hub.anonymous.call_bytes(api.REDEEM_CODE, body=body)


async def fetch(hub: RunningHub, secret: bytes = SECRET) -> api.KeyRequestView:
    path = {"code_id": id_text(Kind.CODE, code_id(secret))}
    return await hub.anonymous.call(api.GET_KEY_REQUEST, api.KeyRequestView, path=path)


async def test_enr_2_a_registered_code_is_redeemed_and_the_approver_finds_the_request(hub: RunningHub) -> None:
    assert await register(hub, registration(hub)) == code_id(SECRET)
    asked = request()
    with pytest.raises(NotFound):
        await fetch(hub)
    await redeem(hub, asked)
    found = await fetch(hub)
    assert (found.request, found.received_at) == (asked.encode(), hub.clock.now)
    assert found.mac == request_mac(SECRET, found.request)


async def test_enr_2_a_code_is_redeemed_once_only(hub: RunningHub) -> None:
    """Attack 59: used twice. The same request again is only a lost answer."""
    await register(hub, registration(hub))
    asked = request()
    await asyncio.gather(*(redeem(hub, asked) for _ in range(5)))
    for thief in (request(name="thief"), replace(asked, desks=("intake", "other"))):
        with pytest.raises(EnrolmentRefused):
            await redeem(hub, thief)
    with pytest.raises(EnrolmentRefused):
        await redeem(hub, asked, mac=bytes(32))
    assert (await fetch(hub)).request == asked.encode()


@pytest.mark.parametrize(
    "proof", [bytes(32), bytes(code_id(SECRET)) * 2, code_verifier(code_proof(SECRET)), code_proof(b"x" * 16)]
)
async def test_enr_6_who_knows_a_codes_id_only_cannot_use_it_up(hub: RunningHub, proof: bytes) -> None:
    """Attack 59: a code's id, and what the authority registered, stand in requests that others may see."""
    await register(hub, registration(hub))
    with pytest.raises(EnrolmentRefused):
        await redeem(hub, request(name="thief"), mac=bytes(32), proof=proof)
    with pytest.raises(NotFound):
        await fetch(hub)
    await redeem(hub, request())


async def test_enr_6_a_stranger_makes_the_hub_check_no_signature(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unwanted(*_: object) -> None:
        raise AssertionError("a signature was checked")

    await register(hub, registration(hub))
    monkeypatch.setattr("hub.service.enrolment.verify_hybrid", unwanted)
    monkeypatch.setattr("hub.service.enrolment.verify_device_proof", unwanted)
    for secret, proof in ((b"another sixteen.", None), (SECRET, bytes(32))):
        with pytest.raises(EnrolmentRefused):
            await redeem(hub, request(secret=secret), secret=secret, proof=proof)


async def test_enr_2_of_two_requests_that_race_for_a_code_one_wins(hub: RunningHub) -> None:
    await register(hub, registration(hub))
    rivals = [request(name=name) for name in ("nova", "thief")]
    answers = await asyncio.gather(*(redeem(hub, one) for one in rivals), return_exceptions=True)
    assert [type(answer) for answer in answers if answer is not None] == [EnrolmentRefused]
    assert (await fetch(hub)).request in {one.encode() for one in rivals}


async def test_enr_2_a_code_counts_for_its_agency_and_desks_and_until_its_end_only(hub: RunningHub) -> None:
    """Attack 59: for another agency, function or hub; and too late."""
    await register(hub, registration(hub))
    others = (
        request(agency=AgencyAddress("other@hub.example")),
        request(desks=("intake", "release")),
        request(desks=("release",)),
    )
    for asked in others:
        with pytest.raises(EnrolmentRefused):
            await redeem(hub, asked)
    with pytest.raises(EnrolmentRefused):
        await redeem(hub, request(secret=b"another sixteen."), secret=b"another sixteen.")
    with pytest.raises(EnrolmentRefused):
        await redeem(hub, request(secret=b"another sixteen."))
    hub.clock.advance(DAY)
    with pytest.raises(EnrolmentRefused):
        await redeem(hub, request())
    with pytest.raises(NotFound):
        await fetch(hub)


async def test_enr_3_a_request_without_possession_of_each_key_is_refused(hub: RunningHub) -> None:
    await register(hub, registration(hub))
    good, other = request(), request(name="thief")
    attempts: list[tuple[KeyRequest, type[ThroughcareError]]] = [
        (replace(good, identity_proof=other.identity_proof), BadSignature),
        (replace(good, device_proof=other.device_proof), BadSignature),
        (replace(good, identity=other.identity), BadSignature),
        (replace(good, device=other.device), BadSignature),
        (replace(good, identity=replace(good.identity, ed25519=bytes(32))), UntrustedKey),
    ]
    for asked, error in attempts:
        with pytest.raises(error):
            await redeem(hub, asked)
    with pytest.raises(NotFound):
        await fetch(hub)


async def test_enr_2_only_an_approver_of_this_hubs_authority_registers_codes(hub: RunningHub) -> None:
    prison = hub.programme.members["gora-prison"]
    for signer in (prison.identity, hub.programme.root_persons[0], identity("a stranger")):
        with pytest.raises(UntrustedKey):
            await register(hub, registration(hub, signer=signer))
    raw = registration(hub)
    with pytest.raises(BadSignature):
        await register(hub, raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(MalformedEnvelope):
        await register(hub, b"x")
    with pytest.raises(EnrolmentRefused):
        await redeem(hub, request())


async def test_enr_2_a_codes_terms_must_make_sense_here(hub: RunningHub) -> None:
    for raw in (
        registration(hub, agency=AgencyAddress("nova@other.example")),
        registration(hub, life=-HOUR),
        registration(hub, life=61 * DAY),
    ):
        with pytest.raises(EnrolmentRefused):
            await register(hub, raw)


async def test_enr_2_registering_again_changes_nothing_and_never_changes_a_codes_terms(hub: RunningHub) -> None:
    raw = registration(hub)
    assert await register(hub, raw) == await register(hub, raw)
    with pytest.raises(EnrolmentRefused):
        await register(hub, registration(hub, life=2 * DAY))


async def test_enr_2_codes_and_requests_survive_a_restart(tmp_path: Path) -> None:
    programme = make_programme()
    async with RunningHub(tmp_path, programme) as hub:
        await register(hub, registration(hub))
    async with RunningHub(tmp_path, programme) as hub:
        await redeem(hub, request())
    async with RunningHub(tmp_path, programme) as hub:
        with pytest.raises(EnrolmentRefused):
            await redeem(hub, request(name="thief"))
        assert KeyRequest.parse((await fetch(hub)).request).identity == identity("agency nova").public


async def test_before_there_is_an_authority_no_code_can_be_registered(tmp_path: Path) -> None:
    programme = make_programme()
    programme.statements = programme.statements[:1]
    async with RunningHub(tmp_path, programme) as hub:
        with pytest.raises(UntrustedKey):
            await register(hub, registration(hub))


async def test_http_4_an_unknown_code_and_one_without_a_request_answer_alike(hub: RunningHub) -> None:
    await register(hub, registration(hub))
    told = []
    for secret in (SECRET, b"another sixteen."):
        with pytest.raises(NotFound) as caught:
            await fetch(hub, secret)
        told.append(caught.value.detail)
    assert told[0] == told[1]
    with pytest.raises(NotFound):
        await hub.anonymous.call(api.GET_KEY_REQUEST, api.KeyRequestView, path={"code_id": "cod_x"})
