# SPDX-License-Identifier: Apache-2.0
"""Second referrals about one person: found before they are sent, shown where they come, never dropped (REF-8)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from connectors.cases.register import Register
from connectors.cases.sides import ROLES
from connectors.cases.stopped import IN_ERROR
from connectors.faults import DAMAGED
from connectors.store import cases, moves, threads
from connectors.store.engine import Transaction
from connectors.store.outgoing import OutgoingMessage
from protocol import ids
from protocol.address import AgencyAddress, DeskAddress
from protocol.errors import PossibleDuplicate
from protocol.ids import Kind, ThreadId
from protocol.kinds.catalogue import KINDS, decode_payload
from protocol.kinds.referral.request import DuplicateCheck, Request
from protocol.lifecycle.referral import REFERRAL
from protocol.limits import DAY

SPAN: Final = 180 * DAY
"""How far back another referral about the same person is shown beside one."""
MOST: Final = 20
"""How many others are shown beside one."""


async def check_new(
    tx: Transaction,
    register: Register,
    message: OutgoingMessage,
    to: AgencyAddress,
    desks: Collection[DeskAddress] | None = None,
) -> None:
    """Raise `PossibleDuplicate` for a referral that says that it found none while one to the same agency is open.

    The same person, by our own numbers, and at least one of the same services; what it says it goes on from is none.
    Of another desk's nothing is said to a caller that is bound to `desks` (CON-19).
    """
    asked = decode_payload(KINDS[message.payload_type], message.payload)
    if not isinstance(asked, Request) or asked.duplicates is not DuplicateCheck.NONE_FOUND:
        return
    found = await register.same_person(tx, message, to)
    seen = None if desks is None else await threads.of_desks(tx, [one.thread for one in found], desks)
    for one in found:
        if seen is not None and one.thread not in seen:
            continue
        if not _goes_on_from(asked, one.thread) and await _asks_the_same(tx, asked, one.thread, to):
            raise PossibleDuplicate(
                f"{ids.text(Kind.THREAD, one.thread)} asks this agency for the same, for the same person, and is not "
                "over. To send this one all the same, let `duplicates` say continues-another or sent-anyway."
            )


@dataclass(frozen=True, slots=True)
class Beside:
    """Earlier referrals about the same person, the newest first; `more` if there are others."""

    threads: tuple[ThreadId, ...] = ()
    more: bool = False


async def similar(
    tx: Transaction, among: Collection[ThreadId], desks: Collection[DeskAddress] | None = None
) -> Mapping[ThreadId, Beside]:
    """Return which earlier referrals about the same person stand beside those of these threads that have any.

    Those of `desks` of ours only, where there are some (CON-19).
    """
    asked = ROLES[REFERRAL.name].answers
    found = await cases.alike(tx, among, machine=REFERRAL.name, asked=asked, without=IN_ERROR, span=SPAN, most=MOST + 1)
    if desks is not None:
        seen = await threads.of_desks(tx, {one for before in found.values() for one in before}, desks)
        found = {thread: [one for one in before if one in seen] for thread, before in found.items()}
    return {thread: Beside(tuple(before[:MOST]), len(before) > MOST) for thread, before in found.items()}


async def _asks_the_same(tx: Transaction, asked: Request, thread: ThreadId, to: AgencyAddress) -> bool:
    try:
        row = await threads.find(tx, thread)
        begun = row is not None and row.machine == REFERRAL.name and row.side == ROLES[row.machine].begins
        if row is None or not begun or not row.live or row.answers != to:
            return False
        return bool(_services(asked) & await _services_of(tx, thread))
    except DAMAGED:
        return False  # nobody can say; it is shown as damaged, and stops no other (CON-8)


def _goes_on_from(asked: Request, thread: ThreadId) -> bool:
    return ids.text(Kind.THREAD, thread) in (asked.reopens, asked.part_of, asked.residual_of, asked.forwards)


def _services(asked: Request) -> set[str]:
    return {service.code for service in asked.services}


async def _services_of(tx: Transaction, thread: ThreadId) -> set[str]:
    for one in await moves.of(tx, thread):
        if one.event == ROLES[REFERRAL.name].begin:
            found = decode_payload(KINDS["referral.request"], one.payload)
            return _services(found) if isinstance(found, Request) else set()
    return set()
