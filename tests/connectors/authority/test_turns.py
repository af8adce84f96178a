# SPDX-License-Identifier: Apache-2.0
"""What no approver alone, no stranger and no exchanged file brings about (ENR-7, ENR-8, ENR-9)."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.authority import approval, renewing
from connectors.authority.founding import create_office
from connectors.authority.office import Office, open_office
from connectors.authority.revoking import ending_of_agency, ending_of_device
from connectors.authority.turns import AGENCY_LIFE, AUTHORITY_LIFE, BEGUN_WITHIN, Shown, begun_in, body_of, sign_in_turn
from connectors.cli.failures import next_step
from connectors.enrolment import application
from connectors.enrolment.passphrases import passphrase_in
from connectors.enrolment.publication import make_publication
from keys.directory import Directory
from keys.privatefile import write_private
from keys.sealedfile import SMALL, seal_file
from keys.signing import HybridSigner, sign_statement
from protocol.address import parse_agency
from protocol.enrolment import EnrolmentCode
from protocol.errors import (
    Conflict,
    DirectoryInconsistent,
    EnrolmentRefused,
    InvalidInput,
    KeystoreError,
    NotFound,
    Revoked,
    UntrustedKey,
)
from protocol.limits import CLOCK_SKEW, DAY
from protocol.statements import Agency, Revocation, encode_statement, parse_statement
from tests.connectors.authority.conftest import NOW, checked

pytestmark = pytest.mark.usefixtures("quick_keys")

RENEWED_AT = NOW + 700 * DAY
RENEWED = "reka-probation"
ADDRESS = parse_agency(f"{RENEWED}@hub.example")

Made = tuple[Revocation | Agency, Path]


@pytest.fixture
def directory(
    office: Office, code: EnrolmentCode, applied: application.Application, approvers: list[HybridSigner]
) -> Directory:
    """Return a directory with one agency, its device and its delegations."""
    directory = Directory(office.facts.root_fingerprint, "hub.example")
    request = checked(code, applied.request)
    spoken = " ".join(applied.words)
    approval.approve(office, request, approvers[0], spoken, NOW)
    raw = approval.approve(office, request, approvers[1], spoken, NOW).raw
    approval.conclude(office, request, raw)
    made = make_publication(
        code.terms, applied.agency, applied.device, applied.keystore, officers=["Coordinator"], now=NOW
    )
    for statement in (*office.statements(), raw, *made.statements):
        directory.apply(statement)
    return directory


@pytest.fixture(params=["revocation", "renewal"])
def made(request: pytest.FixtureRequest, office: Office, directory: Directory) -> Made:
    """Return what an approver works out to be signed, and where it waits for the other's signature."""
    if request.param == "renewal":
        agency = renewing.renewed_agency(directory, ADDRESS)
        path = office.renewal_file(agency)
        path.unlink(missing_ok=True)
        return agency, path
    ending = ending_of_agency(directory, ADDRESS, NOW)
    return Revocation(ending.target, "lost"), office.revocation_file(ending.target)


def test_enr_11_nothing_is_signed_but_what_was_shown(
    made: Made, directory: Directory, approvers: list[HybridSigner]
) -> None:
    """Another's signature that came meanwhile means other days, and that this one is the last."""
    subject, path = made
    quorum = renewing.quorum_of(directory, "hub.example")
    earlier = sign_in_turn(quorum, path, subject, approvers[0], NOW + 1).raw
    shown = Shown(begun_in(quorum, path, NOW + 2))
    for came in (b"", sign_statement(body_of(subject, NOW + 2), [approvers[0]])):
        path.unlink() if not came else write_private(path, came)
        with pytest.raises(Conflict, match="changed since it was shown") as refused:
            sign_in_turn(quorum, path, subject, approvers[1], NOW + 3, shown)
        assert next_step(refused.value).startswith("the same command again")
        assert (path.read_bytes() if path.exists() else b"") == came
    with pytest.raises(Conflict):
        sign_in_turn(quorum, path, subject, approvers[1], NOW + 3, Shown(None))
    write_private(path, earlier)
    assert sign_in_turn(quorum, path, subject, approvers[1], NOW + 3, shown).lacking == 0


