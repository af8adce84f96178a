# SPDX-License-Identifier: Apache-2.0
"""What is to be noted or answered stands in its case, and the case among those that are due (KIND-7)."""

import secrets
import shutil
import sqlite3
from collections.abc import Collection
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.cases import hearing
from connectors.cases.answering import Answer, answers_in
from connectors.cases.composing import Said
from connectors.store import outgoing, recipients
from connectors.store.engine import DATABASE_FILE, Transaction, migrate
from connectors.store.recipients import Plan
from protocol import ids
from protocol.address import DeskAddress, agency_of
from protocol.http.cases import CaseFilter, CaseList
from protocol.http.messages import MessageRequest
from protocol.ids import Kind, MessageId, ThreadId
from protocol.kinds.catalogue import KINDS
from protocol.limits import DAY
from tests.connectors.cases.test_heard import GORA, POLJE, alert, due_in_case, hear, overdue, say_to
from tests.connectors.cases.test_referral import OFFICER, settle
from tests.connectors.cases.test_strangers import intrude
from tests.connectors.cases.test_thread_api import Served, csw, prison, serve
from tests.connectors.conftest import World
from tests.connectors.stations import Station
from tests.connectors.test_attachment_desks import two_desks

__all__ = ["csw", "prison"]

ASKED: dict[str, Any] = {
    "purpose": "continuity-of-care",
    "basis": "public_task",
    "asked": ["identity"],
    "answer_by": "2027-01-20",
}


@pytest.mark.parametrize(
    ("kind", "fields", "waits"),
    [
        ("record.share", {}, ["note"]),
        ("record.request", ASKED, ["answer"]),
        ("case.close", {"reason": "moved-away", "retention_from": "2027-01-01"}, ["note"]),
        ("alert.risk", {}, ["note", "answer"]),
    ],
)
async def test_kind_7_a_case_names_all_that_is_to_be_noted_or_answered_and_stands_among_those_that_are_due(
    world: World, prison: Served, csw: Served, kind: str, fields: dict[str, Any], waits: list[str]
) -> None:
    message = await alert(world, prison, [csw], kind, **fields)
    by = agency_of(csw.station.desk)
    for served in (prison, csw):
        assert await due_in_case(served) == [[(what, by, False) for what in waits]]
        (case,) = (await served.client.cases(CaseFilter())).items
        assert case.due_at is not None
    world.hub.clock.advance(40 * DAY)
    for served in (prison, csw):
        await served.station.look()
    for served in (prison, csw):
        assert await due_in_case(served) == [[(what, by, True) for what in waits]]
        assert len((await served.client.cases(CaseFilter(list=CaseList.DUE))).items) == 1
    await say_to(csw, prison, message, "agreed")
    await hear(prison.station, csw.station)
    for served in (prison, csw):
        assert await due_in_case(served) == [[]]
        assert (await served.client.cases(CaseFilter(list=CaseList.DUE))).items == []


async def test_kind_7_what_a_stranger_says_was_noted_is_due_in_the_case_as_before(
    world: World, prison: Served, csw: Served
) -> None:
    message = await alert(world, prison, [csw], "record.share")
    thread = (await prison.client.message(message)).item.thread
    said = {"answers": ids.text(Kind.MESSAGE, message), "officer": OFFICER, "answer": "noted"}
    await intrude(world, prison, thread, "message.answer", said)
    assert await due_in_case(prison) == [[("note", agency_of(csw.station.desk), False)]]


async def test_kind_7_records_that_went_to_somebody_else_are_no_answer_in_the_case(
    world: World, prison: Served, csw: Served
) -> None:
    """Neither what another agency sends under the id of the question, nor what its holder sends to another one."""
    message, probation = await alert(world, prison, [csw]), world.probation
    thread = (await prison.client.message(message)).item.thread
    for station, to in ((probation, prison.station.desk), (csw.station, probation.desk)):
        await share(station, to, thread, message)
    await settle(probation, prison.station, csw.station)
    world.hub.clock.advance(2 * DAY)
    late = [[one for one in found if one[1] == POLJE] for found in await due_in_case(prison, csw)]
    assert late == [[("note", POLJE, True), ("answer", POLJE, True)]] * 2


async def share(station: Station, to: DeskAddress, thread: ThreadId, asked: MessageId) -> None:
    """Send records as the answer to a message, in its thread and to whatever desk."""
    fields = {"answers": ids.text(Kind.MESSAGE, asked)}
    composing, subject = station.parts.moving._composing, ids.text(Kind.SUBJECT, ids.new_id())
    word = composing.message(KINDS["record.share"], thread, station.desk, subject, Said(fields=fields))
    async with station.parts.store.write() as tx:
        await outgoing.add(tx, word, {to: Plan()})


