# SPDX-License-Identifier: Apache-2.0
"""Whole tables out of one database and into another, row by row, with bounded memory; for backups.

What is written down names tables and columns and nothing of the database, so that what was read from SQLite can be
written to PostgreSQL, and the other way round.
"""

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, Table, column, func, insert, inspect, select, table, tuple_

from hub.store.tables import blob_chunk, lease, metadata, nonce
from protocol.errors import MalformedEnvelope

Row = list[int | str | bytes | None]

_LEFT_OUT = frozenset({nonce.name, lease.name, blob_chunk.name})
"""Nonces live shortly (BAK-6 makes up for them), leases are of processes, and chunks of attachments go apart."""
_PAGE = 250
_LARGE_PAGES = {"section": 8}
"""Rows read at once where one row may have a mebibyte."""


def copied_tables() -> list[Table]:
    """Return the tables of a backup, parents first."""
    return [one for one in metadata.sorted_tables if one.name not in _LEFT_OUT]


def rows(connection: Connection, source: Table) -> Iterator[Row]:
    """Yield every row of `source` in the order of its primary key, reading a bounded part at a time."""
    key = list(source.primary_key.columns)
    places = [list(source.columns).index(one) for one in key]
    page = _LARGE_PAGES.get(source.name, _PAGE)
    query = select(source).order_by(*key).limit(page)
    found = connection.execute(query).all()
    while found:
        for one in found:
            yield list(one)
        last = [found[-1][place] for place in places]
        found = connection.execute(query.where(tuple_(*key) > tuple_(*last))).all()


def put(connection: Connection, name: str, columns: Sequence[str], values: Sequence[Row]) -> None:
    """Insert rows into the table `name` as it is in this revision; `MalformedEnvelope` if there is no such."""
    if name in _LEFT_OUT or name not in metadata.tables:
        raise MalformedEnvelope("The backup names a table that this version does not know.")
    known = {one["name"] for one in inspect(connection).get_columns(name)}
    if len(set(columns)) != len(columns) or set(columns) != known:
        raise MalformedEnvelope("The backup names columns that its own version did not have.")
    target = table(name, *(column(one) for one in columns))
    if any(len(row) != len(columns) for row in values):
        raise MalformedEnvelope
    connection.execute(insert(target), [dict(zip(columns, row, strict=True)) for row in values])


def count(connection: Connection, name: str) -> int:
    """Return how many rows a table has."""
    return int(connection.scalar(select(func.count()).select_from(metadata.tables[name])) or 0)
