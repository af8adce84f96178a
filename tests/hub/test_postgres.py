# SPDX-License-Identifier: Apache-2.0
"""The hub on PostgreSQL: several processes on one database, and what a server must promise before it is used."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from yarl import URL

from hub.app import Hub
from hub.logs import make_log
from hub.service.leases import HELD
from hub.service.logcheck import check_everything
from hub.store import postgres as engine
from hub.store.blobs import BlobKey
from hub.store.engine import News
from hub.store.tables import detail
from keys.verifying import verify_receipt
from protocol.errors import (
    ConfigurationError,
    Conflict,
    EnvelopeIdReused,
    NotAuthenticated,
    Revoked,
    StoreBehind,
    StoreFailed,
    Unavailable,
)
from protocol.http import hub as api
from protocol.http.signatures import sign_request
from protocol.limits import BLOB_CHUNK
from protocol.receipts import parse_head
from tests.hub.blobs import announce, collect, make_blob, read_chunk, seal_with, send_chunk
from tests.hub.pairs import KEEP, PUT_BACK, Pair, copy_guard, pair
from tests.hub.running import KEYS, RunningHub, make_settings, on_postgres
from tests.hub.test_damaged_entries import damage
from tests.postgres import execute
from tests.programme import Programme

__all__ = ["pair"]


async def test_aud_8_what_two_processes_accept_is_one_log(pair: Pair) -> None:
    prison, probation, _ = pair.programme.members.values()
    sender = pair.programme.sender("gora-prison")
    sealed = [sender.seal(probation.desk) for _ in range(40)]
    hubs = [pair.first, pair.second]
    receipts = await asyncio.gather(
        *(hubs[number % 2].device(prison).submit(one.data) for number, one in enumerate(sealed))
    )
    bodies = [verify_receipt(raw, "hub.example/audit", pair.first.audit_key) for raw in receipts]
    assert sorted(body.index for body in bodies) == list(range(40))
    for hub in hubs:
        assert await hub.leaves() == 40
        assert len(await hub.device(probation).items()) == 40


async def test_aud_8_a_damaged_tree_size_ends_no_process_that_has_shown_its_entry(pair: Pair) -> None:
    """It expected as many leaves, found fewer when it wrote next, and took the database for another one."""
    prison, probation, _ = pair.programme.members.values()
    sender = pair.programme.sender("gora-prison")
    await pair.first.device(prison).submit(sender.seal(probation.desk).data)
    await damage(pair.first, detail, 0, tree_size=1 << 40, tree_check=None)
    for number, hub in enumerate([pair.second, pair.first], start=1):
        assert len(await hub.device(probation).items()) == number
        await hub.device(prison).submit(sender.seal(probation.desk).data)
        assert hub.hub.writer.healthy


async def test_http_5_the_same_envelope_at_two_processes_gets_one_receipt(pair: Pair) -> None:
    prison, probation, _ = pair.programme.members.values()
    sender = pair.programme.sender("gora-prison")
    sealed = sender.seal(probation.desk)
    hubs = [pair.first, pair.second] * 4
    receipts = await asyncio.gather(*(hub.device(prison).submit(sealed.data) for hub in hubs))
    assert len(set(receipts)) == 1
    other = sender.seal(probation.desk, envelope_id=sealed.envelope_id)
    with pytest.raises(EnvelopeIdReused):
        await pair.second.device(prison).submit(other.data)
    assert await pair.first.leaves() == 1


async def test_http_2_a_nonce_counts_once_for_all_processes(pair: Pair) -> None:
    prison = pair.programme.members["gora-prison"]
    nonce = bytes(16)
    await pair.first.hub.nonces.use(prison.device_id, nonce, pair.first.clock())
    with pytest.raises(NotAuthenticated):
        await pair.second.hub.nonces.use(prison.device_id, nonce, pair.first.clock())
    await pair.second.hub.nonces.use(pair.programme.members["reka-probation"].device_id, nonce, pair.first.clock())


async def test_http_2_a_request_replayed_at_both_processes_is_answered_once(pair: Pair) -> None:
    """As behind a proxy that spreads requests: whoever copies one and is faster elsewhere gains nothing."""
    prison, probation, _ = pair.programme.members.values()
    host = str(URL(pair.first.url).authority)

    async def send(hub: RunningHub, headers: dict[str, str], method: str, path: str, body: bytes) -> int:
        async with hub.session.request(method, hub.url + path, headers={**headers, "Host": host}, data=body) as answer:
            await answer.read()
            return answer.status

    for number in range(6):
        sealed = pair.programme.sender("gora-prison").seal(probation.desk).data if number % 2 else b""
        method, path = ("POST", "/v1/envelopes") if sealed else ("GET", "/v1/mailbox")
        headers = sign_request(
            method=method,
            url=pair.first.url + path,
            body=sealed,
            content_type="application/cbor" if sealed else None,
            device_id=prison.device_id,
            sign=prison.device.transport.sign_raw,
            now=pair.first.clock(),
        )
        if sealed:
            headers["Content-Type"] = "application/cbor"
        hubs = [pair.first, pair.second] * 4
        found = await asyncio.gather(*(send(hub, headers, method, path, sealed) for hub in hubs))
        assert sorted(found) == [201 if sealed else 200] + [401] * 7
        assert [await send(hub, headers, method, path, sealed) for hub in hubs[:2]] == [401, 401]
    assert await pair.first.leaves() == 3


async def test_dir_10_no_process_gives_a_smaller_head_than_another_gave_before(pair: Pair) -> None:
    programme = pair.programme
    for number in range(3):
        programme.replace_device(programme.members["reka-probation"], f"device {number}")
        await pair.first.catch_up()
        raw = (await pair.second.anonymous.call(api.GET_DIRECTORY_HEAD, api.DirectoryHead)).head
        assert parse_head(raw).head.size == len(programme.statements)
        page = await pair.second.anonymous.call(
            api.LIST_DIRECTORY_STATEMENTS, api.StatementPage, query={"from_index": 0, "limit": 500}
        )
        assert len(page.items) == len(programme.statements)


async def test_a_device_enrolled_at_one_process_is_known_at_the_other_at_once(pair: Pair) -> None:
    probation = pair.programme.members["reka-probation"]
    new = pair.programme.replace_device(probation, "new device")
    await pair.first.catch_up()
    assert await pair.second.device(probation, new).items() == ()


async def test_env_17_a_revocation_at_one_process_counts_at_the_other(pair: Pair) -> None:
    """The second process has not heard of it when it checks the envelope; its transaction finds out."""
    prison, probation, _ = pair.programme.members.values()
    data = pair.programme.sender("gora-prison").seal(probation.desk).data
    pair.programme.revoke_device(prison)
    await pair.first.catch_up()
    with pytest.raises(Revoked):
        await pair.second.hub.submissions.submit(prison.device_id, data)
    assert await pair.second.leaves() == 0


async def test_two_processes_append_to_the_directory_by_turns(pair: Pair) -> None:
    programme = pair.programme
    before = len(programme.statements)
    for number in range(4):
        programme.add_prekey(programme.members[("gora-prison", "reka-probation")[number % 2]], epoch=10 + number)
    new = programme.statements[before:]
    hubs = [pair.first.hub, pair.second.hub]
    for number, raw in enumerate(new):
        assert await hubs[number % 2].directory.append(raw) == before + number
        assert await hubs[1 - number % 2].directory.append(raw) == before + number
    await asyncio.gather(*(hub.directory.refresh() for hub in hubs))
    assert hubs[0].directory.directory.root == hubs[1].directory.directory.root


async def test_a_lease_is_one_process_s_until_its_end(pair: Pair) -> None:
    first, second = (hub.hub.housekeeping._lease for hub in (pair.first, pair.second))
    assert await first.held()
    assert not await second.held()
    pair.first.clock.advance(HELD - 1)
    assert await first.held()
    assert not await second.held()
    pair.first.clock.advance(HELD)
    assert await second.held()
    assert not await first.held()


async def test_http_11_what_expires_is_told_once_however_many_processes_look(pair: Pair) -> None:
    prison, probation, _ = pair.programme.members.values()
    sealed = pair.programme.sender("gora-prison").seal(probation.desk)
    await pair.first.device(prison).submit(sealed.data)
    pair.first.clock.advance(40 * 24 * 3_600_000)
    found = await asyncio.gather(pair.first.hub.expiry.expire(), pair.second.hub.expiry.expire())
    assert sum(found) == 1
    assert await pair.first.leaves() == 2


@pytest.mark.parametrize("others", [0, 1, 2], ids=["older", "as-long", "longer"])
async def test_aud_8_a_process_stops_when_the_database_went_back(pair: Pair, others: int) -> None:
    """Fault 5 while it runs: a failover to a replica that lagged behind, and another process went on from there."""
    prison, probation, _ = pair.programme.members.values()
    sender = pair.programme.sender("gora-prison")
    await pair.first.device(prison).submit(sender.seal(probation.desk).data)
    await execute(pair.url, *KEEP)
    await pair.first.device(prison).submit(sender.seal(probation.desk).data)
    await execute(pair.url, *PUT_BACK)
    for _ in range(others):
        await pair.second.hub.submissions.submit(prison.device_id, sender.seal(probation.desk).data)
    guarded = (pair.first.folder / "hub.guard").read_bytes()
    with pytest.raises(Unavailable):
        await pair.first.hub.submissions.submit(prison.device_id, sender.seal(probation.desk).data)
    writing = pair.first.hub.writing
    assert writing is not None
    with pytest.raises(StoreBehind):
        await writing
    assert (pair.first.folder / "hub.guard").read_bytes() == guarded
    assert await pair.second.leaves() == 1 + others


async def test_aud_4_a_further_process_begins_with_a_copy_of_the_guard(pair: Pair, tmp_path: Path) -> None:
    prison, probation, _ = pair.programme.members.values()
    sender = pair.programme.sender("gora-prison")
    await pair.first.device(prison).submit(sender.seal(probation.desk).data)
    third = tmp_path / "three"
    copy_guard(tmp_path / "one", third)
    await pair.second.device(prison).submit(sender.seal(probation.desk).data)
    async with RunningHub(third, pair.programme, pair.first.clock, more=on_postgres(pair.url)) as hub:
        assert len(await hub.device(probation).items()) == 2
        settings = hub.settings
    assert await check_everything(settings) == {
        "hub.example/directory": len(pair.programme.statements),
        "hub.example/audit": 2,
    }
    (third / "hub.guard").unlink()
    with pytest.raises(StoreBehind, match="knows nothing of it"):
        await Hub.open(settings, KEYS, log=make_log("error", "json"))


async def test_two_processes_may_begin_an_empty_database_together(
    tmp_path: Path, postgres_url: str, programme: Programme
) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    log = make_log("error", "json")
    settings = [make_settings(folder, programme, *on_postgres(postgres_url)) for folder in folders]
    hubs = await asyncio.gather(*(Hub.open(one, KEYS, log=log, rounds=False) for one in settings))
    for hub in hubs:
        await hub.close()


async def test_a_second_process_on_the_same_folder_is_refused(pair: Pair) -> None:
    with pytest.raises(ConfigurationError, match="Another hub process"):
        await Hub.open(pair.first.settings, KEYS, log=make_log("error", "json"))


async def test_a_commit_is_synced_and_reading_connections_only_read(pair: Pair) -> None:
    def settings(connection: Connection) -> list[object]:
        names = ("synchronous_commit", "fsync", "transaction_isolation", "transaction_read_only")
        return [connection.scalar(text(f"SHOW {name}")) for name in names]

    store = pair.first.hub.store
    assert await store.write(settings) == ["on", "on", "read committed", "off"]
    assert await store.read(settings) == ["on", "on", "repeatable read", "on"]
    with pytest.raises(Unavailable):
        await store.read(lambda connection: connection.execute(text("DELETE FROM leaf")))


@pytest.mark.parametrize(
    ("standby", "version", "found", "told"),
    [
        (True, 160_000, ["on", "on", "on"], "replica"),
        (False, 120_000, ["on", "on", "on"], "version 13"),
        (False, 160_000, ["off", "on", "on"], "fsync = off"),
        (False, 160_000, ["on", "off", "on"], "full_page_writes = off"),
        (False, 160_000, ["on", "on", "local"], "synchronous_commit = local"),
    ],
)
def test_a_server_that_could_lose_what_was_acknowledged_is_refused(
    standby: bool, version: int, found: list[str], told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        engine._judge(standby, version, found)


async def test_a_server_that_is_not_there_is_said_so(tmp_path: Path, programme: Programme) -> None:
    settings = make_settings(tmp_path, programme, *on_postgres("postgresql://nobody@127.0.0.1:1/none"))
    with pytest.raises(StoreFailed, match="Check that it runs"):
        await Hub.open(settings, KEYS, log=make_log("error", "json"))


def test_notifications_hold_few_bytes_and_nothing_unread_is_missed() -> None:
    few = News(frozenset({b"8 bytes."}), 7, directory=False, before=5)
    assert engine._read("b", engine._written("a", few)) == few
    assert engine._read("a", engine._written("a", few)) is None
    many = News(frozenset(number.to_bytes(8, "big") for number in range(401)), 9, directory=True, before=8)
    assert engine._read("b", engine._written("a", many)) == News(None, 9, directory=True, before=8)
    most = News(frozenset(number.to_bytes(8, "big") for number in range(400)), 2**40, directory=True, before=2**40 - 1)
    assert len(engine._written("a" * 8, most)) < 8_000
    for strange in ("", "x y", "a 1 2 ***", "a 1 2 *", "a 1 2 many *"):
        assert engine._read("b", strange) == News(None, 0, directory=True, before=0)


async def test_att_3_an_upload_goes_on_at_another_process(pair: Pair) -> None:
    prison, probation, _ = pair.programme.members.values()
    first, second = pair.first.device(prison), pair.second.device(prison)
    blob = make_blob(b"a page of a scan " * 80_000)
    await announce(first, blob)
    await send_chunk(first, blob.id, 0, blob.chunk(0))
    assert (await announce(second, blob)).received == BLOB_CHUNK
    with pytest.raises(Conflict):
        await pair.second.hub.blobs._files.write(BlobKey(prison.device_id, blob.id), 0, b"other bytes")
    assert (await send_chunk(second, blob.id, BLOB_CHUNK, blob.chunk(1))).complete
    sealed = seal_with(pair.programme, "gora-prison", blob, [probation.desk])
    await first.submit(sealed.data)
    reader = pair.second.device(probation)
    assert await read_chunk(reader, sealed.envelope_id, blob.id) == blob.chunk(0)
    assert await pair.first.hub.blobs._files.keys() == {BlobKey(prison.device_id, blob.id)}
    await collect(reader, sealed.envelope_id, blob.id)
    assert await pair.first.hub.blobs._files.keys() == set()
