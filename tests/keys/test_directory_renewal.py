# SPDX-License-Identifier: Apache-2.0
"""A device's certificate is renewed in place by its agency, and by nobody and nothing else (DIR-17)."""

import pytest

from keys.signing import DeviceSigner, HybridSigner, device_proof, sign_statement
from protocol.errors import BadSignature, Revoked, ThroughcareError, UntrustedKey
from protocol.limits import CLOCK_SKEW, DEVICE_LIFE
from protocol.statements import Body, Device, StatementSignature, encode_statement, parse_statement
from tests.keys.world import DAY, NOW, Cast, Member, World, body, device_of

END = NOW + 70 * DAY
"""When the certificates of the cast's devices end."""


def renewed(one: Member, *, now: int = END - 30 * DAY, life: int = DEVICE_LIFE, desks: tuple[str, ...] = ()) -> Body:
    """Return the statement that renews the device of `one`, as a connector makes it."""
    subject = one.device_subject(desks=desks or None)
    return Body(now, now - CLOCK_SKEW, now - CLOCK_SKEW + life, subject)


def refused(world: World, raw: bytes, error: type[ThroughcareError]) -> None:
    before = world.directory.size
    with pytest.raises(error):
        world.directory.apply(raw)
    assert world.directory.size == before


def test_dir_17_a_renewed_certificate_goes_on_where_the_old_one_ends(cast: Cast) -> None:
    world, one, key_id = cast.world, cast.prison, cast.prison.device.key_id
    before = world.directory.size
    index = world.add(sign_statement(renewed(one), [one.identity]))
    begin = END - 30 * DAY - CLOCK_SKEW
    for at in (NOW, begin - 1, begin, END - 1, END, begin + DEVICE_LIFE - 1):
        assert world.directory.device_in_force(key_id, at=at, size=index + 1).key_id == key_id
    with pytest.raises(UntrustedKey):
        world.directory.device_in_force(key_id, at=begin + DEVICE_LIFE, size=index + 1)
    # Whoever has not seen the renewal judges by the old one, with the same answer until that ends.
    assert world.directory.device_in_force(key_id, at=END - 1, size=before).key_id == key_id
    with pytest.raises(UntrustedKey):
        world.directory.device_in_force(key_id, at=END, size=before)
    assert world.directory.serves(key_id, one.desk, size=index + 1)
    newest = world.directory.newest_prekey(key_id)
    assert newest is not None
    assert newest.epoch == 1


def test_dir_17_a_certificate_that_has_ended_can_be_renewed_by_the_agency_and_the_gap_stays(cast: Cast) -> None:
    world, one, key_id = cast.world, cast.prison, cast.prison.device.key_id
    world.add(sign_statement(renewed(one, now=END + 10 * DAY), [one.identity]))
    assert world.directory.device_in_force(key_id, at=END + 10 * DAY, size=world.directory.size)
    with pytest.raises(UntrustedKey):
        world.directory.device_in_force(key_id, at=END + 5 * DAY, size=world.directory.size)


@pytest.mark.parametrize("by", ["the device itself", "another agency", "another device", "nobody that is known"])
def test_dir_17_who_has_the_device_key_but_not_the_agency_s_cannot_renew(cast: Cast, by: str) -> None:
    """A thief of the device key has it until the certificate ends, and no longer."""
    world, one = cast.world, cast.prison
    signers: dict[str, HybridSigner | DeviceSigner] = {
        "the device itself": one.device,
        "another agency": cast.probation.identity,
        "another device": device_of("other device"),
        "nobody that is known": HybridSigner.generate(),
    }
    refused(world, sign_statement(renewed(one), [signers[by]]), UntrustedKey)


def test_dir_17_a_thief_cannot_pass_its_own_signature_for_the_agency_s(cast: Cast) -> None:
    world, one = cast.world, cast.prison
    by_device = parse_statement(sign_statement(renewed(one), [one.device]))
    signature = by_device.signatures[0]
    claimed = StatementSignature(one.identity.key_id, signature.ed25519, signature.mldsa65)
    refused(world, encode_statement(by_device.body_bytes, [claimed]), BadSignature)


