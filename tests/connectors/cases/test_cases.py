# SPDX-License-Identifier: Apache-2.0
"""Cases as caseworkers see them: one person, who is involved, what is due, what happened, what is missing."""

import secrets
from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import pytest
from sqlalchemy import select, update

from connectors.store import cases, facts, tables, threadtables
from protocol import ids
from protocol.bodies.person import Person
from protocol.clearance import Basis, Category, DeskFunction, Purpose
from protocol.errors import NotFound
from protocol.handover import PackageSection
from protocol.http.cases import CaseFilter, CaseItem, CaseList, CaseView
from protocol.http.messages import MessageRequest
from protocol.http.threads import ListName, Machine, ReferralRequest, StepRequest, ThreadFilter
from protocol.ids import CaseId, Kind, ThreadId
from protocol.limits import DAY
from tests.connectors.cases.test_referral import FIELDS, OFFICER, REQUEST, WORDS, settle
from tests.connectors.cases.test_thread_api import Served, csw, prison, serve
from tests.connectors.conftest import World
from tests.connectors.typing import type_at

__all__ = ["csw", "prison"]

GORA, POLJE = "gora-prison@hub.example", "polje-csw@hub.example"


@pytest.fixture
async def probation(world: World) -> AsyncIterator[Served]:
    async for one in serve(world.probation, world):
        yield one


def about(family_name: str, number: str | None = None, **more: Any) -> PackageSection:
    return PackageSection(
        category=Category.IDENTITY,
        purpose=Purpose.CONTINUITY_OF_CARE,
        basis=Basis.STATUTE,
        citation="Invented Act, art. 1",
        functions=(DeskFunction.SOCIAL_WORK, DeskFunction.PROBATION_INTAKE, DeskFunction.PRISON_RELEASE),
        body=Person(family_name=family_name, sender_number=number, **more),
    )


async def refer(prison: Served, csw: Served, *sections: PackageSection, **fields: Any) -> ThreadId:
    request = ReferralRequest(to=csw.station.desk, fields={**REQUEST, **fields}, sections=[WORDS, *sections])
    thread = (await prison.client.refer(request, idempotency_key=secrets.token_hex(12))).thread
    await settle(prison.station, csw.station)
    return thread


async def step(served: Served, thread: ThreadId, event: str, *others: Served, **fields: Any) -> None:
    seen = (await served.client.thread(thread)).item.version
    request = StepRequest(event=event, fields={**FIELDS.get(event, {}), **fields})
    await served.client.step(thread, request, version=seen, idempotency_key=secrets.token_hex(12))
    await settle(served.station, *[one.station for one in others])


async def listed(served: Served, which: CaseList = CaseList.ALL) -> list[CaseItem]:
    return (await served.client.cases(CaseFilter(list=which))).items


async def only(served: Served) -> CaseView:
    (item,) = await listed(served)
    return await served.client.case(item.id)


async def test_cas_1_a_case_says_who_is_involved_and_what_is_due(prison: Served, csw: Served) -> None:
    numbers = {"register_numbers": {"sender": "G-17/2027"}}
    thread = await refer(prison, csw, about("Invented", "51", given_names="Person"), **numbers)
    view = await only(csw)
    assert view.item.person is not None
    assert (view.item.person.family_name, view.item.person.given_names) == ("Invented", "Person")
    assert (view.item.threads, view.item.live, view.item.register_numbers) == (1, 1, [])
    assert [(one.agency, one.sides) for one in view.participants] == [(POLJE, ["recipient"]), (GORA, ["requester"])]
    assert [(one.what, one.by, one.late) for one in view.due] == [
        ("acknowledge", POLJE, False),
        ("answer", POLJE, False),
    ]
    assert view.item.due_at == view.due[1].at
    assert (view.threads[0].other_register_number, view.threads[0].peer) == ("G-17/2027", [prison.station.desk])
    await step(csw, thread, "acknowledge", prison, register_numbers={"sender": "P-3/2027"})
    await step(csw, thread, "accept", prison)
    for served, own, other in ((prison, "G-17/2027", "P-3/2027"), (csw, "P-3/2027", "G-17/2027")):
        view = await only(served)
        assert view.item.register_numbers == [own]
        assert view.threads[0].other_register_number == other
        assert [(one.what, one.by, str(one.on)) for one in view.due] == [("start", POLJE, "2027-01-21")]
        assert [entry.what for entry in view.history] == ["accept", "acknowledge", "receive", "send"]
        assert (await served.client.thread(thread)).case == view.item.id
        assert (view.gaps, view.undelivered, view.older) == ([], [], 0)


