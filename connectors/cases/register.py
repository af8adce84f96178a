# SPDX-License-Identifier: Apache-2.0
"""Puts every thread into the case that it belongs to: one person in this agency's own register (CAS-1).

A case is never composed and never sent: it follows from what messages say, and can be made anew from them at any time.
What decides, the strongest first: the person's number in our register; the person's number in the register of another
agency; our register's number of the correspondence; the thread that this one says it goes on from. A weaker number
leads to a stronger one only through a thread where our own agency said both, so nobody else can join two cases.
"""

from dataclasses import replace
from typing import Final

from connectors.cases.facts import Said, facts_of_ours, facts_of_theirs
from connectors.cases.folding import findable
from connectors.store import cases, facts, replaying, threads
from connectors.store.cases import NUMBER_OURS, PERSON_OURS, CaseThread, Facts, merge
from connectors.store.engine import Store, Transaction
from connectors.store.incoming import ReceivedMessage
from connectors.store.outgoing import OutgoingMessage
from protocol import ids
from protocol.address import AgencyAddress, DeskAddress, agency_of
from protocol.errors import InvalidInput, KeystoreError, MalformedEnvelope
from protocol.ids import CaseId, Kind, ThreadId
from protocol.kinds.catalogue import KINDS

AT_ONCE: Final = 200
"""Messages of a replay in one transaction."""
_MOST_LINKS: Final = 50
"""Threads that go on from one another; a longer chain, or a circle, ends there."""
_MADE: Final = "cases made"
_FORM: Final = b"2"
"""Another one has every stored message taken note of once more."""


