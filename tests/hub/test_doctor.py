# SPDX-License-Identifier: Apache-2.0
"""The doctor names each fault of a hub, and what mends it; it changes nothing, and works beside a running hub."""

import asyncio
import json
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import pytest
from click.testing import CliRunner

from hub.backups.making import make_backup
from hub.cli import main
from hub.config import DATABASE_NAME, GUARD_NAME
from hub.doctor import _NOT_READY, examine
from hub.migrations import move
from hub.service.signingkeys import create_keys
from hub.store.opening import open_store
from hub.web.admin import Health, admin_application
from hub.web.tls import tls_context
from protocol.diagnosis import Condition, Finding
from protocol.errors import ConfigurationError
from protocol.http.running import Runner, listen
from protocol.limits import DAY, HOUR
from protocol.settings import Profile
from tests.hub.backups import OFFLINE
from tests.hub.running import RunningHub, TestClock, make_settings, on_postgres, settings_text
from tests.programme import Programme, make_programme
from tests.tlsnames import certificate
from tests.weather import Relay, Weather

pytestmark = pytest.mark.usefixtures("quick_keys")


@pytest.fixture
def programme() -> Programme:
    return make_programme()


@pytest.fixture
def folder(tmp_path: Path, programme: Programme) -> Path:
    """Return a data folder with a passphrase and signing keys."""
    found = tmp_path / "hub"
    found.mkdir(mode=0o700)
    (found / "passphrase").touch(mode=0o600)
    (found / "passphrase").write_text("invented")
    create_keys(make_settings(found, programme))
    return found


async def looked_at(
    folder: Path, programme: Programme, *more: str, clock: TestClock | None = None
) -> dict[str, Finding]:
    found = await examine(make_settings(folder, programme, *more), clock or TestClock(programme.now))
    assert len({finding.check for finding in found}) == len(found)
    for finding in found:
        assert (finding.fix is not None) == (finding.condition in (Condition.WARNING, Condition.FAULT))
    return {finding.check: finding for finding in found}


def faults(found: dict[str, Finding]) -> set[str]:
    return {name for name, finding in found.items() if finding.condition is Condition.FAULT}


async def test_a_sound_hub_has_no_fault_running_or_not(folder: Path, programme: Programme) -> None:
    async with RunningHub(folder, programme) as running:
        sealed = programme.sender("gora-prison").seal(programme.members["reka-probation"].desk)
        await running.device(programme.members["gora-prison"]).submit(sealed.data)
        found = await looked_at(folder, programme, f'public_url = "{running.url}"')
        assert faults(found) == set()
        assert found["guard"].found.startswith("The database holds all that was signed: 1 leaves")
        assert found["hub"].condition is Condition.OK
        assert found["mail"].found == "The oldest mail has waited for 0 days."
    before = (folder / DATABASE_NAME).read_bytes(), (folder / GUARD_NAME).read_bytes()
    assert faults(await looked_at(folder, programme)) == set()
    assert ((folder / DATABASE_NAME).read_bytes(), (folder / GUARD_NAME).read_bytes()) == before


async def test_before_an_update_the_doctor_asks_for_a_backup_and_no_copy(folder: Path, programme: Programme) -> None:
    async with RunningHub(folder, programme):
        pass
    store = await open_store(folder, make_settings(folder, programme).store)
    await store.write(lambda connection: move(connection, "0006"))
    await store.close()
    found = await looked_at(folder, programme)
    assert (found["store"].condition, found["store"].found) == (
        Condition.WARNING,
        "The database is of an older version of Throughcare.",
    )
    assert (found["store"].fix or "").startswith("Make sure of a backup that the version before made")
    with pytest.raises(ConfigurationError, match="That version makes a backup of it"):
        await make_backup(make_settings(folder, programme), folder / "backup", OFFLINE.public, programme.now)
    assert not (folder / "backup").exists()


async def test_keys_that_systemd_has_are_no_reason_to_look_for_others(folder: Path, programme: Programme) -> None:
    """Typed beside a hub that runs: its own credential is not the command's, and nothing is lost."""
    given = await looked_at(folder, programme, f'credentials_directory = "{folder / "none"}"')
    assert given["keys"].condition is Condition.FAULT
    assert "systemd-creds decrypt --name=throughcare-hub-keys" in (given["keys"].fix or "")
    assert "passphrase" not in (given["keys"].fix or "")