async def test_cas_6_a_case_keeps_the_name_that_our_own_agency_stated_whatever_another_one_writes(
    prison: Served, csw: Served, world: World
) -> None:
    born = date(1990, 1, 31)
    thread = await refer(prison, csw, about("Đorđević", "51", given_names="Ana", date_of_birth=born))
    await shared(csw, prison, thread, about("Djordjevic"))

    async def named(served: Served) -> tuple[str, str | None, date | None]:
        person = (await only(served)).item.person
        assert person is not None
        return person.family_name, person.given_names, person.date_of_birth

    assert await named(prison) == ("Đorđević", "Ana", born)
    assert await named(csw) == ("Djordjevic", None, None), "there it is its own word"
    world.hub.clock.advance(1000)
    await shared(prison, csw, thread, about("Đorđević Petrović", given_names="Ana", date_of_birth=born))
    assert await named(prison) == ("Đorđević Petrović", "Ana", born)
    parts = prison.station.parts
    for stored_before in (b"5", b"1"):
        async with parts.store.write() as tx:
            await facts.put(tx, "cases made", stored_before)
        assert await parts.threads.register.catch_up(parts.store) > 0
        assert await named(prison) == ("Đorđević Petrović", "Ana", born)


async def shared(served: Served, to: Served, thread: ThreadId, *sections: PackageSection) -> None:
    request = MessageRequest(
        kind="record.share", to=[to.station.desk], thread=thread, fields={}, sections=list(sections)
    )
    await served.client.send_message(request, idempotency_key=secrets.token_hex(12))
    await settle(served.station, to.station)


async def test_ref_5_a_case_shows_the_alert_of_its_referral(prison: Served, csw: Served) -> None:
    thread = await refer(prison, csw)
    for event in ("acknowledge", "accept", "schedule"):
        await step(csw, thread, event, prison)
    assert (await only(prison)).threads[0].alert is None
    await step(csw, thread, "no-show", prison, appointment=FIELDS["schedule"]["appointment"])
    assert (await only(prison)).threads[0].alert == "first-missed"
    assert (await only(csw)).threads[0].alert is None


async def test_cas_4_every_message_carries_the_numbers_of_both_registers_once_they_are_known(
    prison: Served, csw: Served
) -> None:
    thread = await refer(prison, csw, register_numbers={"sender": "G-17/2027"})
    await step(csw, thread, "acknowledge", prison, register_numbers={"sender": "P-3/2027"})
    await step(csw, thread, "ask", prison)
    await step(prison, thread, "answer", csw)
    steps = {one.event: one.payload.get("register_numbers") for one in (await prison.client.thread(thread)).steps}
    assert steps["ask"] == {"sender": "P-3/2027", "recipient": "G-17/2027"}
    assert steps["answer"] == {"sender": "G-17/2027", "recipient": "P-3/2027"}
    # What another agency says of our register is not repeated as ours.
    other = await refer(prison, csw, register_numbers={"sender": "G-18", "recipient": "not-ours"})
    await step(csw, other, "acknowledge", prison)
    told = (await csw.client.thread(other)).steps[-1].payload
    assert told["register_numbers"] == {"recipient": "G-18"}