class Register:
    """Takes note of messages. Every method but `catch_up` works inside its caller's transaction."""

    def __init__(self, agency: AgencyAddress) -> None:
        """`agency` is our own."""
        self._agency = agency

    async def composed(self, tx: Transaction, message: OutgoingMessage, to: list[DeskAddress]) -> None:
        """Take note of a message of ours."""
        if message.payload_type in KINDS:
            said = facts_of_ours(message, self._agency, map(agency_of, to))
            await self._note(tx, message.thread, message.created_at, said)

    async def received(self, tx: Transaction, message: ReceivedMessage) -> None:
        """Take note of a verified message that has its effect now."""
        if message.payload_type not in KINDS:
            return
        row = await threads.find(tx, message.thread)
        # Whoever knows a thread's id can write in it; who is neither side of it does not say whom it is about.
        counts = row is None or row.involves(message.agency)
        said = facts_of_theirs(message, self._agency) if counts else Said()
        await self._note(tx, message.thread, message.accepted_at, said)

    async def same_person(self, tx: Transaction, message: OutgoingMessage, to: AgencyAddress) -> list[CaseThread]:
        """Return the threads about the person of a message of ours that is not sent yet, by our own numbers."""
        said = facts_of_ours(message, self._agency, [to]).facts
        found: dict[ThreadId, CaseThread] = {}
        if said.own_person is not None:
            for one in await cases.with_own_person(tx, _key(tx, "own person", *said.own_person.values)):
                found[one.thread] = one
        if said.number is not None:
            for one in await cases.with_number(tx, _key(tx, "number", *said.number.values)):
                found[one.thread] = one
        return list(found.values())

    async def numbers(self, tx: Transaction, thread: ThreadId, to: list[DeskAddress]) -> dict[str, str]:
        """Return the register numbers of both sides that a message of ours in this thread carries (CAS-4)."""
        row = await cases.find(tx, thread)
        if row is None:
            return {}
        found = {}
        # What another agency says of our register is not ours to confirm.
        if row.facts.number is not None and row.facts.number.ours:
            found["sender"] = row.facts.number.values[0]
        if row.facts.other_number is not None and {agency_of(desk) for desk in to} == {
            row.facts.other_number.values[0]
        }:
            found["recipient"] = row.facts.other_number.values[1]
        return found

    async def catch_up(self, store: Store) -> int:
        """Take note of what was stored before cases were kept as they are now; returns how many messages that were."""
        async with store.read() as tx:
            if await facts.get(tx, _MADE) == _FORM:
                return 0
        taken = 0
        place: replaying.Stored | None = replaying.BEGIN
        while place is not None:
            async with store.write() as tx:
                found, place = await replaying.page(tx, place, AT_ONCE)
                for one in found:
                    try:
                        await self._again(tx, one)
                    except (KeystoreError, MalformedEnvelope):
                        # Damaged, and shown as such elsewhere: the others still have their cases (CON-8).
                        continue
                taken += len(found)
        async with store.write() as tx:
            await facts.put(tx, _MADE, _FORM)
        return taken

    async def _again(self, tx: Transaction, place: replaying.Stored) -> None:
        if place.ours:
            message, to = await replaying.ours(tx, place)
            await self.composed(tx, message, to)
        else:
            await self.received(tx, await replaying.theirs(tx, place))

    async def _note(self, tx: Transaction, thread: ThreadId, at: int, said: Said) -> None:
        await cases.find_by(tx, thread, {word_key(tx, one) for one in findable(said.findable)})
        before = await cases.find(tx, thread)
        known = merge(before.facts, said.facts) if before else said.facts
        row = self._row(tx, thread, known, before, at)
        if row == before:
            return
        if before is None or row.keys != before.keys:
            await cases.put(tx, replace(row, case_id=_id(tx, "thread", thread)) if before is None else row)
            await self._place(tx, row, before)
        else:
            await cases.put(tx, row)

    def _row(self, tx: Transaction, thread: ThreadId, known: Facts, before: CaseThread | None, at: int) -> CaseThread:
        number, own, other = known.number, known.own_person, known.other_person
        return CaseThread(
            thread=thread,
            case_id=before.case_id if before else CaseId(b""),
            begun_at=min(before.begun_at, at) if before else at,
            changed_at=max(before.changed_at, at) if before else at,
            facts=known,
            own_person=_key(tx, "own person", own.values[0]) if own else None,
            other_person=_key(tx, "other person", *other.values) if other else None,
            number=_key(tx, "number", number.values[0]) if number else None,
            link=_thread(known.link.values[0]) if known.link else None,
            ours=(NUMBER_OURS if number and number.ours else 0) | (PERSON_OURS if own and own.ours else 0),
        )

    async def _place(self, tx: Transaction, row: CaseThread, before: CaseThread | None) -> None:
        """Put a thread whose keys changed where it belongs, and with it those that it leads somewhere else."""
        waiting = {row.thread} | await self._led(tx, row) | (await self._led(tx, before) if before else set())
        done = set[ThreadId]()
        while waiting:
            thread = waiting.pop()
            done.add(thread)
            one = await cases.find(tx, thread)
            if one is None:
                continue
            case_id = await self._case(tx, one)
            if case_id != one.case_id:
                await cases.put(tx, replace(one, case_id=case_id))
                waiting |= await self._led(tx, one) - done

    async def _led(self, tx: Transaction, row: CaseThread) -> set[ThreadId]:
        """Return the threads whose case can follow from what this one says.

        Only where our own agency said it does a number lead anywhere else, so nothing that others say has more to be
        placed anew however many threads they have begun about one number.
        """
        found = await cases.going_on_from(tx, row.thread)
        if row.other_person is not None and row.own_person is not None and row.ours & PERSON_OURS:
            found |= await cases.with_other_person(tx, row.other_person)
        if row.number is not None and row.ours & NUMBER_OURS:
            found |= await cases.sharing_number(tx, row.number)
        return found

    async def _case(self, tx: Transaction, row: CaseThread) -> CaseId:
        begun, seen = row.thread, set[ThreadId]()
        while row.thread not in seen and len(seen) < _MOST_LINKS:
            seen.add(row.thread)
            person = await self._person(tx, row)
            if person is not None:
                return person
            if row.number is not None:
                return await self._by_number(tx, row.number)
            following = await cases.find(tx, row.link) if row.link is not None else None
            if following is None:
                return _id(tx, "thread", row.thread)
            row = following
        return _id(tx, "thread", begun)

    async def _person(self, tx: Transaction, row: CaseThread) -> CaseId | None:
        if row.own_person is not None:
            return _id(tx, "own person", row.own_person)
        if row.other_person is None:
            return None
        own = await cases.own_person(tx, row.other_person)
        return _id(tx, "other person", row.other_person) if own is None else _id(tx, "own person", own)

    async def _by_number(self, tx: Transaction, number: bytes) -> CaseId:
        one = await cases.leading(tx, number)
        person = None if one is None else await self._person(tx, one)
        return _id(tx, "number", number) if person is None else person


def word_key(tx: Transaction, word: str) -> bytes:
    """Return the keyed hash by which a folded word, or the beginning of one, is found."""
    return tx.vault.blind("found by", word.encode())


def _key(tx: Transaction, use: str, *values: str) -> bytes:
    """Return the keyed hash of a number; how it is spaced and in which case its letters are makes no difference."""
    return tx.vault.blind(f"case {use}", "\0".join("".join(one.split()).casefold() for one in values).encode())


def _id(tx: Transaction, use: str, key: bytes) -> CaseId:
    return CaseId(tx.vault.blind(f"case id {use}", key))


def _thread(text: str) -> ThreadId | None:
    try:
        return ThreadId(ids.raw(Kind.THREAD, text))
    except InvalidInput:
        return None
