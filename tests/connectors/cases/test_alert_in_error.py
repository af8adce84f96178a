# SPDX-License-Identifier: Apache-2.0
"""An alert that came before its thread was entered in error is not emptied before somebody has read it (KIND-8)."""

import secrets
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from protocol import ids
from protocol.address import DeskAddress
from protocol.bodies.needs import Entry, Narrative
from protocol.clearance import DeskFunction
from protocol.handover import PackageSection
from protocol.http.messages import MessageRequest, MessageView
from protocol.http.threads import ReferralRequest, StepQueued, StepRequest
from protocol.ids import Kind, MessageId, ThreadId
from tests.connectors.cases.test_cases import about, refer
from tests.connectors.cases.test_corrected import correct
from tests.connectors.cases.test_heard import DANGER, due_in_case, hear, say_to
from tests.connectors.cases.test_in_error import NAME, WRONG, found
from tests.connectors.cases.test_referral import OFFICER, REQUEST, WORDS, settle
from tests.connectors.cases.test_strangers import intrude
from tests.connectors.cases.test_thread_api import Served, csw, prison, serve
from tests.connectors.conftest import World
from tests.connectors.test_attachment_desks import two_desks
from tests.connectors.typing import type_at

__all__ = ["csw", "prison"]

WHO = "Planted words of whom to look for, and where."
ALARM = WORDS.model_copy(update={"body": Narrative(entries=(Entry(text=WHO),))})


async def alarm(prison: Served, csw: Served, thread: ThreadId, *sections: PackageSection) -> MessageId:
    said = MessageRequest(
        kind="alert.safeguarding",
        to=[csw.station.desk],
        thread=thread,
        fields=DANGER,
        sections=[ALARM, *sections],
    )
    return (await prison.client.send_message(said, idempotency_key=secrets.token_hex(12))).id


async def end(served: Served, thread: ThreadId, **fields: Any) -> StepQueued:
    """Enter a thread in error, and let nobody hear of it yet."""
    seen = (await served.client.thread(thread)).item.version
    request = StepRequest(event="entered-in-error", fields={**WRONG, **fields})
    return await served.client.step(thread, request, version=seen, idempotency_key=secrets.token_hex(12))


def stands(view: MessageView) -> tuple[bool, bool, str | None]:
    return WHO in str([one.body for one in view.sections]), view.in_error, view.withheld


