# SPDX-License-Identifier: Apache-2.0
"""A hub restored from a backup older than what it signed: a new generation by the authority's word, or no service."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, update

from hub.app import Hub
from hub.backups.restoring import Evidence, restore_in_place
from hub.logs import make_log
from hub.service.guard import Guard
from hub.service.logcheck import check_everything
from hub.service.restorerequest import REQUEST_NAME, read_request
from hub.store import trees
from hub.store.tables import delivery, detail, envelope, leaf, section, tree
from hub.store.trees import Log
from keys.verifying import verify_head, verify_receipt
from protocol.errors import (
    ConfigurationError,
    EnrolmentRefused,
    InvalidInput,
    NotFound,
    PolicyDenied,
    StoreBehind,
    UntrustedKey,
)
from protocol.generations import SPAN
from protocol.http import hub as api
from protocol.receipts import Leaf, RestoredDetail, commitment
from protocol.statements import parse_statement
from protocol.tree import CompactRange
from tests.hub.backups import agreed, back_up, restore_at, resume_at, seal_keys, signed_by_authority
from tests.hub.loss import BASE, LATER, UNUSED, USED, Loss
from tests.hub.running import KEYS, RunningHub, TestClock, make_settings, on_postgres
from tests.hub.test_enrolment import fetch, redeem, request
from tests.postgres import database
from tests.programme import make_programme

pytestmark = pytest.mark.usefixtures("quick_keys")


@pytest.fixture
async def loss(tmp_path: Path) -> Loss:
    made = Loss(tmp_path, make_programme())
    await made.happen()
    return made


async def test_gen_2_a_hub_that_lost_something_serves_only_by_its_authoritys_word(loss: Loss) -> None:
    standing = await restore_at(loss.new, loss.programme, loss.file, loss.old / "hub.guard", now=LATER)
    assert not standing.certain
    assert (standing.known[Log.AUDIT].size, standing.known[Log.DIRECTORY].size) == (7, 15)
    with pytest.raises(StoreBehind, match="waits for its authority"):
        await _open(loss)
    request = read_request(loss.new)
    assert (request.generation, request.audit.size, request.audit.known_size) == (1, 4, 7)
    for approvers in (1, 0):
        raw = signed_by_authority(loss.new, loss.programme, approvers=approvers or 1)
        with pytest.raises(UntrustedKey):
            await resume_at(loss.new, loss.programme, statement=raw)
    with pytest.raises(ConfigurationError, match="another request"):
        await resume_at(loss.new, loss.programme, statement=loss.programme.statements[0])
    with pytest.raises(ConfigurationError, match="no statement"):
        await resume_at(loss.new, loss.programme, statement=b"x")
    with pytest.raises(StoreBehind, match="waits for its authority"):
        await _open(loss)
    # Even without the request there is no guard that would let it start.
    (loss.new / REQUEST_NAME).unlink()
    with pytest.raises(StoreBehind, match="knows nothing of it"):
        await _open(loss)


async def _open(loss: Loss) -> None:
    await Hub.open(make_settings(loss.new, loss.programme), KEYS, log=make_log("error", "json"), rounds=False)


async def test_gen_1_no_two_heads_of_one_origin_and_size_ever_differ(loss: Loss) -> None:
    await restore_at(loss.new, loss.programme, loss.file, now=LATER)
    await loss.resume()
    async with RunningHub(loss.new, loss.programme, TestClock(LATER)) as hub:
        heads = dict(loss.heads)
        for _ in range(6):
            sealed = loss.sender.seal(loss.office.desk, now=LATER)
            raw = await hub.device(loss.prison).submit(sealed.data)
            body = verify_receipt(raw, BASE, KEYS.audit.public, (4,))
            assert body.origin == f"{BASE}/1"
            assert heads.setdefault((body.origin, body.size), body.root) == body.root
        directory = hub.hub.directory.directory
        head = verify_head(await hub.hub.directory.head(), "hub.example/directory/1", KEYS.directory.public)
        assert heads.setdefault((head.origin, head.size), head.root) == head.root
        # What was kept has the receipts that it always had, byte for byte.
        for data, receipt in loss.kept.items():
            assert await hub.device(loss.prison).submit(data) == receipt
        assert {origin for origin, _ in heads} == {BASE, f"{BASE}/1", directory.origin, "hub.example/directory"}
        first = (await hub.hub.store.read(lambda connection: trees.leaves(connection, Log.AUDIT, 4, 1)))[0]
        query = select(detail.c.salt, detail.c.detail).where(detail.c.idx == 4)
        salt, committed = await hub.hub.store.read(lambda connection: connection.execute(query).one())
        restored = RestoredDetail(parse_statement(loss.programme.statements[-1]).digest, directory.size, directory.root)
        assert committed == restored.encode()
        assert Leaf.parse(first).commitment == commitment(salt, committed)
    settings = make_settings(loss.new, loss.programme)
    assert await check_everything(settings) == {"hub.example/directory/1": 15, f"{BASE}/1": 11}
    async with RunningHub(loss.new, loss.programme, TestClock(LATER)) as hub:
        assert await hub.leaves() == 11


async def test_gen_3_a_reader_from_before_misses_nothing_and_gives_up_nothing_unread(loss: Loss) -> None:
    await restore_at(loss.new, loss.programme, loss.file, now=LATER)
    await loss.resume()
    async with RunningHub(loss.new, loss.programme, TestClock(LATER)) as hub:
        office = hub.device(loss.office)
        new = [loss.sender.seal(loss.office.desk, now=LATER).data for _ in range(4)]
        for data in new:
            await hub.device(loss.prison).submit(data)
        # It had read and acknowledged up to leaf 5 of the lost part; leaves 5 to 8 are others now.
        cursor, items = await office.read(6)
        assert [item.index for item in items] == [SPAN + index for index in (5, 6, 7, 8)]
        assert cursor == SPAN + 9
        await office.acknowledge(6)
        assert [item.index for item in await office.items()] == [SPAN + index for index in (5, 6, 7, 8)]
        await office.acknowledge(SPAN + 6)
        assert [item.index for item in await office.items()] == [SPAN + index for index in (7, 8)]
        for beyond in (SPAN + 9, 2 * SPAN):
            with pytest.raises(InvalidInput):
                await office.acknowledge(beyond)
        info = await hub.anonymous.call(api.GET_HUB, api.HubInfo)
        assert info.kept_statements == [14]


async def test_gen_2_a_running_hub_takes_no_restoration_from_the_network(loss: Loss) -> None:
    await restore_at(loss.new, loss.programme, loss.file, now=LATER)
    raw = signed_by_authority(loss.new, loss.programme)
    async with RunningHub(loss.old, loss.programme) as hub:
        with pytest.raises(PolicyDenied):
            await hub.hub.directory.append(raw)


async def test_gen_6_codes_end_unless_their_use_is_known(loss: Loss) -> None:
    await restore_at(loss.new, loss.programme, loss.file, now=LATER)
    await loss.resume()
    async with RunningHub(loss.new, loss.programme, TestClock(LATER)) as hub:
        with pytest.raises(NotFound):
            await fetch(hub, UNUSED)
        with pytest.raises(EnrolmentRefused):
            await redeem(hub, request(secret=UNUSED), secret=UNUSED)
        assert (await fetch(hub, USED)).request


async def test_gen_5_connectors_hand_back_the_directory_and_show_how_far_the_logs_had_come(loss: Loss) -> None:
    standing = await restore_at(loss.new, loss.programme, loss.file, now=LATER, witnesses=[loss.witness()])
    request = read_request(loss.new)
    assert (request.directory.size, request.directory.known_size) == (15, 15)
    assert (request.audit.size, request.audit.known_size) == (4, 7)
    assert not standing.certain
    await loss.resume()
    async with RunningHub(loss.new, loss.programme, TestClock(LATER)) as hub:
        assert hub.hub.directory.directory.newest_prekey(loss.office.device_id) is not None
        assert hub.hub.directory.directory.size == 16


async def test_gen_5_with_guard_and_witness_a_loss_of_statements_alone_is_no_loss(loss: Loss, tmp_path: Path) -> None:
    other = Loss(tmp_path / "other", make_programme())
    (tmp_path / "other").mkdir()
    other.old.mkdir()
    seal_keys(other.old)
    async with RunningHub(other.old, other.programme) as hub:
        await back_up(hub, other.file)
        other.programme.add_prekey(other.office, epoch=2)
        await hub.catch_up()
        other.head = await hub.hub.directory.head()
    guard = other.old / "hub.guard"
    standing = await restore_at(
        other.new, other.programme, other.file, guard, now=LATER, witnesses=[other.witness(receipt=False)]
    )
    assert standing.certain
    async with RunningHub(other.new, other.programme, TestClock(LATER)) as hub:
        assert hub.hub.directory.directory.origin == "hub.example/directory"
        assert hub.hub.directory.directory.size == 15


async def test_gen_5_a_witness_that_lies_is_refused(loss: Loss) -> None:
    path = loss.witness(statements=14)
    with pytest.raises(StoreBehind, match="do not lead to"):
        await restore_at(loss.new, loss.programme, loss.file, now=LATER, witnesses=[path])
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ConfigurationError, match="no witness"):
        await restore_at(loss.new, loss.programme, loss.file, now=LATER, witnesses=[path])
    whole = bytearray(loss.witness().read_bytes())
    whole[60] ^= 1
    path.write_bytes(bytes(whole))
    with pytest.raises(ConfigurationError, match="no witness"):
        await restore_at(loss.new, loss.programme, loss.file, now=LATER, witnesses=[path])
    assert [one.name for one in loss.new.iterdir()] == ["passphrase"]


async def test_gen_2_a_resume_that_was_cut_off_is_finished_when_it_is_typed_again(loss: Loss) -> None:
    await restore_at(loss.new, loss.programme, loss.file, now=LATER)
    raw, request = signed_by_authority(loss.new, loss.programme), (loss.new / REQUEST_NAME).read_bytes()
    await resume_at(loss.new, loss.programme, now=LATER, statement=raw)
    # As if the machine had stopped after the commit: no guard yet, the request still there.
    (loss.new / REQUEST_NAME).write_bytes(request)
    (loss.new / "hub.guard").unlink()
    again = await resume_at(loss.new, loss.programme, now=LATER, statement=raw)
    assert (again.generation, again.voided_codes) == (1, 0)
    with pytest.raises(ConfigurationError, match="no restore waits"):
        await resume_at(loss.new, loss.programme, now=LATER, statement=raw)
    loss.programme.lose(14, raw)
    async with RunningHub(loss.new, loss.programme, TestClock(LATER)) as hub:
        assert await hub.leaves() == 5


async def test_gen_2_a_backup_of_before_a_restore_is_never_used_again(loss: Loss) -> None:
    await restore_at(loss.new, loss.programme, loss.file, now=LATER)
    await loss.resume()
    third = loss.folder / "third"
    with pytest.raises(StoreBehind, match="before an earlier restore"):
        await restore_at(third, loss.programme, loss.file, loss.new / "hub.guard", now=LATER)
    # A backup of after it is good, and the next loss begins the next generation.
    async with RunningHub(loss.new, loss.programme, TestClock(LATER)) as hub:
        later = loss.folder / "later.backup"
        await back_up(hub, later)
        await hub.device(loss.prison).submit(loss.sender.seal(loss.office.desk, now=LATER).data)
    await restore_at(third, loss.programme, later, now=LATER)
    request = read_request(third)
    assert (request.generation, request.audit.size) == (2, 5)


async def test_aud_4_a_database_that_lost_commits_is_restored_in_place(loss: Loss) -> None:
    """Fault 5: the commits are gone without a word, the guard remembers, no backup is newer than the database."""
    whole = Guard(loss.old / "hub.guard")
    whole.read()
    async with RunningHub(loss.old, loss.programme) as hub:
        await hub.hub.store.write(_lose_newest)
    with pytest.raises(StoreBehind, match="behind"):
        async with RunningHub(loss.old, loss.programme):
            pass
    settings = make_settings(loss.old, loss.programme)
    standing = await restore_in_place(settings, Evidence(), LATER, agreed)
    assert (standing.found.heads[Log.AUDIT].size, standing.known[Log.AUDIT].size) == (6, 7)
    loss.new = loss.old
    await loss.resume()
    async with RunningHub(loss.old, loss.programme, TestClock(LATER)) as hub:
        assert await hub.leaves() == 7
        assert hub.hub.directory.directory.generation == 1


def _lose_newest(connection: Connection) -> None:
    for one in (delivery, section, detail):
        connection.execute(one.delete().where(one.c.idx == 6))
    connection.execute(envelope.delete().where(envelope.c.idx == 6))
    connection.execute(leaf.delete().where(leaf.c.log == Log.AUDIT, leaf.c.idx == 6))
    state = CompactRange()
    for _, hashes in trees.leaf_hashes(connection, Log.AUDIT):
        for hashed in hashes:
            state.append(hashed)
    values = {"size": 6, "compact": state.encode(), "root": state.root}
    connection.execute(update(tree).where(tree.c.log == Log.AUDIT).values(values))


@pytest.fixture(params=["sqlite to postgres", "postgres to sqlite"])
async def way(request: pytest.FixtureRequest) -> AsyncIterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Give where a hub was and where it is restored."""
    async with database(request.getfixturevalue("postgres_server")) as url:
        pair = ((), on_postgres(url))
        yield pair if request.param.startswith("sqlite") else (pair[1], pair[0])


