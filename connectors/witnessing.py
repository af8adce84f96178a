# SPDX-License-Identifier: Apache-2.0
"""What this connector can show of its hub's logs when the hub has lost some of them (GEN-5)."""

from pathlib import Path

from connectors.fork import SIGNED_HEAD
from connectors.installation import Installation
from connectors.store import attempts, facts, incoming, statements
from connectors.store.engine import DATABASE_FILE, Store, Transaction
from connectors.vault import Vault
from keys.privatefile import new_private_file
from protocol.errors import ConfigurationError
from protocol.receipts import parse_receipt
from protocol.slices import parse_slice
from protocol.witness import Witness, encode_witness


async def write_witness(data_dir: Path, installation: Installation, target: Path) -> tuple[int, int]:
    """Write what the connector in `data_dir` holds to the new file `target`, also while it runs.

    Returns how many statements that are, and how far the newest receipt says the audit log had grown (0 without one).
    Raises `Conflict` if the file exists, and `ConfigurationError` before the first look at the directory.
    """
    store = await Store.open(data_dir / DATABASE_FILE, Vault(installation.storage_key))
    try:
        async with store.read() as tx:
            head = await facts.get(tx, SIGNED_HEAD)
            stated = await statements.load_all(tx)
            receipt = await _newest_receipt(tx)
    finally:
        await store.close()
    if head is None:
        raise ConfigurationError("This connector has not seen the hub's directory yet. Run it first.")
    with new_private_file(target) as file:
        for piece in encode_witness(Witness(head, receipt, tuple(stated))):
            file.write(piece)
    return len(stated), 0 if receipt is None else parse_receipt(receipt).body.size


async def _newest_receipt(tx: Transaction) -> bytes | None:
    best: bytes | None = None
    newest = await incoming.newest(tx)
    if newest is not None:
        best = parse_slice(await incoming.slice_of(tx, newest)).receipt
    async for raw in attempts.receipts(tx):
        if best is None or _reach(raw) > _reach(best):
            best = raw
    return best


def _reach(raw: bytes) -> tuple[int, int]:
    """Order receipts by generation and by how far the tree had grown."""
    body = parse_receipt(raw).body
    return body.place - body.index, body.size
