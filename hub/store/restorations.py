# SPDX-License-Identifier: Apache-2.0
"""When this hub was restored from a backup, and which generations of its logs began with that."""

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, func, insert, inspect, select

from hub.store.tables import restoration


@dataclass(frozen=True, slots=True)
class Restored:
    """One restore: its time and the backup's (ms UTC), the generation it began (0 for none), what both logs kept."""

    at: int
    backup_at: int
    generation: int
    directory_size: int
    audit_size: int


def note(connection: Connection, restored: Restored) -> None:
    """Note a restore, in the transaction that makes it count."""
    connection.execute(insert(restoration).values(**asdict(restored)))


def generations(connection: Connection) -> list[Restored]:
    """Return the restores that began a generation, in the order of their numbers."""
    if not inspect(connection).has_table(restoration.name):
        return []  # a database of an older version, which is only looked at
    found = select(restoration).where(restoration.c.generation > 0).order_by(restoration.c.generation)
    return [Restored(**row) for row in connection.execute(found).mappings()]


def newest(connection: Connection) -> int:
    """Return when this hub was last restored, in ms UTC; 0 if it never was."""
    found: int | None = connection.scalar(select(func.max(restoration.c.at)))
    return found or 0
