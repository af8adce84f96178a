# SPDX-License-Identifier: Apache-2.0
"""Receipts, signed from committed state: the same entry always gives the same bytes (AUD-5)."""

from collections import OrderedDict
from collections.abc import Callable, Sequence

from hub.logs import Event, Log
from hub.service.damage import UNREADABLE, EntryDamaged
from hub.store.envelopes import Entry, tree_check
from keys.signing import Ed25519Signer, sign_receipt
from protocol.generations import generation_at, origin_of
from protocol.limits import HASH
from protocol.receipts import Leaf, ReceiptBody, ReceiptKind, commitment
from protocol.tree import leaf_hash

REMEMBERED = 4_096
"""Receipts kept in memory: whoever collects soon after acceptance costs no second signature."""


class Receipts:
    """Makes the receipts of the audit log `origin`."""

    def __init__(self, origin: str, key: Ed25519Signer, log: Log, starts: Callable[[], Sequence[int]] = tuple) -> None:
        """`starts` gives the leaves that each generation after the first has kept (GEN-1)."""
        self._origin = origin
        self._starts = starts
        self._key = key
        self._log = log
        self._made: OrderedDict[int, bytes] = OrderedDict()
        self._damaged = set[int]()

    def of(self, entry: Entry) -> bytes:
        """Return the receipt of `entry`, which must be committed and guarded (AUD-3).

        Raises EntryDamaged for one that was read back as something else than its leaf commits to.
        """
        made = self._made.get(entry.index)
        if made is None:
            if not self.is_sound(entry):
                raise EntryDamaged
            made = sign_receipt(self._body(entry), self._key)
            self._made[entry.index] = made
            if len(self._made) > REMEMBERED:
                self._made.popitem(last=False)
        return made

    def is_sound(self, entry: Entry) -> bool:
        """Tell whether an entry is what its leaf commits to, and log one that is not; what was made here is (AUD-5).

        Before that nothing of what was read back may be used, not even the size of its tree.
        """
        if entry.known_kind is None:
            entry.known_kind = _kind_of(entry)
        if entry.known_kind is None:
            self.tell(entry)
        return entry.known_kind is not None

    def tell(self, entry: Entry) -> None:
        """Log a damaged entry, each once: whoever needs it comes again and again."""
        if entry.index not in self._damaged and len(self._damaged) < REMEMBERED:
            self._damaged.add(entry.index)
            self._log.error(Event.ENTRY_DAMAGED)

    def _body(self, entry: Entry) -> bytes:
        return ReceiptBody(
            kind=entry.kind,
            origin=origin_of(self._origin, generation_at(self._starts(), entry.index)),
            index=entry.index,
            size=entry.size,
            root=entry.root,
            leaf_bytes=entry.leaf,
            salt=entry.salt,
            detail_bytes=entry.detail,
        ).encode()


def _kind_of(entry: Entry) -> ReceiptKind | None:
    """Return what happened by a stored entry, or None if the disk has changed it.

    The leaf must be the one that was hashed into the tree, and must open to the detail (AUD-5). Its tree must be
    the one that its checksum is of; entries of before revision 0008 have none.
    """
    try:
        hashed = leaf_hash(entry.leaf) == entry.leaf_hash
        opened = commitment(entry.salt, entry.detail) == Leaf.parse(entry.leaf).commitment
        grown = entry.index < entry.size and isinstance(entry.root, bytes) and len(entry.root) == HASH
        named = entry.tree_check in (None, tree_check(entry.index, entry.size, entry.root))
        return entry.kind if hashed and opened and grown and named else None
    except UNREADABLE:
        return None
