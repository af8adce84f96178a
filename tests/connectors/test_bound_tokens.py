# SPDX-License-Identifier: Apache-2.0
"""A token that is bound to desks: what came for the others, and what they sent, does not exist for it (CON-19)."""

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from connectors.api_client import ApiClient
from connectors.bound import OPERATIONS, check
from connectors.cases.moving import Step
from connectors.dropfolder.files import Folders
from connectors.dropfolder.folder import drop_folder
from connectors.dropfolder.settings import DropSection
from connectors.logs import Log
from connectors.store import events
from connectors.store.tables import incoming
from protocol.address import DeskAddress
from protocol.clearance import DeskFunction
from protocol.errors import ConfigurationError, Forbidden, InvalidInput, NotFound
from protocol.http.cases import CaseFilter
from protocol.http.connector import CONNECTOR_OPERATIONS
from protocol.http.handovers import HandoverRequest
from protocol.http.messages import MessageFilter, MessageRequest
from protocol.http.operation import Scope
from protocol.http.threads import ReferralRequest, StepRequest, ThreadFilter
from protocol.http.tokens import TokenRequest
from protocol.ids import Kind, MessageId, ThreadId, text
from tests.connectors.cases.test_referral import FIELDS, REQUEST, WORDS, settle
from tests.connectors.cases.test_thread_api import Served, serve
from tests.connectors.conftest import World
from tests.connectors.stations import api_of, package, person_section
from tests.connectors.test_attachment_desks import copied, two_desks
from tests.connectors.test_tokens import showing

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")

NOTICE: dict[str, Any] = {"area": "invented-municipality", "week": "2027-W03"}
EVERY = (DeskFunction.PROBATION_INTAKE, DeskFunction.PROBATION_SUPERVISION, DeskFunction.PRISON_RELEASE)


@dataclass
class Came:
    """What came for one desk of the agency: a referral and a message."""

    referral: ThreadId
    message: MessageId


@dataclass
class Agency:
    """An agency with two desks, to each of which something came, and a copy of one handover to both."""

    served: Served
    bound: ApiClient
    """With a token for supervision only."""
    intake: DeskAddress
    supervision: DeskAddress
    came: dict[DeskAddress, Came]
    handover: MessageId


async def sent(world: World, desk: DeskAddress) -> Came:
    words = WORDS.model_copy(update={"functions": EVERY})
    step = Step(event="send", fields=REQUEST, sections=(words,))
    prison = world.prison.parts
    referred = await prison.moving.begin("referral", desk, step, key=secrets.token_hex(12), body=b"")
    request = MessageRequest(kind="contact.area-notice", to=[desk], fields=NOTICE)
    async with asynccontextmanager(serve)(world.prison, world) as one:
        told = await one.client.send_message(request, idempotency_key=secrets.token_hex(12))
    return Came(referred.thread, told.id)


async def token(served: Served, *desks: DeskAddress, scopes: tuple[Scope, ...] = (Scope.READ,)) -> str:
    request = TokenRequest(name="case system", scopes=list(scopes), desks=list(desks))
    return (await served.client.make_token(request, idempotency_key=secrets.token_hex(12))).secret


@asynccontextmanager
async def opened(world: World, tmp_path: Path) -> AsyncIterator[Agency]:
    async with two_desks(tmp_path / "two", world) as both:
        intake, supervision = both.installation.enrolment.desks
        handover = await copied(world, both)
        came = {desk: await sent(world, desk) for desk in (intake, supervision)}
        await settle(world.prison, both)
        async for served in serve(both, world):
            secret = await token(served, supervision, scopes=(Scope.READ, Scope.SEND, Scope.MOVE, Scope.WATCH))
            async with showing(served, secret) as bound:
                yield Agency(served, bound, intake, supervision, came, handover)


def own(request: MessageRequest, sender: DeskAddress) -> MessageRequest:
    return request.model_copy(update={"sender": sender})


@pytest.fixture
async def agency(world: World, tmp_path: Path) -> AsyncIterator[Agency]:
    async with opened(world, tmp_path) as one:
        yield one


