# SPDX-License-Identifier: Apache-2.0
"""The tree is that of RFC 6962, and no proof but the right one is believed (AUD-2, attacks 43, 44 and 47)."""

import hashlib
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import DirectoryInconsistent
from protocol.tree import (
    EMPTY_ROOT,
    CompactRange,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)

# The test vectors of the reference implementation, google/certificate-transparency merkle_tree_test.cc.
LEAVES = [
    bytes.fromhex(text)
    for text in ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
HASHES = [leaf_hash(leaf) for leaf in LEAVES]

sizes = st.integers(min_value=1, max_value=70)


def leaves_of(size: int) -> list[bytes]:
    return [b"leaf %d" % number for number in range(size)]


def hashes_of(size: int) -> list[bytes]:
    return [leaf_hash(leaf) for leaf in leaves_of(size)]


def test_aud_2_the_root_without_leaves_is_the_hash_of_nothing() -> None:
    expected = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert EMPTY_ROOT.hex() == CompactRange().root.hex() == root_of([]).hex() == expected


@pytest.mark.parametrize("size", list(range(1, 9)))
def test_aud_2_roots_are_those_of_the_reference_implementation(size: int) -> None:
    assert root_of(HASHES[:size]).hex() == ROOTS[size - 1]


def test_aud_2_inclusion_proofs_are_those_of_the_reference_implementation() -> None:
    expected = [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]
    assert [item.hex() for item in inclusion_proof(0, 8, HASHES.__getitem__)] == expected
    assert [item.hex() for item in inclusion_proof(2, 3, HASHES.__getitem__)] == [ROOTS[1]]


def test_aud_2_consistency_proofs_are_those_of_the_reference_implementation() -> None:
    expected = [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    assert [item.hex() for item in consistency_proof(6, 8, HASHES.__getitem__)] == expected
    assert consistency_proof(8, 8, HASHES.__getitem__) == consistency_proof(0, 8, HASHES.__getitem__) == ()


@given(sizes, st.data())
def test_aud_2_every_leaf_is_proven_by_its_own_proof_and_in_no_other_place(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    other = data.draw(st.integers(0, size - 1))
    leaves, hashes = leaves_of(size), hashes_of(size)
    proof, root = inclusion_proof(index, size, hashes.__getitem__), root_of(hashes)
    verify_inclusion(leaves[index], index, size, proof, root)
    if other != index:
        with pytest.raises(DirectoryInconsistent):
            verify_inclusion(leaves[other], index, size, proof, root)
        with pytest.raises(DirectoryInconsistent):
            verify_inclusion(leaves[index], other, size, proof, root)


@given(sizes, st.data())
def test_aud_2_a_proof_that_is_changed_shortened_or_lengthened_is_refused(size: int, data: st.DataObject) -> None:
    """Attack 43."""
    index = data.draw(st.integers(0, size - 1))
    hashes = hashes_of(size)
    proof, root = list(inclusion_proof(index, size, hashes.__getitem__)), root_of(hashes)
    wrong = [[*proof, hashes[0]], [hashes[0], *proof], [*proof, root], [*proof, b"\0" * 31], [*proof, *[root] * 70]]
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        flipped = bytes([proof[at][0] ^ 1]) + proof[at][1:]
        wrong += [proof[:-1], proof[1:], [*proof[:at], flipped, *proof[at + 1 :]], [*proof[:-1], proof[-1] + b"\0"]]
        if proof[::-1] != proof:
            wrong.append(proof[::-1])
    for bad in wrong:
        with pytest.raises(DirectoryInconsistent):
            verify_inclusion(b"leaf %d" % index, index, size, bad, root)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (-1, 1), (1, 1), (2, 1), (0, -1), (0, 2**63), (2**70, 2**71)])
def test_aud_2_a_proof_for_no_leaf_of_the_tree_is_refused(index: int, size: int) -> None:
    """Attack 43: wrong index, size 0."""
    with pytest.raises(DirectoryInconsistent):
        verify_inclusion(b"", index, size, (), leaf_hash(b""))


def test_aud_2_an_inner_node_never_passes_for_a_leaf() -> None:
    """Attack 47: a leaf of 64 bytes that are the two hashes below a node."""
    hashes = hashes_of(4)
    root = root_of(hashes)
    inner = hashes[0] + hashes[1]
    right = node_hash(hashes[2], hashes[3])
    with pytest.raises(DirectoryInconsistent):
        verify_inclusion(inner, 0, 2, (right,), root)
    with pytest.raises(DirectoryInconsistent):
        verify_inclusion(b"\x01" + inner, 0, 2, (right,), root)
    assert leaf_hash(inner) != node_hash(hashes[0], hashes[1])
    assert hashlib.sha256(inner).digest() not in {leaf_hash(inner), node_hash(hashes[0], hashes[1])}


@given(sizes, sizes)
def test_aud_2_a_log_that_grew_is_proven_consistent(first: int, second: int) -> None:
    old, new = sorted((first, second))
    hashes = hashes_of(new)
    proof = consistency_proof(old, new, hashes.__getitem__)
    verify_consistency(old, root_of(hashes[:old]), new, root_of(hashes), proof)


@given(sizes, sizes, st.data())
def test_aud_2_a_rewritten_log_is_never_proven_consistent(first: int, second: int, data: st.DataObject) -> None:
    """Attack 44: inconsistent consistency proofs."""
    old, new = sorted((first, second))
    hashes = hashes_of(new)
    changed = data.draw(st.integers(0, old - 1))
    other = [*hashes[:changed], leaf_hash(b"another"), *hashes[changed + 1 :]]
    proof = consistency_proof(old, new, hashes.__getitem__)
    forged = consistency_proof(old, new, other.__getitem__)
    old_root, root, other_root = root_of(hashes[:old]), root_of(hashes), root_of(other)
    for roots, attempt in [((old_root, other_root), proof), ((old_root, other_root), forged), ((root, root), proof)]:
        if roots[0] == root == roots[1] and old == new:
            continue
        with pytest.raises(DirectoryInconsistent):
            verify_consistency(old, roots[0], new, roots[1], attempt)
    for bad in ([*proof, root], proof[:-1] if proof else [root], [*proof, b""]):
        with pytest.raises(DirectoryInconsistent):
            verify_consistency(old, old_root, new, root, bad)


def test_aud_2_a_log_that_shrank_or_has_two_roots_at_one_size_is_inconsistent() -> None:
    """Attack 44: smaller size after larger, two roots at one size."""
    hashes = hashes_of(5)
    with pytest.raises(DirectoryInconsistent):
        verify_consistency(5, root_of(hashes), 4, root_of(hashes[:4]), ())
    with pytest.raises(DirectoryInconsistent):
        verify_consistency(5, root_of(hashes), 5, root_of(hashes[:4]), ())
    with pytest.raises(DirectoryInconsistent):
        verify_consistency(0, EMPTY_ROOT, 0, root_of(hashes), ())
    with pytest.raises(DirectoryInconsistent):
        verify_consistency(0, root_of(hashes), 5, root_of(hashes), ())
    verify_consistency(0, EMPTY_ROOT, 5, root_of(hashes), ())
    verify_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, ())


