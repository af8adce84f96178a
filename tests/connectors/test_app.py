# SPDX-License-Identifier: Apache-2.0
"""The whole connector, running: it works by itself, survives its hub, stops well and leaves nothing readable."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import stamina
from standardwebhooks import Webhook

from connectors import app
from connectors import loops as loops_module
from connectors.logs import Log
from connectors.loops import Loops
from connectors.timing import system_clock
from protocol.errors import ConfigurationError, Conflict, KeystoreError, StoreFailed
from protocol.http.handovers import MessageState
from protocol.http.webhooks import DeliveryFilter
from protocol.ids import EventId, Kind, MessageId, text
from tests.connectors.conftest import World
from tests.connectors.events.receiver import SECRET, Receiver, receiving
from tests.connectors.lyinghub import LyingHub
from tests.connectors.running import (
    PATIENCE_S,
    RunningConnector,
    WallClock,
    everything_opened,
    installed,
    running,
    settings_of,
    until,
)
from tests.connectors.stations import PASSPHRASE, PLANTED
from tests.hub.running import RunningHub
from tests.programme import Programme, make_programme


@pytest.fixture(autouse=True)
def untouched_logging() -> Iterator[None]:
    """Give the test run its own logging back, which a connector takes over; and let retries be quick."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    with stamina.set_testing(True, attempts=1_000):
        yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def programme() -> Programme:
    """Return a programme of now: what runs by itself runs by the machine's clock."""
    return make_programme(now=system_clock())


@pytest.fixture
async def hub(hub_folder: Path, programme: Programme) -> AsyncIterator[RunningHub]:
    async with RunningHub(hub_folder, programme, WallClock()) as serving:
        yield serving


@pytest.mark.parametrize("websocket", ["true", "false"])
async def test_a_handover_goes_out_and_its_receipts_come_back_by_themselves(
    tmp_path: Path, hub: RunningHub, programme: Programme, websocket: str
) -> None:
    places = [installed(tmp_path, programme, name, hub.url) for name in ("gora-prison", "reka-probation", "polje-csw")]
    async with AsyncExitStack() as stack:
        prison, probation, social_work = [
            await stack.enter_async_context(running(*place, websocket=websocket, poll_wait_s="5")) for place in places
        ]
        sent = await prison.send(probation.member, social_work.member)
        await until(lambda: everything_opened(prison, sent))
        assert len((await probation.client.handover(sent)).sections) == 2
        assert len((await social_work.client.handover(sent)).sections) == 1
        status = await prison.client.status()
        assert status.hub.connected
        assert status.hub.error is None


async def test_a_recipient_that_was_switched_off_catches_up(
    tmp_path: Path, hub: RunningHub, programme: Programme
) -> None:
    prison_place = installed(tmp_path, programme, "gora-prison", hub.url)
    probation_place = installed(tmp_path, programme, "reka-probation", hub.url)
    async with running(*prison_place) as prison:
        async with running(*probation_place) as probation:
            first = await prison.send(probation.member)
            await until(lambda: everything_opened(prison, first))
        sent = [await prison.send(probation_place[1]) for _ in range(3)]
        async with running(*probation_place) as probation:
            await until(lambda: everything_opened(prison, *sent))
            status = await probation.client.status()
        assert (status.counts.received, status.counts.quarantined) == (4, 0)


@asynccontextmanager
async def silent() -> AsyncIterator[str]:
    """Listen and answer nobody, as a receiver that hangs; yield its URL."""
    over = asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    finally:
        over.set()
        server.close()


async def test_evt_4_evt_5_a_running_connector_tells_a_receiver_what_came_while_another_one_hangs(
    tmp_path: Path, hub: RunningHub, programme: Programme
) -> None:
    prison_place = installed(tmp_path, programme, "gora-prison", hub.url)
    probation_place = installed(tmp_path, programme, "reka-probation", hub.url)
    (tmp_path / "webhook-secret").write_text(SECRET, encoding="utf-8")
    (tmp_path / "webhook-secret").chmod(0o600)
    async with receiving() as receiver, silent() as hanging:
        urls = [hanging, receiver.url]
        told = (
            f"[webhooks]\nurls = {json.dumps(urls)}\nhosts = {json.dumps([one.split('/')[2] for one in urls])}\n"
            f'secret_file = "{tmp_path / "webhook-secret"}"\ntimeout_s = 60\n'
        )
        async with running(*prison_place) as prison, running(*probation_place, told) as probation:

            async def known() -> bool:
                return bool((await probation.client.deliveries(DeliveryFilter())).webhooks)

            await until(known)
            await prison.send(probation.member)

            async def everything_told() -> bool:
                happened = len((await probation.client.events()).items)
                listed = (await probation.client.deliveries(DeliveryFilter())).items
                outstanding = [one for one in listed if one.url == receiver.url]
                return happened > 2 and len(receiver.calls) >= happened and not outstanding

            await until(everything_told)
            found = [Webhook(SECRET).verify(call.body, call.headers) for call in receiver.calls]
            assert {one["type"] for one in found} >= {
                "eu.throughcare.message.received.v1",
                "eu.throughcare.handover.offered.v1",
            }
            event = (await probation.client.events()).items[0]
            assert (await probation.client.replay(event.id)).webhooks == 2
            await until(lambda: told_again(event.id, receiver))


