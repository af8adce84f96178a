# SPDX-License-Identifier: Apache-2.0
"""What was in force, as of a time and a size: validity, revocation downwards, one device for a desk."""

from dataclasses import replace

import pytest

from keys.directory import DeviceEntry
from keys.signing import HybridSigner, sign_statement
from protocol.address import DeskAddress
from protocol.errors import Revoked, UntrustedKey
from protocol.statements import parse_statement
from tests.keys.world import (
    APPROVERS,
    DAY,
    DOMAIN,
    NOW,
    ROOT_PERSONS,
    Cast,
    Member,
    World,
    authority_subject,
    body,
    device_of,
    identity,
)


def in_force(world: World, one: Member, *, at: int = NOW, size: int | None = None) -> DeviceEntry:
    return world.directory.device_in_force(
        one.device.key_id, at=at, size=world.directory.size if size is None else size
    )


def test_dir_6_a_certificate_counts_from_not_before_up_to_not_after(shared_cast: Cast) -> None:
    """Attack 33: judged at acceptance, not by what an envelope says of itself."""
    begin, end = NOW - 10 * DAY, NOW + 70 * DAY
    for at in (begin, NOW, end - 1):
        assert in_force(shared_cast.world, shared_cast.prison, at=at).key == shared_cast.prison.device.public
    for at in (begin - 1, end):
        with pytest.raises(UntrustedKey):
            in_force(shared_cast.world, shared_cast.prison, at=at)


def test_dir_6_an_unknown_device_or_one_not_logged_yet_is_untrusted(shared_cast: Cast) -> None:
    world = shared_cast.world
    with pytest.raises(UntrustedKey):
        world.directory.device_in_force(device_of("nobody").key_id, at=NOW, size=world.directory.size)
    entry = world.directory.device(shared_cast.prison.device.key_id)
    assert entry is not None
    with pytest.raises(UntrustedKey):
        in_force(world, shared_cast.prison, size=entry.index)
    assert in_force(world, shared_cast.prison, size=entry.index + 1) == entry


def test_dir_6_an_agency_that_ended_ends_its_devices(cast: Cast) -> None:
    short = replace(cast.prison, address=cast.prison.address)
    renewal = body(short.agency_subject(), issued=NOW, life=5 * DAY)
    cast.world.add(sign_statement(renewal, APPROVERS[:2]))
    for at in (NOW - 1, NOW, NOW + 5 * DAY - 1):
        assert in_force(cast.world, cast.prison, at=at)
    # What was replaced does not come back when its successor ends, though its own time is not over.
    with pytest.raises(UntrustedKey):
        in_force(cast.world, cast.prison, at=NOW + 5 * DAY)


def test_dir_6_a_revocation_counts_from_its_leaf_on(cast: Cast) -> None:
    """Attack 35, the directory's part: before its leaf all is as it was, whatever the times say."""
    world = cast.world
    index = world.revoke(cast.prison.device.key_id, cast.prison.identity)
    assert in_force(world, cast.prison, size=index)
    with pytest.raises(Revoked):
        in_force(world, cast.prison, size=index + 1)
    with pytest.raises(Revoked):
        in_force(world, cast.prison, at=NOW - 9 * DAY)
    assert in_force(world, cast.probation)
    entry = world.directory.device(cast.prison.device.key_id)
    assert entry is not None
    assert entry.revoked_index == index


@pytest.mark.parametrize("above", ["device", "agency key", "agency statement", "authority"])
def test_dir_6_a_revocation_above_ends_device_and_delegation(cast: Cast, above: str) -> None:
    world, one = cast.world, cast.prison
    signers: dict[str, tuple[bytes, list[HybridSigner]]] = {
        "device": (one.device.key_id, APPROVERS[:2]),
        "agency key": (one.identity.key_id, APPROVERS[:2]),
        "agency statement": (parse_statement(world.statements[2]).digest, APPROVERS[:2]),
        "authority": (parse_statement(world.authority).digest, ROOT_PERSONS[:2]),
    }
    target, by = signers[above]
    index = world.revoke(target, *by)
    with pytest.raises(Revoked):
        in_force(world, one)
    assert in_force(world, one, size=index)
    delegation = (one.delegation, NOW)
    if above == "device":
        assert world.directory.delegation(delegation[0], at=NOW, size=index + 1)
    else:
        with pytest.raises(Revoked):
            world.directory.delegation(delegation[0], at=NOW, size=index + 1)
        assert world.directory.agency(one.address, NOW) is None
        assert world.directory.desk(one.desk, NOW) is None
    desk = world.directory.desk(one.desk, NOW)
    assert desk is None or desk.device is None
    others = world.directory.desk(cast.probation.desk, NOW)
    assert (others is None) == (above == "authority")


