# SPDX-License-Identifier: Apache-2.0
"""One blob's chunks sent to two hub processes at once: nothing counts but what was compared with its hash (ATT-3)."""

import tempfile
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from hub.config import HubSettings
from hub.service.blobs import Advance, Blobs
from hub.service.logcheck import check_everything
from hub.store import blobs
from hub.store.blobs import BlobKey
from protocol import ids
from protocol.errors import Conflict, InvalidInput, NotFound
from protocol.ids import BlobId
from protocol.limits import BLOB_CHUNK
from tests.hub.blobs import Blob, announce, make_blob, read_chunk, seal_with, send_chunk
from tests.hub.pairs import Pair, copy_guard, pair
from tests.hub.running import RunningHub, make_settings, on_postgres

__all__ = ["pair"]

SCAN = b"a page of a scan " * 80_000
"""A little more than 1 MiB."""


async def began(pair: Pair) -> tuple[Blob, BlobKey, bytes]:
    """Upload all but the last chunk; return the blob, its key, and another last chunk of that length."""
    prison = pair.programme.members["gora-prison"]
    blob = make_blob(SCAN)
    await announce(pair.first.device(prison), blob)
    await send_chunk(pair.first.device(prison), blob.id, 0, blob.chunk(0))
    return blob, BlobKey(prison.device_id, blob.id), bytes(len(blob.chunk(1)))


def beside(pair: Pair) -> HubSettings:
    """Return the settings of another folder with the guard, as long as the hubs run."""
    folder = Path(tempfile.mkdtemp(dir=pair.first.folder.parent)) / "third"
    copy_guard(pair.first.folder, folder)
    return make_settings(folder, pair.programme, *on_postgres(pair.url))


def meanwhile(monkeypatch: pytest.MonkeyPatch, hub: RunningHub, what: Callable[[], Awaitable[object]]) -> None:
    """Let `what` happen once `hub` has hashed a blob and before it says so."""
    real = Blobs._digest

    async def digest(own: Blobs, key: BlobKey, size: int) -> bytes:
        found = await real(own, key, size)
        if own is hub.hub.blobs:
            await what()
        return found

    monkeypatch.setattr(Blobs, "_digest", digest)


async def test_att_3_aud_10_other_bytes_that_came_at_another_process_after_the_hash_never_count(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hostile device: any one could make the operator believe that the hub's store is damaged."""
    prison, probation, _ = pair.programme.members.values()
    blob, key, other = await began(pair)

    async def replace() -> None:
        await pair.second.hub.blobs._files.write(key, BLOB_CHUNK, other)

    with monkeypatch.context() as patch:
        meanwhile(patch, pair.first, replace)
        with pytest.raises(Conflict):
            await send_chunk(pair.first.device(prison), blob.id, BLOB_CHUNK, blob.chunk(1))
    assert await check_everything(beside(pair))
    progress = await announce(pair.first.device(prison), blob)
    assert (progress.received, progress.complete) == (BLOB_CHUNK, False)
    # Who sends the right one goes on.
    assert (await send_chunk(pair.second.device(prison), blob.id, BLOB_CHUNK, blob.chunk(1))).complete
    sealed = seal_with(pair.programme, "gora-prison", blob, [probation.desk])
    await pair.first.device(prison).submit(sealed.data)
    reader = pair.second.device(probation)
    assert await read_chunk(reader, sealed.envelope_id, blob.id, BLOB_CHUNK) == blob.chunk(1)
    assert await check_everything(beside(pair))


async def test_att_3_nor_do_they_where_the_whole_was_begun_anew_and_ends_in_the_same_chunk(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    prison = pair.programme.members["gora-prison"]
    blob, key, other = await began(pair)
    second = pair.second.device(prison)

    async def begin_anew() -> None:
        with pytest.raises(InvalidInput):
            await send_chunk(second, blob.id, BLOB_CHUNK, other)
        await send_chunk(second, blob.id, 0, bytes(BLOB_CHUNK))
        await pair.second.hub.blobs._files.write(key, BLOB_CHUNK, blob.chunk(1))

    meanwhile(monkeypatch, pair.first, begin_anew)
    with pytest.raises(Conflict):
        await send_chunk(pair.first.device(prison), blob.id, BLOB_CHUNK, blob.chunk(1))
    assert not (await announce(second, blob)).complete
    assert await check_everything(beside(pair))


async def test_att_3_the_same_chunk_at_both_processes_at_once_is_taken_once(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry by way of another process while the first try still goes on."""
    prison = pair.programme.members["gora-prison"]
    blob, _, _ = await began(pair)

    async def again() -> None:
        assert (await send_chunk(pair.second.device(prison), blob.id, BLOB_CHUNK, blob.chunk(1))).complete

    meanwhile(monkeypatch, pair.first, again)
    with pytest.raises(Conflict):
        await send_chunk(pair.first.device(prison), blob.id, BLOB_CHUNK, blob.chunk(1))
    assert (await announce(pair.first.device(prison), blob)).complete


async def test_att_3_a_blob_that_has_gone_meanwhile_is_not_found(pair: Pair) -> None:
    prison = pair.programme.members["gora-prison"]
    with pytest.raises(NotFound):
        await pair.first.hub.writer.write(Advance(BlobKey(prison.device_id, BlobId(ids.new_id())), 1, stamp=1))


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.booleans(), st.integers(min_value=-5, max_value=5)), min_size=1, max_size=12))
async def test_att_3_no_two_changes_of_a_blob_ever_leave_the_same_stamp(
    hub: RunningHub, changes: list[tuple[bool, int]]
) -> None:
    """Whatever the clock does."""
    key = BlobKey(hub.programme.members["gora-prison"].device_id, BlobId(ids.new_id()))

    def work(connection: Connection) -> list[int]:
        blobs.add(connection, key, "gora-prison@hub.example", 10_000, bytes(32), 1_000)
        stamps = [1_000]
        for advances, at in changes:
            if advances:
                assert blobs.advance(connection, key, 0, 1_000 + at, complete=False, stamp=stamps[-1])
                assert not blobs.advance(connection, key, 0, 1_000 + at, complete=False, stamp=stamps[-1])
                stamps.append(stamps[-1] + 1 if 1_000 + at <= stamps[-1] else 1_000 + at)
            else:
                stamps.append(blobs.touch(connection, key, 1_000 + at))
        return stamps

    assert all(before < after for before, after in pairwise(await hub.hub.store.write(work)))
