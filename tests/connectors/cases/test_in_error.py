# SPDX-License-Identifier: Apache-2.0
"""What came about the wrong person is withheld once that was said: its line stays, and what proves it (CON-26)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from connectors.cases.stopped import is_withheld
from connectors.fhir.exporting import export_thread
from connectors.store import cases, facts, replaying, tables
from connectors.store.engine import Transaction
from connectors.store.threads import Standing
from protocol.address import DeskAddress
from protocol.http.cases import CaseSearch
from protocol.http.messages import MessageFilter, MessageRequest
from protocol.http.threads import StepRequest
from protocol.ids import MessageId, ThreadId
from protocol.lifecycle import handover, referral
from tests.connectors.cases.test_cases import about, listed, only, refer, step
from tests.connectors.cases.test_corrected import RIGHT, correct
from tests.connectors.cases.test_referral import settle
from tests.connectors.cases.test_strangers import intrude
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.conftest import World

__all__ = ["csw", "prison"]

WRONG: dict[str, Any] = {"reason": "wrong-person"}
NAME, SAID = "Plantedname", "Invented words about an invented need."


async def found(served: Served, *words: str) -> list[int]:
    return [len((await served.client.search(CaseSearch(text=one))).items) for one in words]


async def everything(served: Served, thread: ThreadId) -> str:
    """Return all that the ordinary views show of a thread, its messages and its case."""
    view = await served.client.thread(thread)
    assert view.case is not None
    case = await served.client.case(view.case)
    pages = [
        await served.client.print_thread(thread, language="en"),
        await served.client.print_case(case.item.id, language="en"),
    ]
    told = [str(view), str(case), str(await listed(served)), str(export_thread(view))]
    return "\n".join([*told, *(one.decode() for one in pages)])


async def notice(sender: Served, to: Served, thread: ThreadId, week: int) -> None:
    """Send a message that moves nothing in a thread."""
    asked = MessageRequest(
        kind="contact.area-notice",
        to=[to.station.desk],
        thread=thread,
        fields={"area": "invented-municipality", "week": f"2027-W0{week + 1}"},
    )
    await sender.client.send_message(asked, idempotency_key=f"a-notice-of-week-{week}")
    await settle(sender.station, to.station)


async def changed_at(served: Served, thread: ThreadId) -> int:
    async with served.station.parts.store.read() as tx:
        row = await cases.find(tx, thread)
    assert row is not None
    return row.changed_at


async def stored_slices(served: Served, message: MessageId) -> list[Any]:
    async with served.station.parts.store.read() as tx:
        asked = select(tables.incoming).where(tables.incoming.c.message_id == message)
        return [tuple(row) for row in await tx.connection.execute(asked)]


async def test_con_26_what_came_about_the_wrong_person_is_withheld_from_every_view_and_its_line_stays(
    prison: Served, csw: Served
) -> None:
    thread = await refer(prison, csw, about(NAME, "51"), register_numbers={"sender": "G-17/2027"})
    await step(csw, thread, "acknowledge", prison, register_numbers={"sender": "P-3/2027"})
    case = await only(csw)
    assert case.item.person is not None
    message = (await csw.client.thread(thread)).steps[0].message
    before = await stored_slices(csw, message)
    assert await found(csw, NAME, "51", "G-17/2027", "P-3/2027") == [1, 1, 1, 1]
    shown = await everything(csw, thread)
    assert all(one in shown for one in (NAME, SAID, "sender_number"))
    await step(prison, thread, "entered-in-error", csw, **WRONG)
    shown = await everything(csw, thread)
    assert [one for one in (NAME, SAID, "sender_number") if one in shown] == []
    view = await csw.client.thread(thread)
    assert [(one.withheld, one.sections) for one in view.steps if one.event == "send"] == [("entered-in-error", [])]
    assert "The content is withheld: " in shown
    assert [(one.thread, one.state, one.withheld) for one in (await only(csw)).threads] == [
        (thread, "entered-in-error", "entered-in-error")
    ]
    assert (await only(csw)).item.id == case.item.id, "its line is found where it was"
    assert (await only(csw)).item.person is None
    assert await found(csw, NAME, "51", "G-17/2027", "P-3/2027") == [0, 0, 0, 1]
    assert await stored_slices(csw, message) == before, "what proves it is as it was"
    # Who sent it has to answer for it.
    shown = await everything(prison, thread)
    assert all(one in shown for one in (NAME, SAID, "sender_number"))
    assert await found(prison, NAME) == [1]


async def test_con_26_the_other_person_s_case_goes_on_by_its_own_name_and_nothing_is_led_into_it(
    prison: Served, csw: Served, world: World
) -> None:
    """The wrong one names the right person's number at the recipient, so both were one case."""
    right = await refer(prison, csw, about("Rightname", "51"))
    await step(csw, right, "acknowledge", prison)
    world.hub.clock.now += 1000
    wrong = await refer(prison, csw, about(NAME, "51"), duplicates="sent-anyway")
    view = await only(csw)
    assert view.item.person is not None
    assert view.item.person.family_name == NAME
    assert (await csw.client.thread(wrong)).item.similar == [right]
    await step(prison, wrong, "entered-in-error", csw, **WRONG)
    view = await only(csw)
    assert view.item.person is not None
    assert view.item.person.family_name == "Rightname"
    assert {one.thread: one.withheld for one in view.threads} == {right: None, wrong: "entered-in-error"}
    later = await refer(prison, csw, about("Rightname", "51"), duplicates="sent-anyway")
    assert (await csw.client.thread(later)).item.similar == [right]
    assert (await csw.client.thread(wrong)).item.similar == []
    assert await found(csw, "Rightname", NAME) == [1, 0]


