# SPDX-License-Identifier: Apache-2.0
"""A referral between two real connectors at a real hub: every move is a sealed message, and both sides agree."""

import secrets
from typing import Any

import pytest

from connectors.cases.moving import Moved, Step
from connectors.cases.threads import history_of
from connectors.store import moves, threads
from connectors.store.threads import ThreadRow
from protocol import ids
from protocol.bodies.needs import Entry, Narrative
from protocol.clearance import Basis, Category, DeskFunction, Purpose
from protocol.errors import IdempotencyKeyReused, IllegalTransition, InvalidInput, NotFound, PreconditionFailed
from protocol.handover import PackageSection
from protocol.ids import Kind, ThreadId
from protocol.lifecycle.history import History
from tests.connectors.conftest import World
from tests.connectors.stations import Station

OFFICER = ids.text(Kind.OFFICER, bytes(16))
REQUEST: dict[str, Any] = {
    "services": [
        {"code": "psychosocial-support", "pathway": "health", "outcome": "contact-kept"},
        {"code": "housing-advice", "pathway": "accommodation", "outcome": "place-found"},
    ],
    "whereabouts": "custody",
    "release_on": "2027-01-20",
    "language": "sr-Latn",
    "person_knows": "agreed",
    "contact": "through-requester",
    "duplicates": "none-found",
    "answer_by": "2026-12-10",
}
FIELDS: dict[str, dict[str, Any]] = {
    "acknowledge": {"officer": OFFICER, "answer_by": "2026-12-05"},
    "ask": {"question": "services", "due": "2026-12-05"},
    "answer": {},
    "accept": {"officer": OFFICER, "start_by": "2027-01-21"},
    "decline": {"reason": "no-capacity", "alternative": False},
    "schedule": {"appointment": 1_800_000_000_000, "place": "office"},
    "attended": {"appointment": 1_800_000_000_000},
    "withdraw": {"reason": "needs-met"},
    "confirm-cancel": {"done": [], "data_action": "erased"},
    "complete": {
        "outcome": [{"code": "psychosocial-support", "outcome": "achieved"}],
        "data_action": "retained",
    },
    "close": {"changed": "better"},
}
WORDS = PackageSection(
    category=Category.NEEDS,
    purpose=Purpose.CONTINUITY_OF_CARE,
    basis=Basis.STATUTE,
    citation="Invented Act, art. 1",
    functions=(DeskFunction.PROBATION_INTAKE, DeskFunction.SOCIAL_WORK, DeskFunction.PRISON_RELEASE),
    body=Narrative(entries=(Entry(text="Invented words about an invented need."),)),
)


async def refer(station: Station, to: Station, **changes: object) -> Moved:
    step = Step(event="send", fields={**REQUEST, **changes}, sections=(WORDS,))
    return await station.parts.moving.begin("referral", to.desk, step, key=secrets.token_hex(12), body=b"")


async def do(station: Station, thread: ThreadId, event: str, **more: object) -> Moved:
    step = Step(event=event, fields={**FIELDS.get(event, {}), **more})
    return await station.parts.moving.move(thread, step, key=secrets.token_hex(12), body=b"")


async def settle(*stations: Station) -> None:
    """Let mail go to and fro until nobody has anything to send."""
    for _ in range(6):
        if not sum([await station.turn() for station in stations]):
            return


async def row(station: Station, thread: ThreadId) -> ThreadRow:
    async with station.parts.store.read() as tx:
        return await threads.load(tx, thread)


async def history(station: Station, thread: ThreadId) -> History:
    async with station.parts.store.read() as tx:
        return history_of(await threads.load(tx, thread), await moves.of(tx, thread))


async def agreed(thread: ThreadId, *stations: Station) -> str:
    """Return the state that all sides have, by the same steps in the same places."""
    told = [
        [(step.move.message_id, step.move.index, step.move.actor, step.refused) for step in found.steps]
        for found in [await history(station, thread) for station in stations]
    ]
    for one in told:
        assert one == told[0]
    states = {(await row(station, thread)).state for station in stations}
    assert len(states) == 1
    return states.pop()


