# SPDX-License-Identifier: Apache-2.0
"""Which case a thread belongs to follows from what messages say, in whatever order they come (CAS-1, CAS-2)."""

import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event

from connectors.cases.facts import Said
from connectors.cases.register import Register
from connectors.store import cases
from connectors.store.casefacts import Facts, Stated, merge
from connectors.store.engine import DATABASE_FILE, Store, Transaction
from connectors.vault import Vault
from protocol import ids
from protocol.address import AgencyAddress
from protocol.ids import Kind, MessageId, ThreadId

GORA, REKA, EVIL = "gora-prison@hub.example", "reka-probation@hub.example", "evil@hub.example"
OWN = AgencyAddress("polje-csw@hub.example")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / DATABASE_FILE, Vault(bytes(range(32))))
    yield opened
    await opened.close()


def thread(number: int) -> ThreadId:
    return ThreadId(bytes([number]) * 16)


def stated(at: int, *values: str, ours: bool = False) -> Stated:
    return Stated(ours, at, MessageId(at.to_bytes(16, "big")), values)


Note = tuple[ThreadId, int, Said]


def note(place: int, at: int, /, **said: tuple[str, ...] | str) -> Note:
    """Return what one message in a thread says; a name that ends in `_ours` is what our own agency says."""
    facts = {}
    for name, value in said.items():
        values = (value,) if isinstance(value, str) else value
        facts[name.removesuffix("_ours")] = stated(at, *values, ours=name.endswith("_ours"))
    return thread(place), at, Said(Facts(**facts))


async def placed(tx: Transaction, notes: Sequence[Note]) -> dict[ThreadId, bytes]:
    """Take note of these messages alone; return the case of each thread."""
    await cases.clear(tx)
    register = Register(OWN)
    for one in notes:
        await register._note(tx, *one)
    found = [await cases.find(tx, one) for one in {one for one, _, _ in notes}]
    return {row.thread: row.case_id for row in found if row is not None}


async def together(store: Store, *notes: Note) -> list[set[int]]:
    """Return which threads came together, by their numbers; the same in whatever order the messages come."""
    groups = set()
    async with store.write() as tx:
        for order in [notes, notes[::-1], *[random.Random(n).sample(notes, len(notes)) for n in range(4)]]:
            found = await placed(tx, order)
            by_case: dict[bytes, set[int]] = {}
            for one, case_id in found.items():
                by_case.setdefault(case_id, set()).add(one[0])
            groups.add(frozenset(map(frozenset, by_case.values())))
    (only,) = groups
    return sorted((set(group) for group in only), key=min)


@pytest.mark.parametrize(
    ("notes", "expected"),
    [
        ([note(1, 1), note(2, 2)], [{1}, {2}]),
        ([note(1, 1, own_person_ours="71"), note(2, 2, own_person_ours=" 7 1")], [{1, 2}]),
        ([note(1, 1, other_person=(GORA, "51")), note(2, 2, other_person=(GORA, "51"))], [{1, 2}]),
        ([note(1, 1, other_person=(GORA, "51")), note(2, 2, other_person=(REKA, "51"))], [{1}, {2}]),
        ([note(1, 1, number_ours="035-1/27"), note(2, 2, number="035-1/27")], [{1, 2}]),
        ([note(1, 1), note(2, 2, link=ids.text(Kind.THREAD, thread(1)))], [{1, 2}]),
        # Two correspondences about one person are one case.
        (
            [
                note(1, 1, other_person=(GORA, "51"), number_ours="17"),
                note(2, 2, other_person=(GORA, "51"), number_ours="18"),
            ],
            [{1, 2}],
        ),
        # A number that another agency gives leads to ours where we said both.
        (
            [
                note(1, 1, other_person=(GORA, "51")),
                note(2, 2, other_person=(GORA, "51"), own_person_ours="71"),
                note(3, 3, own_person_ours="71"),
            ],
            [{1, 2, 3}],
        ),
        (
            [
                note(1, 1, number="94"),
                note(2, 2, number_ours="94", other_person=(GORA, "51")),
                note(3, 3, other_person=(GORA, "51")),
                note(4, 4, link=ids.text(Kind.THREAD, thread(1))),
            ],
            [{1, 2, 3, 4}],
        ),
    ],
)
async def test_cas_1_threads_of_one_person_come_together(
    store: Store, notes: list[Note], expected: list[set[int]]
) -> None:
    assert await together(store, *notes) == expected


