# SPDX-License-Identifier: Apache-2.0
"""How long a connector waits with an attachment that is refused now and then while it gets on (CON-2)."""

import pytest
from sqlalchemy import text

from connectors.hub_client import BlobLink
from connectors.store.attempts import AttemptState
from protocol.errors import Unavailable
from protocol.http.handovers import MessageState
from protocol.limits import BLOB_CHUNK, SECOND
from tests.connectors.conftest import World
from tests.connectors.stations import Station
from tests.connectors.test_attachments import carry, read, send, store

CHUNKS = 6


class Hesitant:
    """Refuses every other chunk, and all of them once `shut`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.asked = 0
        self.shut = False
        real = getattr(BlobLink, name)

        async def refusing(link: BlobLink, *arguments: object) -> object:
            self.asked += 1
            if self.shut or self.asked % 2 == 0:
                raise Unavailable
            return await real(link, *arguments)

        monkeypatch.setattr(BlobLink, name, refusing)


async def number(station: Station, column: str, table: str) -> int:
    async with station.parts.store.read() as tx:
        return int(await tx.connection.scalar(text(f"SELECT max({column}) FROM {table}")))  # noqa: S608


async def test_con_2_an_upload_that_gets_on_waits_as_after_its_first_failure(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one of 1,025 chunks, refused here and there, would soon wait an hour after each."""
    hesitant = Hesitant(monkeypatch, "upload")
    data = bytes(BLOB_CHUNK * CHUNKS)
    sent = await send(world, (await store(world.prison, data), 1))
    await world.prison.seal_and_send()
    for _ in range(CHUNKS):
        await world.prison.parts.uploads.step()
        assert await number(world.prison, "tries", "attempt") == 1
        world.hub.clock.advance(SECOND)
    hesitant.shut = True
    for tries in (2, 3):
        world.hub.clock.now = await number(world.prison, "next_try_at", "attempt")
        await world.prison.parts.uploads.step()
        assert await number(world.prison, "tries", "attempt") == tries
    hesitant.shut, hesitant.asked = False, 0
    world.hub.clock.now = await number(world.prison, "next_try_at", "attempt")
    await world.prison.parts.uploads.step()
    # Nor does the sending begin with what was waited for before.
    async with world.prison.parts.store.read() as tx:
        (found,) = await tx.connection.execute(text("SELECT state, tries FROM attempt"))
    assert tuple(found) == (AttemptState.READY, 0)
    await carry(world.prison)
    assert set((await world.prison.states(sent)).values()) == {MessageState.ACCEPTED}


async def test_con_2_a_download_that_gets_on_waits_as_after_its_first_failure(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytes(BLOB_CHUNK * CHUNKS)
    sent = await send(world, (await store(world.prison, data), 1))
    await carry(world.prison)
    hesitant = Hesitant(monkeypatch, "read")
    await world.probation.collect()
    for _ in range(CHUNKS):
        await world.probation.parts.downloads.step()
        assert await number(world.probation, "tries", "attachment_in") == 1
        world.hub.clock.advance(SECOND)
    hesitant.shut = True
    for tries in (2, 3):
        world.hub.clock.now = await number(world.probation, "next_try_at", "attachment_in")
        await world.probation.parts.downloads.step()
        assert await number(world.probation, "tries", "attachment_in") == tries
    hesitant.shut, hesitant.asked = False, 0
    world.hub.clock.now = await number(world.probation, "next_try_at", "attachment_in")
    await world.probation.parts.downloads.step()
    assert await read(world.probation, sent) == data