def test_enr_8_two_approvers_sign_what_each_has_worked_out_and_the_directory_takes_it(
    made: Made, directory: Directory, approvers: list[HybridSigner]
) -> None:
    subject, path = made
    quorum = renewing.quorum_of(directory, "hub.example")
    first = sign_in_turn(quorum, path, subject, approvers[0], NOW + 1)
    assert (first.lacking, first.anew) == (1, False)
    with pytest.raises(Conflict):
        sign_in_turn(quorum, path, subject, approvers[0], NOW + 2)
    with pytest.raises(UntrustedKey):
        directory.apply(first.raw)
    second = sign_in_turn(quorum, path, subject, approvers[2], NOW + 3)
    assert (second.lacking, second.anew) == (0, False)
    assert parse_statement(second.raw).body == body_of(subject, NOW + 1)
    directory.apply(second.raw)
    for approver in approvers:
        assert sign_in_turn(quorum, path, subject, approver, NOW + 4) == second, "until it is published for sure"
    if isinstance(subject, Agency):
        entry = directory.agency(ADDRESS, NOW + 1 + AGENCY_LIFE - 1)
        assert entry is not None
        assert entry.identity == subject.identity
    else:
        assert directory.agency(ADDRESS, NOW + 4) is None


Alter = Callable[[Revocation | Agency, bytes, HybridSigner], bytes]


def _other_times(subject: Revocation | Agency, raw: bytes, thief: HybridSigner) -> bytes:
    return sign_statement(replace(parse_statement(raw).body, not_after=NOW + 3_000 * DAY), [thief])


def _dated_ahead(subject: Revocation | Agency, raw: bytes, thief: HybridSigner) -> bytes:
    return sign_statement(body_of(subject, NOW + DAY), [thief])


def _forged(subject: Revocation | Agency, raw: bytes, thief: HybridSigner) -> bytes:
    parsed = parse_statement(raw)
    (signature,) = parsed.signatures
    return encode_statement(parsed.body_bytes, [replace(signature, mldsa65=bytes(3309))])


def _strangers(subject: Revocation | Agency, raw: bytes, thief: HybridSigner) -> bytes:
    return sign_statement(parse_statement(raw).body, [HybridSigner.generate()])


def _twice_as_many(subject: Revocation | Agency, raw: bytes, thief: HybridSigner) -> bytes:
    """Two signatures, of which one is nobody's: it must not pass for complete."""
    parsed = parse_statement(raw)
    (stranger,) = parse_statement(_strangers(subject, raw, thief)).signatures
    return encode_statement(parsed.body_bytes, [*parsed.signatures, stranger])


def _no_statement(subject: Revocation | Agency, raw: bytes, thief: HybridSigner) -> bytes:
    return raw[:-1]


@pytest.mark.parametrize("alter", [_other_times, _dated_ahead, _forged, _strangers, _twice_as_many, _no_statement])
def test_enr_7_a_begun_file_that_was_altered_on_the_way_gets_no_signature(
    alter: Alter, made: Made, directory: Directory, approvers: list[HybridSigner]
) -> None:
    """Even where the first approver himself has done it."""
    subject, path = made
    quorum = renewing.quorum_of(directory, "hub.example")
    begun = sign_in_turn(quorum, path, subject, approvers[0], NOW).raw
    evil = alter(subject, begun, approvers[0])
    write_private(path, evil)
    with pytest.raises(EnrolmentRefused, match="Nothing was signed"):
        sign_in_turn(quorum, path, subject, approvers[1], NOW)
    assert path.read_bytes() == evil


def test_enr_8_another_statement_in_the_file_is_left_aside_and_never_cosigned(
    made: Made, directory: Directory, approvers: list[HybridSigner]
) -> None:
    """The first approver exchanges what the second comes to sign, for another agency or for other keys."""
    subject, path = made
    quorum = renewing.quorum_of(directory, "hub.example")
    if isinstance(subject, Agency):
        other: Revocation | Agency = replace(subject, identity=HybridSigner.generate().public)
    else:
        other = replace(subject, target=HybridSigner.generate().key_id)
    write_private(path, sign_statement(body_of(other, NOW), approvers[:1]))
    turn = sign_in_turn(quorum, path, subject, approvers[1], NOW)
    assert (turn.lacking, turn.anew) == (1, True)
    parsed = parse_statement(turn.raw)
    assert parsed.body.subject == subject
    assert [one.signer for one in parsed.signatures] == [approvers[1].key_id]


def test_dir_14_a_begun_file_that_was_kept_back_is_begun_anew(
    made: Made, directory: Directory, approvers: list[HybridSigner]
) -> None:
    subject, path = made
    quorum = renewing.quorum_of(directory, "hub.example")
    old = sign_in_turn(quorum, path, subject, approvers[0], NOW).raw
    late = NOW + BEGUN_WITHIN + 1
    turn = sign_in_turn(quorum, path, subject, approvers[1], late)
    assert (turn.lacking, turn.anew, parse_statement(turn.raw).body.issued) == (1, True, late)
    complete = sign_in_turn(quorum, path, subject, approvers[0], late)
    directory.apply(complete.raw)
    write_private(path, old)
    turn = sign_in_turn(quorum, path, subject, approvers[1], late + 1)
    assert (turn.lacking, turn.anew) == (1, True)


