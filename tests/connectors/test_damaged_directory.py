# SPDX-License-Identifier: Apache-2.0
"""A disk damages what is stored of the directory: it is fetched anew, and what was seen binds the hub all the same."""

from pathlib import Path

import pytest
from sqlalchemy import text

from connectors.freshness import Freshness
from keys.directory import Directory
from protocol.errors import DirectoryInconsistent, DirectoryStale
from protocol.http.hub import StatementAccepted, StatementSubmission
from protocol.receipts import Head
from tests.connectors.exchanges import exchange, ghost, restoration
from tests.connectors.lyinghub import HEAD, STATEMENTS, bend_statements
from tests.connectors.restoredhub import Story, shown
from tests.connectors.stations import Station
from tests.connectors.test_directory_sync import Scene, resigned, scene
from tests.programme import make_programme

__all__ = ["scene"]


async def spoil(station: Station, table: str, where: str) -> None:
    """Write other bytes over a stored value, as a failing disk does."""
    async with station.parts.store.write() as tx:
        await tx.connection.execute(text(f"UPDATE {table} SET sealed = zeroblob(100) WHERE {where}"))  # noqa: S608


async def test_con_8_a_stored_statement_that_was_altered_is_not_believed_but_fetched_anew(scene: Scene) -> None:
    directory = scene.prison.parts.directory
    await scene.prison.look()
    whole = directory.directory.root
    await spoil(scene.prison, "statement", "idx = 3")
    await directory.load()
    assert scene.size == 3
    with pytest.raises(DirectoryStale):
        directory.check_sealing()
    await directory.sync()
    assert directory.directory.root == whole
    await directory.load()
    assert (directory.directory.root, scene.freshness) == (whole, Freshness.NORMAL)


@pytest.mark.parametrize("shown", ["older", "other"])
async def test_dir_10_what_was_seen_binds_the_hub_also_where_the_disk_has_damaged_it(scene: Scene, shown: str) -> None:
    await scene.prison.look()
    await spoil(scene.prison, "statement", "idx = 3")
    await scene.prison.parts.directory.load()
    if shown == "older":
        size = scene.hub.programme.directory.size - 1
        root = scene.hub.programme.directory.root_at(size) or b""
        scene.lying.bends[HEAD] = resigned(lambda head: Head(head.origin, size, root, head.at))
    else:
        other = make_programme()
        other.statements, other.directory = [], Directory(other.fingerprint, other.domain)
        for raw in scene.hub.programme.statements[:3]:
            other.add(raw)
        while other.directory.size < scene.hub.programme.directory.size:
            other.enrol(f"other-{other.directory.size}", "ngo", {"intake": "ngo"})
        scene.lying.bends[STATEMENTS] = bend_statements(lambda _: other.statements[3:])
        size, root = other.directory.size, other.directory.root
        scene.lying.bends[HEAD] = resigned(lambda head: Head(head.origin, size, root, head.at))
    with pytest.raises(DirectoryInconsistent):
        await scene.prison.parts.directory.sync()
    assert scene.size == 3
    with pytest.raises(DirectoryInconsistent):
        scene.prison.parts.directory.check_sealing()
    scene.lying.bends.clear()
    await scene.prison.parts.directory.sync()
    assert scene.freshness is Freshness.NORMAL


async def test_con_8_a_stored_head_that_cannot_be_read_is_looked_at_anew_before_anything_is_sealed(
    scene: Scene,
) -> None:
    await scene.prison.look()
    await spoil(scene.prison, "meta", "name = 'directory-head'")
    await scene.prison.parts.directory.load()
    with pytest.raises(DirectoryStale):
        scene.prison.parts.directory.check_sealing()
    await scene.prison.parts.directory.sync()
    assert scene.freshness is Freshness.NORMAL


@pytest.mark.parametrize("honest_hub", [True, False])
@pytest.mark.parametrize("row", [1, 2, 4])
async def test_gen_9_con_8_a_damaged_row_makes_no_connector_forget_an_exchange_or_what_it_hands_back(
    tmp_path: Path, row: int, honest_hub: bool
) -> None:
    """What can be read behind it says who signs by now; what was damaged, former approvers have signed."""
    story = Story(tmp_path)
    programme = story.programme
    first, leaver, stays = programme.approvers
    kept = programme.directory.size
    exchanged = exchange(programme, 1)
    prekey = programme.add_prekey(programme.members["polje-csw"], epoch=2)
    async with story.lied_to() as (prison, liar):
        await spoil(prison, "statement", f"idx = {row}")
        sync = prison.parts.directory
        await sync.load()
        assert (sync.directory.size, sync.directory.generation) == (row, 0)

        def show(*behind: bytes) -> None:
            line = [*programme.statements[:kept], *behind]
            shown(story, kept, list(behind), [kept])(liar)
            liar.bends[STATEMENTS] = bend_statements(lambda page: line[programme.statements.index(page[0]) :])

        by_who_left = restoration(programme, kept, [first, leaver])
        honest = restoration(programme, kept, [first, stays])
        if not honest_hub:
            for forged, said in (
                ([by_who_left, ghost(programme, [first, leaver])], "brought back first"),
                ([honest, ghost(programme, [first, leaver]), exchanged], "before the exchange was back"),
            ):
                show(*forged)
                with pytest.raises(DirectoryInconsistent, match=said):
                    await sync.sync()
                assert (sync.directory.size, sync.directory.generation) == (row, 0)
            return
        show(honest)
        liar.swallow[STATEMENTS] = StatementAccepted(index=kept + 1).model_dump_json().encode()
        with pytest.raises(DirectoryInconsistent, match="does not show what it was given back"):
            await sync.sync()
        posted = [StatementSubmission.model_validate_json(raw).statement for raw in liar.paths(STATEMENTS) if raw]
        assert posted[-2:] == [exchanged, prekey]
        liar.bends.clear()
        show(honest, exchanged, prekey)
        await sync.sync()
        assert (sync.directory.generation, sync.directory.size) == (1, kept + 3)
        assert not sync.check_sealing()
