# SPDX-License-Identifier: Apache-2.0
"""The local interface: for the holder of the token on this machine, and for nobody else (CON-6)."""

import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from openapi_spec_validator import validate

from connectors.access import TOKEN_FILE, ensure_token, read_token
from connectors.api import application
from connectors.api_client import ApiClient, ConnectorUnreachable
from connectors.logs import Log
from protocol import ids
from protocol.errors import (
    ConfigurationError,
    IdempotencyKeyReused,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    NothingToSend,
    RecipientUnavailable,
    TooLarge,
)
from protocol.http.handovers import Direction, HandoverRequest, MessageState, NotUnderstood
from protocol.http.running import Runner, listen
from protocol.ids import Kind, MessageId
from protocol.limits import DAY
from tests.connectors.conftest import World
from tests.connectors.stations import PLANTED, Station, api_of, package, person_section, risk_section


class Served:
    """A station's local interface on a real port."""

    def __init__(self, station: Station, url: str, client: ApiClient, session: aiohttp.ClientSession) -> None:
        self.station = station
        self.url = url
        self.client = client
        self.session = session
        self.token = read_token(station.folder / TOKEN_FILE)

    @property
    def headers(self) -> dict[str, str]:
        """What a good request carries; each time another key."""
        known = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        return {**known, "Idempotency-Key": secrets.token_hex(16)}

    async def post(self, body: bytes | None = None, **headers: str) -> tuple[int, dict[str, Any]]:
        """Send a handover by hand."""
        sent = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        async with self.session.post(f"{self.url}/v1/handovers", data=body, headers=sent) as answer:
            return answer.status, json.loads(await answer.read())


@pytest.fixture
async def served(world: World) -> AsyncIterator[Served]:
    station = world.prison
    token = ensure_token(station.folder)
    log = Log(station.logged, json=True)
    app = application(api_of(station), token, world.hub.clock, log)
    runner = Runner(app, clock=world.hub.clock, shutdown_s=1.0)
    port = await listen(runner, "127.0.0.1", 0)
    url = f"http://localhost:{port}"
    async with ApiClient.of(url, station.folder / TOKEN_FILE) as client, aiohttp.ClientSession() as session:
        yield Served(station, url, client, session)
    await runner.cleanup()


def request(*to: Any, **more: Any) -> HandoverRequest:
    return HandoverRequest(to=list(to), package=package(), **more)


def key() -> str:
    return secrets.token_urlsafe(24)


async def test_a_handover_goes_all_the_way_through_the_typed_client(served: Served, world: World) -> None:
    notes = [NotUnderstood(path="case/extra", reason="not mapped")]
    desks = (world.probation.desk, world.social_work.desk)
    queued = await served.client.send(request(*desks, not_understood=notes), idempotency_key=key())
    assert queued.state is MessageState.QUEUED
    plans = {one.desk: one for one in queued.recipients}
    assert [one.category for one in plans[world.social_work.desk].withheld] == ["risk-summary"]
    await world.prison.seal_and_send()
    await world.probation.turn()
    await world.prison.collect()
    view = await served.client.handover(queued.id)
    assert view.not_understood == notes
    assert {one.desk: one.state for one in view.recipients} == {
        world.probation.desk: MessageState.OPENED,
        world.social_work.desk: MessageState.ACCEPTED,
    }
    assert await served.client.handover(ids.text(Kind.MESSAGE, queued.id)) == view
    assert view.sections[0].body["family_name"] == PLANTED


async def test_what_was_made_is_found_where_the_answer_says(served: Served, world: World) -> None:
    body = request(world.probation.desk).model_dump_json().encode()
    async with served.session.post(f"{served.url}/v1/handovers", data=body, headers=served.headers) as answer:
        made = answer.headers["Location"]
        assert made == f"/v1/handovers/{(await answer.json())['id']}"
    assert (await served.client.handover(made.rpartition("/")[2])).state is MessageState.QUEUED


