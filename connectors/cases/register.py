# SPDX-License-Identifier: Apache-2.0
"""Puts every thread into the case that it belongs to: one person in this agency's own register (CAS-1).

A case is never composed and never sent: it follows from what messages say, and can be made anew from them at any time.
What decides, the strongest first: the person's number in our register; the person's number in the register of another
agency; our register's number of the correspondence; the thread that this one says it goes on from. A weaker number
leads to a stronger one only through a thread where our own agency said both, so nobody else can join two cases. Nor
does what others say of our numbers, or of what it goes on from, count in a thread that we began, nor does their own
number of the person lead it anywhere unless we named it too: they could put it into another person's case.

Whoever knows a thread's id can write in it, so of others only the sides of a thread say whom it is about (CAS-6). Who
they are follows from the stored messages, in the order of the hub's log: where that changes, the thread is weighed
anew.
"""

from collections.abc import Collection, Mapping, Set
from contextlib import suppress
from dataclasses import replace
from typing import Final

from connectors.cases.facts import Said, facts_of_ours, facts_of_theirs
from connectors.cases.stopped import IN_ERROR, is_withheld
from connectors.faults import DAMAGED
from connectors.folding import findable
from connectors.numbering import spelled, telling
from connectors.store import cases, corrections, facts, replaying, speaking, threads
from connectors.store.casefacts import (
    BEGAN,
    NUMBER_OURS,
    OTHER_OURS,
    PERSON_OURS,
    WITHHELD,
    CaseThread,
    Facts,
    Stated,
    merge,
)
from connectors.store.engine import Store, Transaction
from connectors.store.incoming import ReceivedMessage
from connectors.store.outgoing import OutgoingMessage
from connectors.store.threads import ThreadRow
from protocol import ids
from protocol.address import AgencyAddress, DeskAddress, agency_of
from protocol.errors import InvalidInput
from protocol.ids import CaseId, Kind, ThreadId

AT_ONCE: Final = 200
"""Messages of a replay in one transaction."""
_MOST_LINKS: Final = 50
"""Threads that go on from one another; a longer chain, or a circle, ends there."""
_MADE: Final = "cases made"
_FORM: Final = b"12"
"""Another one has every stored message taken note of once more."""


