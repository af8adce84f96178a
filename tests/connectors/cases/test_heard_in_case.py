# SPDX-License-Identifier: Apache-2.0
"""What is to be noted or answered stands in its case, and the case among those that are due (KIND-7)."""

import secrets
from typing import Any

import pytest

from connectors.cases.composing import Said
from connectors.store import outgoing, recipients
from connectors.store.recipients import Plan
from protocol import ids
from protocol.address import agency_of
from protocol.http.cases import CaseFilter, CaseList
from protocol.http.messages import MessageRequest
from protocol.ids import Kind
from protocol.kinds.catalogue import KINDS
from protocol.limits import DAY
from tests.connectors.cases.test_heard import POLJE, alert, due_in_case, hear, overdue, say_to
from tests.connectors.cases.test_referral import OFFICER, settle
from tests.connectors.cases.test_strangers import intrude
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.conftest import World

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
        fields = {"answers": ids.text(Kind.MESSAGE, message)}
        composing, subject = station.parts.moving._composing, ids.text(Kind.SUBJECT, ids.new_id())
        word = composing.message(KINDS["record.share"], thread, station.desk, subject, Said(fields=fields))
        async with station.parts.store.write() as tx:
            await outgoing.add(tx, word, {to: Plan()})
    await settle(probation, prison.station, csw.station)
    world.hub.clock.advance(2 * DAY)
    late = [[one for one in found if one[1] == POLJE] for found in await due_in_case(prison, csw)]
    assert late == [[("note", POLJE, True), ("answer", POLJE, True)]] * 2


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
