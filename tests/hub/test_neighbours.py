# SPDX-License-Identifier: Apache-2.0
"""What one hub process hears of another on the same database, and what it finds that nobody said."""

import asyncio
from enum import Enum
from pathlib import Path

import pytest

from hub import app
from hub.logs import make_log
from hub.store import postgres as engine
from hub.store.engine import News
from protocol.errors import ConfigurationError, StoreBehind, Unavailable
from protocol.limits import DAY, MINUTE
from tests.faults.proxy import Proxy
from tests.hub.pairs import KEEP, PUT_BACK, Pair, pair
from tests.hub.running import KEYS, RunningHub, eventually, make_settings, on_postgres
from tests.postgres import execute
from tests.programme import Programme

__all__ = ["pair"]


async def test_http_7_whoever_waits_at_one_process_is_told_of_what_the_other_accepts(pair: Pair) -> None:
    """Once by a notification, once, with nobody listening, by looking."""
    prison, probation, _ = pair.programme.members.values()
    neighbours, mailboxes = pair.second.hub.neighbours, pair.second.hub.mailboxes
    sender = pair.programme.sender("gora-prison")
    for listening in (True, False):
        tasks = [asyncio.create_task(pair.second.hub.store.listen(neighbours.hear))] if listening else []
        waiting = asyncio.create_task(pair.second.device(probation).read(await pair.first.leaves(), wait=20))
        await eventually(lambda: len(mailboxes._watchers) == 1)
        if listening:
            await eventually(lambda: neighbours._hearing)
        await pair.first.device(prison).submit(sender.seal(probation.desk).data)
        if not listening:
            neighbours._hearing = False
            await neighbours.look()
        _, items = await waiting
        assert len(items) == 1
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_http_7_what_was_missed_is_found_though_this_process_commits_meanwhile(pair: Pair) -> None:
    """A notification that never comes, or the lost answer to a commit of its own, must keep nobody waiting."""
    prison, probation, _ = pair.programme.members.values()
    sender = pair.programme.sender("gora-prison")
    neighbours = pair.second.hub.neighbours
    neighbours._hearing = True
    waiting = asyncio.create_task(pair.second.device(probation).read(0, wait=20))
    await eventually(lambda: len(pair.second.hub.mailboxes._watchers) == 1)
    await pair.first.device(prison).submit(sender.seal(probation.desk).data)
    await pair.second.device(prison).submit(sender.seal(pair.programme.members["polje-csw"].desk).data)
    neighbours.hear(News(frozenset(), 3, directory=False, before=2))
    await neighbours.look()
    _, items = await waiting
    assert len(items) == 1
    # What was heard of and what this process did itself is no gap, in whatever order it is told of.
    for before, size in ((4, 5), (2, 3), (3, 4)):
        neighbours.hear(News(frozenset(), size, directory=False, before=before))
    assert (neighbours._seen, neighbours._beyond) == (5, [])


class Learnt(Enum):
    """How a process knows what another has committed."""

    BY_LOOKING = "looking"
    BY_HEARING = "hearing"
    BY_SHOWING = "showing"


@pytest.mark.parametrize("by", Learnt)
async def test_aud_8_a_process_that_only_listened_stops_when_the_database_went_back(pair: Pair, by: Learnt) -> None:
    """It may have shown a receipt of a leaf that is gone, and must not sign another in its place."""
    prison, probation, _ = pair.programme.members.values()
    sender = pair.programme.sender("gora-prison")
    await pair.first.device(prison).submit(sender.seal(probation.desk).data)
    await execute(pair.url, *KEEP)
    await pair.first.device(prison).submit(sender.seal(probation.desk).data)
    match by:
        case Learnt.BY_LOOKING:
            await pair.second.hub.neighbours.look()
        case Learnt.BY_HEARING:
            pair.second.hub.neighbours.hear(News(frozenset(), 2, directory=False, before=1))
        case Learnt.BY_SHOWING:
            assert len(await pair.second.device(probation).items()) == 2
    await execute(pair.url, *PUT_BACK)
    with pytest.raises(Unavailable):
        await pair.second.hub.submissions.submit(prison.device_id, sender.seal(probation.desk).data)
    writing = pair.second.hub.writing
    assert writing is not None
    with pytest.raises(StoreBehind):
        await writing


async def test_aud_8_a_look_is_enough_to_notice_that_the_database_went_back(pair: Pair) -> None:
    prison, probation, _ = pair.programme.members.values()
    await execute(pair.url, *KEEP)
    await pair.first.device(prison).submit(pair.programme.sender("gora-prison").seal(probation.desk).data)
    await pair.second.hub.neighbours.look()
    await execute(pair.url, *PUT_BACK)
    with pytest.raises(Unavailable):
        await pair.second.hub.neighbours.look()
    assert not pair.second.hub.writer.healthy


async def test_http_7_a_connection_that_listens_and_leads_nowhere_is_noticed(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something between hub and server has forgotten it, and neither end is told."""
    monkeypatch.setattr(engine, "PROBE_S", 0.02)
    monkeypatch.setattr(engine, "STATEMENT_S", 0.2)
    async with Proxy(pair.url) as proxy:
        settings = make_settings(pair.second.folder, pair.programme, *on_postgres(proxy.url))
        store = await engine.PostgresStore.open(None, settings.store)
        heard = list[News]()
        listening = asyncio.create_task(store.listen(heard.append))
        await eventually(lambda: bool(heard))
        await asyncio.sleep(0.1)
        assert not listening.done()
        proxy.flowing.clear()
        async with asyncio.timeout(20):
            await listening
        proxy.flowing.set()
        await store.close()


async def test_aud_7_a_process_with_another_day_than_the_server_does_not_start(
    tmp_path: Path, postgres_url: str, programme: Programme, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would take the logs' time along, and every process that is right would have to wait for that day."""
    settings = make_settings(tmp_path, programme, *on_postgres(postgres_url))
    right = app.system_clock
    for wrong in (11 * MINUTE, -DAY):
        monkeypatch.setattr(app, "system_clock", lambda ahead=wrong: right() + ahead)
        with pytest.raises(ConfigurationError, match="differ by over 10 minutes"):
            await app.Hub.open(settings, KEYS, log=make_log("error", "json"), clock=app.system_clock)
    monkeypatch.undo()
    hub = await app.Hub.open(settings, KEYS, log=make_log("error", "json"), rounds=False)
    await hub.close()


async def test_a_hub_that_is_alone_remembers_no_commits_for_a_look_that_never_comes(
    tmp_path: Path, programme: Programme
) -> None:
    prison, probation, _ = programme.members.values()
    sender = programme.sender("gora-prison")
    for _ in range(2):
        async with RunningHub(tmp_path, programme) as hub:
            for _ in range(3):
                await hub.device(prison).submit(sender.seal(probation.desk).data)
            assert hub.hub.neighbours._beyond == []
