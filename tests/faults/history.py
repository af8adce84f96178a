# SPDX-License-Identifier: Apache-2.0
"""What a client knows of a run, and the judgement whether what is stored agrees with it.

The client writes down every envelope before it is sent, and every receipt as soon as it is there, synced: what it
holds acknowledged is not the hub's word. Afterwards `violations` compares that file with the rows in the database
and the heads in the guard files. It uses nothing of the hub, and reads receipts with `tests.faults.verifying`.
"""

import hashlib
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import asyncpg  # type: ignore[import-untyped] # it has no annotations

from tests.faults.verifying import Forged, Proof, proof_of, roots_of

AUDIT = 2
"""The audit log's number in the database."""


class History:
    """The client's own file: `sent ID DIGEST` for each envelope and `acked ID RECEIPT` for each receipt."""

    def __init__(self, path: Path) -> None:
        """Begin the file, or go on with one that is there."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self.sent: dict[bytes, bytes] = {}
        """The SHA-256 of what was sent under each id."""
        self.receipts: dict[bytes, list[bytes]] = {}
        """The different receipts that were got for each id; more than one is a violation."""
        for line in path.read_text().splitlines():
            kind, id_, rest = line.split(" ")
            self._take(kind, bytes.fromhex(id_), bytes.fromhex(rest))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def send(self, envelope_id: bytes, data: bytes) -> None:
        """Note what is about to be sent."""
        if envelope_id not in self.sent:
            self._write("sent", envelope_id, hashlib.sha256(data).digest())

    def acknowledge(self, envelope_id: bytes, receipt: bytes) -> None:
        """Note a receipt; when this returns it is on the disk."""
        if receipt not in self.receipts.get(envelope_id, ()):
            self._write("acked", envelope_id, receipt)
            os.fdatasync(self._file)

    @property
    def unanswered(self) -> set[bytes]:
        """What was sent and has no receipt: it may be stored or not."""
        return self.sent.keys() - self.receipts.keys()

    def _write(self, kind: str, id_: bytes, rest: bytes) -> None:
        os.write(self._file, f"{kind} {id_.hex()} {rest.hex()}\n".encode())
        self._take(kind, id_, rest)

    def _take(self, kind: str, id_: bytes, rest: bytes) -> None:
        if kind == "sent":
            self.sent[id_] = rest
        else:
            self.receipts.setdefault(id_, []).append(rest)


@dataclass(slots=True)
class Stored:
    """What is found in a hub's database, read past the hub."""

    envelopes: list[tuple[int, bytes]]
    """(leaf index, envelope id) of every accepted envelope."""
    leaves: list[tuple[int, bytes, bytes]] = field(repr=False)
    """(index, bytes, hash) of every leaf of the audit log."""
    delivered: list[tuple[int, bytes]] = field(repr=False)
    """(leaf index, device) of every item in a mailbox."""
    head: tuple[int, bytes]
    """Size and root as stored."""


_ENVELOPES = "SELECT idx, envelope_id FROM envelope ORDER BY idx"
_LEAVES = f"SELECT idx, bytes, hash FROM leaf WHERE log = {AUDIT} ORDER BY idx"  # noqa: S608 - a number of ours
_DELIVERED = "SELECT idx, device_id FROM delivery ORDER BY idx"
_HEAD = f"SELECT size, root FROM tree WHERE log = {AUDIT}"  # noqa: S608 - likewise


def stored_in_sqlite(path: Path) -> Stored:
    """Read a SQLite file, also one that no hub has cleaned up after a kill."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        connection.execute("BEGIN")
        found = [connection.execute(statement).fetchall() for statement in (_ENVELOPES, _LEAVES, _DELIVERED, _HEAD)]
    finally:
        connection.close()
    return _stored(*found)


async def stored_in_postgres(url: str) -> Stored:
    """Read a PostgreSQL database."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            found = [
                [tuple(row) for row in await connection.fetch(statement)]
                for statement in (_ENVELOPES, _LEAVES, _DELIVERED, _HEAD)
            ]
    finally:
        await connection.close()
    return _stored(*found)


def _stored(
    envelopes: list[tuple[int, bytes]],
    leaves: list[tuple[int, bytes, bytes]],
    delivered: list[tuple[int, bytes]],
    heads: list[tuple[int, bytes]],
) -> Stored:
    (head,) = heads
    return Stored(envelopes, leaves, delivered, head)


