# SPDX-License-Identifier: Apache-2.0
"""What is due and does not happen, because nobody knows that this machine's clock is right (CON-23)."""

from typing import Final

from connectors.store import attempts, moves, progress
from connectors.store.engine import Transaction
from protocol.diagnosis import Finding, fault, warning
from protocol.limits import CLOCK_SKEW

_THEN: Final = "What waits then happens by itself, within half a minute."


async def examine_held(tx: Transaction, now: int, ahead: int | None) -> list[Finding]:
    """Count what waits for a clock that is known to be right; nothing where the hub's clock agrees or nothing is due.

    `now` is in ms UTC; `ahead` is by how many ms the hub's clock is ahead of it, None if the hub told no time.
    """
    if ahead is not None and abs(ahead) <= CLOCK_SKEW:
        return []
    at = now + (ahead or 0)
    waiting = _counted(
        (len(await moves.due(tx, at)), "thread to remind of or to end", "threads to remind of or to end"),
        (len(await progress.overdue(tx, at, since=0)), "message past its time", "messages past their time"),
        (len(await attempts.lapsed(tx, at)), "sealing past its time", "sealings past their time"),
    )
    if not waiting:
        return []
    if ahead is not None:
        fix = f"Set this machine's clock, and keep it set (NTP). {_THEN}"
        return [fault("held time", f"Due by the hub's time, and waiting for this clock to be right: {waiting}.", fix)]
    fix = f"Mend the way to the hub. {_THEN}"
    found = f"Due, and waiting if the connector has not met the hub since its start: {waiting}."
    return [warning("held time", found, fix)]


def _counted(*kinds: tuple[int, str, str]) -> str:
    return ", ".join(f"{count} {one if count == 1 else many}" for count, one, many in kinds if count)
