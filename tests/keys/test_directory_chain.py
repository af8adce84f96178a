# SPDX-License-Identifier: Apache-2.0
"""Who may say what in the directory, and that whatever is refused changes nothing."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from keys.directory import Directory
from keys.signing import DeviceSigner, HybridSigner, device_proof, sign_statement
from keys.xwing import MLKEM_PUBLIC_SIZE, XWingSecret
from protocol import limits
from protocol.address import AgencyAddress
from protocol.errors import (
    BadSignature,
    DirectoryInconsistent,
    MalformedEnvelope,
    UntrustedKey,
)
from protocol.identities import DeviceKey, IdentityKey
from protocol.ids import KeyId
from protocol.statements import (
    Device,
    Prekey,
    StatementSignature,
    encode_statement,
    parse_statement,
)
from tests.keys.refusals import refused, signed
from tests.keys.world import (
    APPROVERS,
    DAY,
    DOMAIN,
    NOW,
    ROOT_PERSONS,
    Cast,
    World,
    authority_subject,
    body,
    device_of,
    identity,
    member,
    prison,
    root_subject,
    seed,
)

# Root


def test_dir_4_a_log_begins_with_the_pinned_root() -> None:
    world = World()
    fingerprint = world.directory.root_fingerprint
    assert parse_statement(world.root).digest == fingerprint
    other_root = sign_statement(body(root_subject(threshold=1)), ROOT_PERSONS[:1])
    for first in (other_root, world.authority):
        with pytest.raises(DirectoryInconsistent):
            Directory(fingerprint, DOMAIN).apply(first)


def test_dir_4_without_a_pinned_fingerprint_there_is_no_directory() -> None:
    with pytest.raises(DirectoryInconsistent):
        Directory(b"", DOMAIN)


@pytest.mark.parametrize("signers", [ROOT_PERSONS[:1], [*ROOT_PERSONS[:1], identity("mallory")]])
def test_dir_2_a_root_needs_its_own_threshold(signers: Sequence[HybridSigner]) -> None:
    raw = sign_statement(body(root_subject()), signers)
    directory = Directory(parse_statement(raw).digest, DOMAIN)
    with pytest.raises(DirectoryInconsistent):
        directory.apply(raw)
    assert directory.size == 0


def new_persons() -> list[HybridSigner]:
    return [ROOT_PERSONS[0], identity("new person 1"), identity("new person 2")]


def test_dir_2_a_root_is_rotated_by_the_old_and_the_new_threshold(cast: Cast) -> None:
    new = new_persons()
    rotation = sign_statement(
        body(root_subject(2, new), issued=NOW, life=3650 * DAY), [ROOT_PERSONS[0], ROOT_PERSONS[1], new[1]]
    )
    cast.world.add(rotation)
    refused(cast.world, signed(authority_subject(domain="b.example"), *ROOT_PERSONS[1:]), UntrustedKey)
    fresh = [identity(f"b approver {number}") for number in range(2)]
    cast.world.add(signed(authority_subject(fresh, domain="b.example"), *new[1:]))
    # What stood under the old root still stands.
    assert cast.world.directory.agency(cast.prison.address, NOW) is not None


def test_dir_2_a_rotation_by_new_or_old_keys_only_is_inconsistent(cast: Cast) -> None:
    """Attack 52."""
    new = new_persons()
    subject = root_subject(2, new)
    refused(cast.world, signed(subject, *new[1:]), DirectoryInconsistent)
    refused(cast.world, signed(subject, *ROOT_PERSONS[1:]), DirectoryInconsistent)
    refused(cast.world, signed(subject, *new, identity("mallory")), DirectoryInconsistent)


@pytest.mark.parametrize("version", [1, 3])
def test_dir_2_a_root_of_another_version_is_inconsistent(cast: Cast, version: int) -> None:
    """Attack 15: an older root statement offered as the newest."""
    raw = sign_statement(body(root_subject(version), issued=NOW), ROOT_PERSONS)
    refused(cast.world, raw, DirectoryInconsistent)


def test_dir_2_a_root_of_another_programme_is_inconsistent(cast: Cast) -> None:
    subject = replace(root_subject(2), programme="Another programme")
    refused(cast.world, sign_statement(body(subject, issued=NOW), ROOT_PERSONS), DirectoryInconsistent)


# Authority


def test_dir_2_an_authority_needs_the_roots_threshold(cast: Cast) -> None:
    fresh = authority_subject([identity("b 1"), identity("b 2")], domain="b.example")
    refused(cast.world, signed(fresh, ROOT_PERSONS[0]), UntrustedKey)
    refused(cast.world, signed(fresh, *APPROVERS), UntrustedKey)
    refused(cast.world, signed(fresh, ROOT_PERSONS[0], identity("mallory")), UntrustedKey)
    cast.world.add(signed(fresh, *ROOT_PERSONS[1:]))


def test_dir_5_an_approver_of_one_authority_is_none_of_another(cast: Cast) -> None:
    for taken in (APPROVERS[0], ROOT_PERSONS[2], cast.prison.identity):
        fresh = authority_subject([taken, identity("b 2")], domain="b.example")
        refused(cast.world, signed(fresh, *ROOT_PERSONS[:2]), UntrustedKey)


def test_dir_5_two_approvers_cannot_share_half_a_key(cast: Cast) -> None:
    """Two signers that are one person would make a threshold of one."""
    one, other = identity("b 1").public, identity("b 2").public
    shared = IdentityKey(one.ed25519, other.mldsa65)
    subject = replace(authority_subject(domain="b.example"), identities=(one, shared))
    refused(cast.world, signed(subject, *ROOT_PERSONS[:2]), UntrustedKey)


# Agency


def test_dir_2_an_agency_needs_its_authoritys_threshold(cast: Cast) -> None:
    fresh = member("new-agency", "ngo", ("intake", "ngo")).agency_subject()
    refused(cast.world, signed(fresh, APPROVERS[0]), UntrustedKey)
    refused(cast.world, signed(fresh, *ROOT_PERSONS), UntrustedKey)
    refused(cast.world, signed(fresh, APPROVERS[0], identity("mallory")), UntrustedKey)
    cast.world.add(signed(fresh, *APPROVERS[1:]))


def test_enr_5_one_approver_never_makes_an_agency_whatever_the_threshold(cast: Cast) -> None:
    fresh = [identity("b 1"), identity("b 2")]
    cast.world.add(signed(authority_subject(fresh, threshold=1, domain="b.example"), *ROOT_PERSONS[:2]))
    agency = member("new-agency", "ngo", ("intake", "ngo"), domain="b.example").agency_subject()
    refused(cast.world, signed(agency, fresh[0]), UntrustedKey)
    cast.world.add(signed(agency, *fresh))


def test_enr_5_one_approver_cannot_count_twice(cast: Cast) -> None:
    agency = member("new-agency", "ngo", ("intake", "ngo")).agency_subject()
    parsed = parse_statement(signed(agency, APPROVERS[0]))
    again = parse_statement(signed(agency, APPROVERS[0])).signatures
    refused(cast.world, encode_statement(parsed.body_bytes, [*parsed.signatures, *again]), MalformedEnvelope)


def test_dir_3_an_authority_signs_no_agency_of_another_domain(cast: Cast) -> None:
    """Attack 34: the authority of one jurisdiction signs an agency of another."""
    others = [identity("b 1"), identity("b 2")]
    cast.world.add(signed(authority_subject(others, domain="b.example"), *ROOT_PERSONS[:2]))
    agency = member("new-agency", "ngo", ("intake", "ngo"), domain="b.example").agency_subject()
    refused(cast.world, signed(agency, *APPROVERS), UntrustedKey)
    refused(cast.world, signed(prison().agency_subject(), *others), UntrustedKey)
    unknown = member("new-agency", "ngo", ("intake", "ngo"), domain="c.example").agency_subject()
    refused(cast.world, signed(unknown, *APPROVERS), UntrustedKey)


def test_dir_5_an_agency_cannot_take_anothers_identity(cast: Cast) -> None:
    mallory = replace(member("mallory", "ngo", ("intake", "ngo")), identity=cast.prison.identity)
    refused(cast.world, signed(mallory.agency_subject(), *APPROVERS), UntrustedKey)


def test_id_4_an_unusable_identity_does_not_enter_the_directory(cast: Cast) -> None:
    """Attack 30, at import."""
    subject = member("new-agency", "ngo", ("intake", "ngo")).agency_subject()
    bad = replace(subject, identity=IdentityKey(bytes([1, *bytes(31)]), subject.identity.mldsa65))
    refused(cast.world, signed(bad, *APPROVERS), UntrustedKey)


def test_dir_7_an_older_statement_of_an_agency_does_not_replace_a_newer(cast: Cast) -> None:
    renewed = body(cast.prison.agency_subject(), issued=NOW)
    older = body(cast.prison.agency_subject(), issued=NOW - 1)
    cast.world.add(sign_statement(renewed, APPROVERS[:2]))
    refused(cast.world, sign_statement(older, APPROVERS[:2]), UntrustedKey)


def test_dir_7_no_two_statements_of_an_authority_in_a_row_have_one_date(cast: Cast) -> None:
    """Else after a restore whoever holds the first hands it back behind the second, and who left signs again."""
    now = [APPROVERS[0], APPROVERS[2]]
    before, after = (authority_subject(approvers=one) for one in (APPROVERS, now))
    exchanged = sign_statement(body(after, issued=NOW), ROOT_PERSONS[:2])
    handed_back = sign_statement(body(before, issued=NOW), ROOT_PERSONS[:2])
    cast.world.add(exchanged)
    refused(cast.world, handed_back, UntrustedKey)
    cast.world.add(sign_statement(body(before, issued=NOW + 1), ROOT_PERSONS[:2]))


# Device


def test_dir_2_only_the_agency_makes_its_devices(cast: Cast) -> None:
    """Attack 48: a ghost device, signed by anybody but the agency."""
    ghost = cast.prison.device_subject(device_of("ghost"))
    for signers in ([cast.probation.identity], APPROVERS, ROOT_PERSONS, [cast.prison.device], [device_of("ghost")]):
        refused(cast.world, signed(ghost, *signers), UntrustedKey)
    refused(cast.world, signed(ghost, cast.prison.identity, cast.probation.identity), UntrustedKey)
    cast.world.add(signed(ghost, cast.prison.identity))


def test_dir_1_a_statement_needs_both_algorithms(cast: Cast) -> None:
    parsed = parse_statement(signed(cast.prison.device_subject(device_of("new")), cast.prison.identity))
    (good,) = parsed.signatures
    other = identity("mallory").sign(b"tc/1 statement\0", parsed.body_bytes)
    for ed25519, mldsa65 in ((other[0], good.mldsa65), (good.ed25519, other[1])):
        raw = encode_statement(parsed.body_bytes, [StatementSignature(good.signer, ed25519, mldsa65)])
        refused(cast.world, raw, BadSignature)


def test_dir_1_a_signature_under_another_label_is_bad(cast: Cast) -> None:
    """Attack 31."""
    unsigned = body(cast.prison.device_subject(device_of("new")), issued=NOW).encode()
    pair = cast.prison.identity.sign(b"tc/1 claims\0", unsigned)
    raw = encode_statement(unsigned, [StatementSignature(cast.prison.identity.key_id, *pair)])
    refused(cast.world, raw, BadSignature)


def test_dir_3_a_device_serves_only_desks_of_its_agency(cast: Cast) -> None:
    subject = cast.prison.device_subject(device_of("new"), desks=("reception", "intake"))
    refused(cast.world, signed(subject, cast.prison.identity), UntrustedKey)


def test_dir_5_a_stranger_cannot_register_a_devices_keys_as_its_own(cast: Cast) -> None:
    """Attack 29: Mallory registers the prison's device, with its own proof, with the prison's, with none."""
    mallory = cast.world.enrol(member("mallory", "ngo", ("intake", "ngo")))
    stolen = cast.prison.device.public
    for proof in (
        device_proof(cast.prison.address, cast.prison.device),
        device_proof(mallory.address, mallory.device),
    ):
        subject = Device(mallory.address, stolen, ("intake",), proof)
        refused(cast.world, signed(subject, mallory.identity), UntrustedKey)


def test_dir_5_keys_that_are_not_in_the_log_yet_need_a_proof_too(cast: Cast) -> None:
    """Attack 29: Mallory is quicker than the prison."""
    mallory = cast.world.enrol(member("mallory", "ngo", ("intake", "ngo")))
    alice = device_of("a device that the prison is about to enrol")
    subject = Device(mallory.address, alice.public, ("intake",), device_proof(cast.prison.address, alice))
    refused(cast.world, signed(subject, mallory.identity), UntrustedKey)


def test_dir_5_parts_of_a_known_key_make_no_new_device(cast: Cast) -> None:
    """Attack 29, with one half exchanged."""
    known, fresh = cast.prison.device, device_of("fresh")
    half = DeviceSigner.from_seeds(known.seeds[0], fresh.seeds[1], fresh.seeds[2])
    transport = DeviceSigner.from_seeds(fresh.seeds[0], fresh.seeds[1], known.seeds[2])
    identity_half = DeviceSigner.from_seeds(cast.prison.identity.seeds[0], fresh.seeds[1], fresh.seeds[2])
    for device in (half, transport, identity_half):
        refused(cast.world, signed(cast.prison.device_subject(device), cast.prison.identity), UntrustedKey)


def test_id_4_a_device_with_a_key_of_small_order_does_not_enter_the_directory(cast: Cast) -> None:
    """Attack 30, at import."""
    good = device_of("new")
    weak = DeviceKey(good.public.ed25519, good.public.mldsa65, bytes([1, *bytes(31)]))
    subject = Device(cast.prison.address, weak, ("reception",), device_proof(cast.prison.address, good))
    refused(cast.world, signed(subject, cast.prison.identity), UntrustedKey)


def test_dir_6_a_device_lasts_90_days_at_most(cast: Cast) -> None:
    subject = cast.prison.device_subject(device_of("new"))
    long = body(subject, issued=NOW, life=limits.DEVICE_LIFE + 1)
    refused(cast.world, sign_statement(long, [cast.prison.identity]), UntrustedKey)
    cast.world.add(sign_statement(body(subject, issued=NOW, life=limits.DEVICE_LIFE), [cast.prison.identity]))


def test_dir_7_an_older_statement_does_not_take_a_desk_back(cast: Cast) -> None:
    """A hub keeps a statement back, and logs it when it suits it."""
    kept_back = signed(cast.prison.device_subject(device_of("stolen")), cast.prison.identity, issued=NOW - 1)
    cast.world.add(signed(cast.prison.device_subject(device_of("new")), cast.prison.identity, issued=NOW))
    refused(cast.world, kept_back, UntrustedKey)


def test_dir_7_a_statement_counts_once(cast: Cast) -> None:
    """A hub replays the first device's statement after the desk went to a second one."""
    first = cast.world.statements[3]
    assert isinstance(parse_statement(first).body.subject, Device)
    refused(cast.world, first, UntrustedKey)
    resigned = sign_statement(parse_statement(first).body, [cast.prison.identity])
    assert resigned != first
    refused(cast.world, resigned, UntrustedKey)


