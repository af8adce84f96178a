# SPDX-License-Identifier: Apache-2.0
"""In a thread without a life cycle a stranger says of nobody whom it is about, in whatever order mail comes (CAS-6)."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from connectors.cases.register import Register
from connectors.store import cases, facts, incoming, outgoing, replaying, speaking, tables, threadtables
from connectors.store.casefacts import CaseThread
from connectors.store.engine import DATABASE_FILE, Store, Transaction
from connectors.store.incoming import IncomingState, ReceivedMessage
from connectors.store.outgoing import OutgoingMessage
from connectors.store.recipients import Plan
from connectors.store.threads import ThreadRow
from connectors.vault import Vault
from protocol import ids
from protocol.address import AgencyAddress, DeskAddress
from protocol.content import encode_payload
from protocol.ids import CaseId, EnvelopeId, KeyId, Kind, MessageId, OfficerId, ThreadId
from protocol.kinds.base import RegisterNumbers
from protocol.kinds.community import AlertRisk, Imminence
from protocol.kinds.thread import Answer, MessageAnswer, ThreadConflict
from protocol.rows import EnvelopeClass
from protocol.sections import Actor, ActorKind
from tests.connectors.cases.test_referral import OFFICER

OWN, GORA, EVIL = (AgencyAddress(f"{name}@hub.example") for name in ("polje-csw", "gora-prison", "evil"))
DESK = {agency: DeskAddress(f"desk.{agency}") for agency in (OWN, GORA, EVIL)}
THREAD = ThreadId(bytes(16))
ACTOR = Actor(OfficerId(bytes(16)), ActorKind.SERVICE, "connector", bytes(32))


@dataclass(frozen=True)
class Wrote:
    """Who wrote what number of its own in the thread; its place among the messages is its leaf index."""

    agency: AgencyAddress
    number: str

    def payload(self) -> bytes:
        told = RegisterNumbers(sender=self.number)
        subject = ids.text(Kind.SUBJECT, bytes(16))
        return encode_payload(
            AlertRisk(register_numbers=told, subject=subject, occurred_at=0, imminence=Imminence.DAYS, answer_by=1)
        )

    def received(self, index: int) -> ReceivedMessage:
        return ReceivedMessage(
            message_id=MessageId(index.to_bytes(16, "big")),
            thread=THREAD,
            klass=EnvelopeClass.REFERRAL,
            payload_type="alert.risk",
            payload_version=1,
            sender_desk=DESK[self.agency],
            recipient_desk=DESK[OWN],
            agency=self.agency,
            device_id=KeyId(bytes(16)),
            actor=ACTOR,
            envelope_id=EnvelopeId(index.to_bytes(16, "big")),
            digest=bytes(32),
            seq=index,
            previous=None,
            state=IncomingState.DELIVERED,
            label="standard",
            leaf_index=index,
            accepted_at=index,
            received_at=0,
            marks=(),
            payload=self.payload(),
            sections=(),
        )

    async def send(self, tx: Transaction, register: Register, to: AgencyAddress, payload: bytes | None = None) -> None:
        message = OutgoingMessage(
            message_id=MessageId(b"m" * 16),
            thread=THREAD,
            klass=EnvelopeClass.REFERRAL,
            sender_desk=DESK[OWN],
            payload_type="message.answer" if payload else "alert.risk",
            payload_version=1,
            label="standard",
            actor=ACTOR,
            created_at=0,
            deadline=1,
            payload=payload or self.payload(),
        )
        await outgoing.add(tx, message, {DESK[to]: Plan()})
        await register.composed(tx, message, [DESK[to]])


class Undo(Exception):
    """Takes back what an example wrote."""


@contextmanager
def opened(folder: Path) -> Iterator[tuple[asyncio.Runner, Store]]:
    with asyncio.Runner() as runner:
        store = runner.run(Store.open(folder / DATABASE_FILE, Vault(bytes(range(32)))))
        try:
            yield runner, store
        finally:
            runner.run(store.close())


async def known(tx: Transaction) -> tuple[CaseThread | None, set[bytes]]:
    words = await tx.connection.execute(select(threadtables.found_by.c.word))
    return await cases.find(tx, THREAD), set(words.scalars())


async def taken(
    tx: Transaction, wrote: Sequence[Wrote], order: Sequence[int], *, begun_here: bool = False
) -> tuple[CaseThread | None, set[bytes]]:
    """Take note of these messages in that order of arrival; return what is known of the thread then."""
    register = Register(OWN)
    if begun_here:
        await Wrote(OWN, "ours").send(tx, register, GORA)
    for index in order:
        message = wrote[index].received(index)
        await incoming.add(tx, message, b"slice")
        await register.received(tx, message, None)
    return await known(tx)


async def cleared(tx: Transaction) -> None:
    await cases.clear(tx)
    for table in (tables.incoming, tables.recipient, tables.outgoing, tables.sequence):
        await tx.connection.execute(table.delete())


WROTE = st.builds(Wrote, st.sampled_from([GORA, EVIL]), st.sampled_from(["17/2027", "18/2027", "666/2027"]))


@pytest.mark.parametrize("begun_here", [False, True])
def test_cas_6_only_who_began_a_thread_or_was_written_to_says_whom_it_is_about(
    tmp_path: Path, *, begun_here: bool
) -> None:
    with opened(tmp_path) as (runner, store):

        @settings(max_examples=20)
        @given(st.lists(WROTE, min_size=1, max_size=6), st.randoms(use_true_random=False))
        def whatever_is_said(wrote: list[Wrote], chance: random.Random) -> None:
            async def check() -> None:
                side = GORA if begun_here else wrote[0].agency
                order = list(range(len(wrote)))
                async with store.write() as tx:
                    expected = await taken(tx, wrote, order, begun_here=begun_here)
                    row, _ = expected
                    assert row is not None
                    said = [one.number for one in wrote if one.agency == side]
                    other = None if row.facts.other_number is None else row.facts.other_number.values
                    assert other == ((side, said[-1]) if said else None)
                    await cleared(tx)
                    # Only what the sides said, and nothing of the stranger, is what the stranger leaves behind.
                    alone = [index for index in order if wrote[index].agency == side]
                    without, words = await taken(tx, wrote, alone, begun_here=begun_here)
                    assert words == expected[1]
                    assert (row.keys, row.facts.other_number) == (
                        (without.keys, without.facts.other_number) if without else (row.keys, None)
                    )
                    await cleared(tx)
                    chance.shuffle(order)
                    assert await taken(tx, wrote, order, begun_here=begun_here) == expected
                    raise Undo

            with pytest.raises(Undo):
                runner.run(check())

        whatever_is_said()


class Counting(Register):
    """Counts how often a thread is weighed anew."""

    weighed = 0

    async def weigh(self, tx: Transaction, thread: ThreadId, row: ThreadRow | None) -> Set[CaseId]:
        self.weighed += 1
        return await super().weigh(tx, thread, row)


@pytest.mark.parametrize(("agencies", "most"), [([EVIL], 1), ([EVIL, GORA], 2 * speaking.FIRST)])
async def test_cas_6_who_sends_in_the_reverse_order_has_a_thread_weighed_a_few_times(
    tmp_path: Path, agencies: list[AgencyAddress], most: int
) -> None:
    store = await Store.open(tmp_path / DATABASE_FILE, Vault(bytes(range(32))))
    register, lines = Counting(OWN), Counter[AgencyAddress]()
    async with store.write() as tx:
        # Each came to the hub before all that were given a place before it, and waits here until its turn comes.
        for index, agency in [(60, GORA), *zip(reversed(range(60)), cycle(agencies))]:
            lines[agency] += 1
            message = replace(Wrote(agency, f"{index}/2027").received(index), seq=lines[agency])
            await incoming.add(tx, message, b"slice")
            await register.received(tx, message, None)
        assert 0 < register.weighed <= most
        before = await known(tx)
        await register.weigh(tx, THREAD, None)
        assert await known(tx) == before
    await store.close()


async def test_cas_6_a_notice_says_nothing_whenever_it_came(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / DATABASE_FILE, Vault(bytes(range(32))))
    register = Register(OWN)
    conflict = ThreadConflict(
        register_numbers=RegisterNumbers(sender="666/2027"),
        subject=ids.text(Kind.SUBJECT, bytes(16)),
        occurred_at=0,
        move=ids.text(Kind.MESSAGE, bytes(16)),
        leaf_index=0,
        state="sent",
    )
    async with store.write() as tx:
        before = await taken(tx, [Wrote(EVIL, "666/2027"), Wrote(GORA, "17/2027")], [1])
        # As it is stored: no life cycle and no register is told of a notice.
        notice = replace(
            Wrote(EVIL, "666/2027").received(0),
            klass=EnvelopeClass.NOTICE,
            payload_type="thread.conflict",
            payload=encode_payload(conflict),
        )
        await incoming.add(tx, notice, b"slice")
        await register.weigh(tx, THREAD, None)
        assert await known(tx) == before
    await store.close()


async def test_cas_6_a_replay_takes_back_what_a_stranger_said_before_this_rule(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / DATABASE_FILE, Vault(bytes(range(32))))
    register = Register(OWN)
    for wrote, begun_here in (([Wrote(GORA, "17/2027"), Wrote(EVIL, "666/2027")], False), ([Wrote(EVIL, "6")], True)):
        async with store.write() as tx:
            await cleared(tx)
            expected = await taken(tx, wrote, range(len(wrote)), begun_here=begun_here)
            index = len(wrote) - 1
            await register._note(
                tx, THREAD, index, (await register._said(tx, (await replaying.in_thread(tx, THREAD))[-1], [EVIL]))[1]
            )
            assert await known(tx) != expected
            await facts.drop(tx, "cases made")
        assert await register.catch_up(store) > 0
        async with store.read() as tx:
            assert await known(tx) == expected
    await store.close()


async def test_cas_6_an_answer_makes_nobody_a_side(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / DATABASE_FILE, Vault(bytes(range(32))))
    register = Register(OWN)
    async with store.write() as tx:
        before = await taken(tx, [Wrote(GORA, "17/2027"), Wrote(EVIL, "666/2027")], [0, 1])
        answer = MessageAnswer(
            register_numbers=RegisterNumbers(),
            subject=ids.text(Kind.SUBJECT, bytes(16)),
            occurred_at=0,
            answers=ids.text(Kind.MESSAGE, MessageId((1).to_bytes(16, "big"))),
            answer=Answer.NOTED,
            officer=OFFICER,
        )
        await Wrote(OWN, "").send(tx, register, EVIL, encode_payload(answer))
        again = Wrote(EVIL, "667/2027").received(2)
        await incoming.add(tx, again, b"slice")
        await register.received(tx, again, None)
        row, words = await known(tx)
        assert row is not None
        assert before[0] is not None
        assert (row.facts.other_number, row.case_id, words) == (
            before[0].facts.other_number,
            before[0].case_id,
            before[1],
        )
    await store.close()