async def test_a_list_is_walked_by_the_links_of_its_pages(served: Served, world: World) -> None:
    sent = [(await served.client.send(request(world.probation.desk), idempotency_key=key())).id for _ in range(3)]
    found, following = list[str](), f"{served.url}/v1/handovers?direction=sent&limit=1"
    while following:
        async with served.session.get(following, headers=served.headers) as answer:
            found += [item["id"] for item in (await answer.json())["items"]]
            following = str(answer.links["next"]["url"]) if answer.links else ""
    assert found == [ids.text(Kind.MESSAGE, one) for one in reversed(sent)]


# Who may call


@pytest.mark.parametrize("token", ["", "Bearer ", "Bearer wrong", "Basic x", "bearer {token}", "Bearer {token} "])
async def test_con_6_without_the_token_nothing_is_answered(served: Served, token: str) -> None:
    for path in ("/v1/handovers", "/v1/handovers/msg_" + "a" * 26, "/v1/desks", "/v1/quarantine", "/v1/status"):
        headers = {"Authorization": token.format(token=served.token).strip() if token.strip() == token else token}
        if token == "Bearer {token} ":
            headers = {"Authorization": f"Bearer  {served.token}"}
        async with served.session.get(served.url + path, headers=headers) as answer:
            assert answer.status == 401
            told = await answer.text()
            assert (served.token in told, "Send `Authorization: Bearer TOKEN`" in told) == (False, True)


async def test_con_6_the_documents_need_no_token_and_show_nothing_of_the_agency(served: Served) -> None:
    async with served.session.get(served.url + "/v1/openapi.json") as answer:
        document = json.loads(await answer.read())
    validate(document)
    async with served.session.get(served.url + "/v1/docs") as answer:
        assert answer.status == 200
        page = await answer.text()
    assert served.token not in page
    assert str(served.station.folder) not in page
    assert served.station.member.device_id.hex() not in page


@pytest.mark.parametrize("host", ["evil.example", "gora-prison.example:80", "127.0.0.2", "localhost.evil.example"])
async def test_con_6_another_host_name_is_misdirected(served: Served, host: str) -> None:
    headers = {"Authorization": f"Bearer {served.token}", "Host": host}
    async with served.session.get(served.url + "/v1/status", headers=headers) as answer:
        assert answer.status == 421


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_con_6_a_page_of_another_site_changes_nothing(served: Served, world: World, site: str) -> None:
    body = request(world.probation.desk).model_dump_json().encode()
    status, _ = await served.post(body, Sec_Fetch_Site=site)
    assert status == 403
    assert (await served.client.handovers()).items == []


def test_con_6_the_token_is_long_private_and_made_once(tmp_path: Path) -> None:
    token = ensure_token(tmp_path)
    assert len(token) >= 43
    assert (tmp_path / TOKEN_FILE).stat().st_mode & 0o777 == 0o600
    assert ensure_token(tmp_path) == token
    (tmp_path / TOKEN_FILE).chmod(0o644)
    with pytest.raises(ConfigurationError):
        read_token(tmp_path / TOKEN_FILE)