async def test_a_hub_that_is_killed_and_comes_back_loses_nothing(
    tmp_path: Path, hub_folder: Path, programme: Programme
) -> None:
    async with LyingHub() as relay, AsyncExitStack() as stack:
        prison_place = installed(tmp_path, programme, "gora-prison", relay.url)
        probation_place = installed(tmp_path, programme, "reka-probation", relay.url)
        relay.refuse["/v1/connect"] = 404
        async with RunningHub(hub_folder, programme, WallClock()) as first:
            relay.target = first.url
            prison = await stack.enter_async_context(running(*prison_place, poll_wait_s="1"))
            probation = await stack.enter_async_context(running(*probation_place, poll_wait_s="1"))
            relay.lose_answers.add("/v1/envelopes/batch")
            sent = [await prison.send(probation.member) for _ in range(3)]
            await until(lambda: asked(relay))
        relay.target = None
        sent.append(await prison.send(probation.member))
        relay.lose_answers.clear()
        async with RunningHub(hub_folder, programme, WallClock()) as second:
            relay.target = second.url
            await until(lambda: everything_opened(prison, *sent))
            assert (await probation.client.status()).counts.received == 4
            await stack.aclose()


async def asked(relay: LyingHub) -> bool:
    return bool(relay.paths("/v1/envelopes/batch"))


async def test_a_connector_starts_and_takes_handovers_while_its_hub_is_away(
    tmp_path: Path, hub_folder: Path, programme: Programme
) -> None:
    async with LyingHub() as relay:
        relay.refuse["/v1/connect"] = 404
        prison_place = installed(tmp_path, programme, "gora-prison", relay.url)
        async with RunningHub(hub_folder, programme, WallClock()) as first:
            relay.target = first.url
            async with running(*prison_place):
                pass
        relay.target = None
        async with running(*prison_place, poll_wait_s="1") as prison:
            sent = await prison.send(programme.members["reka-probation"])
            status = await prison.client.status()
            assert (status.hub.connected, status.counts.queued) == (False, 1)
            async with RunningHub(hub_folder, programme, WallClock()) as second:
                relay.target = second.url
                await until(lambda: accepted(prison, sent))


async def accepted(sender: RunningConnector, sent: MessageId) -> bool:
    return await sender.states(sent) == {MessageState.ACCEPTED}


async def test_err_2_nothing_readable_is_left_in_database_or_log(
    tmp_path: Path, hub: RunningHub, programme: Programme
) -> None:
    """Attack 61 at the connector, and CON-5."""
    places = [installed(tmp_path, programme, name, hub.url) for name in ("gora-prison", "reka-probation")]
    async with AsyncExitStack() as stack:
        prison, probation = [await stack.enter_async_context(running(*place)) for place in places]
        sent = await prison.send(probation.member)
        await until(lambda: everything_opened(prison, sent))
        view = await probation.client.handover(sent)
        assert view.sections[0].body["family_name"] == PLANTED
        logs = prison.logged.getvalue() + probation.logged.getvalue()
        searched = search(tmp_path)
    searched += search(tmp_path)
    assert searched == []
    assert PLANTED not in logs
    for line in logs.splitlines():
        assert "@hub.example" not in line
        assert "msg_" not in line


