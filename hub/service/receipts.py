# SPDX-License-Identifier: Apache-2.0
"""Receipts, signed from committed state: the same entry always gives the same bytes (AUD-5)."""

from collections import OrderedDict
from collections.abc import Callable, Sequence

from hub.store.envelopes import Entry
from keys.signing import Ed25519Signer, sign_receipt
from protocol.generations import generation_at, origin_of
from protocol.receipts import ReceiptBody

REMEMBERED = 4_096
"""Receipts kept in memory: whoever collects soon after acceptance costs no second signature."""


class Receipts:
    """Makes the receipts of the audit log `origin`."""

    def __init__(self, origin: str, key: Ed25519Signer, starts: Callable[[], Sequence[int]] = tuple) -> None:
        """`starts` gives the leaves that each generation after the first has kept (GEN-1)."""
        self._origin = origin
        self._starts = starts
        self._key = key
        self._made: OrderedDict[int, bytes] = OrderedDict()

    def of(self, entry: Entry) -> bytes:
        """Return the receipt of `entry`, which must be committed and guarded (AUD-3)."""
        made = self._made.get(entry.index)
        if made is None:
            made = sign_receipt(self._body(entry), self._key)
            self._made[entry.index] = made
            if len(self._made) > REMEMBERED:
                self._made.popitem(last=False)
        return made

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
