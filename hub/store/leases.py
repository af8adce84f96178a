# SPDX-License-Identifier: Apache-2.0
"""Leases: which hub process does what only one of them needs to do, and until when."""

from sqlalchemy import Connection, delete, func, insert, inspect, select

from hub.store.tables import lease


def holder(connection: Connection, name: str, now: int) -> bytes | None:
    """Return who holds the lease `name` at `now` (ms UTC), or None."""
    found: bytes | None = connection.scalar(select(lease.c.holder).where(lease.c.name == name, lease.c.until > now))
    return found


def newest(connection: Connection) -> int:
    """Return until when the last lease was given (ms UTC); 0 if none ever was."""
    if not inspect(connection).has_table(lease.name):
        return 0  # a database of an older version, which is only looked at
    found: int | None = connection.scalar(select(func.max(lease.c.until)))
    return found or 0


def take(connection: Connection, name: str, who: bytes, until: int) -> None:
    """Give the lease to `who` until `until` (ms UTC), whoever had it."""
    connection.execute(delete(lease).where(lease.c.name == name))
    connection.execute(insert(lease), {"name": name, "holder": who, "until": until})