def guarded_heads(guard: Path, origin: str) -> list[tuple[int, bytes]]:
    """Return size and root of every whole line of a guard file for the log `origin`."""
    lines = [line.split(" ") for line in guard.read_text().splitlines()]
    return [(int(line[3]), bytes.fromhex(line[4])) for line in lines if len(line) == 6 and line[2] == origin]


def violations(
    history: History, stored: Stored, heads: Sequence[tuple[int, bytes]], *, origin: str, audit_key: bytes
) -> list[str]:
    """Return what is wrong, one sentence each; nothing if every promise was kept.

    `heads` are heads of the log `origin` that were seen elsewhere, as in guard files. Every leaf must be of an
    accepted envelope, and every envelope for one recipient who has collected nothing yet.
    """
    return [
        *_rows(history, stored),
        *_tree(stored),
        *_receipts(history, stored, heads, origin, audit_key),
    ]


def _rows(history: History, stored: Stored) -> Iterator[str]:
    ids = [id_ for _, id_ in stored.envelopes]
    if lost := history.receipts.keys() - set(ids):
        yield f"{len(lost)} acknowledged envelopes are lost"
    if foreign := set(ids) - history.sent.keys():
        yield f"{len(foreign)} envelopes are stored that nobody sent"
    if twice := _repeated(ids):
        yield f"{twice} envelopes are stored twice"
    indexes = [index for index, _, _ in stored.leaves]
    if indexes != list(range(len(indexes))):
        yield "the leaves' indexes have gaps or repeat"
    if [index for index, _ in stored.envelopes] != indexes:
        yield "leaves and envelopes do not belong together one by one"
    if [index for index, _ in stored.delivered] != [index for index, _ in stored.envelopes]:
        yield "not every envelope is in its recipient's mailbox once"


def _tree(stored: Stored) -> Iterator[str]:
    size, root = stored.head
    if size != len(stored.leaves):
        yield f"the head says {size} leaves, and {len(stored.leaves)} are stored"
    *_, recomputed = roots_of(data for _, data, _ in stored.leaves)
    if recomputed != root:
        yield "the recomputed root is not the last head's"
    if any(hashlib.sha256(b"\0" + data).digest() != hashed for _, data, hashed in stored.leaves):
        yield "a leaf has another hash than is stored for it"


def _receipts(
    history: History, stored: Stored, heads: Sequence[tuple[int, bytes]], origin: str, audit_key: bytes
) -> Iterator[str]:
    proofs: list[Proof] = []
    for id_, receipts in history.receipts.items():
        if len(receipts) > 1:
            yield f"an envelope was given {len(receipts)} different receipts"
        for receipt in receipts:
            try:
                proof = proof_of(receipt, origin, audit_key)
            except Forged as error:
                yield f"a receipt proves nothing: {error}"
                continue
            if proof.envelope_id != id_:
                yield "a receipt is of another envelope"
            proofs.append(proof)
    if twice := _repeated(proof.index for proof in proofs):
        yield f"{twice} indexes were given twice"
    ids, leaves = dict(stored.envelopes), {index: data for index, data, _ in stored.leaves}
    for proof in proofs:
        if ids.get(proof.index) != proof.envelope_id or leaves.get(proof.index) != proof.leaf:
            yield f"a receipt names index {proof.index}, where something else is stored"
    yield from _consistency(stored, [*heads, *((proof.size, proof.root) for proof in proofs)])


def _consistency(stored: Stored, heads: Sequence[tuple[int, bytes]]) -> Iterator[str]:
    """Check every head ever handed out against the tree of the same size."""
    wanted: dict[int, set[bytes]] = {}
    for size, root in heads:
        wanted.setdefault(size, set()).add(root)
    for size, root in enumerate(roots_of(data for _, data, _ in stored.leaves)):
        if wanted.pop(size, {root}) != {root}:
            yield f"a head of {size} leaves was handed out that is of another history"
    if wanted:
        yield f"{len(wanted)} heads were handed out of sizes that the log never reached"


def _repeated(values: Iterable[object]) -> int:
    return sum(count > 1 for count in Counter(values).values())