def test_dir_6_a_delegation_can_be_revoked_alone(cast: Cast) -> None:
    index = cast.world.revoke(cast.prison.delegation, cast.prison.identity)
    with pytest.raises(Revoked):
        cast.world.directory.delegation(cast.prison.delegation, at=NOW, size=index + 1)
    assert cast.world.directory.delegation(cast.prison.delegation, at=NOW, size=index)
    assert in_force(cast.world, cast.prison)


def test_dir_6_a_delegation_counts_in_its_time_only(shared_cast: Cast) -> None:
    directory = shared_cast.world.directory
    entry = directory.delegation(shared_cast.prison.delegation, at=NOW, size=directory.size)
    assert entry.agency == shared_cast.prison.address
    assert entry.desks == (f"reception.gora-prison@{DOMAIN}", f"release.gora-prison@{DOMAIN}")
    for at in (entry.not_before - 1, entry.not_after):
        with pytest.raises(UntrustedKey):
            directory.delegation(shared_cast.prison.delegation, at=at, size=directory.size)
    with pytest.raises(UntrustedKey):
        directory.delegation(bytes(32), at=NOW, size=directory.size)


def test_dir_6_a_renewed_agency_keeps_its_devices_and_a_revoked_one_may_be_issued_anew(cast: Cast) -> None:
    world, one = cast.world, cast.prison
    world.add(sign_statement(body(one.agency_subject(), issued=NOW - 1, life=365 * DAY), APPROVERS[:2]))
    assert in_force(world, one)
    world.revoke(one.identity.key_id, *APPROVERS[:2])
    fresh = replace(one, identity=identity("gora prison's second identity"), device=device_of("second device"))
    world.add(sign_statement(body(fresh.agency_subject(), issued=NOW, life=365 * DAY), APPROVERS[:2]))
    world.add(sign_statement(body(fresh.device_subject(), issued=NOW), [fresh.identity]))
    assert in_force(world, fresh)
    with pytest.raises(Revoked):
        in_force(world, one)


def test_dir_6_a_changed_identity_keeps_old_devices_until_it_is_revoked_and_makes_no_new_ones(cast: Cast) -> None:
    world, one = cast.world, cast.prison
    fresh = replace(one, identity=identity("gora prison's second identity"))
    world.add(sign_statement(body(fresh.agency_subject(), issued=NOW, life=365 * DAY), APPROVERS[:2]))
    assert in_force(world, one)
    by_old = sign_statement(body(one.device_subject(device_of("second")), issued=NOW), [one.identity])
    with pytest.raises(UntrustedKey):
        world.add(by_old)
    world.revoke(one.identity.key_id, *APPROVERS[:2])
    with pytest.raises(Revoked):
        in_force(world, one)
    assert world.directory.agency(one.address, NOW) is not None


def test_dir_6_an_authority_issued_anew_does_not_revive_what_the_revoked_one_made(cast: Cast) -> None:
    world, one = cast.world, cast.prison
    world.revoke(parse_statement(world.authority).digest, *ROOT_PERSONS[:2])
    assert world.directory.authority(DOMAIN) is None
    approvers = [identity(f"new approver {number}") for number in range(2)]
    renewed = body(authority_subject(approvers), issued=NOW, life=365 * DAY)
    world.add(sign_statement(renewed, ROOT_PERSONS[:2]))
    authority = world.directory.authority(DOMAIN)
    assert authority is not None
    with pytest.raises(Revoked):
        in_force(world, one)
    again = body(one.agency_subject(), issued=NOW, life=365 * DAY)
    world.add(sign_statement(again, approvers))
    assert in_force(world, one)


def test_dir_7_a_newer_device_takes_the_desk_from_its_leaf_on(cast: Cast) -> None:
    world, one = cast.world, cast.prison
    old, new, desk = one.device, device_of("replacement"), one.desk
    index = world.add(sign_statement(body(one.device_subject(new, ("reception",)), issued=NOW), [one.identity]))
    directory = world.directory
    assert directory.serves(old.key_id, desk, size=index)
    assert not directory.serves(new.key_id, desk, size=index)
    assert directory.serves(new.key_id, desk, size=index + 1)
    assert not directory.serves(old.key_id, desk, size=index + 1)
    # The other desk stays with the old device, which is therefore not superseded as a whole.
    other = DeskAddress(f"release.gora-prison@{DOMAIN}")
    assert directory.serves(old.key_id, other, size=index + 1)
    entry = directory.device(old.key_id)
    assert entry is not None
    assert entry.superseded_at is None
    last = world.add(sign_statement(body(one.device_subject(new), issued=NOW), [one.identity]))
    entry = directory.device(old.key_id)
    assert entry is not None
    assert entry.superseded_at == last
    for address in (desk, other):
        found = directory.desk(address, NOW)
        assert found is not None
        assert found.device is not None
        assert found.device.key_id == new.key_id