async def test_cas_1_a_second_referral_about_the_same_person_is_in_the_same_case(prison: Served, csw: Served) -> None:
    first = await refer(prison, csw, about("Invented", "51"))
    second = await refer(prison, csw, about("Invented", "51"), duplicates="sent-anyway")
    third = await refer(prison, csw, about("Invented", "62"))
    fourth = await refer(prison, csw, reopens=ids.text(Kind.THREAD, first))
    for served in (prison, csw):
        placed = {thread: (await served.client.thread(thread)).case for thread in (first, second, third, fourth)}
        assert placed[first] == placed[second] == placed[fourth] != placed[third]
        assert sorted(item.threads for item in await listed(served)) == [1, 3]


async def test_cas_7_what_stands_for_a_number_joins_nobody_and_moves_nobody_else_s_referrals(
    prison: Served, csw: Served
) -> None:
    unknown: dict[str, Any] = {"register_numbers": {"sender": "bez broja"}}
    first = await refer(prison, csw, about("Invented", "nepoznato"), **unknown)
    # No second one about the same person is found either: nobody can say that it is the same.
    second = await refer(prison, csw, about("Somebody", "непознато"), **unknown)
    for served in (prison, csw):
        found = {thread: (await served.client.thread(thread)).case for thread in (first, second)}
        assert found[first] != found[second]
    case = (await csw.client.thread(first)).case
    assert case is not None
    assert (await csw.client.case(case)).threads[0].other_register_number == "bez broja"
    fields: dict[str, Any] = {"from_agency": GORA, "to_agency": GORA, "moved_on": "2026-12-01", "officer": OFFICER}
    told = MessageRequest(
        kind="custody.transferred",
        to=[csw.station.desk],
        fields={**fields, **unknown},
        sections=[about("Third", "0000")],
    )
    await prison.client.send_message(told, idempotency_key=secrets.token_hex(12))
    for thread in (first, second):
        assert "custody-moved" not in {one.event for one in (await prison.client.thread(thread)).steps}
    # A number that is said later counts, and what only stands for one does not take its place again.
    for number in ("P-3/2027", "n/a"):
        event = "acknowledge" if number == "P-3/2027" else "ask"
        await step(csw, first, event, prison, register_numbers={"sender": number})
    assert (await prison.client.thread(first)).steps[-1].payload["register_numbers"]["sender"] == "n/a"
    view = await only_with(csw, first)
    assert view.item.register_numbers == ["P-3/2027"]


async def only_with(served: Served, thread: ThreadId) -> CaseView:
    case = (await served.client.thread(thread)).case
    assert case is not None
    return await served.client.case(case)


async def test_a_case_holds_handovers_and_messages_that_move_nothing(
    prison: Served, csw: Served, probation: Served, world: World
) -> None:
    queued = await world.prison.compose(world.probation.desk, world.social_work.desk)
    await settle(world.prison, world.probation, world.social_work)
    request = MessageRequest(
        kind="appointment.scheduled",
        to=[world.probation.desk],
        fields={"appointment": world.hub.clock() + DAY, "purpose": "first-meeting", "mode": "video"},
        thread=queued.thread,
    )
    await prison.client.send_message(request, idempotency_key=secrets.token_hex(12))
    await settle(world.prison, world.probation)
    view = await only(probation)
    assert {one.agency: (one.sides, one.leads) for one in view.participants} == {
        "reka-probation@hub.example": (["receiver"], False),
        GORA: (["sender"], True),
    }
    assert [(one.what, one.by) for one in view.due] == [
        ("appointment", GORA),
        ("acknowledge", "reka-probation@hub.example"),
        ("answer", "reka-probation@hub.example"),
    ]
    assert [entry.what for entry in view.history] == ["appointment.scheduled", "receive", "offer"]
    assert view.item.person is not None
    due = ThreadFilter(machine=Machine.HANDOVER, list=ListName.ALL)
    assert (await probation.client.threads(due)).items[0].due_at is not None
    copied = await only(csw)
    assert ["observer"] in [one.sides for one in copied.participants]


