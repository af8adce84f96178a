# SPDX-License-Identifier: Apache-2.0
"""A message that nobody notes or answers in time: both sides hear of it, once, until somebody does (KIND-7)."""

import secrets
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import func, select, update

from connectors.calendars import Calendars
from connectors.cases.composing import Said
from connectors.store import events, outgoing, tables
from connectors.store.recipients import Plan
from protocol import ids
from protocol.address import AgencyAddress, DeskAddress
from protocol.clocks import Ack
from protocol.errors import Conflict, NotFound
from protocol.handover import Priority
from protocol.http.cases import CaseFilter
from protocol.http.messages import MessageFilter, MessageRequest
from protocol.ids import Kind, MessageId
from protocol.kinds.awaiting import times
from protocol.kinds.catalogue import KINDS
from protocol.limits import DAY, HOUR
from tests.connectors.cases.test_held import RISK, behind_a_gap
from tests.connectors.cases.test_referral import OFFICER, settle
from tests.connectors.cases.test_thread_api import Served, csw, prison, serve
from tests.connectors.conftest import World
from tests.connectors.stations import Station
from tests.connectors.test_attachment_desks import two_desks

__all__ = ["csw", "prison"]

DANGER: dict[str, Any] = {"harm": "self-harm", "child": False, "ground": "vital-interest"}
GORA = AgencyAddress("gora-prison@hub.example")
POLJE = "polje-csw@hub.example"
A2, A3 = Ack.A2, Ack.A3
UNANSWERED = "message.unanswered"


async def hear(*stations: Station) -> None:
    """Look until there is nothing more to look at now, as the connector's own loop does."""
    for station in stations:
        while await station.parts.hearing.step():
            pass


async def told(station: Station) -> int:
    async with station.parts.store.read() as tx:
        return [one.type for one in await events.page(tx, after=None, limit=200)].count(UNANSWERED)


async def heard_of(*stations: Station) -> list[int]:
    await hear(*stations)
    return [await told(station) for station in stations]


async def alert(world: World, prison: Served, to: list[Served], kind: str = "alert.risk", **fields: Any) -> MessageId:
    """Send an alert that is to be answered in a day, and let it arrive."""
    usual: dict[str, Any] = {
        "alert.risk": {"imminence": "now", "answer_by": world.hub.clock() + DAY},
        "alert.safeguarding": DANGER,
    }.get(kind, {})
    request = MessageRequest(kind=kind, to=[one.station.desk for one in to], fields={**usual, **fields})
    sent = await prison.client.send_message(request, idempotency_key=secrets.token_hex(12))
    await settle(prison.station, *(one.station for one in to))
    await hear(prison.station, *(one.station for one in to))
    return sent.id


async def say_to(csw: Served, prison: Served, message_id: MessageId, what: str) -> None:
    fields: dict[str, Any] = {"answers": ids.text(Kind.MESSAGE, message_id), "officer": OFFICER, "answer": what}
    request = MessageRequest(kind="message.answer", to=[prison.station.desk], fields=fields)
    await csw.client.send_message(request, idempotency_key=secrets.token_hex(12))
    await settle(csw.station, prison.station)


async def counted(station: Station) -> dict[str, float]:
    """Return how many messages are late as the connector's metrics say it, by who has to."""
    families = text_string_to_metric_families((await station.parts.metrics.text()).decode())
    (late,) = [one for one in families if one.name == "throughcare_messages_unanswered"]
    return {sample.labels["by"]: sample.value for sample in late.samples}


async def overdue(served: Served, message_id: MessageId) -> list[tuple[str, str]]:
    """Return what is late, which one message and the list say alike."""
    found = (await served.client.message(message_id)).item.overdue
    items = (await served.client.messages(MessageFilter())).items
    listed = [late for one in items if one.id == message_id for late in one.overdue]
    assert sorted(listed, key=lambda late: (late.since, late.desk)) == found
    return [(one.desk, one.ack) for one in found]


async def due_in_case(*sides: Served) -> list[list[tuple[str, str, bool]]]:
    """Return what is due in the one case of each side."""
    found: list[list[tuple[str, str, bool]]] = []
    for served in sides:
        (case,) = (await served.client.cases(CaseFilter())).items
        found.append([(one.what, one.by, one.late) for one in (await served.client.case(case.id)).due])
    return found


