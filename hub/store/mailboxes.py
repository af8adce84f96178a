# SPDX-License-Identifier: Apache-2.0
"""Mailboxes: one device's items by leaf index, and their deletion once they are acknowledged (HTTP-7, HTTP-8).

Every function takes the device that asks; there is no other way to a row of another device.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, bindparam, case, delete, func, select

from hub.store.envelopes import ENTRY_COLUMNS, Entry, nothing_left
from hub.store.statements import Among, Many, Query
from hub.store.tables import delivery, detail, envelope, leaf, section
from hub.store.trees import Log
from protocol.frames import ItemKind
from protocol.ids import KeyId
from protocol.limits import HASH, MAX_SECTIONS, MAX_SLICE

_EVERY_SECTION = (1 << MAX_SECTIONS) - 1
_AT_ONCE = 2_000
"""Values in one list of a statement; databases allow about 32,000."""


@dataclass(frozen=True, slots=True)
class SliceParts:
    """All that one recipient's slice is made of, except the receipt (ENV-15)."""

    common: bytes = field(repr=False)
    position: int
    row_hashes: tuple[bytes, ...] = field(repr=False)
    row: bytes = field(repr=False)
    wraps_hash: bytes = field(repr=False)
    wrap: bytes = field(repr=False)
    section_hashes: tuple[bytes, ...] = field(repr=False)
    sections: Mapping[int, bytes] = field(repr=False)
    sender_sig: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class StoredItem:
    """One item of a mailbox: its audit entry, and its slice's parts; a notice has none, nor has what is damaged."""

    entry: Entry
    parts: SliceParts | None


@dataclass(frozen=True, slots=True)
class Removal:
    """One delivery that was acknowledged."""

    device_id: KeyId
    index: int
    sections: int


_PAGE = (
    select(
        delivery.c.idx,
        *ENTRY_COLUMNS,
        delivery.c.kind,
        delivery.c.size,
        delivery.c.sections,
        delivery.c.position,
        delivery.c.row,
        delivery.c.wrap,
        envelope.c.common,
        envelope.c.row_hashes,
        envelope.c.wraps_hash,
        envelope.c.section_hashes,
        envelope.c.sender_sig,
    )
    .join(detail, detail.c.idx == delivery.c.idx)
    .join(leaf, (leaf.c.log == Log.AUDIT) & (leaf.c.idx == delivery.c.idx))
    .join(envelope, envelope.c.idx == delivery.c.idx, isouter=True)
    .where(delivery.c.device_id == bindparam("device"), delivery.c.idx >= bindparam("cursor"))
    .order_by(delivery.c.idx)
    .limit(bindparam("most"))
)
_WAITING = Query(
    select(
        envelope.c.sender_device,
        func.count().label("messages"),
        # One that the disk has damaged must not use up a sender's share.
        func.sum(case((delivery.c.size.between(0, MAX_SLICE), delivery.c.size), else_=MAX_SLICE)).label("size"),
    )
    .join(delivery, delivery.c.idx == envelope.c.idx)
    .where(delivery.c.device_id == bindparam("device"), delivery.c.kind == int(ItemKind.SLICE))
    .group_by(envelope.c.sender_device)
)
# Asked for by a list of pairs, SQLite would rather walk through every section that it stores.
_SECTIONS = Query(
    select(section.c.idx, section.c.number, section.c.bytes)
    .join(delivery, delivery.c.idx == section.c.idx)
    .where(
        delivery.c.device_id == bindparam("device"),
        delivery.c.idx.between(bindparam("first"), bindparam("last")),
        delivery.c.sections.bitwise_rshift(section.c.number).bitwise_and(1) == 1,
    )
)
_UP_TO = Query(
    select(delivery.c.idx, delivery.c.sections)
    .where(delivery.c.device_id == bindparam("device"), delivery.c.idx <= bindparam("up_to"))
    .order_by(delivery.c.idx)
    .limit(bindparam("most"))
)
_REMOVE = Among(
    delivery.c.idx,
    lambda wanted: delete(delivery).where(delivery.c.device_id == bindparam("device"), delivery.c.idx.in_(wanted)),
)
_STILL_WANTED = Among(
    delivery.c.idx,
    lambda wanted: select(delivery.c.idx, delivery.c.sections).where(
        delivery.c.idx.in_(wanted), delivery.c.kind == ItemKind.SLICE
    ),
)
_DROP_SECTIONS = Among(section.c.idx, lambda wanted: delete(section).where(section.c.idx.in_(wanted)))
_DROP_SECTION = Many(delete(section).where(section.c.idx == bindparam("which"), section.c.number == bindparam("one")))


def bits(numbers: Iterable[int]) -> int:
    """Return section numbers as a set of bits."""
    return sum(1 << number for number in set(numbers))


