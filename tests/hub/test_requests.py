# SPDX-License-Identifier: Apache-2.0
"""What the hub demands of a request, and what it says of itself and of its directory."""

import asyncio
import contextlib
import io
import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from hub.service import nonces as nonces_module
from hub.service.nonces import StoreNonce
from hub.service.tally import IN
from hub.service.transaction import Change
from hub.store.nonces import stored as stored_nonces
from keys.signing import DeviceSigner
from protocol.errors import (
    NotAuthenticated,
    Revoked,
    TooLarge,
    Unavailable,
)
from protocol.http import hub as api
from protocol.http import running as running_module
from protocol.http.calling import Outgoing
from protocol.http.signatures import sign_request
from protocol.ids import Kind
from protocol.ids import text as id_text
from protocol.limits import DAY, MAX_ENVELOPE, MAX_SOCKET_ENVELOPE, MINUTE, SECOND
from tests.hub.running import DeviceClient, RunningHub, TestClock, eventually
from tests.keys.world import device_of
from tests.programme import Programme, make_programme
from tests.tlsnames import certificate


def signature(
    hub: RunningHub,
    device: DeviceSigner,
    *,
    body: bytes = b"",
    at: int | None = None,
    path: str = "/v1/mailbox",
    method: str = "GET",
    nonce: bytes | None = None,
) -> dict[str, str]:
    """Return the headers of a signed request."""
    return sign_request(
        method=method,
        url=hub.url + path,
        body=body,
        content_type="application/cbor" if body else None,
        device_id=device.key_id,
        sign=device.transport.sign_raw,
        now=hub.clock.now if at is None else at,
        nonce=nonce,
    )


async def get(hub: RunningHub, headers: Mapping[str, str], path: str = "/v1/mailbox") -> tuple[int, dict[str, object]]:
    async with hub.session.get(hub.url + path, headers=headers) as response:
        data = await response.read()
        problem = json.loads(data) if response.status >= 400 else {}
        return response.status, problem


async def test_http_1_a_signed_request_is_answered_and_an_unsigned_one_is_not(hub: RunningHub) -> None:
    device = hub.programme.members["gora-prison"].device
    assert (await get(hub, signature(hub, device)))[0] == 200
    for headers in ({}, {"Signature": "x"}, {"Signature-Input": "hub=()", "Signature": "hub=::"}):
        status, problem = await get(hub, headers)
        assert (status, problem["code"]) == (401, "not-authenticated")


async def test_http_1_the_signature_binds_method_target_and_body(hub: RunningHub) -> None:
    prison, probation, _ = hub.programme.members.values()
    assert (await get(hub, signature(hub, prison.device), "/v1/mailbox?limit=3"))[0] == 401
    body = hub.programme.sender("gora-prison").seal(probation.desk).data
    good = {
        **signature(hub, prison.device, body=body, path="/v1/envelopes", method="POST"),
        "Content-Type": "application/cbor",
    }
    async with hub.session.post(
        f"{hub.url}/v1/envelopes", headers=good, data=body[:-1] + bytes([body[-1] ^ 1])
    ) as response:
        assert response.status == 401
    assert await hub.leaves() == 0
    # Another device's name on the same signature.
    other = signature(hub, probation.device)
    stolen = {
        **other,
        "Signature-Input": other["Signature-Input"].replace(probation.device_id.hex(), prison.device_id.hex()),
    }
    assert (await get(hub, stolen))[0] == 401


async def test_http_1_a_signature_for_another_host_does_not_count_here(hub: RunningHub) -> None:
    device = hub.programme.members["gora-prison"].device
    headers = sign_request(
        method="GET",
        url="http://other.example/v1/mailbox",
        body=b"",
        content_type=None,
        device_id=device.key_id,
        sign=device.transport.sign_raw,
        now=hub.clock.now,
    )
    assert (await get(hub, headers))[0] == 401
    status, problem = await get(hub, {**headers, "Host": "other.example"})
    assert (status, problem["code"]) == (421, "misdirected-request")