def test_dir_17_the_old_statement_cannot_be_stretched(cast: Cast) -> None:
    """The signature covers the times: neither a later end nor the old body again counts."""
    world, one = cast.world, cast.prison
    entry = world.directory.device(one.device.key_id)
    assert entry is not None
    old = next(raw for raw in world.statements if parse_statement(raw).digest == entry.digest)
    parsed = parse_statement(old)
    longer = Body(parsed.body.issued, parsed.body.not_before, parsed.body.not_after + DAY, parsed.body.subject)
    refused(world, encode_statement(longer.encode(), parsed.signatures), BadSignature)
    refused(world, old, UntrustedKey)


def test_dir_17_a_revoked_device_is_not_renewed_by_anybody(cast: Cast) -> None:
    world, one = cast.world, cast.prison
    ready = sign_statement(renewed(one), [one.identity])
    world.revoke(one.device.key_id, one.identity)
    refused(world, ready, Revoked)
    refused(world, sign_statement(renewed(one, now=END), [one.identity]), Revoked)


def test_dir_17_a_revocation_ends_the_renewed_certificate_as_well(cast: Cast) -> None:
    world, one = cast.world, cast.prison
    entry = world.directory.device(one.device.key_id)
    assert entry is not None
    world.add(sign_statement(renewed(one, now=NOW), [one.identity]))
    world.revoke(entry.digest, one.identity)
    for at in (NOW, END):
        with pytest.raises(Revoked):
            world.directory.device_in_force(one.device.key_id, at=at, size=world.directory.size)


def test_dir_17_an_old_machine_does_not_take_its_desks_back_from_the_one_that_replaced_it(cast: Cast) -> None:
    """Two devices in force for one desk: the newer serves it (DIR-7), and the older can never change that."""
    world, one = cast.world, cast.prison
    new = device_of("replacement")
    world.add(sign_statement(body(one.device_subject(new, ("reception",)), issued=NOW), [one.identity]))
    for at in (one.device.key_id, new.key_id):
        assert world.directory.device_in_force(at, at=NOW + DAY, size=world.directory.size)
    refused(world, sign_statement(renewed(one), [one.identity]), UntrustedKey)
    # What it still serves may be renewed, and the desk that it lost stays where it is.
    world.add(sign_statement(renewed(one, desks=("release",)), [one.identity]))
    assert world.directory.serves(new.key_id, one.desk, size=world.directory.size)
    assert not world.directory.serves(one.device.key_id, one.desk, size=world.directory.size)


def test_dir_17_a_desk_stays_lost_when_the_device_that_took_it_was_revoked(cast: Cast) -> None:
    world, one = cast.world, cast.prison
    new = device_of("replacement")
    world.add(sign_statement(body(one.device_subject(new), issued=NOW), [one.identity]))
    world.revoke(new.key_id, one.identity)
    refused(world, sign_statement(renewed(one), [one.identity]), UntrustedKey)


def test_dir_17_a_device_may_take_up_a_desk_again_that_it_gave_up_itself(cast: Cast) -> None:
    world, one = cast.world, cast.prison
    world.add(sign_statement(renewed(one, now=NOW, desks=("release",)), [one.identity]))
    world.add(sign_statement(renewed(one, now=NOW + 1), [one.identity]))
    assert world.directory.serves(one.device.key_id, one.desk, size=world.directory.size)


def test_dir_17_a_renewal_lasts_90_days_and_needs_the_device_s_proof(cast: Cast) -> None:
    world, one = cast.world, cast.prison
    refused(world, sign_statement(renewed(one, life=DEVICE_LIFE + 1), [one.identity]), UntrustedKey)
    wrong = device_proof(cast.probation.address, one.device)
    subject = Device(one.address, one.device.public, ("reception",), wrong)
    refused(world, sign_statement(body(subject, issued=NOW), [one.identity]), UntrustedKey)
