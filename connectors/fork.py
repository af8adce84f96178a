# SPDX-License-Identifier: Apache-2.0
"""The evidence of a directory of which the hub signed two: kept until a person has looked at it (DIR-10).

While it is kept nothing is sealed. A person takes it out for the authority, and dismisses it when the authority
has found which directory counts; a connector that meets the contradiction again keeps it again.
"""

from typing import Final

from connectors.faults import DAMAGED
from connectors.logs import Log
from connectors.store import facts
from connectors.store.engine import Store, Transaction

_FORK: Final = "directory-fork"


async def keep(tx: Transaction, raw_head: bytes) -> None:
    """Keep the signed head that contradicts the replayed directory."""
    await facts.put(tx, _FORK, raw_head)


async def evidence(tx: Transaction) -> bytes | None:
    """Return the signed head that contradicts the replayed directory, or None."""
    return await facts.get(tx, _FORK)


async def is_kept(tx: Transaction) -> bool:
    """Tell whether there is evidence, also where it cannot be read any more: it stops sealing all the same."""
    try:
        return await facts.get(tx, _FORK) is not None
    except DAMAGED:
        return True


async def dismiss(store: Store, log: Log) -> bool:
    """Let the next start seal again, and log it; tell whether there was anything to dismiss."""
    async with store.write() as tx:
        if not await is_kept(tx):
            return False
        await facts.drop(tx, _FORK)
    log.event("fork-dismissed")
    return True
