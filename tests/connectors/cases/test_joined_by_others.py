# SPDX-License-Identifier: Apache-2.0
"""Who answers what we began says of our own numbers what he likes: it puts nothing into another person's case."""

import secrets
from typing import Any

import pytest

from connectors.cases.composing import Said
from connectors.store import facts, outgoing
from connectors.store.recipients import Plan
from protocol.bodies.person import Person
from protocol.handover import PackageSection
from protocol.http.cases import CaseSearch
from protocol.http.messages import MessageRequest
from protocol.http.threads import StepRequest
from protocol.ids import CaseId, Kind, MessageId, ThreadId, new_id, text
from protocol.kinds.catalogue import KINDS
from protocol.limits import DAY
from tests.connectors.cases.test_cases import GORA, about, probation, refer
from tests.connectors.cases.test_referral import FIELDS, OFFICER, REQUEST, settle
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.conftest import World

__all__ = ["csw", "prison", "probation"]

NUMBER: dict[str, Any] = {"sender": "R-9", "recipient": "G-17"}
"""Its own, and that of another person's correspondence in the prison's register."""


async def claim(liar: Served, thread: ThreadId, to: Served) -> None:
    """Answer a referral with both numbers of another person of the prison's."""
    said = about("Quentin").model_copy(update={"body": Person(family_name="Quentin", recipient_number="51")})
    version = (await liar.client.thread(thread)).item.version
    request = StepRequest(
        event="acknowledge", fields={**FIELDS["acknowledge"], "register_numbers": NUMBER}, sections=[said]
    )
    await liar.client.step(thread, request, version=version, idempotency_key=secrets.token_hex(12))
    await settle(liar.station, to.station)


async def case_of(served: Served, thread: ThreadId) -> CaseId:
    case = (await served.client.thread(thread)).case
    assert case is not None
    return case


@pytest.mark.parametrize("own", [{}, {"register_numbers": {"sender": "G-18"}}], ids=["bare", "numbered"])
async def test_cas_1_ref_9_who_answers_a_referral_of_ours_puts_it_into_no_other_person_s_case(
    prison: Served, csw: Served, probation: Served, own: dict[str, Any]
) -> None:
    """It was told of the transfer of a person of whom it knew no more than a number."""
    petra = await refer(prison, csw, about("Petra", "51"), register_numbers={"sender": "G-17"})
    quentin = await refer(prison, probation, about("Quentin"), **own)
    before = [await case_of(prison, one) for one in (petra, quentin)]
    await claim(probation, quentin, prison)
    assert [await case_of(prison, one) for one in (petra, quentin)] == before
    case = await prison.client.case(before[0])
    assert case.item.person is not None
    assert (case.item.person.family_name, case.item.threads) == ("Petra", 1)
    # What it says of its own register counts.
    (listed,) = (await prison.client.case(before[1])).threads
    assert listed.other_register_number == "R-9"
    assert [one.id for one in (await prison.client.search(CaseSearch(text="G-17"))).items] == [before[0]]
    fields: dict[str, Any] = {"from_agency": GORA, "to_agency": GORA, "moved_on": "2026-12-01", "officer": OFFICER}
    told = MessageRequest(
        kind="custody.transferred",
        to=[csw.station.desk],
        fields={**fields, "register_numbers": {"sender": "G-17"}},
        sections=[about("Petra", "51")],
    )
    await prison.client.send_message(told, idempotency_key=secrets.token_hex(12))
    await settle(prison.station, csw.station, probation.station)
    assert "custody-moved" in {one.event for one in (await csw.client.thread(petra)).steps}
    assert "custody-moved" not in {one.event for one in (await probation.client.thread(quentin)).steps}


async def test_cas_1_nor_does_who_answers_a_conversation_of_ours(prison: Served, csw: Served, world: World) -> None:
    petra = await refer(prison, csw, about("Petra", "51"), register_numbers={"sender": "G-17"})
    asked = MessageRequest(
        kind="alert.risk",
        to=[csw.station.desk],
        fields={"imminence": "days", "answer_by": world.hub.clock() + DAY},
        sections=[about("Quentin")],
    )
    sent = await prison.client.send_message(asked, idempotency_key="a" * 24)
    await settle(prison.station, csw.station)
    (other,) = {one.id for one in (await prison.client.search(CaseSearch(text="Quentin"))).items}
    answer: dict[str, Any] = {
        "answers": text(Kind.MESSAGE, sent.id),
        "answer": "noted",
        "officer": OFFICER,
        "register_numbers": NUMBER,
    }
    request = MessageRequest(kind="message.answer", to=[prison.station.desk], fields=answer)
    await csw.client.send_message(request, idempotency_key="b" * 24)
    await settle(csw.station, prison.station)
    assert [one.id for one in (await prison.client.search(CaseSearch(text="Quentin"))).items] == [other]
    assert await case_of(prison, petra) != other