class Register:
    """Takes note of messages. Every method but `catch_up` works inside its caller's transaction."""

    def __init__(self, agency: AgencyAddress) -> None:
        """`agency` is our own."""
        self._agency = agency

    async def composed(self, tx: Transaction, message: OutgoingMessage, to: list[DeskAddress]) -> Set[CaseId]:
        """Take note of a message of ours; return the cases in which there are other threads now."""
        if message.payload_type not in speaking.SPOKEN:
            return set()
        await corrections.note(tx, message, self._agency)
        if is_withheld(await threads.standing(tx, message.thread)):
            return await self.weigh(tx, message.thread, await threads.find(tx, message.thread))
        said, row = facts_of_ours(message, self._agency, map(agency_of, to)), await threads.find(tx, message.thread)
        began = await self._began(tx, message.thread, row)
        return await self._note(tx, message.thread, message.created_at, said, row, began=began)

    async def received(
        self, tx: Transaction, message: ReceivedMessage, row: ThreadRow | None, *, begun: bool = False
    ) -> Set[CaseId]:
        """Take note of a verified message that has its effect now; `row` is its thread's life cycle, if it has one.

        With a life cycle that is `begun` by this very message the sides may be others than it seemed. Returns the cases
        in which there are other threads now.
        """
        if message.payload_type not in speaking.SPOKEN:
            return set()
        await corrections.note(tx, message, message.agency)
        if row is not None and row.state == IN_ERROR and is_withheld(await threads.standing(tx, message.thread)):
            return await self._touch(tx, message, row)
        voices = await speaking.voices(tx, message.thread)
        if len(voices) > 1 and (begun or await _begins(tx, message, voices)):
            return await self.weigh(tx, message.thread, row)
        counts = message.agency in await self._sides(tx, message.thread, row, voices)
        began = await self._began(tx, message.thread, row)
        said = facts_of_theirs(message, self._agency, of_us=not began) if counts else Said()
        return await self._note(tx, message.thread, message.accepted_at, said, row, began=began)

    async def weigh(self, tx: Transaction, thread: ThreadId, row: ThreadRow | None) -> Set[CaseId]:
        """Take note anew of all that is stored of a thread, and of nothing else; `row` is its life cycle.

        Returns the cases in which there are other threads now.
        """
        sides = await self._sides(tx, thread, row, await speaking.voices(tx, thread))
        began = await self._began(tx, thread, row)
        known, words, times = Facts(), set[bytes](), set[int]()
        for place in await replaying.in_thread(tx, thread):
            try:
                at, said = await self._said(tx, place, sides, of_us=not began)
            except DAMAGED:
                continue
            known = merge(known, said.facts)
            words |= {word_key(tx, one) for one in findable(said.findable)}
            times.add(at)
        if not times:
            return set()
        before = await cases.find(tx, thread)
        withheld = is_withheld(await threads.standing(tx, thread))
        if withheld:
            known = replace(known, name=None)
            own = known.number.values if known.number is not None and known.number.ours else ()
            words = {word_key(tx, one) for one in findable(own)}
        await cases.find_only_by(tx, thread, words)
        placed = self._row(tx, thread, known, before, min(times), began=began)
        if withheld:
            # It stays where it was, so that its line is found there, and leads nothing else anywhere (CON-26).
            placed = replace(placed, ours=WITHHELD)
        return await self._put(tx, replace(placed, begun_at=min(times), changed_at=max(times)), before)

    async def _said(
        self, tx: Transaction, place: replaying.Stored, sides: Collection[AgencyAddress], *, of_us: bool = True
    ) -> tuple[int, Said]:
        if place.ours:
            sent, to = await replaying.ours(tx, place)
            return sent.created_at, facts_of_ours(sent, self._agency, map(agency_of, to))
        message = await replaying.theirs(tx, place)
        counts = message.agency in sides
        return message.accepted_at, facts_of_theirs(message, self._agency, of_us=of_us) if counts else Said()

    async def _began(self, tx: Transaction, thread: ThreadId, row: ThreadRow | None) -> bool:
        """Tell whether we began a thread; `row` is its life cycle."""
        return bool(await speaking.addressed(tx, thread)) if row is None else row.begins == self._agency

    async def _sides(
        self, tx: Transaction, thread: ThreadId, row: ThreadRow | None, voices: Mapping[AgencyAddress, int]
    ) -> Collection[AgencyAddress]:
        """Return the agencies that say whom a thread is about, beside our own (CAS-6).

        `voices` are the others that wrote in it, each with the leaf index of its first message.
        """
        addressed = await speaking.addressed(tx, thread) if row is None else ()
        if addressed:
            # Without a life cycle only who began a thread writes more than answers in it, so it was us.
            return addressed
        first = min(voices, key=lambda agency: voices[agency], default=None)
        if row is not None and (row.begins == self._agency or first is None or row.involves(first)):
            return (row.begins, row.answers)
        return () if first is None else (first,)

    async def same_person(self, tx: Transaction, message: OutgoingMessage, to: AgencyAddress) -> list[CaseThread]:
        """Return the threads about the person of a message of ours that is not sent yet, by our own numbers."""
        said = facts_of_ours(message, self._agency, [to]).facts
        found: dict[ThreadId, CaseThread] = {}
        if (person := _key(tx, "own person", said.own_person)) is not None:
            for one in await cases.with_own_person(tx, person):
                found[one.thread] = one
        if (number := _key(tx, "number", said.number)) is not None:
            for one in await cases.with_number(tx, number):
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
            if await _made(tx) == _FORM:
                return 0
        taken = 0
        place: replaying.Stored | None = replaying.BEGIN
        while place is not None:
            async with store.write() as tx:
                found, place = await replaying.page(tx, place, AT_ONCE)
                crowded = set[ThreadId]()
                for one in found:
                    try:
                        crowded |= await self._again(tx, one)
                    except DAMAGED:
                        # Damaged, and shown as such elsewhere: the others still have their cases (CON-8).
                        continue
                for thread in sorted(crowded):
                    with suppress(*DAMAGED):
                        await self.weigh(tx, thread, await threads.find(tx, thread))
                taken += len(found)
        async with store.write() as tx:
            await facts.put(tx, _MADE, _FORM)
        return taken

    async def _again(self, tx: Transaction, place: replaying.Stored) -> set[ThreadId]:
        """Take note of a message once more; return its thread if that must be weighed, for not all there may count."""
        if place.ours:
            sent, to = await replaying.ours(tx, place)
            await self.composed(tx, sent, to)
            return set()
        message = await replaying.theirs(tx, place)
        await corrections.note(tx, message, message.agency)
        if is_withheld(await threads.standing(tx, message.thread)):
            return {message.thread}
        row, voices = await threads.find(tx, message.thread), await speaking.voices(tx, message.thread)
        if len(voices) > 1 or message.agency not in await self._sides(tx, message.thread, row, voices):
            return {message.thread}
        if await self._began(tx, message.thread, row):
            # An earlier version may have let it say what our numbers are, or what the thread goes on from.
            return {message.thread}
        await self.received(tx, message, row)
        return set()

    async def _touch(self, tx: Transaction, message: ReceivedMessage, row: ThreadRow) -> Set[CaseId]:
        """Take note that something came in a thread whose words count no more, and of no word of it (CON-26).

        The thread was weighed when it was entered in error; to weigh it with each message again would read all of them.
        """
        before = await cases.find(tx, message.thread)
        if before is None or before.damaged:
            return await self.weigh(tx, message.thread, row)
        now = replace(before, changed_at=max(before.changed_at, message.accepted_at))
        return await self._put(tx, now, before)

    async def _note(
        self,
        tx: Transaction,
        thread: ThreadId,
        at: int,
        said: Said,
        row: ThreadRow | None = None,
        *,
        began: bool = False,
    ) -> Set[CaseId]:
        before = await cases.find(tx, thread)
        if before is not None and before.damaged:
            return await self.weigh(tx, thread, row or await threads.find(tx, thread))
        await cases.find_by(tx, thread, {word_key(tx, one) for one in findable(said.findable)})
        known = merge(before.facts, said.facts) if before else said.facts
        return await self._put(tx, self._row(tx, thread, known, before, at, began=began), before)

    async def _put(self, tx: Transaction, row: CaseThread, before: CaseThread | None) -> Set[CaseId]:
        if row == before:
            return set()
        if before is None or row.keys != before.keys:
            stored = replace(row, case_id=_id(tx, "thread", row.thread)) if before is None else row
            await cases.put(tx, stored)
            return await self._place(tx, stored, before)
        await cases.put(tx, row)
        return set()

    def _row(
        self, tx: Transaction, thread: ThreadId, known: Facts, before: CaseThread | None, at: int, *, began: bool
    ) -> CaseThread:
        number, own, other = known.number, known.own_person, known.other_person
        own_person, other_ours = _key(tx, "own person", own), other is not None and other.ours
        own_ours = own is not None and own.ours
        # What only the other side says of its person puts no thread of ours anywhere; where we said who it is, it
        # leads there what that side begins.
        counts = other_ours or not began or (own_ours and own_person is not None)
        return CaseThread(
            thread=thread,
            case_id=before.case_id if before else CaseId(b""),
            begun_at=min(before.begun_at, at) if before else at,
            changed_at=max(before.changed_at, at) if before else at,
            facts=known,
            own_person=own_person,
            other_person=_key(tx, "other person", other) if counts else None,
            number=_key(tx, "number", number),
            link=_thread(known.link.values[0]) if known.link else None,
            ours=(NUMBER_OURS if number and number.ours else 0)
            | (PERSON_OURS if own_ours else 0)
            | (OTHER_OURS if other_ours else 0)
            | (BEGAN if began else 0),
        )

    async def _place(self, tx: Transaction, row: CaseThread, before: CaseThread | None) -> Set[CaseId]:
        """Put a thread whose keys changed where it belongs, and with it those that it leads somewhere else.

        Returns the cases that they left, and those that they came to.
        """
        waiting = {row.thread} | await self._led(tx, row) | (await self._led(tx, before) if before else set())
        done, changed = set[ThreadId](), set[CaseId]()
        while waiting:
            thread = waiting.pop()
            done.add(thread)
            one = row if thread == row.thread else await cases.find(tx, thread)
            if one is None:
                continue
            case_id = await self._case(tx, one)
            if case_id != one.case_id:
                await cases.put(tx, replace(one, case_id=case_id))
                changed |= {one.case_id, case_id}
                waiting |= await self._led(tx, one) - done
        return changed

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
        begun, seen, keeps_its_place = row.thread, set[ThreadId](), row.ours & WITHHELD
        while row.thread not in seen and len(seen) < _MOST_LINKS:
            seen.add(row.thread)
            person = await self._person(tx, row)
            if person is not None:
                return person
            if row.number is not None:
                return await self._by_number(tx, row.number)
            following = await cases.find(tx, row.link) if row.link is not None else None
            if following is None or (following.ours & WITHHELD and not keeps_its_place):
                return _id(tx, "thread", row.thread)
            row = following
        return _id(tx, "thread", begun)

    async def _person(self, tx: Transaction, row: CaseThread) -> CaseId | None:
        if row.own_person is not None:
            return _id(tx, "own person", row.own_person)
        if row.other_person is None:
            return None
        own = await cases.own_person(tx, row.other_person, by_us=bool(row.ours & BEGAN))
        return _id(tx, "other person", row.other_person) if own is None else _id(tx, "own person", own)

    async def _by_number(self, tx: Transaction, number: bytes) -> CaseId:
        one = await cases.leading(tx, number)
        person = None if one is None else await self._person(tx, one)
        return _id(tx, "number", number) if person is None else person


