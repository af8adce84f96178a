# SPDX-License-Identifier: Apache-2.0
"""A disk damages single rows: they are shown as damaged, the doctor names them, and the rest goes on (CON-8)."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, update

from connectors.cases.clockwork import AGAIN
from connectors.doctor.files import examine_keys
from connectors.doctor.standing import examine_standing
from connectors.store import recipients, tables, threadtables
from connectors.store.recipients import RecipientState
from connectors.timing import FREE_SEALS
from connectors.tokens import OWNER, Holder
from protocol.diagnosis import Condition, exit_code
from protocol.errors import KeystoreError
from protocol.http.call import Call
from protocol.http.cases import CaseFilter
from protocol.http.handovers import HandoverFilter, MessageState
from protocol.http.messages import SEND_MESSAGE, MessageRequest
from protocol.http.operation import Scope
from protocol.http.threads import ListName, Machine, ThreadFilter
from protocol.ids import Kind, MessageId, ThreadId, text
from protocol.kinds.catalogue import KINDS
from protocol.limits import HOUR
from protocol.statements import Agency
from tests.connectors.cases.test_referral import OFFICER, do, history, refer, row, settle
from tests.connectors.conftest import World
from tests.connectors.hand import only_recipient
from tests.connectors.stations import PASSPHRASE, Station, api_of, package, person_section
from tests.connectors.test_resealing import pass_time
from tests.hub.running import RunningHub

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")

SEALED_THERE = ("subject", "priority", "begins", "answers", "own_desk", "peer_desk", "side")


async def spoil(station: Station, table: Table, message_id: MessageId, column: str = "sealed") -> None:
    """Write other bytes over a stored value, as a failing disk does."""
    async with station.parts.store.write() as tx:
        statement = update(table).where(table.c.message_id == message_id).values({column: bytes(60)})
        await tx.connection.execute(statement)


async def listed(station: Station) -> dict[MessageId, MessageState]:
    page = await station.parts.handovers.list(HandoverFilter())
    return {item.id: item.state for item in page.items}


async def doctor(station: Station, hub: RunningHub) -> dict[str, str]:
    """Return what the doctor finds wrong with the store."""
    found = await examine_standing(station.settings, station.installation, hub.clock)
    return {one.check: one.found for one in found if one.condition is Condition.FAULT}


async def told(station: Station, hub: RunningHub) -> tuple[str, int]:
    """Return what the doctor says of stored messages, and its exit code."""
    found = await examine_standing(station.settings, station.installation, hub.clock)
    return next(one.found for one in found if one.check == "messages"), exit_code(found)


async def test_con_8_a_damaged_message_is_listed_as_damaged_and_the_others_as_they_are(
    world: World, hub: RunningHub
) -> None:
    whole, spoilt = [await world.prison.send(world.probation.desk) for _ in range(2)]
    await world.probation.turn()
    await spoil(world.probation, tables.incoming, spoilt)
    await spoil(world.prison, tables.outgoing, spoilt)
    assert await listed(world.probation) == {whole: MessageState.RECEIVED, spoilt: MessageState.DAMAGED}
    assert await listed(world.prison) == {whole: MessageState.ACCEPTED, spoilt: MessageState.DAMAGED}
    (item,) = (await world.prison.parts.handovers.list(HandoverFilter(id=spoilt))).items
    assert (item.sender, item.recipients) == (world.prison.desk, [world.probation.desk])
    with pytest.raises(KeystoreError):
        await world.probation.view(spoilt)
    for station in (world.prison, world.probation):
        message, code = await told(station, hub)
        assert text(Kind.MESSAGE, spoilt) in message
        assert text(Kind.MESSAGE, whole) not in message
        assert code == 1


async def test_con_8_a_damaged_plan_is_marked_and_made_anew_at_the_next_sealing(world: World, hub: RunningHub) -> None:
    sent = await world.prison.send(world.probation.desk)
    await spoil(world.prison, tables.recipient, sent)
    assert await listed(world.prison) == {sent: MessageState.ACCEPTED}
    assert (await only_recipient(world.prison, sent)).marks == ["damaged"]
    assert text(Kind.MESSAGE, sent) in (await told(world.prison, hub))[0]
    await world.probation.turn()
    await world.prison.turn()
    assert await listed(world.prison) == {sent: MessageState.OPENED}


async def test_con_8_a_damaged_sealing_is_made_anew_and_holds_up_no_other(world: World) -> None:
    first, second = [(await world.prison.compose(world.probation.desk)).id for _ in range(2)]
    await world.prison.parts.sealer.step()
    await spoil(world.prison, tables.attempt, first, "sealed_bytes")
    await world.prison.seal_and_send()
    await world.probation.turn()
    await world.prison.turn()
    assert await listed(world.prison) == dict.fromkeys((first, second), MessageState.OPENED)
    assert [(await only_recipient(world.prison, one)).attempts for one in (first, second)] == [2, 1]


async def test_con_8_a_damaged_move_holds_up_no_other_message_that_the_hub_accepted(world: World) -> None:
    spoilt, whole = [(await world.prison.compose(world.probation.desk)).id for _ in range(2)]
    await spoil(world.prison, threadtables.move, spoilt)
    await world.prison.seal_and_send()
    assert await listed(world.prison) == dict.fromkeys((spoilt, whole), MessageState.ACCEPTED)
    assert await world.prison.parts.outbox.next_due() is None, "and the same bytes do not go out again"


async def test_con_8_a_message_that_was_damaged_before_it_was_sealed_fails_alone(world: World) -> None:
    spoilt, whole = [(await world.prison.compose(world.probation.desk)).id for _ in range(2)]
    await spoil(world.prison, tables.outgoing, spoilt)
    await world.prison.seal_and_send()
    assert await listed(world.prison) == {spoilt: MessageState.DAMAGED, whole: MessageState.ACCEPTED}


async def test_http_10_a_message_that_comes_again_over_a_damaged_one_does_not_block_the_mailbox(world: World) -> None:
    sent = await world.prison.send(world.probation.desk)
    await world.probation.collect()
    await spoil(world.probation, tables.incoming, sent)
    async with world.prison.parts.store.write() as tx:
        await tx.connection.execute(update(tables.recipient).values(state="queued"))
    await world.prison.seal_and_send()
    after = await world.prison.send(world.probation.desk)
    await world.probation.collect()
    assert await world.probation.quarantined() == ["cannot-open"]
    assert (await listed(world.probation))[after] is MessageState.RECEIVED


async def test_con_8_a_message_in_a_thread_that_the_disk_has_damaged_holds_up_no_other_mail(world: World) -> None:
    prison, csw = world.prison, world.social_work
    referred = await refer(prison, csw)
    await settle(prison, csw)
    await spoil(csw, threadtables.move, referred.message_id)
    withdrawn = await do(prison, referred.thread, "withdraw")
    await prison.seal_and_send()
    other = await world.probation.send(csw.desk)
    await csw.turn()
    assert await csw.quarantined() == ["cannot-open"]
    assert (await listed(csw))[other] is MessageState.RECEIVED
    for _ in range(FREE_SEALS + 1):
        await prison.turn()
        await csw.turn()
    async with prison.parts.store.read() as tx:
        (told_of,) = await recipients.of(tx, withdrawn.message_id)
    assert (told_of.state, told_of.error) == (RecipientState.QUEUED, "cannot-open"), "and its sender is told"


async def test_con_8_a_notice_of_a_message_that_the_disk_has_damaged_holds_up_no_other_mail(world: World) -> None:
    sent = await world.prison.send(world.probation.desk)
    await pass_time(world, 31, world.prison, world.social_work)
    await spoil(world.prison, tables.outgoing, sent)
    other = await refer(world.social_work, world.prison)
    await world.social_work.seal_and_send()
    await world.prison.collect()
    assert await world.prison.quarantined() == ["cannot-open"]
    assert (await row(world.prison, other.thread)).begun_by == other.message_id


async def test_the_doctor_says_so_where_every_message_can_be_read(world: World, hub: RunningHub) -> None:
    await world.prison.send(world.probation.desk)
    await world.probation.turn()
    for station in (world.prison, world.probation):
        assert (await told(station, hub))[0] == "Every stored message can be read."


async def spoil_thread(station: Station, table: Table, thread: ThreadId) -> None:
    async with station.parts.store.write() as tx:
        await tx.connection.execute(update(table).where(table.c.thread == thread).values(sealed=bytes(60)))


@pytest.mark.parametrize("table", [threadtables.thread, threadtables.move], ids=str)
async def test_con_8_a_damaged_thread_stops_its_own_clock_and_no_other(
    world: World, hub: RunningHub, table: Table
) -> None:
    prison, csw, clockwork = world.prison, world.social_work, world.prison.parts.clockwork
    begun = [(await refer(prison, csw, priority="emergency")).thread for _ in range(3)]
    await spoil_thread(prison, table, begun[0])
    hub.clock.advance(HOUR)
    if table is threadtables.thread:
        assert await clockwork.step() == 6, "what is sealed there stands in its first message too"
        assert await doctor(prison, hub) == {}
        return
    assert await clockwork.step() == 4, "two escalations in each of the others"
    assert await clockwork.step() == 0
    assert text(Kind.THREAD, begun[0]) in (await doctor(prison, hub))["clocks"]
    due = await clockwork.next_due()
    assert due is not None
    assert due > hub.clock(), "and the loop may rest"
    hub.clock.advance(AGAIN)
    assert await clockwork.step() == 0


async def test_con_8_a_move_that_the_certificate_does_not_allow_stops_no_clock_for_good(
    world: World, hub: RunningHub
) -> None:
    prison, programme = world.prison, hub.programme
    member, desks = prison.member, tuple(prison.member.functions.items())
    thread = (await refer(prison, world.social_work, priority="emergency")).thread
    types = (*KINDS, "receipt.opened", "receipt.cannot-open")
    hub.clock.advance(HOUR)
    programme.now = hub.clock()
    made = 0
    for allowed in (tuple(one for one in types if one != "referral.escalate"), types):
        agency = Agency(member.address, member.kind, member.identity.public, desks, allowed, "DEMO prison")
        programme.state(agency, programme.approvers[:2])
        await hub.catch_up()
        await prison.look()
        made = await prison.parts.clockwork.step()
        clocks = (await doctor(prison, hub)).get("clocks", "")
        assert (made, f"{text(Kind.THREAD, thread)} (policy-denied)" in clocks) == ((2, False) if made else (0, True))
        hub.clock.advance(AGAIN)
    assert made == 2


@pytest.mark.parametrize("table", [threadtables.thread, threadtables.move], ids=str)
async def test_con_8_a_damaged_thread_is_listed_as_damaged_and_hides_no_other(
    world: World, hub: RunningHub, table: Table
) -> None:
    prison, csw = world.prison, world.social_work
    numbers = {"sender": "G-1"}
    begun = [(await refer(prison, csw, register_numbers=numbers)).thread]
    await spoil_thread(prison, table, begun[0])
    begun.append((await refer(prison, csw, register_numbers=numbers)).thread)
    listing, casebook = prison.parts.thread_api._listing, prison.parts.thread_api._casebook
    page = await listing.list(ThreadFilter(machine=Machine.REFERRAL, list=ListName.ALL))
    spoilt = {item.thread for item in page.items if item.damaged}
    assert {item.thread for item in page.items} == set(begun)
    assert spoilt == ({begun[0]} if table is threadtables.thread else set())
    (case,) = {item.id for item in (await casebook.list(CaseFilter())).items}
    shown = await casebook.show(case)
    assert {one.thread: one.damaged for one in shown.threads} == {begun[0]: True, begun[1]: False}
    assert text(Kind.THREAD, begun[0]) in (await doctor(prison, hub))["stored rows"]


async def test_con_8_a_damaged_thread_is_made_anew_from_its_messages_when_it_is_to_move(
    world: World, hub: RunningHub
) -> None:
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw)).thread
    await settle(prison, csw)
    before = [await row(one, thread) for one in (prison, csw)]
    for one in (prison, csw):
        await spoil_thread(one, threadtables.thread, thread)
    await do(csw, thread, "acknowledge")
    await settle(csw, prison)
    for one, was in zip((prison, csw), before, strict=True):
        now = await row(one, thread)
        assert now.state == "acknowledged"
        assert [getattr(now, name) for name in SEALED_THERE] == [getattr(was, name) for name in SEALED_THERE]
        assert await doctor(one, hub) == {}
        assert await one.quarantined() == []


async def test_con_8_what_is_made_anew_of_a_thread_is_what_was_there_on_every_side(world: World) -> None:
    """A referral, and a handover with a copy, at who began it, who answers, and who only looks on."""
    prison, csw, probation = world.prison, world.social_work, world.probation
    referred = (await refer(prison, csw)).thread
    offered = (await prison.compose(probation.desk, csw.desk, content=package(person_section()))).thread
    await settle(prison, csw, probation)
    for one, thread in ((prison, referred), (csw, referred), (prison, offered), (probation, offered), (csw, offered)):
        before = await row(one, thread)
        await spoil_thread(one, threadtables.thread, thread)
        async with one.parts.store.write() as tx:
            assert await one.parts.threads.mending.find(tx, thread) == before
        assert await row(one, thread) == before, "and stored"


async def test_con_8_a_person_who_moves_on_does_so_in_all_threads_that_can_be_read(world: World) -> None:
    prison, csw = world.prison, world.social_work
    numbers = {"sender": "G-1"}
    begun = [(await refer(prison, csw, register_numbers=numbers, duplicates="sent-anyway")).thread for _ in range(3)]
    await spoil_thread(prison, threadtables.move, begun[0])
    await spoil_thread(prison, threadtables.thread, begun[1])
    fields: dict[str, Any] = {
        "from_agency": "gora-prison@hub.example",
        "to_agency": "gora-prison@hub.example",
        "moved_on": "2027-01-15",
        "officer": OFFICER,
        "register_numbers": numbers,
    }
    told = MessageRequest(kind="custody.transferred", to=[csw.desk], fields=fields)
    call: Call[str] = Call(
        operation=SEND_MESSAGE,
        request_id="req",
        idempotency_key="an invented key 1",
        authenticated=Holder(OWNER, frozenset(Scope)),
        body_model=told,
    )
    await api_of(prison).by_operation()["sendMessage"](call)
    assert [await moved_on(prison, thread) for thread in begun[1:]] == [True, True]


async def moved_on(station: Station, thread: ThreadId) -> bool:
    return "custody-moved" in {step.move.event for step in (await history(station, thread)).done}


async def test_con_8_what_a_thread_says_of_its_case_is_made_anew_with_its_next_message(
    world: World, hub: RunningHub
) -> None:
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw, register_numbers={"sender": "G-1"})).thread
    await settle(prison, csw)
    casebook = prison.parts.thread_api._casebook
    before = (await casebook.list(CaseFilter())).items
    await spoil_thread(prison, threadtables.case_thread, thread)
    (bare,) = (await casebook.list(CaseFilter())).items
    assert (bare.id, bare.register_numbers) == (before[0].id, [])
    assert text(Kind.THREAD, thread) in (await doctor(prison, hub))["stored rows"]
    await do(csw, thread, "acknowledge")
    await settle(csw, prison)
    (after,) = (await casebook.list(CaseFilter())).items
    assert (after.id, after.register_numbers) == (before[0].id, ["G-1"])
    assert "stored rows" not in await doctor(prison, hub)


def spoil_key(station: Station, name: str) -> None:
    """Write other bytes over a key's file, as a bad sector does."""
    (path,) = (station.folder / "keystore").glob(f"{name}.*")
    path.write_bytes(bytes(100))


