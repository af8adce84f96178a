# SPDX-License-Identifier: Apache-2.0
"""An authority and a hub that runs, and the commands by which an agency is enrolled with them."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from connectors.authority.office import open_office
from connectors.cli import main
from connectors.sandbox.ports import free_ports
from tests.connectors.lyinghub import LyingHub
from tests.scenarios.forked import hub_program, running_hub
from tests.scenarios.running import Typist


class Town:
    """An authority with a hub that runs, in one folder."""

    def __init__(self, folder: Path, certificate: tuple[Path, Path] | None = None) -> None:
        self.certificate = certificate
        self.folder = folder
        self.authority = folder / "authority"
        self.hub_url = ""
        self.clock_file = folder / "clock"
        """Puts the hub's clock ahead, once there is such a file."""

    @contextmanager
    def trusted(self) -> Iterator[None]:
        """Trust the hub's certificate, if it has one, as the authority's machine does."""
        with pytest.MonkeyPatch.context() as patch:
            if self.certificate is not None:
                patch.setenv("SSL_CERT_FILE", str(self.certificate[0]))
            yield

    def passphrase(self, name: str) -> Path:
        return self.authority / "passphrases" / f"{name}.passphrase"

    def hub_config(self, root_fingerprint: str) -> Path:
        port, admin = free_ports(2)
        (self.folder / "hub.passphrase").write_text("a hub's passphrase\n")
        (self.folder / "hub.passphrase").chmod(0o600)
        config = self.folder / "hub.toml"
        config.write_text(
            f'[hub]\ndomain = "hub.example"\ndata_dir = "hub"\nprofile = "demo"\nport = {port}\nadmin_port = {admin}\n'
            f'passphrase_file = "hub.passphrase"\nroot_fingerprint = "{root_fingerprint}"\nclock_file = "clock"\n'
        )
        if self.certificate is not None:
            chain, key = self.certificate
            with config.open("a") as file:
                file.write(f'[tls]\ncertificate_file = "{chain}"\nkey_file = "{key}"\n')
        return config


def quiet(*arguments: str | Path) -> None:
    """Type a command that must go well."""
    assert main([*map(str, arguments), "--quiet"]) == 0


@contextmanager
def opened_town(
    folder: Path, certificate: tuple[Path, Path] | None = None, *, root_persons: int = 1, approvers: int = 2
) -> Iterator[Town]:
    """Found an authority and run its hub in `folder`; with `certificate` (and its key) the hub speaks TLS."""
    place = Town(folder, certificate)
    people = ("--root-persons", str(root_persons), "--approvers", str(approvers))
    names = ("--domain", "hub.example", "--programme", "P", "--jurisdiction", "J", *people)
    quiet("authority", "init", place.authority, *names)
    fingerprint = open_office(place.authority).facts.root_fingerprint.hex()
    config = place.hub_config(fingerprint)
    hub_program("init", "--config", str(config))
    with running_hub("--config", str(config), "--ready-json") as line:
        place.hub_url = json.loads(line)["url"]
        with place.trusted():
            quiet("authority", "publish", place.authority, "--hub", place.folder / "hub" / "hub-public.json")
        yield place


@contextmanager
def badly_connected(town: Town) -> Iterator[LyingHub]:
    """Let the authority reach its hub only through what stands in between."""
    office, between = open_office(town.authority), LyingHub()
    between.target = town.hub_url
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        running = threading.Thread(target=loop.run_forever)
        running.start()
        try:
            asyncio.run_coroutine_threadsafe(between.__aenter__(), loop).result(timeout=20)
            office.connect(office.hub.model_copy(update={"url": between.url}))
            yield between
        finally:
            office.connect(office.hub)
            asyncio.run_coroutine_threadsafe(between.__aexit__(None, None, None), loop).result(timeout=20)
            loop.call_soon_threadsafe(loop.stop)
            running.join()


def invited(town: Town, type_: Typist, agency: str, *more: str) -> Path:
    """Return the file of a fresh code for an agency."""
    target = town.folder / f"{agency}.code"
    spoken = type_(
        "authority", "invite", town.authority, "--agency", agency, "--name", agency.title(), "--kind", "probation",
        "--desk", "intake=probation-intake", "--approver", "1", "--passphrase-file", town.passphrase("approver-1"),
        "--out", target, "--json", *more,
    )  # fmt: skip
    assert spoken.code == 0, spoken.err
    return target


def enrol(type_: Typist, folder: Path, code: Path | None = None, wait: int = 0) -> tuple[int, str, str]:
    """Type `throughcare enrol` and return exit code, output and talk."""
    secret = folder.parent / f"{folder.name}.passphrase"
    secret.write_text("an agency's passphrase\n")
    secret.chmod(0o600)
    named = ["--code-file", str(code)] if code else ["--officer", "duty officer"]
    spoken = type_(
        "enrol", "--data-dir", folder, "--passphrase-file", secret, "--demo", "--wait", str(wait), "--json", *named
    )
    return spoken.code, spoken.out, spoken.err


def words_in(talk: str) -> str:
    found = re.search(r"^ {4}((?:[a-z]+ ){7}[a-z]+)$", talk, re.MULTILINE)
    assert found, talk
    return found[1]


def approve(town: Town, type_: Typist, agency: str, number: int, words: str) -> tuple[int, str]:
    spoken = type_(
        "authority", "approve", town.authority, agency, "--approver", str(number), "--words", words,
        "--passphrase-file", town.passphrase(f"approver-{number}"), "--json",
    )  # fmt: skip
    return spoken.code, spoken.err


def enrolled(town: Town, type_: Typist, folder: Path, agency: str | None = None) -> str:
    """Enrol an agency of the folder's name, or `agency`, perhaps anew, by words and two approvers.

    Returns the key id of its device.
    """
    name = agency or folder.name
    folder.parent.mkdir(exist_ok=True)
    words = words_in(enrol(type_, folder, invited(town, type_, name, "--replace"))[2])
    for number in (1, 2):
        status, talk = approve(town, type_, name, number, words)
        assert status == 0, talk
    status, out, talk = enrol(type_, folder)
    assert status == 0, talk
    return str(json.loads(out)["device"])
