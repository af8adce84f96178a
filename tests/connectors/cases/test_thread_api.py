# SPDX-License-Identifier: Apache-2.0
"""The referral API as an agency's case system uses it: the typed client at a real connector."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from connectors.access import TOKEN_FILE, ensure_token
from connectors.api import application
from connectors.api_client import ApiClient
from connectors.cases.composing import Said
from connectors.cases.moving import Step
from connectors.logs import Log
from connectors.store import outgoing
from protocol import ids
from protocol.errors import IllegalTransition, InvalidInput, NotFound, PreconditionFailed
from protocol.http.messages import HandoverEffect, MessageFilter, MessageRequest
from protocol.http.problems import FieldError, InvalidFields
from protocol.http.running import Runner, listen
from protocol.http.threads import ListName, ReferralRequest, StepQueued, StepRequest, ThreadFilter
from protocol.ids import Kind, MessageId, OfficerId, ThreadId
from protocol.kinds.catalogue import KINDS
from tests.connectors.cases.test_referral import FIELDS, REQUEST, WORDS, agreed, settle
from tests.connectors.conftest import World
from tests.connectors.stations import Station, api_of
from tests.connectors.test_officers import add, end


@dataclass
class Served:
    station: Station
    url: str
    client: ApiClient

    async def refer(self, to: Station) -> StepQueued:
        request = ReferralRequest(to=to.desk, fields=REQUEST, sections=[WORDS])
        return await self.client.refer(request, idempotency_key=secrets.token_hex(12))

    async def step(self, thread: ThreadId, event: str, version: int | None = None) -> StepQueued:
        seen = (await self.client.thread(thread)).item.version if version is None else version
        request = StepRequest(event=event, fields=FIELDS.get(event, {}))
        return await self.client.step(thread, request, version=seen, idempotency_key=secrets.token_hex(12))

    async def threads(self, which: ListName, officer: OfficerId | None = None) -> list[ThreadId]:
        return [one.thread for one in (await self.client.threads(ThreadFilter(list=which, officer=officer))).items]


async def serve(station: Station, world: World) -> AsyncIterator[Served]:
    token = ensure_token(station.folder)
    api = api_of(station)
    runner = Runner(application(api, token, world.hub.clock, Log(station.logged, json=True)), clock=world.hub.clock)
    port = await listen(runner, "127.0.0.1", 0)
    url = f"http://localhost:{port}"
    async with ApiClient.of(url, station.folder / TOKEN_FILE) as client:
        yield Served(station, url, client)
    await runner.cleanup()


@pytest.fixture
async def prison(world: World) -> AsyncIterator[Served]:
    async for one in serve(world.prison, world):
        yield one


@pytest.fixture
async def csw(world: World) -> AsyncIterator[Served]:
    async for one in serve(world.social_work, world):
        yield one


async def test_a_referral_by_api_from_request_to_closed_loop(prison: Served, csw: Served) -> None:
    thread = (await prison.refer(csw.station)).thread
    await settle(prison.station, csw.station)
    assert await csw.threads(ListName.NEW) == await csw.threads(ListName.UNASSIGNED) == [thread]
    for served, event in [
        (csw, "acknowledge"),
        (csw, "accept"),
        (csw, "schedule"),
        (csw, "attended"),
        (csw, "complete"),
        (prison, "close"),
    ]:
        await served.step(thread, event)
        await settle(prison.station, csw.station)
    view = await csw.client.thread(thread)
    assert (view.item.state, view.item.live, view.item.side) == ("closed", False, "recipient")
    assert [rung.ack for rung in view.ladder] == ["opened", "acknowledged", "answered"]
    assert "Invented words about an invented need." in str(view.steps[0].sections[0].body)
    assert await csw.threads(ListName.NEW) == await csw.threads(ListName.ANSWER_DUE) == []
    assert await csw.threads(ListName.CLOSED) == await prison.threads(ListName.SENT) == [thread]
    assert view.possible == ["reopen"]


async def test_the_lists_of_caseworkers_hold_what_their_names_say(prison: Served, csw: Served) -> None:
    officer = OfficerId(bytes(16))
    first, second = (await prison.refer(csw.station)).thread, (await prison.refer(csw.station)).thread
    await settle(prison.station, csw.station)
    await csw.step(first, "acknowledge")
    assert await csw.threads(ListName.NEW) == await csw.threads(ListName.UNASSIGNED) == [second]
    assert await csw.threads(ListName.MINE, officer) == [first]
    assert await csw.threads(ListName.MINE, OfficerId(b"x" * 16)) == []
    assert set(await prison.threads(ListName.SENT)) == {first, second}
    assert await prison.threads(ListName.UNASSIGNED) == await prison.threads(ListName.NEW) == []
    with pytest.raises(InvalidInput):
        await csw.threads(ListName.MINE)


async def test_con_4_a_step_decided_on_an_old_state_is_412_and_one_the_table_refuses_is_409(
    prison: Served, csw: Served
) -> None:
    thread = (await prison.refer(csw.station)).thread
    await settle(prison.station, csw.station)
    seen = (await csw.client.thread(thread)).item.version
    await csw.step(thread, "acknowledge", seen)
    with pytest.raises(PreconditionFailed):
        await csw.step(thread, "acknowledge", seen)
    with pytest.raises(IllegalTransition, match="acknowledged"):
        await csw.step(thread, "acknowledge")
    request = StepRequest(event="decline", fields={"reason": "planted-phrase-here", "alternative": False})
    version = (await csw.client.thread(thread)).item.version
    with pytest.raises(InvalidFields) as caught:
        await csw.client.step(thread, request, version=version, idempotency_key=secrets.token_hex(12))
    assert "planted-phrase-here" not in str(caught.value.fields)
    assert [field.pointer for field in caught.value.fields] == ["/fields/reason"]
    wrong = ReferralRequest(
        to=csw.station.desk, fields={**REQUEST, "services": [{"code": "x"}, *REQUEST["services"]]}, sections=[WORDS]
    )
    with pytest.raises(InvalidFields) as caught:
        await prison.client.refer(wrong, idempotency_key=secrets.token_hex(12))
    told = {field.pointer: field.code for field in caught.value.fields}
    assert told == {"/fields/services/0/pathway": "missing", "/fields/services/0/outcome": "missing"}


async def test_http_4_another_agencys_thread_is_404_on_every_operation(prison: Served, csw: Served) -> None:
    for thread in (ThreadId(bytes(16)), ThreadId(b"y" * 16)):
        with pytest.raises(NotFound):
            await csw.client.thread(thread)
        with pytest.raises(NotFound):
            await csw.step(thread, "acknowledge", 1)


@pytest.mark.parametrize("header", [None, "*", "1", 'W/"1"', '"1", "2"', '"x"'])
async def test_a_step_without_one_strong_etag_is_428(prison: Served, header: str | None) -> None:
    thread = ids.text(Kind.THREAD, ids.new_id())
    headers = {
        "Authorization": f"Bearer {(prison.station.folder / TOKEN_FILE).read_text().strip()}",
        "Idempotency-Key": secrets.token_hex(12),
        "Content-Type": "application/json",
        **({} if header is None else {"If-Match": header}),
    }
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{prison.url}/v1/threads/{thread}/steps", data=b'{"event":"accept"}', headers=headers) as answer,
    ):
        assert answer.status == 428
        assert (await answer.json())["code"] == "precondition-required"


async def test_paging_by_cursor_gives_every_thread_once(prison: Served, csw: Served) -> None:
    sent = {(await prison.refer(csw.station)).thread for _ in range(5)}
    found, cursor = list[ThreadId](), None
    while True:
        page = await prison.client.threads(ThreadFilter(limit=2, cursor=cursor))
        found += [one.thread for one in page.items]
        if (cursor := page.next_cursor) is None:
            break
    assert len(found) == 5
    assert set(found) == sent
    with pytest.raises(InvalidInput):
        await prison.client.threads(ThreadFilter(cursor="AAAA"))


async def test_a_notice_to_a_municipality_goes_out_once_and_is_shown_on_both_sides(prison: Served, csw: Served) -> None:
    request = MessageRequest(
        kind="contact.area-notice",
        to=[csw.station.desk],
        fields={"area": "invented-municipality", "week": "2027-W03"},
        sections=[WORDS],
    )
    key = secrets.token_hex(12)
    queued = await prison.client.send_message(request, idempotency_key=key)
    assert await prison.client.send_message(request, idempotency_key=key) == queued
    await settle(prison.station, csw.station)
    for served, direction in ((prison, "sent"), (csw, "received")):
        found = (await served.client.messages(MessageFilter(kind="contact.area-notice"))).items
        assert [(one.id, one.direction) for one in found] == [(queued.id, direction)]
        view = await served.client.message(queued.id)
        assert view.payload["area"] == "invented-municipality"
        assert len(view.sections) == 1
        assert view.signer
    assert (await csw.client.messages(MessageFilter(kind="alert.risk"))).items == []
    with pytest.raises(NotFound):
        await csw.client.message(MessageId(bytes(16)))


@pytest.mark.parametrize("kind", ["referral.accept", "thread.conflict", "no.such-kind", "receipt.opened"])
async def test_what_is_a_step_or_makes_itself_is_not_sent_as_a_message(prison: Served, csw: Served, kind: str) -> None:
    request = MessageRequest(kind=kind, to=[csw.station.desk], fields={})
    with pytest.raises(InvalidInput):
        await prison.client.send_message(request, idempotency_key=secrets.token_hex(12))


@pytest.mark.parametrize("event", ["escalate", "expire", "lapse"])
async def test_clk_4_nobody_makes_the_moves_of_time_but_time(prison: Served, csw: Served, event: str) -> None:
    thread = (await prison.refer(csw.station)).thread
    fields: dict[str, Any] = {}
    if event == "escalate":
        fields = {"level": "supervisor", "ack": "opened", "was_due_at": 1}
    version = (await prison.client.thread(thread)).item.version
    with pytest.raises(IllegalTransition, match="time"):
        await prison.client.step(
            thread, StepRequest(event=event, fields=fields), version=version, idempotency_key=secrets.token_hex(12)
        )


async def test_kind_5_a_municipality_notes_a_notice_and_answers_it_and_the_sender_sees_both_rungs(
    prison: Served, csw: Served, world: World
) -> None:
    request = MessageRequest(
        kind="contact.area-notice",
        to=[csw.station.desk],
        fields={"area": "invented-municipality", "week": "2027-W03"},
    )
    notice = (await prison.client.send_message(request, idempotency_key=secrets.token_hex(12))).id
    await settle(prison.station, csw.station)
    officer = ids.text(Kind.OFFICER, bytes(16))
    for answer in ("noted", "agreed"):
        fields: dict[str, Any] = {
            "answers": ids.text(Kind.MESSAGE, notice),
            "officer": officer,
            "answer": answer,
        }
        said = MessageRequest(kind="message.answer", to=[prison.station.desk], fields=fields)
        await csw.client.send_message(said, idempotency_key=secrets.token_hex(12))
        await settle(prison.station, csw.station)
    at_prison, at_csw = await prison.client.message(notice), await csw.client.message(notice)
    for view in (at_prison, at_csw):
        assert [(one.ack, one.answer, one.desk) for one in view.answers] == [
            ("acknowledged", "noted", csw.station.desk),
            ("answered", "agreed", csw.station.desk),
        ]
    assert await world.prison.quarantined() == []


async def test_lif_8_who_is_no_officer_here_is_named_in_no_step_and_no_answer(
    prison: Served, csw: Served, world: World
) -> None:
    """Neither somebody mistyped, nor another agency's, nor one whose office has ended; the thread stays as it was."""
    thread = (await prison.refer(csw.station)).thread
    await settle(prison.station, csw.station)
    theirs, ended = await add(world.prison, world.hub, "Officer"), await add(csw.station, world.hub, "Officer")
    version = (await csw.client.thread(thread)).item.version

    async def acknowledge(officer: OfficerId, key: str = secrets.token_hex(12)) -> StepQueued:
        fields = {**FIELDS["acknowledge"], "officer": ids.text(Kind.OFFICER, officer)}
        request = StepRequest(event="acknowledge", fields=fields)
        return await csw.client.step(thread, request, version=version, idempotency_key=key)

    for stranger in (OfficerId(b"x" * 16), theirs):
        with pytest.raises(InvalidFields, match="officer list") as refused:
            await acknowledge(stranger, secrets.token_hex(12))
        assert refused.value.fields == (FieldError("/fields/officer", "not-allowed"),)
    assert (await csw.client.thread(thread)).item.version == version
    done = await acknowledge(ended)
    assert done.state == "acknowledged", "known only at the hub so far, and looked for there"
    await end(csw.station, world.hub, ended)
    await csw.station.parts.directory.sync()
    assert await acknowledge(ended) == done, "the same request again is answered as it was"
    request = MessageRequest(
        kind="contact.area-notice", to=[csw.station.desk], fields={"area": "invented", "week": "2027-W03"}
    )
    notice = await prison.client.send_message(request, idempotency_key=secrets.token_hex(12))
    await settle(prison.station, csw.station)
    fields: dict[str, Any] = {"answers": ids.text(Kind.MESSAGE, notice.id), "answer": "noted"}
    fields["officer"] = ids.text(Kind.OFFICER, ended)
    said = MessageRequest(kind="message.answer", to=[prison.station.desk], fields=fields)
    with pytest.raises(InvalidFields, match="officer list"):
        await csw.client.send_message(said, idempotency_key=secrets.token_hex(12))