async def test_a_wrong_token_is_told_by_the_client_as_such(served: Served, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    ensure_token(tmp_path / "other")
    async with ApiClient.of(served.url, tmp_path / "other" / TOKEN_FILE) as stranger:
        with pytest.raises(NotAuthenticated):
            await stranger.status()


async def test_a_connector_that_does_not_run_is_unreachable(served: Served) -> None:
    async with ApiClient.of("http://localhost:9", served.station.folder / TOKEN_FILE) as client:
        with pytest.raises(ConnectorUnreachable):
            await client.status()


# Idempotency


async def test_the_same_key_and_body_again_get_the_same_answer_and_no_second_effect(
    served: Served, world: World
) -> None:
    body, again = request(world.probation.desk), key()
    first = await served.client.send(body, idempotency_key=again)
    second = await served.client.send(body, idempotency_key=again)
    assert first == second
    assert len((await served.client.handovers()).items) == 1
    headers = {
        "Authorization": f"Bearer {served.token}",
        "Content-Type": "application/json",
        "Idempotency-Key": again,
    }
    data = body.model_dump_json().encode()
    async with served.session.post(served.url + "/v1/handovers", data=data, headers=headers) as answer:
        assert answer.headers["Idempotent-Replayed"] == "true"


async def test_the_same_key_with_another_body_is_refused(served: Served, world: World) -> None:
    again = key()
    await served.client.send(request(world.probation.desk), idempotency_key=again)
    with pytest.raises(IdempotencyKeyReused):
        await served.client.send(request(world.social_work.desk), idempotency_key=again)


async def test_requests_with_one_key_at_the_same_time_have_one_effect(served: Served, world: World) -> None:
    import asyncio

    body, again = request(world.probation.desk), key()
    answers = await asyncio.gather(*(served.client.send(body, idempotency_key=again) for _ in range(10)))
    assert len({one.id for one in answers}) == 1
    assert len((await served.client.handovers()).items) == 1


async def test_a_key_is_forgotten_after_seven_days_and_not_before(served: Served, world: World) -> None:
    from connectors.store import requests

    body, again = request(world.probation.desk), key()
    first = await served.client.send(body, idempotency_key=again)
    for days, kept in ((6, True), (2, False)):
        world.hub.clock.advance(days * DAY)
        async with world.prison.parts.store.write() as tx:
            await requests.forget_old(tx, world.hub.clock())
        assert ((await served.client.send(body, idempotency_key=again)).id == first.id) is kept


async def test_a_refused_request_leaves_nothing_and_its_key_free(served: Served, world: World) -> None:
    again = key()
    unknown = "intake.nobody@hub.example"
    with pytest.raises(RecipientUnavailable):
        await served.client.send(request(world.probation.desk, unknown), idempotency_key=again)
    assert (await served.client.handovers()).items == []
    await served.client.send(request(world.probation.desk), idempotency_key=again)


async def test_a_key_is_needed(served: Served, world: World) -> None:
    headers = {"Authorization": f"Bearer {served.token}", "Content-Type": "application/json"}
    body = request(world.probation.desk).model_dump_json().encode()
    async with served.session.post(served.url + "/v1/handovers", data=body, headers=headers) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "idempotency-key-missing")


# What may be sent


async def test_a_desk_that_may_get_nothing_is_refused_before_anything_is_stored(served: Served, world: World) -> None:
    only_risk = HandoverRequest(to=[world.social_work.desk], package=package(risk_section()))
    with pytest.raises(NothingToSend):
        await served.client.send(only_risk, idempotency_key=key())
    assert (await served.client.handovers()).items == []


@pytest.mark.parametrize("fault", ["twice", "to itself", "foreign sender", "unknown officer"])
async def test_requests_that_contradict_themselves_are_refused(served: Served, world: World, fault: str) -> None:
    desk = world.probation.desk
    requests = {
        "twice": request(desk, desk),
        "to itself": request(world.prison.desk),
        "foreign sender": request(desk, sender=world.social_work.desk),
        "unknown officer": request(desk, officer=b"x" * 16),
    }
    with pytest.raises(InvalidInput):
        await served.client.send(requests[fault], idempotency_key=key())


async def test_a_package_too_large_for_one_envelope_is_refused_before_anything_is_stored(
    served: Served, world: World
) -> None:
    from protocol.bodies.needs import Entry, Narrative
    from protocol.clearance import Category

    long = tuple(Entry(text="x" * 20_000) for _ in range(20))
    section = person_section().model_copy(update={"category": Category.NEEDS, "body": Narrative(entries=long)})
    big = HandoverRequest(to=[world.probation.desk], package=package(*[section] * 4))
    with pytest.raises(TooLarge):
        await served.client.send(big, idempotency_key=key())
    assert (await served.client.handovers()).items == []


async def test_err_2_a_refusal_never_repeats_what_was_sent(served: Served, world: World) -> None:
    body = json.loads(request(world.probation.desk).model_dump_json())
    body["package"]["sections"][0]["body"]["family_name"] = ["planted-input"]
    body["package"]["planted-key"] = 1
    status, problem = await served.post(json.dumps(body).encode())
    assert status == 422
    assert "planted" not in json.dumps(problem)
    assert {"/package/sections/0/body/family_name"} <= {one["pointer"] for one in problem["errors"]}
    assert "planted" not in served.station.logged.getvalue()


# Lists and views


