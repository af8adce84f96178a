# SPDX-License-Identifier: Apache-2.0
"""A connector starts from what enrolment pinned, or not at all."""

import json
from pathlib import Path

import pytest

from connectors.config import ConnectorSection
from connectors.installation import ENROLMENT_FILE, open_installation, read_enrolment, write_enrolment
from connectors.parts import hub_url
from protocol.errors import ConfigurationError, InvalidInput, KeystoreError
from protocol.ids import OfficerId
from protocol.sections import ActorKind
from protocol.settings import Profile
from tests.connectors.stations import PASSPHRASE, enrolment_of, install
from tests.programme import Programme, make_programme

URL = "http://localhost:8440"


@pytest.fixture(scope="module")
def programme() -> Programme:
    return make_programme()


def test_what_enrolment_wrote_is_read_again(tmp_path: Path, programme: Programme) -> None:
    enrolment = enrolment_of(programme.members["gora-prison"], programme, URL)
    write_enrolment(tmp_path, enrolment)
    assert read_enrolment(tmp_path) == enrolment
    assert (tmp_path / ENROLMENT_FILE).stat().st_mode & 0o777 == 0o600


def test_an_installation_opens_with_its_passphrase_only(tmp_path: Path, programme: Programme) -> None:
    member = programme.members["gora-prison"]
    install(tmp_path, member, programme, URL)
    assert open_installation(tmp_path, PASSPHRASE).device.key_id == member.device_id
    with pytest.raises(KeystoreError):
        open_installation(tmp_path, b"another passphrase")


def test_dir_4_without_an_enrolment_nothing_starts(tmp_path: Path) -> None:
    """Attack 59: a connector without a pinned root."""
    with pytest.raises(ConfigurationError, match="enrol"):
        read_enrolment(tmp_path)


@pytest.mark.parametrize(
    "missing", ["root_fingerprint", "directory", "audit", "agency", "desks", "device_key_id", "actors"]
)
def test_dir_4_an_enrolment_that_pins_too_little_is_refused(tmp_path: Path, programme: Programme, missing: str) -> None:
    """Attack 59: a connector without a pinned root."""
    write_enrolment(tmp_path, enrolment_of(programme.members["gora-prison"], programme, URL))
    path = tmp_path / ENROLMENT_FILE
    fields = json.loads(path.read_text())
    del fields[missing]
    path.write_text(json.dumps(fields))
    with pytest.raises(ConfigurationError):
        read_enrolment(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("agency", "reka-probation@hub.example"),
        ("domain", "other.example"),
        ("desks", ["intake.reka-probation@hub.example"]),
        ("root_fingerprint", "00"),
        ("unknown", 1),
    ],
)
def test_an_enrolment_that_contradicts_itself_is_refused(
    tmp_path: Path, programme: Programme, key: str, value: object
) -> None:
    write_enrolment(tmp_path, enrolment_of(programme.members["gora-prison"], programme, URL))
    path = tmp_path / ENROLMENT_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(ConfigurationError):
        read_enrolment(tmp_path)


def test_an_enrolment_that_others_can_read_is_refused(tmp_path: Path, programme: Programme) -> None:
    write_enrolment(tmp_path, enrolment_of(programme.members["gora-prison"], programme, URL))
    (tmp_path / ENROLMENT_FILE).chmod(0o644)
    with pytest.raises(ConfigurationError):
        read_enrolment(tmp_path)


def test_keys_of_another_device_are_refused(tmp_path: Path, programme: Programme) -> None:
    install(tmp_path, programme.members["gora-prison"], programme, URL)
    write_enrolment(tmp_path, enrolment_of(programme.members["reka-probation"], programme, URL))
    with pytest.raises(ConfigurationError):
        open_installation(tmp_path, PASSPHRASE)


def test_dir_4_a_root_in_the_configuration_must_be_the_pinned_one(tmp_path: Path, programme: Programme) -> None:
    enrolment = enrolment_of(programme.members["gora-prison"], programme, URL)

    def section(root: str) -> ConnectorSection:
        return ConnectorSection(
            data_dir=tmp_path, passphrase_file=tmp_path, profile=Profile.DEMO, root_fingerprint=root
        )

    assert hub_url(section(programme.fingerprint.hex()), enrolment) == URL
    with pytest.raises(ConfigurationError):
        hub_url(section("ab" * 32), enrolment)


def test_production_does_not_talk_to_an_enrolled_hub_without_https(tmp_path: Path, programme: Programme) -> None:
    enrolment = enrolment_of(programme.members["gora-prison"], programme, URL)
    with pytest.raises(ConfigurationError):
        hub_url(ConnectorSection(data_dir=tmp_path, passphrase_file=tmp_path), enrolment)


def test_an_officer_without_a_delegation_cannot_act(programme: Programme) -> None:
    enrolment = enrolment_of(programme.members["gora-prison"], programme, URL)
    assert enrolment.actor(None).kind is ActorKind.SERVICE
    with pytest.raises(InvalidInput):
        enrolment.actor(OfficerId(b"x" * 16))


def test_err_2_an_installation_shows_no_secret(tmp_path: Path, programme: Programme) -> None:
    installation = install(tmp_path, programme.members["gora-prison"], programme, URL)
    shown = repr(installation)
    assert installation.storage_key.hex() not in shown
    assert repr(installation.storage_key) not in shown
    assert "secret" not in shown.replace("keystore", "")
