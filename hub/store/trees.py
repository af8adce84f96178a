# SPDX-License-Identifier: Apache-2.0
"""The two logs as they are stored: leaves, and the tree state that the next index is taken from (AUD-3)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from hub.store.statements import Inserts, Many, Query
from hub.store.tables import leaf, tree
from protocol.receipts import Leaf
from protocol.tree import EMPTY_ROOT, CompactRange, leaf_hash

_CHUNK = 10_000


class Log(IntEnum):
    """The hub's logs, as numbered in the database."""

    DIRECTORY = 1
    AUDIT = 2


@dataclass(slots=True)
class Tree:
    """One log's state inside a transaction: what is committed, and what this transaction appends."""

    log: Log
    state: CompactRange
    at: int
    """The time of its newest leaf, in ms UTC; times within a log never go back."""


# In one order, so that two processes never wait for each other.
_TREES = Query(select(tree.c.log, tree.c.compact, tree.c.at).order_by(tree.c.log).with_for_update())
_NEW_TREES = insert(tree)
_SAVE_TREE = Many(
    update(tree)
    .where(tree.c.log == bindparam("which"))
    .values(
        size=bindparam("new_size"),
        compact=bindparam("new_compact"),
        root=bindparam("new_root"),
        at=bindparam("new_at"),
    )
)
_NEW_LEAVES = Inserts(leaf)
_HASHES = (
    select(leaf.c.idx, leaf.c.hash)
    .where(leaf.c.log == bindparam("which"), leaf.c.idx >= bindparam("start"))
    .order_by(leaf.c.idx)
    .limit(_CHUNK)
)
_LEAVES = (
    select(leaf.c.bytes)
    .where(leaf.c.log == bindparam("which"), leaf.c.idx >= bindparam("start"))
    .order_by(leaf.c.idx)
    .limit(bindparam("most"))
)


def load_trees(connection: Connection) -> dict[Log, Tree]:
    """Return the state of every log, locked until the transaction ends; a new database gets empty logs."""
    found = _TREES.run(connection)
    if not found:
        empty = CompactRange().encode()
        rows = [{"log": log, "size": 0, "compact": empty, "root": EMPTY_ROOT, "at": 0} for log in Log]
        connection.execute(_NEW_TREES, rows)
        return {log: Tree(log, CompactRange(), 0) for log in Log}
    trees = {Log(log): Tree(Log(log), CompactRange.decode(compact), int(at)) for log, compact, at in found}
    return {log: trees[log] for log in Log}


def stored_heads(connection: Connection) -> dict[Log, tuple[int, bytes]]:
    """Return size and root of every log as stored, without taking a lock; empty for a new database."""
    rows = connection.execute(select(tree.c.log, tree.c.size, tree.c.root)).all()
    return {Log(row.log): (row.size, row.root) for row in rows}


def stored_times(connection: Connection) -> dict[Log, int]:
    """Return the time of the newest leaf of every log, in ms UTC."""
    return {Log(row.log): row.at for row in connection.execute(select(tree.c.log, tree.c.at))}


def newest_time(connection: Connection) -> int:
    """Return the time of the newest leaf of any log, in ms UTC; 0 for empty logs."""
    found: int | None = connection.scalar(select(func.max(tree.c.at)))
    return found or 0


def begun(connection: Connection) -> int | None:
    """Return when the audit log began; while it is empty, the time of the newest statement. In ms UTC, None without."""
    first = leaves(connection, Log.AUDIT, 0, 1)
    return Leaf.parse(first[0]).at if first else newest_time(connection) or None


def stored_states(connection: Connection) -> dict[Log, CompactRange]:
    """Return the state of every log as stored, without taking a lock."""
    rows = connection.execute(select(tree.c.log, tree.c.compact)).all()
    return {Log(row.log): CompactRange.decode(row.compact) for row in rows}


def save_trees(connection: Connection, trees: Sequence[Tree]) -> None:
    """Store the new state of logs that grew."""
    _SAVE_TREE.run(
        connection,
        [
            {
                "which": one.log,
                "new_size": one.state.size,
                "new_compact": one.state.encode(),
                "new_root": one.state.root,
                "new_at": one.at,
            }
            for one in trees
        ],
    )


def append_leaves(connection: Connection, leaves: Sequence[Mapping[str, object]]) -> None:
    """Store new leaves, given as rows of the table `leaf`."""
    _NEW_LEAVES.run(connection, leaves)


def cut_leaves(connection: Connection, log: Log, size: int) -> None:
    """Delete the leaves of `log` behind the first `size`: only a restore may, of what nobody has seen or signed."""
    connection.execute(delete(leaf).where(leaf.c.log == log, leaf.c.idx >= size))


def leaf_row(log: Log, index: int, data: bytes) -> dict[str, object]:
    """Return the row of a new leaf."""
    return {"log": log, "idx": index, "bytes": data, "hash": leaf_hash(data)}


def leaf_hashes(connection: Connection, log: Log) -> Iterator[tuple[list[int], list[bytes]]]:
    """Yield the indexes and leaf hashes of `log` in order, ten thousand at a time."""
    start = 0
    while True:
        result = connection.execute(_HASHES, {"which": log, "start": start})
        # Past SQLAlchemy's rows: a million leaves are read at every start, and two plain columns need nothing of them.
        rows = [] if result.cursor is None else result.cursor.fetchall()
        result.close()
        if not rows:
            return
        yield [index for index, _ in rows], [hashed for _, hashed in rows]
        start = rows[-1][0] + 1


def hashes_from(connection: Connection, log: Log, start: int) -> Iterator[bytes]:
    """Yield the leaf hashes of `log` from index `start` on; a gap ends them."""
    while rows := connection.execute(_HASHES, {"which": log, "start": start}).all():
        for index, hashed in rows:
            if index != start:
                return
            yield hashed
            start += 1


def leaves(connection: Connection, log: Log, start: int, most: int) -> list[bytes]:
    """Return the bytes of at most `most` leaves of `log` from index `start` on."""
    return list(connection.scalars(_LEAVES, {"which": log, "start": start, "most": most}))