async def test_kind_5_a_question_in_a_case_is_due_until_it_is_answered(
    prison: Served, csw: Served, world: World
) -> None:
    asked = MessageRequest(
        kind="alert.risk",
        to=[csw.station.desk],
        fields={"imminence": "days", "answer_by": world.hub.clock() + DAY},
    )
    message = await prison.client.send_message(asked, idempotency_key=secrets.token_hex(12))
    await settle(prison.station, csw.station)
    world.hub.clock.now += 2 * DAY
    due = [(one.what, one.by, one.late) for one in (await only(csw)).due]
    assert due == [("note", POLJE, True), ("answer", POLJE, True)]
    for said, rest in (("noted", 1), ("agreed", 0)):
        answer = MessageRequest(
            kind="message.answer",
            to=[prison.station.desk],
            fields={"answers": ids.text(Kind.MESSAGE, message.id), "officer": OFFICER, "answer": said},
        )
        await csw.client.send_message(answer, idempotency_key=secrets.token_hex(12))
        await settle(csw.station, prison.station)
        assert [len((await only(served)).due) for served in (csw, prison)] == [rest, rest]


async def test_the_lists_of_cases_hold_what_their_names_say(prison: Served, csw: Served, world: World) -> None:
    open_, over = await refer(prison, csw, about("A", "13")), await refer(prison, csw, about("B", "24"))
    await step(prison, over, "withdraw", csw)
    by_thread = {thread: (await csw.client.thread(thread)).case for thread in (open_, over)}
    assert [item.id for item in await listed(csw, CaseList.OPEN)] == [by_thread[open_]]
    assert [item.id for item in await listed(csw, CaseList.CLOSED)] == [by_thread[over]]
    assert await listed(csw, CaseList.DUE) == []
    world.hub.clock.now += 13 * DAY
    assert [item.id for item in await listed(csw, CaseList.DUE)] == [by_thread[open_]]
    case = by_thread[open_]
    assert case is not None
    assert [(one.what, one.late) for one in (await csw.client.case(case)).due] == [
        ("acknowledge", True),
        ("answer", False),
    ]
    first = await csw.client.cases(CaseFilter(limit=1))
    second = await csw.client.cases(CaseFilter(limit=1, cursor=first.next_cursor))
    assert [item.id for item in first.items + second.items] == [item.id for item in await listed(csw)]
    assert second.next_cursor is None


async def test_http_4_a_case_that_is_not_ours_is_404(prison: Served) -> None:
    with pytest.raises(NotFound):
        await prison.client.case(CaseId(bytes(16)))


async def test_seq_1_a_gap_is_visible_in_its_case_and_what_nobody_opened_too(prison: Served, csw: Served) -> None:
    thread = await refer(prison, csw, about("Invented", "51"))
    async with prison.station.parts.store.write() as tx:
        # As if a message were on its way: the next one has a number too high.
        await tx.connection.execute(
            update(tables.sequence)
            .where(tables.sequence.c.thread == thread, tables.sequence.c.direction == "out")
            .where(tables.sequence.c.lane == "main")
            .values(next_seq=tables.sequence.c.next_seq + 1)
        )
    await step(prison, thread, "withdraw")
    await csw.station.collect()
    (gap,) = (await only(csw)).gaps
    assert (gap.thread, gap.sender, gap.missing, gap.waiting) == (thread, prison.station.desk, 2, 1)
    (unopened,) = [one for one in (await only(prison)).undelivered if one.state == "accepted"]
    assert (unopened.thread, unopened.desk) == (thread, csw.station.desk)