def numbers_in(mask: int) -> list[int]:
    """Return the section numbers of a set of bits, ascending."""
    return [number for number in range(mask.bit_length()) if mask >> number & 1]


def page(connection: Connection, device: KeyId, cursor: int, most: int, most_bytes: int) -> list[StoredItem]:
    """Return the items of `device` with an index of `cursor` or above, in order.

    At most `most` items and `most_bytes` bytes of sections, but always the first item, whatever its size.
    """
    parameters = {"device": device, "cursor": cursor, "most": most}
    rows = connection.execute(_PAGE, parameters).all()
    rows = rows[: _fitting([_size(row.size) for row in rows], most_bytes)]
    found: dict[int, dict[int, bytes]] = defaultdict(dict)
    if rows:
        for index, number, data in _SECTIONS.run(connection, device=device, first=rows[0].idx, last=rows[-1].idx):
            found[index][number] = data
    return [_item(row, found[row.idx]) for row in rows]


def _fitting(sizes: Sequence[int], most_bytes: int) -> int:
    """Return how many of the first items fit into `most_bytes`; the first always does."""
    total = 0
    for count, size in enumerate(sizes):
        total += size
        if count and total > most_bytes:
            return count
    return len(sizes)


def _size(stored: Any) -> int:
    """Return the stored size of an item; one that the disk has damaged counts for the largest."""
    return stored if isinstance(stored, int) and 0 <= stored <= MAX_SLICE else MAX_SLICE


def _item(row: Row[*tuple[Any, ...]], sections: Mapping[int, bytes]) -> StoredItem:
    entry = Entry(
        row.idx, row.leaf_bytes, row.salt, row.detail, row.tree_size, row.tree_root, row.leaf_hash, row.tree_check
    )
    # Whether it is a notice its entry says. What the disk has made of something else cannot even be put together.
    whole = (row.common, row.row_hashes, row.row, row.wraps_hash, row.wrap, row.section_hashes, row.sender_sig)
    if not all(isinstance(part, bytes) for part in (*whole, *sections.values())) or not isinstance(row.position, int):
        return StoredItem(entry, None)
    parts = SliceParts(
        common=row.common,
        position=row.position,
        row_hashes=hashes_in(row.row_hashes),
        row=row.row,
        wraps_hash=row.wraps_hash,
        wrap=row.wrap,
        section_hashes=hashes_in(row.section_hashes),
        sections=sections,
        sender_sig=row.sender_sig,
    )
    return StoredItem(entry, parts)


def hashes_in(joined: bytes) -> tuple[bytes, ...]:
    """Return the hashes of a stored row of them."""
    return tuple(joined[at : at + HASH] for at in range(0, len(joined), HASH))


def waiting(connection: Connection, device: KeyId) -> list[tuple[KeyId, int, int]]:
    """Return of each sending device how many messages wait for `device`, and about how many bytes they have."""
    return [(KeyId(sender), messages, int(size)) for sender, messages, size in _WAITING.run(connection, device=device)]


def acknowledged(connection: Connection, device: KeyId, up_to: int, most: int) -> list[Removal]:
    """Return at most `most` deliveries of `device` up to leaf index `up_to`, oldest first."""
    rows = _UP_TO.run(connection, device=device, up_to=up_to, most=most)
    return [Removal(device, index, _mask(sections)) for index, sections in rows]


def _mask(stored: Any) -> int:
    """Return a stored set of sections; one that the disk has damaged is of all."""
    return stored if isinstance(stored, int) and 0 <= stored <= _EVERY_SECTION else _EVERY_SECTION


def remove(connection: Connection, removals: Sequence[Removal]) -> None:
    """Delete deliveries, and the sections that no other recipient still waits for (HTTP-7)."""
    for start in range(0, len(removals), _AT_ONCE):
        _remove(connection, removals[start : start + _AT_ONCE])


def _remove(connection: Connection, removals: Sequence[Removal]) -> None:
    devices: dict[KeyId, list[int]] = defaultdict(list)
    opened: dict[int, int] = defaultdict(int)
    for one in removals:
        devices[one.device_id].append(one.index)
        opened[one.index] |= one.sections
    for device, indexes in devices.items():
        _REMOVE.run(connection, indexes, device=device)
    wanted: dict[int, int] = defaultdict(int)
    waiting = set[int]()
    for index, sections in _STILL_WANTED.run(connection, list(opened)):
        wanted[index] |= _mask(sections)
        waiting.add(index)
    orphans = [
        {"which": index, "one": number} for index in waiting for number in numbers_in(opened[index] & ~wanted[index])
    ]
    _DROP_SECTION.run(connection, orphans)
    done = [index for index in opened if index not in waiting]
    _DROP_SECTIONS.run(connection, done)
    nothing_left(connection, done)