async def test_kind_8_con_26_an_alert_that_nobody_has_noted_is_shown_in_error_until_somebody_has(
    prison: Served, csw: Served, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    thread = await refer(prison, csw, about(NAME, "51"))
    alert = await alarm(prison, csw, thread)
    await settle(prison.station, csw.station)
    assert stands(await csw.client.message(alert)) == (True, False, None)
    assert (await end(prison, thread)).unnoted_alerts == [alert]
    await settle(prison.station, csw.station)
    # All else of the thread is withheld at once.
    assert (await csw.client.thread(thread)).steps[0].withheld == "entered-in-error"
    assert await found(csw, NAME) == [0]
    assert stands(await csw.client.message(alert)) == (True, True, None)
    page = (await csw.client.print_message(alert, language="en")).decode()
    assert WHO in page
    assert "entered in error" in page
    assert await type_at(csw.station, csw.url, "message", "show", ids.text(Kind.MESSAGE, alert)) == 0
    assert "IN ERROR: " in capsys.readouterr().out
    await hear(prison.station, csw.station)
    assert [one[0] for one in (await due_in_case(csw))[0]] == ["note"], "the case still asks for it"
    await say_to(csw, prison, alert, "noted")
    assert stands(await csw.client.message(alert)) == (False, False, "entered-in-error")
    assert WHO not in (await csw.client.print_message(alert, language="en")).decode()
    assert stands(await prison.client.message(alert)) == (True, False, None), "who sent it has to answer for it"


async def test_kind_8_an_alert_that_was_noted_before_is_withheld_at_once_and_named_to_nobody(
    prison: Served, csw: Served
) -> None:
    thread = await refer(prison, csw)
    alert = await alarm(prison, csw, thread)
    await settle(prison.station, csw.station)
    await say_to(csw, prison, alert, "noted")
    assert (await end(prison, thread)).unnoted_alerts == []
    await settle(prison.station, csw.station)
    assert stands(await csw.client.message(alert)) == (False, False, "entered-in-error")


async def test_kind_8_both_that_come_in_one_go_leave_the_alert_whole(prison: Served, csw: Served) -> None:
    """The recipient's machine was off when it was sent, and when its thread was ended."""
    thread = await refer(prison, csw)
    alert = await alarm(prison, csw, thread)
    await prison.station.seal_and_send()
    assert (await end(prison, thread)).unnoted_alerts == [alert]
    await settle(prison.station, csw.station)
    assert stands(await csw.client.message(alert)) == (True, True, None)


async def test_kind_8_what_corrects_it_is_shown_beside_it_and_gone_with_it(prison: Served, csw: Served) -> None:
    thread = await refer(prison, csw)
    alert = await alarm(prison, csw, thread)
    right = await correct(prison, csw, alert, thread, text="It is another house.")
    await settle(prison.station, csw.station)
    await end(prison, thread)
    await settle(prison.station, csw.station)
    (said,) = (await csw.client.message(alert)).corrections
    assert (said.message, "It is another house." in str(said.sections)) == (right.id, True)
    assert (await csw.client.message(right.id)).sections == [], "by itself it is no alert"
    await say_to(csw, prison, alert, "noted")
    (said,) = (await csw.client.message(alert)).corrections
    assert said.sections == []


async def test_kind_8_nobody_else_notes_it(prison: Served, csw: Served, world: World) -> None:
    thread = await refer(prison, csw)
    alert = await alarm(prison, csw, thread)
    await settle(prison.station, csw.station)
    answers = {"answers": ids.text(Kind.MESSAGE, alert), "officer": OFFICER, "answer": "noted"}
    for served in (prison, csw):
        await intrude(world, served, thread, "message.answer", answers)
    assert (await end(prison, thread)).unnoted_alerts == [alert]
    await settle(prison.station, csw.station)
    assert stands(await csw.client.message(alert)) == (True, True, None)


async def test_kind_8_who_ends_it_at_the_recipient_hears_what_nobody_there_has_noted(
    prison: Served, csw: Served
) -> None:
    thread = await refer(prison, csw)
    alert = await alarm(prison, csw, thread)
    await settle(prison.station, csw.station)
    first = await end(csw, thread, capacity="data-protection")
    assert first.unnoted_alerts == [alert]
    assert stands(await csw.client.message(alert)) == (True, True, None)


async def test_kind_8_what_nobody_waits_for_any_more_is_withheld(prison: Served, csw: Served) -> None:
    """An alert of years ago that was noted on paper, say."""
    thread = await refer(prison, csw)
    alert = await alarm(prison, csw, thread)
    await settle(prison.station, csw.station)
    for served in (prison, csw):
        async with served.station.parts.store.write() as tx:
            await tx.connection.exec_driver_sql("DELETE FROM awaited")
    assert (await end(prison, thread)).unnoted_alerts == []
    await settle(prison.station, csw.station)
    assert stands(await csw.client.message(alert)) == (False, False, "entered-in-error")


async def test_kind_8_con_19_what_one_desk_has_noted_another_still_sees(
    world: World, prison: Served, tmp_path: Path
) -> None:
    async with two_desks(tmp_path / "two", world) as both, asynccontextmanager(serve)(both, world) as velika:
        intake, other = (DeskAddress(f"{name}.{both.member.address}") for name in ("intake", "supervision"))
        words = ALARM.model_copy(
            update={"functions": (DeskFunction.PROBATION_INTAKE, DeskFunction.PROBATION_SUPERVISION)}
        )
        begin = ReferralRequest(to=intake, fields=REQUEST, sections=[WORDS])
        thread = (await prison.client.refer(begin, idempotency_key=secrets.token_hex(12))).thread
        said = MessageRequest(
            kind="alert.safeguarding", to=[intake, other], thread=thread, fields=DANGER, sections=[words]
        )
        alert = (await prison.client.send_message(said, idempotency_key=secrets.token_hex(12))).id
        await settle(prison.station, both)
        await end(prison, thread)
        await settle(prison.station, both)
        for desk, still in ((intake, (True, True, None)), (other, (False, False, "entered-in-error"))):
            noted = MessageRequest(
                kind="message.answer",
                to=[prison.station.desk],
                sender=desk,
                fields={"answers": ids.text(Kind.MESSAGE, alert), "officer": OFFICER, "answer": "noted"},
            )
            await velika.client.send_message(noted, idempotency_key=secrets.token_hex(12))
            assert stands(await velika.client.message(alert)) == still
            bound = await both.parts.prints._views.messages.show(alert, desks=frozenset({desk}))
            assert stands(bound) == (False, False, "entered-in-error")