async def test_con_19_han_10_what_each_desk_got_of_a_later_step_of_a_copy_is_shown_to_whoever_sees_that_desk(
    agency: Agency, world: World
) -> None:
    """The thread is of the desk whose copy came first; what came for the other one was shown to nobody."""
    served, thread = agency.served, (await agency.served.station.view(agency.handover)).thread
    meant = {
        agency.intake: ("for intake", DeskFunction.PROBATION_INTAKE),
        agency.supervision: ("for supervision", DeskFunction.PROBATION_SUPERVISION),
    }
    words = tuple(
        person_section(name).model_copy(update={"functions": (function,)}) for name, function in meant.values()
    )
    fields: dict[str, Any] = {"trigger": {"expected_on": "2027-03-01"}, "reason": "release-moved"}
    step = Step(event="change-date", fields=fields, sections=words)
    await world.prison.parts.moving.move(thread, step, key=secrets.token_hex(12), body=b"")
    await settle(world.prison, world.probation, served.station)

    async def shown(client: ApiClient) -> set[tuple[DeskAddress, str]]:
        (moved,) = [one for one in (await client.thread(thread)).steps if one.event == "change-date"]
        return {(desk, str(one.body["family_name"])) for one in moved.sections for desk in one.desks}

    everything = {(desk, name) for desk, (name, _) in meant.items()}
    assert await shown(served.client) == everything
    for desk in meant:
        async with showing(served, await token(served, desk)) as bound:
            assert await shown(bound) == {(of, name) for of, name in everything if of == desk}
    elsewhere = next(one for one in agency.came if one != agency.supervision)
    with pytest.raises(NotFound):
        await agency.bound.thread(agency.came[elsewhere].referral)


def test_con_19_every_operation_over_all_desks_is_refused_to_it() -> None:
    desks = frozenset({DeskAddress("supervision.velika-probation@hub.example")})
    known = {one.id for one in CONNECTOR_OPERATIONS}
    assert known >= OPERATIONS
    for operation in known:
        check(None, operation)
        if operation not in OPERATIONS:
            with pytest.raises(Forbidden, match="bound to desks"):
                check(desks, operation)


def test_con_19_what_begins_to_know_desks_is_looked_at_here() -> None:
    """Whatever shows or moves something about a person and is not refused has a test below."""
    about = {one.id for one in CONNECTOR_OPERATIONS if one.scope not in (Scope.WATCH, None)}
    assert about & OPERATIONS == {
        "sendHandover",
        "listHandovers",
        "getHandover",
        "storeAttachment",
        "readAttachment",
        "sendReferral",
        "listThreads",
        "getThread",
        "makeStep",
        "sendMessage",
        "listMessages",
        "getMessage",
        "listEvents",
    }


async def test_con_19_it_reads_what_came_for_its_desks_and_nothing_else_exists(agency: Agency, world: World) -> None:
    bound, mine, theirs = agency.bound, agency.came[agency.supervision], agency.came[agency.intake]
    assert [one.recipients for one in (await bound.handovers()).items] == [[agency.supervision]]
    view = await bound.handover(agency.handover)
    assert [one.desks for one in view.sections] == [[agency.supervision]]
    assert "intake" not in view.model_dump_json().replace(world.probation.desk, "")
    # Of two that came the one is meant that there is for it.
    pieces = [piece async for piece in bound.attachment(agency.handover, 1, 0)]
    assert b"".join(pieces) == b"the scan"
    with pytest.raises(NotFound):
        await anext(bound.attachment(agency.handover, 1, 0, recipient=agency.intake))
    assert [one.id for one in (await bound.messages(MessageFilter())).items] == [mine.message]
    assert (await bound.message(mine.message)).item.recipients == [agency.supervision]
    with pytest.raises(NotFound):
        await bound.message(theirs.message)
    assert [one.thread for one in (await bound.threads(ThreadFilter())).items] == [mine.referral]
    shown = await bound.thread(mine.referral)
    assert (shown.case, shown.item.own_desk) == (None, agency.supervision)
    with pytest.raises(NotFound):
        await bound.thread(theirs.referral)
    # Whoever looks after the connector sees all of it.
    assert len((await agency.served.client.threads(ThreadFilter())).items) == 2
    assert len((await agency.served.client.messages(MessageFilter())).items) == 2


async def test_con_19_events_tell_it_of_its_desks_only(agency: Agency) -> None:
    mine, theirs = agency.came[agency.supervision], agency.came[agency.intake]
    every = (await agency.served.client.events()).items
    told = (await agency.bound.events()).items
    assert {one.data.thread for one in every} > {one.data.thread for one in told} >= {mine.referral}
    assert theirs.referral not in {one.data.thread for one in told}
    assert theirs.message not in {one.data.message for one in told}
    assert mine.message in {one.data.message for one in told}
    first, *rest = told
    assert (await agency.bound.events(after=first.id)).items == rest
    hidden = next(one for one in every if one not in told)
    with pytest.raises(InvalidInput):
        await agency.bound.events(after=hidden.id)