async def test_bak_4_a_backup_of_one_database_is_restored_into_the_other(
    tmp_path: Path, way: tuple[tuple[str, ...], tuple[str, ...]]
) -> None:
    loss = Loss(tmp_path, make_programme())
    await loss.happen(way[0])
    standing = await restore_at(loss.new, loss.programme, loss.file, now=LATER, more=way[1])
    assert not standing.certain
    await loss.resume(more=way[1])
    async with RunningHub(loss.new, loss.programme, TestClock(LATER), more=way[1]) as hub:
        for data, receipt in loss.kept.items():
            assert await hub.device(loss.prison).submit(data) == receipt
        assert len(await hub.device(loss.office).items()) == 3
        await hub.device(loss.prison).submit(loss.sender.seal(loss.office.desk, now=LATER).data)
        assert await hub.leaves() == 6


async def test_bak_5_on_postgres_no_guard_shows_that_nothing_is_newer(tmp_path: Path, postgres_url: str) -> None:
    loss = Loss(tmp_path, make_programme())
    await loss.happen()
    async with RunningHub(loss.old, loss.programme) as hub:
        newest = loss.folder / "newest.backup"
        await back_up(hub, newest)
    guard = loss.old / "hub.guard"
    assert (await restore_at(loss.folder / "a", loss.programme, newest, guard, now=LATER)).certain
    more = on_postgres(postgres_url)
    assert not (await restore_at(loss.folder / "b", loss.programme, newest, guard, now=LATER, more=more)).certain


async def test_aud_8_another_process_needs_the_guard_of_the_restored_one(tmp_path: Path, postgres_url: str) -> None:
    more = on_postgres(postgres_url)
    loss = Loss(tmp_path, make_programme())
    await loss.happen()
    await restore_at(loss.new, loss.programme, loss.file, now=LATER, more=more)
    await loss.resume(more=more)
    second = loss.folder / "second"
    shutil.copytree(loss.new, second)
    shutil.copy(loss.old / "hub.guard", second)
    settings = make_settings(second, loss.programme, *more)
    with pytest.raises(StoreBehind, match="before this hub was restored"):
        await Hub.open(settings, KEYS, log=make_log("error", "json"), rounds=False)
    shutil.copy(loss.new / "hub.guard", second)
    async with RunningHub(second, loss.programme, TestClock(LATER), more=more) as hub:
        assert hub.hub.directory.directory.generation == 1