def test_dir_6_an_agency_outside_its_time_makes_nothing(cast: Cast) -> None:
    subject = cast.prison.device_subject(device_of("new"))
    for issued in (NOW - 21 * DAY, NOW + 400 * DAY):
        refused(cast.world, signed(subject, cast.prison.identity, issued=issued), UntrustedKey)


# Delegation


def test_dir_2_only_the_agency_delegates_and_only_for_its_desks(cast: Cast) -> None:
    subject = replace(cast.prison.delegation_subject(), title="Release coordinator")
    refused(cast.world, signed(subject, cast.probation.identity), UntrustedKey)
    refused(cast.world, signed(subject, cast.prison.device), UntrustedKey)
    foreign = replace(subject, desks=("intake",))
    refused(cast.world, signed(foreign, cast.prison.identity), UntrustedKey)
    unknown = replace(subject, agency=AgencyAddress(f"nobody@{DOMAIN}"))
    refused(cast.world, signed(unknown, cast.prison.identity), UntrustedKey)
    cast.world.add(signed(subject, cast.prison.identity))


# Prekey


def test_dir_8_a_prekeys_epoch_must_ascend(cast: Cast) -> None:
    """Attack 41: a prekey is rolled back."""
    cast.world.add_prekey(cast.prison, 5, issued=NOW)
    for epoch in (5, 4, 1):
        lower = Prekey(cast.prison.device.key_id, epoch, XWingSecret(seed(f"lower {epoch}")).public)
        refused(cast.world, signed(lower, cast.prison.device), UntrustedKey)
    newest = cast.world.directory.newest_prekey(cast.prison.device.key_id)
    assert newest is not None
    assert newest.epoch == 5