def test_dir_7_a_desk_does_not_fall_back_to_the_device_before(cast: Cast) -> None:
    world, one = cast.world, cast.prison
    new = device_of("replacement")
    world.add(sign_statement(body(one.device_subject(new), issued=NOW), [one.identity]))
    world.revoke(new.key_id, one.identity)
    desk = world.directory.desk(one.desk, NOW)
    assert desk is not None
    assert desk.device is None


def test_dir_7_a_desk_that_a_device_gave_up_is_served_by_nobody(cast: Cast) -> None:
    world, one = cast.world, cast.prison
    index = world.add(sign_statement(body(one.device_subject(desks=("release",)), issued=NOW), [one.identity]))
    desk = world.directory.desk(one.desk, NOW)
    assert desk is not None
    assert desk.device is None
    assert world.directory.serves(one.device.key_id, one.desk, size=index)
    assert world.directory.ever_served(one.device.key_id, one.desk)
    assert not world.directory.ever_served(one.device.key_id, cast.probation.desk)


def test_dir_12_the_directory_lists_desks_with_their_functions_and_devices(shared_cast: Cast) -> None:
    listed = [(entry.address, entry.function, entry.agency) for entry in shared_cast.world.directory.desks(NOW)]
    assert listed == [
        (f"intake.polje-social-work@{DOMAIN}", "social-work", shared_cast.social_work.address),
        (f"intake.reka-probation@{DOMAIN}", "probation-intake", shared_cast.probation.address),
        (f"reception.gora-prison@{DOMAIN}", "prison-reception", shared_cast.prison.address),
        (f"release.gora-prison@{DOMAIN}", "prison-release", shared_cast.prison.address),
    ]
    assert all(entry.device is not None for entry in shared_cast.world.directory.desks(NOW))
    assert shared_cast.world.directory.desks(NOW + 1000 * DAY) == []


def test_the_directory_tells_which_function_a_desk_had_before_it_was_put_right(cast: Cast) -> None:
    world, one = cast.world, cast.probation
    (name, before), *others = one.desks
    right = replace(one, desks=((name, "social-work"), *others))
    world.add(sign_statement(body(right.agency_subject(), issued=NOW, life=365 * DAY), APPROVERS[:2]))
    world.revoke(one.identity.key_id, *APPROVERS[:2])
    asked = [world.directory.function_at(one.desk, at) for at in (NOW - 1000 * DAY, NOW - 1, NOW, NOW + 1000 * DAY)]
    assert asked == [None, before, "social-work", "social-work"]
    assert world.directory.function_at(DeskAddress(f"nobody.{one.address}"), NOW) is None
    assert world.directory.function_at(DeskAddress(f"intake.nobody@{DOMAIN}"), NOW) is None


def test_dir_8_the_last_prekeys_of_a_device_can_be_looked_up(cast: Cast) -> None:
    for epoch in range(2, 15):
        cast.world.add_prekey(cast.prison, epoch, issued=NOW + epoch * DAY)
    directory, device = cast.world.directory, cast.prison.device.key_id
    newest = directory.newest_prekey(device)
    assert newest is not None
    assert (newest.epoch, newest.public) == (14, cast.prison.prekeys[14].public)
    assert directory.prekey(device, 2) is None
    assert directory.prekey(device, 3) is not None
    assert directory.prekey(device_of("nobody").key_id, 1) is None
    assert directory.newest_prekey(device_of("nobody").key_id) is None


def test_the_directory_tells_whose_an_identity_is(shared_cast: Cast) -> None:
    directory = shared_cast.world.directory
    approver = directory.identity_holder(APPROVERS[0].key_id)
    agency = directory.identity_holder(shared_cast.prison.identity.key_id)
    person = directory.identity_holder(ROOT_PERSONS[0].key_id)
    assert approver is not None
    assert agency is not None
    assert person is not None
    assert (approver.kind.name, approver.name, approver.identity) == ("AUTHORITY", DOMAIN, APPROVERS[0].public)
    assert (agency.kind.name, agency.name) == ("AGENCY", shared_cast.prison.address)
    assert (person.kind.name, person.name) == ("ROOT", "Demo programme")
    assert directory.identity_holder(shared_cast.prison.device.key_id) is None
