# SPDX-License-Identifier: Apache-2.0
"""Under systemd: the programs tell it that they are ready, alive and stopping; the units are what systemd accepts."""

import asyncio
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from connectors import app
from connectors.config import load as load_connector_settings
from connectors.enrolment.configuration import CONFIG_FILE
from connectors.logs import Log
from connectors.timing import system_clock
from hub.config import load_settings as load_hub_settings
from hub.service.signingkeys import CREDENTIAL_NAME, create_keys, given_by_systemd, open_keys
from keys.passphrasefile import read_passphrase_file
from protocol.errors import ConfigurationError, KeystoreError
from protocol.http.supervised import NOBODY, Supervisor
from protocol.settings import Loaded, Origin
from tests.connectors.running import installed, settings_of
from tests.hub.process import ROOT, environment, prepare
from tests.programme import make_programme

UNITS = ROOT / "docs" / "systemd"
MUST = {
    "Type": "notify",
    "DynamicUser": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "NoNewPrivileges": "yes",
    "MemoryDenyWriteExecute": "yes",
    "CapabilityBoundingSet": "",
    "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6",
    "UMask": "0077",
    "StateDirectoryMode": "0700",
}


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    """Listen as systemd does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(30)
        yield listening


def told(listening: socket.socket) -> list[str]:
    """Return everything that was told so far."""
    listening.setblocking(False)
    found = list[str]()
    try:
        while True:
            found.append(listening.recv(4_096).decode())
    except BlockingIOError:
        return found


async def heard(listening: socket.socket, what: str) -> None:
    """Wait until `what` is told."""
    while not (await asyncio.to_thread(listening.recv, 4_096)).decode().startswith(what):
        pass


def test_the_hubs_process_tells_when_it_serves_that_it_lives_and_when_it_stops(
    tmp_path: Path, systemd: socket.socket
) -> None:
    config, _ = prepare(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-m", "hub", "run", "--config", config],
        cwd=ROOT,
        env={**environment(), "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"},
        stderr=subprocess.DEVNULL,
    )
    try:
        first = systemd.recv(4_096).decode()
        assert first.startswith("READY=1\nSTATUS=Serves http://localhost:")
        assert {systemd.recv(4_096) for _ in range(3)} == {b"WATCHDOG=1"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
    assert [one for one in told(systemd) if one != "WATCHDOG=1"] == ["STOPPING=1"]


async def test_a_connector_tells_when_it_serves_that_it_lives_and_when_it_stops(
    tmp_path: Path, systemd: socket.socket
) -> None:
    folder, _ = installed(tmp_path, make_programme(now=system_clock()), "reka-probation", "http://localhost:9")
    stop = asyncio.Event()
    running = asyncio.create_task(
        app.run(
            settings_of(folder),
            ready=lambda _: None,
            stop=stop,
            log=Log(io.StringIO(), json=True),
            supervisor=Supervisor(str(tmp_path / "notify"), 0.05),
        )
    )
    await heard(systemd, "READY=1")
    await heard(systemd, "WATCHDOG=1")
    stop.set()
    await running
    assert told(systemd)[-1] == "STOPPING=1"


async def test_a_hub_whose_writer_has_stopped_tells_no_more_that_it_lives(
    tmp_path: Path, systemd: socket.socket
) -> None:
    healthy = True

    async def ask() -> bool:
        return healthy

    telling = asyncio.create_task(Supervisor(str(tmp_path / "notify"), 0.01).keep_told(ask))
    await heard(systemd, "WATCHDOG=1")
    healthy = False
    await asyncio.sleep(0.05)
    told(systemd)
    await asyncio.sleep(0.05)
    assert told(systemd) == []
    telling.cancel()


def test_who_is_told_and_how_often_stands_in_the_environment() -> None:
    address = {"NOTIFY_SOCKET": "@throughcare", "WATCHDOG_USEC": "60000000"}
    assert Supervisor.of({}) == NOBODY
    assert Supervisor.of(address) == Supervisor("@throughcare", 30.0)
    assert Supervisor.of({**address, "WATCHDOG_PID": str(os.getpid())}) == Supervisor("@throughcare", 30.0)
    assert Supervisor.of({**address, "WATCHDOG_PID": "1"}) == Supervisor("@throughcare", None)
    assert Supervisor.of({**address, "WATCHDOG_USEC": "soon"}) == Supervisor("@throughcare", None)


@pytest.mark.skipif(sys.platform != "linux", reason="abstract addresses are Linux's")
def test_an_abstract_address_is_reached_and_one_that_is_gone_does_no_harm() -> None:
    name = f"throughcare-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + name)
        Supervisor(f"@{name}").stopping()
        assert listening.recv(100) == b"STOPPING=1"
    Supervisor(f"@{name}").stopping()


OFFERED = re.compile(r"^# ([A-Z][A-Za-z]+=.*)$", re.MULTILINE)
"""A line of a unit that its administrator may want, and takes the # away of."""
SECRET = re.compile(r"(passphrase|password|credentials|secret|key)_file$")
LOADS: dict[str, Callable[[Path, Mapping[str, str]], Loaded[Any]]] = {
    "throughcare-hub": load_hub_settings,
    "throughcare-connector": load_connector_settings,
}
NEEDED = {
    "throughcare-hub": '[hub]\ndomain = "hub.example"\ndata_dir = "data"\npublic_url = "https://hub.example"\n'
    '[tls]\ncertificate_file = "hub.pem"\n',
    "throughcare-connector": '[connector]\ndata_dir = "."\n',
}
"""What of a configuration no unit says."""


