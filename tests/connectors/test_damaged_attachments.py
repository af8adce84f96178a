# SPDX-License-Identifier: Apache-2.0
"""One attachment that the disk has damaged hinders no other of its message, and is told by name (CON-28, ATT-7)."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import update

from connectors import home
from connectors.access import TOKEN_FILE
from connectors.cli import main
from connectors.doctor.attached import examine_files
from connectors.doctor.standing import examine_standing
from connectors.store import tables
from protocol.diagnosis import Condition
from protocol.errors import KeystoreError
from protocol.http.handovers import MessageState
from protocol.ids import Kind, MessageId, text
from tests.connectors.cases.test_thread_api import Served, serve
from tests.connectors.conftest import World
from tests.connectors.stations import Station
from tests.connectors.test_attachments import carry, fetch, fetched, files, read, send, shown, store

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")

WORDS = (b"the first", b"the second", b"the third")


@pytest.fixture
async def probation(world: World) -> AsyncIterator[Served]:
    async for one in serve(world.probation, world):
        yield one


async def sent_with_three(world: World) -> MessageId:
    """Send a handover with three attachments in its first section, for probation and social work."""
    stored = [await store(world.prison, data, place) for place, data in enumerate(WORDS)]
    sent = await send(world, *((one, 1) for one in stored))
    await carry(world.prison)
    return sent


async def spoil_row(station: Station, place: int) -> None:
    async with station.parts.store.write() as tx:
        there = tables.attachment_in
        await tx.connection.execute(update(there).where(there.c.place == place).values(sealed=bytes(60)))


def spoil_file(station: Station, place: int) -> Path:
    file = sorted(fetched(station), key=lambda path: int(path.name.split("-")[1]))[place]
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    return file


async def states(station: Station, message_id: MessageId) -> list[str]:
    return [state for _, _, _, state in await shown(station, message_id)]


@pytest.mark.parametrize("fetched_before", [False, True])
async def test_con_28_a_damaged_row_hinders_no_other_attachment_and_is_mended_by_the_next_sealing(
    world: World, fetched_before: bool
) -> None:
    sent = await sent_with_three(world)
    await world.probation.collect()
    if fetched_before:
        await fetch(world.probation)
    await spoil_row(world.probation, 1)
    await fetch(world.probation)
    assert await states(world.probation, sent) == ["stored", "damaged", "stored"]
    assert [await read(world.probation, sent, 1, place) for place in (0, 2)] == [WORDS[0], WORDS[2]]
    with pytest.raises(KeystoreError, match="cannot be read"):
        await read(world.probation, sent, 1, 1)
    await world.probation.seal_and_send()
    await world.prison.collect()
    opened = (await world.prison.states(sent))[world.probation.desk] is MessageState.OPENED
    assert opened is fetched_before, "what never came is not said to have come"
    async with world.prison.parts.store.write() as tx:
        await tx.connection.execute(update(tables.recipient).values(state="queued"))
    await carry(world.prison)
    await fetch(world.probation)
    assert await world.probation.quarantined() == []
    assert await states(world.probation, sent) == ["stored"] * 3
    assert await read(world.probation, sent, 1, 1) == WORDS[1]
    await world.probation.seal_and_send()
    await world.prison.collect()
    assert (await world.prison.states(sent))[world.probation.desk] is MessageState.OPENED


async def test_con_28_what_is_saved_is_all_but_the_damaged_one_which_is_named(
    probation: Served, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = await sent_with_three(world)
    await fetch(world.probation)
    spoil_file(world.probation, 0)
    await spoil_row(world.probation, 1)
    monkeypatch.setenv("THROUGHCARE_HOME", str(tmp_path))
    folder = world.probation.folder
    known = home.Profile("reka", world.probation.desk, probation.url, str(folder / TOKEN_FILE), str(folder))
    home.register(known)
    words = ["handover", "save", text(Kind.MESSAGE, sent), "--agency", "reka", "--out", str(tmp_path / "out"), "--json"]
    assert await asyncio.to_thread(main, words) == 8, "as for a damaged store"
    assert [one.read_bytes() for one in (tmp_path / "out").iterdir()] == [WORDS[2]], "and nothing of the others"
    out, err = capsys.readouterr()
    assert [one["state"] for one in json.loads(out)["items"]] == ["damaged", "damaged", "stored"]
    assert "section 1, attachment 1 (scan.pdf) is damaged" in err
    assert "section 1, attachment 2 is damaged" in err
    assert "throughcare doctor" in err


async def test_con_28_the_doctor_names_the_file_and_the_message_of_a_damaged_attachment(world: World) -> None:
    sent = await sent_with_three(world)
    await fetch(world.probation)
    for station in (world.prison, world.probation):
        (sound,) = await examine_files(station.parts.store, station.folder)
        assert sound.condition is Condition.OK
    file = spoil_file(world.probation, 1)
    found = await examine_standing(world.probation.settings, world.probation.installation, world.hub.clock)
    (told,) = [one for one in found if one.check == "attachment files"]
    assert told.condition is Condition.FAULT
    assert f"section 1, attachment 2 of {text(Kind.MESSAGE, sent)} ({file.name})" in told.found
    assert told.found.startswith("1 is not")
    assert "Ask the sender" in str(told.fix)
    (unread,) = await examine_files(world.probation.parts.store, world.probation.folder, most=0)
    assert (unread.condition, "Of 3 older ones" in unread.found) == (Condition.OK, True), "their sizes are right"
    file.unlink()
    (gone,) = await examine_files(world.probation.parts.store, world.probation.folder, most=0)
    assert file.name in gone.found
    for one in files(world.prison):
        one.write_bytes(one.read_bytes()[:-1])
    (ours,) = await examine_files(world.prison.parts.store, world.prison.folder)
    named = f"one of ours of {text(Kind.MESSAGE, sent)}, attachment"
    assert ours.found.startswith(f"3 are not as they were stored: {named} ")
    assert {f"{named} {number} of its section (out-" in ours.found for number in (1, 2)} == {True}


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("damage", [flip, Path.unlink, lambda file: file.write_bytes(b""), None])
async def test_con_28_one_of_ours_that_is_damaged_before_it_went_fails_as_that_and_holds_up_no_other(
    world: World, damage: Callable[[Path], object] | None
) -> None:
    """As no fault of the request, which the hub's refusal of a file with another hash would be."""
    spoilt = await sent_with(world, b"planted")
    (file,) = files(world.prison)
    whole = await sent_with(world, b"another")
    if damage is None:
        async with world.prison.parts.store.write() as tx:
            there = tables.attachment_out
            await tx.connection.execute(update(there).where(there.c.message_id == spoilt).values(sealed=bytes(60)))
    else:
        damage(file)
    await carry(world.prison)
    for one in (await world.prison.view(spoilt)).recipients:
        assert (one.state, one.error) == (MessageState.FAILED, "attachment-missing")
        assert "throughcare doctor" in str(one.detail)
        assert "each of its files anew" in str(one.detail)
    assert set((await world.prison.states(whole)).values()) == {MessageState.ACCEPTED}


async def sent_with(world: World, data: bytes) -> MessageId:
    return await send(world, (await store(world.prison, data), 1))


async def test_the_doctor_takes_what_is_deleted_while_it_looks_for_no_damage(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store(world.prison, b"an invented scan")
    parts = world.prison.parts
    real = asyncio.to_thread

    async def meanwhile(*arguments: object) -> object:
        world.hub.clock.advance(8 * 24 * 3_600_000)
        monkeypatch.undo()
        await parts.attachments.sweep()
        return await real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncio, "to_thread", meanwhile)
    (found,) = await examine_files(parts.store, world.prison.folder)
    assert found.condition is Condition.OK
    assert await examine_files(parts.store, world.prison.folder) == []
