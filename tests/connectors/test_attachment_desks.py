# SPDX-License-Identifier: Apache-2.0
"""Two desks of one connector each got sections under the same numbers: none is taken for the other's."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from connectors import home
from connectors.access import TOKEN_FILE, ensure_token
from connectors.api import application
from connectors.api_client import ApiClient
from connectors.cli.attachments import _save
from connectors.cli.handover import describe
from connectors.logs import Log
from protocol.clearance import DeskFunction
from protocol.errors import Conflict, NotFound
from protocol.http.handovers import HandoverRequest, NamedAttachment
from protocol.http.running import Runner, listen
from protocol.ids import MessageId
from tests.connectors.conftest import World
from tests.connectors.stations import Station, api_of, package, person_section, station
from tests.connectors.test_attachments import carry, fetch, store

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")

FUNCTIONS = {"intake": "probation-intake", "supervision": "probation-supervision"}
CONTENT = {"intake": b"the letter", "supervision": b"the scan"}


@asynccontextmanager
async def two_desks(folder: Path, world: World) -> AsyncIterator[Station]:
    """Open the connector of an agency with two desks."""
    world.hub.programme.now = world.hub.clock()
    member = world.hub.programme.enrol("velika-probation", "probation", FUNCTIONS)
    await world.hub.catch_up()
    await world.prison.look()
    async with station(folder, world.hub, member) as both:
        yield both


@asynccontextmanager
async def served(station: Station, world: World) -> AsyncIterator[home.Profile]:
    """Serve the local interface of a station, and yield how commands find it."""
    token = ensure_token(station.folder)
    log = Log(station.logged, json=True)
    runner = Runner(application(api_of(station), token, world.hub.clock, log), clock=world.hub.clock)
    url = f"http://localhost:{await listen(runner, '127.0.0.1', 0)}"
    yield home.Profile("velika-probation", station.desk, url, str(station.folder / TOKEN_FILE), str(station.folder))
    await runner.cleanup()


async def copied(world: World, both: Station) -> MessageId:
    """Send a handover with a section and an attachment for each of the two desks, and one section for all."""
    meant = {
        "intake": (DeskFunction.PROBATION_INTAKE,),
        "supervision": (DeskFunction.PROBATION_SUPERVISION,),
    }
    sections = [person_section(name).model_copy(update={"functions": to}) for name, to in meant.items()]
    attached = [await store(world.prison, data) for data in CONTENT.values()]
    request = HandoverRequest(
        to=[world.probation.desk, *both.installation.enrolment.desks],
        package=package(*sections),
        attachments=[NamedAttachment(id=one, section=number) for number, one in enumerate(attached, start=1)],
    )
    key = secrets.token_urlsafe(24)
    sent = (await world.prison.parts.handovers.send(request, key=key, body=key.encode())).answer.id
    await carry(world.prison)
    await fetch(both)
    return sent


async def test_con_9_an_attachment_is_that_of_the_desk_that_is_named_and_none_is_picked(
    world: World, tmp_path: Path
) -> None:
    async with two_desks(tmp_path / "two", world) as both, served(both, world) as profile:
        sent = await copied(world, both)
        view = await both.view(sent)
        names = {desk.partition(".")[0]: desk for desk in both.installation.enrolment.desks}
        shown = [(one.number, one.desks, one.body["family_name"]) for one in view.sections]
        assert shown == [(1, [names[name]], name) for name in CONTENT]
        async with ApiClient.of(profile.api_url, Path(profile.token_file)) as client:
            with pytest.raises(Conflict, match="recipient"):
                await anext(client.attachment(sent, 1, 0))
            for name, content in CONTENT.items():
                pieces = client.attachment(sent, 1, 0, sender=world.prison.desk, recipient=names[name])
                assert b"".join([piece async for piece in pieces]) == content
            for unknown in (world.prison.desk, world.probation.desk):
                with pytest.raises(NotFound):
                    await anext(client.attachment(sent, 1, 0, recipient=unknown))
        # Of two that came, one that is still on its way is not the one that is meant either.
        async with both.parts.store.write() as tx:
            await tx.connection.exec_driver_sql("UPDATE attachment_in SET state = 'waiting' WHERE position = 1")
        with pytest.raises(Conflict):
            await both.parts.attachments.open(sent, 1, 0)


async def test_con_9_each_desk_s_attachments_are_saved_under_names_of_their_own(world: World, tmp_path: Path) -> None:
    async with two_desks(tmp_path / "two", world) as both, served(both, world) as profile:
        sent = await copied(world, both)
        saved = await _save(profile, sent, tmp_path / "saved")
        assert {path.name: path.read_bytes() for path in (tmp_path / "saved").iterdir()} == {
            f"{name}-1-1-scan.pdf": content for name, content in CONTENT.items()
        }
        assert [one["desk"] for one in saved] == list(both.installation.enrolment.desks)
        lines = [line for line in describe("velika", await both.view(sent)) if "  section" in line]
        assert [line.split(": ")[0].strip() for line in lines] == [
            f"section 1 (to {desk})" for desk in both.installation.enrolment.desks
        ]