async def test_ref_1_a_referral_goes_from_request_to_closed_loop_and_both_sides_agree(world: World) -> None:
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw)).thread
    assert (await row(prison, thread)).state == "sent"
    await settle(prison, csw)
    assert await agreed(thread, prison, csw) == "delivered"
    for station, event, state in [
        (csw, "acknowledge", "acknowledged"),
        (csw, "ask", "info-requested"),
        (prison, "answer", "acknowledged"),
        (csw, "accept", "accepted"),
        (csw, "schedule", "scheduled"),
        (csw, "attended", "active"),
        (csw, "complete", "completed"),
        (prison, "close", "closed"),
    ]:
        assert (await do(station, thread, event)).state == state
        await settle(prison, csw)
        assert await agreed(thread, prison, csw) == state
    assert (await row(prison, thread)).live is False
    assert (await row(csw, thread)).side == "recipient"
    assert await prison.quarantined() == await csw.quarantined() == []


async def test_lif_4_two_moves_at_once_converge_and_the_loser_is_told_by_a_signed_conflict(world: World) -> None:
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw)).thread
    await settle(prison, csw)
    await do(csw, thread, "acknowledge")
    await settle(prison, csw)
    await do(prison, thread, "withdraw")
    await do(csw, thread, "decline")
    await prison.seal_and_send()
    await csw.seal_and_send()
    await settle(prison, csw)
    assert await agreed(thread, prison, csw) == "cancel-requested"
    found = await history(csw, thread)
    assert [(step.move.event, step.refused) for step in found.conflicts] == [("decline", "illegal-transition")]
    async with csw.parts.store.read() as tx:
        from sqlalchemy import select

        from connectors.store.tables import incoming

        told = (
            await tx.connection.execute(
                select(incoming.c.message_id).where(incoming.c.payload_type == "thread.conflict")
            )
        ).all()
    assert len(told) == 1


async def test_lif_2_a_step_that_the_table_refuses_changes_nothing_and_sends_nothing(world: World) -> None:
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw)).thread
    await settle(prison, csw)
    before = await row(prison, thread), await history(prison, thread)
    for event in ("accept", "close", "confirm-cancel"):
        with pytest.raises(IllegalTransition, match="delivered"):
            await do(prison, thread, event)
    with pytest.raises(InvalidInput):
        await do(prison, thread, "withdraw", reason="because I say so")
    with pytest.raises(InvalidInput):
        await do(prison, thread, "no-such-step")
    assert (await row(prison, thread), await history(prison, thread)) == before
    assert await prison.seal_and_send() == 0


async def test_http_4_a_thread_that_is_not_ours_is_not_there(world: World) -> None:
    thread = (await refer(world.prison, world.social_work)).thread
    await settle(world.prison, world.social_work)
    for unknown in (thread, ThreadId(bytes(16))):
        with pytest.raises(NotFound):
            await do(world.probation, unknown, "accept")


async def test_two_officers_at_once_one_wins_and_the_other_sees_that_it_has_changed(world: World) -> None:
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw)).thread
    await settle(prison, csw)
    seen = (await row(csw, thread)).version
    first = Step(event="acknowledge", fields=FIELDS["acknowledge"])
    await csw.parts.moving.move(thread, first, key="one-officer-at-work", body=b"1", version=seen)
    with pytest.raises(PreconditionFailed):
        await csw.parts.moving.move(thread, first, key="another-officer-too", body=b"2", version=seen)


async def test_a_step_asked_for_twice_under_one_key_is_one_step(world: World) -> None:
    prison, csw = world.prison, world.social_work
    step = Step(event="send", fields=REQUEST, sections=(WORDS,))
    moving = prison.parts.moving
    first = await moving.begin("referral", csw.desk, step, key="the-same-key-twice", body=b"x")
    again = await moving.begin("referral", csw.desk, step, key="the-same-key-twice", body=b"x")
    assert (again.thread, again.message_id, again.replayed) == (first.thread, first.message_id, True)
    with pytest.raises(IdempotencyKeyReused):
        await moving.begin("referral", csw.desk, step, key="the-same-key-twice", body=b"y")


async def test_lif_4_the_row_of_a_thread_can_be_made_anew_from_its_moves(world: World) -> None:
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw)).thread
    await settle(prison, csw)
    await do(csw, thread, "acknowledge")
    await settle(prison, csw)
    for station in (prison, csw):
        before = await row(station, thread)
        async with station.parts.store.write() as tx:
            await station.parts.threads.refold(tx, before)
        assert await row(station, thread) == before
