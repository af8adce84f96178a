# SPDX-License-Identifier: Apache-2.0
"""Who may vouch for an agency, and what they refuse to sign (ENR-1 to ENR-7, attack 59)."""

from dataclasses import replace
from pathlib import Path

import pytest

from connectors.authority import approval, invitation
from connectors.authority.founding import create_office
from connectors.authority.office import Office, open_office
from connectors.enrolment import application
from connectors.enrolment.passphrases import passphrase_in
from keys.directory import Directory
from keys.sealedfile import SMALL
from keys.signing import HybridSigner
from keys.words import fingerprint_words
from protocol.enrolment import EnrolmentCode, KeyRequest, parse_code, parse_registration, request_mac
from protocol.errors import ConfigurationError, Conflict, EnrolmentRefused, InvalidInput, KeystoreError, NotFound
from tests.connectors.authority.conftest import NOW, checked

pytestmark = pytest.mark.usefixtures("quick_keys")


def altered(request: bytes, **changes: object) -> bytes:
    return replace(KeyRequest.parse(request), **changes).encode()  # type: ignore[arg-type]  # attacks choose freely


def test_dir_2_the_first_statements_of_a_log_are_root_and_authority(office: Office) -> None:
    directory = Directory(office.facts.root_fingerprint, "hub.example")
    for raw in office.statements():
        directory.apply(raw)
    authority = directory.authority("hub.example")
    assert authority is not None
    assert authority.threshold == 2
    assert len(authority.identities) == 3


def test_an_authority_is_never_made_twice_in_one_folder(office: Office) -> None:
    with pytest.raises(Conflict):
        create_office(
            office.folder,
            programme="x",
            jurisdiction="x",
            domain="hub.example",
            root_persons=1,
            approvers=2,
            passphrase_of=lambda _: b"x",
            now=NOW,
        )