@given(st.integers(0, 300), st.integers(0, 40))
def test_aud_2_a_stored_state_goes_on_where_it_stopped(before: int, after: int) -> None:
    hashes = hashes_of(before + after)
    state = CompactRange()
    for leaf in hashes[:before]:
        state.append(leaf)
    kept, stored = state.copy(), CompactRange.decode(state.encode())
    assert [stored.append(leaf) for leaf in hashes[before:]] == list(range(before, before + after))
    assert (stored.size, stored.root) == (before + after, root_of(hashes))
    assert (kept.size, kept.root) == (before, root_of(hashes[:before]))
    assert len(stored.encode()) <= 8 + 32 * 63
    assert CompactRange(state.size, state.peaks).encode() == state.encode()


@pytest.mark.parametrize("bad", [b"", b"\0" * 7, b"\0" * 8 + b"x", b"\0" * 7 + b"\x01", b"\xff" * (8 + 64 * 32)])
def test_aud_2_a_damaged_stored_state_is_refused(bad: bytes) -> None:
    with pytest.raises(DirectoryInconsistent):
        CompactRange.decode(bad)


def test_aud_2_asking_for_a_proof_that_cannot_be_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="no such leaf"):
        inclusion_proof(3, 3, HASHES.__getitem__)
    with pytest.raises(ValueError, match="larger"):
        consistency_proof(4, 3, HASHES.__getitem__)


def test_a_log_of_millions_grows_by_one_hash_for_each_leaf(monkeypatch: pytest.MonkeyPatch) -> None:
    leaf, count = leaf_hash(b""), 10_000
    sha256 = Mock(wraps=hashlib.sha256)
    monkeypatch.setattr(hashlib, "sha256", sha256)
    state = CompactRange()
    for _ in range(count):
        state.append(leaf)
    assert sha256.call_count < count