async def test_con_19_evt_3_it_goes_on_reading_events_where_what_it_read_last_is_gone(agency: Agency) -> None:
    """A message that was told of while it waited may be refused later: its event stays, and is of no desk then."""
    told = (await agency.bound.events()).items
    last = next(one for one in reversed(told) if one.data.message is not None)
    async with agency.served.station.parts.store.write() as tx:
        await tx.connection.execute(delete(incoming).where(incoming.c.message_id == last.data.message))
    rest = (await agency.bound.events(after=last.id)).items
    assert rest == told[told.index(last) + 1 :]


async def test_con_19_one_key_of_two_desks_is_two_requests(agency: Agency, world: World) -> None:
    """Two programs of one maker, one for each desk, name their requests alike: each is done for itself."""
    key, request = "k" * 24, MessageRequest(kind="contact.area-notice", to=[world.prison.desk], fields=NOTICE)
    scopes = (Scope.READ, Scope.SEND)
    tokens = [await token(agency.served, desk, scopes=scopes) for desk in (agency.intake, agency.supervision)]
    # A new token of the same desk still does nothing twice.
    tokens.append(await token(agency.served, agency.supervision, scopes=scopes))
    sent = []
    for secret in tokens:
        async with showing(agency.served, secret) as bound:
            sent.append((await bound.send_message(request, idempotency_key=key)).id)
    sent.append((await agency.served.client.send_message(own(request, agency.intake), idempotency_key=key)).id)
    assert sent[1] == sent[2]
    assert len(set(sent)) == 3
    items = [(await agency.served.client.message(one)).item for one in sent]
    assert [one.sender for one in items] == [agency.intake, *[agency.supervision] * 2, agency.intake]


async def test_con_19_it_sends_and_moves_for_its_desks_only(agency: Agency, world: World) -> None:
    bound, mine, theirs = agency.bound, agency.came[agency.supervision], agency.came[agency.intake]
    with pytest.raises(NotFound):
        await bound.step(theirs.referral, StepRequest(event="acknowledge"), version=1, idempotency_key="k" * 16)
    version = (await bound.thread(mine.referral)).item.version
    acknowledge = StepRequest(event="acknowledge", fields=FIELDS["acknowledge"])
    await bound.step(mine.referral, acknowledge, version=version, idempotency_key="k" * 17)
    words = [WORDS.model_copy(update={"functions": EVERY})]

    def key() -> str:
        return secrets.token_hex(12)

    async def say(sender: DeskAddress | None = None, thread: ThreadId | None = None) -> MessageId:
        request = MessageRequest(kind="contact.area-notice", to=[world.prison.desk], fields=NOTICE)
        request = request.model_copy(update={"sender": sender, "thread": thread})
        return (await bound.send_message(request, idempotency_key=key())).id

    with pytest.raises(InvalidInput):
        await say(agency.intake)
    with pytest.raises(InvalidInput):
        await say(agency.intake, mine.referral)
    with pytest.raises(NotFound):
        await say(thread=theirs.referral)
    assert (await bound.message(await say())).item.sender == agency.supervision
    referral = ReferralRequest(to=world.prison.desk, fields=REQUEST, sections=words)
    with pytest.raises(InvalidInput):
        await bound.refer(referral.model_copy(update={"sender": agency.intake}), idempotency_key=key())
    made = await bound.refer(referral, idempotency_key=key())
    assert (await bound.thread(made.thread)).item.own_desk == agency.supervision
    section = person_section().model_copy(update={"functions": EVERY})
    handover = HandoverRequest(to=[world.prison.desk], package=package(section))
    with pytest.raises(InvalidInput):
        await bound.send(handover.model_copy(update={"sender": agency.intake}), idempotency_key=key())
    queued = await bound.send(handover, idempotency_key=key())
    assert {one.id for one in (await bound.handovers()).items} == {queued.id, agency.handover}


async def test_con_19_an_answer_is_that_of_its_desk_and_what_moves_a_case_is_refused(
    agency: Agency, world: World
) -> None:
    bound, mine, theirs = agency.bound, agency.came[agency.supervision], agency.came[agency.intake]

    async def answer(message: MessageId) -> MessageId:
        fields: dict[str, Any] = {"officer": "off_" + "a" * 26, "answer": "noted"}
        fields["answers"] = text(Kind.MESSAGE, message)
        request = MessageRequest(kind="message.answer", to=[world.prison.desk], fields=fields)
        return (await bound.send_message(request, idempotency_key=secrets.token_hex(12))).id

    with pytest.raises(NotFound):
        await answer(theirs.message)
    assert (await bound.message(await answer(mine.message))).item.sender == agency.supervision
    moved = MessageRequest(kind="custody.transferred", to=[world.prison.desk], fields={})
    with pytest.raises(Forbidden, match="bound to desks"):
        await bound.send_message(moved, idempotency_key=secrets.token_hex(12))
    with pytest.raises(Forbidden, match="bound to desks"):
        await bound.cases(CaseFilter())
    with pytest.raises(Forbidden, match="bound to desks"):
        await bound.print_message(mine.message)
    assert (await bound.status()).hub is not None