async def test_kind_7_an_alert_that_nobody_takes_up_is_told_on_both_sides_once_and_shown_until_it_is_answered(
    world: World, prison: Served, csw: Served
) -> None:
    sides, desk = (prison.station, csw.station), csw.station.desk
    message = await alert(world, prison, [csw])
    world.hub.clock.advance(2 * HOUR - 1000)
    assert await heard_of(*sides) == [0, 0]
    assert await overdue(prison, message) == await overdue(csw, message) == []
    world.hub.clock.advance(HOUR)
    assert await heard_of(*sides) == await heard_of(*sides) == [1, 1]
    assert await overdue(prison, message) == await overdue(csw, message) == [(desk, "acknowledged")]
    assert [await counted(one) for one in sides] == [{"others": 1, "us": 0}, {"others": 0, "us": 1}]
    await say_to(csw, prison, message, "noted")
    assert await heard_of(*sides) == [1, 1]
    assert await overdue(prison, message) == await overdue(csw, message) == []
    world.hub.clock.advance(DAY)
    assert await heard_of(*sides) == [2, 2], "taken up, and still not answered"
    assert await overdue(prison, message) == await overdue(csw, message) == [(desk, "answered")]
    await say_to(csw, prison, message, "agreed")
    assert await overdue(prison, message) == await overdue(csw, message) == []
    assert await heard_of(*sides) == [2, 2]
    for one in sides:
        assert set((await counted(one)).values()) == {0}
        assert await one.parts.hearing.next_due() is None, "nobody waits for anything any more"


async def test_kind_7_the_word_of_one_desk_of_ours_is_not_that_of_another(
    world: World, prison: Served, csw: Served, tmp_path: Path
) -> None:
    async with two_desks(tmp_path / "two", world) as both, asynccontextmanager(serve)(both, world) as velika:
        intake, supervision = (
            DeskAddress(f"{name}.{both.desk.partition('.')[2]}") for name in ("intake", "supervision")
        )
        request = MessageRequest(
            kind="alert.risk",
            to=[intake, supervision],
            fields={"imminence": "now", "answer_by": world.hub.clock() + DAY},
        )
        message = (await prison.client.send_message(request, idempotency_key=secrets.token_hex(12))).id
        await settle(prison.station, both)
        fields: dict[str, Any] = {"answers": ids.text(Kind.MESSAGE, message), "officer": OFFICER, "answer": "noted"}
        noted = MessageRequest(kind="message.answer", to=[prison.station.desk], fields=fields)
        with pytest.raises(Conflict, match="--desk"):
            await velika.client.send_message(noted, idempotency_key=secrets.token_hex(12))
        # A stranger's word, and one that says whose it is but is of a desk to which nothing came, change nothing.
        with pytest.raises(NotFound):
            await csw.client.send_message(noted, idempotency_key=secrets.token_hex(12))
        by_intake = noted.model_copy(update={"sender": intake})
        await velika.client.send_message(by_intake, idempotency_key=secrets.token_hex(12))
        await settle(prison.station, both)
        world.hub.clock.advance(3 * HOUR)
        assert await heard_of(prison.station, both) == [1, 1]
        assert await overdue(prison, message) == await overdue(velika, message) == [(supervision, "acknowledged")]
        agreed = noted.model_copy(update={"sender": intake, "fields": {**fields, "answer": "agreed"}})
        await velika.client.send_message(agreed, idempotency_key=secrets.token_hex(12))
        await settle(prison.station, both)
        by = both.member.address
        assert await due_in_case(prison, velika) == [[("note", by, True), ("answer", by, False)]] * 2
        by_supervision = noted.model_copy(update={"sender": supervision})
        await velika.client.send_message(by_supervision, idempotency_key=secrets.token_hex(12))
        await settle(prison.station, both)
        assert await overdue(prison, message) == await overdue(velika, message) == []
        world.hub.clock.advance(DAY)
        assert await heard_of(prison.station, both) == [2, 2]
        assert await overdue(prison, message) == await overdue(velika, message) == [(supervision, "answered")]


