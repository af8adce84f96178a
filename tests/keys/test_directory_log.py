# SPDX-License-Identifier: Apache-2.0
"""The directory as a log: replays agree, roots are RFC 6962's, refused bytes change nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keys.directory import Directory
from keys.signing import Ed25519Signer, sign_head, sign_statement
from keys.verifying import verify_head
from protocol.errors import (
    BadSignature,
    DirectoryInconsistent,
    MalformedEnvelope,
    Revoked,
    ThroughcareError,
    UntrustedKey,
)
from protocol.receipts import Head
from protocol.statements import Delegation, encode_statement, parse_statement
from protocol.tree import leaf_hash, root_of
from tests.keys.world import (
    APPROVERS,
    DIRECTORY_KEY,
    DOMAIN,
    NOW,
    Cast,
    body,
    make_cast,
    revocation,
    seed,
)


def replay(cast: Cast, *, verified: bool = False) -> Directory:
    directory = Directory(cast.world.directory.root_fingerprint, DOMAIN)
    for raw in cast.world.statements:
        directory.apply(raw, verified=verified)
    return directory


def test_dir_10_two_replays_agree_in_everything(shared_cast: Cast) -> None:
    world = shared_cast.world
    for verified in (False, True):
        again = replay(shared_cast, verified=verified)
        assert (again.size, again.root) == (world.directory.size, world.directory.root)
        assert again.desks(NOW) == world.directory.desks(NOW)


def test_aud_2_the_directorys_root_is_that_of_its_statements_bytes(shared_cast: Cast) -> None:
    world = shared_cast.world
    hashes = [leaf_hash(raw) for raw in world.statements]
    for size in range(world.directory.size + 1):
        assert world.directory.root_at(size) == root_of(hashes[:size])
    assert world.directory.root == root_of(hashes)
    assert world.directory.root_at(world.directory.size + 1) is None
    assert world.directory.root_at(-1) is None


def test_dir_13_the_directorys_origin_is_the_hubs(shared_cast: Cast) -> None:
    assert shared_cast.world.directory.origin == "hub.example/directory"


def test_cbor_8_a_statement_is_known_by_what_was_signed(cast: Cast) -> None:
    world = cast.world
    assert [world.directory.index_of(raw) for raw in world.statements] == list(range(world.directory.size))
    last = parse_statement(world.authority)
    other_signatures = sign_statement(last.body, APPROVERS)
    assert world.directory.index_of(other_signatures) == 1
    new = sign_statement(body(cast.prison.prekey_subject(9), issued=NOW), [cast.prison.device])
    assert world.directory.index_of(new) is None


def test_a_verified_statement_still_obeys_the_rules(cast: Cast) -> None:
    """What was stored as verified is trusted for its signatures, not for anything else."""
    raw = revocation(cast.prison.device.key_id, cast.probation.identity)
    with pytest.raises(UntrustedKey):
        cast.world.directory.apply(raw, verified=True)
    with pytest.raises(UntrustedKey):
        cast.world.directory.apply(cast.world.statements[-1], verified=True)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_dir_1_a_statement_with_any_bit_flipped_is_refused(data: st.DataObject) -> None:
    cast = CAST
    raw = data.draw(st.sampled_from(NEXT))
    position = data.draw(st.integers(0, len(raw) * 8 - 1))
    spoilt = bytearray(raw)
    spoilt[position // 8] ^= 1 << position % 8
    before = (cast.world.directory.size, cast.world.directory.root)
    with pytest.raises((MalformedEnvelope, UntrustedKey, BadSignature, Revoked)):
        cast.world.directory.apply(bytes(spoilt))
    assert (cast.world.directory.size, cast.world.directory.root) == before
    cast.world.directory.check(raw)


CAST = make_cast()
NEXT = [
    sign_statement(body(CAST.prison.prekey_subject(9), issued=NOW), [CAST.prison.device]),
    revocation(CAST.prison.device.key_id, CAST.prison.identity),
    revocation(CAST.prison.identity.key_id, *APPROVERS[:2]),
    sign_statement(
        body(
            Delegation(
                CAST.prison.address,
                CAST.prison.officer,
                CAST.prison.delegation_subject().actor_kind,
                "Release coordinator",
                ("release",),
            ),
            issued=NOW,
        ),
        [CAST.prison.identity],
    ),
]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 13), max_size=14), st.booleans())
def test_dir_2_a_log_in_any_other_order_is_never_accepted_as_the_same(order: list[int], swap: bool) -> None:
    """A hub that shuffles, repeats or leaves out statements either is refused or reaches another root."""
    fingerprint = CAST.world.directory.root_fingerprint
    statements = CAST.world.statements
    directory = Directory(fingerprint, DOMAIN)
    taken = []
    for index in order:
        before = (directory.size, directory.root)
        try:
            directory.apply(statements[index])
            taken.append(index)
        except ThroughcareError:
            assert (directory.size, directory.root) == before
    assert (directory.root == CAST.world.directory.root) == (taken == list(range(len(statements))))


def test_dir_1_a_statement_without_signatures_is_malformed(cast: Cast) -> None:
    unsigned = encode_statement(body(cast.prison.prekey_subject(9), issued=NOW).encode(), [])
    with pytest.raises(MalformedEnvelope):
        cast.world.directory.check(unsigned)


def test_dir_10_a_head_is_believed_from_the_pinned_log_only() -> None:
    head = Head(f"{DOMAIN}/directory", 3, seed("root"), NOW)
    raw = sign_head(head, DIRECTORY_KEY)
    assert verify_head(raw, f"{DOMAIN}/directory", DIRECTORY_KEY.public) == head
    other = Ed25519Signer.from_seed(seed("another log"))
    for origin, key in (
        (f"{DOMAIN}/audit", DIRECTORY_KEY.public),
        (f"{DOMAIN}/directory", other.public),
    ):
        with pytest.raises(DirectoryInconsistent):
            verify_head(raw, origin, key)
    with pytest.raises(DirectoryInconsistent):
        verify_head(raw[:-1] + bytes([raw[-1] ^ 1]), f"{DOMAIN}/directory", DIRECTORY_KEY.public)
    with pytest.raises(MalformedEnvelope):
        verify_head(raw + b"\0", f"{DOMAIN}/directory", DIRECTORY_KEY.public)