async def test_cas_1_nobody_else_can_join_two_cases(store: Store) -> None:
    ours = [note(1, 1, own_person_ours="71"), note(2, 2, own_person_ours="82"), note(3, 3, number_ours="94")]
    # Another agency names our numbers, all at once and one after another, also in threads that begin before ours.
    for hostile in (
        [note(4, 0, own_person="71", number="94"), note(4, 5, own_person="82")],
        [note(n, at, own_person=own, other_person=(EVIL, "17")) for n, at, own in ((4, 0, "71"), (5, 5, "82"))],
    ):
        groups = await together(store, *ours, *hostile)
        assert all(len(group & {1, 2, 3}) <= 1 for group in groups)


async def test_cas_1_what_others_say_of_one_number_costs_the_same_however_often_they_say_it(store: Store) -> None:
    register, asked = Register(OWN), list[str]()

    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    async def statements(say: Said, at: int) -> int:
        async with store.write() as tx:
            await register._note(tx, thread(255), 0, Said(Facts(own_person=stated(0, "71", ours=True))))
            connection = tx.connection.sync_connection
            event.listen(connection, "before_cursor_execute", count)
            asked.clear()
            await register._note(tx, thread(at), at, say)
            event.remove(connection, "before_cursor_execute", count)
        return len(asked)

    for said in ({"other_person": (GORA, "G-666")}, {"number": "G-666"}, {"own_person": "71"}):
        async with store.write() as tx:
            await cases.clear(tx)
        counts = [await statements(note(at, at, **said)[2], at) for at in range(1, 40)]
        assert len(set(counts[1:])) == 1, counts


async def test_cas_1_a_circle_of_threads_ends(store: Store) -> None:
    first, second = (ids.text(Kind.THREAD, thread(n)) for n in (1, 2))
    assert await together(store, note(1, 1, link=second), note(2, 2, link=first)) == [{1}, {2}]
    assert await together(store, note(1, 1, link=first)) == [{1}]


async def test_cas_3_every_id_that_a_case_had_leads_to_it(store: Store) -> None:
    register = Register(OWN)
    async with store.write() as tx:
        seen = []
        for one in (
            note(1, 1),
            note(1, 2, number_ours="94"),
            note(1, 3, other_person=(GORA, "51")),
            note(1, 4, own_person_ours="71"),
        ):
            await register._note(tx, *one)
            row = await cases.find(tx, thread(1))
            assert row is not None
            seen.append(row.case_id)
        assert len(set(seen)) == 4
        assert {await cases.current(tx, one) for one in seen} == {seen[-1]}
        assert await cases.current(tx, ids.new_id()) is None  # type: ignore[arg-type]


STATED = st.none() | st.builds(stated, st.integers(0, 3), st.sampled_from(["x", "y1", "z2"]), ours=st.booleans())
FACTS = st.builds(
    Facts,
    number=STATED,
    other_number=STATED,
    own_person=STATED,
    other_person=STATED,
    link=STATED,
    name=STATED,
)


@given(FACTS, FACTS, FACTS)
def test_cas_2_what_is_known_is_the_same_whatever_the_order(a: Facts, b: Facts, c: Facts) -> None:
    assert merge(merge(a, b), c) == merge(a, merge(b, c))
    assert merge(a, b) == merge(b, a)
    assert merge(a, a) == a


async def test_cas_2_any_order_of_any_messages_gives_the_same_cases(store: Store) -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    numbers = ["17", "18", "unknown"]
    async with store.write() as tx:
        for _ in range(10):
            notes = []
            for at in range(8):
                said: dict[str, tuple[str, ...] | str] = {}
                for name in ("number", "own_person"):
                    if chance.random() < 0.3:
                        said[name + ("_ours" if chance.random() < 0.5 else "")] = chance.choice(numbers)
                if chance.random() < 0.3:
                    said["other_person"] = (chance.choice([GORA, EVIL]), chance.choice(numbers))
                if chance.random() < 0.2:
                    said["link"] = ids.text(Kind.THREAD, thread(chance.randrange(5)))
                notes.append(note(chance.randrange(5), at, **said))
            expected = await placed(tx, notes)
            chance.shuffle(notes)
            assert await placed(tx, [*notes, *notes[:3]]) == expected, f"seed {seed}"