def test_dir_2_nobody_but_the_authoritys_approvers_signs(
    made: Made, office: Office, directory: Directory, approvers: list[HybridSigner], tmp_path: Path
) -> None:
    """Neither another authority's approver nor a person of the root, whatever the folder says of thresholds."""
    subject, path = made
    theirs = create_office(
        tmp_path / "theirs", programme="Q", jurisdiction="J", domain="hub.example", root_persons=1, approvers=2,
        passphrase_of=lambda name: passphrase_in(tmp_path / "secrets", name), now=NOW,
    )  # fmt: skip
    stranger = theirs.approver(1, passphrase_in(tmp_path / "secrets", "approver-1"))
    person = office.root_person(1, passphrase_in(office.folder / "passphrases", "root-1"))
    quorum = renewing.quorum_of(directory, "hub.example")
    for signer in (stranger, person):
        with pytest.raises(KeystoreError):
            sign_in_turn(quorum, path, subject, signer, NOW)
    assert not path.exists()
    lowered = Office(office.folder, office.facts.model_copy(update={"threshold": 1}))
    assert lowered.quorum.threshold == renewing.quorum_of(directory, "hub.example").threshold == 2
    assert sign_in_turn(quorum, path, subject, approvers[0], NOW).lacking == 1


def test_enr_9_a_key_signs_for_the_root_that_it_was_made_under_only(office: Office, tmp_path: Path) -> None:
    """Somebody exchanges the folder for one whose hub shows a directory of his own."""
    theirs = replace(office, facts=office.facts.model_copy(update={"root_fingerprint": bytes(32)}))
    for role in ("approver", "root"):
        open_as = theirs.approver if role == "approver" else theirs.root_person
        with pytest.raises(KeystoreError, match="another root fingerprint") as refused:
            open_as(1, passphrase_in(office.folder / "passphrases", f"{role}-1"))
        assert "authority show" in next_step(refused.value)


def test_enr_9_a_key_of_before_that_names_no_root_still_opens_and_one_that_is_cut_does_not(
    office: Office, approvers: list[HybridSigner], tmp_path: Path
) -> None:
    seeds, secret = b"".join(approvers[0].seeds), b"a passphrase"
    for sealed, opens in ((seeds, True), (seeds + office.facts.root_fingerprint, True), (seeds[:-1], False)):
        seal_file(tmp_path / "approver-1.key", "approver-1", sealed, secret, SMALL)
        if opens:
            assert office.approver(1, secret, tmp_path / "approver-1.key").public == approvers[0].public
            continue
        with pytest.raises(KeystoreError):
            office.approver(1, secret, tmp_path / "approver-1.key")


def test_enr_8_what_ends_with_an_agency_or_a_device_is_what_the_directory_shows(
    office: Office, directory: Directory, applied: application.Application, approvers: list[HybridSigner]
) -> None:
    device = applied.device.key_id
    whole = ending_of_agency(directory, ADDRESS, NOW)
    assert (whole.target, [one.key_id for one in whole.devices]) == (applied.agency.key_id, [device])
    assert sorted(one.title for one in whole.delegations) == ["Coordinator", "connector service"]
    one = ending_of_device(directory, ADDRESS, device.hex()[:12].upper(), NOW)
    assert (one.target, one.whole) == (device, False)
    for wrong, error in (("xyz", InvalidInput), (device.hex()[:7], InvalidInput), ("0" * 64, NotFound)):
        with pytest.raises(error):
            ending_of_device(directory, ADDRESS, wrong, NOW)
    with pytest.raises(NotFound):
        ending_of_agency(directory, parse_agency("nobody@hub.example"), NOW)
    with pytest.raises(NotFound, match="never had other keys"):
        ending_of_agency(directory, ADDRESS, NOW, former=True)
    directory.apply(sign_statement(body_of(Revocation(device, "lost"), NOW), approvers[:2]))
    with pytest.raises(Revoked):
        ending_of_device(directory, ADDRESS, device.hex(), NOW)
    assert ending_of_agency(directory, ADDRESS, NOW).devices == ()


