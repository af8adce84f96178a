# SPDX-License-Identifier: Apache-2.0
"""Accepted envelopes: what stays for evidence and replays, and what a receipt is made of."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, bindparam, delete, func, null, select, update

from hub.store.statements import Among, Inserts, Many, Query
from hub.store.tables import delivery, detail, envelope, leaf, section
from hub.store.trees import Log
from protocol.frames import ItemKind
from protocol.ids import EnvelopeId, KeyId
from protocol.receipts import Detail, ReceiptKind
from protocol.rows import sha256

TREE_CHECK = 8
"""Bytes of a tree's checksum: enough for what a disk does."""


@dataclass(slots=True)
class Entry:
    """An audit leaf with what it commits to and the tree its receipt names (AUD-1, AUD-5).

    `size` and `root` are those of the tree after the whole group, known once the group is complete.
    """

    index: int
    leaf: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    detail: bytes = field(repr=False)
    size: int = 0
    root: bytes = b""
    leaf_hash: bytes = b""
    """The leaf's hash as stored; of an entry that is being made nobody asks for it."""
    tree_check: bytes | None = None
    """The checksum of its tree as stored; None also of an entry that is being made."""
    known_kind: ReceiptKind | None = None
    """What happened, where it is known: the entry is new, or was found sound."""

    @property
    def kind(self) -> ReceiptKind:
        """What happened to the envelope."""
        return self.known_kind or Detail.parse(self.detail).kind

    def row(self) -> dict[str, object]:
        """Return the row of the table `detail`."""
        return {
            "idx": self.index,
            "salt": self.salt,
            "detail": self.detail,
            "tree_size": self.size,
            "tree_root": self.root,
            "tree_check": tree_check(self.index, self.size, self.root),
        }


def tree_check(index: int, size: int, root: bytes) -> bytes:
    """Return the checksum of the tree that the receipt of entry `index` names (AUD-5).

    The leaf was made before its tree was, and commits to neither size nor root.
    """
    return sha256(index.to_bytes(8) + size.to_bytes(8) + root)[:TREE_CHECK]


@dataclass(frozen=True, slots=True)
class Accepted:
    """An envelope that was accepted before: enough to tell a replay from a reuse of its id, and its receipt."""

    digest: bytes
    sender_sig: bytes
    entry: Entry


# After its index, what an `Entry` is made of, in the order of its fields.
ENTRY_COLUMNS = (
    leaf.c.bytes.label("leaf_bytes"),
    detail.c.salt,
    detail.c.detail,
    detail.c.tree_size,
    detail.c.tree_root,
    leaf.c.hash.label("leaf_hash"),
    detail.c.tree_check,
)
NEW_ENVELOPES = Inserts(envelope)
NEW_SECTIONS = Inserts(section)
NEW_DELIVERIES = Inserts(delivery)
NEW_DETAILS = Inserts(detail)

# Asked for several ids in one join, SQLite would rather walk the whole log than look each id up.
_KNOWN = Among(
    envelope.c.envelope_id,
    lambda wanted: select(envelope.c.envelope_id).where(envelope.c.envelope_id.in_(wanted)),
)
_ACCEPTED = Query(
    select(envelope.c.digest, envelope.c.sender_sig, envelope.c.idx, *ENTRY_COLUMNS)
    .join(detail, detail.c.idx == envelope.c.idx)
    .join(leaf, (leaf.c.log == Log.AUDIT) & (leaf.c.idx == envelope.c.idx))
    .where(envelope.c.envelope_id == bindparam("id"))
)
_DUE = (
    select(
        envelope.c.idx,
        envelope.c.digest,
        envelope.c.common,
        envelope.c.row_hashes,
        envelope.c.wraps_hash,
        envelope.c.section_hashes,
    )
    .where(envelope.c.purge_at <= bindparam("now"))
    .order_by(envelope.c.purge_at)
    .limit(bindparam("most"))
)
_EMPTY = Among(
    envelope.c.idx, lambda wanted: update(envelope).where(envelope.c.idx.in_(wanted)).values(purge_at=null())
)
_DUE_AT = Many(update(envelope).where(envelope.c.idx == bindparam("which")).values(purge_at=bindparam("due")))
_BOUNDARY = select(func.max(envelope.c.idx)).where(envelope.c.accepted_at < bindparam("before"))
_OLD = (
    select(detail.c.idx)
    .join(envelope, envelope.c.idx == detail.c.idx, isouter=True)
    .where(detail.c.idx <= bindparam("boundary"), envelope.c.purge_at.is_(None))
    .order_by(detail.c.idx)
    .limit(bindparam("most"))
)


