# SPDX-License-Identifier: Apache-2.0
"""The doctor names each fault of a connector, and what mends it."""

import asyncio
import socket
import sqlite3
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from connectors.config import ConnectorSection
from connectors.doctor import examine, files
from connectors.installation import write_enrolment
from connectors.store.engine import DATABASE_FILE, migrate
from protocol.diagnosis import Condition, Finding
from protocol.http import reaching
from protocol.limits import DAY, HOUR
from protocol.settings import Profile
from tests.connectors.conftest import World
from tests.connectors.stations import PASSPHRASE, Station, install, station
from tests.hub.running import RunningHub, TestClock
from tests.keys.world import device_of
from tests.tlsnames import certificate
from tests.weather import Relay, Weather


def settings_of(one: Station, **changes: object) -> ConnectorSection:
    passphrase = one.folder / "passphrase"
    if not passphrase.exists():
        passphrase.touch(mode=0o600)
        passphrase.write_bytes(PASSPHRASE)
    values = {"data_dir": one.folder, "passphrase_file": passphrase, "profile": Profile.DEMO, **changes}
    return ConnectorSection.model_validate(values)


@pytest.fixture(autouse=True)
def private_stores(world: World) -> None:
    """Make the databases private, as the connector does; those of the tests are copied."""
    for one in (world.prison, world.probation, world.social_work):
        (one.folder / DATABASE_FILE).chmod(0o600)


async def looked_at(one: Station, clock: Callable[[], int], **changes: object) -> dict[str, Finding]:
    found = await examine(settings_of(one, **changes), clock)
    assert len({finding.check for finding in found}) == len(found)
    for finding in found:
        assert (finding.fix is not None) == (finding.condition in (Condition.WARNING, Condition.FAULT))
    return {finding.check: finding for finding in found}


def faults(found: dict[str, Finding]) -> set[str]:
    return {name for name, finding in found.items() if finding.condition is Condition.FAULT}


async def test_a_sound_connector_has_no_fault(world: World) -> None:
    found = await looked_at(world.prison, world.hub.clock)
    assert faults(found) == set()
    bad = {name for name, finding in found.items() if finding.condition is not Condition.OK}
    assert bad == {"configuration"}, found
    assert {"name", "port", "hub", "clock", "identity", "websocket", "directory", "prekey", "outbox"} < found.keys()


async def test_the_way_is_named_where_it_ends(world: World) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://localhost:{taken.getsockname()[1]}"
        for changes, check, told in (
            ({"hub_url": nobody}, "port", "connection is refused"),
            ({"proxy": nobody}, "port", "The connection is refused"),
            ({"hub_url": "https://no..name"}, "name", "cannot be resolved"),
        ):
            found = await looked_at(world.prison, world.hub.clock, **changes)
            assert faults(found) == {check}
            assert told.lower() in found[check].found.lower()
            assert found["hub"].condition is Condition.SKIPPED


