# SPDX-License-Identifier: Apache-2.0
"""One transaction of the writer while it is being made: what its changes append, insert and delete.

Rows are collected and written with one statement per table, since a statement costs more than a row. The
index of a leaf comes from the tree state read in this very transaction, and the new state is stored in it
(AUD-3).
"""

import secrets
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from sqlalchemy import Connection

from hub.service.damage import damaged, naming
from hub.service.following import Followed
from hub.store import envelopes, mailboxes, nonces, trees
from hub.store.engine import NAMED, News
from hub.store.envelopes import Accepted, Entry
from hub.store.mailboxes import Removal, SliceParts, StoredItem
from hub.store.statements import TAKEN, Inserts
from hub.store.trees import Log
from protocol.ids import ID_SIZE, EnvelopeId, KeyId
from protocol.limits import CLOCK_SKEW
from protocol.receipts import SALT_SIZE, Detail, Leaf, commitment
from protocol.tree import CompactRange

T_co = TypeVar("T_co", covariant=True)

Finish = Callable[[], T_co]
"""Makes the answer of a change once it is committed and guarded; receipts are signed here, never earlier."""


class Change(ABC, Generic[T_co]):
    """Something that the writer is asked to do.

    `apply` runs inside the transaction, together with other changes. It either raises a ThroughcareError before
    it has changed anything, or does all of its work and returns what makes the answer.
    """

    weight: int = 512
    """About how many bytes it writes; groups are cut by it."""
    patience_s: float = 0
    """Seconds for which it may wait for others to share a commit with."""
    envelope_id: EnvelopeId | None = None
    """An id that is looked up for the whole group at once; see `Transaction.known`."""
    nonce: tuple[KeyId, bytes] | None = None
    """A device's nonce that is looked up in the same way; see `Transaction.used_nonces`."""

    @abstractmethod
    def apply(self, transaction: "Transaction") -> Finish[T_co]:
        """Make the change inside `transaction`."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """An item that a transaction puts into a mailbox: as a row, and for whoever waits for it."""

    entry: Entry
    size: int
    """About the bytes of the item on the wire."""
    parts: Callable[[], SliceParts] | None = field(default=None, repr=False)
    """Makes what the slice consists of; a notice has none."""

    def item(self) -> StoredItem:
        """Return the item as it would be read back."""
        return StoredItem(self.entry, self.parts() if self.parts is not None else None)


class Transaction:
    """What a group of changes does to the database; `flush` writes what was collected."""

    # Parents first, for the sake of foreign keys.
    _ORDER: ClassVar[tuple[Inserts, ...]] = (
        envelopes.NEW_ENVELOPES,
        envelopes.NEW_SECTIONS,
        envelopes.NEW_DELIVERIES,
    )

    def __init__(
        self, connection: Connection, clock_now: int, changes: Sequence[Change[Any]], followed: Followed
    ) -> None:
        """Lock and read the state of the logs, compare it with `followed`, and look up what `changes` ask for."""
        self.connection = connection
        self._followed = followed
        with naming("The state of a log"):
            self._trees = trees.load_trees(connection)
        followed.check(connection, self._trees)
        self._roots: dict[Log, tuple[int, bytes]] = {}
        self._sizes = {log: tree.state.size for log, tree in self._trees.items()}
        # A clock that is set back does not turn the log's time back; far back, it is wrong (AUD-7).
        self.now = max(clock_now, self._trees[Log.AUDIT].at)
        self.clock_is_behind = clock_now + CLOCK_SKEW < self.now
        wanted = {change.envelope_id for change in changes if change.envelope_id is not None}
        self.known: dict[EnvelopeId, Accepted] = envelopes.accepted(connection, wanted)
        self.used_nonces = nonces.used(connection, (change.nonce for change in changes if change.nonce is not None))
        self.delivered: dict[KeyId, list[Delivered]] = defaultdict(list)
        self.purged = False
        """Whether items were deleted that nobody has acknowledged."""
        self._rows: dict[Inserts, list[dict[str, object]]] = defaultdict(list)
        self._leaves: list[dict[str, object]] = []
        self._entries: list[Entry] = []
        self._removals: list[Removal] = []
        self.steps = 0
        """How often something was appended, inserted or removed."""
        self.removed = 0
        """How many acknowledged deliveries it deletes."""

    def size_before(self, log: Log) -> int:
        """Return how many leaves `log` had before this transaction."""
        return self._sizes[log]

    def size(self, log: Log) -> int:
        """Return how many leaves `log` has, with those of this transaction."""
        return self._trees[log].state.size

    def root(self, log: Log) -> bytes:
        """Return the root of `log`, with the leaves of this transaction."""
        state = self._trees[log].state
        size, root = self._roots.get(log, (-1, b""))
        if size != state.size:
            # Each envelope's leaf names the directory's root, which is some ten hashes.
            root = state.root
            self._roots[log] = state.size, root
        return root

    def append(self, log: Log, leaf: bytes) -> int:
        """Append a leaf and return its index."""
        self.steps += 1
        tree = self._trees[log]
        row = trees.leaf_row(log, tree.state.size, leaf)
        self._leaves.append(row)
        tree.at = self.now
        return tree.state.append(row["hash"])  # type: ignore[arg-type] # a row's values are objects to the database

    def record(self, detail: Detail) -> Entry:
        """Append an audit leaf that commits to `detail` and names nobody (AUD-1)."""
        # One call for both: each asks the system.
        random, encoded = secrets.token_bytes(SALT_SIZE + ID_SIZE), detail.encode()
        salt = random[:SALT_SIZE]
        leaf = Leaf(self.now, commitment(salt, encoded), random[SALT_SIZE:]).encode()
        entry = Entry(self.append(Log.AUDIT, leaf), leaf, salt, encoded, known_kind=detail.kind)
        self._entries.append(entry)
        return entry

    def insert(self, statement: Inserts, row: dict[str, object]) -> None:
        """Collect a row to be inserted."""
        self.steps += 1
        self._rows[statement].append(row)

    def deliver(self, device: KeyId, row: dict[str, object], item: Delivered) -> None:
        """Put an item into a mailbox; its owner is told once it is committed."""
        row |= {"device_id": device, "idx": item.entry.index, "size": item.size}
        self.insert(envelopes.NEW_DELIVERIES, row)
        self.delivered[device].append(item)

    def remove(self, removals: Sequence[Removal]) -> None:
        """Collect acknowledged deliveries to be deleted."""
        self.steps += 1
        self._removals.extend(removals)
        self.removed += len(removals)

    def settle(self) -> None:
        """Delete what was collected for deletion, before something asks what is left."""
        if self._removals:
            mailboxes.remove(self.connection, self._removals)
            self._removals.clear()

    def flush(self) -> None:
        """Write everything that was collected, and the new state of the logs."""
        self.settle()
        audit = self._trees[Log.AUDIT].state
        if self._entries:
            root = audit.root
            for entry in self._entries:
                entry.size, entry.root = audit.size, root
                self.insert(envelopes.NEW_DETAILS, entry.row())
        try:
            if self._leaves:
                trees.append_leaves(self.connection, self._leaves)
            envelopes.NEW_DETAILS.run(self.connection, self._rows.pop(envelopes.NEW_DETAILS, ()))
        except TAKEN as error:
            # Something is stored of a leaf that is not there yet, and would stand in its way for good.
            raise damaged("What is stored behind the end of a log") from error
        for statement in (*self._ORDER, *(self._rows.keys() - set(self._ORDER))):
            statement.run(self.connection, self._rows.get(statement, ()))
        if grown := [tree for tree in self._trees.values() if tree.state.size != self._sizes[tree.log]]:
            trees.save_trees(self.connection, grown)

    def news(self) -> News | None:
        """Return what other processes should hear of, or None."""
        directory, before = self.size(Log.DIRECTORY) != self._sizes[Log.DIRECTORY], self._sizes[Log.AUDIT]
        if not (self.delivered or directory):
            return None
        named = frozenset(device[:NAMED] for device in self.delivered)
        return News(named, self.size(Log.AUDIT), directory, before=before)

    def committed(self) -> None:
        """Note that it is committed."""
        self._followed.committed(self._trees)

    def heads(self) -> list[tuple[Log, CompactRange, int]]:
        """Return state and time of every log, with the leaves of this transaction."""
        return [(log, tree.state, tree.at) for log, tree in self._trees.items()]


class Nothing(Change[None]):
    """Changes nothing; when it is answered, all that was committed before is guarded."""

    weight = 0

    def apply(self, transaction: Transaction) -> Finish[None]:
        """Do nothing."""
        return lambda: None
