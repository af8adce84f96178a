# SPDX-License-Identifier: Apache-2.0
"""When this hub was restored from a backup, and which generations of its logs began with that."""

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, func, insert, inspect, select

from hub.store import leases
from hub.store.tables import lease, restoration

_WAITS = "restore-waits"
"""The name of a lease that nobody holds: the generation that must begin before any process serves the database."""


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


def wait_for(connection: Connection, generation: int | None) -> None:
    """Note that no process may serve the database before `generation` has begun; None if one may (GEN-2).

    The request to the authority lies beside one process, and others share the database.
    """
    connection.execute(delete(lease).where(lease.c.name == _WAITS))
    if generation is not None:
        leases.take(connection, _WAITS, generation.to_bytes(4), 0)


def waits(connection: Connection) -> bool:
    """Tell whether a generation must begin first."""
    found: bytes | None = connection.scalar(select(lease.c.holder).where(lease.c.name == _WAITS))
    return found is not None and int.from_bytes(found) > len(generations(connection))


def newest(connection: Connection) -> int:
    """Return when this hub was last restored, in ms UTC; 0 if it never was."""
    found: int | None = connection.scalar(select(func.max(restoration.c.at)))
    return found or 0
