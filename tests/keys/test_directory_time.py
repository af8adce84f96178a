# SPDX-License-Identifier: Apache-2.0
"""The log's time: no date that a signer writes brings back a power that it has lost, and no log is flooded."""

from dataclasses import replace

import pytest

from keys.directory import Directory
from keys.signing import DeviceSigner, HybridSigner, sign_statement
from keys.xwing import XWingSecret
from protocol import limits
from protocol.errors import UntrustedKey
from protocol.limits import DAY, HOUR, PREKEY_EPOCH_STEP, PREKEYS_WITHIN, STATEMENT_LAG
from protocol.statements import Body, Prekey, Revocation, Subject, parse_statement
from tests.keys.refusals import refused
from tests.keys.world import (
    APPROVERS,
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
    root_subject,
    seed,
)

NEW_PERSONS = [identity(f"rotated person {number}") for number in range(3)]
BACK = (0, HOUR, 3 * DAY, STATEMENT_LAG)
"""How far before the log's time the thieves date what they sign."""


def rotate_root(world: World) -> None:
    """Replace all persons of the root."""
    world.add(
        sign_statement(
            body(root_subject(2, NEW_PERSONS), issued=NOW, life=3650 * DAY), [*ROOT_PERSONS[:2], *NEW_PERSONS[:2]]
        )
    )


def dated(subject: Subject, back: int, *signers: HybridSigner | DeviceSigner) -> bytes:
    """Return `subject` signed with a date `back` ms before now."""
    return sign_statement(body(subject, issued=NOW - back), signers)


@pytest.mark.parametrize("back", BACK)
def test_dir_14_removed_root_persons_make_no_authority_whatever_date_they_write(cast: Cast, back: int) -> None:
    """Attack 52: two stolen keys of the root, removed by rotation, which is the only way to be rid of them."""
    rotate_root(cast.world)
    evil = [identity(f"evil approver {number}") for number in range(2)]
    refused(cast.world, dated(authority_subject(evil), back, *ROOT_PERSONS[:2]), UntrustedKey)


@pytest.mark.parametrize("back", BACK)
def test_dir_14_removed_root_persons_revoke_nothing(cast: Cast, back: int) -> None:
    rotate_root(cast.world)
    for target in (parse_statement(cast.world.authority).digest, cast.prison.identity.key_id):
        refused(cast.world, dated(Revocation(target, "key-compromise"), back, *ROOT_PERSONS[:2]), UntrustedKey)
    cast.world.add(dated(Revocation(parse_statement(cast.world.authority).digest, "x"), 0, *NEW_PERSONS[:2]))


@pytest.mark.parametrize("back", BACK)
def test_dir_14_removed_approvers_make_and_revoke_nothing(cast: Cast, back: int) -> None:
    world = cast.world
    fresh = [identity("fresh approver"), APPROVERS[2]]
    world.add(sign_statement(body(authority_subject(fresh), issued=NOW, life=365 * DAY), ROOT_PERSONS[:2]))
    ghost = member("ghost", "prison", ("intake", "prison-release"))
    refused(world, dated(ghost.agency_subject(), back, *APPROVERS[:2]), UntrustedKey)
    for target in (cast.prison.identity.key_id, cast.prison.device.key_id, cast.prison.delegation):
        refused(world, dated(Revocation(target, "key-compromise"), back, *APPROVERS[:2]), UntrustedKey)


@pytest.mark.parametrize("back", BACK)
def test_dir_14_an_agencys_former_identity_takes_over_no_desk(cast: Cast, back: int) -> None:
    world, one = cast.world, cast.prison
    fresh = replace(one, identity=identity("gora prison's second identity"))
    world.add(sign_statement(body(fresh.agency_subject(), issued=NOW, life=365 * DAY), APPROVERS[:2]))
    thief = device_of("thief")
    refused(world, dated(one.device_subject(thief), back, one.identity), UntrustedKey)
    another = replace(one, officer=member("x", "ngo").officer).delegation_subject()
    refused(world, dated(another, back, one.identity), UntrustedKey)
    refused(world, dated(Revocation(one.device.key_id, "key-compromise"), back, one.identity), UntrustedKey)
    world.add(dated(one.device_subject(thief), 0, fresh.identity))


def test_dir_14_a_removed_person_does_not_come_back_when_a_shorter_statement_ends(cast: Cast) -> None:
    world = cast.world
    fresh = [identity("fresh approver"), APPROVERS[2]]
    world.add(sign_statement(body(authority_subject(fresh), issued=NOW, life=10 * DAY), ROOT_PERSONS[:2]))
    ghost = member("ghost", "prison", ("intake", "prison-release"))
    late = sign_statement(body(ghost.agency_subject(), issued=NOW + 11 * DAY), APPROVERS[:2])
    refused(world, late, UntrustedKey)