async def test_kind_5_only_who_was_written_to_answers(prison: Served, csw: Served, world: World) -> None:
    request = MessageRequest(
        kind="contact.area-notice", to=[csw.station.desk], fields={"area": "invented", "week": "2027-W03"}
    )
    queued = await prison.client.send_message(request, idempotency_key=secrets.token_hex(12))
    await settle(prison.station, csw.station)
    fields: dict[str, Any] = {
        "answers": ids.text(Kind.MESSAGE, queued.id),
        "officer": ids.text(Kind.OFFICER, bytes(16)),
        "answer": "agreed",
    }
    for to, named in ((world.probation.desk, fields["answers"]), (prison.station.desk, "msg_" + "a" * 26)):
        said = MessageRequest(kind="message.answer", to=[to], fields={**fields, "answers": named})
        with pytest.raises(NotFound):
            await csw.client.send_message(said, idempotency_key=secrets.token_hex(12))
    said = MessageRequest(kind="message.answer", to=[prison.station.desk], fields={"officer": fields["officer"]})
    with pytest.raises(InvalidInput):
        await csw.client.send_message(said, idempotency_key=secrets.token_hex(12))
    # A stranger to the message who knows its id and thread, and whose connector would let it pass, is not counted.
    composing = world.probation.parts.moving._composing
    kind = KINDS["message.answer"]
    subject = (await csw.client.message(queued.id)).payload["subject"]
    forged = composing.message(kind, queued.thread, world.probation.desk, subject, Said(fields=fields))
    async with world.probation.parts.store.write() as tx:
        await outgoing.add(tx, forged, composing.plans(forged, [prison.station.desk]))
    await settle(world.probation, prison.station)
    assert (await prison.client.message(forged.message_id)).item.sender == world.probation.desk
    assert (await prison.client.message(queued.id)).answers == []