async def test_http_10_a_damaged_prekey_holds_up_only_what_was_sealed_to_it_and_another_is_made(
    world: World, hub: RunningHub
) -> None:
    prison, probation = world.prison, world.probation
    hub.programme.now = hub.clock()
    hub.programme.add_prekey(probation.member, epoch=2)
    await hub.catch_up()
    first = await prison.send(probation.desk)
    secret = hub.programme.members["reka-probation"].prekeys[probation.member.device_id, 2]
    probation.installation.keystore.put("prekey-2", "prekey", secret.seed)
    await prison.look()
    second = await prison.send(probation.desk)
    spoil_key(probation, "prekey-1")
    await probation.turn()
    assert await listed(probation) == {second: MessageState.RECEIVED}
    assert await probation.quarantined() == ["cannot-open"]
    await prison.turn()
    await probation.turn()
    assert await listed(probation) == {first: MessageState.RECEIVED, second: MessageState.RECEIVED}
    spoil_key(probation, "prekey-2")
    await probation.look()
    newest = probation.parts.directory.directory.newest_prekey(probation.member.device_id)
    assert newest is not None
    assert newest.epoch == 3, "nobody else can know that the seed of the newest is lost"


async def test_the_doctor_names_each_key_that_does_not_open(world: World, tmp_path: Path) -> None:
    station = world.probation
    (station.folder / "passphrase").write_bytes(PASSPHRASE)
    (station.folder / "passphrase").chmod(0o600)
    assert examine_keys(station.settings)[0].condition is Condition.OK
    spoil_key(station, "prekey-1")
    finding, opened = examine_keys(station.settings)
    assert (finding.condition, "prekey-1" in finding.found) == (Condition.FAULT, True)
    assert opened is not None, "and all the rest is looked at"