async def test_http_2_a_signature_out_of_its_time_is_refused_with_the_hubs_time(hub: RunningHub) -> None:
    device = hub.programme.members["gora-prison"].device
    now = hub.clock.now
    for at in (now - 60 * SECOND, now + 60 * SECOND):
        assert (await get(hub, signature(hub, device, at=at)))[0] == 200
    for at in (now - 61 * SECOND, now + 61 * SECOND):
        status, problem = await get(hub, signature(hub, device, at=at))
        assert (status, problem["code"]) == (401, "not-authenticated")
        assert problem["server_time"] == "2027-01-15T08:00:00.000Z"


async def test_http_2_a_nonce_counts_once_also_after_a_restart(tmp_path: Path) -> None:
    programme = make_programme()
    prison, probation, _ = programme.members.values()
    clock = TestClock()
    async with RunningHub(tmp_path, programme, clock) as hub:
        headers = signature(hub, prison.device)
        url = hub.url
        assert (await get(hub, headers))[0] == 200
        status, problem = await get(hub, headers)
        assert (status, problem["detail"]) == (401, "The signature's nonce was used before. Sign each request anew.")
        # Another device may use the same nonce, and it costs this one nothing.
        nonce = secrets.token_bytes(16)
        for member in (prison, probation):
            assert (await get(hub, signature(hub, member.device, nonce=nonce)))[0] == 200
        together = signature(hub, prison.device)
        found = await asyncio.gather(*(get(hub, together) for _ in range(10)))
        assert sorted(status for status, _ in found) == [200] + [401] * 9
    async with RunningHub(tmp_path, programme, clock) as hub:
        hub.url = url
        assert len(hub.hub.nonces._used) == 4
        # A signature dated a window ahead still counts two windows from now: until then nothing is forgotten.
        hub.clock.advance(119 * SECOND)
        await hub.hub.nonces.prune()
        assert len(hub.hub.nonces._used) == 4
        hub.clock.advance(61 * SECOND)
        await hub.hub.nonces.prune()
        assert not hub.hub.nonces._used


async def test_http_2_a_nonce_outlives_a_clock_that_is_set_back_behind_the_log(
    tmp_path: Path, programme: Programme
) -> None:
    prison, probation, _ = programme.members.values()
    async with RunningHub(tmp_path, programme, elapsed=TestClock(7)) as hub:
        hub.clock.advance(9 * MINUTE)
        sealed = programme.sender("gora-prison").seal(probation.desk, now=hub.clock.now)
        await hub.device(prison).submit(sealed.data)
        hub.clock.advance(-9 * MINUTE)
        assert (await get(hub, signature(hub, probation.device)))[0] == 200
        await hub.hub.nonces.prune()
        assert probation.device_id in {device for device, _, _ in await hub.hub.store.read(stored_nonces)}


async def test_http_2_old_nonces_are_dropped_in_portions_and_others_get_their_turn(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nonces_module, "AT_ONCE", 3)
    probation = hub.programme.members["reka-probation"]
    for _ in range(10):
        assert (await get(hub, signature(hub, probation.device)))[0] == 200
        hub.clock.advance(1)
    hub.clock.advance(13 * MINUTE)
    assert (await get(hub, signature(hub, probation.device)))[0] == 200
    before = hub.hub.writer.counters.changes
    await hub.hub.nonces.prune()
    assert hub.hub.writer.counters.changes == before + 3
    assert len(await hub.hub.store.read(stored_nonces)) == 1