@asynccontextmanager
async def answering(answer: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve `answer` to whatever is asked, and yield host and port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if await reader.read(4_096):
                writer.write(answer)
                await writer.drain()
        except OSError:
            return  # whoever looked at the port only has gone
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield f"localhost:{server.sockets[0].getsockname()[1]}"


PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"


async def test_another_server_a_proxys_refusal_and_what_speaks_no_tls_are_told_apart(world: World) -> None:
    async with answering(PAGE) as other:
        found = await looked_at(world.prison, world.hub.clock, hub_url=f"http://{other}")
        assert "not a hub" in found["hub"].found
    async with answering(PAGE) as other:
        found = await looked_at(world.prison, world.hub.clock, hub_url=f"https://{other}")
        assert found["tls"].found == "What answers does not speak TLS."


async def test_what_a_proxy_refuses_is_told_with_what_mends_it(tmp_path: Path, world: World) -> None:
    credentials = tmp_path / "credentials"
    credentials.touch(mode=0o600)
    credentials.write_text("office:wrong")
    async with Relay(proxy=True) as proxy:
        changes: dict[str, object] = {"hub_url": "https://hub.example", "proxy": proxy.url}
        for status, told in ((403, "refuses to pass on (HTTP 403)"), (502, "cannot reach the hub (HTTP 502)")):
            proxy.weather.connect_status = status
            assert told in (await looked_at(world.prison, world.hub.clock, **changes))["proxy"].found
        proxy.weather = Weather(password="office:right")
        found = await looked_at(world.prison, world.hub.clock, **changes)
        assert found["proxy"].found == "The proxy asks for a name and password."
        assert "connector.proxy_credentials_file" in str(found["proxy"].fix)
        found = await looked_at(world.prison, world.hub.clock, **changes, proxy_credentials_file=credentials)
        assert found["proxy"].found == "The proxy does not take this name and password."
        assert faults(found) == {"proxy"}


@pytest.mark.parametrize(
    ("weather", "told"),
    [
        (Weather(silent=True), "The connection stands, and nothing is answered"),
        (Weather(cut_after=0), "The connection is cut"),
        (Weather(portal="page"), "A web page answers in place of the hub (HTTP 200)"),
        (Weather(portal="redirect"), "A web page answers in place of the hub (HTTP 302)"),
    ],
    ids=["silent", "cut", "portal", "redirected"],
)
async def test_what_the_network_does_in_the_hubs_place_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch, weather: Weather, told: str
) -> None:
    monkeypatch.setattr(reaching, "STEP_S", 1.0)
    async with Relay(world.hub.url, weather=weather) as relay:
        found = await looked_at(world.prison, world.hub.clock, hub_url=relay.url)
        assert found["hub"].found.startswith(told)
        assert faults(found) == {"hub"}


async def test_a_slow_way_is_a_warning(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaching, "SLOW_S", 0.2)
    async with Relay(world.hub.url, weather=Weather(delay_s=0.2)) as relay:
        found = await looked_at(world.prison, world.hub.clock, hub_url=relay.url)
    assert "answers slowly" in found["hub"].found
    assert faults(found) == set()


@pytest.mark.parametrize(
    ("weather", "how"),
    [
        (Weather(upgrade="refuse"), "it is refused (HTTP 403)"),
        (Weather(upgrade="strip"), "it is refused (HTTP 400)"),
        (Weather(upgrade="cut"), "it is cut off"),
        (Weather(upgrade="swallow"), "nothing is answered for 1 seconds"),
        (Weather(buffering=True), "nothing is answered for 1 seconds"),
    ],
    ids=["refused", "stripped", "cut", "swallowed", "buffered"],
)
async def test_how_a_websocket_is_blocked_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch, weather: Weather, how: str
) -> None:
    monkeypatch.setattr(reaching, "STEP_S", 1.0)
    async with Relay(world.hub.url, weather=weather) as relay:
        found = await looked_at(world.prison, world.hub.clock, hub_url=relay.url)
    assert found["websocket"].condition is Condition.WARNING
    assert f"({how})" in found["websocket"].found
    assert faults(found) == set()


@pytest.mark.parametrize(
    ("name", "days", "trusted", "told"),
    [
        ("localhost", 1, False, "authority that is not trusted here"),
        ("localhost", -1, True, "has ended"),
        ("elsewhere.example", 1, True, "another name"),
    ],
)
async def test_what_is_wrong_with_a_certificate_is_named(
    tmp_path: Path, world: World, name: str, days: int, trusted: bool, told: str
) -> None:
    chain, key = certificate(tmp_path, name, days)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain, key)
    async with answering(PAGE, context) as other:
        changes = {"hub_url": f"https://{other}", **({"ca_file": chain} if trusted else {})}
        found = await looked_at(world.prison, world.hub.clock, **changes)
    assert told in found["tls"].found
    assert faults(found) == {"tls"}


async def test_a_private_ca_that_is_named_is_trusted(tmp_path: Path, world: World) -> None:
    chain, key = certificate(tmp_path, "localhost", 1)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain, key)
    async with answering(PAGE, context) as other:
        found = await looked_at(world.prison, world.hub.clock, hub_url=f"https://{other}", ca_file=chain)
    assert "not a hub" in found["hub"].found