def test_dir_2_the_keys_that_an_agency_had_formerly_end_and_the_newest_stay(
    office: Office, directory: Directory, applied: application.Application, approvers: list[HybridSigner]
) -> None:
    """A machine was stolen with its passphrase, and the agency enrolled anew before anybody revoked the old keys."""
    newer = replace(renewing.renewed_agency(directory, ADDRESS), identity=HybridSigner.generate().public)
    directory.apply(sign_statement(body_of(newer, NOW + 1), approvers[:2]))
    device = applied.device.key_id
    assert directory.counts(device, NOW + 2), "the thief's device still counts"
    ending = ending_of_agency(directory, ADDRESS, NOW + 2, former=True)
    assert (ending.target, [one.key_id for one in ending.devices]) == (applied.agency.key_id, [device])
    directory.apply(sign_statement(body_of(Revocation(ending.target, "key-compromise"), NOW + 2), approvers[:2]))
    assert not directory.counts(device, NOW + 2)
    entry = directory.agency(ADDRESS, NOW + 2)
    assert entry is not None
    assert entry.identity == newer.identity
    with pytest.raises(Revoked):
        ending_of_agency(directory, ADDRESS, NOW + 2, former=True)


def test_enr_8_a_renewal_is_of_the_newest_keys_and_of_nothing_that_was_revoked(
    office: Office, directory: Directory, applied: application.Application, approvers: list[HybridSigner]
) -> None:
    before = directory.agency_line(ADDRESS)[-1]
    subject = renewing.renewed_agency(directory, ADDRESS)
    assert (subject.identity, subject.desks, subject.name) == (before.identity, before.desks, before.name)
    renewed = sign_statement(body_of(subject, RENEWED_AT), approvers[:2])
    directory.apply(renewed)
    assert directory.agency(ADDRESS, NOW + AGENCY_LIFE + DAY) is not None
    directory.apply(sign_statement(body_of(Revocation(subject.identity.key_id, "ended"), RENEWED_AT), approvers[:2]))
    with pytest.raises(Revoked):
        renewing.renewed_agency(directory, ADDRESS)
    with pytest.raises(NotFound):
        renewing.renewed_agency(directory, parse_agency("nobody@hub.example"))


def test_dir_6_a_statement_counts_from_the_skew_of_a_clock_before_it_was_signed() -> None:
    """An agency's life stays within what the directory allows, with the skew in it."""
    body = body_of(Revocation(bytes(32), "lost"), NOW)
    assert (body.not_before, body.not_after) == (NOW - CLOCK_SKEW, NOW + AGENCY_LIFE)


def test_dir_2_the_persons_of_a_root_renew_it_and_its_authority_in_turn(tmp_path: Path) -> None:
    office = create_office(
        tmp_path / "office", programme="P", jurisdiction="J", domain="hub.example", root_persons=3, approvers=2,
        passphrase_of=lambda name: passphrase_in(tmp_path / "secrets", name), now=NOW,
    )  # fmt: skip
    directory = Directory(office.facts.root_fingerprint, "hub.example")
    for raw in office.statements():
        directory.apply(raw)
    persons = [office.root_person(n, passphrase_in(tmp_path / "secrets", f"root-{n}")) for n in (1, 2, 3)]
    later = NOW + 1_800 * DAY
    for subject in (renewing.renewed_authority(directory, "hub.example"), renewing.renewed_root(directory)):
        path, quorum = office.renewal_file(subject), renewing.root_quorum(directory)
        first = sign_in_turn(quorum, path, subject, persons[0], later)
        with pytest.raises((UntrustedKey, DirectoryInconsistent)):
            directory.apply(first.raw)
        second = sign_in_turn(quorum, path, subject, persons[2], later)
        directory.apply(second.raw)
        renewing.conclude(office, subject, second.raw)
        assert not path.exists()
    again = Directory(office.facts.root_fingerprint, "hub.example")
    for raw in office.statements():
        again.apply(raw)
    root, authority = again.newest_root(), again.authority("hub.example")
    assert root is not None
    assert authority is not None
    assert (root.version, root.identities) == (2, tuple(one.public for one in persons))
    assert authority.not_after == later + AUTHORITY_LIFE


def test_enr_10_a_directory_of_the_same_size_with_other_statements_is_refused(
    office: Office, directory: Directory, approvers: list[HybridSigner]
) -> None:
    def with_one_more(reason: str) -> Directory:
        found = Directory(office.facts.root_fingerprint, "hub.example")
        for raw in (*office.statements(), office.agency_file(RENEWED).read_bytes()):
            found.apply(raw)
        target = found.agency_line(ADDRESS)[-1].identity.key_id
        found.apply(sign_statement(body_of(Revocation(target, reason), NOW), approvers[:2]))
        return found

    before, shown = office.facts, with_one_more("lost")
    office.take_note(shown)
    office.take_note(shown)
    assert open_office(office.folder).facts.seen is not None
    for other in (with_one_more("ended"), Directory(office.facts.root_fingerprint, "hub.example")):
        with pytest.raises(DirectoryInconsistent):
            office.take_note(other)
    Office(office.folder, before).write_facts()
