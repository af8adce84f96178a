# SPDX-License-Identifier: Apache-2.0
"""Single facts that must survive a restart, each sealed under its name."""

from typing import Final

from sqlalchemy import bindparam, delete, select
from sqlalchemy.dialects.sqlite import insert as upsert

from connectors.store.engine import Transaction
from connectors.store.tables import meta

_PLACE: Final = "meta"

_NEW: Final = upsert(meta)
_PUT: Final = _NEW.on_conflict_do_update(index_elements=meta.primary_key, set_=_NEW.excluded)
_GET: Final = select(meta.c.sealed).where(meta.c.name == bindparam("which"))
_DROP: Final = delete(meta).where(meta.c.name == bindparam("which"))


async def get(tx: Transaction, name: str) -> bytes | None:
    """Return the fact `name`, or None if it was never set."""
    sealed = await tx.connection.scalar(_GET, {"which": name})
    return None if sealed is None else tx.vault.open(_PLACE, name.encode(), sealed)


async def put(tx: Transaction, name: str, value: bytes) -> None:
    """Set the fact `name`."""
    await tx.connection.execute(_PUT, {"name": name, "sealed": tx.vault.seal(_PLACE, name.encode(), value)})


async def drop(tx: Transaction, name: str) -> None:
    """Forget the fact `name`; that it is not set is no error."""
    await tx.connection.execute(_DROP, {"which": name})