@pytest.mark.parametrize(("ahead", "condition"), [(90_000, Condition.FAULT), (-20_000, Condition.WARNING)])
async def test_http_2_a_wrong_clock_is_named_with_its_side(world: World, ahead: int, condition: Condition) -> None:
    found = await looked_at(world.prison, TestClock(world.hub.clock.now + ahead))
    assert found["clock"].condition is condition
    assert ("ahead of" if ahead > 0 else "behind") in found["clock"].found


async def test_a_demo_whose_clock_is_put_ahead_is_looked_at_by_that_clock(world: World, tmp_path: Path) -> None:
    skipped = tmp_path / "clock"
    skipped.write_text("60d", encoding="ascii")
    behind = TestClock(world.hub.clock.now - 60 * DAY)
    assert faults(await looked_at(world.prison, behind)) >= {"clock"}
    assert faults(await looked_at(world.prison, behind, clock_file=skipped)) == set()


async def test_dir_8_dir_11_age_of_directory_prekey_certificate_and_outbox_is_told(world: World) -> None:
    await world.prison.compose(world.probation.desk)
    for passed, expected in (
        (30 * HOUR, {"directory": Condition.WARNING, "outbox": Condition.WARNING}),
        (20 * DAY, {"directory": Condition.FAULT, "prekey": Condition.WARNING}),
        (100 * DAY, {"prekey": Condition.FAULT, "certificate": Condition.FAULT}),
    ):
        world.hub.clock.now = world.hub.programme.now + passed
        found = await looked_at(world.prison, world.hub.clock)
        assert {name: found[name].condition for name in expected} == expected


async def test_dir_7_a_replaced_and_a_revoked_device_are_told(world: World) -> None:
    world.hub.programme.replace_device(world.prison.member, "second")
    await world.hub.catch_up()
    await world.prison.parts.directory.sync()
    assert "newer device" in (await looked_at(world.prison, world.hub.clock))["certificate"].found
    world.hub.programme.revoke_device(world.probation.member)
    await world.hub.catch_up()
    await world.probation.parts.directory.sync()
    assert "revoked" in (await looked_at(world.probation, world.hub.clock))["certificate"].found


async def test_con_21_a_desk_that_another_device_took_is_told_by_log_and_doctor(world: World, tmp_path: Path) -> None:
    """Whoever has a copy of the agency's identity takes one desk of two, and the rest goes on as if nothing were."""
    programme = world.hub.programme
    member = programme.enrol("two-desks", "csw", {"intake": "social-work", "second": "social-work"})
    await world.hub.catch_up()
    async with station(tmp_path / "two-desks", world.hub, member) as one:
        await one.look()
        (one.folder / DATABASE_FILE).chmod(0o600)
        assert "desks" not in await looked_at(one, world.hub.clock)
        programme.state_device(member, device_of("a thief"), desks=["second"])
        await world.hub.catch_up()
        for _ in range(2):
            await one.look()
        assert one.logged.getvalue().count("desk-taken") == 1
        found = await looked_at(one, world.hub.clock)
        assert (found["certificate"].condition, found["desks"].condition) == (Condition.OK, Condition.FAULT)
        assert f"second.{member.address}" in found["desks"].found
        programme.state_device(member, device_of("a thief"), desks=["intake", "second"])
        await world.hub.catch_up()
        await one.look()
        assert one.logged.getvalue().count("desk-taken") == 2
        found = await looked_at(one, world.hub.clock)
        assert "somebody has the agency's keys" in str(found["certificate"].fix)


async def test_http_10_a_prekey_that_was_not_made_here_is_told(world: World) -> None:
    world.hub.programme.add_prekey(world.prison.member, epoch=2, age=0)
    await world.hub.catch_up()
    await world.prison.parts.directory.sync()
    found = (await looked_at(world.prison, world.hub.clock))["prekey"]
    assert found.condition is Condition.FAULT
    assert "not made on this machine" in found.found