def directives(unit: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in unit.splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def accepted(text: str, name: str, folder: Path) -> None:
    """Have systemd judge a unit, where there is one; the program is not installed where the unit says."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        return
    copy = folder / f"{name}.service"
    copy.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", text), encoding="utf-8")
    verified = subprocess.run([analyze, "verify", copy], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")


@pytest.mark.parametrize("name", ["throughcare-hub", "throughcare-connector"])
def test_the_units_shut_the_programs_in_and_are_accepted_by_systemd(tmp_path: Path, name: str) -> None:
    unit = (UNITS / f"{name}.service").read_text(encoding="utf-8")
    found = directives(unit)
    assert {key: found[key] for key in MUST} == {key: [value] for key, value in MUST.items()}
    assert found["SystemCallFilter"] == ["@system-service", "~@privileged @resources", "@chown"]
    assert found["LoadCredential"][0].startswith("passphrase:/etc/throughcare/")
    assert any(line.endswith("__PASSPHRASE_FILE=%d/passphrase") for line in found["Environment"])
    assert float(found["WatchdogSec"][0]) >= 10
    program, *arguments = found["ExecStart"][0].split()
    done = subprocess.run([Path(sys.executable).parent / Path(program).name, *arguments[:-2], "--help"], check=True)
    assert done.returncode == 0
    accepted(unit, name, tmp_path)


@pytest.mark.parametrize("name", LOADS)
def test_what_the_units_offer_is_accepted_by_systemd_and_by_the_programs(tmp_path: Path, name: str) -> None:
    """Each secret that only root reads has a line that hands it over, and one that says where it then lies."""
    text = (UNITS / f"{name}.service").read_text(encoding="utf-8")
    whole = OFFERED.sub(r"\1", text)
    assert whole != text
    accepted(whole, name, tmp_path)
    found = directives(whole)
    variables = dict(value.split("=", 1) for value in found["Environment"])
    handed_over = {value.partition(":")[0] for value in found["LoadCredential"]}
    assert {Path(value).name for value in variables.values() if value.startswith("%d/")} == handed_over
    config = tmp_path / "config.toml"
    config.write_text(NEEDED[name], encoding="utf-8")
    loaded = LOADS[name](config, {key: value.replace("%d", str(tmp_path)) for key, value in variables.items()})
    secret = {
        f"{section}.{key}"
        for section, model in type(loaded.settings).model_fields.items()
        for key in getattr(model.annotation, "model_fields", {})
        if SECRET.search(key)
    }
    given = {key for key, origin in loaded.origins.items() if origin is Origin.ENVIRONMENT}
    assert secret == {key for key in given if key.endswith("_file")}


def test_the_documents_lead_to_what_the_units_read(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for name in LOADS:
        unit = (UNITS / f"{name}.service").read_text(encoding="utf-8")
        assert f"    cp docs/systemd/{name}.service /etc/systemd/system/\n    systemctl enable --now {name}\n" in text
        sections = re.search(r"docs/operations\.md, sections? ([\d and]+)\.", unit)
        assert sections is not None
        assert all("**Under systemd**" in _section(text, number) for number in sections[1].split(" and "))
        passphrase = directives(unit)["LoadCredential"][0].partition(":")[2]
        assert passphrase in text
    config = directives((UNITS / "throughcare-hub.service").read_text())["ExecStart"][0].split()[-1]
    assert f"throughcare-hub init --config {config}\n" in text
    # Enrolment and restore write the connector's configuration into the folder that is the unit's.
    found = directives((UNITS / "throughcare-connector.service").read_text())
    state = found["StateDirectory"][0]
    assert found["ExecStart"][0].split()[-1] == f"%S/{state}/{CONFIG_FILE}"
    assert text.count(f" --data-dir /var/lib/{state} \\\n") == 2
    assert f"THROUGHCARE_HOME={found['Environment'][-1].partition('=%S')[2]}".replace("=/", "=/var/lib/") in text


def _section(text: str, number: str) -> str:
    return text.partition(f"\n## {number}. ")[2].partition("\n## ")[0]


def test_signing_keys_are_handed_over_as_the_documents_say(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    load = re.search(r"(?m)^    (LoadCredentialEncrypted=throughcare-hub-keys:(\S+))\n    (Environment=\S+)$", text)
    assert load is not None
    assert f"systemd-creds encrypt --name={CREDENTIAL_NAME} /dev/shm/hub-keys/{CREDENTIAL_NAME} {load[2]}\n" in text
    unit = (UNITS / "throughcare-hub.service").read_text(encoding="utf-8")
    passphrase = re.search(r"^LoadCredential=passphrase:.*\nEnvironment=.*PASSPHRASE_FILE=.*$", unit, re.MULTILINE)
    assert passphrase is not None
    instead = unit.replace(passphrase[0], f"{load[1]}\n{load[3]}")
    accepted(instead, "throughcare-hub", tmp_path)
    keys = tmp_path / "credentials"
    keys.mkdir()
    config = tmp_path / "hub.toml"
    behind_proxy = NEEDED["throughcare-hub"].partition("[tls]")[0] + "behind_proxy = true\n"
    config.write_text(behind_proxy + f'credentials_directory = "{keys}"\n')
    by_hand = load_hub_settings(config, {}).settings
    by_hand.hub.data_dir.mkdir()
    made = create_keys(by_hand)
    (keys / CREDENTIAL_NAME).rename(tmp_path / CREDENTIAL_NAME)
    variables = dict(value.replace("%d", str(tmp_path)).split("=", 1) for value in directives(instead)["Environment"])
    under_systemd = load_hub_settings(config, {**variables, "THROUGHCARE_HUB__DATA_DIR": str(tmp_path / "data")})
    assert open_keys(under_systemd.settings).audit.public == made.audit.public
    # The command that puts them there for a while is the one that a hub's own error names.
    with pytest.raises(KeystoreError) as missing:
        open_keys(by_hand)
    (note,) = missing.value.__notes__
    typed = re.search(r"(?m)^    (\(umask 077; systemd-creds decrypt .*\))$", text)
    assert typed is not None
    assert typed[1].replace("/dev/shm/hub-keys/", f"{keys}/") in note
    assert note == f"next: {given_by_systemd(by_hand)}"


def test_key_3_a_credential_of_systemd_may_show_its_acls_mask_and_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Systemd gives the unit's user access by an ACL, whose mask looks like the group's right to read."""
    secret = tmp_path / "passphrase"
    secret.write_text("an invented passphrase")
    secret.chmod(0o440)
    with pytest.raises(ConfigurationError, match="can be read by others"):
        read_passphrase_file(secret)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_passphrase_file(secret) == b"an invented passphrase"
    for mode in (0o444, 0o460, 0o441):
        secret.chmod(mode)
        with pytest.raises(ConfigurationError, match="can be read by others"):
            read_passphrase_file(secret)
