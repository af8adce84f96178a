# SPDX-License-Identifier: Apache-2.0
"""Who may revoke what, and that what was revoked stays so."""

from keys.signing import HybridSigner
from protocol.errors import BadSignature, Revoked, UntrustedKey
from protocol.statements import Revocation, StatementSignature, encode_statement, parse_statement
from tests.keys.refusals import refused, signed
from tests.keys.world import APPROVERS, ROOT_PERSONS, Cast, identity, revocation, seed


def test_dir_2_a_device_is_revoked_by_its_agency_or_the_authority_only(cast: Cast) -> None:
    target = cast.prison.device.key_id
    for signers in ([cast.probation.identity], [APPROVERS[0]], ROOT_PERSONS, [identity("mallory")]):
        refused(cast.world, revocation(target, *signers), UntrustedKey)
    refused(cast.world, revocation(target, cast.prison.identity, identity("mallory")), UntrustedKey)
    cast.world.revoke(target, cast.prison.identity)
    cast.world.revoke(cast.probation.device.key_id, *APPROVERS[:2])


def test_dir_2_an_agency_is_revoked_by_its_authority_or_the_root_only(cast: Cast) -> None:
    for signers in ([cast.prison.identity], [APPROVERS[0]], [ROOT_PERSONS[0]], [cast.prison.device]):
        if isinstance(signers[0], HybridSigner):
            refused(cast.world, revocation(cast.prison.identity.key_id, *signers), UntrustedKey)
    cast.world.revoke(cast.prison.identity.key_id, *APPROVERS[:2])
    cast.world.revoke(cast.probation.identity.key_id, *ROOT_PERSONS[:2])


def test_dir_2_an_authority_is_revoked_by_the_root_only(cast: Cast) -> None:
    target = parse_statement(cast.world.authority).digest
    refused(cast.world, revocation(target, *APPROVERS), UntrustedKey)
    refused(cast.world, revocation(target, ROOT_PERSONS[0]), UntrustedKey)
    cast.world.revoke(target, *ROOT_PERSONS[:2])


def test_dir_2_what_is_unknown_or_no_certificate_is_not_revoked(cast: Cast) -> None:
    root_digest = parse_statement(cast.world.root).digest
    prekey_digest = parse_statement(cast.world.statements[-1]).digest
    for target in (seed("nothing"), root_digest, prekey_digest, APPROVERS[0].key_id):
        refused(cast.world, revocation(target, *ROOT_PERSONS), UntrustedKey)


def test_dir_6_what_is_revoked_is_not_revoked_again_and_does_not_come_back(cast: Cast) -> None:
    world = cast.world
    world.revoke(cast.prison.device.key_id, cast.prison.identity)
    again = signed(Revocation(cast.prison.device.key_id, "superseded"), *APPROVERS)
    refused(world, again, Revoked)
    refused(world, signed(cast.prison.device_subject(desks=("release",)), cast.prison.identity), Revoked)
    refused(world, signed(cast.prison.prekey_subject(2), cast.prison.device), Revoked)
    world.revoke(cast.probation.identity.key_id, *APPROVERS[:2])
    refused(world, signed(cast.probation.agency_subject(), *APPROVERS[:2]), Revoked)
    refused(world, signed(cast.probation.delegation_subject(), cast.probation.identity), Revoked)


def test_dir_1_a_revocation_with_a_bad_signature_revokes_nothing(cast: Cast) -> None:
    parsed = parse_statement(revocation(cast.prison.device.key_id, cast.prison.identity))
    forged = identity("mallory").sign(b"tc/1 statement\0", parsed.body_bytes)
    raw = encode_statement(parsed.body_bytes, [StatementSignature(cast.prison.identity.key_id, *forged)])
    refused(cast.world, raw, BadSignature)