async def test_kind_7_what_was_answered_in_time_is_never_late(world: World, prison: Served, csw: Served) -> None:
    message = await alert(world, prison, [csw], "alert.safeguarding")
    for served in (prison, csw):
        (case,) = (await served.client.cases(CaseFilter())).items
        (due,) = (await served.client.case(case.id)).due
        assert (due.what, due.late) == ("note", False)
    await say_to(csw, prison, message, "noted")
    for served in (prison, csw):
        (case,) = (await served.client.cases(CaseFilter())).items
        assert (await served.client.case(case.id)).due == []
    world.hub.clock.advance(30 * DAY)
    assert await heard_of(prison.station, csw.station) == [0, 0]
    assert await overdue(prison, message) == await overdue(csw, message) == []


async def test_kind_7_an_outage_of_weeks_tells_it_once(world: World, prison: Served, csw: Served) -> None:
    """Both times of an alert have passed on the way; the other side has not even opened it."""
    fields: dict[str, Any] = {"imminence": "now", "answer_by": world.hub.clock() + DAY}
    request = MessageRequest(kind="alert.risk", to=[csw.station.desk], fields=fields)
    message = (await prison.client.send_message(request, idempotency_key=secrets.token_hex(12))).id
    await prison.station.seal_and_send()
    world.hub.clock.advance(20 * DAY)
    desk = csw.station.desk
    assert await heard_of(prison.station, csw.station) == [1, 0]
    assert await overdue(prison, message) == [(desk, "acknowledged"), (desk, "answered")]
    await csw.station.look()
    await prison.station.look()
    await settle(csw.station, prison.station)
    assert await heard_of(prison.station, csw.station) == [1, 1], "late at once where it comes so late"
    assert await overdue(csw, message) == [(desk, "acknowledged"), (desk, "answered")]


async def test_kind_7_each_desk_has_to_take_it_up_and_those_that_are_late_together_are_told_of_once(
    world: World, prison: Served, csw: Served
) -> None:
    probation = world.probation
    fields: dict[str, Any] = {"imminence": "now", "answer_by": world.hub.clock() + DAY}
    desks = [csw.station.desk, probation.desk]
    request = MessageRequest(kind="alert.risk", to=desks, fields=fields)
    message = (await prison.client.send_message(request, idempotency_key=secrets.token_hex(12))).id
    await settle(prison.station, csw.station, probation)
    await hear(prison.station)
    world.hub.clock.advance(3 * HOUR)
    assert await heard_of(prison.station) == [1]
    assert sorted(await overdue(prison, message)) == sorted((desk, "acknowledged") for desk in desks)
    await say_to(csw, prison, message, "agreed")
    assert await overdue(prison, message) == [(probation.desk, "acknowledged")]
    assert await heard_of(prison.station, csw.station, probation) == [1, 0, 1]
    world.hub.clock.advance(DAY)
    assert await heard_of(prison.station, csw.station, probation) == [2, 0, 2]


async def test_kind_7_a_held_alert_is_looked_at_too(world: World, prison: Served, csw: Served) -> None:
    await behind_a_gap(prison, csw, "alert.risk", RISK)
    assert await heard_of(csw.station) == [0]
    world.hub.clock.advance(3 * HOUR)
    assert await heard_of(csw.station) == [1]


async def test_kind_7_con_8_what_the_disk_has_damaged_is_late_all_the_same_and_hides_nothing_else(
    world: World, prison: Served, csw: Served
) -> None:
    for _ in range(2):
        await alert(world, prison, [csw])
    for station, table in ((prison.station, tables.outgoing), (csw.station, tables.incoming)):
        async with station.parts.store.write() as tx:
            first = select(func.min(table.c.position)).where(table.c.payload_type == "alert.risk").scalar_subquery()
            await tx.connection.execute(update(table).where(table.c.position == first).values(sealed=b"\0"))
    world.hub.clock.advance(3 * HOUR)
    assert await heard_of(prison.station, csw.station) == [2, 2]