async def test_con_19_kind_9_a_correction_says_nothing_of_where_the_message_of_another_desk_went(
    agency: Agency, world: World
) -> None:
    notice = MessageRequest(kind="contact.area-notice", to=[world.prison.desk, world.probation.desk], fields=NOTICE)
    sent = await agency.served.client.send_message(own(notice, agency.intake), idempotency_key="n" * 16)
    fields: dict[str, Any] = {"corrects": text(Kind.MESSAGE, sent.id)}
    request = MessageRequest(kind="record.correction", to=[world.prison.desk], fields=fields)
    assert (await agency.bound.send_message(request, idempotency_key="c" * 16)).missed == []
    corrected = await agency.served.client.send_message(own(request, agency.intake), idempotency_key="d" * 16)
    assert corrected.missed == [world.probation.desk]


async def test_con_19_a_token_is_bound_to_our_own_desks_and_never_with_admin(agency: Agency, world: World) -> None:
    with pytest.raises(InvalidInput, match="of this connector"):
        await token(agency.served, world.prison.desk)
    with pytest.raises(InvalidInput, match="admin"):
        await token(agency.served, agency.intake, scopes=(Scope.ADMIN,))
    (known,) = (await agency.served.client.tokens()).items
    assert known.desks == [agency.supervision]


async def test_con_19_a_drop_folder_is_that_of_its_desks(world: World, tmp_path: Path) -> None:
    async with two_desks(tmp_path / "two", world) as both:
        intake, supervision = both.installation.enrolment.desks
        log = Log(both.logged, json=True)
        folders, handlers, parts = Folders(tmp_path / "drop"), api_of(both).by_operation(), both.parts
        settings = DropSection(folder=folders.root, desks=(supervision,))
        more = (handlers, parts.store, parts.agency, world.hub.clock, log, both.installation.enrolment.desks)
        folder = drop_folder(settings, *more)
        assert folder is not None
        await folder.prepare()
        handover = await copied(world, both)
        came = {desk: await sent(world, desk) for desk in (intake, supervision)}
        await settle(world.prison, both)
        asked: dict[str, dict[str, Any]] = {
            "theirs": {"operation": "makeStep", "thread": text(Kind.THREAD, came[intake].referral)},
            "mine": {"operation": "makeStep", "thread": text(Kind.THREAD, came[supervision].referral)},
            "forward": {"operation": "forwardReferral", "thread": text(Kind.THREAD, came[supervision].referral)},
        }
        step = {"event": "acknowledge", "fields": FIELDS["acknowledge"]}
        for name, what in asked.items():
            body = step if name != "forward" else {"to": world.prison.desk}
            (folders.incoming / f"{name}.json").write_text(json.dumps({**what, "body": body}), encoding="utf-8")
        while await folder.step():
            pass
        assert {path.name for path in folders.done.iterdir()} == {"mine.json", "mine.answer.json"}
        reasons = {path.name: json.loads(path.read_bytes())["code"] for path in folders.refused.glob("*.reason.json")}
        assert reasons == {"theirs.reason.json": "not-found", "forward.reason.json": "forbidden"}
        given = [json.loads(path.read_bytes()) for path in sorted(folders.out.iterdir())]
        assert {one["thread"]["item"]["thread"] for one in given if one["thread"]} == {
            text(Kind.THREAD, came[supervision].referral),
            text(Kind.THREAD, (await both.view(handover)).thread),
        }
        shown = [one["message"] for one in given if one["message"]]
        assert {desk for one in shown for section in one["sections"] for desk in section["desks"]} == {supervision}
        assert text(Kind.MESSAGE, handover) in {one.get("id") for one in shown}
        assert text(Kind.MESSAGE, came[intake].message) not in json.dumps(given)
        # What is not theirs keeps no event from being forgotten.
        async with parts.store.read() as tx:
            assert await folder.given(tx) == await events.newest(tx)
        with pytest.raises(ConfigurationError, match=r"drop\.desks"):
            drop_folder(settings.model_copy(update={"desks": (world.prison.desk,)}), *more)