async def test_con_26_what_is_said_of_it_later_brings_nothing_back_and_an_alert_is_shown(
    prison: Served, csw: Served, world: World
) -> None:
    thread = await refer(prison, csw, about(NAME, "51"))
    message = (await prison.client.thread(thread)).steps[0].message
    await correct(prison, csw, message, thread, text="Planted correction.")
    await settle(prison.station, csw.station)
    await step(csw, thread, "acknowledge", prison)
    await step(prison, thread, "entered-in-error", csw, **WRONG)
    (said,) = (await csw.client.thread(thread)).steps[0].corrections
    assert said.sections == []
    assert "Planted correction." not in str(await csw.client.thread(thread))
    await notice(prison, csw, thread, 3)
    assert (await found(csw, NAME), (await only(csw)).item.person) == ([0], None)
    # Another implementation sends words into what has ended: they came after, and somebody has to hear of them.
    risk = {"imminence": "days", "answer_by": world.hub.clock() + 86_400_000}
    await intrude(world, csw, thread, "alert.risk", risk, [RIGHT])
    (alert,) = [one for one in (await csw.client.messages(MessageFilter())).items if one.kind == "alert.risk"]
    assert str((await csw.client.message(alert.id)).sections[0].body).count("What is right instead.") == 1


async def test_con_26_what_comes_after_the_end_costs_no_reading_of_the_thread(
    prison: Served, csw: Served, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hostile requester ends its own thread and goes on to write in it: each message would have read all before."""
    thread = await refer(prison, csw, about(NAME, "51"))
    await step(prison, thread, "entered-in-error", csw, **WRONG)
    read = list[ThreadId]()
    real = replaying.in_thread

    async def reading(tx: Transaction, which: ThreadId) -> list[replaying.Stored]:
        read.append(which)
        return await real(tx, which)

    monkeypatch.setattr(replaying, "in_thread", reading)
    for week in range(3):
        world.hub.clock.advance(1000)
        before = await changed_at(csw, thread)
        await notice(prison, csw, thread, week)
        await intrude(world, csw, thread, "contact.area-notice", {"area": "planted", "week": "2027-W04"})
        assert await changed_at(csw, thread) > before, "its line says that something came"
    assert read == []
    assert (await found(csw, NAME, "planted"), (await only(csw)).item.person) == ([0, 0], None)


@pytest.mark.parametrize("reason", ["wrong-person", "wrong-recipient", "wrong-content", "opened-by-accident"])
async def test_con_26_the_word_of_a_stranger_withholds_nothing_and_that_of_either_officer_does(
    prison: Served, csw: Served, world: World, reason: str
) -> None:
    thread = await refer(prison, csw, about(NAME, "51"))
    await intrude(world, csw, thread, "referral.entered-in-error", {"reason": reason})
    await intrude(world, csw, thread, "referral.entered-in-error", {"reason": reason, "capacity": "data-protection"})
    view = await csw.client.thread(thread)
    assert (view.item.state, view.steps[0].withheld, len(view.steps[0].sections)) == ("delivered", None, 2)
    assert await found(csw, NAME) == [1]
    await step(csw, thread, "entered-in-error", prison, reason=reason, capacity="data-protection")
    assert [one.withheld for one in (await csw.client.thread(thread)).steps][:1] == ["entered-in-error"]
    assert await found(csw, NAME) == [0]
    assert (await prison.client.thread(thread)).steps[0].withheld is None


async def test_con_26_a_step_that_had_no_effect_withholds_nothing(prison: Served, csw: Served) -> None:
    """The requester says so at the moment in which the recipient accepts, and the hub has the acceptance first."""
    thread = await refer(prison, csw, about(NAME, "51"))
    await step(csw, thread, "acknowledge", prison)
    await csw.step(thread, "accept")
    await csw.station.seal_and_send()
    seen = (await prison.client.thread(thread)).item.version
    await prison.client.step(
        thread, StepRequest(event="entered-in-error", fields=WRONG), version=seen, idempotency_key="k" * 16
    )
    await settle(prison.station, csw.station)
    view = await csw.client.thread(thread)
    assert (view.item.state, view.steps[0].withheld) == ("accepted", None)
    assert await found(csw, NAME) == await found(prison, NAME) == [1]


async def test_con_26_what_was_in_error_before_this_was_known_is_withheld_from_the_next_start_on(
    prison: Served, csw: Served
) -> None:
    thread = await refer(prison, csw, about(NAME, "51"))
    await step(prison, thread, "entered-in-error", csw, **WRONG)
    async with csw.station.parts.store.write() as tx:
        await tx.connection.exec_driver_sql("UPDATE thread SET state = 'delivered'")
        await csw.station.parts.threads.register.weigh(tx, thread, None)
        await tx.connection.exec_driver_sql("UPDATE thread SET state = 'entered-in-error'")
        await facts.put(tx, "cases made", b"5")
    assert await found(csw, NAME) == [1]
    await csw.station.parts.threads.register.catch_up(csw.station.parts.store)
    assert (await found(csw, NAME), (await only(csw)).item.person) == ([0], None)


@given(
    st.sampled_from(["referral", "handover", "damaged"]),
    st.sampled_from(["requester", "recipient", "sender", "receiver", "observer", "damaged"]),
    st.sampled_from([*referral.State, *handover.State, "damaged"]),
)
def test_con_26_only_what_is_in_error_is_withheld_and_never_from_who_began_it(
    machine: str, side: str, state: str
) -> None:
    standing = Standing(machine, side, state, DeskAddress("intake.gora-prison@hub.example"))
    begins = {"referral": "requester", "handover": "sender"}.get(machine)
    assert is_withheld(standing) == (state == "entered-in-error" and side != begins)
    assert not is_withheld(None)