def test_dir_14_a_successor_signed_ahead_replaces_when_it_begins(cast: Cast) -> None:
    world = cast.world
    fresh = [identity("fresh approver"), APPROVERS[2]]
    ahead = body(authority_subject(fresh), issued=NOW, begin=NOW + DAY, life=365 * DAY)
    world.add(sign_statement(ahead, ROOT_PERSONS[:2]))
    agency = body(cast.prison.agency_subject(), issued=NOW, life=365 * DAY)
    world.add(sign_statement(agency, APPROVERS[:2]))
    later = body(cast.probation.agency_subject(), issued=NOW + DAY, life=365 * DAY)
    refused(world, sign_statement(later, APPROVERS[:2]), UntrustedKey)
    world.add(sign_statement(later, fresh))


def test_dir_14_what_is_dated_over_seven_days_before_the_log_is_dead(cast: Cast) -> None:
    """An old draft that somebody kept back, and approvers who took too long; a week between two of them is fine."""
    world = cast.world
    assert world.directory.time == NOW - DAY
    world.add_prekey(cast.probation, 2, issued=NOW)
    assert world.directory.time == NOW
    fresh = member("nova", "ngo", ("intake", "ngo"))
    refused(world, dated(fresh.agency_subject(), STATEMENT_LAG + 1, *APPROVERS[:2]), UntrustedKey)
    world.add(dated(fresh.agency_subject(), STATEMENT_LAG, *APPROVERS[:2]))
    assert world.directory.time == NOW


def test_dir_14_a_quiet_log_takes_what_was_signed_long_ago_and_published_late() -> None:
    """Root and authority are made in an office, and published when the hub stands."""
    world = World()
    again = Directory(world.directory.root_fingerprint, DOMAIN)
    assert again.time == 0
    for raw in world.statements:
        again.apply(raw)
    assert again.time == NOW - 30 * DAY


def prekey(device: DeviceSigner, epoch: int, issued: int) -> bytes:
    subject = Prekey(device.key_id, epoch, XWingSecret(seed(f"flood {device.key_id.hex()} {epoch}")).public)
    return sign_statement(Body(issued, issued, issued + DAY, subject), [device])


def test_dir_15_a_device_publishes_at_most_eight_prekeys_in_seven_days(cast: Cast) -> None:
    world, device = cast.world, cast.prison.device
    begin = NOW - DAY
    for epoch in range(2, PREKEYS_WITHIN + 1):
        world.add(prekey(device, epoch, begin + epoch))
    following = PREKEYS_WITHIN + 1
    for issued in (begin + following, begin + 7 * DAY - 1):
        refused(world, prekey(device, following, issued), UntrustedKey)
    # It cannot make room by a date before those that it follows.
    refused(world, prekey(device, following, begin - 5 * DAY), UntrustedKey)
    world.add(prekey(device, following, begin + 7 * DAY))
    # Other devices are not hindered.
    world.add(prekey(cast.probation.device, 2, begin + 7 * DAY))


def test_dir_15_epochs_ascend_in_small_steps(cast: Cast) -> None:
    world, device = cast.world, cast.prison.device
    for epoch in (2 + PREKEY_EPOCH_STEP, 1 << 40):
        refused(world, prekey(device, epoch, NOW), UntrustedKey)
    world.add(prekey(device, 1 + PREKEY_EPOCH_STEP, NOW))
    fresh = device_of("second device")
    world.add(sign_statement(body(cast.prison.device_subject(fresh), issued=NOW), [cast.prison.identity]))
    refused(world, prekey(fresh, PREKEY_EPOCH_STEP + 1, NOW), UntrustedKey)
    world.add(prekey(fresh, PREKEY_EPOCH_STEP, NOW))


def test_dir_15_a_connector_that_was_offline_for_weeks_goes_on(cast: Cast) -> None:
    world, device = cast.world, cast.prison.device
    world.add_prekey(cast.probation, 2, issued=NOW + 40 * DAY)
    world.add(prekey(device, 7, NOW + 40 * DAY - HOUR))


def test_dir_6_an_agencys_certificate_lasts_at_most_732_days(cast: Cast) -> None:
    world = cast.world
    subject = member("nova", "ngo", ("intake", "ngo")).agency_subject()
    for begin, end in (
        (NOW, NOW + limits.AGENCY_LIFE + 1),
        (0, NOW + DAY),
        (NOW + 100 * DAY, NOW + limits.AGENCY_LIFE + 1),
    ):
        refused(world, sign_statement(Body(NOW, begin, end, subject), APPROVERS[:2]), UntrustedKey)
    world.add(sign_statement(Body(NOW, NOW, NOW + limits.AGENCY_LIFE, subject), APPROVERS[:2]))