@pytest.mark.parametrize("name", ["certificate_file", "key_file"])
def test_which_of_the_tls_files_this_user_cannot_read_is_named(
    folder: Path, programme: Programme, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root's `check` reads a key that the unit's own user may not."""
    paths = dict(zip(("certificate_file", "key_file"), certificate(folder, "hub.example", 90), strict=True))
    settings = make_settings(folder, programme, "[tls]", *(f'{key} = "{path}"' for key, path in paths.items()))
    assert tls_context(settings) is not None
    opened = Path.open

    def denied(path: Path, mode: str) -> IO[Any]:
        if path == paths[name]:
            raise PermissionError
        return opened(path, mode)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", denied)
        with pytest.raises(ConfigurationError, match=rf"This user may not read tls\.{name}\. Under systemd .*tls-key"):
            tls_context(settings)
    paths[name].unlink()
    with pytest.raises(ConfigurationError, match=rf"^tls\.{name} cannot be read\. Check its path\.$"):
        tls_context(settings)


async def test_what_is_most_likely_not_meant_is_a_warning_of_doctor_and_check(
    folder: Path, programme: Programme
) -> None:
    chain, key = certificate(folder, "hub.example", 90)
    own = ('public_url = "https://localhost:1"', "[tls]", f'certificate_file = "{chain}"', f'key_file = "{key}"')
    demo = make_settings(folder, programme, *own)
    assert "address" not in {finding.check for finding in await examine(demo, TestClock(programme.now))}
    production = demo.model_copy(update={"hub": demo.hub.model_copy(update={"profile": Profile.PRODUCTION})})
    found = {finding.check: finding for finding in await examine(production, TestClock(programme.now))}
    assert found["address"].condition is Condition.WARNING
    # No setting of a hub's names a proxy.
    assert found["port"].fix == "Ask whether the hub is running, and check the port in hub.public_url."
    assert found["address"].found == "The hub has a certificate of its own, and only this machine reaches it."
    (folder / "signing-keys.sealed").unlink()
    create_keys(production)
    config = folder / "hub.toml"
    config.write_text(settings_text(folder, programme, *own).replace('profile = "demo"\n', ""))
    checked = await asyncio.to_thread(CliRunner().invoke, main, ["check", "--config", str(config)])
    assert checked.exit_code == 0, checked.output
    assert "warning: The hub has a certificate of its own, and only this machine reaches it." in checked.stderr


async def test_a_demo_whose_clock_is_put_ahead_is_looked_at_by_that_clock(folder: Path, programme: Programme) -> None:
    async with RunningHub(folder, programme):
        pass
    (folder / "ahead").write_text("60d", encoding="ascii")
    behind = TestClock(programme.now - 60 * DAY)
    assert "log times" in faults(await looked_at(folder, programme, clock=behind))
    assert faults(await looked_at(folder, programme, f'clock_file = "{folder / "ahead"}"', clock=behind)) == set()


async def test_aud_4_a_database_behind_its_guard_is_a_fault(folder: Path, programme: Programme) -> None:
    async with RunningHub(folder, programme):
        pass
    old = (folder / DATABASE_NAME).read_bytes()
    async with RunningHub(folder, programme) as running:
        sealed = programme.sender("gora-prison").seal(programme.members["reka-probation"].desk)
        await running.device(programme.members["gora-prison"]).submit(sealed.data)
    (folder / DATABASE_NAME).write_bytes(old)
    found = await looked_at(folder, programme)
    assert faults(found) == {"guard"}
    assert "is behind" in found["guard"].found
    assert "restore --in-place" in (found["guard"].fix or "")
    (folder / DATABASE_NAME).unlink()
    assert faults(await looked_at(folder, programme)) == {"store"}
    (folder / DATABASE_NAME).touch(mode=0o600)
    assert faults(await looked_at(folder, programme)) == {"store"}
    (folder / DATABASE_NAME).write_bytes(b"no database" * 1_000)
    found = await looked_at(folder, programme)
    assert faults(found) == {"guard"}
    assert "throughcare-hub restore FILE" in (found["guard"].fix or "")


async def test_versions_of_the_database_are_told_apart(folder: Path, programme: Programme) -> None:
    async with RunningHub(folder, programme):
        pass
    for revision, condition in (("0000", Condition.WARNING), ("9999", Condition.FAULT)):
        with closing(sqlite3.connect(folder / DATABASE_NAME)) as database:
            database.execute("UPDATE alembic_version SET version_num = ?", (revision,))
            database.commit()
        assert (await looked_at(folder, programme))["store"].condition is condition


async def test_a_clock_set_back_and_mail_that_nobody_collects_are_told(folder: Path, programme: Programme) -> None:
    async with RunningHub(folder, programme) as running:
        sealed = programme.sender("gora-prison").seal(programme.members["reka-probation"].desk)
        await running.device(programme.members["gora-prison"]).submit(sealed.data)
    found = await looked_at(folder, programme, clock=TestClock(programme.now - HOUR))
    assert faults(found) == {"log times"}
    found = await looked_at(folder, programme, clock=TestClock(programme.now + 31 * DAY))
    assert found["mail"].condition is Condition.WARNING
    assert found["mail"].fix == "Ask whether the connector runs that should collect it: reka-probation@hub.example."


async def test_mail_for_a_device_that_was_replaced_has_no_operator_call_anybody(
    folder: Path, programme: Programme
) -> None:
    prison, probation, _ = programme.members.values()
    async with RunningHub(folder, programme) as running:
        await running.device(prison).submit(programme.sender("gora-prison").seal(probation.desk).data)
        programme.replace_device(probation, "another machine")
        await running.catch_up()
    found = (await looked_at(folder, programme, clock=TestClock(programme.now + 9 * DAY)))["mail"]
    assert found.condition is Condition.OK
    assert "replaced" in found.found


async def test_a_name_that_is_not_known_sends_no_operator_to_a_proxy_that_cannot_be_set(
    folder: Path, programme: Programme
) -> None:
    # No name: it is found to be none without asking any server.
    found = await looked_at(folder, programme, f'public_url = "https://{"a" * 64}.example"')
    assert found["name"].fix == "Check hub.public_url and this machine's name server."


async def test_nobody_is_told_to_make_new_keys_for_a_hub_that_has_signed(folder: Path, programme: Programme) -> None:
    async with RunningHub(folder, programme):
        pass
    (folder / "signing-keys.sealed").unlink()
    fix = (await looked_at(folder, programme))["keys"].fix
    assert fix is not None
    assert "Never make new keys" in fix


async def test_key_3_secrets_that_others_can_read_and_keys_that_do_not_open_are_told(
    folder: Path, programme: Programme
) -> None:
    (folder / "signing-keys.sealed").chmod(0o644)
    found = await looked_at(folder, programme)
    assert {"permissions", "keys"} <= faults(found)
    assert found["permissions"].fix == f"chmod 600 {folder / 'signing-keys.sealed'}"
    assert found["store"].condition is Condition.WARNING
    assert found["service"].condition is Condition.SKIPPED


@pytest.mark.parametrize(("days", "condition"), [(-1, Condition.FAULT), (3, Condition.WARNING), (60, Condition.OK)])
async def test_the_end_of_the_certificate_is_told(
    folder: Path, programme: Programme, days: int, condition: Condition
) -> None:
    chain, key = certificate(folder, "localhost", days)
    lines = ("[tls]", f'certificate_file = "{chain}"', f'key_file = "{key}"')
    assert (await looked_at(folder, programme, *lines))["certificate"].condition is condition
    key.write_text("no key")
    assert (await looked_at(folder, programme, *lines))["certificate"].condition is Condition.FAULT


async def test_a_proxy_in_front_that_passes_on_no_websocket_or_answers_itself_is_told(
    folder: Path, programme: Programme
) -> None:
    async with RunningHub(folder, programme) as running, Relay(running.url) as front:
        line = f'public_url = "{front.url}"'
        assert (await looked_at(folder, programme, line))["websocket"].condition is Condition.OK
        front.weather.upgrade = "strip"
        found = await looked_at(folder, programme, line)
        assert found["websocket"].condition is Condition.WARNING
        assert str(found["websocket"].fix).startswith("Have the proxy in front pass on")
        front.weather = Weather(portal="page")
        assert faults(await looked_at(folder, programme, line)) == {"hub"}


async def test_a_hub_that_does_not_run_is_a_warning(folder: Path, programme: Programme) -> None:
    settings = make_settings(folder, programme)
    settings = settings.model_copy(update={"hub": settings.hub.model_copy(update={"admin_port": 1})})
    found = {one.check: one for one in await examine(settings, TestClock(programme.now))}
    assert found["service"].found == "The hub is not running."
    if sys.platform != "linux":
        return  # only Linux tells who holds a lock
    async with RunningHub(folder, programme):
        found = {one.check: one for one in await examine(settings, TestClock(programme.now))}
    told = f"Process {os.getpid()} holds the database, and does not answer at admin_port."
    assert (found["service"].condition, found["service"].found) == (Condition.WARNING, told)


@pytest.mark.parametrize(
    ("check", "fix"),
    [
        ("disk", "Make room on the disk of hub.data_dir."),
        ("clock", "throughcare-hub clock --config FILE says what this machine believes."),
        ("writer", "Mend what the lines `store`, `guard` and `disk` name;"),
        ("store", "Mend what the lines `store`, `guard` and `disk` name;"),
    ],
)
async def test_a_hub_that_is_not_ready_is_told_with_what_mends_it(
    folder: Path, programme: Programme, check: str, fix: str
) -> None:
    health = Health()
    health.started = True

    async def good() -> bool:
        return True

    async def bad() -> bool:
        return False

    health.checks = {one: bad if one == check else good for one in _NOT_READY if one != "started"}
    runner = Runner(admin_application(health), clock=TestClock(programme.now), shutdown_s=1.0)
    settings, port = make_settings(folder, programme), await listen(runner, "127.0.0.1", 0)
    settings = settings.model_copy(update={"hub": settings.hub.model_copy(update={"admin_port": port})})
    try:
        (found,) = (one for one in await examine(settings, TestClock(programme.now)) if one.check == "service")
    finally:
        await runner.cleanup()
    assert found.found == f"The hub runs and is not ready: {check}."
    assert str(found.fix).startswith(fix)


async def test_every_check_of_a_real_hub_has_what_mends_it(folder: Path, programme: Programme) -> None:
    async with RunningHub(folder, programme) as running:
        running.hub.watch.answer(health := Health())
        assert set(await health.ready()) == set(_NOT_READY)


def test_json_and_exit_codes(folder: Path, programme: Programme, tmp_path: Path) -> None:
    config = tmp_path / "hub.toml"
    lines = ["[hub]", 'domain = "hub.example"', f'data_dir = "{folder}"', 'profile = "demo"', "admin_port = 0"]
    config.write_text("\n".join([*lines, f'passphrase_file = "{folder / "passphrase"}"']))
    done = CliRunner().invoke(main, ["doctor", "--config", str(config), "--json"])
    said = json.loads(done.stdout)
    assert (done.exit_code, said["healthy"]) == (1, False)
    assert {"check", "condition", "found", "fix"} == said["items"][0].keys()
    assert said["items"][0]["found"] == "hub.root_fingerprint is not set."
    with config.open("a") as file:
        file.write(f'\nroot_fingerprint = "{programme.fingerprint.hex()}"\n')
    done = CliRunner().invoke(main, ["doctor", "--config", str(config)])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1].startswith("no faults")
    start = f"systemctl start throughcare-hub, where systemd runs it; else throughcare-hub run --config {config}"
    assert f"fix: Start it: {start}\n" in done.stdout
    config.write_text("[hub]\nprot = 1")
    assert CliRunner().invoke(main, ["doctor", "--config", str(config)]).exit_code == 3
    assert not (folder / GUARD_NAME).exists()


async def test_a_hub_on_postgresql_is_looked_at_beside_it(
    folder: Path, programme: Programme, postgres_url: str
) -> None:
    more = on_postgres(postgres_url)
    assert (await looked_at(folder, programme, *more))["store"].condition is Condition.WARNING
    async with RunningHub(folder, programme, more=more):
        found = await looked_at(folder, programme, *more)
    assert not faults(found)
    assert "0 leaves" in found["guard"].found
    elsewhere = on_postgres("postgresql://nobody@127.0.0.1:1/none")
    found = await looked_at(folder, programme, *elsewhere)
    assert faults(found) == {"store"}
    assert "Check that it runs" in (found["store"].fix or "")