async def test_han_6_the_notice_of_the_release_moves_the_lead_and_its_cancellation_moves_it_back(
    prison: Served, csw: Served, world: World
) -> None:
    thread = (await world.prison.compose(world.probation.desk, csw.station.desk)).thread
    everybody = (world.prison, world.probation, csw.station)
    await settle(*everybody)
    now = world.hub.clock()
    effects: list[HandoverEffect | None] = []

    async def tell(kind: str, **fields: Any) -> MessageId:
        request = MessageRequest(kind=kind, to=[world.probation.desk, csw.station.desk], fields=fields, thread=thread)
        sent = await prison.client.send_message(request, idempotency_key=secrets.token_hex(12))
        await settle(*everybody)
        effects.append(sent.handover)
        return sent.id

    async def leads() -> set[tuple[str | None, bool]]:
        views = [await served.client.thread(thread) for served in (prison, csw)]
        return {(view.lead, view.lead_since == now) for view in views}

    released: dict[str, Any] = {"released_at": now, "reason": "conditional"}
    await tell("release.notice", **released)
    assert await leads() == {("gora-prison@hub.example", False)}, "nobody has agreed to take the lead yet"
    bind = Step(event="bind", fields={"statute": "probation-act-12"})
    await world.prison.parts.moving.move(thread, bind, key=secrets.token_hex(12), body=b"")
    await settle(*everybody)
    with pytest.raises(InvalidInput):
        await tell("release.notice", **{**released, "released_at": now + 1})
    assert (await prison.client.messages(MessageFilter(kind="release.notice"))).items[0].at == now
    assert len((await prison.client.messages(MessageFilter(kind="release.notice"))).items) == 1
    notice = await tell("release.notice", **released)
    assert await leads() == {("reka-probation@hub.example", True)}
    assert await agreed(thread, world.prison, world.probation) == "effective"
    await tell("release.cancelled", notice=ids.text(Kind.MESSAGE, notice))
    assert await leads() == {("gora-prison@hub.example", False)}
    assert await agreed(thread, world.prison, world.probation) == "failed-effective"
    assert effects == [HandoverEffect.ONCE_ACCEPTED, HandoverEffect.MOVED, HandoverEffect.MOVED]


