# SPDX-License-Identifier: Apache-2.0
"""Fault 2 at a connector: the real program on a full disk says so, loses nothing, and goes on once there is room."""

import secrets
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from connectors.access import TOKEN_FILE
from connectors.api_client import ApiClient
from connectors.sandbox.processes import Child, Supervisor, program
from connectors.store.engine import DATABASE_FILE
from connectors.timing import system_clock
from protocol.errors import StoreFull
from protocol.http.handovers import Direction, HandoverRequest, MessageState
from protocol.ids import MessageId
from tests.connectors.running import RunningConnector, WallClock, everything_opened, installed, running, until
from tests.connectors.stations import package
from tests.faults.scarcity import Tmpfs, set_limit
from tests.hub.running import RunningHub
from tests.programme import Member, make_programme

if sys.platform == "win32":
    pytest.skip("limits of processes are set here", allow_module_level=True)

import resource

pytestmark = pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="prlimit is Linux's")


@dataclass(frozen=True, slots=True)
class ConnectorProgram:
    """`throughcare connector run` as a process of its own, and a client of its local interface."""

    child: Child
    client: ApiClient
    data: Path

    async def send(self, member: Member) -> MessageId:
        request = HandoverRequest(to=[member.desk], package=package())
        return (await self.client.send(request, idempotency_key=secrets.token_urlsafe(24))).id

    async def ids(self, direction: Direction) -> list[MessageId]:
        """Return the ids of all that came, or went."""
        found, cursor = list[MessageId](), None
        while True:
            page = await self.client.handovers(direction=direction, cursor=cursor)
            found += [item.id for item in page.items]
            if (cursor := page.next_cursor) is None:
                return found


@asynccontextmanager
async def started(data: Path, logs: Path) -> AsyncIterator[ConnectorProgram]:
    """Run the connector that is installed in `data`."""
    config = logs / "connector.toml"
    config.write_text(
        f'[connector]\ndata_dir = "{data}"\npassphrase_file = "{data / "passphrase"}"\nprofile = "demo"\n'
        'port = 0\ndirectory_every_s = 1\n[log]\nform = "json"\n'
    )
    environment = {"THROUGHCARE_HOME": str(logs / "home")}
    async with Supervisor(logs, environment) as supervisor:
        command = [program("throughcare"), "connector", "run", "--config", str(config), "--ready-json"]
        child = await supervisor.start("connector", command)
        async with ApiClient.of(child.ready["api_url"], data / TOKEN_FILE) as client:
            yield ConnectorProgram(child, client, data)


@asynccontextmanager
async def two_connectors(
    tmp_path: Path, data: Path
) -> AsyncIterator[tuple[ConnectorProgram, Member, RunningConnector, Member]]:
    """Run the probation office's connector as a program in `data`, and a centre for social work's in this process."""
    programme = make_programme(now=system_clock())
    office, csw = programme.members["reka-probation"], programme.members["polje-csw"]
    for name in ("hub", "logs"):
        (tmp_path / name).mkdir()
    async with RunningHub(tmp_path / "hub", programme, WallClock()) as hub:
        installed(data.parent, programme, data.name, hub.url)
        folder, _ = installed(tmp_path, programme, "polje-csw", hub.url)
        async with running(folder, csw) as other, started(data, tmp_path / "logs") as one:
            yield one, office, other, csw


async def until_full(one: ConnectorProgram, csw: Member, most: int = 400) -> list[MessageId]:
    """Hand messages over until the connector says that it is full; return those that it has taken."""
    taken = list[MessageId]()
    try:
        for _ in range(most):
            taken.append(await one.send(csw))
    except StoreFull:
        assert taken
        return taken
    raise AssertionError("the connector never got full")


async def check_full(
    one: ConnectorProgram, office: Member, other: RunningConnector, csw: Member, lift: Callable[[], object]
) -> None:
    """Against a connector that gets full: it says so, and all that was taken arrives once there is room, once."""
    taken = await until_full(one, csw)
    arriving = [await other.send(office) for _ in range(3)]

    async def is_told() -> bool:
        status = await one.client.status()
        return status.hub.error == StoreFull.code and StoreFull.code in one.child.log.read_text()

    await until(is_told)
    # It reads on, and what it could not store it has not acknowledged.
    assert set(await one.ids(Direction.SENT)) == set(taken)
    lift()
    await until(lambda: everything_opened(other, *arriving), 90)

    async def everything_arrived() -> bool:
        views = [await one.client.handover(message) for message in taken]
        return all(part.state is MessageState.OPENED for view in views for part in view.recipients)

    await until(everything_arrived, 90)
    found = await one.ids(Direction.RECEIVED)
    assert sorted(found) == sorted(set(found)) == sorted(arriving)
    assert sorted(await one.ids(Direction.SENT)) == sorted(taken)
    assert (await one.client.status()).counts.quarantined == 0
    assert "Traceback" not in one.child.log.read_text()


async def test_con_3_a_connector_that_finds_no_room_says_so_loses_nothing_and_goes_on(tmp_path: Path) -> None:
    """Without privileges: the largest size that a file of the process may have."""
    data = tmp_path / "reka-probation"
    async with two_connectors(tmp_path, data) as (one, office, other, csw):
        sizes = [(data / name).stat().st_size for name in (DATABASE_FILE, f"{DATABASE_FILE}-wal")]
        with set_limit(one.child.pid, resource.RLIMIT_FSIZE, max(sizes) + 200_000) as lift:
            await check_full(one, office, other, csw, lift)


@pytest.mark.full
async def test_con_3_a_connector_on_a_disk_of_six_megabytes_goes_on_when_it_is_freed(tmp_path: Path) -> None:
    """On a real small disk, where one may be mounted."""
    with Tmpfs(tmp_path / "disk", 6 << 20) as disk:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(4 << 20))
        async with two_connectors(tmp_path, disk / "reka-probation") as (one, office, other, csw):
            await check_full(one, office, other, csw, ballast.unlink)