async def test_http_2_nothing_is_answered_before_the_nonce_is_stored(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked for may be done meanwhile; who repeats the request gets no answer, here or elsewhere."""
    prison, probation, _ = hub.programme.members.values()
    write, stored = hub.hub.writer.write, asyncio.Event()

    async def slowly(change: Change[object]) -> object:
        if isinstance(change, StoreNonce):
            await stored.wait()
        return await write(change)

    monkeypatch.setattr(hub.hub.writer, "write", slowly)
    submitting = asyncio.create_task(
        hub.device(prison).submit(hub.programme.sender("gora-prison").seal(probation.desk).data)
    )
    headers = signature(hub, probation.device)
    reading = asyncio.create_task(get(hub, headers))
    await eventually(lambda: len(hub.hub.nonces._used) == 2)
    await eventually(lambda: hub.hub.submissions._parts.tally.counts().get((IN, "accepted")) == 1)
    # The mailbox has something to give by now, and nobody gets it.
    assert (await get(hub, headers))[0] == 401
    assert not submitting.done()
    assert not reading.done()
    stored.set()
    assert (await reading)[0] == 200
    assert await submitting


async def test_http_2_a_replayed_request_is_refused_by_the_restarted_hub(tmp_path: Path, programme: Programme) -> None:
    prison = programme.members["gora-prison"]
    async with RunningHub(tmp_path, programme) as hub:
        used = secrets.token_bytes(16)
        assert (await get(hub, signature(hub, prison.device, nonce=used)))[0] == 200
    async with RunningHub(tmp_path, programme) as hub:
        assert (await get(hub, signature(hub, prison.device, nonce=used)))[0] == 401


async def test_http_2_a_device_that_is_not_in_force_is_refused(hub: RunningHub) -> None:
    stranger = device_of("a stranger")
    with pytest.raises(NotAuthenticated):
        await DeviceClient(hub.session, hub.url, stranger, hub.clock).items()
    probation = hub.programme.members["reka-probation"]
    hub.clock.advance(79 * DAY)
    with pytest.raises(NotAuthenticated, match="certificate has ended"):
        await hub.device(probation).items()


async def test_http_12_a_revoked_device_is_refused_at_its_next_request(hub: RunningHub) -> None:
    probation = hub.programme.members["reka-probation"]
    await hub.device(probation).items()
    hub.programme.revoke_device(probation)
    await hub.catch_up()
    with pytest.raises(Revoked):
        await hub.device(probation).items()
    with pytest.raises(Revoked):
        await hub.device(probation).acknowledge(0)


async def test_http_12_a_device_revoked_during_its_long_poll_gets_nothing_more(hub: RunningHub) -> None:
    prison, probation, _ = hub.programme.members.values()
    sealed = hub.programme.sender("gora-prison").seal(probation.desk)
    poll = asyncio.create_task(hub.device(probation).read(wait=50))
    await eventually(lambda: bool(hub.hub.mailboxes._watchers))
    await hub.device(prison).submit(sealed.data)
    hub.programme.revoke_device(probation)
    await hub.catch_up()
    try:
        await poll
    except Revoked:
        return
    # The answer may have been on its way already; nothing after it is.
    with pytest.raises(Revoked):
        await hub.device(probation).items()


async def test_http_3_errors_are_problem_documents_that_repeat_nothing(hub: RunningHub) -> None:
    canary = "CANARY-THAT-NOBODY-REPEATS"
    attempts = [
        hub.session.get(f"{hub.url}/v1/{canary}"),
        hub.session.get(f"{hub.url}/v1/directory/statements?{canary}={canary}"),
        hub.session.post(f"{hub.url}/v1/directory/statements", json={"statement": canary, canary: 1}),
        hub.session.post(f"{hub.url}/v1/enrolment/requests", data=canary, headers={"Content-Type": "application/json"}),
        hub.session.get(f"{hub.url}/v1/enrolment/requests/{canary}"),
        hub.session.get(f"{hub.url}/v1/mailbox", headers={"Signature-Input": canary, "Signature": canary}),
        hub.session.request(canary, f"{hub.url}/v1/hub"),
    ]
    for attempt in attempts:
        async with attempt as response:
            text = await response.text()
            assert 400 <= response.status < 500
            assert response.content_type == "application/problem+json"
            problem = json.loads(text)
            assert problem["status"] == response.status
            assert problem["request_id"] == response.headers["X-Request-Id"]
            assert problem["retryable"] is False
            assert canary not in text
            assert canary not in str(response.headers)
    assert canary not in hub.logged.getvalue()


async def test_http_4_what_is_not_yours_answers_as_what_does_not_exist(hub: RunningHub) -> None:
    """No operation of the hub names another device's things; unknown codes and paths all say the same."""
    told = set()
    for path in (f"/v1/enrolment/requests/{id_text(Kind.CODE, bytes(16))}", "/v1/nothing", "/v1/mailbox/of-somebody"):
        async with hub.session.get(hub.url + path) as response:
            problem = await response.json(content_type=None)
            told.add((response.status, problem["code"], problem["detail"]))
    assert len(told) == 1


async def test_the_hub_says_which_it_is(hub: RunningHub) -> None:
    info = await hub.anonymous.call(api.GET_HUB, api.HubInfo)
    assert (info.domain, info.protocol, info.server_time) == ("hub.example", 1, hub.clock.now)
    assert info.root_fingerprint == hub.programme.fingerprint
    assert (info.directory.origin, info.audit.origin) == ("hub.example/directory", "hub.example/audit")
    assert info.audit.key == hub.audit_key != info.directory.key
    assert (info.limits.envelope_bytes, info.limits.socket_envelope_bytes) == (MAX_ENVELOPE, MAX_SOCKET_ENVELOPE)


async def test_the_hub_documents_itself(hub: RunningHub) -> None:
    async with hub.session.get(f"{hub.url}/v1/openapi.json") as response:
        document = await response.json()
    assert document["openapi"] == "3.1.0"
    assert document["paths"]["/v1/envelopes"]["post"]["operationId"] == "submitEnvelope"
    async with hub.session.get(f"{hub.url}/v1/docs") as response:
        assert "default-src" in response.headers["Content-Security-Policy"]


async def test_a_body_over_the_limit_is_refused(hub: RunningHub) -> None:
    """Fault 14, small: a body that is announced too large is not read."""
    device = hub.programme.members["gora-prison"].device
    headers = signature(hub, device, body=b"x", path="/v1/envelopes", method="POST")
    body = io.BytesIO(bytes(MAX_ENVELOPE + 1))
    async with hub.session.post(f"{hub.url}/v1/envelopes", headers=headers, data=body) as response:
        assert response.status == 413
        assert (await response.json(content_type=None))["code"] == TooLarge.code


async def test_http_16_who_begins_no_tls_is_cut_off(
    tmp_path: Path, programme: Programme, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the hub ends TLS itself; asyncio alone would wait for a minute, with a descriptor for each."""
    monkeypatch.setattr(running_module, "HEAD_S", 2.0)
    async with RunningHub(tmp_path, programme, certificate=certificate(tmp_path, "localhost", 1)) as hub:
        reader, writer = await asyncio.open_connection("127.0.0.1", URL(hub.url).port)
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        writer.close()
        await hub.anonymous.call(api.GET_HUB, api.HubInfo)


async def test_compressed_bodies_are_refused(hub: RunningHub) -> None:
    """Fault 15: nothing is ever inflated."""
    prison = hub.programme.members["gora-prison"]
    body = b"x" * 100
    headers = {
        **signature(hub, prison.device, body=body, path="/v1/envelopes", method="POST"),
        "Content-Encoding": "gzip",
    }
    async with hub.session.post(f"{hub.url}/v1/envelopes", headers=headers, data=body) as response:
        assert response.status == 415


async def test_a_full_queue_answers_503_with_a_time_to_retry(hub: RunningHub, monkeypatch: pytest.MonkeyPatch) -> None:
    prison, probation, _ = hub.programme.members.values()
    data = hub.programme.sender("gora-prison").seal(probation.desk).data
    request = Outgoing("POST", f"{hub.url}/v1/envelopes", "application/cbor", data)
    headers = {**hub.device(prison).client._authorize(request), "Content-Type": "application/cbor"}
    waiting = hub.hub.writer._waiting
    monkeypatch.setattr(waiting, "limit", replace(waiting.limit, changes=0))
    async with hub.session.post(request.url, headers=headers, data=data) as response:
        assert response.status == 503
        assert response.headers["Retry-After"] in ("1", "2", "3")
        assert (await response.json(content_type=None))["code"] == Unavailable.code


async def test_the_server_says_nothing_of_what_it_is_made_of(hub: RunningHub) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{hub.url}/v1/hub") as response:
        assert response.headers.get("Server", "throughcare") == "throughcare"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
