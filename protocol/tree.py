# SPDX-License-Identifier: Apache-2.0
"""The Merkle tree of RFC 6962 section 2.1: roots, proofs and their checking (AUD-2).

Leaves and inner nodes are hashed with different first bytes, and a proof is always checked against the leaf's own
bytes, so that an inner node can never pass for a leaf. Everything a log or a stranger may have made up ends in
`DirectoryInconsistent`; arguments that only our own code can get wrong are a `ValueError`.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Self

from protocol.errors import DirectoryInconsistent
from protocol.limits import HASH

EMPTY_ROOT = hashlib.sha256().digest()
"""The root of a tree without leaves."""
MAX_SIZE = 2**63
"""Leaves of one log; a proof can hold no more than 64 hashes."""

_SIZE_BYTES = 8

LeafHashes = Callable[[int], bytes]
"""Gives the leaf hash at an index, such as `list.__getitem__` of a list."""


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of a leaf's bytes (AUD-2)."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node over the hashes of its two children (AUD-2)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class CompactRange:
    """All of a growing tree that is needed to append to it and to know its root.

    It holds one hash for each bit of the size, largest subtree first: at most 63, whatever the log holds. The store
    keeps `encode()` in the transaction that adds the leaf (AUD-3).
    """

    __slots__ = ("_hashes", "_size")

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        self._size = size
        self._hashes = list(hashes)
        if len(self._hashes) != size.bit_count():
            raise DirectoryInconsistent("The stored state of a log is damaged.")

    @property
    def size(self) -> int:
        """Return the number of leaves."""
        return self._size

    @property
    def peaks(self) -> tuple[bytes, ...]:
        """Return the hashes of the complete subtrees, largest first; with the size they are the whole state."""
        return tuple(self._hashes)

    @property
    def root(self) -> bytes:
        """Return the root hash, 32 bytes."""
        if not self._hashes:
            return EMPTY_ROOT
        root = self._hashes[-1]
        for left in self._hashes[-2::-1]:
            root = node_hash(left, root)
        return root

    def append(self, leaf: bytes) -> int:
        """Add the leaf hash `leaf` (see `leaf_hash`) and return its index."""
        hashes, index, merged = self._hashes, self._size, leaf
        # Each low bit that is set is a complete subtree of the same size as what is merged so far.
        carry = index
        while carry & 1:
            merged = hashlib.sha256(b"\x01" + hashes.pop() + merged).digest()
            carry >>= 1
        hashes.append(merged)
        self._size = index + 1
        return index

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add many leaf hashes at once, level by level: faster than one after the other."""
        sha256, size, kept = hashlib.sha256, self._size, list[bytes]()
        nodes, level = list(leaves), 0
        while nodes or size >> level:
            if not nodes:
                # Nothing is carried any further: what is there already stays.
                kept.extend(reversed(self._hashes))
                break
            if size >> level & 1:
                nodes.insert(0, self._hashes.pop())
            if len(nodes) & 1:
                kept.append(nodes.pop())
            pairs = iter(nodes)
            nodes = [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
            level += 1
        self._hashes = kept[::-1]
        self._size = size + len(leaves)

    def copy(self) -> Self:
        """Return an independent copy, for a transaction that may yet be rolled back."""
        return type(self)(self._size, self._hashes)

    def encode(self) -> bytes:
        """Return size (8 bytes, big-endian) and hashes, for the store."""
        return self._size.to_bytes(_SIZE_BYTES, "big") + b"".join(self._hashes)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the tree state that `encode` wrote; `DirectoryInconsistent` if the bytes cannot be one."""
        size, body = int.from_bytes(data[:_SIZE_BYTES], "big"), data[_SIZE_BYTES:]
        if len(data) < _SIZE_BYTES or size >= MAX_SIZE or len(body) % HASH:
            raise DirectoryInconsistent("The stored state of a log is damaged.")
        return cls(size, (body[at : at + HASH] for at in range(0, len(body), HASH)))


def root_of(leaf_hashes: Iterable[bytes]) -> bytes:
    """Return the root of the tree over these leaf hashes."""
    state = CompactRange()
    for leaf in leaf_hashes:
        state.append(leaf)
    return state.root


def _split(size: int) -> int:
    """Return the largest power of two below `size` (RFC 6962: k)."""
    return 1 << (size - 1).bit_length() - 1


def _root_between(start: int, end: int, hashes: LeafHashes) -> bytes:
    return root_of(hashes(index) for index in range(start, end))


def inclusion_proof(index: int, size: int, hashes: LeafHashes) -> tuple[bytes, ...]:
    """Return the audit path of leaf `index` in the tree of the first `size` leaves (RFC 6962 section 2.1.1)."""
    if not 0 <= index < size:
        raise ValueError("there is no such leaf in a tree of this size")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_root_between(middle, end, hashes))
            end = middle
        else:
            path.append(_root_between(start, middle, hashes))
            start = middle
    return tuple(reversed(path))


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that the leaf with the bytes `leaf` is number `index` of the tree with `size` leaves and `root`.

    Takes the leaf, not its hash: the hash of an inner node can then never stand for a leaf (AUD-2). Raises
    `DirectoryInconsistent` for everything else than the one right proof.
    """
    if not 0 <= index < size < MAX_SIZE:
        raise DirectoryInconsistent("A proof names a leaf that the log cannot have.")
    _check_hashes((root, *proof))
    # The path has a hash for each level at which the leaf has a sibling: all levels below where the way to the
    # leaf and the right edge of the tree part, and above that only where the way turns right.
    inner = (index ^ (size - 1)).bit_length()
    if len(proof) != inner + (index >> inner).bit_count():
        raise DirectoryInconsistent("A proof is too long or too short for its place in the log.")
    found = leaf_hash(leaf)
    for level, sibling in enumerate(proof):
        if level >= inner or index >> level & 1:
            found = node_hash(sibling, found)
        else:
            found = node_hash(found, sibling)
    if found != root:
        raise DirectoryInconsistent("A proof does not lead to the log's root.")


def consistency_proof(old_size: int, size: int, hashes: LeafHashes) -> tuple[bytes, ...]:
    """Return the proof that the tree of `old_size` leaves is the beginning of that of `size` (RFC 6962 2.1.2)."""
    if not 0 <= old_size <= size:
        raise ValueError("the older tree cannot be larger")
    if old_size in (0, size):
        return ()
    path: list[bytes] = []
    start, end, whole = 0, size, True
    while end != old_size:
        middle = start + _split(end - start)
        if old_size <= middle:
            path.append(_root_between(middle, end, hashes))
            end = middle
        else:
            path.append(_root_between(start, middle, hashes))
            start, whole = middle, False
    if not whole:
        path.append(_root_between(start, end, hashes))
    return tuple(reversed(path))


def verify_consistency(old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree of `old_size` leaves with `old_root` is the beginning of that of `size` with `root`.

    Raises `DirectoryInconsistent` for everything else than the one right proof, a shrunken log included.
    """
    if not 0 <= old_size <= size < MAX_SIZE:
        raise DirectoryInconsistent("The log is smaller than it was.")
    _check_hashes((old_root, root, *proof))
    if old_size in (0, size):
        expected = root if old_size else EMPTY_ROOT
        if proof or old_root != expected or (size == 0 and root != EMPTY_ROOT):
            raise DirectoryInconsistent("The log has another root at a size that was seen before.")
        return
    # Start at the largest complete subtree that ends at the old size; it is the old root itself if the old tree
    # is complete, and then the proof leaves it out.
    shift = (old_size & -old_size).bit_length() - 1
    index, last = old_size - 1 >> shift, size - 1 >> shift
    hashes = list(proof) if index else [old_root, *proof]
    inner = (index ^ last).bit_length()
    if len(hashes) != 1 + inner + (index >> inner).bit_count():
        raise DirectoryInconsistent("A proof is too long or too short for the two sizes.")
    old = new = hashes[0]
    for level, sibling in enumerate(hashes[1:]):
        if level >= inner or index >> level & 1:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
        else:
            new = node_hash(new, sibling)
    if old != old_root or new != root:
        raise DirectoryInconsistent("The log is not a continuation of what was seen before.")


def _check_hashes(hashes: Iterable[bytes]) -> None:
    if any(len(item) != HASH for item in hashes):
        raise DirectoryInconsistent("A hash of the log has the wrong size.")
