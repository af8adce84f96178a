# SPDX-License-Identifier: Apache-2.0
"""What the hub does by itself, and what it tells its operator."""

import asyncio
import json
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from hub.config import HubSettings
from hub.jobs.housekeeping import Round
from hub.logs import make_log
from hub.service.signingkeys import create_keys
from hub.serving import Urls, run
from hub.web.admin import Health, admin_application, disk_check
from protocol.errors import ConfigurationError, StoreFailed
from protocol.http.running import Runner, listen
from protocol.limits import HOUR
from tests.hub.running import RunningHub, eventually, make_settings
from tests.programme import make_programme

pytestmark = pytest.mark.usefixtures("quick_keys")


async def test_a_round_that_fails_is_logged_and_tried_again(hub: RunningHub) -> None:
    tried = 0

    async def fail() -> None:
        nonlocal tried
        tried += 1
        raise RuntimeError("CANARY")

    repeating = asyncio.create_task(hub.hub.housekeeping._repeat(Round("expire", 0.001, fail)))
    await eventually(lambda: tried > 2)
    repeating.cancel()
    told = hub.logged.getvalue()
    assert "job-failed" in told
    assert "CANARY" not in told


async def test_all_rounds_run_by_themselves(hub: RunningHub) -> None:
    prison, probation, _ = hub.programme.members.values()
    await hub.device(prison).submit(hub.programme.sender("gora-prison").seal(probation.desk, life=HOUR).data)
    hub.clock.advance(HOUR)
    running = asyncio.create_task(hub.hub.housekeeping.run())
    await eventually(lambda: '"expired"' in hub.logged.getvalue())
    running.cancel()
    names = [one.name for one in hub.hub.housekeeping.rounds()]
    assert names == ["expire", "clock", "descriptors", "connections", "blobs", "nonces", "forget"]


async def test_the_oldest_waiting_envelope_is_told_in_seconds(hub: RunningHub) -> None:
    prison, probation, _ = hub.programme.members.values()
    assert b"throughcare_delivery_age_seconds 0.0" in await hub.hub.watch.metrics_text()
    await hub.device(prison).submit(hub.programme.sender("gora-prison").seal(probation.desk).data)
    hub.clock.advance(90_000)
    assert b"throughcare_delivery_age_seconds 90.0" in await hub.hub.watch.metrics_text()
    await hub.device(probation).acknowledge(0)
    assert b"throughcare_delivery_age_seconds 0.0" in await hub.hub.watch.metrics_text()


async def test_mail_that_waits_for_a_revoked_device_only_is_not_counted_in_that_age(hub: RunningHub) -> None:
    """On either database."""
    prison, probation, _ = hub.programme.members.values()
    await hub.device(prison).submit(hub.programme.sender("gora-prison").seal(probation.desk).data)
    hub.clock.advance(90_000)
    hub.programme.revoke_device(probation)
    await hub.catch_up()
    assert b"throughcare_delivery_age_seconds 0.0" in await hub.hub.watch.metrics_text()
    assert b"throughcare_inbox_depth 1.0" in await hub.hub.watch.metrics_text()


async def ask(url: str) -> tuple[int, dict[str, bool]]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, json.loads(await response.read())


async def test_readiness_follows_the_store_and_the_writer(hub: RunningHub) -> None:
    health = Health()
    runner = Runner(admin_application(health), clock=hub.clock)
    url = f"http://localhost:{await listen(runner, '127.0.0.1', 0)}"
    try:
        assert await ask(f"{url}/livez") == (200, {"alive": True})
        assert await ask(f"{url}/startupz") == (503, {"started": False})
        hub.hub.watch.answer(health)
        health.started = True
        assert await ask(f"{url}/startupz") == (200, {"started": True})
        names = ("started", "store", "writer", "disk", "clock")
        assert await ask(f"{url}/readyz") == (200, dict.fromkeys(names, True))
        hub.clock.advance(-HOUR)
        assert (await ask(f"{url}/readyz"))[1] == {**dict.fromkeys(names, True), "clock": False}

        async def broken() -> bool:
            raise OSError

        health.checks["store"] = broken
        hub.hub.writer.close()
        status, found = await ask(f"{url}/readyz")
        assert (status, found["store"], found["writer"], found["disk"]) == (503, False, False, True)
    finally:
        await runner.cleanup()


async def test_a_full_disk_is_not_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hub.web import admin

    monkeypatch.setattr(admin, "LEAST_FREE", 1 << 80)
    assert not await disk_check(tmp_path)()


async def test_a_hub_whose_writer_failed_ends_with_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = prepared(tmp_path)
    from hub.service.guard import Guard

    def fail(_guard: Guard, _heads: object) -> None:
        raise OSError(5, "input/output error")

    monkeypatch.setattr(Guard, "append", fail)
    with pytest.raises(StoreFailed):
        await run(settings, log=make_log("error", "json"), ready=lambda urls: None, stop=asyncio.Event())


def prepared(folder: Path, *more: str) -> HubSettings:
    """Return the settings of a hub with keys."""
    (folder / "passphrase").touch(mode=0o600)
    (folder / "passphrase").write_text("invented")
    settings = make_settings(folder, make_programme(), *more)
    create_keys(settings)
    return settings


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for localhost that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, SHA256())
    )
    chain, secret = folder / "hub.pem", folder / "hub-key.pem"
    chain.write_bytes(made.public_bytes(Encoding.PEM))
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return chain, secret


async def test_the_hub_can_end_tls_itself(tmp_path: Path) -> None:
    chain, secret = certificate(tmp_path)
    settings = prepared(tmp_path, "[tls]", f'certificate_file = "{chain}"', f'key_file = "{secret}"')
    stop, told = asyncio.Event(), list[Urls]()
    running = asyncio.create_task(run(settings, log=make_log("error", "json"), ready=told.append, stop=stop))
    await eventually(lambda: bool(told) or running.done())
    context = ssl.create_default_context(cafile=chain)
    async with aiohttp.ClientSession() as session:
        assert told[0].public.startswith("https://localhost:")
        async with session.get(f"{told[0].public}/v1/hub", ssl=context) as response:
            assert response.status == 200
    stop.set()
    await running


async def test_a_port_that_is_taken_and_a_certificate_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    settings = prepared(tmp_path)
    stop, told = asyncio.Event(), list[Urls]()
    log = make_log("error", "json")
    running = asyncio.create_task(run(settings, log=log, ready=told.append, stop=stop))
    await eventually(lambda: bool(told))
    port = int(told[0].admin.rsplit(":", 1)[1])
    taken = settings.model_copy(update={"hub": settings.hub.model_copy(update={"admin_port": port})})
    with pytest.raises(ConfigurationError, match=r"listens on hub\.admin_port already"):
        await run(taken, log=log, ready=told.append, stop=stop)
    stop.set()
    await running
    unreadable = settings.tls.model_copy(update={"certificate_file": tmp_path / "x", "key_file": tmp_path / "y"})
    for name in ("x", "y"):
        (tmp_path / name).write_text("no certificate, and no key")
    with pytest.raises(ConfigurationError, match="PEM"):
        await run(settings.model_copy(update={"tls": unreadable}), log=log, ready=told.append, stop=stop)
