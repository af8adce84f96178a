# SPDX-License-Identifier: Apache-2.0
"""The evidence of a directory of which the hub signed two: kept for good (DIR-10, DIR-18).

While what proves it is not dismissed nothing is sealed. A person takes it out for the authority, and dismisses it when
the authority has found which directory counts; it stays in the list all the same, and a connector that meets the
contradiction again keeps it again. A head that could not be followed proves nothing by itself: it is kept, sealing goes
on as soon as the hub shows what adds up, and the day that the directory comes to its size it is one or the other.
"""

from typing import Final

from connectors.faults import DAMAGED
from connectors.logs import Log
from connectors.store import contradictions, facts, statements
from connectors.store.engine import Store, Transaction
from connectors.timing import Clock
from keys.directory import Directory
from protocol.contradiction import Contradiction, Form, named
from protocol.errors import MalformedEnvelope
from protocol.receipts import parse_head
from protocol.tree import consistency_proof, leaf_hash, root_of

SIGNED_HEAD: Final = "directory-signed-head"
"""The fact that keeps the newest head as the hub signed it: what this connector is a witness of (GEN-5)."""
MOST_OPEN: Final = 100
"""Of those that prove it, and of those that do not yet: one is enough, and a hub can sign as many as it likes."""
_OLD: Final = "directory-fork"
"""The fact in which versions before kept one head, and nothing that it contradicts."""


async def keep(tx: Transaction, form: Form, signed: bytes, now: int, *, stops: bool) -> bool:
    """Keep what the hub signed, beside what it signed before; `stops` unless that proves nothing yet.

    Returns whether it stops sealing now: not if what is stored agrees with it after all.
    """
    alike = await (contradictions.proving(tx) if stops else contradictions.waiting(tx))
    if len(alike) >= MOST_OPEN or any(one.signed == signed for _, one in alike):
        return stops
    one = await _beside(tx, form, signed, now)
    if one.root == named(form, signed).root and (stops or not _shrank(one)):
        # It agrees with what is known here; an old head that is shown again says nothing new.
        return False
    await contradictions.add(tx, one, stops=stops)
    return stops


async def _beside(tx: Transaction, form: Form, signed: bytes, now: int) -> Contradiction:
    """Return `signed` with the newest head that was followed here, and what that says of the same size."""
    head = await facts.get(tx, SIGNED_HEAD)
    stated, _ = await statements.load_whole(tx)
    here = len(stated) if head is None else parse_head(head).head.size
    size = named(form, signed).size
    root, proof = b"", tuple[bytes, ...]()
    if head is not None and size <= here <= len(stated):
        leaves = [leaf_hash(raw) for raw in stated[:here]]
        root, proof = root_of(leaves[:size]), consistency_proof(size, here, leaves.__getitem__)
    return Contradiction(form, signed, head, root, proof, now)


def _shrank(one: Contradiction) -> bool:
    """Tell whether a head of fewer statements is later than the one that was followed here."""
    return one.head is not None and named(one.form, one.signed).at > parse_head(one.head).head.at


async def settle(tx: Transaction, directory: Directory) -> bool:
    """Compare what could not be followed with a directory that has come to its size; tell whether one stops sealing.

    What agrees with it was no lie, or was of pages that came to harm on their way: it is let go.
    """
    contradicted = False
    for position, one in await contradictions.waiting(tx):
        said = named(one.form, one.signed)
        root = directory.root_at(said.size)
        if said.origin != directory.origin or root is None or one.root:
            continue  # of another generation, not reached yet, or of a size that was known when it came
        if root == said.root:
            await contradictions.drop(tx, position)
        else:
            await contradictions.replace_at(tx, position, await _beside(tx, one.form, one.signed, one.kept_at))
            contradicted = True
    return contradicted


async def evidence(tx: Transaction) -> list[Contradiction]:
    """Return all that is kept, dismissed or not, the oldest first."""
    old = await _old(tx)
    kept = await contradictions.all_(tx)
    return kept if old is None else [old, *kept]


async def _old(tx: Transaction) -> Contradiction | None:
    try:
        raw = await facts.get(tx, _OLD)
        return None if raw is None else await _beside(tx, Form.HEAD, raw, parse_head(raw).head.at)
    except (*DAMAGED, MalformedEnvelope):
        return None


async def is_kept(tx: Transaction) -> bool:
    """Tell whether there is evidence that stops sealing, also where it cannot be read any more."""
    try:
        return await contradictions.stops(tx) or await facts.get(tx, _OLD) is not None
    except DAMAGED:
        return True


async def is_waiting(tx: Transaction) -> bool:
    """Tell whether something is kept that may yet turn out to be a lie, or none."""
    return any(not one.root for _, one in await contradictions.waiting(tx))


async def dismiss(store: Store, clock: Clock, log: Log) -> bool:
    """Let the next start seal again, and log it; the evidence stays. Tell whether there was anything to dismiss."""
    async with store.write() as tx:
        if not (await is_kept(tx) or await contradictions.waiting(tx)):
            return False
        if (old := await _old(tx)) is not None:
            await contradictions.add(tx, old, stops=True)
        await facts.drop(tx, _OLD)
        await contradictions.dismiss(tx, clock())
    log.event("fork-dismissed")
    return True
