# SPDX-License-Identifier: Apache-2.0
"""An agency that knows the id of a thread in which it has no part, and whose connector lets it write there."""

from collections.abc import Sequence
from typing import Any

import pytest

from connectors.cases.composing import Said
from connectors.cases.moving import Step
from connectors.store import outgoing, recipients
from connectors.store.recipients import Plan, RecipientState
from protocol import ids
from protocol.errors import NotFound
from protocol.handover import PackageSection
from protocol.http.cases import CaseSearch
from protocol.http.messages import MessageRequest
from protocol.ids import Kind, ThreadId, new_id
from protocol.kinds.catalogue import KINDS
from protocol.limits import DAY
from tests.connectors.cases.test_cases import GORA, POLJE, about, only, refer, step
from tests.connectors.cases.test_referral import FIELDS, REQUEST, WORDS, settle
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.conftest import World

__all__ = ["csw", "prison"]

REKA = "reka-probation@hub.example"


async def intrude(
    world: World,
    to: Served,
    thread: ThreadId,
    kind: str,
    fields: dict[str, Any],
    sections: Sequence[PackageSection] = (),
) -> None:
    """Have the probation service send whatever a liar would into a thread of others."""
    stranger = world.probation
    composing = stranger.parts.moving._composing
    said = Said(fields=fields, sections=tuple(sections))
    subject = ids.text(Kind.SUBJECT, new_id())
    message = composing.message(KINDS[kind], thread, stranger.desk, subject, said)
    async with stranger.parts.store.write() as tx:
        plans = composing.plans(message, [to.station.desk]) if sections else {to.station.desk: Plan()}
        await outgoing.add(tx, message, plans)
    await settle(stranger, to.station)


async def test_lif_6_a_move_of_a_third_agency_is_none_and_is_not_shown_as_the_other_side_s(
    prison: Served, csw: Served, world: World
) -> None:
    thread = await refer(prison, csw, about("Invented", "51"))
    before = [await served.client.thread(thread) for served in (prison, csw)]
    for served in (prison, csw):
        await intrude(world, served, thread, "referral.withdraw", FIELDS["withdraw"])
        await intrude(world, served, thread, "referral.request", REQUEST, [WORDS, about("Planted", "667")])
        assert set(await served.station.quarantined()) == {"policy-denied"}
    assert [await served.client.thread(thread) for served in (prison, csw)] == before
    assert [(entry.what, entry.agency) for entry in (await only(csw)).history] == [("receive", POLJE), ("send", GORA)]
    assert "move-ignored" not in csw.station.logged.getvalue(), "nothing of it is answered as opened"
    await step(csw, thread, "acknowledge", prison)
    assert (await prison.client.thread(thread)).item.state == "acknowledged"


async def test_lif_6_whoever_takes_a_thread_first_makes_nobody_believe_that_the_other_s_beginning_arrived(
    prison: Served, csw: Served, world: World
) -> None:
    """The stranger knows the id, say from a copy, and the prison's own message is late."""
    step = Step(event="send", fields=REQUEST, sections=(WORDS,))
    moved = await prison.station.parts.moving.begin("referral", csw.station.desk, step, key="a" * 24, body=b"")
    await intrude(world, csw, moved.thread, "referral.request", REQUEST, [WORDS])
    await settle(prison.station, csw.station)
    assert (await prison.client.thread(moved.thread)).item.state == "sent", "nobody says that it was delivered"
    assert await csw.station.quarantined() != []
    async with prison.station.parts.store.read() as tx:
        waiting = await recipients.find(tx, moved.message_id, csw.station.desk)
    assert (waiting.state, waiting.error) == (RecipientState.QUEUED, "cannot-open")


async def test_cas_1_a_third_agency_does_not_say_whom_a_thread_is_about(
    prison: Served, csw: Served, world: World
) -> None:
    thread = await refer(prison, csw, about("Invented", "51"), register_numbers={"sender": "G-17"})
    other = await refer(prison, csw, about("Other", "62"))
    before = {one: (await csw.client.thread(one)).case for one in (thread, other)}
    numbers = {"sender": "R-1", "recipient": "P-1"}
    alert = {"imminence": "days", "answer_by": world.hub.clock() + DAY, "register_numbers": numbers}
    await intrude(world, csw, thread, "alert.risk", alert)
    await intrude(world, csw, thread, "referral.request", REQUEST, [WORDS, about("Planted", "667")])
    assert {one: (await csw.client.thread(one)).case for one in (thread, other)} == before
    case = before[thread]
    assert case is not None
    view = await csw.client.case(case)
    assert view.item.person is not None
    assert (view.item.person.family_name, view.item.register_numbers) == ("Invented", [])
    assert [(one.register_number, one.other_register_number) for one in view.threads] == [(None, "G-17")]
    assert (view.history[0].what, view.history[0].agency) == ("alert.risk", REKA)
    for text, found in (("Planted", 0), ("R-1", 0), ("Invented", 1)):
        assert len((await csw.client.search(CaseSearch(text=text))).items) == found


async def test_cas_6_a_third_agency_says_nothing_of_a_person_in_a_thread_without_a_life_cycle(
    prison: Served, csw: Served, world: World
) -> None:
    asked = MessageRequest(
        kind="alert.risk",
        to=[csw.station.desk],
        fields={"imminence": "days", "answer_by": world.hub.clock() + DAY, "register_numbers": {"sender": "G-17"}},
        sections=[about("Invented", "51")],
    )
    thread = (await prison.client.send_message(asked, idempotency_key="a" * 24)).thread
    await settle(prison.station, csw.station)
    before = await only(csw)
    # A referral of a number of ours, to which the thread would move if the stranger's word counted.
    await step(csw, await refer(prison, csw), "acknowledge", prison, register_numbers={"sender": "P-1"})
    planted = {**asked.fields, "register_numbers": {"sender": "R-1", "recipient": "P-1"}}
    for served, kind, fields in (
        (csw, "alert.risk", planted),
        (csw, "referral.request", {**REQUEST, "register_numbers": planted["register_numbers"]}),
        (prison, "referral.request", REQUEST),
    ):
        await intrude(world, served, thread, kind, fields, [about("Planted", "667")])
    view = await csw.client.case(before.item.id)
    assert (view.item.person, view.item.register_numbers) == (before.item.person, [])
    (one,) = view.threads
    assert (one.register_number, one.other_register_number) == (None, "G-17")
    for text, found in (("Planted", 0), ("667", 0), ("R-1", 0), ("Invented", 1)):
        assert len((await csw.client.search(CaseSearch(text=text))).items) == found
    # Nor does a stranger make a life cycle of a thread that the prison began with something else.
    assert set(await prison.station.quarantined()) == {"policy-denied"}
    with pytest.raises(NotFound):
        await prison.client.thread(thread)