@pytest.mark.parametrize(("root_persons", "approvers"), [(0, 2), (1, 1), (1, 11), (11, 2)])
def test_dir_2_one_approver_alone_is_no_authority(root_persons: int, approvers: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        create_office(
            tmp_path,
            programme="x",
            jurisdiction="x",
            domain="hub.example",
            root_persons=root_persons,
            approvers=approvers,
            passphrase_of=lambda _: b"x",
            now=NOW,
        )
    assert not (tmp_path / "keys").exists()


def test_an_authority_can_be_opened_again_with_all_it_knows(office: Office) -> None:
    assert open_office(office.folder).facts == office.facts


def test_a_folder_without_an_authority_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        open_office(tmp_path)


def test_a_hub_of_another_domain_is_refused(office: Office) -> None:
    with pytest.raises(ConfigurationError):
        office.connect(office.hub.model_copy(update={"domain": "other.example"}))


def test_an_approver_is_opened_with_their_own_passphrase_only(office: Office) -> None:
    second = passphrase_in(office.folder / "passphrases", "approver-2")
    with pytest.raises(KeystoreError):
        office.approver(1, second)
    with pytest.raises(KeystoreError):
        office.approver(1, second, office.key_file("approver-2"))
    with pytest.raises(NotFound):
        office.approver(4, second)


def test_enr_1_a_code_carries_all_that_a_newcomer_pins(office: Office, code: EnrolmentCode) -> None:
    read = parse_code(office.code_file("reka-probation").read_text())
    assert read == code
    assert read.root_fingerprint == office.facts.root_fingerprint
    assert (read.directory.key, read.audit.key) == (office.hub.directory.key, office.hub.audit.key)
    assert read.directory.size == 2
    assert read.terms.desks == (("intake", "probation-intake"),)


def test_enr_1_the_file_of_a_code_is_private_and_its_secret_is_never_shown(office: Office, code: EnrolmentCode) -> None:
    assert office.code_file("reka-probation").stat().st_mode & 0o777 == 0o600
    assert code.secret.hex() not in repr(code)
    assert str(code.secret) not in repr(code)


def test_enr_2_the_hub_is_told_of_a_code_without_its_secret(code: EnrolmentCode, approvers: list[HybridSigner]) -> None:
    raw = invitation.registration(code, approvers[0])
    assert code.secret not in raw
    _, said, signature = parse_registration(raw)
    assert (said.code_id, said.terms) == (code.code_id, code.terms)
    assert signature.signer == approvers[0].key_id


def test_a_second_code_for_an_agency_needs_to_be_asked_for(office: Office, code: EnrolmentCode) -> None:
    with pytest.raises(Conflict):
        invitation.keep_code(office, code)


@pytest.mark.parametrize(
    ("kind", "desks"),
    [
        ("spaceship", (("intake", "probation-intake"),)),
        ("probation", (("intake", "prison-release"),)),
        ("probation", (("intake", "nonsense"),)),
        ("probation", ()),
        ("probation", (("intake", "probation-intake"), ("intake", "probation-supervision"))),
    ],
)
def test_enr_2_a_desk_has_a_function_of_its_kind_of_agency(kind: str, desks: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(InvalidInput):
        invitation.check_functions(kind, desks)


def test_err_2_the_repr_of_an_application_shows_no_code_and_no_key(
    code: EnrolmentCode, applied: application.Application
) -> None:
    saved = application._Saved(code=code.text(), request=applied.request)
    assert code.text()[20:60] not in repr(saved) + repr(applied) + repr(code)


def test_enr_4_both_sides_see_the_same_words(code: EnrolmentCode, applied: application.Application) -> None:
    assert checked(code, applied.request).words == applied.words == fingerprint_words(applied.request)
    assert len(applied.words) == 8


def test_enr_3_a_wrong_mac_is_refused(code: EnrolmentCode, applied: application.Application) -> None:
    """Attack 59."""
    mac = request_mac(code.secret, applied.request)
    with pytest.raises(EnrolmentRefused):
        approval.check_request(code, applied.request, bytes([mac[0] ^ 1]) + mac[1:], NOW)
    with pytest.raises(EnrolmentRefused):
        approval.check_request(code, applied.request, request_mac(b"x" * 16, applied.request), NOW)


@pytest.mark.parametrize("proof", ["identity_proof", "device_proof"])
def test_enr_3_keys_without_a_proof_of_possession_are_refused(
    proof: str, code: EnrolmentCode, applied: application.Application
) -> None:
    """Attack 59, attack 29: somebody else's public keys under one's own name."""
    stranger = HybridSigner.generate()
    forged = altered(applied.request, **{proof: stranger.sign(b"tc/1 identity\0", b"x")})
    with pytest.raises(EnrolmentRefused):
        checked(code, forged)


def test_enr_3_another_ones_identity_is_refused(code: EnrolmentCode, applied: application.Application) -> None:
    """Attack 29."""
    forged = altered(applied.request, identity=HybridSigner.generate().public)
    with pytest.raises(EnrolmentRefused):
        checked(code, forged)


@pytest.mark.parametrize("raw", [b"", b"\x00", b"\xa0", b"not a key request"])
def test_enr_3_what_is_no_key_request_is_refused(raw: bytes, code: EnrolmentCode) -> None:
    with pytest.raises(EnrolmentRefused):
        checked(code, raw)


def test_enr_2_a_code_for_another_agency_or_function_is_refused(
    office: Office, code: EnrolmentCode, applied: application.Application, tmp_path: Path
) -> None:
    """Attack 59: the code of one agency, used for another, or for another desk."""
    for changes in ({"agency": "gora-prison@hub.example"}, {"desks": (("supervision", "probation-supervision"),)}):
        other = replace(code, terms=replace(code.terms, **changes))
        theirs = application.begin(other, tmp_path / str(len(changes)) / next(iter(changes)), b"p", SMALL)
        with pytest.raises(EnrolmentRefused):
            checked(code, theirs.request)


def test_enr_2_a_code_used_after_its_end_is_refused(code: EnrolmentCode, applied: application.Application) -> None:
    with pytest.raises(EnrolmentRefused):
        checked(code, applied.request, received_at=code.terms.expires + 1)


def test_no_key_is_shown_by_an_application(applied: application.Application) -> None:
    for seed in (*applied.agency.seeds, *applied.device.seeds, applied.code.secret):
        assert str(seed) not in repr(applied)
        assert seed.hex() not in repr(applied)


def test_an_application_goes_on_after_an_interruption(applied: application.Application) -> None:
    again = application.resume(applied.data_dir, b"a passphrase")
    assert again.request == applied.request
    assert again.device.public == applied.device.public
    assert again.agency.public == applied.agency.public
    with pytest.raises(KeystoreError):
        application.resume(applied.data_dir, b"another")
    with pytest.raises(Conflict):
        application.begin(applied.code, applied.data_dir, b"a passphrase", SMALL)


def test_a_folder_without_an_application_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        application.resume(tmp_path, b"p")


def test_a_damaged_application_is_said_to_be_one(applied: application.Application) -> None:
    path = applied.data_dir / application.APPLICATION_FILE
    path.write_text("{")
    with pytest.raises(ConfigurationError):
        application.resume(applied.data_dir, b"a passphrase")