async def test_ref_9_a_transfer_to_another_prison_tells_every_open_referral_of_the_case_who_leads_now(
    prison: Served, csw: Served, world: World
) -> None:
    def request(number: str) -> ReferralRequest:
        fields = {**REQUEST, "register_numbers": {"sender": number}, "duplicates": "sent-anyway"}
        return ReferralRequest(to=csw.station.desk, fields=fields, sections=[WORDS])

    async def refer(number: str) -> ThreadId:
        key = secrets.token_hex(12)
        return (await prison.client.refer(request(number), idempotency_key=key)).thread

    first, second, over, foreign = [await refer(number) for number in ("G-17", "G-17", "G-17", "G-18")]
    await settle(world.prison, csw.station)
    await prison.step(over, "withdraw")
    fields: dict[str, Any] = {
        "from_agency": "gora-prison@hub.example",
        "to_agency": "gora-prison@hub.example",
        "moved_on": "2027-01-15",
        "register_numbers": {"sender": "G-17"},
    }

    async def tell(**more: Any) -> MessageId:
        told = MessageRequest(kind="custody.transferred", to=[csw.station.desk], fields={**fields, **more})
        return (await prison.client.send_message(told, idempotency_key=secrets.token_hex(12))).id

    with pytest.raises(InvalidInput, match="who leads them"):
        await tell()
    assert (await prison.client.messages(MessageFilter(kind="custody.transferred"))).items == []
    officer = ids.text(Kind.OFFICER, bytes(16))
    notice = await tell(officer=officer)
    await settle(world.prison, csw.station)
    for thread in (first, second):
        for served in (prison, csw):
            view = await served.client.thread(thread)
            last = view.steps[-1]
            assert (last.event, last.payload["officer"]) == ("custody-moved", officer)
            assert last.payload["notice"] == ids.text(Kind.MESSAGE, notice)
            assert view.item.state == "delivered", "nothing else has changed"
    for thread in (over, foreign):
        assert "custody-moved" not in {one.event for one in (await csw.client.thread(thread)).steps}