async def test_cas_1_nor_does_it_say_what_a_thread_of_ours_goes_on_from(prison: Served, probation: Served) -> None:
    """It was told of the transfer of a person with whom it had nothing to do any more."""
    petra = await refer(prison, probation, about("Petra", "51"), register_numbers={"sender": "G-17"})
    quentin = await refer(prison, probation, about("Quentin"))
    before = [await case_of(prison, one) for one in (petra, quentin)]
    subject, station = (await prison.client.thread(quentin)).subject, probation.station
    said = Said(fields={**REQUEST, "reopens": text(Kind.THREAD, petra)}, message_id=MessageId(new_id()))
    message = station.parts.moving._composing.message(KINDS["referral.request"], quentin, station.desk, subject, said)
    async with station.parts.store.write() as tx:
        await outgoing.add(tx, message, {prison.station.desk: Plan()})
    await settle(station, prison.station)
    assert [await case_of(prison, one) for one in (petra, quentin)] == before


async def test_cas_1_what_others_begin_still_finds_its_case_by_our_number(prison: Served, csw: Served) -> None:
    petra = await refer(prison, csw, about("Petra", "51"), register_numbers={"sender": "G-17"})
    back = await refer(csw, prison, about("Petra"), register_numbers={"recipient": "G-17"})
    assert await case_of(prison, back) == await case_of(prison, petra)


async def call(liar: Served, thread: ThreadId, number: str, to: Served) -> None:
    """Acknowledge a referral, with that number of its own register for the person."""
    said = about("Petra").model_copy(update={"body": Person(family_name="Petra", sender_number=number)})
    version = (await liar.client.thread(thread)).item.version
    request = StepRequest(event="acknowledge", fields=FIELDS["acknowledge"], sections=[said])
    await liar.client.step(thread, request, version=version, idempotency_key=secrets.token_hex(12))
    await settle(liar.station, to.station)


def named(own: str | None, theirs: str) -> PackageSection:
    """Say who the person is in the other side's register, and perhaps in our own."""
    body = Person(family_name="Petra", sender_number=own, recipient_number=theirs)
    return about("Petra").model_copy(update={"body": body})


@pytest.mark.parametrize("by_us", [True, False], ids=["named by us", "named by it"])
async def test_cas_1_nor_does_it_by_its_own_number_of_another_person(
    prison: Served, probation: Served, *, by_us: bool
) -> None:
    petra = await refer(prison, probation, named("51", "R-7") if by_us else about("Petra", "51"))
    await call(probation, petra, "R-7", prison)
    # Of nobody's number in our own register.
    others = [await refer(prison, probation, about(name)) for name in ("Quentin", "Rosa")]
    before = [await case_of(prison, one) for one in (petra, *others)]
    assert len(set(before)) == 3
    for one in others:
        await call(probation, one, "R-7", prison)
    assert [await case_of(prison, one) for one in (petra, *others)] == before
    # What it begins itself finds the case of whom it means.
    back = await refer(probation, prison, about("Petra", "R-7"))
    assert await case_of(prison, back) == before[0]


async def test_cas_1_nor_does_it_say_that_a_number_that_we_named_is_another_person_of_ours(
    prison: Served, probation: Served
) -> None:
    petra = await refer(prison, probation, about("Petra", "51"))
    quentin = await refer(prison, probation, named(None, "R-8"))
    before = [await case_of(prison, one) for one in (petra, quentin)]
    await call(probation, petra, "R-8", prison)
    assert [await case_of(prison, one) for one in (petra, quentin)] == before
    # Where we say both ourselves, it is the same person.
    again = await refer(prison, probation, named("51", "R-8"), duplicates="sent-anyway")
    assert await case_of(prison, again) == await case_of(prison, quentin) == before[0]


async def test_cas_2_an_update_takes_back_what_was_said_before_this_rule(
    prison: Served, probation: Served, csw: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    petra = await refer(prison, csw, about("Petra", "51"), register_numbers={"sender": "G-17"})
    quentin = await refer(prison, probation, about("Quentin"))
    register = prison.station.parts.threads.register
    with monkeypatch.context() as before:

        async def never(*_: object) -> bool:
            return False

        before.setattr(register, "_began", never)
        await claim(probation, quentin, prison)
    assert await case_of(prison, quentin) == await case_of(prison, petra)
    async with prison.station.parts.store.write() as tx:
        await facts.put(tx, "cases made", b"7")
    assert await register.catch_up(prison.station.parts.store) > 0
    assert await case_of(prison, quentin) != await case_of(prison, petra)