def accepted(connection: Connection, ids: Iterable[EnvelopeId]) -> dict[EnvelopeId, Accepted]:
    """Return those of `ids` that were accepted before."""
    return {
        EnvelopeId(known): Accepted(digest, sender_sig, Entry(*entry))
        for (known,) in _KNOWN.run(connection, list(ids))
        for digest, sender_sig, *entry in _ACCEPTED.run(connection, id=known)
    }


@dataclass(frozen=True, slots=True)
class Due:
    """An envelope whose time is over while something of it is still stored (HTTP-11)."""

    index: int
    digest: bytes
    common: bytes = field(repr=False)
    row_hashes: bytes = field(repr=False)
    wraps_hash: bytes = field(repr=False)
    section_hashes: bytes = field(repr=False)


def due(connection: Connection, now: int, most: int) -> list[Due]:
    """Return at most `most` envelopes that expired at `now` or before, uncollected."""
    rows = connection.execute(_DUE, {"now": now, "most": most})
    return [Due(*row) for row in rows]


def put_off(connection: Connection, until: Mapping[int, int]) -> None:
    """Store when each of these envelopes is due, by its leaf's index, in ms UTC."""
    _DUE_AT.run(connection, [{"which": index, "due": at} for index, at in until.items()])


def next_due(connection: Connection) -> int | None:
    """Return when the next envelope expires, in ms UTC, or None."""
    found: int | None = connection.scalar(
        select(envelope.c.purge_at).where(envelope.c.purge_at.is_not(None)).order_by(envelope.c.purge_at).limit(1)
    )
    return found


def purge(connection: Connection, indexes: Sequence[int]) -> None:
    """Delete rows, wraps and sections of these envelopes; digest and receipt stay (HTTP-11)."""
    connection.execute(delete(delivery).where(delivery.c.idx.in_(indexes), delivery.c.kind == ItemKind.SLICE))
    connection.execute(delete(section).where(section.c.idx.in_(indexes)))
    nothing_left(connection, indexes)


def nothing_left(connection: Connection, indexes: Sequence[int]) -> None:
    """Note that nothing of these envelopes is stored any more, so that they cannot expire."""
    _EMPTY.run(connection, indexes)


def forget(connection: Connection, before: int, most: int) -> int:
    """Delete what was kept of events before `before` (ms UTC), except envelopes that still wait; leaves stay (AUD-1).

    Returns how many entries were forgotten, at most `most`.
    """
    # Indexes and times rise together, so the last old envelope bounds the old notices too.
    boundary = connection.scalar(_BOUNDARY, {"before": before})
    if boundary is None:
        return 0
    indexes = list(connection.scalars(_OLD, {"boundary": boundary, "most": most}))
    if indexes:
        connection.execute(delete(delivery).where(delivery.c.idx.in_(indexes)))
        # There is none, unless the disk has damaged when the envelope was due.
        connection.execute(delete(section).where(section.c.idx.in_(indexes)))
        connection.execute(delete(envelope).where(envelope.c.idx.in_(indexes)))
        connection.execute(delete(detail).where(detail.c.idx.in_(indexes)))
    return len(indexes)


def waiting(connection: Connection) -> int:
    """Return how many items wait in all mailboxes."""
    found: int | None = connection.scalar(select(func.count()).select_from(delivery))
    return found or 0


def devices_with_mail(connection: Connection) -> list[KeyId]:
    """Return the devices for which something waits."""
    return [KeyId(device_id) for device_id in connection.scalars(select(delivery.c.device_id).distinct())]


def devices_that_wait(connection: Connection, since: int) -> list[KeyId]:
    """Return the devices with uncollected mail that was accepted at `since` (ms UTC) or before."""
    statement = (
        select(delivery.c.device_id)
        .join(envelope, envelope.c.idx == delivery.c.idx)
        .where(envelope.c.accepted_at <= since)
        .distinct()
    )
    return [KeyId(device_id) for (device_id,) in connection.execute(statement)]


def oldest_waiting(connection: Connection, besides: Collection[KeyId] = ()) -> int | None:
    """Return when the oldest envelope that still waits for a recipient was accepted, in ms UTC, or None.

    What waits for the devices `besides` and for no other is passed over.
    """
    query = select(envelope.c.accepted_at).where(envelope.c.purge_at.is_not(None))
    if besides:
        wanted = select(delivery.c.idx).where(delivery.c.idx == envelope.c.idx, delivery.c.device_id.not_in(besides))
        query = query.where(wanted.exists())
    found: int | None = connection.scalar(query.order_by(envelope.c.accepted_at).limit(1))
    return found