def search(folder: Path) -> list[Path]:
    """Return the files that hold the planted phrase, or a prekey's seed, or the passphrase where it does not belong."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file()
        and (PLANTED.encode() in path.read_bytes() or (path.name != "passphrase" and PASSPHRASE in path.read_bytes()))
    ]


async def test_con_5_the_search_would_find_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "leak.db").write_bytes(b"\x00" + PLANTED.encode())
    assert search(tmp_path) == [tmp_path / "leak.db"]


async def test_a_second_connector_on_one_installation_is_refused_and_the_first_goes_on(
    tmp_path: Path, hub: RunningHub, programme: Programme
) -> None:
    place = installed(tmp_path, programme, "gora-prison", hub.url)
    async with running(*place) as first:
        with pytest.raises(Conflict):
            async with running(*place):
                pass
        await first.client.status()
    async with running(*place) as again:
        await again.client.status()


@pytest.mark.parametrize(
    "fault", ["no passphrase", "wrong passphrase", "open passphrase", "no enrolment", "taken port", "no ca"]
)
async def test_a_connector_that_cannot_start_says_why_and_leaves_nothing_running(
    tmp_path: Path, hub: RunningHub, programme: Programme, fault: str
) -> None:
    folder, member = installed(tmp_path, programme, "gora-prison", hub.url)
    changes: dict[str, str] = {}
    if fault == "no passphrase":
        (folder / "passphrase").unlink()
    elif fault == "wrong passphrase":
        (folder / "passphrase").write_bytes(b"wrong")
    elif fault == "open passphrase":
        (folder / "passphrase").chmod(0o644)
    elif fault == "no enrolment":
        (folder / "enrolment.json").unlink()
    elif fault == "no ca":
        changes["ca_file"] = f'"{folder / "ca.pem"}"'
    else:
        changes["port"] = hub.url.rsplit(":", 1)[1]
    before = asyncio.all_tasks()
    with pytest.raises(KeystoreError if fault == "wrong passphrase" else ConfigurationError):
        async with running(folder, member, **changes):
            pass
    assert {task for task in asyncio.all_tasks() - before if "aiosqlite" not in repr(task)} == set()


async def test_a_connector_that_is_cancelled_stops_well(tmp_path: Path, hub: RunningHub, programme: Programme) -> None:
    folder, member = installed(tmp_path, programme, "gora-prison", hub.url)
    ready = asyncio.Event()
    logged = io.StringIO()
    task = asyncio.create_task(app.run(settings_of(folder), ready=lambda _: ready.set(), log=Log(logged, json=True)))
    await ready.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert json.loads(logged.getvalue().splitlines()[-1])["event"] == "connector-stopping"
    async with running(folder, member) as again:
        await again.client.status()


@pytest.mark.parametrize("cancelled", [False, True], ids=["stopped", "cancelled"])
async def test_a_loop_that_takes_its_cancellation_for_a_timeout_is_ended_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch, cancelled: bool
) -> None:
    """As aiohttp makes it do when one of its timeouts comes at the same moment."""
    entered, swallowed = asyncio.Event(), 0

    async def sync() -> int:
        nonlocal swallowed
        entered.set()
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if swallowed:
                    raise
                swallowed += 1

    monkeypatch.setattr(loops_module, "CANCEL_AGAIN_S", 0.01)
    monkeypatch.setattr(world.prison.parts.directory, "sync", sync)
    station, stop = world.prison, asyncio.Event()
    loops = Loops(station.parts, station.settings, world.hub.clock, Log(station.logged, json=True))
    working = asyncio.create_task(loops.run(stop))
    await entered.wait()
    if cancelled:
        working.cancel()
    else:
        stop.set()
    await asyncio.wait_for(asyncio.wait([working]), PATIENCE_S)
    assert swallowed == 1
    assert working.cancelled() is cancelled


async def test_a_part_that_fails_is_told_in_the_log_and_started_again(
    tmp_path: Path, hub: RunningHub, programme: Programme, monkeypatch: pytest.MonkeyPatch
) -> None:
    from connectors.sealer import Sealer

    prison_place = installed(tmp_path, programme, "gora-prison", hub.url)
    original, failures = Sealer.step, [ZeroDivisionError(), StoreFailed()]

    async def step(self: Sealer) -> int:
        if failures:
            raise failures.pop()
        return await original(self)

    monkeypatch.setattr(Sealer, "step", step)
    async with running(*prison_place) as prison:
        sent = await prison.send(programme.members["reka-probation"])
        await until(lambda: accepted(prison, sent))
        events = [json.loads(line) for line in prison.logged.getvalue().splitlines()]
    failed = [one["code"] for one in events if one["event"] == "part-failed"]
    assert failed == ["store-failed", "ZeroDivisionError"]


async def told_again(event: EventId, receiver: Receiver) -> bool:
    named = [call.headers["webhook-id"] for call in receiver.calls]
    return named.count(text(Kind.EVENT, event)) == 2
