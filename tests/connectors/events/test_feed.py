# SPDX-License-Identifier: Apache-2.0
"""The feed of events at real connectors: what happened, once, in order, with nothing in it but ids and states."""

import asyncio
import json
import secrets
from pathlib import Path

import pytest
from jsonschema import Draft7Validator, FormatChecker

from connectors.access import TOKEN_FILE, ensure_token
from connectors.api import application
from connectors.api_client import ApiClient
from connectors.cases.moving import Step
from connectors.feed import Feed
from connectors.logs import Log
from protocol.errors import InvalidInput
from protocol.http.events import CloudEvent, EventFilter
from protocol.http.running import Runner, listen
from protocol.ids import EventId
from tests.connectors.cases.test_referral import FIELDS, do, refer, row, settle
from tests.connectors.conftest import World
from tests.connectors.stations import Station, api_of

SCHEMA = json.loads((Path(__file__).parent / "cloudevents-1.0.json").read_text(encoding="utf-8"))
"""The JSON Schema that the CloudEvents project publishes for its JSON format (Apache-2.0)."""


async def told(station: Station, after: EventId | None = None) -> list[CloudEvent]:
    feed = Feed(station.parts.store, station.installation.enrolment.agency)
    return (await feed.page(EventFilter(after=after, limit=1_000))).items


def types(found: list[CloudEvent]) -> list[str]:
    return [one.type.removeprefix("eu.throughcare.").removesuffix(".v1") for one in found]


async def test_evt_1_each_change_of_a_thread_and_each_message_is_one_event(world: World) -> None:
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw)).thread
    await settle(prison, csw)
    await do(csw, thread, "acknowledge")
    await do(csw, thread, "accept")
    await settle(prison, csw)
    states = ["referral.sent", "referral.delivered", "referral.acknowledged", "referral.accepted"]
    for station, came in ((prison, 2), (csw, 1)):
        found = await told(station)
        assert [one for one in types(found) if one in states] == states
        assert types(found).count("message.received") == came
        changes = [one.data.version for one in found if one.data.version is not None]
        assert changes == list(range(1, (await row(station, thread)).version + 1))
        assert len({one.id for one in found}) == len(found)
        assert {one.subject for one in found} == {thread}


async def test_evt_1_a_change_that_is_undone_leaves_no_event(world: World) -> None:
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw)).thread
    await settle(prison, csw)
    before = await told(csw)

    async def cut_off() -> None:
        async with csw.parts.store.write() as tx:
            await csw.parts.moving.within(tx, thread, Step(event="acknowledge", fields=FIELDS["acknowledge"]))
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await cut_off()
    assert await told(csw) == before
    await do(csw, thread, "acknowledge")
    assert types((await told(csw))[len(before) :]) == ["referral.acknowledged"]


async def test_evt_2_an_event_is_a_cloudevent_without_content(world: World) -> None:
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw)).thread
    await settle(prison, csw)
    await do(csw, thread, "acknowledge")
    await do(csw, thread, "decline")
    await settle(prison, csw)
    validator = Draft7Validator(SCHEMA, format_checker=FormatChecker())
    assert not validator.is_valid({"specversion": "1.0", "type": "a", "source": "b"})
    for one in await told(prison):
        shown = one.model_dump(mode="json")
        validator.validate(shown)
        assert shown["source"] == f"urn:throughcare:agency:{prison.installation.enrolment.agency}"
        text = json.dumps(shown)
        for secret in ("no-capacity", "Invented words", "sub_", "housing-advice", csw.desk):
            assert secret not in text


async def test_evt_3_who_names_the_last_event_gets_what_followed_over_the_interface(world: World) -> None:
    prison, csw = world.prison, world.social_work
    for _ in range(2):
        await refer(prison, csw)
    await settle(prison, csw)
    token = ensure_token(prison.folder)
    served = application(api_of(prison), token, world.hub.clock, Log(prison.logged, json=True))
    runner = Runner(served, clock=world.hub.clock)
    url = f"http://localhost:{await listen(runner, '127.0.0.1', 0)}"
    try:
        async with ApiClient.of(url, prison.folder / TOKEN_FILE) as client:
            walked, after = list[CloudEvent](), None
            while (page := await client.events(after=after, limit=1)).items:
                walked += page.items
                after = page.items[-1].id
            assert walked == await told(prison)
            assert (await client.events(after=after)).next_after is None
            await refer(prison, csw)
            assert types((await client.events(after=after)).items) == ["referral.sent"]
            with pytest.raises(InvalidInput, match="Read from the beginning"):
                await client.events(after=EventId(secrets.token_bytes(16)))
    finally:
        await runner.cleanup()
