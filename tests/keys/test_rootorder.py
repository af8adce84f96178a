# SPDX-License-Identifier: Apache-2.0
"""Statements of root and authority that were kept as files go into a directory in an order that it takes (DIR-2)."""

from hypothesis import given
from hypothesis import strategies as st

from keys.directory import Directory
from keys.rootorder import in_order
from keys.signing import HybridSigner, sign_statement
from protocol.limits import DAY, HOUR
from protocol.statements import Authority, Body, Root, Subject, parse_statement
from tests.keys.world import identity
from tests.programme import NOW

PERSONS = [identity(f"root person {number}") for number in range(3)]
COMES = identity("newcomer to the root")


def signed(subject: Subject, at: int, *signers: HybridSigner) -> bytes:
    return sign_statement(Body(at, NOW - DAY, NOW + 80 * DAY, subject), signers)


def root(version: int, *people: HybridSigner) -> Root:
    return Root(version, 2, tuple(one.public for one in people), "Demo programme")


AUTHORITY = Authority("J", 2, (identity("approver 0").public, identity("approver 1").public), "hub.example")
FIRST = signed(root(1, *PERSONS), NOW, *PERSONS[:2])
SECOND = signed(root(2, *PERSONS[:2], COMES), NOW + HOUR, *PERSONS[:2], COMES)


@given(
    st.sampled_from([(0, 1), (0, 2), (0, 3)]), st.sampled_from([NOW + 1, NOW + 2 * HOUR]), st.permutations([0, 1, 2])
)
def test_dir_2_a_root_and_its_authority_are_taken_whoever_of_the_root_was_faster(
    by: tuple[int, int], at: int, order: list[int]
) -> None:
    """One who left may have signed the authority after the root was begun that he is not in: it goes before that."""
    people = [*PERSONS, COMES]
    signers = [people[one] for one in by]
    authority = signed(AUTHORITY, NOW + 2 * HOUR if COMES in signers else at, *signers)
    files = [FIRST, SECOND, authority]
    directory = Directory(parse_statement(FIRST).digest, "hub.example")
    for raw in in_order(files[one] for one in order):
        directory.apply(raw)
    assert directory.size == len(files)
    assert directory.authority("hub.example") is not None
    # A hub that has the first already is given the others alone (GEN-10).
    directory = Directory(parse_statement(FIRST).digest, "hub.example")
    for raw in (FIRST, *in_order(files[one] for one in order if one)):
        directory.apply(raw)


def test_dir_2_of_one_statement_or_none_the_order_is_itself() -> None:
    assert in_order([]) == ()
    assert in_order([FIRST]) == (FIRST,)
