# SPDX-License-Identifier: Apache-2.0
"""The hub's configuration: what production refuses, and that nothing runs without a pinned root."""

from pathlib import Path

import pytest

from hub.app import Hub
from hub.config import HubSettings, check, doubts, load_settings, pinned_root
from hub.logs import make_log
from hub.service.signingkeys import SEALED_NAME, create_keys, open_keys, public_document, write_public
from protocol.errors import ConfigurationError, KeystoreError
from protocol.settings import Profile, is_loopback, load
from tests.hub.running import KEYS, make_settings, settings_text
from tests.programme import make_programme

PRODUCTION = """
[hub]
domain = "hub.example"
data_dir = "/var/lib/hub"
passphrase_file = "/etc/hub/passphrase"
public_url = "https://hub.example"
behind_proxy = true
"""


def settings(text: str) -> HubSettings:
    return load(HubSettings, text, {}).settings


def test_a_production_hub_behind_a_proxy_of_its_machine_is_accepted() -> None:
    check(settings(PRODUCTION))


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        ("behind_proxy = true", "", "tls.certificate_file"),
        ("behind_proxy = true", 'behind_proxy = true\nhost = "0.0.0.0"', "tls.certificate_file"),
        ("https://hub.example", "http://hub.example", "begin with https"),
        ('public_url = "https://hub.example"', "", "public_url must be set"),
        ('passphrase_file = "/etc/hub/passphrase"', "", "passphrase_file"),
        ("behind_proxy = true", 'behind_proxy = true\nadmin_host = "0.0.0.0"', "admin_host"),
        ("behind_proxy = true", 'behind_proxy = true\n[tls]\ncertificate_file = "c"', "belong together"),
        ("behind_proxy = true", 'behind_proxy = true\nclock_file = "clock"', "clock_file"),
        ("behind_proxy = true", 'profile = "demo"\nhost = "0.0.0.0"', "its own machine only"),
    ],
)
def test_what_is_unsafe_in_production_is_refused_with_what_to_do(old: str, new: str, hint: str) -> None:
    with pytest.raises(ConfigurationError, match=hint):
        check(settings(PRODUCTION.replace(old, new)))


OWN = PRODUCTION.replace("behind_proxy = true", "{}") + '[tls]\ncertificate_file = "c"\nkey_file = "k"\n'


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (PRODUCTION, None),
        (OWN.format('host = "0.0.0.0"\nport = 443'), None),
        (OWN.format('host = "::"').replace("https://hub.example", "https://hub.example:8440"), None),
        (OWN.format("behind_proxy = true"), None),
        (OWN.format(""), "only this machine reaches it. Set hub.host"),
        (OWN.format('host = "0.0.0.0"'), "call port 443 by hub.public_url, and the hub listens on 8440"),
    ],
)
def test_a_hub_with_a_certificate_of_its_own_that_nobody_reaches_is_told_of(text: str, hint: str | None) -> None:
    found = settings(text)
    check(found)
    told = " ".join(doubts(found))
    assert hint in told if hint else told == ""


@pytest.mark.parametrize("value", ["", "zz" * 32, "00" * 31, "AB" * 32])
def test_a_root_fingerprint_has_one_spelling(value: str) -> None:
    with pytest.raises(ConfigurationError, match="64 lower-case"):
        settings(PRODUCTION + f'root_fingerprint = "{value}"\n')


def contents(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_dir_4_a_hub_without_a_pinned_root_does_not_start(tmp_path: Path) -> None:
    plain = settings(PRODUCTION.replace("/var/lib/hub", str(tmp_path)))
    with pytest.raises(ConfigurationError, match="root_fingerprint"):
        pinned_root(plain)
    with pytest.raises(ConfigurationError, match="root_fingerprint"):
        await Hub.open(plain, KEYS, log=make_log("error", "json"))
    assert not contents(tmp_path)


def test_an_unreadable_configuration_is_named_without_its_content(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_settings(tmp_path / "none.toml", {})


def test_sections_of_the_connector_may_stand_in_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "both.toml"
    path.write_text(settings_text(tmp_path, make_programme()) + "[connector]\nanything = 1\n")
    assert load_settings(path, {"THROUGHCARE_HUB__PORT": "8000"}).settings.hub.port == 8000


@pytest.mark.parametrize(
    ("host", "expected"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("10.0.0.1", False), ("x", False)]
)
def test_loopback_is_told_from_the_rest(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.fixture
def demo(tmp_path: Path) -> HubSettings:
    (tmp_path / "passphrase").write_bytes(b"invented\n")
    (tmp_path / "passphrase").chmod(0o600)
    return make_settings(tmp_path, make_programme())


def test_the_signing_keys_are_made_once_and_opened_again(demo: HubSettings) -> None:
    keys = create_keys(demo)
    assert public_document(demo, open_keys(demo)) == public_document(demo, keys)
    with pytest.raises(ConfigurationError, match="already"):
        create_keys(demo)


def test_demo_keys_never_open_in_production(demo: HubSettings) -> None:
    write_public(demo, create_keys(demo))
    folder = demo.hub.data_dir
    production = demo.model_copy(update={"hub": demo.hub.model_copy(update={"profile": Profile.PRODUCTION})})
    with pytest.raises(ConfigurationError, match=r"made for a demo.*agencies enrol anew there"):
        open_keys(production)
    # Not even if somebody hides where they come from: the profile is part of what they are sealed for.
    (folder / "hub-public.json").unlink()
    with pytest.raises(KeystoreError):
        open_keys(production)


def test_signing_keys_that_others_can_read_are_refused(demo: HubSettings) -> None:
    create_keys(demo)
    (demo.hub.data_dir / SEALED_NAME).chmod(0o644)
    with pytest.raises(KeystoreError, match="chmod 600"):
        open_keys(demo)


def test_the_keys_can_come_from_a_credentials_directory(demo: HubSettings, tmp_path: Path) -> None:
    changed = demo.hub.model_copy(update={"passphrase_file": None, "credentials_directory": tmp_path})
    given = demo.model_copy(update={"hub": changed})
    keys = create_keys(given)
    assert (tmp_path / "throughcare-hub-keys").stat().st_mode & 0o777 == 0o600
    assert open_keys(given).audit.public == keys.audit.public


def test_err_2_the_signing_keys_show_nothing_of_themselves() -> None:
    assert KEYS.audit.seed.hex() not in repr(KEYS)
    assert repr(KEYS.audit.seed) not in repr(KEYS)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://throughcare@db.example/throughcare",
        "postgresql://throughcare:secret@db.example/throughcare",
        "postgresql://db.example/throughcare",
        "postgresql://throughcare@db.example/",
        "postgresql://throughcare@db.example/throughcare?ssl=disable",
    ],
)
def test_a_database_is_named_without_password_and_options(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"store\.url") as caught:
        make_settings(tmp_path, make_programme(), "[store]", f'url = "{url}"')
    assert "secret" not in str(caught.value)
