# SPDX-License-Identifier: Apache-2.0
"""Webhooks from a real store to a real receiver, which verifies them with the library that receivers use."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from connectors.logs import Log
from connectors.store import events
from connectors.store.engine import Store
from connectors.store.webhooks import DeliveryState
from connectors.timing import system_clock
from connectors.vault import Vault
from connectors.webhooks.courier import MOST, PAUSES, Courier
from connectors.webhooks.service import Webhooks
from connectors.webhooks.settings import WebhooksSection
from protocol.address import AgencyAddress
from protocol.errors import ConfigurationError, NotFound
from protocol.http.events import CloudEvent
from protocol.http.webhooks import DeliveryFilter, DeliveryItem, DeliveryPage
from protocol.ids import EventId, Kind, MessageId, ThreadId, text
from protocol.limits import MINUTE, SECOND
from tests.connectors.events.receiver import SECRET, Receiver, receiving
from tests.hub.running import eventually

AGENCY = AgencyAddress("gora-prison@hub.example")
OLD = f"whsec_{base64.b64encode(b'o' * 32).decode()}"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as made:
        yield made


@dataclass
class Sender:
    folder: Path
    store: Store
    url: str
    now: int = field(default_factory=system_clock)

    def clock(self) -> int:
        return self.now

    def courier(self, **changes: object) -> Courier:
        values = {
            "urls": (self.url,),
            "hosts": (self.url.split("/")[2],),
            "secret_file": self.secret("new", SECRET),
            "timeout_s": 5,
            **changes,
        }
        settings = WebhooksSection.model_validate(values)
        return Courier(self.store, AGENCY, settings, self.clock, Log(io.StringIO(), json=True))

    def secret(self, name: str, content: str) -> Path:
        path = self.folder / name
        path.write_text(content + "\n", encoding="utf-8")
        path.chmod(0o600)
        return path

    async def happens(self, number: int = 1) -> None:
        async with self.store.write() as tx:
            for _ in range(number):
                await events.message_received(tx, ThreadId(bytes(16)), MessageId(bytes(16)), self.now)

    async def listed(self, limit: int = 50, cursor: str | None = None) -> DeliveryPage:
        return await self.service.page(DeliveryFilter(limit=limit, cursor=cursor))

    async def only(self) -> DeliveryItem:
        (item,) = (await self.listed()).items
        return item

    @property
    def service(self) -> Webhooks:
        return Webhooks(self.store, (self.url,), self.clock)


@pytest.fixture
async def sender(tmp_path: Path, receiver: Receiver) -> AsyncIterator[Sender]:
    store = await Store.open(tmp_path / "connector.db", Vault(bytes(32)))
    made = Sender(tmp_path, store, receiver.url)
    await made.courier().step()  # notes the address: it is told of what happens from now on
    yield made
    await store.close()


async def test_evt_4_a_receiver_believes_what_is_signed_with_any_secret_in_force(
    sender: Sender, receiver: Receiver
) -> None:
    courier = sender.courier(old_secret_file=sender.secret("old", OLD))
    await sender.happens()
    assert await courier.step() == 1
    (call,) = receiver.calls
    assert call.headers["Content-Type"] == "application/cloudevents+json"
    for known in (SECRET, OLD):
        told = Webhook(known).verify(call.body, call.headers)
        assert told["type"] == "eu.throughcare.message.received.v1"
        assert told["id"] == call.headers["webhook-id"]
        with pytest.raises(WebhookVerificationError):
            Webhook(known).verify(call.body.replace(b"received", b"accepted"), call.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(base64.b64encode(b"x" * 32).decode()).verify(call.body, call.headers)
    assert CloudEvent.model_validate_json(call.body).source == f"urn:throughcare:agency:{AGENCY}"
    assert (await sender.listed()).items == []
    assert await courier.step() == 0


async def test_evt_4_no_redirect_is_followed(sender: Sender, receiver: Receiver) -> None:
    receiver.says(307, Location="/elsewhere")
    await sender.happens()
    await sender.courier().step()
    assert [call.path for call in receiver.calls] == ["/hook"]
    assert (await sender.only()).outcome == "http-307"


@pytest.mark.parametrize(
    ("urls", "hosts"),
    [
        (["https://cases.agency.example/x"], []),
        (["https://cases.agency.example:8443/x"], ["cases.agency.example"]),
        (["https://cases.agency.example@10.0.0.1/x"], ["cases.agency.example@10.0.0.1"]),
        (["http://cases.agency.example/x"], ["cases.agency.example"]),
        (["file:///etc/passwd"], [""]),
        (["https://cases.agency.example/x#y"], ["cases.agency.example"]),
    ],
)
def test_evt_4_an_address_that_is_not_named_as_a_host_is_refused(urls: list[str], hosts: list[str]) -> None:
    with pytest.raises(ValueError, match=r"webhooks\."):
        WebhooksSection.model_validate({"urls": urls, "hosts": hosts, "secret_file": "/x"})


def test_evt_4_without_a_usable_secret_nothing_begins(sender: Sender) -> None:
    with pytest.raises(ValueError, match="secret_file"):
        sender.courier(secret_file=None)
    for wrong in ("", "whsec_", "whsec_c2hvcnQ=", SECRET.removeprefix("whsec_"), "whsec_" + "A" * 120):
        with pytest.raises(ConfigurationError, match="must hold"):
            sender.courier(secret_file=sender.secret("wrong", wrong))
    (sender.folder / "open").write_text(SECRET, encoding="utf-8")
    (sender.folder / "open").chmod(0o644)
    with pytest.raises(ConfigurationError, match="read by others"):
        sender.courier(secret_file=sender.folder / "open")


async def test_evt_5_ten_tries_by_the_schedule_and_then_the_list_of_failures(
    sender: Sender, receiver: Receiver
) -> None:
    receiver.says(500)
    courier = sender.courier()
    await sender.happens()
    began, times = sender.now, []
    while (item := next(iter((await sender.listed()).items), None)) is None or item.next_try_at is not None:
        if item is not None and item.next_try_at is not None:
            sender.now = item.next_try_at - 1
            assert await courier.step() == 0
            sender.now += 1
        assert await courier.step() == 1
        times.append(sender.now - began)
    assert [later - before for before, later in pairwise(times)] == list(PAUSES)
    assert times[-1] == (75 * 60 + 35) * MINUTE + 5 * SECOND
    assert (item.state, item.tries, item.outcome) == (DeliveryState.FAILED, 10, "http-500")
    assert len({call.headers["webhook-id"] for call in receiver.calls}) == 1
    assert len({call.body for call in receiver.calls}) == 1
    assert len({call.headers["webhook-signature"] for call in receiver.calls}) == 10
    sender.now += 1_000 * MINUTE
    assert await courier.step() == 0
    receiver.says(200)
    assert (await sender.service.replay(item.event)).webhooks == 1
    assert await courier.step() == 1
    assert receiver.calls[-1].headers["webhook-id"] == text(Kind.EVENT, item.event)
    assert (await sender.listed()).items == []
    with pytest.raises(NotFound):
        await sender.service.replay(EventId(bytes(16)))


async def test_evt_5_410_disables_an_address_until_somebody_asks_and_nothing_is_left_out(
    sender: Sender, receiver: Receiver
) -> None:
    receiver.says(410)
    await sender.happens()
    assert await sender.courier().step() == 1
    receiver.says(200)
    await sender.happens(2)
    sender.now += MINUTE
    assert await sender.courier().step() == 0
    listed = await sender.listed()
    assert [one.disabled_at for one in listed.webhooks] == [sender.now - MINUTE]
    await sender.service.replay(listed.items[0].event)
    assert await sender.courier().step() == 3
    assert len({json.loads(call.body)["id"] for call in receiver.calls}) == 3
    assert [one.disabled_at for one in (await sender.listed()).webhooks] == [None]


async def test_evt_5_a_replay_that_is_asked_for_while_a_try_is_under_way_is_not_undone_by_it(
    sender: Sender, receiver: Receiver
) -> None:
    """Else the event is told to nobody any more, and the address stays disabled, although somebody asked for both."""
    await sender.happens()
    for status in (500, 410, 204):
        receiver.says(status)
        receiver.held = asyncio.Event()
        receiver.calls.clear()
        trying = asyncio.create_task(sender.courier().step())
        await eventually(lambda: bool(receiver.calls))
        sender.now += MINUTE
        event = (await sender.only()).event
        assert (await sender.service.replay(event)).webhooks == 1
        receiver.held.set()
        await trying
        assert (await sender.only()).tries == 0
        assert [one.disabled_at for one in (await sender.listed()).webhooks] == [None]
    assert await sender.courier().step() == 1
    assert (await sender.listed()).items == []


async def test_evt_5_who_does_not_answer_is_tried_again_and_a_list_goes_by_pages(
    sender: Sender, receiver: Receiver
) -> None:
    dead = sender.url.replace("/hook", "").rpartition(":")[0] + ":9/hook"
    sender.url = dead
    await sender.courier().step()
    await sender.happens(3)
    assert await sender.courier().step() == 3
    first = await sender.listed(limit=2)
    rest = await sender.listed(limit=2, cursor=first.next_cursor)
    assert [one.outcome for one in first.items + rest.items] == ["unreachable"] * 3
    assert len({one.event for one in first.items + rest.items}) == 3
    assert rest.next_cursor is None
    assert receiver.calls == []


async def test_evt_5_what_is_new_is_told_before_what_is_tried_again_and_each_address_has_its_own_share(
    sender: Sender, receiver: Receiver
) -> None:
    dead = sender.url.replace("/hook", "").rpartition(":")[0] + ":9/hook"
    courier = sender.courier(urls=(dead, sender.url), hosts=tuple(one.split("/")[2] for one in (dead, sender.url)))
    await courier.step()
    await sender.happens(MOST + 1)
    receiver.says(503)
    assert await courier.step() == 2 * MOST
    assert await courier.step() == 2, "the one that was left for each"
    sender.now += MINUTE
    await sender.happens()
    async with sender.store.read() as tx:
        newest = (await events.page(tx, after=None, limit=200))[-1].event_id
    receiver.calls.clear()
    assert await courier.step(sender.url) == MOST, "what the other address has not confirmed takes no place"
    assert text(Kind.EVENT, newest) in {call.headers["webhook-id"] for call in receiver.calls}


async def test_evt_6_a_crash_between_answer_and_note_only_repeats_under_the_same_id(
    sender: Sender, receiver: Receiver
) -> None:
    await sender.happens()
    crashing = asyncio.create_task(sender.courier().step())

    def cut() -> web.Response:
        crashing.cancel()
        return web.Response(status=204)

    receiver.answer = cut
    with pytest.raises(asyncio.CancelledError):
        await crashing
    receiver.says(204)
    assert await sender.courier().step() == 1
    first, second = receiver.calls
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert (await sender.listed()).items == []