async def test_cas_2_a_replay_of_the_stored_messages_gives_the_same_cases(
    prison: Served, csw: Served, world: World
) -> None:
    first = await refer(prison, csw, about("Invented", "51"), register_numbers={"sender": "G-17/2027"})
    await refer(prison, csw, reopens=ids.text(Kind.THREAD, first))
    await step(csw, first, "acknowledge", prison, register_numbers={"sender": "P-3/2027"})
    await world.prison.compose(world.probation.desk, world.social_work.desk)
    await settle(world.prison, world.social_work)
    for served in (prison, csw):
        parts = served.station.parts
        async with parts.store.read() as tx:
            threads = (await tx.connection.execute(select(threadtables.case_thread.c.thread))).scalars().all()
            before = [await cases.find(tx, thread) for thread in threads]
        async with parts.store.write() as tx:
            await cases.clear(tx)
            await facts.drop(tx, "cases made")
        assert await parts.threads.register.catch_up(parts.store) > 0
        async with parts.store.read() as tx:
            assert [await cases.find(tx, thread) for thread in threads] == before
        assert await parts.threads.register.catch_up(parts.store) == 0


async def test_con_5_the_store_shows_no_number_and_no_name(prison: Served, csw: Served) -> None:
    await refer(prison, csw, about("Plantedname", "planted-number"), register_numbers={"sender": "planted-register"})
    for served in (prison, csw):
        for file in served.station.folder.glob("connector.db*"):
            for planted in (b"Plantedname", b"planted-number", b"planted-register"):
                assert planted not in file.read_bytes()


async def test_a_list_of_handovers_names_the_thread_that_the_next_command_needs(
    prison: Served, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    queued = await world.prison.compose(world.probation.desk)
    assert await type_at(prison.station, prison.url, "handover", "list") == 0
    head, row = capsys.readouterr().out.splitlines()
    assert (head.split()[-1], row.split()[-1]) == ("THREAD", ids.text(Kind.THREAD, queued.thread))
    assert await type_at(prison.station, prison.url, "referral", "show", row.split()[-1]) == 0


async def test_handovers_are_listed_as_they_stand_as_referrals_are_and_under_the_older_name(
    prison: Served, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    queued = await world.prison.compose(world.probation.desk)

    async def typed(*words: str) -> tuple[int, str, str]:
        status = await type_at(prison.station, prison.url, "handover", *words)
        said = capsys.readouterr()
        return status, said.out, said.err

    head, row = (await typed("list", "--list", "sent"))[1].splitlines()
    assert (head.split()[0], head.split()[-1]) == ("THREAD", "ALERT")
    assert row.split()[0] == ids.text(Kind.THREAD, queued.thread)
    for which in ("all", "sent", "alerts", "closed"):
        assert await typed("list", "--list", which) == await typed("standing", "--list", which)
    assert "There are none." in (await typed("list", "--list", "alerts"))[2]
    for wrong in (["--list", "sent", "--direction", "sent"], ["--officer", "Coordinator"], ["--list", "mine"]):
        assert (await typed("list", *wrong))[0] == 2
    assert (await type_at(prison.station, prison.url, "case", "list", "--list", "answer-due")) == 0
    by_cases = capsys.readouterr().out
    assert (await type_at(prison.station, prison.url, "case", "list", "--list", "due")) == 0
    assert capsys.readouterr().out == by_cases


async def test_cases_are_listed_and_shown_by_commands(
    prison: Served, csw: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    thread = await refer(prison, csw, about("Invented", "51"), register_numbers={"sender": "G-17/2027"})
    assert await type_at(prison.station, prison.url, "case", "list") == 0
    row = capsys.readouterr().out.splitlines()[1]
    assert "Invented" in row
    assert "G-17/2027" in row
    assert await type_at(prison.station, prison.url, "case", "show", row.split()[0]) == 0
    shown = capsys.readouterr().out
    assert ids.text(Kind.THREAD, thread) in shown
    assert "answer by polje-csw@hub.example" in shown
    assert await type_at(prison.station, prison.url, "case", "show", "cas_" + "a" * 26) == 5
