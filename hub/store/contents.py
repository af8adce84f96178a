# SPDX-License-Identifier: Apache-2.0
"""Everything that is stored, in the order of the audit log, for who checks it against its hashes."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from hub.store.tables import blob, blob_row, code, delivery, detail, envelope, key_request, leaf, metadata, section
from hub.store.trees import Log

_PAGE = 500

Rows = dict[int, list[Row[Any]]]


@dataclass(frozen=True, slots=True)
class Contents:
    """What is stored of the audit leaves `start` to `end` - 1; each is keyed by its leaf's index."""

    start: int
    end: int
    leaves: dict[int, Row[Any]]
    details: dict[int, Row[Any]]
    envelopes: dict[int, Row[Any]]
    deliveries: Rows
    sections: Rows
    claims: Rows


def contents(connection: Connection, size: int) -> Iterator[Contents]:
    """Yield all that belongs to the first `size` audit leaves, some hundred leaves at a time."""
    for start in range(0, size, _PAGE):
        end = min(start + _PAGE, size)
        leaves = select(leaf).where(leaf.c.log == Log.AUDIT, leaf.c.idx >= start, leaf.c.idx < end)
        single = {
            table: {row.idx: row for row in connection.execute(select(table).where(*_within(table, start, end)))}
            for table in (detail, envelope)
        }
        several = {table: _grouped(connection, table, start, end) for table in (delivery, section, blob_row)}
        yield Contents(
            start,
            end,
            {row.idx: row for row in connection.execute(leaves)},
            single[detail],
            single[envelope],
            several[delivery],
            several[section],
            several[blob_row],
        )


def beyond(connection: Connection, size: int) -> str | None:
    """Return the name of a table that has something of a leaf that does not exist, or None."""
    for table in (detail, envelope, delivery, section, blob_row):
        outside = select(table.c.idx).where((table.c.idx < 0) | (table.c.idx >= size)).limit(1)
        if connection.execute(outside).first() is not None:
            return table.name
    return None


def _within(table: Any, start: int, end: int) -> tuple[Any, Any]:
    return table.c.idx >= start, table.c.idx < end


def _grouped(connection: Connection, table: Any, start: int, end: int) -> Rows:
    found: Rows = defaultdict(list)
    for row in connection.execute(select(table).where(*_within(table, start, end))):
        found[row.idx].append(row)
    return found


def all_blobs(connection: Connection) -> list[Row[Any]]:
    """Return the row of every attachment."""
    return list(connection.execute(select(blob)))


def all_codes(connection: Connection) -> list[Row[Any]]:
    """Return every enrolment code, with its key request if there is one."""
    statement = select(code, key_request.c.request).join(key_request, isouter=True)
    return list(connection.execute(statement))


def broken_structure(connection: Connection) -> str | None:
    """Return what the database itself finds wrong with its pages, indexes and tables, or None."""
    if connection.dialect.name == "sqlite":
        found = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar()
        if found != "ok":
            return f"The database's structure ({found})"
        if (orphan := connection.exec_driver_sql("PRAGMA foreign_key_check").first()) is not None:
            return f"A row of the table {orphan[0]}"
    # Alembic takes a third of a second to import, and nobody waits for a check.
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415
    from alembic.migration import MigrationContext  # noqa: PLC0415

    differences = compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)
    return "The form of the database's tables" if differences else None
