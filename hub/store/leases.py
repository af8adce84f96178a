# SPDX-License-Identifier: Apache-2.0
"""Leases: which hub process does what only one of them needs to do, and until when."""

from sqlalchemy import Connection, delete, insert, select

from hub.store.tables import lease


def holder(connection: Connection, name: str, now: int) -> bytes | None:
    """Return who holds the lease `name` at `now` (ms UTC), or None."""
    found: bytes | None = connection.scalar(select(lease.c.holder).where(lease.c.name == name, lease.c.until > now))
    return found


def take(connection: Connection, name: str, who: bytes, until: int) -> None:
    """Give the lease to `who` until `until` (ms UTC), whoever had it."""
    connection.execute(delete(lease).where(lease.c.name == name))
    connection.execute(insert(lease), {"name": name, "holder": who, "until": until})
