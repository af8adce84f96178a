# SPDX-License-Identifier: Apache-2.0
"""Attachments in the database: what is uploaded how far, and who may still read it (ATT-3 to ATT-6).

A blob belongs to the device that uploads it: another device's blob of the same id is another blob, so that nobody
can take an id away. A reader names the envelope too, and so reads that envelope's sender's blob and no other.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import islice

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    select,
    tuple_,
    update,
)

from hub.store.statements import Among, Inserts
from hub.store.tables import blob, blob_chunk, blob_row, envelope
from protocol.envelope import UnverifiedEnvelope
from protocol.ids import BlobId, EnvelopeId, KeyId

_AT_ONCE = 500
"""Ids in one list of a statement."""


@dataclass(frozen=True, slots=True)
class BlobKey:
    """Which blob: the device that uploads it, and its id."""

    sender_device: KeyId
    blob_id: BlobId


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """How far a blob has come; sizes in bytes."""

    size: int
    sha256: bytes = field(repr=False)
    received: int
    complete: bool


NEW_CLAIMS = Inserts(blob_row)
_KEEP = Among(
    blob.c.blob_id,
    lambda wanted: (
        update(blob)
        .where(
            blob.c.sender_device == bindparam("sender"),
            blob.c.blob_id.in_(wanted),
            blob.c.expires < bindparam("until"),
        )
        .values(expires=bindparam("until"))
    ),
)
_IS_CLAIMED = exists().where(blob_row.c.sender_device == blob.c.sender_device, blob_row.c.blob_id == blob.c.blob_id)


def find(connection: Connection, key: BlobKey) -> StoredBlob | None:
    """Return the blob, or None."""
    row = connection.execute(select(blob).where(_is(key))).one_or_none()
    return None if row is None else StoredBlob(row.size, row.sha256, row.received, bool(row.complete))


def add(connection: Connection, key: BlobKey, agency: str, size: int, sha256: bytes, expires: int) -> None:
    """Store a blob of which nothing has come yet; `expires` in ms UTC."""
    connection.execute(
        insert(blob).values(
            sender_device=key.sender_device,
            blob_id=key.blob_id,
            agency=agency,
            size=size,
            sha256=sha256,
            received=0,
            complete=0,
            expires=expires,
        )
    )


def advance(
    connection: Connection, key: BlobKey, received: int, expires: int, *, complete: bool, stamp: int | None = None
) -> bool:
    """Note how far an unfinished blob has come; tell whether there is one, and still as `touch` left it at `stamp`."""
    values = {"received": received, "complete": int(complete), "expires": expires}
    change = update(blob).where(_is(key), blob.c.complete == 0).values(values)
    if stamp is not None:
        change = change.where(blob.c.expires == stamp).values(expires=_later(expires))
    return bool(connection.execute(change).rowcount)


def touch(connection: Connection, key: BlobKey, expires: int) -> int:
    """Note that a chunk was stored; return the stamp that this blob has from now until the next change of it."""
    which = update(blob).where(_is(key)).values(expires=_later(expires))
    stamp: int = connection.execute(which.returning(blob.c.expires)).scalar_one()
    return stamp


def _later(expires: int) -> ColumnElement[int]:
    """Return a time that no change of an unfinished blob has given it before, though the clock stands still."""
    return case((blob.c.expires < expires, expires), else_=blob.c.expires + 1)


def held(connection: Connection, agency: str) -> tuple[int, int, int]:
    """Return how many blobs of `agency` are here, their bytes once they are whole, and who may still read them."""
    count, size = connection.execute(
        select(func.count(), func.coalesce(func.sum(blob.c.size), 0)).where(blob.c.agency == agency)
    ).one()
    senders = select(blob.c.sender_device).where(blob.c.agency == agency)
    readers = connection.scalar(select(func.count()).where(blob_row.c.sender_device.in_(senders)))
    return count, int(size), readers or 0


def all_complete(connection: Connection, sender: KeyId, named: Collection[tuple[bytes, int]]) -> bool:
    """Tell whether every (id, size) of `named` is a blob of `sender` that is here whole (ATT-4)."""
    found = set[tuple[bytes, int]]()
    ids = iter({blob_id for blob_id, _ in named})
    while some := list(islice(ids, _AT_ONCE)):
        rows = connection.execute(
            select(blob.c.blob_id, blob.c.size).where(
                blob.c.sender_device == sender, blob.c.blob_id.in_(some), blob.c.complete == 1
            )
        )
        found |= {(row.blob_id, row.size) for row in rows}
    return set(named) <= found


def claim(connection: Connection, accepted: UnverifiedEnvelope, index: int) -> None:
    """Let the recipients of an envelope that is accepted at leaf `index` read what their rows name (ATT-5)."""
    if not any(row.blobs for row in accepted.rows):
        return
    sender, expires = accepted.common.device_id, accepted.common.expires
    rows: list[dict[str, object]] = [
        {"device_id": row.device_id, "idx": index, "blob_id": one, "sender_device": sender, "expires": expires}
        for row in accepted.rows
        for one, _ in row.blobs
    ]
    NEW_CLAIMS.run(connection, rows)
    _KEEP.run(connection, list({row["blob_id"] for row in rows}), sender=sender, until=expires)


def readable(
    connection: Connection, device: KeyId, envelope_id: EnvelopeId, blob_id: BlobId, now: int
) -> tuple[BlobKey, int] | None:
    """Return the blob that a row of `envelope_id` addressed to `device` names, and its size (ATT-5)."""
    row = connection.execute(
        select(blob.c.sender_device, blob.c.size)
        .join(blob_row, and_(blob_row.c.sender_device == blob.c.sender_device, blob_row.c.blob_id == blob.c.blob_id))
        .join(envelope, envelope.c.idx == blob_row.c.idx)
        .where(
            blob_row.c.device_id == device,
            blob_row.c.blob_id == blob_id,
            blob_row.c.expires > now,
            envelope.c.envelope_id == envelope_id,
        )
    ).one_or_none()
    return None if row is None else (BlobKey(KeyId(row.sender_device), blob_id), row.size)


def collect(connection: Connection, device: KeyId, envelope_id: EnvelopeId, blob_id: BlobId) -> BlobKey | None:
    """Take `device` off the readers of a blob; return the blob if it was the last, and its row is deleted."""
    index = select(envelope.c.idx).where(envelope.c.envelope_id == envelope_id).scalar_subquery()
    which = and_(blob_row.c.device_id == device, blob_row.c.idx == index, blob_row.c.blob_id == blob_id)
    sender = connection.scalar(select(blob_row.c.sender_device).where(which))
    if sender is None:
        return None
    connection.execute(delete(blob_row).where(which))
    key = BlobKey(KeyId(sender), blob_id)
    gone = connection.execute(delete(blob).where(_is(key), ~_IS_CLAIMED)).rowcount
    return key if gone else None


def drop_claims(connection: Connection, now: int, most: int) -> int:
    """Delete at most `most` claims past their time; return how many that were."""
    which = tuple_(blob_row.c.device_id, blob_row.c.idx, blob_row.c.blob_id)
    over = select(blob_row.c.device_id, blob_row.c.idx, blob_row.c.blob_id).where(blob_row.c.expires <= now)
    return connection.execute(delete(blob_row).where(which.in_(over.limit(most)))).rowcount


def expired(connection: Connection, now: int, most: int, most_bytes: int) -> list[BlobKey]:
    """Delete at most `most` blobs past their time that nobody claims, and `most_bytes` of them; return which (ATT-6).

    A first one goes whatever its size.
    """
    rows = connection.execute(
        select(blob.c.sender_device, blob.c.blob_id, blob.c.received)
        .where(blob.c.expires <= now, ~_IS_CLAIMED)
        .limit(most)
    ).all()
    keys, size = list[BlobKey](), 0
    for row in rows:
        size += row.received
        if keys and size > most_bytes:
            break
        keys.append(BlobKey(KeyId(row.sender_device), BlobId(row.blob_id)))
    for key in keys:
        connection.execute(delete(blob).where(_is(key)))
    return keys


def received(connection: Connection) -> list[tuple[BlobKey, int]]:
    """Return every blob and how many bytes of it have come."""
    rows = connection.execute(select(blob.c.sender_device, blob.c.blob_id, blob.c.received))
    return [(BlobKey(KeyId(row.sender_device), BlobId(row.blob_id)), row.received) for row in rows]


def forget(connection: Connection, key: BlobKey) -> None:
    """Delete a blob whose bytes are not here, with the claims on it."""
    which = blob_row.c.sender_device == key.sender_device, blob_row.c.blob_id == key.blob_id
    connection.execute(delete(blob_row).where(*which))
    connection.execute(delete(blob).where(_is(key)))


def stored(connection: Connection) -> set[BlobKey]:
    """Return every blob."""
    rows = connection.execute(select(blob.c.sender_device, blob.c.blob_id))
    return {BlobKey(KeyId(row.sender_device), BlobId(row.blob_id)) for row in rows}


def put_chunk(connection: Connection, key: BlobKey, place: int, data: bytes) -> None:
    """Store the chunk at `place`, instead of what may be there."""
    connection.execute(delete(blob_chunk).where(*_chunks_of(key), blob_chunk.c.place == place))
    connection.execute(insert(blob_chunk), {**_columns(key), "place": place, "bytes": data})


def chunk(connection: Connection, key: BlobKey, place: int) -> bytes | None:
    """Return the chunk at `place`, or None."""
    found: bytes | None = connection.scalar(
        select(blob_chunk.c.bytes).where(*_chunks_of(key), blob_chunk.c.place == place)
    )
    return found


def chunks_digest(connection: Connection, key: BlobKey) -> bytes:
    """Return the SHA-256 of all chunks of a blob, in order."""
    return chunks_state(connection, key)[1]


def chunks_state(connection: Connection, key: BlobKey) -> tuple[int, bytes]:
    """Return how many bytes all chunks of a blob have, and their SHA-256, in order."""
    size, found = 0, hashlib.sha256()
    places = connection.scalars(select(blob_chunk.c.place).where(*_chunks_of(key)).order_by(blob_chunk.c.place)).all()
    for place in places:
        data = chunk(connection, key, place) or b""
        size += len(data)
        found.update(data)
    return size, found.digest()


def with_chunks(connection: Connection) -> set[BlobKey]:
    """Return every blob that has chunks."""
    rows = connection.execute(select(blob_chunk.c.sender_device, blob_chunk.c.blob_id).distinct())
    return {BlobKey(KeyId(row.sender_device), BlobId(row.blob_id)) for row in rows}


def _columns(key: BlobKey) -> dict[str, bytes]:
    return {"sender_device": key.sender_device, "blob_id": key.blob_id}


def _chunks_of(key: BlobKey) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return blob_chunk.c.sender_device == key.sender_device, blob_chunk.c.blob_id == key.blob_id


def _is(key: BlobKey) -> ColumnElement[bool]:
    return and_(blob.c.sender_device == key.sender_device, blob.c.blob_id == key.blob_id)
