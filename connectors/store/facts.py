# SPDX-License-Identifier: Apache-2.0
"""Single facts that must survive a restart, each sealed under its name."""

from sqlalchemy import delete, select
from sqlalchemy.dialects.sqlite import insert

from connectors.store.engine import Transaction
from connectors.store.tables import meta

_PLACE = "meta"


async def get(tx: Transaction, name: str) -> bytes | None:
    """Return the fact `name`, or None if it was never set."""
    sealed = (await tx.connection.execute(select(meta.c.sealed).where(meta.c.name == name))).scalar_one_or_none()
    return None if sealed is None else tx.vault.open(_PLACE, name.encode(), sealed)


async def put(tx: Transaction, name: str, value: bytes) -> None:
    """Set the fact `name`."""
    sealed = tx.vault.seal(_PLACE, name.encode(), value)
    statement = insert(meta).values(name=name, sealed=sealed)
    await tx.connection.execute(
        statement.on_conflict_do_update(index_elements=meta.primary_key, set_={"sealed": sealed})
    )


async def drop(tx: Transaction, name: str) -> None:
    """Forget the fact `name`; that it is not set is no error."""
    await tx.connection.execute(delete(meta).where(meta.c.name == name))