async def _made(tx: Transaction) -> bytes | None:
    try:
        return await facts.get(tx, _MADE)
    except DAMAGED:
        return None


async def _begins(tx: Transaction, message: ReceivedMessage, voices: Mapping[AgencyAddress, int]) -> bool:
    """Tell whether somebody else began the thread than it seemed: what the hub accepted before came after it."""
    if message.leaf_index != min(voices.values()):
        return False
    before = await speaking.voices(tx, message.thread, without=message.envelope_id)
    return min(before, key=lambda agency: before[agency]) != message.agency


def word_key(tx: Transaction, word: str) -> bytes:
    """Return the keyed hash by which a folded word, or the beginning of one, is found."""
    return tx.vault.blind("found by", word.encode())


def _key(tx: Transaction, use: str, said: Stated | None) -> bytes | None:
    """Return the keyed hash of a number; None for one that is not known, or tells nobody from another (CAS-7)."""
    if said is None or not telling(said.values[-1]):
        return None
    return tx.vault.blind(f"case {use}", "\0".join(map(spelled, said.values)).encode())


def _id(tx: Transaction, use: str, key: bytes) -> CaseId:
    return CaseId(tx.vault.blind(f"case id {use}", key))


def _thread(text: str) -> ThreadId | None:
    try:
        return ThreadId(ids.raw(Kind.THREAD, text))
    except InvalidInput:
        return None