async def test_kind_7_one_that_cannot_be_looked_at_is_tried_again_and_holds_up_no_other(
    world: World, prison: Served, csw: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        await alert(world, prison, [csw])
    world.hub.clock.advance(3 * HOUR)
    hearing, failed = prison.station.parts.hearing, list[int]()
    real = hearing._look

    async def look(*, ours: bool, position: int) -> None:
        if not failed or failed == [position]:
            failed[:] = [position]
            raise ArithmeticError
        await real(ours=ours, position=position)

    with monkeypatch.context() as patch:
        patch.setattr(hearing, "_look", look)
        assert await heard_of(prison.station) == [1]
    world.hub.clock.advance(HOUR)
    assert await heard_of(prison.station) == [2]


async def test_kind_7_an_answer_of_a_desk_that_it_did_not_go_to_ends_nothing(
    world: World, prison: Served, csw: Served
) -> None:
    message, probation = await alert(world, prison, [csw]), world.probation
    thread = (await prison.client.message(message)).item.thread
    composing = probation.parts.moving._composing
    fields = {"answers": ids.text(Kind.MESSAGE, message), "officer": OFFICER, "answer": "noted"}
    word = composing.message(
        KINDS["message.answer"], thread, probation.desk, ids.text(Kind.SUBJECT, ids.new_id()), Said(fields=fields)
    )
    async with probation.parts.store.write() as tx:
        await outgoing.add(tx, word, {prison.station.desk: Plan()})
    await settle(probation, prison.station)
    world.hub.clock.advance(3 * HOUR)
    assert await heard_of(prison.station) == [1]
    assert await overdue(prison, message) == [(csw.station.desk, "acknowledged")]


@pytest.mark.parametrize("named", [True, False], ids=["in its thread", "without a thread"])
async def test_kind_7_records_that_were_asked_for_are_the_answer(
    world: World, prison: Served, csw: Served, named: bool
) -> None:
    fields: dict[str, Any] = {
        "purpose": "supervision",
        "basis": "statute",
        "asked": ["identity"],
        "answer_by": "2027-01-20",
    }
    request = MessageRequest(kind="record.request", to=[csw.station.desk], fields=fields)
    message = (await prison.client.send_message(request, idempotency_key=secrets.token_hex(12))).id
    await settle(prison.station, csw.station)
    thread = (await prison.client.message(message)).item.thread
    share = MessageRequest(
        kind="record.share",
        to=[prison.station.desk],
        thread=thread if named else None,
        fields={"answers": ids.text(Kind.MESSAGE, message)},
    )
    answered = (await csw.client.send_message(share, idempotency_key=secrets.token_hex(12))).id
    assert (await csw.client.message(answered)).item.thread == thread, "an answer counts nowhere else"
    await settle(csw.station, prison.station)
    await hear(prison.station, csw.station)
    for station in (prison.station, csw.station):
        async with station.parts.store.read() as tx:
            waits = await tx.connection.exec_driver_sql("SELECT message_id FROM awaited")
        assert message not in {row[0] for row in waits}
    world.hub.clock.now = int(datetime(2027, 2, 1, tzinfo=UTC).timestamp() * 1000)
    left = [("note", prison.station.member.address, True)]
    assert await due_in_case(prison, csw) == [left] * 2, "only that whoever asked notes what came"


@pytest.mark.parametrize(
    ("kind", "priority", "spans"),
    [
        ("alert.risk", "normal", {A2: 2 * HOUR, A3: DAY}),
        ("alert.risk", "urgent", {A2: 2 * HOUR, A3: DAY}),
        ("alert.safeguarding", "normal", {A2: DAY}),
        ("alert.safeguarding", "emergency", {A2: 2 * HOUR}),
        ("release.notice", "hard-stop", {A2: HOUR}),
        ("override.invoked", "emergency", {A2: 2 * HOUR}),
        ("revocation.step", "normal", {A3: DAY}),
    ],
)
def test_kind_7_until_when_is_said_by_the_kind_and_an_alert_runs_as_an_emergency(
    kind: str, priority: str, spans: dict[Ack, int]
) -> None:
    since, calendar = 1_795_795_200_000, Calendars().of(GORA)
    said: dict[str, Any] = {"kind": kind, "priority": Priority(priority), "answer_by": since + DAY}
    payload = KINDS[kind].payload.model_construct(**said)
    found = times(kind, payload, since, calendar)
    assert {ack: at - since for ack, at in found.items()} == spans
    if kind == "alert.risk":
        earlier = payload.model_copy(update={"answer_by": since + HOUR})
        assert times(kind, earlier, since, calendar) == {A2: since + HOUR, A3: since + HOUR}