@pytest.mark.parametrize("answers", ["intake", "supervision"])
async def test_kind_7_records_for_another_desk_than_the_one_that_asked_answer_nothing_and_both_sides_say_so_alike(
    world: World, prison: Served, tmp_path: Path, answers: str
) -> None:
    async with two_desks(tmp_path / "two", world) as both, asynccontextmanager(serve)(both, world) as velika:
        desks = {name: DeskAddress(f"{name}.{both.member.address}") for name in ("intake", "supervision")}
        request = MessageRequest(kind="record.request", to=[prison.station.desk], sender=desks["intake"], fields=ASKED)
        asked = (await velika.client.send_message(request, idempotency_key=secrets.token_hex(12))).id
        await settle(both, prison.station)
        await share(prison.station, desks[answers], (await velika.client.message(asked)).item.thread, asked)
        await settle(prison.station, both)
        world.hub.clock.now = int(datetime(2027, 2, 1, tzinfo=UTC).timestamp() * 1000)
        await hear(prison.station, both)
        is_answer = answers == "intake"
        for served in (prison, velika):
            assert await overdue(served, asked) == ([] if is_answer else [(prison.station.desk, "answered")])
            (due,) = await due_in_case(served)
            assert [one for one in due if one[1] == GORA] == ([] if is_answer else [("answer", GORA, True)])


async def test_kind_7_what_is_late_at_many_desks_reads_the_answers_of_its_thread_once(
    world: World, prison: Served, csw: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = MessageRequest(
        kind="alert.risk",
        to=[csw.station.desk, world.probation.desk],
        fields={"imminence": "now", "answer_by": world.hub.clock() + DAY},
    )
    message = (await prison.client.send_message(request, idempotency_key=secrets.token_hex(12))).id
    world.hub.clock.advance(2 * DAY)
    read, real = list[int](), answers_in

    async def counted(tx: Transaction, threads: Collection[ThreadId]) -> list[Answer]:
        read.append(len(threads))
        return await real(tx, threads)

    monkeypatch.setattr(hearing, "answers_in", counted)
    assert len((await prison.client.message(message)).item.overdue) == 4
    assert await prison.station.parts.hearing.step() == 1
    assert read == [1, 1]


async def test_kind_7_what_nobody_waits_for_since_it_came_before_the_update_is_due_neither_in_the_case_nor_in_the_list(
    world: World, prison: Served, csw: Served
) -> None:
    await alert(world, prison, [csw], "case.close", reason="moved-away", retention_from="2027-01-01")
    for served in (prison, csw):
        async with served.station.parts.store.write() as tx:
            await tx.connection.exec_driver_sql("DELETE FROM awaited")
    world.hub.clock.advance(40 * DAY)
    await hear(prison.station, csw.station)
    assert await due_in_case(prison, csw) == [[], []]
    for served in (prison, csw):
        assert (await served.client.cases(CaseFilter(list=CaseList.DUE))).items == []


async def test_kind_7_con_8_what_the_disk_has_damaged_is_due_in_its_case_by_its_kind(
    world: World, prison: Served, csw: Served
) -> None:
    await alert(world, prison, [csw])
    async with csw.station.parts.store.write() as tx:
        await tx.connection.exec_driver_sql("UPDATE incoming SET sealed = x'00' WHERE payload_type = 'alert.risk'")
    world.hub.clock.advance(2 * DAY)
    assert await due_in_case(csw) == [[("note", POLJE, True), ("answer", POLJE, True)]]


async def test_kind_7_a_question_that_was_open_at_an_update_is_waited_for_after_it(
    world: World, prison: Served, csw: Served, tmp_path: Path
) -> None:
    for _ in range(2):
        await alert(world, prison, [csw], "record.request", **ASKED)
    for served, table, time in ((prison, "outgoing", "created_at"), (csw, "incoming", "accepted_at")):
        folder = tmp_path / table
        shutil.copytree(served.station.folder, folder)
        with closing(sqlite3.connect(folder / DATABASE_FILE)) as database:
            wanted = f"{table} WHERE payload_type = 'record.request'"
            first, second = (row[0] for row in database.execute(f"SELECT message_id FROM {wanted}"))  # noqa: S608
            for message, days in ((first, 200), (second, 20)):
                database.execute(
                    f"UPDATE {table} SET {time} = (CAST(strftime('%s', 'now') AS INTEGER) - ? * 86400) * 1000"  # noqa: S608
                    " WHERE message_id = ?",
                    (days, message),
                )
            database.execute("DELETE FROM awaited")
            database.execute("UPDATE alembic_version SET version_num = '0032'")
            database.commit()
            migrate(folder / DATABASE_FILE, "0033")
            # Once more, over what stands there already.
            database.execute("UPDATE alembic_version SET version_num = '0032'")
            database.commit()
            migrate(folder / DATABASE_FILE, "0033")
            rows = database.execute("SELECT message_id, desk, look_at FROM awaited").fetchall()
        assert rows == [(second, csw.station.desk, 0)]


async def test_kind_7_what_was_given_up_is_due_in_the_case_no_more(world: World, prison: Served, csw: Served) -> None:
    request = MessageRequest(
        kind="alert.risk",
        to=[csw.station.desk],
        fields={"imminence": "now", "answer_by": world.hub.clock() + DAY},
    )
    message = (await prison.client.send_message(request, idempotency_key=secrets.token_hex(12))).id
    world.hub.clock.advance(2 * DAY)
    assert await due_in_case(prison) == [[("note", POLJE, True), ("answer", POLJE, True)]]
    async with prison.station.parts.store.write() as tx:
        await recipients.fail(tx, message, [csw.station.desk], "malformed-envelope")
    assert await due_in_case(prison) == [[]]
    assert await overdue(prison, message) == []