def test_dir_2_a_prekey_is_signed_by_its_own_device(cast: Cast) -> None:
    """Attack 41: a prekey signed by another device, or by the agency."""
    subject = Prekey(cast.prison.device.key_id, 2, XWingSecret(seed("new prekey")).public)
    for signer in (cast.probation.device, cast.prison.identity, device_of("mallory")):
        refused(cast.world, signed(subject, signer), UntrustedKey)
    refused(cast.world, signed(subject, cast.prison.device, cast.probation.device), UntrustedKey)


def test_dir_5_a_prekey_belongs_to_one_device_and_epoch(cast: Cast) -> None:
    known = cast.prison.prekeys[1].public
    for device, epoch in ((cast.prison.device, 2), (cast.probation.device, 2)):
        refused(cast.world, signed(Prekey(device.key_id, epoch, known), device), UntrustedKey)


def test_id_4_an_unusable_prekey_does_not_enter_the_directory(cast: Cast) -> None:
    """Attack 18, at the directory."""
    public = XWingSecret(seed("new prekey")).public
    zero = public[:MLKEM_PUBLIC_SIZE] + bytes(32)
    large = b"\xff\xff" + public[2:]
    for bad in (zero, large):
        subject = Prekey(cast.prison.device.key_id, 2, bad)
        refused(cast.world, signed(subject, cast.prison.device), UntrustedKey)


def test_dir_2_an_unknown_device_has_no_prekey(cast: Cast) -> None:
    """Attack 36: bytes that are the id of something else name no device."""
    public = XWingSecret(seed("new prekey")).public
    for key_id in (cast.prison.identity.key_id, KeyId(seed("nothing")), KeyId(cast.prison.device.public.ed25519)):
        refused(cast.world, signed(Prekey(key_id, 2, public), cast.prison.device), UntrustedKey)
