# SPDX-License-Identifier: Apache-2.0
"""What goes on from a thread that came in error is led into nobody's case by that (CON-26)."""

import secrets
from typing import Any

import pytest

from protocol import ids
from protocol.http.cases import CaseSearch
from protocol.http.threads import StepRequest
from protocol.ids import CaseId, Kind, ThreadId
from tests.connectors.cases.test_cases import about, refer, step
from tests.connectors.cases.test_in_error import WRONG, found
from tests.connectors.cases.test_referral import settle
from tests.connectors.cases.test_thread_api import Served, csw, prison

__all__ = ["csw", "prison"]


async def going_on_from(prison: Served, csw: Served, thread: ThreadId, *sections: Any) -> ThreadId:
    reopens = ids.text(Kind.THREAD, thread)
    return await refer(prison, csw, *sections, reopens=reopens, duplicates="continues-another")


async def cases_of(served: Served, *threads: ThreadId) -> list[CaseId | None]:
    return [(await served.client.thread(one)).case for one in threads]


async def mistaken(prison: Served, csw: Served) -> tuple[ThreadId, ThreadId]:
    """Return the referral of a person, and one of somebody else under that person's number."""
    right = await refer(prison, csw, about("Rightname", "51"))
    wrong = await refer(prison, csw, about("Wrongname", "51"), duplicates="sent-anyway")
    return right, wrong


@pytest.mark.parametrize("came", ["before", "after"])
async def test_con_26_a_thread_that_names_one_that_came_in_error_has_a_case_of_its_own(
    prison: Served, csw: Served, came: str
) -> None:
    right, wrong = await mistaken(prison, csw)
    if came == "after":
        await step(prison, wrong, "entered-in-error", csw, **WRONG)
    later = await going_on_from(prison, csw, wrong, about("Thirdname"))
    last = await going_on_from(prison, csw, later)
    if came == "before":
        assert len(set(await cases_of(csw, right, wrong, later, last))) == 1
        await step(prison, wrong, "entered-in-error", csw, **WRONG)
    right_s, wrong_s, later_s, last_s = await cases_of(csw, right, wrong, later, last)
    assert right_s == wrong_s, "its line stays where people look for it"
    assert later_s == last_s != right_s
    assert right_s is not None
    assert later_s is not None
    case = await csw.client.case(right_s)
    assert case.item.person is not None
    assert (case.item.person.family_name, {one.thread for one in case.threads}) == ("Rightname", {right, wrong})
    assert await found(csw, "Thirdname", "Wrongname") == [1, 0]
    (item,) = (await csw.client.search(CaseSearch(text="Thirdname"))).items
    assert item.id == later_s
    assert b"Thirdname" not in await csw.client.print_case(right_s, language="en")


async def test_con_26_what_came_in_error_keeps_its_own_place_also_where_it_went_on_from_such_a_thread(
    prison: Served, csw: Served
) -> None:
    right, wrong = await mistaken(prison, csw)
    again = await going_on_from(prison, csw, wrong, about("Wrongname"))
    for one in (wrong, again):
        await step(prison, one, "entered-in-error", csw, **WRONG)
    assert len(set(await cases_of(csw, right, wrong, again))) == 1


async def test_con_26_a_thread_that_is_in_error_no_more_leads_again(prison: Served, csw: Served) -> None:
    """As at a copy whose sender goes on, since his step had no effect (HAN-5)."""
    right, wrong = await mistaken(prison, csw)
    later = await going_on_from(prison, csw, wrong)
    await step(prison, wrong, "entered-in-error", csw, **WRONG)
    assert len(set(await cases_of(csw, right, later))) == 2
    async with csw.station.parts.store.write() as tx:
        await tx.connection.exec_driver_sql("UPDATE thread SET state = 'delivered' WHERE thread = ?", (wrong,))
        await csw.station.parts.threads.register.weigh(tx, wrong, None)
    assert len(set(await cases_of(csw, right, wrong, later))) == 1


async def test_con_26_a_step_that_had_no_effect_takes_no_thread_out_of_its_case(prison: Served, csw: Served) -> None:
    """The recipient has accepted at that moment; a stranger's word of it is none either (LIF-6)."""
    right, wrong = await mistaken(prison, csw)
    later = await going_on_from(prison, csw, wrong)
    await step(csw, wrong, "acknowledge", prison)
    await csw.step(wrong, "accept")
    await csw.station.seal_and_send()
    seen = (await prison.client.thread(wrong)).item.version
    request = StepRequest(event="entered-in-error", fields=WRONG)
    await prison.client.step(wrong, request, version=seen, idempotency_key=secrets.token_hex(12))
    await settle(prison.station, csw.station)
    assert (await csw.client.thread(wrong)).item.state == "accepted"
    assert len(set(await cases_of(csw, right, wrong, later))) == 1