async def test_lists_are_paged_newest_first_in_both_directions(served: Served, world: World) -> None:
    sent = []
    for _ in range(5):
        world.hub.clock.advance(1_000)
        sent.append((await served.client.send(request(world.probation.desk), idempotency_key=key())).id)
    found: list[MessageId] = []
    cursor = None
    while True:
        page = await served.client.handovers(limit=2, cursor=cursor)
        found += [item.id for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == list(reversed(sent))
    assert len((await served.client.handovers(direction=Direction.SENT)).items) == 5
    assert (await served.client.handovers(direction=Direction.RECEIVED)).items == []


@pytest.mark.parametrize("cursor", ["", "AAAA", "!!!", "A" * 90])
async def test_a_cursor_that_was_not_given_here_is_refused(served: Served, cursor: str) -> None:
    with pytest.raises(InvalidInput):
        await served.client.handovers(cursor=cursor)
    with pytest.raises(InvalidInput):
        await served.client.quarantine(cursor=cursor)


async def test_a_cursor_of_one_list_does_not_open_another(served: Served, world: World) -> None:
    for _ in range(2):
        await served.client.send(request(world.probation.desk), idempotency_key=key())
    page = await served.client.handovers(limit=1)
    assert page.next_cursor is not None
    with pytest.raises(InvalidInput):
        await served.client.quarantine(cursor=page.next_cursor)


async def test_http_4_what_is_not_ours_looks_like_what_does_not_exist(served: Served, world: World) -> None:
    theirs = await world.probation.send(world.social_work.desk)
    receipts = await world.prison.send(world.probation.desk)
    await world.probation.turn()
    async with world.probation.parts.store.read() as tx:
        from sqlalchemy import select

        from connectors.store.tables import outgoing

        statement = select(outgoing.c.message_id).where(outgoing.c.payload_type == "receipt.opened")
        receipt = (await tx.connection.execute(statement)).scalars().first()
    await world.prison.collect()
    assert receipt is not None
    answers = []
    for message_id in (theirs, MessageId(bytes(16)), MessageId(receipt)):
        path = f"{served.url}/v1/handovers/{ids.text(Kind.MESSAGE, message_id)}"
        async with served.session.get(path, headers={"Authorization": f"Bearer {served.token}"}) as answer:
            problem = await answer.json()
            del problem["instance"], problem["request_id"]
            answers.append((answer.status, problem))
    assert answers[0][0] == 404
    assert answers[0] == answers[1] == answers[2]
    with pytest.raises(NotFound):
        await served.client.handover(theirs)
    assert (await served.client.handover(receipts)).direction is Direction.SENT


async def test_the_quarantine_is_listed_with_its_reasons(served: Served, world: World) -> None:
    from protocol.frames import Item, ItemKind

    for index in range(3):
        await world.prison.parts.inbox.take((Item(index, ItemKind.SLICE, b"poison"),))
    first = await served.client.quarantine(limit=2)
    assert [item.leaf_index for item in first.items] == [2, 1]
    second = await served.client.quarantine(limit=2, cursor=first.next_cursor)
    assert [item.leaf_index for item in second.items] == [0]
    assert second.items[0].code == "malformed-envelope"
    assert second.items[0].detail


async def test_the_status_tells_of_hub_directory_and_queues(served: Served, world: World) -> None:
    await served.client.send(request(world.probation.desk, world.social_work.desk), idempotency_key=key())
    status = await served.client.status()
    assert status.certificate_ends is not None
    assert status.certificate_ends > status.now
    assert status.zone == "Europe/Belgrade"
    assert status.agency == world.prison.member.address
    assert status.directory.state == "normal"
    assert status.counts.queued == 2
    desks = {one.address: one for one in (await served.client.desks()).items}
    assert desks[world.probation.desk].function == "probation-intake"
    assert desks[world.probation.desk].reachable
    assert not desks[world.probation.desk].marked


async def test_a_desk_enrolled_just_now_is_found(served: Served, world: World) -> None:
    hub = world.hub
    hub.programme.now = hub.clock()
    new = hub.programme.enrol("nova-csw", "csw", {"intake": "social-work"})
    await hub.catch_up()
    queued = await served.client.send(HandoverRequest(to=[new.desk], package=package()), idempotency_key=key())
    await world.prison.seal_and_send()
    assert await world.prison.states(queued.id) == {new.desk: MessageState.ACCEPTED}