async def test_quarantine_is_counted(world: World) -> None:
    link = world.probation.link
    await world.prison.send(world.probation.desk)
    items = await link.receive(0)
    broken = [type(item)(item.index, item.kind, item.data[:-1]) for item in items]
    await world.probation.parts.inbox.take(tuple(broken))
    found = await looked_at(world.probation, world.hub.clock)
    assert found["quarantine"].condition is Condition.WARNING
    assert found["quarantine"].found.startswith("1 item came")


async def test_key_3_files_that_others_can_read_are_named_with_their_chmod(world: World) -> None:
    (world.prison.folder / DATABASE_FILE).chmod(0o640)
    found = await looked_at(world.prison, world.hub.clock)
    assert found["permissions"].fix == f"chmod 600 {world.prison.folder / DATABASE_FILE}"


async def test_key_5_a_wrong_passphrase_is_named_and_the_rest_is_skipped(world: World) -> None:
    settings = settings_of(world.prison)
    settings.passphrase_file.write_text("another")
    found = await looked_at(world.prison, world.hub.clock)
    assert faults(found) == {"keys"}
    assert {name for name, one in found.items() if one.condition is Condition.SKIPPED} == {"hub", "directory"}


async def test_an_empty_folder_and_a_missing_store_are_named(tmp_path: Path, hub: RunningHub, world: World) -> None:
    found = await looked_at(world.prison, hub.clock, data_dir=tmp_path / "nowhere")
    assert {"data folder", "keys"} <= faults(found)
    folder = tmp_path / "fresh"
    folder.mkdir()
    install(folder, hub.programme.members["gora-prison"], hub.programme, hub.url)
    (folder / DATABASE_FILE).unlink()
    found = await looked_at(world.prison, hub.clock, data_dir=folder)
    assert found["store"].condition is Condition.WARNING
    assert found["directory"].condition is Condition.SKIPPED
    assert not (folder / DATABASE_FILE).exists()


async def test_a_store_that_is_busy_or_on_a_disk_that_fails_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever believes that it is damaged restores a backup, and loses all that came since."""
    monkeypatch.setattr(files, "_BUSY_S", 0.0)
    busy, shut = tmp_path / "busy", tmp_path / "shut"
    for folder in (busy, shut):
        folder.mkdir()
    # Nobody reads a folder as a file: the machine refuses it as a disk does that fails.
    (shut / DATABASE_FILE).mkdir()
    found = files.examine_store(shut)
    assert (found.condition, found.found) == (Condition.FAULT, "The disk fails at the store.")
    assert "Restore no backup" in str(found.fix)
    migrate(busy / DATABASE_FILE)
    with closing(sqlite3.connect(busy / DATABASE_FILE, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode=DELETE")
        other.execute("BEGIN EXCLUSIVE")
        found = files.examine_store(busy)
        assert (found.condition, found.found) == (Condition.WARNING, "Another program keeps the store busy.")
    assert files.examine_store(busy).condition is Condition.OK


async def test_a_damaged_store_and_one_of_another_version_are_named(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "second"
    folder.mkdir()
    install(folder, world.prison.member, world.hub.programme, world.hub.url)
    path = folder / DATABASE_FILE
    for revision, told in (("0000", "an older version"), ("9999", "a newer version")):
        with closing(sqlite3.connect(path)) as database:
            database.execute("UPDATE alembic_version SET version_num = ?", (revision,))
            database.commit()
        assert told in (await looked_at(world.prison, world.hub.clock, data_dir=folder))["store"].found
    path.write_bytes(b"no database" * 1_000)
    assert "damaged" in (await looked_at(world.prison, world.hub.clock, data_dir=folder))["store"].found


async def test_dir_13_a_hub_that_was_not_pinned_is_a_fault(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "second"
    folder.mkdir()
    other = install(folder, world.prison.member, world.hub.programme, world.hub.url).enrolment
    write_enrolment(folder, other.model_copy(update={"audit": other.directory}))
    (folder / DATABASE_FILE).chmod(0o600)
    found = await looked_at(world.prison, world.hub.clock, data_dir=folder)
    assert faults(found) == {"identity"}
