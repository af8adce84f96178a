# SPDX-License-Identifier: Apache-2.0
"""An agency behind a proxy, with a hub whose certificate is private: enrolled and looked at by typed commands."""

import asyncio
import ssl
from pathlib import Path
from types import SimpleNamespace

import pytest

from connectors import way_out
from connectors.config import load
from connectors.enrolment.visit import visiting
from connectors.way_out import WayOut
from protocol.errors import ConfigurationError
from tests.scenarios.running import Spoken, Typist
from tests.scenarios.town import Town, approve, invited, opened_town, words_in
from tests.tlsnames import certificate
from tests.weather import Relay, Weather

pytestmark = pytest.mark.usefixtures("quick_keys")


async def test_enrolment_goes_by_proxy_and_private_certificate_and_writes_them_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = certificate(tmp_path, "localhost", 30)
    type_ = Typist(capsys)
    async with Relay(proxy=True, weather=Weather(password="office:secret")) as proxy:
        (tmp_path / "town").mkdir()
        hub_url = await asyncio.to_thread(_in_town, type_, tmp_path, made, proxy)
        assert len(proxy.asked) > 3
        assert set(proxy.asked) == {f"CONNECT {hub_url.removeprefix('https://')} HTTP/1.1"}


def _in_town(type_: Typist, folder: Path, made: tuple[Path, Path], proxy: Relay) -> str:
    with opened_town(folder / "town", made) as town:
        _enrolled(town, type_, folder, made[0], proxy)
        return town.hub_url


def _enrolled(town: Town, type_: Typist, folder: Path, chain: Path, proxy: Relay) -> None:
    secret, credentials = folder / "passphrase", folder / "credentials"
    for path, text in ((secret, "an agency's passphrase"), (credentials, "office:secret")):
        path.touch(mode=0o600)
        path.write_text(text)
    data = folder / "reka"
    by_proxy = ("--proxy", proxy.url, "--proxy-credentials-file", credentials)

    def enrol(*more: str | Path) -> Spoken:
        return type_(
            "enrol", "--data-dir", data, "--passphrase-file", secret, "--demo", "--wait", "0",
            "--code-file", code, "--officer", "duty officer", *more,
        )  # fmt: skip

    with town.trusted():
        code = invited(town, type_, "reka")
    strange = enrol(*by_proxy)
    assert (strange.code, "certificate is not trusted" in strange.err) == (7, True), strange.err
    assert enrol("--proxy", "ftp://proxy").code == 3
    words = words_in(enrol(*by_proxy, "--ca-file", chain).err)
    with town.trusted():
        assert [approve(town, type_, "reka", number, words)[0] for number in (1, 2)] == [0, 0]
    done = enrol(*by_proxy, "--ca-file", chain)
    assert done.code == 0, done.err
    section = load(data / "connector.toml", {}).settings.connector
    assert (section.proxy, section.proxy_credentials_file, section.ca_file) == (proxy.url, credentials, chain)
    looked = type_("doctor", "--config", data / "connector.toml", "--json").json
    found = {item["check"]: item["condition"] for item in looked["items"]}
    assert {found[name] for name in ("name", "port", "hub", "identity", "websocket")} == {"ok"}


@pytest.mark.parametrize(("url", "read"), [("http://localhost:9", 0), ("https://localhost:9", 1)])
async def test_a_visit_without_tls_reads_no_authorities(
    url: str, read: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = list[ssl.SSLContext]()

    def counted(cafile: Path | None) -> ssl.SSLContext:
        made.append(ssl.create_default_context(cafile=cafile))
        return made[-1]

    monkeypatch.setattr(way_out, "ssl", SimpleNamespace(create_default_context=counted, SSLError=ssl.SSLError))
    async with visiting(url):
        pass
    assert [context.verify_mode for context in made] == [ssl.CERT_REQUIRED] * read
    (tmp_path / "none.pem").touch()
    with pytest.raises(ConfigurationError):
        async with visiting(url, WayOut(ca_file=tmp_path / "none.pem")):
            pass
